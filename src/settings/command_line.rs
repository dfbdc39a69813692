//! The command line, parsed by the table. Values are checked later, so that flags and variables get the
//! same messages, all of them together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use lexopt::{Arg, Parser};

use super::nearest::nearest;
use super::row::{Form, Setting};
use super::table::{self, ALL};
use super::{completions, man};

/// What vaultexec is called for.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// COMMAND is run with credentials.
    Run(Vec<OsString>),
    /// What holds is printed.
    PrintConfig,
    /// A text is printed, whatever the settings are.
    Print(String),
}

/// A subcommand, in place of `-- COMMAND`.
pub struct Subcommand {
    /// As it is typed.
    pub name: &'static str,
    /// Its argument is one of these; without any it takes none.
    pub choices: &'static [&'static str],
    /// Its line in the help.
    pub help: &'static str,
    /// The call, made of the argument.
    call: fn(&str) -> Call,
}

/// All subcommands.
pub static SUBCOMMANDS: [Subcommand; 2] = [
    Subcommand {
        name: "completions",
        choices: &["bash", "zsh", "fish"],
        help: "Print a script that completes options, for one of these shells",
        call: |shell| Call::Print(completions::script(shell)),
    },
    Subcommand {
        name: "man",
        choices: &[],
        help: "Print the manual page",
        call: |_| Call::Print(man::page()),
    },
];

