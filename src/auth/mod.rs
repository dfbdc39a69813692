//! Logging in: a file a method, each from whatever it takes to a [`Session`].

mod approle;
mod creation_path;
mod session;
mod settings;
mod source;
mod wrapping;

pub use approle::AppRole;
pub use creation_path::CreationPath;
pub use session::{CannotRepeat, Session};
pub use settings::{AppRoleSettings, AuthSettings, SecretIdSettings};
pub use source::Source;

use crate::error::Error;
use crate::sys::clock::Moment;
use crate::vault::{Client, Patience};

/// A method of logging in, with what it needs to do so again.
#[derive(Debug)]
pub enum Method {
    /// A role id, and perhaps a secret id that may come response-wrapped.
    AppRole(AppRole),
}

impl Method {
    /// Logs in. Every call may spend a use of what it logs in with.
    ///
    /// # Errors
    /// [`Error`]; a login whose answer was lost is not repeated.
    pub async fn login(
        &mut self,
        client: &Client,
        patience: &Patience<'_>,
    ) -> Result<Session, Error> {
        match self {
            Self::AppRole(method) => method.login(client, patience).await,
        }
    }

    /// Whether another login can succeed, as far as is known.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn can_repeat(&self) -> Result<(), CannotRepeat> {
        match self {
            Self::AppRole(method) => method.can_repeat(),
        }
    }

    /// When what it logs in with ends at the latest, as far as is known.
    #[must_use]
    pub const fn expiry(&self) -> Option<Moment> {
        match self {
            Self::AppRole(method) => method.expiry(),
        }
    }
}
