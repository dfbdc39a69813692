//! Logging in: a file a method, each from whatever it takes to a token.
//!
//! What a login reads from is read again for each login, so that a value that was delivered anew is
//! used.

mod approle;
mod ask;
mod cert;
mod claims;
mod creation_path;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod github;
mod jwt;
mod outlook;
mod password;
mod settings;
mod source;
mod supply;
mod token;
mod wrapping;

pub use approle::AppRole;
pub use cert::Cert;
pub use creation_path::CreationPath;
pub use file::{open_secret, refuse_weak_permissions};
pub use github::{BEARER, GitHubSettings, URL};
pub use jwt::{JwtLogin, JwtMethod, JwtSettings, JwtSource};
pub use outlook::{CannotRepeat, Outlook};
pub use password::{PasswordLogin, PasswordSettings};
pub use settings::{AppRoleSettings, AuthSettings, SecretIdSettings};
pub use source::{Secret, Source};
pub use token::HandedIn;

use crate::error::Error;
use crate::ledger::NewSession;
use crate::vault::{Client, Retry, WrappingInfo};

/// What is known of a login before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Where: `auth/approle`.
    pub path: String,
    /// What it would take away for good, in words.
    pub spends: Option<&'static str>,
    /// Whether a wrapping token would be opened, after which it is of no use to anybody.
    pub wrapped: bool,
}

impl Preview {
    /// A login that takes nothing away.
    fn at(mount: &str) -> Self {
        Self {
            path: format!("auth/{mount}"),
            spends: None,
            wrapped: false,
        }
    }
}

/// A method of logging in, with what it needs to do so, and to do it again.
#[derive(Debug)]
pub enum Login {
    /// A role id, and perhaps a secret id that may come response-wrapped.
    AppRole(Box<AppRole>),
    /// A token that somebody else has.
    Token(HandedIn),
    /// A JWT, of any issuer or of a Kubernetes cluster.
    Jwt(Box<JwtLogin>),
    /// The client certificate of the connection.
    Cert(Cert),
    /// A user's name and password.
    Password(Box<PasswordLogin>),
}

impl Login {
    /// Logs in. Every call may spend a use of what it logs in with.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn log_in(&mut self, client: &Client, retry: &Retry) -> Result<NewSession, Error> {
        match self {
            Self::AppRole(method) => method.log_in(client, retry).await,
            Self::Token(method) => method.log_in(client, retry).await,
            Self::Jwt(method) => method.log_in(client, retry).await,
            Self::Cert(method) => method.log_in(client, retry).await,
            Self::Password(method) => method.log_in(client, retry).await,
        }
    }

    /// What is known of a login before it is made.
    #[must_use]
    pub fn preview(&self) -> Preview {
        match self {
            Self::AppRole(method) => method.preview(),
            Self::Token(_) => Preview::at("token"),
            Self::Jwt(method) => Preview::at(method.mount()),
            Self::Cert(method) => Preview::at(&method.mount),
            Self::Password(method) => Preview::at(method.mount()),
        }
    }

    /// Looks the wrapping token up, if there is one, without opening it.
    ///
    /// # Errors
    /// Why it would not be opened.
    pub async fn look_up(
        &self,
        client: &Client,
        retry: &Retry,
    ) -> Result<Option<WrappingInfo>, Error> {
        match self {
            Self::AppRole(method) => method.look_up(client, retry).await,
            Self::Token(_) | Self::Jwt(_) | Self::Cert(_) | Self::Password(_) => Ok(None),
        }
    }

    /// Whether another login can succeed, as far as is known.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        match self {
            Self::AppRole(method) => method.outlook(),
            Self::Token(method) => method.outlook(),
            Self::Jwt(method) => method.outlook(),
            Self::Cert(_) => Outlook::default(),
            Self::Password(method) => method.outlook(),
        }
    }
}
