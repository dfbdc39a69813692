//! The type of a row in the table of settings.

use std::fmt;
use std::time::Duration;

/// One setting. Command line, environment, file, help, man page, completions and reference are all made
/// from rows of this type.
pub struct Setting {
    /// The flag, without dashes; the key in the file is the same.
    pub flag: Option<&'static str>,
    /// The flag's one letter.
    pub short: Option<char>,
    /// The form of its value.
    pub form: Form,
    /// Its variable. A `VAULT_X` may be called `BAO_X` too.
    pub variable: Option<&'static str>,
    /// What holds when it is not given.
    pub default: Fallback,
    /// Where the help lists it.
    pub group: Group,
    /// What it is for.
    pub help: &'static str,
    /// A shorter text, where `-h` lists it.
    pub brief: Option<&'static str>,
}

/// The form of a setting's value, with its name in the help.
#[derive(Clone, Copy)]
pub enum Form {
    /// On or off; as a flag without a value.
    Switch,
    /// As `Switch`, and counted.
    Count,
    /// As `Switch`; prints a text in place of a run.
    Print(fn() -> String),
    /// Any text, without blanks around it.
    Text(&'static str),
    /// Texts, separated by commas; the flag may be there again.
    List(&'static str),
    /// Texts that may have commas and blanks in them; the flag may be there again, and the variable
    /// separates them by this.
    Several(&'static str, char),
    /// A URL, which may have a password in it.
    Url(&'static str),
    /// One of these.
    Choice(&'static str, &'static [&'static str]),
    /// A file or a folder.
    File(&'static str),
    /// A path of the server's API.
    ApiPath,
    /// A whole number.
    Number,
    /// At least this long.
    Duration(Duration),
    /// PEM in the variable itself.
    Pem,
    /// A secret, in the variable itself. Never a flag's value, never in the file.
    Secret,
}

/// The value when a setting is not given.
#[derive(Clone, Copy)]
pub enum Fallback {
    /// Nothing.
    None,
    /// This very value.
    Value(&'static str),
    /// It depends, as this text says.
    Depends(&'static str),
}

/// The groups of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// How to reach and trust the server.
    Server,
    /// How to log in.
    Login,
    /// What is read.
    Credentials,
    /// What the command sees, and how it is ended.
    Command,
    /// Before the command's start and after its end.
    StartAndEnd,
    /// What goes with `vaultexec check` alone.
    Check,
    /// What is logged, and the settings themselves.
    Messages,
}

impl Group {
    /// In the order of the help.
    pub const ALL: [Self; 7] = [
        Self::Server,
        Self::Login,
        Self::Credentials,
        Self::Command,
        Self::StartAndEnd,
        Self::Check,
        Self::Messages,
    ];

    /// Its heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Login => "Login",
            Self::Credentials => "Credentials",
            Self::Command => "Command",
            Self::StartAndEnd => "Start and end",
            Self::Check => "Only for vaultexec check",
            Self::Messages => "Messages and settings",
        }
    }
}

impl Setting {
    /// A setting with a flag.
    pub(super) const fn flag(flag: &'static str, form: Form) -> Self {
        Self {
            flag: Some(flag),
            ..Self::variable_only("", form)
        }
    }

    /// A setting that has a variable only.
    pub(super) const fn variable_only(variable: &'static str, form: Form) -> Self {
        Self {
            flag: None,
            short: None,
            form,
            variable: if variable.is_empty() {
                None
            } else {
                Some(variable)
            },
            default: Fallback::None,
            group: Group::Messages,
            help: "",
            brief: None,
        }
    }

    pub(super) const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }

    pub(super) const fn variable(self, variable: &'static str) -> Self {
        Self {
            variable: Some(variable),
            ..self
        }
    }

    pub(super) const fn default(self, text: &'static str) -> Self {
        Self {
            default: Fallback::Value(text),
            ..self
        }
    }

    pub(super) const fn depends(self, text: &'static str) -> Self {
        Self {
            default: Fallback::Depends(text),
            ..self
        }
    }

    pub(super) const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    pub(super) const fn brief(self, brief: &'static str) -> Self {
        Self {
            brief: Some(brief),
            ..self
        }
    }

    /// The name of its value in the help, where it has one.
    #[must_use]
    pub const fn value_name(&self) -> Option<&'static str> {
        Some(match self.form {
            Form::Switch | Form::Count | Form::Print(_) => return None,
            Form::Text(name)
            | Form::List(name)
            | Form::Several(name, _)
            | Form::Url(name)
            | Form::Choice(name, _)
            | Form::File(name) => name,
            Form::ApiPath => "PATH",
            Form::Number => "NUMBER",
            Form::Duration(_) => "DURATION",
            Form::Pem => "PEM",
            Form::Secret => "SECRET",
        })
    }

    /// Its key in the file. What makes sense at the command line only has none.
    #[must_use]
    pub fn key(&self) -> Option<&'static str> {
        self.variable
            .and(self.flag)
            .filter(|flag| *flag != "config")
    }

    /// The flag or key that a user would expect for a secret.
    #[must_use]
    pub fn secret_name(&self) -> String {
        let name = self.variable.unwrap_or_default();
        let name = name.split_once('_').map_or(name, |(_, name)| name);
        name.to_ascii_lowercase().replace('_', "-")
    }

    /// Every name that its variable has; the first one that is set counts.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let Some(name) = self.variable else {
            return Vec::new();
        };
        match (name.strip_prefix("VAULT_"), name.ends_with("_PROXY")) {
            (Some(rest), _) => vec![format!("BAO_{rest}"), name.to_owned()],
            // As every program has them.
            (None, true) => vec![name.to_owned(), name.to_ascii_lowercase()],
            (None, false) => vec![name.to_owned()],
        }
    }
}

/// Its name where it was not given: `--creds (VAULTEXEC_CREDS)`.
impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.flag, self.variable) {
            (Some(flag), Some(variable)) => write!(formatter, "--{flag} ({variable})"),
            (Some(flag), None) => write!(formatter, "--{flag}"),
            (None, variable) => formatter.write_str(variable.unwrap_or_default()),
        }
    }
}

/// A row is itself and no other.
impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}
