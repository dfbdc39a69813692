//! A login and a read of credentials, entered into the holdings step by step.

use std::rc::Rc;

use super::holdings::{Holding, Holdings, Lease};
use super::schedule::{Cause, Grant, Schedule, Subject};
use crate::auth::{Method, Session};
use crate::error::{Error, hints};
use crate::render::postgres::Credentials;
use crate::vault::{Client, Failure, Patience};

/// Credentials, and what they hang on.
#[derive(Debug)]
pub struct Acquisition {
    /// The user and the password.
    pub credentials: Credentials,
    /// The token.
    pub holding: Rc<Holding>,
    /// The lease; a static role has none.
    pub lease: Option<Rc<Lease>>,
}

impl Acquisition {
    /// The schedule that keeps this alive.
    #[must_use]
    pub fn schedule(&self, lease_ttl: Option<std::time::Duration>) -> Schedule {
        let mut chance = fastrand::f64;
        let session = &self.holding.session;
        let Some(lease) = &self.lease else {
            // Nothing hangs on the token any more.
            return Schedule::new(None, None, None, None, &mut chance);
        };
        // A token that is used again may have been renewed since its login.
        let token = session.expiry().map(|expiry| Grant {
            at: expiry - session.duration,
            duration: session.duration,
            fixed: match (session.batch, session.renewable) {
                (true, _) => Some(Cause::BatchToken),
                (false, false) => Some(Cause::NotRenewable(Subject::Token)),
                (false, true) => None,
            },
        });
        let grant = Grant {
            at: lease.granted_at,
            duration: lease.duration,
            fixed: (!lease.renewable).then_some(Cause::NotRenewable(Subject::Lease)),
        };
        // A lease that says nothing of its end has none that could be met.
        let grant = Some(grant).filter(|grant| !grant.duration.is_zero());
        Schedule::new(token, grant, session.uses(), lease_ttl, &mut chance)
    }
}

/// Logs in, unless there is a token that is to be used again, and reads credentials.
///
/// # Errors
/// [`Error`]. Whatever was obtained before the failure is in the holdings.
pub async fn acquire(
    client: &Client,
    method: &mut Method,
    token: Option<Rc<Holding>>,
    path: &str,
    patience: &Patience<'_>,
    holdings: &Holdings,
) -> Result<Acquisition, Error> {
    let holding = if let Some(holding) = token {
        holding
    } else {
        let session: Session = method.login(client, patience).await?;
        patience
            .report
            .info(format_args!("logged in{}", life(&session)));
        holdings.add_session(Rc::new(session))
    };
    let session = Rc::clone(&holding.session);
    let doing = "read credentials";
    let read = || async {
        // Until there is an answer, there may be a lease; and one that was lost stays lost,
        // whatever becomes of the next try.
        let lost = holding.unknown_lease.get();
        holdings.begin_read(&holding);
        let read = client.read(path, &session.token, patience.for_once());
        let answer = session.count_use(read).await;
        let acted = answer.as_ref().err().is_some_and(Failure::may_have_acted);
        holding.unknown_lease.set(lost || acted);
        answer
    };
    let answer = patience
        .insist(client, doing, Failure::is_transient, read)
        .await;
    let answer = answer.map_err(|failure| explain(failure, path, &session))?;
    let terms = answer.terms();
    let (duration, renewable) = terms.clone().unwrap_or_default();
    let lease = answer.lease_id.map(|id| {
        let lease = Rc::new(Lease::new(id, duration, renewable));
        holdings.add_lease(&holding, Rc::clone(&lease));
        lease
    });
    // Only now: whatever is wrong with the rest, the lease is known and will be revoked.
    let credentials = terms.and_then(|_| Credentials::read(&answer.document));
    let credentials = credentials.map_err(|failure| Error::Credentials {
        path: path.to_owned(),
        problem: failure.to_string(),
        hint: Some(
            "is it the path of a database role, as in database/creds/app-role or database/static-creds/app?".to_owned(),
        ),
    })?;
    Ok(Acquisition {
        credentials,
        holding,
        lease,
    })
}

