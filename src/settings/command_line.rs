//! The command line, parsed by the table. Values are checked later, so that flags and variables get the
//! same messages, all of them together.

use std::ffi::{OsStr, OsString};

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::nearest::nearest;
use super::row::{Form, Group, Setting};
use super::table::{self, ALL};
use super::{completions, man};

/// What vaultexec is called for.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// COMMAND is run with credentials.
    Run(Vec<OsString>),
    /// What a run would need is looked at, COMMAND too if there is one.
    Check(Vec<OsString>),
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
    /// How it is called, after its name.
    pub usage: &'static str,
    /// Its line in the help.
    pub help: &'static str,
    /// The call, made of the argument, or of COMMAND where there can be one.
    make: Make,
}

/// What a subcommand's call is made of.
enum Make {
    /// The argument.
    OfArgument(fn(&str) -> Call),
    /// COMMAND, which may be left out.
    OfCommand(fn(Vec<OsString>) -> Call),
}

/// All subcommands.
pub static SUBCOMMANDS: [Subcommand; 3] = [
    Subcommand {
        name: "check",
        choices: &[],
        usage: "[OPTIONS] [-- COMMAND]",
        help: "Say step by step whether a run with these options would work, and how to mend what would not; makes no \
               database role",
        make: Make::OfCommand(Call::Check),
    },
    Subcommand {
        name: "completions",
        choices: &["bash", "zsh", "fish"],
        usage: "bash|zsh|fish",
        help: "Print a script that completes options, for one of these shells",
        make: Make::OfArgument(|shell| Call::Print(completions::script(shell))),
    },
    Subcommand {
        name: "man",
        choices: &[],
        usage: "",
        help: "Print the manual page",
        make: Make::OfArgument(|_| Call::Print(man::page())),
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
        let arguments = [&["vaultexec", "check"], arguments, &["--", "true"]].concat();
        let arguments = arguments.into_iter().map(OsString::from);
        parse(arguments.collect()).expect("a sound command line").1
    }
}

/// Takes the command line apart; its first word is vaultexec's own name.
///
/// # Errors
/// What is wrong with it; never a value.
pub fn parse(arguments: Vec<OsString>) -> Result<(Call, Flags), String> {
    let mut arguments = arguments.into_iter();
    // What stands after `--` is the command's, byte for byte.
    let ours: Vec<OsString> = arguments.by_ref().take_while(|word| word != "--").collect();
    let command: Vec<OsString> = arguments.collect();
    let matches = match grammar().try_get_matches_from(&ours) {
        Ok(matches) => matches,
        Err(error) => return Err(explain(&error, &ours)),
    };
    let flags = Flags::given(&matches);
    if let Some(text) = flags.text() {
        return Ok((Call::Print(text), flags));
    }
    if let Some((setting, _)) = flags.twice() {
        return Err(format!("{} is given twice: give it once", option(setting)));
    }
    let words = words(&matches);
    if let Some(word) = words.first().filter(|word| subcommand(word).is_none()) {
        let more = words.len() > 1 || !command.is_empty();
        return Err(without_dashes(word, more, &flags));
    }
    Ok((call(&words, command, &flags)?, flags))
}

/// The options of the table, and words; help, usage and messages are made elsewhere, of the table too.
fn grammar() -> Command {
    let options = ALL.iter().filter_map(|setting| {
        let id = id(setting)?;
        let takes_none = matches!(setting.form, Form::Switch | Form::Count | Form::Print(_));
        let argument = Arg::new(id)
            .long(setting.flag)
            .short(setting.short)
            .action(if takes_none {
                ArgAction::Count
            } else {
                ArgAction::Append
            });
        Some(if takes_none {
            argument
        } else {
            argument.value_parser(ValueParser::os_string())
        })
    });
    let words = Arg::new(WORDS)
        .action(ArgAction::Append)
        .value_parser(ValueParser::os_string());
    Command::new("vaultexec")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(options)
        .arg(words)
}

/// What the parser calls an option: one that has only a letter has nothing else of its own.
fn id(setting: &Setting) -> Option<&'static str> {
    setting.flag.or(setting.short.map(|_| setting.help))
}

/// What is neither an option nor a value of one.
const WORDS: &str = "WORDS";

fn words(matches: &ArgMatches) -> Vec<OsString> {
    let words = matches.get_many::<OsString>(WORDS);
    words.into_iter().flatten().cloned().collect()
}

impl Flags {
    fn given(matches: &ArgMatches) -> Self {
        let mut flags = Vec::new();
        for setting in ALL {
            let Some(id) = id(setting) else { continue };
            if matches!(setting.form, Form::Switch | Form::Count | Form::Print(_)) {
                let count = matches.get_count(id);
                flags.extend((0..count).map(|_| (*setting, OsString::from("true"))));
            } else {
                let values = matches.get_many::<OsString>(id).into_iter().flatten();
                flags.extend(values.map(|value| (*setting, value.clone())));
            }
        }
        Self(flags)
    }

