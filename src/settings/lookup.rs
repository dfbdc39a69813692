//! The value of a setting, from the strongest layer that has one, and every problem that was found.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::command_line::Flags;
use super::file::{self, File};
use super::forms;
use super::row::{Fallback, Form, Setting};
use super::table::{self, ALL};
use crate::environment::Environment;
use crate::error::{Problem, quotes};

/// Where a value came from, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The command line.
    Flag,
    /// The environment.
    Variable,
    /// The file that `--config` names.
    File,
    /// The table.
    Default,
}

/// A value, its layer, and its name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text; empty for a secret, which is read later.
    pub text: String,
    /// Where it came from.
    pub layer: Layer,
    /// The flag, the variable, or the file and its key.
    pub name: String,
}

/// Looks settings up in all layers, and collects what is wrong with them.
pub struct Lookup<'a> {
    flags: &'a Flags,
    environment: &'a dyn Environment,
    file: File,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Lookup<'a> {
    /// Reads the file, if there is one, and checks for variables that no row knows.
    pub fn new(flags: &'a Flags, environment: &'a dyn Environment) -> Self {
        let mut lookup = Self {
            flags,
            environment,
            file: File::default(),
            problems: RefCell::default(),
        };
        if let Some(path) = lookup.given(&table::CONFIG) {
            let (file, problems) = file::read(&path);
            lookup.file = file;
            lookup.problems.get_mut().extend(problems);
        }
        let unknown = forms::unknown_variables(&environment.all());
        lookup.problems.get_mut().extend(unknown);
        lookup
    }

    /// The caller's environment.
    pub const fn environment(&self) -> &dyn Environment {
        self.environment
    }

    /// Notes a problem, once; the setting counts as not given.
    pub fn wrong(&self, name: impl Into<String>, message: impl Into<String>) {
        let problem = Problem::new(name, message);
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Everything that was wrong.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The value from the strongest layer, or the default.
    pub fn value(&self, setting: &Setting) -> Option<Value> {
        self.list(setting).into_iter().next()
    }

    /// As `value`, without the default.
    pub fn given(&self, setting: &Setting) -> Option<Value> {
        self.value(setting)
            .filter(|value| value.layer != Layer::Default)
    }

    /// Every value of a list, from the strongest layer that has one.
    pub fn list(&self, setting: &Setting) -> Vec<Value> {
        let raw = self.raw(setting);
        let texts = raw.iter().filter_map(|(text, layer, name)| {
            let text = self.text(setting.form, text, *layer, name)?;
            let value = |text: &str| Value {
                text: text.to_owned(),
                layer: *layer,
                name: name.clone(),
            };
            Some(match setting.form {
                Form::Several(_, separator) if *layer == Layer::Variable => {
                    several(&text, separator).map(value).collect()
                }
                Form::List(_) => text.split(',').map(str::trim).map(value).collect(),
                _ => vec![value(&text)],
            })
        });
        let mut found: Vec<Value> = texts.flatten().collect();
        if let (true, Fallback::Value(text)) = (raw.is_empty(), setting.default) {
            found.push(Value {
                text: text.to_owned(),
                layer: Layer::Default,
                name: setting.to_string(),
            });
        }
        found
    }

    /// The unchecked values of the strongest layer that has any.
    fn raw(&self, setting: &Setting) -> Vec<(OsString, Layer, String)> {
        let flags: Vec<_> = self
            .flags
            .values(setting)
            .map(|text| {
                let name = format!("--{}", setting.flag.unwrap_or_default());
                (text.clone(), Layer::Flag, name)
            })
            .collect();
        if !flags.is_empty() {
            return flags;
        }
        for name in setting.variables() {
            let value = self.environment.variable(&name);
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                return vec![(value, Layer::Variable, name)];
            }
        }
        self.file
            .values(setting)
            .map(|(text, name)| (OsString::from(text), Layer::File, name))
            .collect()
    }

    /// A value as text, without blanks and a byte order mark around it.
    fn text(&self, form: Form, value: &OsStr, layer: Layer, name: &str) -> Option<String> {
        if matches!(form, Form::Secret) {
            return Some(String::new());
        }
        let Some(text) = value.to_str() else {
            self.wrong(name, "its value is not text in UTF-8");
            return None;
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = match form {
            Form::File(_) | Form::ApiPath | Form::Pem | Form::Several(..) => text,
            _ => text.trim(),
        };
        if text.is_empty() {
            if layer != Layer::Variable {
                self.wrong(name, "its value is empty");
            }
            return None;
        }
        if let Some(message) = quotes(text) {
            self.wrong(name, message);
            return None;
        }
        Some(text.to_owned())
    }

    /// The value of the strongest layer in which one of these is given; of two in the same layer, the
    /// first.
    pub fn strongest<'s>(&self, settings: &[&'s Setting]) -> Option<(&'s Setting, Value)> {
        let given = settings
            .iter()
            .filter_map(|setting| Some((*setting, self.given(setting)?)));
        // The first of several that are equal.
        given.min_by_key(|(_, value)| value.layer)
    }

    /// As `strongest`; two in the same layer are refused, since either could be meant.
    pub fn one_of<'s>(&self, settings: &[&'s Setting]) -> Option<(&'s Setting, Value)> {
        let (setting, value) = self.strongest(settings)?;
        let others = settings.iter().filter(|other| **other != setting);
        for other in others.filter_map(|other| self.given(other)) {
            if other.layer == value.layer {
                let both = format!("{} and {}", value.name, other.name);
                self.wrong(both, "give only one of them");
            }
        }
        Some((setting, value))
    }

    /// A switch, as the official client reads it.
    pub fn switch(&self, setting: &Setting) -> bool {
        let parsed = self.parsed(setting, |text| {
            forms::switch(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
        });
        parsed.unwrap_or(false)
    }

    /// The value, parsed; where `parse` refuses it, its message is noted as a problem.
    pub fn parsed<T>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(setting)?;
        let parsed = parse(&value.text);
        parsed
            .map_err(|message| self.wrong(value.name, message))
            .ok()
    }

    /// A duration within its bounds.
    pub fn duration(&self, setting: &Setting) -> Option<Duration> {
        let least = match setting.form {
            Form::Duration(least) => least,
            _ => Duration::ZERO,
        };
        self.parsed(setting, |text| forms::duration(text, least))
    }

    /// A path below `/v1/`, without slashes at its ends.
    pub fn api_path(&self, setting: &Setting) -> Option<String> {
        self.parsed(setting, forms::api_path)
    }

    /// Whether nothing was given, not even something wrong.
    pub fn is_missing(&self, setting: &Setting) -> bool {
        self.raw(setting).is_empty()
    }

    /// How often something that takes no value was given.
    pub fn count(&self, setting: &Setting) -> usize {
        self.flags.values(setting).count()
    }

    /// All rows with what holds for each.
    pub fn all(&self) -> impl Iterator<Item = (&'static Setting, Vec<Value>)> + '_ {
        ALL.iter().map(|setting| (*setting, self.list(setting)))
    }
}

