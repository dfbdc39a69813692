//! What the server means, where its status does not say it: every error of a backend has the status
//! 400, and some of its own have 500. All that is read from its words is read here, as OpenBao 2.7
//! says it; Vault's words are the same where its documentation shows them.

use super::failure::Failure;

impl Failure {
    /// Whether the API said something like this.
    fn says(&self, words: &str) -> bool {
        match self {
            Self::Refused { errors, .. } => errors.iter().any(|error| error.contains(words)),
            _ => false,
        }
    }

    fn says_with(&self, status: u16, words: &[&str]) -> bool {
        self.status() == Some(status) && words.iter().any(|words| self.says(words))
    }

    /// Whether a policy forbids the request. The same status for a token that the server does not
    /// know has other words: Vault's tell of two errors, OpenBao's of none.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        self.says_with(403, &["1 error occurred"])
    }

    /// Whether the token is not known, or not any more.
    #[must_use]
    pub fn is_token_gone(&self) -> bool {
        self.status() == Some(403) && self.is_from_api() && !self.is_policy()
    }

    /// Whether the role id or the secret id is wrong, has expired or is used up.
    #[must_use]
    pub fn is_login_refused(&self) -> bool {
        self.says_with(400, &["invalid role", "invalid secret"])
    }

    /// Whether the caller's address is not one that may log in.
    #[must_use]
    pub fn is_source_refused(&self) -> bool {
        self.says("unauthorized through CIDR restrictions") || self.says("source address")
    }

    /// Whether there is no such namespace.
    #[must_use]
    pub fn is_namespace_unknown(&self) -> bool {
        self.says_with(404, &["namespace"])
    }

    /// Whether the database engine has no role of that name.
    #[must_use]
    pub fn is_role_unknown(&self) -> bool {
        self.says_with(400, &["unknown role"])
    }

    /// Whether what was to be renewed is past its max_ttl. The server calls that an error of its own
    /// (500), but it will not pass.
    #[must_use]
    pub fn is_past_max_ttl(&self) -> bool {
        self.says("past the max TTL")
    }

    /// Whether the lease is gone, or what it stood for in the database (`undefined_object`).
    #[must_use]
    pub fn is_lease_gone(&self) -> bool {
        self.says_with(400, &["lease not found", "invalid lease", "SQLSTATE 42704"])
    }

    /// Whether the lease can never be renewed.
    #[must_use]
    pub fn is_lease_not_renewable(&self) -> bool {
        self.says_with(400, &["not renewable"]) && !self.says("not found")
    }

    /// Whether the token can never be renewed.
    #[must_use]
    pub fn is_token_not_renewable(&self) -> bool {
        self.says_with(400, &["cannot be renewed"]) || self.is_lease_not_renewable()
    }

    /// Whether the server is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.says_with(503, &["sealed"])
    }
}

/// An error as a person wants to read it: without the count that stands before a list of errors.
pub(super) fn plain(error: &str) -> String {
    let counted = |text: &str| {
        let (count, rest) = text.split_once(' ')?;
        let list = rest
            .strip_prefix("error occurred: * ")
            .or_else(|| rest.strip_prefix("errors occurred: * "))?;
        count.parse::<u32>().ok()?;
        Some(list.replace(" * ", "; "))
    };
    counted(error).unwrap_or_else(|| error.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_errors_are_read_as_their_errors() {
        for (words, expected) in [
            ("1 error occurred: * permission denied", "permission denied"),
            (
                "2 errors occurred: * permission denied * invalid token",
                "permission denied; invalid token",
            ),
            ("permission denied", "permission denied"),
            ("no error occurred: * x", "no error occurred: * x"),
            ("", ""),
        ] {
            assert_eq!(plain(words), expected);
        }
    }

    #[test]
    fn a_policy_is_told_from_a_token_that_is_gone_and_both_from_a_gateway() {
        let refused = |words: &str, from_api| Failure::Refused {
            status: 403,
            errors: vec![words.to_owned()],
            from_api,
            retry_after: None,
        };
        let policy = refused("1 error occurred: * permission denied", true);
        assert!(policy.is_policy() && !policy.is_token_gone());
        for words in [
            "permission denied",
            "2 errors occurred: * permission denied * invalid token",
        ] {
            let gone = refused(words, true);
            assert!(gone.is_token_gone() && !gone.is_policy(), "{words}");
        }
        let gateway = refused("", false);
        assert!(!gateway.is_policy() && !gateway.is_token_gone());
    }
}