    /// A text that is to be printed, whatever else is there.
    fn text(&self) -> Option<String> {
        self.0.iter().find_map(|(setting, _)| match setting.form {
            Form::Print(text) => Some(text()),
            _ => None,
        })
    }

    /// The first option that is there again and may not be.
    fn twice(&self) -> Option<&(&'static Setting, OsString)> {
        self.0.iter().find(|(setting, _)| {
            let once = !matches!(
                setting.form,
                Form::List(_) | Form::Several(..) | Form::Count
            );
            once && self.values(setting).count() > 1
        })
    }
}

fn option(setting: &Setting) -> String {
    format!("--{}", setting.flag.unwrap_or_default())
}

/// The subcommand that stands before any `--`, else COMMAND.
fn call(positional: &[OsString], command: Vec<OsString>, flags: &Flags) -> Result<Call, String> {
    let call = match positional.split_first() {
        Some((given, rest)) => of_subcommand(given, rest, command)?,
        None if flags.values(&table::PRINT_CONFIG).next().is_some() => Call::PrintConfig,
        None if command.is_empty() => return Err("COMMAND is missing".to_owned()),
        None => Call::Run(command),
    };
    let of_check = table::ALL
        .iter()
        .find(|setting| setting.group == Group::Check && flags.values(setting).next().is_some());
    match (&call, of_check) {
        (Call::Run(_) | Call::PrintConfig, Some(setting)) => {
            Err(format!("{setting} goes with vaultexec check only"))
        }
        _ => Ok(call),
    }
}

fn of_subcommand(given: &OsStr, rest: &[OsString], command: Vec<OsString>) -> Result<Call, String> {
    let name = given.display();
    let Some(subcommand) = subcommand(given) else {
        return Err(format!("there is no vaultexec {name}"));
    };
    let make = match &subcommand.make {
        Make::OfCommand(make) if rest.is_empty() => return Ok(make(command)),
        Make::OfCommand(_) => {
            let command = rest.first().map(|word| word.display()).into_iter();
            return Err(command
                .map(|word| format!("put -- before a command: vaultexec {name} -- {word}"))
                .collect());
        }
        Make::OfArgument(make) => make,
    };
    if !command.is_empty() {
        return Err(format!("vaultexec {name} takes no COMMAND"));
    }
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
    Ok(make(chosen))
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
    // Many programs have `help` and `version` as subcommands.
    let texts = ALL
        .iter()
        .filter(|known| matches!(known.form, Form::Print(_)));
    let text = texts
        .filter_map(|known| known.flag)
        .find(|name| word == *name);
    let names = SUBCOMMANDS.iter().map(|known| known.name);
    match (text, word.to_str().and_then(|word| nearest(word, names))) {
        (Some(text), _) => format!("{line}; or did you mean vaultexec --{text}?"),
        (None, Some(meant)) => format!("{line}; or did you mean vaultexec {meant}?"),
        (None, None) => line,
    }
}

/// The parser's errors in our own words, without the value, which may be a secret.
fn explain(error: &clap::Error, ours: &[OsString]) -> String {
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(named)) => named.as_str(),
        _ => "",
    };
    // As in `--creds <PATH>`, or `-v...`.
    let option = named.split([' ', '.']).next().unwrap_or(named);
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(option, ours),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            format!("the value of {option} is missing")
        }
        ErrorKind::TooManyValues => format!("{option} takes no value"),
        _ => "an option is not text in UTF-8".to_owned(),
    }
}

fn unknown(option: &str, ours: &[OsString]) -> String {
    // What stands behind a word belongs to the command that somebody meant to run.
    let all = grammar().mut_arg(WORDS, |words| words.trailing_var_arg(true).num_args(0..));
    if let Ok(matches) = all.try_get_matches_from(ours)
        && let [word, rest @ ..] = words(&matches).as_slice()
        && subcommand(word).is_none()
    {
        return without_dashes(word, !rest.is_empty(), &Flags::given(&matches));
    }
    let Some(name) = option.strip_prefix("--") else {
        return format!("there is no option {option}");
    };
    let secret = ALL
        .iter()
        .find(|setting| matches!(setting.form, Form::Secret) && setting.secret_name() == name);
    if let Some(secret) = secret {
        return format!(
            "there is no option --{name}: no secret is taken from the command line, where everybody on the host \
             can read it; --{name}-file or {secret}"
        );
    }
    match nearest(name, ALL.iter().filter_map(|setting| setting.flag)) {
        Some(meant) => format!("there is no option --{name}; did you mean --{meant}?"),
        None => format!("there is no option --{name}"),
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
                &["--role-id=a", "--role-id=b", "--", "x"],
                "--role-id is given twice: give it once",
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
            (
                &["check", "psql"],
                "put -- before a command: vaultexec check -- psql",
            ),
            (
                &["help"],
                "to run help, put -- before it: vaultexec -- help; or did you mean vaultexec --help?",
            ),
            (
                &["--no-login", "--", "psql"],
                "--no-login goes with vaultexec check only",
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