/// The texts in a variable. What stands around a comma is no part of them; what is in a line is.
fn several(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let alone = !text.contains(separator);
    let pieces = text.split(separator).map(move |piece| match separator {
        ',' if !alone => piece.trim(),
        _ => piece.strip_suffix('\r').unwrap_or(piece),
    });
    pieces.filter(|piece| !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;

    /// Every value of a row with its name, and what was wrong.
    fn found(
        setting: &Setting,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> (Vec<String>, Vec<String>) {
        let (flags, environment) = (Flags::of(flags), Given(environment.to_vec()));
        let lookup = Lookup::new(&flags, &environment);
        let values = lookup.list(setting);
        let values = values.into_iter();
        let values = values.map(|value| format!("{}={}", value.name, value.text));
        let values = values.collect();
        let problems = lookup.into_problems();
        (values, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn flag_variable_file_and_default_count_in_this_order() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("vaultexec-lookup-{}.toml", std::process::id()));
        std::fs::write(&path, "stop-timeout = 3\n").expect("a file");
        let path = path.to_str().expect("text");
        let variables = [("VAULTEXEC_STOP_TIMEOUT", "2"), ("VAULTEXEC_CONFIG", path)];
        let setting = &table::STOP_TIMEOUT;
        let (flag, _) = found(setting, &["--stop-timeout", "1"], &variables);
        let (variable, _) = found(setting, &[], &variables);
        let (file, _) = found(setting, &[], &variables[1..]);
        let (default, _) = found(setting, &[], &[]);
        std::fs::remove_file(path).expect("it is there");
        assert_eq!(flag, ["--stop-timeout=1"]);
        assert_eq!(variable, ["VAULTEXEC_STOP_TIMEOUT=2"]);
        assert_eq!(file, [format!("{path}: stop-timeout=3")]);
        assert_eq!(default, ["--stop-timeout (VAULTEXEC_STOP_TIMEOUT)=10s"]);
    }

    #[test]
    fn bao_wins_over_vault_and_empty_is_not_set() {
        let environment = [
            ("VAULT_ADDR", "v"),
            ("BAO_ADDR", "b"),
            ("BAO_NAMESPACE", ""),
            ("VAULT_NAMESPACE", "n"),
            ("https_proxy", "p"),
        ];
        for (setting, value) in [
            (&table::ADDRESS, "BAO_ADDR=b"),
            (&table::NAMESPACE, "VAULT_NAMESPACE=n"),
            (&table::HTTPS_PROXY, "https_proxy=p"),
        ] {
            assert_eq!(found(setting, &[], &environment).0, [value]);
        }
        let (values, problems) = found(&table::ADDRESS, &["--address="], &environment);
        assert_eq!(values, Vec::<String>::new());
        assert_eq!(problems, ["--address: its value is empty"]);
    }

    #[test]
    fn what_is_around_a_value_by_accident_is_taken_away_or_named() {
        for (given, value) in [
            (" http://a\r\n", "VAULT_ADDR=http://a"),
            ("\u{feff}http://a", "VAULT_ADDR=http://a"),
        ] {
            assert_eq!(
                found(&table::ADDRESS, &[], &[("VAULT_ADDR", given)]).0,
                [value]
            );
        }
        for given in ["\"https://a\"", "'https://a'"] {
            let (values, problems) = found(&table::ADDRESS, &[], &[("VAULT_ADDR", given)]);
            assert_eq!(values, Vec::<String>::new());
            let reported = "VAULT_ADDR: it stands in quotes";
            assert!(
                problems.len() == 1 && problems[0].starts_with(reported),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_list_is_split_and_its_flag_may_be_there_again() {
        let flags = ["--address", "http://a, http://b", "--address=http://c"];
        let (values, _) = found(&table::ADDRESS, &flags, &[]);
        let texts = values
            .iter()
            .map(|value| value.replace("--address=http://", ""));
        assert_eq!(texts.collect::<String>(), "abc");
    }

    #[test]
    fn a_secret_is_named_and_not_looked_at() {
        let environment = [("VAULT_SECRET_ID", "hunter2")];
        let (values, problems) = found(&table::SECRET_ID, &[], &environment);
        assert_eq!(
            (values, problems.len()),
            (vec!["VAULT_SECRET_ID=".to_owned()], 0)
        );
    }
}
