//! A user's name and password: userpass and ldap, which differ in who knows the password.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::ask::{self, Ask};
use super::outlook::{CannotRepeat, Outlook};
use super::source::{Secret, Source};
use super::supply::Supply;
use crate::error::{Error, Problem};
use crate::ledger::NewSession;
use crate::sensitive::Kept;
use crate::vault::{Client, Failure, Retry};

/// What may run out.
const WHAT: &str = "the password";
/// A wrong password counts towards the server's user lockout, also when its answer was lost.
const MOST_LOST: u32 = 1;
/// What stays as it is in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@');

/// Who logs in, and where the password is. Holds no secret.
#[derive(Clone, Debug)]
pub struct PasswordSettings {
    /// `userpass` or `ldap`.
    pub method: &'static str,
    /// The auth mount.
    pub mount: String,
    /// The user.
    pub username: String,
    /// Where the password is; absent where it is asked for at the terminal.
    pub password: Option<Source>,
}

#[derive(Debug)]
enum Password {
    Read(Supply),
    Typed(Option<Kept>),
}

/// A login with a password.
#[derive(Debug)]
pub struct PasswordLogin {
    method: &'static str,
    mount: String,
    username: String,
    password: Password,
    /// Whether the server's last word on the password was no: it is not shown again.
    refused: bool,
    /// Whether there may be another login.
    again: bool,
}

impl PasswordSettings {
    /// The question for the password, if it has to be asked for.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        let (username, mount) = (&self.username, &self.mount);
        let asks = self.password.is_none();
        asks.then(|| format!("Password of {username} (auth/{mount}): "))
    }
}

impl PasswordLogin {
    /// Reads the password, unless it was `typed`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        settings: &PasswordSettings,
        typed: Option<Secret>,
        again: bool,
    ) -> Result<Self, Problem> {
        let password = match &settings.password {
            Some(source) => Password::Read(Supply::read(source, Source::read_exactly)?),
            None => Password::Typed(typed.map(Kept::from)),
        };
        Ok(Self {
            method: settings.method,
            mount: settings.mount.clone(),
            username: settings.username.clone(),
            password,
            refused: false,
            again,
        })
    }

    /// The auth mount.
    pub fn mount(&self) -> &str {
        &self.mount
    }

    /// Logs in. A password that the server has refused is not shown again.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn log_in(&mut self, client: &Client, retry: &Retry) -> Result<NewSession, Error> {
        if let Password::Read(supply) = &mut self.password
            && supply.look_again()
        {
            self.refused = false;
        }
        let gone = |reason| Error::Irreplaceable(format!("another login is needed, and {reason}"));
        if self.refused {
            return Err(gone(CannotRepeat::Refused(WHAT)));
        }
        let password = match &self.password {
            Password::Read(supply) => supply.expose(),
            Password::Typed(typed) => typed.as_ref().map(Kept::expose),
        };
        let password = password.ok_or_else(|| gone(CannotRepeat::Gone(WHAT)))?;
        let body = json!({ "password": password });
        let path = path(&self.mount, &self.username);
        let mut ask = Ask {
            lost: MOST_LOST,
            ..Ask::new(&path, &body)
        };
        let answer = ask.carry_out(client, retry).await;
        self.refused = answer.as_ref().is_err_and(is_refusal);
        let answer = answer.map_err(|failure| self.explain(failure))?;
        match &mut self.password {
            Password::Read(supply) if self.again => supply.forget_if_readable(),
            Password::Read(supply) => supply.forget(),
            Password::Typed(_) if self.again => {}
            Password::Typed(typed) => *typed = None,
        }
        Ok(ask::session(answer))
    }

    /// Whether there can be another login, as far as is known.
    pub fn outlook(&self) -> Outlook {
        let (is_there, source) = match &self.password {
            Password::Read(supply) => (supply.is_there(), supply.delivered_at()),
            Password::Typed(typed) => (typed.is_some(), None),
        };
        let cannot = if self.refused {
            Some(CannotRepeat::Refused(WHAT))
        } else {
            (!is_there).then_some(CannotRepeat::Gone(WHAT))
        };
        Outlook {
            what: WHAT,
            cannot,
            until: None,
            source,
        }
    }

    fn explain(&self, failure: Failure) -> Error {
        let hint = (is_refusal(&failure) && !failure.is_source_refused()).then(|| {
            let mount = if failure.status() == Some(403) {
                format!(
                    "; or there is no {} mount at auth/{} (--auth-mount, VAULTEXEC_AUTH_MOUNT)",
                    self.method, self.mount
                )
            } else {
                String::new()
            };
            format!(
                "the user or the password is wrong, or the user is locked out: after five failed logins the server answers \
                 \"permission denied\" for some minutes{mount}. It is not tried again"
            )
        });
        ask::explain(self.method, &self.mount, failure, hint)
    }
}

fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.status(), Some(400 | 403)) && failure.is_from_api()
}

/// A name may hold what has a meaning in a path.
fn path(mount: &str, username: &str) -> String {
    let username = utf8_percent_encode(username, PLAIN);
    format!("auth/{mount}/login/{username}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_the_path() {
        for (name, written) in [
            ("ann.o-x_y~z@corp", "ann.o-x_y~z@corp"),
            ("CORP\\ann", "CORP%5Cann"),
            ("a b?c#d%e/f", "a%20b%3Fc%23d%25e%2Ff"),
            ("änn", "%C3%A4nn"),
        ] {
            assert_eq!(path("ldap", name), format!("auth/ldap/login/{written}"));
        }
    }
}
