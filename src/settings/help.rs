//! `-h`, `--help` and `--version`, from the table.

use super::command_line::SUBCOMMANDS;
use super::row::{Fallback, Form, Group, Setting};
use super::table::{ADDRESS, ALL, AUTH, CREDS, ROLE_ID, SECRET_ID_FILE, WRAPPED_SECRET_ID_FILE};

/// No line of the help is longer, in characters.
const WIDTH: usize = 80;

/// One line on what vaultexec is for.
pub const SUMMARY: &str =
    "Run a command with short-lived database credentials, revoked when it ends";

/// What vaultexec does.
pub const DESCRIPTION: &str = "Logs in to HashiCorp Vault or OpenBao, reads credentials, and starts COMMAND with \
     PGUSER, PGPASSWORD and DATABASE_URL in its environment. Renews them while it runs.";

/// The rules that hold for all settings.
pub const LAYERS: &str = "A setting is taken from its option, else from its variable, else from the file that --config \
     names, else it has its default. Every VAULT_X can be given as BAO_X, which wins. No secret is taken as an \
     option's value, because everybody on the host can read it there. Durations are 30s, 5m, 1h30m or a number of \
     seconds.";

/// How vaultexec ends.
pub const EXIT: [(&str, &str); 4] = [
    (
        "the command's",
        "it exited by itself; where a signal ended it, so ends vaultexec (128+n as PID 1)",
    ),
    (
        "125",
        "vaultexec failed and the command never ran; or it ran, and --on-expiry stop or --strict-revoke says so",
    ),
    ("126", "the command cannot be run"),
    ("127", "the command is not there"),
];

/// What to type, and what for.
pub const EXAMPLES: [(&str, &str); 4] = [
    (
        "psql with credentials that are gone after \\q",
        "vaultexec --creds database/creds/app-role -- psql -d appdb",
    ),
    (
        "A wrapped secret id, opened once",
        "vaultexec --wrapped-secret-id-file /run/handover/wrapped-secret-id -- ./migrate.sh",
    ),
    (
        "All settings from a file, and what they come to",
        "vaultexec --config /etc/vaultexec.toml --print-config",
    ),
    (
        "Completions for this shell",
        "source <(vaultexec completions bash)",
    ),
];

/// The main way to call vaultexec.
const MAIN: &str = "vaultexec [OPTIONS] -- COMMAND [ARG]...";

/// The hint for a command line that is wrong.
#[must_use]
pub fn usage() -> String {
    format!("Usage: {MAIN}; vaultexec --help has all options")
}

/// Every way to call vaultexec.
#[must_use]
pub fn usages() -> Vec<String> {
    let main = MAIN.to_owned();
    let others = SUBCOMMANDS.iter().map(|subcommand| {
        format!("vaultexec {} {}", subcommand.name, subcommand.usage)
            .trim_end()
            .to_owned()
    });
    std::iter::once(main).chain(others).collect()
}

/// A row's option as the help has it, as in `-v, --verbose` and `--creds PATH`.
#[must_use]
pub fn option(setting: &Setting) -> String {
    let short = setting.short.map(|short| format!("-{short}"));
    let long = setting.flag.map(|flag| format!("--{flag}"));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    match setting.value_name().filter(|_| setting.flag.is_some()) {
        Some(value) => format!("{} {value}", names.join(", ")),
        None => names.join(", "),
    }
}

/// What a row is for, with what may be given.
#[must_use]
pub fn meaning(setting: &Setting) -> String {
    match setting.form {
        Form::Choice(_, choices) => format!("{}: {}", setting.help, choices.join(", ")),
        _ => setting.help.to_owned(),
    }
}

/// The default, for people.
#[must_use]
pub const fn default(setting: &Setting) -> Option<&'static str> {
    match setting.default {
        Fallback::None => None,
        Fallback::Value(text) | Fallback::Depends(text) => Some(text),
    }
}

/// The rows of a group.
pub fn rows(group: Group) -> impl Iterator<Item = &'static Setting> {
    ALL.iter()
        .copied()
        .filter(move |setting| setting.group == group)
}

