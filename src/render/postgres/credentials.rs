//! A user and a password.

use crate::sensitive::Sensitive;
use crate::vault::{Document, Failure};

/// What a database engine's `data` holds.
#[derive(Debug)]
pub struct Credentials {
    /// The role's name in the database.
    pub username: String,
    /// Its password.
    pub password: Sensitive<String>,
}

impl Credentials {
    /// Reads an answer of `database/creds/…` or `database/static-creds/…`.
    ///
    /// # Errors
    /// [`Failure::Malformed`], which names the field.
    pub fn read(document: &Document) -> Result<Self, Failure> {
        Ok(Self {
            username: document.text("data.username")?.to_owned(),
            password: document.secret("data.password")?,
        })
    }
}
