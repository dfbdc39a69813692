//! The forms that values have, whatever setting they are for. Pure.

use std::ffi::OsString;
use std::time::Duration;

use super::nearest::nearest;
use super::row::{Form, Setting};
use super::table::ALL;
use crate::error::Problem;
use crate::sys::signal::Signal;
use crate::vault::asked;

/// The prefix of every variable that only vaultexec reads.
const OURS: &str = "VAULTEXEC_";

/// Set by an outer vaultexec for its command, which may be vaultexec again.
const OF_AN_OUTER_RUN: [&str; 2] = ["VAULTEXEC_LEASE_ID", "VAULTEXEC_EXPIRES_AT"];

/// Variables that begin like ours and that no row knows.
pub fn unknown_variables(all: &[(OsString, OsString)]) -> Vec<Problem> {
    let known: Vec<&str> = ALL.iter().filter_map(|setting| setting.variable).collect();
    let unknown = all.iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        let rest = name.strip_prefix(OURS)?;
        if value.is_empty() || known.contains(&name) || OF_AN_OUTER_RUN.contains(&name) {
            return None;
        }
        // Without the prefix, which would make any two look alike.
        let ours = known.iter().filter_map(|name| name.strip_prefix(OURS));
        let message = match nearest(rest, ours) {
            Some(meant) => format!("there is no such variable; did you mean {OURS}{meant}?"),
            None => "there is no such variable; --help has them all".to_owned(),
        };
        Some(Problem::new(name, message))
    });
    unknown.collect()
}

/// As Go's `strconv.ParseBool`, which the official client uses.
#[must_use]
pub fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A duration of at least `least`: `90`, `90s`, `1m30s`, `500ms`; a bare number is seconds, as for the
/// official client.
pub fn duration(text: &str, least: Duration) -> Result<Duration, String> {
    let parsed = match text.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    // A longer one would only overflow the sums made with it.
    match parsed.filter(|parsed| *parsed <= Duration::from_secs(u32::MAX.into())) {
        None => Err(format!(
            "{text:?} is not a duration, such as 30s, 5m, 1h30m or a number of seconds"
        )),
        Some(parsed) if parsed < least => {
            let least = humantime::format_duration(least);
            Err(format!("{text:?} is too short: at least {least} is needed"))
        }
        Some(parsed) => Ok(parsed),
    }
}

/// A whole number.
pub fn number(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a whole number"))
}

/// A path below `/v1/`, without slashes at its ends.
pub fn api_path(text: &str) -> Result<String, String> {
    if text.trim() != text {
        return Err(format!("{text:?} has a blank at its end or its beginning"));
    }
    if text.contains(|character: char| character.is_whitespace() && !character.is_control()) {
        return Err(format!(
            "{text:?} has a blank in it, and behind that no KEY=VALUE"
        ));
    }
    let path = text.trim_matches('/');
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let sound = !path.is_empty()
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path
            .chars()
            .any(|character| character.is_control() || matches!(character, '?' | '#' | '\\' | '%'));
    if sound {
        Ok(path.to_owned())
    } else {
        Err(format!(
            "{text:?} is not a path of the API, as in database/creds/app-role"
        ))
    }
}

/// A path of credentials: an engine's mount, a kind and a role.
///
/// Behind it may stand what is sent to it, as after `vault write`.
pub fn creds_path(text: &str) -> Result<String, String> {
    let (path, fields) = match text.split_once(' ') {
        Some((path, fields)) if fields.contains('=') => (path, fields),
        _ => (text, ""),
    };
    let path = read_path(path)?;
    let mut asked = path;
    for word in fields.split_whitespace() {
        if asked::field(word).is_none() || word.contains(char::is_control) {
            return Err(format!(
                "{word:?} is not KEY=VALUE, as what is sent to the path is written behind it"
            ));
        }
        asked = format!("{asked} {word}");
    }
    Ok(asked)
}

