//! The one call of a login, and what its failures mean whatever the method is.

use serde_json::Value;

use crate::error::{Error, hints};
use crate::ledger::NewSession;
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, LoginAnswer, Retry, Token};

/// A login that is about to be asked for.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The API's path.
    pub path: &'a str,
    /// What is sent.
    pub body: &'a Value,
    /// How often it may be sent again when the answer was lost, and the server may have counted a
    /// failed login.
    pub lost: u32,
    /// How many of the requests the server has acted on, or may have.
    pub spent: u64,
}

impl<'a> Ask<'a> {
    /// A login that may be asked for as often as there is time.
    pub const fn new(path: &'a str, body: &'a Value) -> Self {
        Self {
            path,
            body,
            lost: u32::MAX,
            spent: 0,
        }
    }

    /// Asks until there is an answer, or no hope of one.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn carry_out(
        &mut self,
        client: &Client,
        retry: &Retry,
    ) -> Result<LoginAnswer, Failure> {
        let Self { path, body, .. } = *self;
        let (mut spent, most) = (0u64, self.lost);
        let lost = std::cell::Cell::new(0u32);
        // Failing and being started again by a supervisor would spend the same use as asking again.
        let repeat = |failure: &Failure| {
            let again = matches!(failure, Failure::Lost(_)) && lost.get() < most;
            lost.set(lost.get().saturating_add(u32::from(again)));
            failure.is_transient() || again
        };
        let answer = retry
            .until_known(client, Failure::is_login_refused, async || {
                retry
                    .run(client, "log in", repeat, async || {
                        let answer = client.login(path, body.clone(), retry.for_once()).await;
                        // A use is gone as soon as the server has acted, whether or not its answer came.
                        let acted = match &answer {
                            Ok(_) => true,
                            Err(failure) => {
                                failure.may_have_acted() || failure.status() == Some(500)
                            }
                        };
                        spent += u64::from(acted);
                        answer
                    })
                    .await
            })
            .await;
        self.spent += spent;
        answer
    }
}

/// The token that a login has brought.
pub fn session(answer: LoginAnswer) -> NewSession {
    NewSession {
        token: Token::new(answer.client_token),
        batch: answer.batch,
        foreign: false,
        uses: answer.num_uses,
        renewable: answer.renewable,
        duration: answer.lease_duration,
        granted_at: Moment::now(),
        identity: answer.identity,
    }
}

/// The error of a login that failed at a mount of a method. `hint` is what the method knows of it.
pub fn explain(method: &str, mount: &str, failure: Failure, hint: Option<String>) -> Error {
    let hint = hint.or_else(|| common_hint(method, mount, &failure));
    Error::server("log in", format!("auth/{mount}"), failure, hint)
}

fn common_hint(method: &str, mount: &str, failure: &Failure) -> Option<String> {
    let hint = match failure {
        failure if failure.is_source_refused() => {
            "the role is bound to other addresses (token_bound_cidrs): log in from one that is allowed".to_owned()
        }
        Failure::Refused { status: 403, .. } if failure.is_from_api() => format!(
            "is there an auth method {method} at auth/{mount} (--auth-mount, VAULTEXEC_AUTH_MOUNT), and is the namespace \
             right (--namespace, VAULT_NAMESPACE)?"
        ),
        Failure::SecondFactor => format!(
            "a program cannot answer a second factor: exempt auth/{mount} or this role from the MFA enforcement \
             (identity/mfa/login-enforcement)"
        ),
        failure if failure.is_namespace_unknown() => {
            "is the namespace right (--namespace, VAULT_NAMESPACE)?".to_owned()
        }
        Failure::Refused { status: 404, .. } => {
            format!("there is no auth method at auth/{mount}: --auth-mount, VAULTEXEC_AUTH_MOUNT")
        }
        failure => return hints::for_failure(failure),
    };
    Some(hint)
}
