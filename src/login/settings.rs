//! What a login needs, by where it is: holds no secret.

use super::creation_path::CreationPath;
use super::source::Secret;
use super::source::Source;
use super::{
    AppRole, Cert, HandedIn, JwtLogin, JwtSettings, JwtSource, Login, PasswordLogin,
    PasswordSettings,
};
use crate::error::Problem;

/// How to log in; a variant a method.
#[derive(Clone, Debug)]
pub enum AuthSettings {
    /// AppRole.
    AppRole(AppRoleSettings),
    /// A token that is there already.
    Token(Source),
    /// A JWT, of any issuer or of a Kubernetes cluster.
    Jwt(Box<JwtSettings>),
    /// The client certificate of the connection.
    Cert(Cert),
    /// A user's name and password.
    Password(PasswordSettings),
}

impl AuthSettings {
    /// Whether reading what is needed may take as long as somebody else likes.
    #[must_use]
    pub fn may_block(&self) -> bool {
        match self {
            Self::AppRole(settings) => settings.may_block(),
            Self::Token(source) => source.may_block(),
            Self::Jwt(settings) => match &settings.jwt {
                JwtSource::Given(source) => source.may_block(),
                JwtSource::GitHub(_) => false,
            },
            Self::Cert(_) => false,
            Self::Password(settings) => settings.password.as_ref().is_some_and(Source::may_block),
        }
    }

    /// Leaves every file where it is.
    #[must_use]
    pub fn keeping_files(&self) -> Self {
        let mut kept = self.clone();
        if let Self::AppRole(settings) = &mut kept {
            settings.remove_file = false;
        }
        kept
    }

    /// The question whose answer is needed, if there is one.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        match self {
            Self::Password(settings) => settings.question(),
            _ => None,
        }
    }

    /// Reads what is needed from where it is. `typed` is the answer to the question, if there was one;
    /// `again` says whether there may be another login.
    ///
    /// # Errors
    /// Everything that is wrong with it, together.
    pub fn read(&self, typed: Option<Secret>, again: bool) -> Result<Login, Vec<Problem>> {
        match self {
            Self::AppRole(settings) => {
                AppRole::read(settings, again).map(|method| Login::AppRole(Box::new(method)))
            }
            Self::Token(source) => one(HandedIn::read(source).map(Login::Token)),
            Self::Jwt(settings) => {
                let read = JwtLogin::read(settings, again);
                one(read.map(|method| Login::Jwt(Box::new(method))))
            }
            Self::Cert(method) => Ok(Login::Cert(method.clone())),
            Self::Password(settings) => {
                let read = PasswordLogin::read(settings, typed, again);
                one(read.map(|method| Login::Password(Box::new(method))))
            }
        }
    }
}

fn one<T>(read: Result<T, Problem>) -> Result<T, Vec<Problem>> {
    read.map_err(|problem| vec![problem])
}

/// Where to find what AppRole needs. Holds no secret.
#[derive(Clone, Debug)]
pub struct AppRoleSettings {
    /// The auth mount, `approle` unless told otherwise.
    pub mount: String,
    /// Where the role id is.
    pub role_id: Source,
    /// Where the secret id is.
    pub secret_id: SecretIdSettings,
    /// Whether the secret id's file is deleted once the login succeeded.
    pub remove_file: bool,
}

impl AppRoleSettings {
    fn may_block(&self) -> bool {
        let secret_id = self.secret_id.source();
        self.role_id.may_block() || secret_id.is_some_and(Source::may_block)
    }
}

/// Where the secret id is, and in which form.
#[derive(Clone, Debug)]
pub enum SecretIdSettings {
    /// The role needs none.
    None,
    /// As it is.
    Plain(Source),
    /// In a wrapping token.
    Wrapped {
        /// Where the token is.
        source: Source,
        /// Where the token must have been made.
        creation_path: CreationPath,
    },
}

impl SecretIdSettings {
    /// Where it is, in either form.
    #[must_use]
    pub const fn source(&self) -> Option<&Source> {
        match self {
            Self::None => None,
            Self::Plain(source) | Self::Wrapped { source, .. } => Some(source),
        }
    }
}
