//! What a login needs, by where it is: holds no secret.

use super::source::Source;

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
    /// Whether reading it all may take as long as somebody else likes.
    #[must_use]
    pub fn may_block(&self) -> bool {
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

/// The path that a wrapping token must have been made at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreationPath {
    /// This one.
    Exactly(String),
    /// `auth/<mount>/role/<any role>/secret-id`.
    AnyRoleOf {
        /// The auth mount.
        mount: String,
    },
}

impl CreationPath {
    /// Whether a token made at `path` may be opened.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted.trim_matches('/') == path.trim_matches('/'),
            Self::AnyRoleOf { mount } => path
                .strip_prefix("auth/")
                .and_then(|rest| rest.strip_prefix(mount.as_str()))
                .and_then(|rest| rest.strip_prefix("/role/"))
                .and_then(|rest| rest.strip_suffix("/secret-id"))
                .is_some_and(|role| !role.is_empty() && !role.contains('/')),
        }
    }
}

impl std::fmt::Display for CreationPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(path) => formatter.write_str(path),
            Self::AnyRoleOf { mount } => write!(formatter, "auth/{mount}/role/<role>/secret-id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_id_of_the_mount_is_opened() {
        let path = CreationPath::AnyRoleOf {
            mount: "approle".to_owned(),
        };
        assert!(path.allows("auth/approle/role/myapp/secret-id"));
        for wrong in [
            "sys/wrapping/wrap",
            "auth/approle/role/secret-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/a/b/secret-id",
            "auth/approle2/role/myapp/secret-id",
            "auth/approle/role/myapp/role-id",
            "x/auth/approle/role/myapp/secret-id",
            "auth/approle/role/myapp/secret-id/lookup",
            "",
        ] {
            assert!(!path.allows(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_path_that_was_given_is_the_only_one() {
        let path = CreationPath::Exactly("auth/x/role/a/secret-id".to_owned());
        assert!(path.allows("auth/x/role/a/secret-id"));
        assert!(path.allows("auth/x/role/a/secret-id/"));
        assert!(!path.allows("auth/x/role/b/secret-id"));
    }
}
