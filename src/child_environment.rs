//! The child's environment: the caller's, without what is not the child's business, and with what
//! was made for it. Pure.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use crate::sensitive::Sensitive;

/// The caller's secrets, as the part of the name after `VAULT_` or `BAO_`.
const SECRETS: [&str; 8] = [
    "TOKEN",
    "TOKEN_FILE",
    "ROLE_ID",
    "ROLE_ID_FILE",
    "SECRET_ID",
    "SECRET_ID_FILE",
    "WRAPPED_SECRET_ID",
    "WRAPPED_SECRET_ID_FILE",
];

/// Which of the caller's variables the child sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names, or prefixes that end in `*`, of variables that are kept in any case.
    pub keep: Vec<String>,
    /// Whether nothing else is kept.
    pub clear: bool,
}

/// Whether a variable holds, or leads to, a secret of the login.
#[must_use]
pub fn is_secret(name: &[u8]) -> bool {
    let name = name
        .strip_prefix(b"VAULT_")
        .or_else(|| name.strip_prefix(b"BAO_"));
    name.is_some_and(|name| SECRETS.iter().any(|secret| secret.as_bytes() == name))
}

/// Builds the environment. What is `set` wins over what the caller had; what is kept by name wins
/// over what would be dropped. Order and bytes of all else stay.
#[must_use]
pub fn build(
    inherited: Vec<(OsString, OsString)>,
    rules: &Rules,
    drop: &[&str],
    set: &[(&str, Sensitive<String>)],
) -> Vec<(OsString, OsString)> {
    let passes = |name: &OsString| {
        let bytes = name.as_bytes();
        if set.iter().any(|(ours, _)| ours.as_bytes() == bytes) {
            return false;
        }
        if rules.keep.iter().any(|pattern| matches(pattern, bytes)) {
            return true;
        }
        !rules.clear && !is_secret(bytes) && !drop.iter().any(|dropped| dropped.as_bytes() == bytes)
    };
    let ours = set
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value.expose())));
    inherited
        .into_iter()
        .filter(|(name, _)| passes(name))
        .chain(ours)
        .collect()
}

fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => pattern.as_bytes() == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn built(inherited: &[(&str, &str)], rules: &Rules) -> Vec<String> {
        let inherited = inherited
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect();
        let set = [("PGUSER", Sensitive::from("u"))];
        build(inherited, rules, &["PGSERVICE"], &set)
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect()
    }

    #[test]
    fn secrets_and_what_misleads_are_dropped_in_both_spellings() {
        for prefix in ["VAULT_", "BAO_"] {
            for secret in SECRETS {
                let name = format!("{prefix}{secret}");
                let all = built(
                    &[
                        (&name, "x"),
                        ("PGSERVICE", "s"),
                        ("PGUSER", "old"),
                        ("HOME", "/h"),
                    ],
                    &Rules::default(),
                );
                assert_eq!(all, ["HOME=/h", "PGUSER=u"], "{name}");
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_kept_and_ours_still_wins() {
        let rules = Rules {
            keep: vec!["VAULT_ROLE_ID".into(), "PG*".into()],
            clear: false,
        };
        let all = built(
            &[
                ("VAULT_ROLE_ID", "r"),
                ("PGSERVICE", "s"),
                ("PGUSER", "old"),
                ("VAULT_TOKEN", "t"),
            ],
            &rules,
        );
        assert_eq!(all, ["VAULT_ROLE_ID=r", "PGSERVICE=s", "PGUSER=u"]);
    }

    #[test]
    fn a_cleared_environment_holds_ours_and_what_is_kept() {
        let rules = Rules {
            keep: vec!["LC_*".into()],
            clear: true,
        };
        assert_eq!(
            built(&[("HOME", "/h"), ("LC_ALL", "C")], &rules),
            ["LC_ALL=C", "PGUSER=u"]
        );
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        let odd = OsString::from_vec(vec![b'A', 0xff]);
        let all = build(
            vec![(odd.clone(), odd.clone())],
            &Rules::default(),
            &[],
            &[],
        );
        assert_eq!(all, [(odd.clone(), odd)]);
    }
}
