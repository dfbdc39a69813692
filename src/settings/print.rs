//! `--print-config`: every value in force and where it came from, as a file of settings. No secret.

use super::gather::on_expiry;
use super::lookup::{Layer, Lookup, Value};
use super::row::{Fallback, Form, Setting};
use super::table::{AUTH, AUTH_MOUNT, ON_EXPIRY};
use super::{credentials, forms, login};

/// The column in which the origin begins.
const COLUMN: usize = 48;

/// One line a setting. `at_terminal` says whether standard input is one.
#[must_use]
pub fn print(lookup: &Lookup<'_>, at_terminal: bool) -> String {
    lookup
        .all()
        .filter(|(setting, _)| setting.variable.is_some())
        .map(|(setting, values)| {
            let found = || found(setting, lookup, at_terminal);
            format!("{}\n", line(setting, &values, found))
        })
        .collect()
}

/// What a default comes to that depends on others, where one word says so.
fn found(setting: &Setting, lookup: &Lookup<'_>, at_terminal: bool) -> Option<String> {
    if *setting == AUTH {
        login::method(lookup).map(str::to_owned)
    } else if *setting == AUTH_MOUNT {
        login::method(lookup)
            .filter(|method| *method != "token")
            .map(str::to_owned)
    } else if *setting == ON_EXPIRY {
        Some(on_expiry(lookup, &credentials::recipe(lookup), at_terminal).to_string())
    } else {
        None
    }
}

fn line(setting: &Setting, values: &[Value], found: impl Fn() -> Option<String>) -> String {
    let name = match (setting.key(), setting.variable) {
        (Some(key), _) => key.to_owned(),
        // The file has no such key.
        (None, variable) => format!("# {}", variable.unwrap_or_default()),
    };
    let Some(first) = values.first() else {
        let bare = name.trim_start_matches("# ");
        return match setting.default {
            Fallback::Depends(text) => match found() {
                Some(found) => told(&format!("{name} = {}", quoted(&found)), "default"),
                None => format!("# {bare}: {text} (default)"),
            },
            _ => format!("# {bare} is not set"),
        };
    };
    let given = match setting.form {
        Form::Secret => "set, and not shown".to_owned(),
        Form::Pem => format!("{} bytes", first.text.len()),
        _ => written(setting, values),
    };
    let from = match first.layer {
        Layer::Default => "default",
        _ => first.name.as_str(),
    };
    told(&format!("{name} = {given}"), from)
}

fn told(value: &str, from: &str) -> String {
    format!("{value:COLUMN$} # {from}")
}

/// The value as TOML has it.
fn written(setting: &Setting, values: &[Value]) -> String {
    let each = values.iter().map(|value| match setting.form {
        Form::Switch => {
            forms::switch(&value.text).map_or_else(|| quoted(&value.text), |on| on.to_string())
        }
        Form::Url(_) | Form::List(_) | Form::Several(..) => {
            quoted(&forms::without_password(&value.text))
        }
        _ => quoted(&value.text),
    });
    let each: Vec<_> = each.collect();
    match each.as_slice() {
        [one] => one.clone(),
        all => format!("[{}]", all.join(", ")),
    }
}

/// A text in quotes. What a terminal would obey is escaped, as JSON and TOML both read it.
fn quoted(text: &str) -> String {
    // A text has a form in JSON: this cannot fail.
    let json = serde_json::to_string(text).unwrap_or_default();
    let escaped = json.chars().map(|character| {
        if character.is_control() || matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            format!("\\u{:04x}", u32::from(character))
        } else {
            character.to_string()
        }
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::super::command_line::Flags;
    use super::*;
    use crate::environment::Given;

    fn printed(flags: &[&str], environment: &[(&str, &str)]) -> String {
        let (flags, environment) = (Flags::of(flags), Given(environment.to_vec()));
        print(&Lookup::new(&flags, &environment), false)
    }

    #[test]
    fn every_value_is_told_with_where_it_came_from() {
        let text = printed(
            &[
                "--creds",
                "database/creds/\u{9b}x",
                "--address",
                "http://a",
                "--address",
                "http://b",
            ],
            &[
                ("VAULTEXEC_NO_REVOKE", "T"),
                ("BAO_CLIENT_TIMEOUT", "7"),
                ("VAULTEXEC_KEEP_ENV", "A,B*"),
            ],
        );
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for wanted in [
            "creds = \"database/creds/\\u009bx\" # --creds",
            "address = [\"http://a\", \"http://b\"] # --address",
            "no-revoke = true # VAULTEXEC_NO_REVOKE",
            "# VAULT_CLIENT_TIMEOUT = \"7\" # BAO_CLIENT_TIMEOUT",
            "keep-env = [\"A\", \"B*\"] # VAULTEXEC_KEEP_ENV",
            "stop-timeout = \"10s\" # default",
            "# namespace is not set",
            "# kill-after: never (default)",
            "auth = \"approle\" # default",
            "auth-mount = \"approle\" # default",
            "# wrapping-path: auth/MOUNT/role/ANY/secret-id (default)",
            "on-expiry = \"restart\" # default",
        ] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{wanted} in\n{text}"
            );
        }
    }

    #[test]
    fn secrets_are_left_out() {
        let text = printed(
            &[],
            &[
                ("VAULT_SECRET_ID", "hunter2"),
                ("VAULT_WRAPPED_SECRET_ID", "hunter2"),
                (
                    "DATABASE_URL",
                    "postgresql://u:hunter2@h/d?password=hunter2",
                ),
                ("VAULTEXEC_DATABASE_URL", "postgresql://u:hunter2@h/d"),
                ("VAULT_PROXY_ADDR", "http://u:hunter2@proxy"),
                ("HTTPS_PROXY", "u:hunter2@proxy"),
                ("VAULT_ADDR", "https://a,https://u:hunter2@b"),
            ],
        );
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            text.contains("# VAULT_SECRET_ID = set, and not shown "),
            "{text}"
        );
        assert!(text.contains("\"postgresql://REDACTED@h/d\""), "{text}");
    }
}