fn read_path(text: &str) -> Result<String, String> {
    let path = api_path(text)?;
    let parts: Vec<&str> = path.split('/').collect();
    let (kind, mount) = match parts.as_slice() {
        [] | [_] => {
            return Err(format!(
                "{path:?} has no engine: its mount comes first, as in database/creds/{path}"
            ));
        }
        [mount @ .., kind, _] => (*kind, mount.join("/")),
    };
    let last = parts.last().copied().unwrap_or_default();
    if matches!(last, "creds" | "static-creds") {
        return Err(format!("{path:?} names no role, as in {path}/app-role"));
    }
    // An engine for other things may have a folder of that name.
    let is_database = !mount.is_empty()
        && !parts.contains(&"data")
        && !["kv", "secret"]
            .iter()
            .any(|other| mount.starts_with(other));
    let meant = match kind {
        "roles" => "creds",
        "static-roles" => "static-creds",
        _ => return Ok(path),
    };
    if is_database {
        return Err(format!(
            "{path:?} is a role's definition; its credentials are at {mount}/{meant}/{last}"
        ));
    }
    Ok(path)
}

/// A signal by its name.
pub fn signal(name: &str) -> Result<Signal, String> {
    Signal::parse(name)
        .ok_or_else(|| format!("{name:?} is not a signal, such as TERM, HUP or USR1"))
}

/// A signal that can end a program.
pub fn stop_signal(name: &str) -> Result<Signal, String> {
    let signal = signal(name)?;
    let ends = !matches!(
        signal,
        Signal::STOP
            | Signal::TSTP
            | Signal::TTIN
            | Signal::TTOU
            | Signal::CONT
            | Signal::CHLD
            | Signal::URG
            | Signal::WINCH
    );
    if ends {
        Ok(signal)
    } else {
        Err(format!(
            "{signal} does not end a program; TERM, INT, QUIT or HUP do"
        ))
    }
}

/// The name of a variable, or a prefix of names that ends in `*`.
pub fn name_or_prefix(text: &str) -> Result<String, String> {
    let sound = |character: char| !character.is_whitespace() && !"=*".contains(character);
    if text.strip_suffix('*').unwrap_or(text).chars().all(sound) {
        return Ok(text.to_owned());
    }
    // What stands behind the sign may be a secret.
    let name = text.split('=').next().unwrap_or_default();
    Err(format!(
        "{name:?} is neither NAME nor PREFIX*, separated by commas"
    ))
}

/// The message for a value that is none of a row's choices.
#[must_use]
pub fn no_choice(text: &str, setting: &Setting) -> String {
    let Form::Choice(_, choices) = setting.form else {
        return format!("{text:?} cannot be given");
    };
    let message = match choices {
        [only] => format!("{text:?} is not {only}, the only one there is"),
        all => format!("{text:?} is none of {}", all.join(", ")),
    };
    match nearest(text, choices.iter().copied()) {
        Some(meant) => format!("{message}; did you mean {meant}?"),
        None => message,
    }
}

/// Whether there is a password in a URL, as its user's or as a parameter.
#[must_use]
pub fn holds_password(url: &str) -> bool {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    let in_query = query.split('&').any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        name == "password" && !value.is_empty()
    });
    in_query
        || user
            .split_once(':')
            .is_some_and(|(_, word)| !word.is_empty())
}

