//! One setting's value, wherever it came from, and the forms that values have.

use std::cell::RefCell;
use std::ffi::OsString;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::Problem;

/// A value, and the names to call it by when it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// The flag or the variable that it was given by.
    pub setting: String,
}

/// Looks settings up, and collects what is wrong with them.
pub struct Lookup<'a> {
    environment: &'a dyn Environment,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Lookup<'a> {
    pub fn new(environment: &'a dyn Environment) -> Self {
        Self {
            environment,
            problems: RefCell::new(Vec::new()),
        }
    }

    /// Notes a problem; the setting counts as not given.
    pub fn wrong(&self, setting: &str, words: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(Problem::new(setting, words));
    }

    /// Everything that was wrong.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The flag's value, else the variable's. Nothing and the empty text are the same.
    pub fn value(&self, flag: &str, given: Option<&OsString>, variable: &str) -> Option<Value> {
        match given {
            Some(given) => self.text(given, flag.to_owned(), true),
            None => self.variable(variable),
        }
    }

    /// A variable's value. `VAULT_X` may be given as `BAO_X`, which wins.
    pub fn variable(&self, name: &str) -> Option<Value> {
        let name = self.name_in_use(name)?;
        let value = self.environment.variable(&name)?;
        self.text(&value, name, false)
    }

    /// The name under which a variable is set and not empty.
    pub fn name_in_use(&self, name: &str) -> Option<String> {
        let alias = name
            .strip_prefix("VAULT_")
            .map(|rest| format!("BAO_{rest}"));
        let is_set = |name: &String| {
            self.environment
                .variable(name)
                .is_some_and(|value| !value.is_empty())
        };
        alias
            .filter(is_set)
            .or_else(|| Some(name.to_owned()).filter(is_set))
    }

    fn text(&self, value: &OsString, setting: String, by_flag: bool) -> Option<Value> {
        match value.to_str() {
            Some("") => {
                if by_flag {
                    self.wrong(&setting, "its value is empty");
                }
                None
            }
            Some(text) => Some(Value {
                text: text.to_owned(),
                setting,
            }),
            None => {
                self.wrong(&setting, "its value is not text in UTF-8");
                None
            }
        }
    }

    /// A switch: the flag, else the variable as the official client reads it.
    pub fn switch(&self, given: bool, variable: &str) -> bool {
        if given {
            return true;
        }
        let Some(value) = self.variable(variable) else {
            return false;
        };
        parse_switch(&value.text).unwrap_or_else(|| {
            self.wrong(
                &value.setting,
                format!("{:?} is neither true nor false", value.text),
            );
            false
        })
    }

    /// A duration of at least `least`.
    pub fn duration(&self, value: Option<Value>, default: Duration, least: Duration) -> Duration {
        let Some(value) = value else { return default };
        match parse_duration(&value.text) {
            Some(duration) if duration >= least => duration,
            Some(_) => {
                let least = humantime::format_duration(least);
                self.wrong(
                    &value.setting,
                    format!("{:?} is too short: at least {least} is needed", value.text),
                );
                default
            }
            None => {
                let words = format!(
                    "{:?} is not a duration, such as 30s, 5m, 1h30m or a number of seconds",
                    value.text
                );
                self.wrong(&value.setting, words);
                default
            }
        }
    }
}

/// A path below `/v1/`, without slashes at its ends.
pub fn api_path(value: &Value, lookup: &Lookup<'_>) -> Option<String> {
    let path = value.text.trim_matches('/');
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let sound = !path.is_empty()
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path
            .chars()
            .any(|character| character.is_control() || matches!(character, '?' | '#' | '\\' | '%'));
    if !sound {
        lookup.wrong(
            &value.setting,
            format!(
                "{:?} is not a path of the API, as in database/creds/app-role",
                value.text
            ),
        );
        return None;
    }
    Some(path.to_owned())
}

/// As Go's `strconv.ParseBool`, which the official client uses.
pub fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `90`, `90s`, `1m30s`, `500ms`: a bare number is seconds, as for the official client.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let duration = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => humantime::parse_duration(text).ok()?,
    };
    // A longer one would only overflow the sums made with it.
    (duration <= Duration::from_secs(u32::MAX.into())).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;

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
            assert_eq!(
                parse_duration(text).map(|duration| duration.as_secs_f64()),
                Some(seconds),
                "{text}"
            );
        }
        for text in ["", "-1", "abc", "1x", "99999999999", "1e3", "NaN"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn bao_wins_over_vault_and_empty_is_not_set() {
        let environment = Given(vec![
            ("VAULT_ADDR", "v"),
            ("BAO_ADDR", "b"),
            ("BAO_NAMESPACE", ""),
            ("VAULT_NAMESPACE", "n"),
        ]);
        let lookup = Lookup::new(&environment);
        assert_eq!(
            lookup
                .variable("VAULT_ADDR")
                .map(|value| (value.text, value.setting)),
            Some(("b".into(), "BAO_ADDR".into()))
        );
        assert_eq!(
            lookup.variable("VAULT_NAMESPACE").map(|value| value.text),
            Some("n".into())
        );
        assert_eq!(
            lookup
                .value("--address", Some(&"f".into()), "VAULT_ADDR")
                .map(|value| value.text),
            Some("f".into())
        );
    }
}