fn life(session: &Session) -> String {
    let kind = if session.batch {
        " with a batch token"
    } else {
        ""
    };
    let duration = if session.duration.is_zero() {
        String::new()
    } else {
        let duration = humantime::format_duration(session.duration);
        format!("; the token lives for {duration}")
    };
    let uses = session.uses().map_or_else(String::new, |uses| {
        format!("; {uses} calls can be made with it")
    });
    format!("{kind}{duration}{uses}")
}

fn explain(failure: Failure, path: &str, session: &Session) -> Error {
    let mount = path.split('/').next().unwrap_or(path);
    let role = path.rsplit('/').next().unwrap_or(path);
    let hint = match &failure {
        failure if failure.is_role_unknown() => {
            Some(format!("is {role} the name of a role of the engine? `vault list {mount}/roles` shows them"))
        }
        Failure::Refused { status: 400 | 403, .. } if session.uses() == Some(0) => Some(
            "the token's uses were counted, and reading the credentials took the last one, which revokes them at once: \
             give the AppRole role a token_num_uses of 0, or of 3 and more"
                .to_owned(),
        ),
        Failure::Refused { status: 403, .. } => {
            Some(format!("the role's policy needs this line: {}", hints::policy(path, "read")))
        }
        Failure::Refused { status: 404, .. } => {
            Some(format!("is a secrets engine mounted at {mount}/, and is the path right (--creds, VAULTEXEC_CREDS)?"))
        }
        failure if failure.may_have_acted() && session.batch => Some(
            "a database role may have been made that nobody knows; a batch token cannot be revoked, so it ends by itself \
             with the token"
                .to_owned(),
        ),
        failure if failure.may_have_acted() => Some(
            "a database role may have been made that nobody knows: it is revoked through the token it was asked for with"
                .to_owned(),
        ),
        failure => hints::for_failure(failure),
    };
    Error::server("read credentials", path.to_owned(), failure, hint)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lease::schedule::Step;
    use crate::sensitive::Sensitive;
    use crate::sys::clock::Moment;
    use crate::vault::LoginAnswer;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// Credentials under a token whose login was so long ago, and a lease that is given out now.
    fn acquisition(login: Moment) -> Acquisition {
        let answer = LoginAnswer {
            client_token: Sensitive::from("hvs.token"),
            lease_duration: minutes(60),
            renewable: true,
            batch: false,
            num_uses: None,
        };
        let session = Rc::new(Session::new(answer, login));
        let lease = Lease::new("database/creds/x/1".to_owned(), minutes(600), true);
        Acquisition {
            credentials: Credentials {
                username: "user".to_owned(),
                password: Sensitive::from("password"),
            },
            holding: Holdings::default().add_session(session),
            lease: Some(Rc::new(lease)),
        }
    }

    #[test]
    fn a_token_that_is_used_again_counts_from_its_last_renewal() {
        let now = Moment::now();
        // The login was fifty minutes ago, and a renewal ten.
        let acquisition = acquisition(now - minutes(50));
        acquisition.holding.session.renewed_until(now + minutes(50));
        let schedule = acquisition.schedule(None);
        assert_eq!(schedule.expiry(), Some(now + minutes(50)));
        let (due, step) = schedule.next().expect("a renewal");
        assert_eq!(step, Step::Renew(Subject::Token, minutes(60)));
        assert!(due > now + minutes(20), "it is not renewed at once");
    }

    #[test]
    fn alike_credentials_are_renewed_at_different_moments() {
        let acquisition = acquisition(Moment::now());
        let mut moments: Vec<_> = (0..20)
            .filter_map(|_| acquisition.schedule(None).next().map(|(due, _)| due))
            .collect();
        moments.sort_unstable();
        moments.dedup();
        assert!(moments.len() > 10, "{moments:?}");
    }
}