/// A URL without what may be a password in it, for people to see.
#[must_use]
pub fn without_password(url: &str) -> String {
    if !holds_password(url) {
        return url.to_owned();
    }
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let query = if query.is_empty() { "" } else { "?REDACTED" };
    let scheme = if scheme.is_empty() {
        String::new()
    } else {
        format!("{scheme}://")
    };
    format!("{scheme}REDACTED@{place}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_official_client_does() {
        for (text, seconds) in [
            ("90", 90.0),
            ("90s", 90.0),
            ("1m30s", 90.0),
            ("1h", 3600.0),
            ("500ms", 0.5),
            ("0", 0.0),
        ] {
            let read = duration(text, Duration::ZERO);
            assert_eq!(read, Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "-1", "abc", "1x", "99999999999", "1e3", "NaN"] {
            let message = duration(text, Duration::ZERO).expect_err(text);
            assert!(message.contains("is not a duration"), "{message}");
        }
        let message = duration("1s", Duration::from_secs(5)).expect_err("too short");
        assert_eq!(message, "\"1s\" is too short: at least 5s is needed");
    }

    #[test]
    fn paths_that_would_leave_the_api_are_refused() {
        for path in [
            "../sys/seal",
            "database//creds",
            "a?b",
            "a#b",
            "a%2e",
            "/",
            "a\nb",
        ] {
            let message = api_path(path).expect_err(path);
            assert!(message.contains("not a path of the API"), "{message}");
        }
        let tidied = api_path("/v1/database/creds/x/");
        assert_eq!(tidied.as_deref(), Ok("database/creds/x"));
    }

    #[test]
    fn a_path_that_cannot_be_one_of_credentials_is_refused_with_the_right_one() {
        for (path, needle) in [
            ("app-role", "as in database/creds/app-role"),
            ("database/creds/app ", "a blank at its end"),
            (" database/creds/app", "a blank at its end or its beginning"),
            ("database/creds/", "names no role"),
            ("database/creds/my role", "a blank in it"),
            ("..\u{2028}sys/seal", "a blank in it"),
            (".. sys/seal x=1", "not a path of the API"),
            ("database/roles/app", "are at database/creds/app"),
            (
                "team/db/static-roles/app",
                "are at team/db/static-creds/app",
            ),
        ] {
            let message = creds_path(path).expect_err(path);
            assert!(message.contains(needle), "{path}: {message}");
        }
        for path in [
            "database/creds/app",
            "database/static-creds/app",
            "secret/data/roles/app",
            "kv/roles/app",
            "roles/app",
        ] {
            assert_eq!(creds_path(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn names_to_keep_are_names_or_prefixes() {
        for wrong in ["A B", "FOO=1", "P*X", "**", "*X", "A\tB", "="] {
            let message = name_or_prefix(wrong).expect_err(wrong);
            assert!(message.contains("neither NAME nor PREFIX*"), "{message}");
            assert!(!message.contains('1'), "a value: {message}");
        }
        for right in ["A", "LC_*", "*", "b.c"] {
            assert_eq!(name_or_prefix(right).as_deref(), Ok(right));
        }
    }

    #[test]
    fn a_password_in_a_url_is_found_and_not_shown() {
        for url in [
            "postgresql://u:hunter2@h/d",
            "postgresql://u:hunter2@h/d?sslmode=require",
            "postgresql://h/d?password=hunter2",
            "postgresql://h/d?a=b&p%61ssword=hunter2",
            "http://u:hunter2@proxy:3128",
            "u:hunter2@proxy",
        ] {
            assert!(holds_password(url), "{url}");
            assert!(!without_password(url).contains("hunter2"), "{url}");
        }
        for url in [
            "postgresql://u@h:5432/d?sslmode=require",
            "http://proxy:3128",
            "postgresql://u:@h",
        ] {
            assert!(!holds_password(url), "{url}");
            assert_eq!(without_password(url), url);
        }
    }

    #[test]
    fn a_variable_that_begins_like_ours_and_is_none_is_told_with_the_nearest() {
        let all = [
            ("VAULTEXEC_CRED", "x"),
            ("VAULTEXEC_CREDS", "x"),
            ("VAULTEXEC_LEASE_ID", "x"),
            ("VAULTEXEC_EXPIRES_AT", "x"),
            ("VAULTEXEC_STOP_TIMOUT", "x"),
            ("VAULTEXEC_QQ", "x"),
            ("VAULTEXEC_EMPTY", ""),
            ("VAULTEXEC", "x"),
        ];
        let all = all.map(|(name, value)| (name.into(), value.into()));
        let reported: Vec<_> = unknown_variables(&all)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            reported,
            [
                "VAULTEXEC_CRED: there is no such variable; did you mean VAULTEXEC_CREDS?",
                "VAULTEXEC_STOP_TIMOUT: there is no such variable; did you mean VAULTEXEC_STOP_TIMEOUT?",
                "VAULTEXEC_QQ: there is no such variable; --help has them all",
            ]
        );
    }
}