/// `--help`: everything.
#[must_use]
pub fn full() -> String {
    let mut text = format!("{SUMMARY}.\n\n");
    paragraph(&mut text, 0, DESCRIPTION);
    text += "\nUsage: ";
    text += &usages().join("\n       ");
    text += "\n\n";
    paragraph(&mut text, 0, LAYERS);
    for group in Group::ALL {
        text += &format!("\n{}:\n", group.title());
        for setting in rows(group) {
            let names = [option(setting), name(setting).to_owned()];
            let names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).collect();
            text += &format!("  {}\n", names.join(", "));
            paragraph(&mut text, 6, &meaning(setting));
            if let Some(default) = default(setting) {
                paragraph(&mut text, 6, &format!("[default: {default}]"));
            }
        }
    }
    text += "\nOther commands:\n";
    for subcommand in &SUBCOMMANDS {
        text += &format!("  {} {}\n", subcommand.name, subcommand.usage);
        paragraph(&mut text, 6, subcommand.help);
    }
    text += "\nExit codes:\n";
    for (code, when) in EXIT {
        text += &format!("  {code}\n");
        paragraph(&mut text, 6, when);
    }
    text += "\nExamples:\n";
    for (what, line) in EXAMPLES {
        text += &format!("  {what}:\n      {line}\n");
    }
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// `-h`: the options that are used most, on one screen.
#[must_use]
pub fn brief() -> String {
    let mut text = format!("{SUMMARY}.\n\nUsage: {}\n\n", usages().join("\n       "));
    text += &format!(
        "It needs {}, {} and {} with\n{} or {}:\n",
        name(&ADDRESS),
        name(&CREDS),
        name(&ROLE_ID),
        name(&SECRET_ID_FILE),
        name(&WRAPPED_SECRET_ID_FILE),
    );
    for setting in ALL {
        if let Some(brief) = setting.brief {
            let variable = name(setting);
            let line = format!("  {:<30}{variable:<29}{brief}", option(setting));
            text += &format!("{}\n", line.trim_end());
        }
    }
    if let Some((_, example)) = EXAMPLES.first() {
        text += &format!("\nExample: {example}\n");
    }
    text
}

fn name(setting: &Setting) -> &'static str {
    setting.variable.unwrap_or_default()
}

/// Version, commit and features. The commit is known to `make build` alone: a script that asks for it at
/// every build would have everything compiled again after each commit.
#[must_use]
pub fn version() -> String {
    let commit = option_env!("VAULTEXEC_COMMIT").unwrap_or("unknown");
    let linked = if cfg!(target_feature = "crt-static") {
        "static"
    } else {
        "dynamic"
    };
    let Form::Choice(_, methods) = AUTH.form else {
        return String::new();
    };
    format!(
        "vaultexec {}\ncommit: {commit}\nbuilt for: {} ({linked})\nlogins: {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        methods.join(", ")
    )
}

/// Adds a text in lines that are not too long.
fn paragraph(to: &mut String, indent: usize, text: &str) {
    let mut line = " ".repeat(indent);
    for word in text.split(' ') {
        let length = line.trim_end().chars().count() + 1 + word.chars().count();
        if length > WIDTH && line.len() > indent {
            *to += line.trim_end();
            to.push('\n');
            line = " ".repeat(indent);
        }
        line += word;
        line.push(' ');
    }
    *to += line.trim_end();
    to.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_help_fits_a_screen_and_names_what_matters() {
        let text = brief();
        assert!(text.lines().count() <= 24, "{text}");
        let longest = text.lines().max_by_key(|line| line.chars().count());
        let longest = longest.expect("lines");
        assert!(longest.chars().count() <= WIDTH, "{longest}");
        for needed in [
            "VAULT_ADDR",
            "VAULTEXEC_CREDS",
            "VAULT_SECRET_ID_FILE",
            "--help",
        ] {
            assert!(text.contains(needed), "{needed} in {text}");
        }
    }

    #[test]
    fn the_help_has_every_name_in_lines_of_a_screens_width() {
        let text = full();
        for setting in ALL {
            for name in [option(setting), name(setting).to_owned()] {
                assert!(text.contains(&name), "{name}");
            }
            assert!(!setting.help.is_empty(), "{setting}");
        }
        let examples = text.find("\nExamples:").expect("examples");
        for line in text[..examples].lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
