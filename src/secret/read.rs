//! One read of credentials.

use std::time::SystemTime;

use crate::error::{Error, hints};
use crate::ledger::NewLease;
use crate::secret::{Fields, Rotation};
use crate::sys::clock::Moment;
use crate::vault::{Client, Document, Failure, Retry, Token, asked};

/// What is read, and with what.
#[derive(Debug)]
pub struct Read<'a> {
    /// The path, and what is sent to it.
    pub path: &'a str,
    /// The token.
    pub token: &'a Token,
    /// How many calls the token has left after this one, if they are counted.
    pub uses: Option<u64>,
    /// Whether the token was just issued.
    pub new_token: bool,
}

/// What a read of credentials has brought.
#[derive(Debug)]
pub struct Issued {
    /// The lease, which is there even if the rest cannot be understood.
    pub lease: Option<NewLease>,
    /// Whether there may be a lease that nobody knows.
    pub lost: bool,
    /// Whether that is only because an answer did not arrive, so that another try makes sense.
    pub undelivered: bool,
    /// How many requests were sent.
    pub calls: u32,
    /// What it holds.
    pub secret: Result<Fields, Error>,
    /// When that is changed, where it has no lease.
    pub rotation: Option<Rotation>,
}

impl Read<'_> {
    /// Reads, and again where the server cannot have acted.
    pub async fn carry_out(&self, client: &Client, retry: &Retry) -> Issued {
        let (mut lost, mut calls) = (false, 0);
        let repeat = |failure: &Failure| failure.is_transient() && !failure.may_have_acted();
        let unknown = |failure: &Failure| self.new_token && failure.is_token_gone();
        let answer = retry
            .until_known(client, unknown, async || {
                retry
                    .run(client, "read credentials", repeat, async || {
                        let answer = client.read(self.path, self.token, retry.for_once()).await;
                        let failure = answer.as_ref().err();
                        lost |= failure.is_some_and(Failure::may_have_acted);
                        calls += u32::from(failure.is_none_or(Failure::was_sent));
                        answer
                    })
                    .await
            })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                let undelivered =
                    failure.may_have_acted() && !matches!(failure, Failure::Malformed { .. });
                let uses = self
                    .uses
                    .map(|uses| (uses + 1).saturating_sub(calls.into()));
                return Issued {
                    lease: None,
                    lost,
                    undelivered,
                    calls,
                    secret: Err(explain(failure, self.path, uses)),
                    rotation: None,
                };
            }
        };
        let terms = answer.terms;
        let lease = answer.lease_id.map(|id| {
            let (duration, renewable) = terms.clone().unwrap_or_default();
            NewLease {
                id,
                duration,
                renewable,
                granted_at: Moment::now(),
            }
        });
        let rotation = match lease {
            Some(_) => Ok(None),
            None => Rotation::read(&answer.document, Moment::now()),
        };
        let is_login = lease.is_some() || !matches!(rotation, Ok(None));
        say(self.path, &answer.document, lease.as_ref(), is_login);
        let secret = terms
            .and_then(|_| fields(&answer.document, is_login))
            .and_then(|fields| Ok((fields, rotation?)));
        let (secret, rotation) = match secret {
            Ok((fields, rotation)) => (Ok(fields), rotation),
            Err(failure) => (Err(failure), None),
        };
        let secret = secret.map_err(|failure| no_login(self.path.to_owned(), failure.to_string()));
        Issued {
            lease,
            lost,
            undelivered: false,
            calls,
            secret,
            rotation,
        }
    }
}

/// What an answer holds, whatever the engine.
fn fields(document: &Document, is_login: bool) -> Result<Fields, Failure> {
    // Of a key-value engine of version 2, the secret itself and not what is told of it.
    let is_versioned = !is_login && document.has("data.metadata.version");
    let place = if is_versioned { "data.data" } else { "data" };
    if !document.has(place) {
        return Ok(Fields::default());
    }
    // What lets somebody into a database is a text; a key-value secret may be a number.
    for name in ["username", "password"] {
        let name = format!("{place}.{name}");
        if is_login && document.has(&name) {
            document.text(&name)?;
        }
    }
    Fields::read(document, place)
}

/// An answer that lets nobody into a database.
pub fn no_login(path: String, problem: String) -> Error {
    let hint = "is it the path of a database role, as in database/creds/app-role or database/static-creds/app? Of any other \
                secret, --env NAME=TEMPLATE makes variables";
    Error::Credentials {
        path,
        problem,
        hint: Some(hint.to_owned()),
    }
}

/// Says what was read, without the secret.
fn say(path: &str, document: &Document, lease: Option<&NewLease>, is_login: bool) {
    let user = document.text("data.username").ok().filter(|_| is_login);
    let user = user.unwrap_or_default();
    let shown = match user {
        "" => String::new(),
        user => format!(": user {user}"),
    };
    let Some(lease) = lease else {
        log::info!(event = "credentials", path = path, db_user = user; "read {path}{shown}, without a lease");
        return;
    };
    // The wall clock, which people read.
    let expiry = SystemTime::now().checked_add(lease.duration);
    let expiry = expiry.map_or_else(String::new, |at| {
        humantime::format_rfc3339_seconds(at).to_string()
    });
    log::info!(
        event = "credentials", path = path, db_user = user, lease_id = lease.id.as_str(), expires_at = expiry.as_str();
        "read {path}{shown}, lease {}, for {}", lease.id, humantime::format_duration(lease.duration)
    );
}

fn explain(failure: Failure, asked: &str, uses: Option<u64>) -> Error {
    let path = asked::path(asked);
    let mount = path.split('/').next().unwrap_or(path);
    let role = path.rsplit('/').next().unwrap_or(path);
    let hint = match &failure {
        failure if failure.is_role_unknown() => {
            Some(format!("is {role} the name of a role of the engine? `vault list {mount}/roles` shows them"))
        }
        Failure::Refused { status: 400 | 403, .. } if uses == Some(0) => Some(
            "the token's uses were counted, and reading the credentials took the last one, which revokes them at once: \
             give the AppRole role a token_num_uses of 0, or of 3 and more"
                .to_owned(),
        ),
        failure if failure.is_token_gone() => Some(
            "the server does not take the token that it has just given: it is bound to other addresses (token_bound_cidrs \
             of the role), or somebody has revoked it"
                .to_owned(),
        ),
        // A policy does not know what there is: a path with a mistake in it is forbidden, too.
        Failure::Refused { status: 403, .. } => Some(format!(
            "if the path is right (--creds, VAULTEXEC_CREDS), {}",
            hints::needed_line(path, asked::capability(asked))
        )),
        Failure::Refused { status: 404, .. } => {
            Some(format!(
                "is a secrets engine mounted at {mount}/, and is the path right (--creds, VAULTEXEC_CREDS)? That of a key-value \
                 secret of version 2 is {mount}/data/NAME"
            ))
        }
        failure if failure.may_have_acted() => Some(
            "a database role may have been made that nobody knows: it is revoked with the token it was asked for with, or \
             ends with it"
                .to_owned(),
        ),
        failure => hints::for_failure(failure),
    };
    Error::server("read credentials", path.to_owned(), failure, hint)
}
