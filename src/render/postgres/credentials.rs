//! A user and a password.

use crate::sensitive::Sensitive;

/// What a database lets somebody in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The role's name in the database.
    pub username: String,
    /// Its password.
    pub password: Sensitive<String>,
}
