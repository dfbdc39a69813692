//! Where a wrapping token must have been made.

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
