//! The file of settings: TOML with the names of the options. It holds no secret.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lookup::Value;
use super::nearest::nearest;
use super::row::{Form, Setting};
use super::table::ALL;
use crate::error::{Problem, cannot_read};

/// No file of settings is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// The settings in the file.
#[derive(Debug, Default)]
pub struct File {
    path: String,
    given: Vec<(&'static Setting, Vec<String>)>,
}

impl File {
    /// The values of a setting, each with what to call it.
    pub fn values(&self, setting: &Setting) -> impl Iterator<Item = (&str, String)> {
        let given = self
            .given
            .iter()
            .filter(move |(known, _)| *known == setting);
        given.flat_map(|(setting, texts)| {
            let key = setting.key().unwrap_or_default();
            let name = format!("{}: {key}", self.path);
            texts.iter().map(move |text| (text.as_str(), name.clone()))
        })
    }
}

/// Reads the file that a setting names, and everything that is wrong with it.
pub fn read(path: &Value) -> (File, Vec<Problem>) {
    match bounded(Path::new(&path.text)) {
        Ok(text) => parse(&path.text, &text),
        Err(message) => (File::default(), vec![Problem::new(&path.name, message)]),
    }
}

fn bounded(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(path, &error))?;
    if u64::try_from(read).is_ok_and(|length| length > LONGEST) {
        return Err(format!("{} is longer than 1 MiB", path.display()));
    }
    String::from_utf8(bytes).map_err(|_| format!("{} is not text in UTF-8", path.display()))
}

/// Parses a file. No value appears in a message: it may be a secret in the wrong place.
pub(super) fn parse(path: &str, text: &str) -> (File, Vec<Problem>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let place = |offset: usize| {
        let before = text.get(..offset).unwrap_or_default();
        format!("{path}, line {}", 1 + before.matches('\n').count())
    };
    let mut file = File {
        path: path.to_owned(),
        given: Vec::new(),
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let place = place(error.span().map_or(0, |span| span.start));
            return (file, vec![Problem::new(place, error.message())]);
        }
    };
    let mut problems = Vec::new();
    for (key, value) in &table {
        let name = key.get_ref().as_ref();
        let row = ALL.iter().find(|setting| setting.key() == Some(name));
        let read = match row {
            Some(setting) => texts(setting, value).map(|texts| (*setting, texts)),
            None => Err(unknown(name)),
        };
        match read {
            Ok(given) => file.given.push(given),
            Err(message) => problems.push((key.span().start, message)),
        }
    }
    // In the order of the lines.
    problems.sort();
    let problems = problems.into_iter();
    let problems = problems.map(|(offset, message)| Problem::new(place(offset), message));
    (file, problems.collect())
}

/// The message for a key that no row has.
fn unknown(name: &str) -> String {
    let secret = ALL
        .iter()
        .find(|setting| matches!(setting.form, Form::Secret) && setting.secret_name() == name);
    if let Some(secret) = secret {
        return format!("no secret is taken from this file: --{name}-file or {secret}");
    }
    match nearest(name, ALL.iter().filter_map(|setting| setting.key())) {
        Some(meant) => format!("there is no setting {name:?}; did you mean {meant}?"),
        None => format!("there is no setting {name:?}; --help has them all"),
    }
}

/// A value as the texts that the command line would have given.
fn texts(setting: &Setting, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    match (value.get_ref(), setting.form) {
        (DeValue::Array(items), Form::List(_) | Form::Several(..)) => {
            let items = items.iter().map(|item| text(setting, item.get_ref()));
            items.collect()
        }
        (single, _) => Ok(vec![text(setting, single)?]),
    }
}

fn text(setting: &Setting, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(value) if matches!(setting.form, Form::Switch) => Ok(value.to_string()),
        DeValue::Integer(value) if matches!(setting.form, Form::Duration(_) | Form::Number) => {
            Ok(value.to_string())
        }
        _ => {
            let key = setting.key().unwrap_or_default();
            let wanted = match setting.form {
                Form::Switch => "true or false",
                Form::List(_) | Form::Several(..) => "a text, or a list of them",
                _ => "a text",
            };
            Err(format!("{key} has to be {wanted}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table;

    fn reported(text: &str) -> Vec<String> {
        let (_, problems) = parse("f.toml", text);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn texts_numbers_switches_and_lists_are_read() {
        let text = "\u{feff}# ours\ncreds = 'database/creds/x'\nstop-timeout = 5\nno-revoke = true\naddress = ['http://a', \"http://b\"]\n";
        let (file, problems) = parse("f.toml", text);
        assert_eq!(problems, []);
        let values = |setting: &Setting| {
            let values = file.values(setting);
            values.map(|(text, _)| text.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values(&table::CREDS), ["database/creds/x"]);
        assert_eq!(values(&table::STOP_TIMEOUT), ["5"]);
        assert_eq!(values(&table::NO_REVOKE), ["true"]);
        assert_eq!(values(&table::ADDRESS), ["http://a", "http://b"]);
        let (_, name) = file.values(&table::CREDS).next().expect("given");
        assert_eq!(name, "f.toml: creds");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_with_the_nearest_right_name() {
        let text = "\ncred = 'x'\nsecret-id = 'hunter2'\nverbose = 3\n[creds]\nx = 1\n";
        assert_eq!(
            reported(text),
            [
                "f.toml, line 2: there is no setting \"cred\"; did you mean creds?",
                "f.toml, line 3: no secret is taken from this file: --secret-id-file or VAULT_SECRET_ID",
                "f.toml, line 4: there is no setting \"verbose\"; --help has them all",
                "f.toml, line 5: creds has to be a text, or a list of them",
            ]
        );
        for (text, line) in [
            ("creds = hunter2", 1),
            ("\ncreds = 'hunter2\n", 2),
            ("creds = 'x'\ncreds = 'hunter2'\n", 2),
        ] {
            let reported = reported(text);
            assert_eq!(reported.len(), 1, "{reported:?}");
            assert!(
                reported[0].starts_with(&format!("f.toml, line {line}: ")),
                "{reported:?}"
            );
            assert!(!reported[0].contains("hunter2"), "{reported:?}");
        }
        assert_eq!(reported("no-revoke = 'x'"), Vec::<String>::new());
        assert_eq!(
            reported("no-revoke = 1"),
            ["f.toml, line 1: no-revoke has to be true or false"]
        );
    }

    #[test]
    fn the_example_of_the_reference_is_sound() {
        let reference = include_str!("../../docs/reference.md");
        let example = reference.split("```toml\n").nth(1).expect("an example");
        let example = example.split("```").next().expect("its end");
        let (file, problems) = parse("f.toml", example);
        assert_eq!(problems, []);
        assert_eq!(file.given.len(), 5);
    }
}
