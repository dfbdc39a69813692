//! The child's environment: the caller's, without what is not the child's business, and with what
//! was made for it. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::sensitive::Sensitive;

/// What of `VAULT_` and `BAO_` is known to be harmless, as the part of the name after that: where
/// the server is, what is trusted, how long is waited.
const HARMLESS: [&str; 16] = [
    "ADDR",
    "AGENT_ADDR",
    "NAMESPACE",
    "CACERT",
    "CACERT_BYTES",
    "CAPATH",
    "TLS_SERVER_NAME",
    "SKIP_VERIFY",
    "CLIENT_TIMEOUT",
    "MAX_RETRIES",
    "RATE_LIMIT",
    "DISABLE_REDIRECTS",
    "SRV_LOOKUP",
    "FORMAT",
    "LOG_LEVEL",
    "CLI_NO_COLOR",
];

/// What of `VAULTEXEC_` holds, or leads to, a secret.
const SECRETS: [&str; 8] = [
    "DATABASE_URL",
    "JWT",
    "JWT_FILE",
    "PASSWORD",
    "PASSWORD_FILE",
    "TOKEN",
    "TOKEN_FILE",
    "USERNAME",
];

/// What tells of the credentials of a run, and in a run within it would tell of another's.
const OF_A_RUN: [&str; 2] = ["VAULTEXEC_LEASE_ID", "VAULTEXEC_EXPIRES_AT"];

/// Which of the caller's variables the child sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names, or prefixes that end in `*`, of variables that are kept in any case.
    pub keep: Vec<String>,
    /// Whether nothing else is kept.
    pub clear: bool,
}

impl Rules {
    /// Whether this variable is kept in any case.
    #[must_use]
    pub fn keeps(&self, name: &OsStr) -> bool {
        let mut patterns = self.keep.iter();
        patterns.any(|pattern| matches(pattern, name.as_bytes()))
    }
}

/// Whether a variable may hold, or lead to, a secret of the login.
#[must_use]
pub fn is_secret(name: &[u8]) -> bool {
    let among = |names: &[&str], rest: &[u8]| names.iter().any(|known| known.as_bytes() == rest);
    if let Some(rest) = name.strip_prefix(b"VAULTEXEC_") {
        return among(&SECRETS, rest);
    }
    let rest = name
        .strip_prefix(b"VAULT_")
        .or_else(|| name.strip_prefix(b"BAO_"));
    rest.is_some_and(|rest| !among(&HARMLESS, rest))
}

/// Builds the environment. What is `set` wins over what the caller had; what is kept by name wins
/// over what would be dropped. Order and bytes of all else stay, and of what is set to the value that
/// it has.
#[must_use]
pub fn build(
    inherited: Vec<(OsString, OsString)>,
    rules: &Rules,
    drop: &[&str],
    set: &[(String, Sensitive<String>)],
) -> Vec<(OsString, OsString)> {
    let mut in_place = Vec::new();
    let mut passes = |(name, value): &(OsString, OsString)| {
        let bytes = name.as_bytes();
        if let Some((ours, wanted)) = set.iter().find(|(ours, _)| ours.as_bytes() == bytes) {
            let stays = wanted.expose().as_bytes() == value.as_bytes() && !in_place.contains(&ours);
            if stays {
                in_place.push(ours);
            }
            return stays;
        }
        if OF_A_RUN.iter().any(|dropped| dropped.as_bytes() == bytes) {
            return false;
        }
        if rules.keeps(name) {
            return true;
        }
        !rules.clear && !is_secret(bytes) && !drop.iter().any(|dropped| dropped.as_bytes() == bytes)
    };
    let mut all: Vec<_> = inherited.into_iter().filter(|one| passes(one)).collect();
    let ours = set.iter().filter(|(name, _)| !in_place.contains(&name));
    all.extend(ours.map(|(name, value)| (OsString::from(name), OsString::from(value.expose()))));
    all
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
        let set = [("PGUSER".to_owned(), Sensitive::from("u"))];
        build(inherited, rules, &["PGSERVICE"], &set)
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect()
    }

    #[test]
    fn of_the_login_only_what_is_known_to_be_harmless_passes() {
        let pass = |name: &str| {
            let all = built(&[(name, "x")], &Rules::default());
            all.contains(&format!("{name}=x"))
        };
        for prefix in ["VAULT_", "BAO_"] {
            for name in HARMLESS {
                assert!(pass(&format!("{prefix}{name}")), "{name}");
            }
            for name in [
                "TOKEN",
                "ROLE_ID",
                "SECRET_ID_FILE",
                "HEADERS",
                "MFA",
                "CLIENT_KEY",
                "CLIENT_KEY_BYTES",
                "LICENSE",
                "PROXY_ADDR",
                "UNKNOWN",
                "ADDRESS",
                "",
            ] {
                assert!(!pass(&format!("{prefix}{name}")), "{name}");
            }
        }
        for name in SECRETS {
            assert!(!pass(&format!("VAULTEXEC_{name}")), "{name}");
        }
        for name in [
            "VAULTEXEC_CREDS",
            "VAULTEXEC_LOG_LEVEL",
            "VAULT",
            "MY_VAULT_TOKEN",
            "HOME",
        ] {
            assert!(pass(name), "{name}");
        }
        for name in ["PGSERVICE", "PGUSER"] {
            assert!(!pass(name), "{name}");
        }
    }

    #[test]
    fn what_has_its_value_already_stays_where_it_is() {
        let all = built(
            &[("PGUSER", "u"), ("HOME", "/h"), ("PGUSER", "old")],
            &Rules::default(),
        );
        assert_eq!(all, ["PGUSER=u", "HOME=/h"]);
        let all = built(
            &[("PGUSER", "old"), ("HOME", "/h"), ("PGUSER", "u")],
            &Rules::default(),
        );
        assert_eq!(all, ["HOME=/h", "PGUSER=u"]);
    }

    #[test]
    fn an_outer_runs_lease_is_never_told_of() {
        let rules = Rules {
            keep: vec!["VAULTEXEC_*".into()],
            clear: false,
        };
        let all = built(
            &[
                ("VAULTEXEC_LEASE_ID", "outer"),
                ("VAULTEXEC_EXPIRES_AT", "outer"),
                ("VAULTEXEC_DATABASE_URL", "u"),
            ],
            &rules,
        );
        assert_eq!(all, ["VAULTEXEC_DATABASE_URL=u", "PGUSER=u"]);
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
