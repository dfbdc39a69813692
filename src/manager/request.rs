//! What the machine asks for, how it is carried out, and what comes back.

use std::rc::Rc;
use std::time::Duration;

use super::rights;
use super::schedule::Subject;
use super::set::SetNo;
use super::unobtained::Unobtained;
use super::wording;
use crate::ledger::{Call, NewSession, Rights, SessionNo};
use crate::login::Login;
use crate::login::Outlook;
use crate::revoke;
use crate::secret::{Issued, Read, Rotation};
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, Renewed, Retries, Retry, Revoked, Token};

/// Something to ask the server.
#[derive(Debug)]
pub enum Request {
    /// Which revocations a token's policy allows.
    AskRights {
        /// The token's number.
        session: SessionNo,
        /// The token.
        token: Token,
        /// The paths of credentials.
        paths: Vec<String>,
        /// How long to hold it back.
        after: Duration,
        /// How long an answer is waited for.
        limit: Duration,
    },
    /// Credentials.
    Read {
        /// Which of the credentials.
        index: usize,
        /// Their path.
        path: String,
        /// The token's number.
        session: SessionNo,
        /// The token.
        token: Token,
        /// No request is repeated after this.
        until: Moment,
        /// How many calls the token has left after this one, if they are counted.
        uses: Option<u64>,
        /// Whether the token was just issued.
        new_token: bool,
    },
    /// More time.
    Renew {
        /// For which set.
        set: SetNo,
        /// For what of it.
        subject: Subject,
        /// The lease's id, if it is one.
        lease: Option<String>,
        /// The token.
        token: Token,
        /// How much, from now.
        increment: Duration,
        /// How long an answer is waited for.
        limit: Duration,
    },
    /// Whether the password of a static role was changed.
    ReadAgain {
        /// For which set.
        set: SetNo,
        /// Which of the credentials.
        index: usize,
        /// Their path.
        path: String,
        /// The token.
        token: Token,
        /// How long an answer is waited for.
        limit: Duration,
    },
    /// Whether the token is good, since a renewal was forbidden.
    LookUp {
        /// For which set.
        set: SetNo,
        /// What was to be renewed.
        subject: Subject,
        /// In which words it was forbidden.
        failure: Failure,
        /// The token.
        token: Token,
        /// How long an answer is waited for.
        limit: Duration,
    },
    /// A revocation.
    Revoke {
        /// Of what.
        call: Call,
        /// How long an answer is waited for.
        until: Moment,
    },
}

impl Request {
    /// Whether its answer may name something that has to be revoked, or how.
    pub const fn brings_something(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::AskRights { .. })
    }
}

/// What has come back.
#[derive(Debug)]
pub enum Answer {
    /// To a login; and what is known of later ones.
    LoggedIn(Result<NewSession, Unobtained>, Outlook),
    /// To the question for rights; nothing where the server would not say.
    Rights(SessionNo, Option<Rights>),
    /// To a read with a token, of one of the credentials.
    Read(SessionNo, usize, Box<Issued>),
    /// To a renewal.
    Renewed(SetNo, Subject, Result<Renewed, Failure>),
    /// What is said of a static role's password now.
    ReadAgain(SetNo, usize, Result<Option<Rotation>, Failure>),
    /// Whether the token is good, if the server says so.
    Alive(SetNo, Subject, Failure, Option<bool>),
    /// To a revocation.
    Revoked(Call, Result<Revoked, Failure>),
}

/// Logs in, and says whether there can be another login.
pub async fn log_in(client: Rc<Client>, mut login: Login, retry: Retry) -> (Login, Answer) {
    let result = login.log_in(&client, &retry).await;
    if let Ok(session) = &result {
        let path = login.preview().path;
        log::info!(event = "logged_in", path = path.as_str(); "logged in at {path}{}", wording::life(session));
    }
    let outlook = login.outlook();
    (
        login,
        Answer::LoggedIn(result.map_err(Unobtained::now), outlook),
    )
}

/// Carries a request out.
pub async fn carry_out(client: Rc<Client>, request: Request, retries: Retries) -> Answer {
    match request {
        Request::AskRights {
            session,
            token,
            paths,
            after,
            limit,
        } => {
            // A sleep of no time may last until the timer's next millisecond.
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            // The connection for the read is closed when the child has the credentials. This one is there for what comes then.
            client.close_connections();
            let rights = rights::ask(&client, &token, &paths, limit).await;
            Answer::Rights(session, rights)
        }
        Request::Read {
            index,
            path,
            session,
            token,
            until,
            uses,
            new_token,
        } => {
            let retry = retries.until(until);
            let read = Read {
                path: &path,
                token: &token,
                uses,
                new_token,
            };
            Answer::Read(
                session,
                index,
                Box::new(read.carry_out(&client, &retry).await),
            )
        }
        Request::Renew {
            set,
            subject,
            lease,
            token,
            increment,
            limit,
        } => {
            let result = match lease {
                Some(lease) => client.renew_lease(&lease, increment, &token, limit).await,
                None => client.renew_self(increment, &token, limit).await,
            };
            Answer::Renewed(set, subject, result)
        }
        Request::ReadAgain {
            set,
            index,
            path,
            token,
            limit,
        } => {
            let answer = client.read(&path, &token, limit).await;
            let rotation =
                answer.and_then(|answer| Rotation::read(&answer.document, Moment::now()));
            Answer::ReadAgain(set, index, rotation)
        }
        Request::LookUp {
            set,
            subject,
            failure,
            token,
            limit,
        } => {
            let alive = match client.lookup_self(&token, limit).await {
                Ok(_) => Some(true),
                // A policy that forbids the question is the policy of a token that is known.
                Err(failure) if failure.is_policy() => Some(true),
                Err(failure) if failure.is_token_gone() => Some(false),
                Err(_) => None,
            };
            Answer::Alive(set, subject, failure, alive)
        }
        Request::Revoke { call, until } => {
            let result = revoke::ask(&client, &call, until).await;
            Answer::Revoked(call, result)
        }
    }
}
