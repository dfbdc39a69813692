//! One read of credentials.

use crate::error::{Error, hints};
use crate::ledger::NewLease;
use crate::render::postgres::Credentials;
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, Retry, Token};

/// What is read, and with what.
#[derive(Debug)]
pub struct Read<'a> {
    /// The path.
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
    /// The user and the password.
    pub secret: Result<Credentials, Error>,
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
        let secret = terms
            .and_then(|_| Credentials::read(&answer.document))
            .map_err(|failure| Error::Credentials {
                path: self.path.to_owned(),
                problem: failure.to_string(),
                hint: Some(NOT_A_ROLE.to_owned()),
            });
        Issued {
            lease,
            lost,
            undelivered: false,
            calls,
            secret,
        }
    }
}

const NOT_A_ROLE: &str = "is it the path of a database role, as in database/creds/app-role or database/static-creds/app?";

fn explain(failure: Failure, path: &str, uses: Option<u64>) -> Error {
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
        Failure::Refused { status: 403, .. } => Some(hints::needed_line(path, "read")),
        Failure::Refused { status: 404, .. } => {
            Some(format!("is a secrets engine mounted at {mount}/, and is the path right (--creds, VAULTEXEC_CREDS)?"))
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
