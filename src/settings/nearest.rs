//! "Did you mean": the nearest of the names there are.

/// How alike two names have to be, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The name that was probably meant.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let rated = names
        .into_iter()
        .map(|name| (strsim::jaro(word, name), name))
        .filter(|(alike, _)| *alike > ALIKE);
    rated
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mistyped_is_found_and_what_is_like_nothing_is_not() {
        let names = [
            "creds",
            "address",
            "auth",
            "auth-mount",
            "no-revoke",
            "log-level",
        ];
        for (word, meant) in [
            ("cred", Some("creds")),
            ("adress", Some("address")),
            ("addres", Some("address")),
            ("auth-mont", Some("auth-mount")),
            ("loglevel", Some("log-level")),
            ("norevoke", Some("no-revoke")),
            ("nope", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }
}