/// The flags that were given, in their order.
#[derive(Debug, Default)]
pub struct Flags(Vec<(&'static Setting, OsString)>);

impl Flags {
    /// Every value of a setting; an empty one for what takes none.
    pub fn values<'a>(&'a self, setting: &'a Setting) -> impl Iterator<Item = &'a OsString> {
        let given = self.0.iter().filter(move |(known, _)| *known == setting);
        given.map(|(_, value)| value)
    }

    #[cfg(test)]
    pub fn of(arguments: &[&str]) -> Self {
        let arguments = [&["vaultexec"], arguments, &["--", "true"]].concat();
        let arguments = arguments.into_iter().map(OsString::from);
        parse(arguments.collect()).expect("a sound command line").1
    }
}

/// Takes the command line apart; its first word is vaultexec's own name.
///
/// # Errors
/// What is wrong with it; never a value.
pub fn parse(arguments: Vec<OsString>) -> Result<(Call, Flags), String> {
    let mut parser = Parser::from_iter(arguments);
    let mut flags = Flags::default();
    let mut positional = Vec::new();
    loop {
        if let Some(command) = after_dashes(&mut parser) {
            return Ok((call(&positional, command, &flags)?, flags));
        }
        let Some(argument) = parser.next().map_err(|error| lexical(&error))? else {
            return Ok((call(&positional, Vec::new(), &flags)?, flags));
        };
        let (setting, option) = match argument {
            Arg::Long(name) => (long(name)?, format!("--{name}")),
            Arg::Short(letter) => (short(letter)?, format!("-{letter}")),
            Arg::Value(word) => {
                if positional.is_empty() && subcommand(&word).is_none() {
                    let more = parser
                        .raw_args()
                        .is_ok_and(|mut rest| rest.next().is_some());
                    return Err(without_dashes(&word, more, &flags));
                }
                positional.push(word);
                continue;
            }
        };
        let value = match setting.form {
            Form::Print(text) => return Ok((Call::Print(text()), flags)),
            Form::Switch | Form::Count => OsString::from("true"),
            _ => value(&mut parser, &option)?,
        };
        let again = flags.values(setting).next().is_some();
        if again && !matches!(setting.form, Form::List(_) | Form::Count) {
            return Err(format!("{option} is given twice: give it once"));
        }
        flags.0.push((setting, value));
    }
}

/// What stands after `--`, byte for byte, if that is what comes next.
fn after_dashes(parser: &mut Parser) -> Option<Vec<OsString>> {
    let rest = parser.try_raw_args()?;
    if rest.peek()? != "--" {
        return None;
    }
    Some(rest.skip(1).collect())
}

/// The subcommand that stands before any `--`, else COMMAND.
fn call(positional: &[OsString], command: Vec<OsString>, flags: &Flags) -> Result<Call, String> {
    let Some((given, rest)) = positional.split_first() else {
        if flags.values(&table::PRINT_CONFIG).next().is_some() {
            return Ok(Call::PrintConfig);
        }
        if command.is_empty() {
            return Err("COMMAND is missing".to_owned());
        }
        return Ok(Call::Run(command));
    };
    let name = given.display();
    let Some(subcommand) = subcommand(given).filter(|_| command.is_empty()) else {
        return Err(format!("vaultexec {name} takes no COMMAND"));
    };
    let choices = subcommand.choices;
    let chosen = match rest {
        [] if choices.is_empty() => "",
        [one] if choices.iter().any(|choice| *choice == one) => one.to_str().unwrap_or_default(),
        _ if choices.is_empty() => return Err(format!("vaultexec {name} stands alone")),
        _ => {
            let choices = choices.join(", ");
            return Err(format!("vaultexec {name} needs one of {choices}"));
        }
    };
    Ok((subcommand.call)(chosen))
}

fn subcommand(name: &OsStr) -> Option<&'static Subcommand> {
    SUBCOMMANDS.iter().find(|known| known.name == name)
}

/// The message for a word before `--` that is no subcommand.
fn without_dashes(word: &OsStr, more: bool, flags: &Flags) -> String {
    let options = if flags.0.is_empty() { "" } else { "[OPTIONS] " };
    let more = if more { " ..." } else { "" };
    let command = word.display();
    let line = format!("to run {command}, put -- before it: vaultexec {options}-- {command}{more}");
    let names = SUBCOMMANDS.iter().map(|known| known.name);
    match word.to_str().and_then(|word| nearest(word, names)) {
        Some(meant) => format!("{line}; or did you mean vaultexec {meant}?"),
        None => line,
    }
}

/// The value of a flag. A value that begins with a dash needs `=`: without it, it is the next flag.
fn value(parser: &mut Parser, option: &str) -> Result<OsString, String> {
    if let Some(value) = parser.optional_value() {
        return Ok(value);
    }
    let next = parser.try_raw_args();
    let next = next.and_then(|rest| rest.peek().map(OsStr::to_owned));
    if next.is_none_or(|next| next.as_bytes().starts_with(b"-") && next != "-") {
        return Err(format!("the value of {option} is missing"));
    }
    parser.value().map_err(|error| lexical(&error))
}

fn long(name: &str) -> Result<&'static Setting, String> {
    if let Some(setting) = ALL.iter().find(|setting| setting.flag == Some(name)) {
        return Ok(setting);
    }
    let secret = ALL
        .iter()
        .find(|setting| matches!(setting.form, Form::Secret) && setting.secret_name() == name);
    if let Some(secret) = secret {
        return Err(format!(
            "there is no option --{name}: no secret is taken from the command line, where everybody on the host \
             can read it; --{name}-file or {secret}"
        ));
    }
    Err(
        match nearest(name, ALL.iter().filter_map(|setting| setting.flag)) {
            Some(meant) => format!("there is no option --{name}; did you mean --{meant}?"),
            None => format!("there is no option --{name}"),
        },
    )
}

fn short(letter: char) -> Result<&'static Setting, String> {
    let found = ALL.iter().find(|setting| setting.short == Some(letter));
    found
        .copied()
        .ok_or_else(|| format!("there is no option -{letter}"))
}

/// The parser's own errors, without the value, which may be a secret.
fn lexical(error: &lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value"),
        lexopt::Error::MissingValue {
            option: Some(option),
        } => format!("the value of {option} is missing"),
        _ => "an option is not text in UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<(Call, Flags), String> {
        let arguments = std::iter::once("vaultexec").chain(arguments.iter().copied());
        parse(arguments.map(OsString::from).collect())
    }

    fn refused(arguments: &[&str]) -> String {
        parsed(arguments).expect_err("wrong on purpose")
    }

    #[test]
    fn everything_after_the_dashes_is_the_commands() {
        let (call, flags) = parsed(&[
            "-v",
            "--creds=a/b/c",
            "--",
            "psql",
            "-q",
            "--creds",
            "--",
            "x",
        ])
        .expect("sound");
        let command = ["psql", "-q", "--creds", "--", "x"].map(OsString::from);
        assert_eq!(call, Call::Run(command.to_vec()));
        assert_eq!(flags.values(&table::VERBOSE).count(), 1);
        assert_eq!(flags.values(&table::QUIET).count(), 0);
        assert_eq!(flags.values(&table::CREDS).collect::<Vec<_>>(), ["a/b/c"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_is_right() {
        for (arguments, message) in [
            (&[][..], "COMMAND is missing"),
            (&["--"], "COMMAND is missing"),
            (
                &["psql"],
                "to run psql, put -- before it: vaultexec -- psql",
            ),
            (
                &["--creds", "x", "psql", "-c", "hunter2"],
                "to run psql, put -- before it: vaultexec [OPTIONS] -- psql ...",
            ),
            (
                &["completion"],
                "to run completion, put -- before it: vaultexec -- completion; or did you mean vaultexec completions?",
            ),
            (
                &["--cred", "x", "--", "y"],
                "there is no option --cred; did you mean --creds?",
            ),
            (&["--nope"], "there is no option --nope"),
            (&["-x"], "there is no option -x"),
            (
                &["--creds", "--", "psql"],
                "the value of --creds is missing",
            ),
            (
                &["--creds", "--address", "x"],
                "the value of --creds is missing",
            ),
            (&["--creds"], "the value of --creds is missing"),
            (
                &["--creds=a", "--creds=b", "--", "x"],
                "--creds is given twice: give it once",
            ),
            (
                &["--no-revoke=hunter2", "--", "x"],
                "--no-revoke takes no value",
            ),
            (
                &["completions"],
                "vaultexec completions needs one of bash, zsh, fish",
            ),
            (
                &["completions", "tcsh"],
                "vaultexec completions needs one of bash, zsh, fish",
            ),
            (&["man", "x"], "vaultexec man stands alone"),
            (&["man", "--", "x"], "vaultexec man takes no COMMAND"),
        ] {
            assert_eq!(refused(arguments), message, "{arguments:?}");
        }
        for arguments in [["--secret-id", "hunter2"], ["--secret-id=hunter2", "x"]] {
            let message = refused(&arguments);
            assert!(
                message.contains("--secret-id-file or VAULT_SECRET_ID"),
                "{message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn a_dash_alone_is_a_value_and_one_that_begins_with_a_dash_takes_an_equals_sign() {
        for arguments in [
            ["--secret-id-file", "-", "--", "x"],
            ["--secret-id-file=-", "-v", "--", "x"],
        ] {
            let (_, flags) = parsed(&arguments).expect("sound");
            assert_eq!(
                flags.values(&table::SECRET_ID_FILE).collect::<Vec<_>>(),
                ["-"]
            );
        }
        let (_, flags) = parsed(&["--creds=--x", "--", "x"]).expect("sound");
        assert_eq!(flags.values(&table::CREDS).collect::<Vec<_>>(), ["--x"]);
    }

    #[test]
    fn a_text_is_printed_whatever_else_is_there() {
        for arguments in [
            &["-h"][..],
            &["--creds", "x", "--help"],
            &["-vV"],
            &["man"],
            &["completions", "fish"],
        ] {
            let (call, _) = parsed(arguments).expect("sound");
            assert!(
                matches!(call, Call::Print(text) if text.contains("vaultexec")),
                "{arguments:?}"
            );
        }
        assert_eq!(
            parsed(&["--print-config"]).expect("sound").0,
            Call::PrintConfig
        );
    }

    #[test]
    fn no_name_is_there_twice() {
        let mut names: Vec<String> = ALL
            .iter()
            .filter_map(|setting| setting.flag.map(str::to_owned))
            .collect();
        names.extend(
            ALL.iter()
                .filter_map(|setting| setting.short.map(String::from)),
        );
        names.extend(
            ALL.iter()
                .filter_map(|setting| setting.variable.map(str::to_owned)),
        );
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
