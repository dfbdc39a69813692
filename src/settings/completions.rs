//! `vaultexec completions SHELL`: scripts from the table. After `--` a shell completes COMMAND by its
//! own rules, which is what a generator of such scripts would not do.

use super::command_line::SUBCOMMANDS;
use super::row::{Form, Setting};
use super::table::ALL;

/// The script for a shell.
#[must_use]
pub fn script(shell: &str) -> String {
    match shell {
        "bash" => bash(),
        "zsh" => zsh(),
        _ => fish(),
    }
}

/// The rows that have an option, with its name.
fn options() -> impl Iterator<Item = (&'static Setting, &'static str)> {
    ALL.iter()
        .filter_map(|setting| Some((*setting, setting.flag?)))
}

/// The options whose value is of a kind, as a pattern.
fn pattern(matching: impl Fn(&Setting) -> bool) -> String {
    let names = options().filter(|(setting, _)| matching(setting));
    let names: Vec<_> = names.map(|(_, flag)| format!("--{flag}")).collect();
    names.join("|")
}

fn subcommands() -> String {
    let names: Vec<_> = SUBCOMMANDS.iter().map(|known| known.name).collect();
    names.join(" ")
}

fn bash() -> String {
    let mut cases = String::new();
    for (setting, flag) in options() {
        if let Form::Choice(_, choices) = setting.form {
            let choices = choices.join(" ");
            cases += &format!(
                "        --{flag}) mapfile -t COMPREPLY < <(compgen -W '{choices}' -- \"$word\"); return ;;\n"
            );
        }
    }
    for known in SUBCOMMANDS.iter().filter(|known| !known.choices.is_empty()) {
        cases += &format!(
            "        {}) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$word\"); return ;;\n",
            known.name,
            known.choices.join(" ")
        );
    }
    let files = pattern(|setting| matches!(setting.form, Form::File(_)));
    let others = pattern(|setting| {
        setting.value_name().is_some() && !matches!(setting.form, Form::File(_) | Form::Choice(..))
    });
    let all: Vec<_> = options().map(|(_, flag)| format!("--{flag}")).collect();
    format!(
        r#"_vaultexec() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${{COMP_WORDS[i]}} == -- ]]; then
            if declare -F _comp_command_offset > /dev/null; then
                _comp_command_offset $((i + 1))
            elif declare -F _command_offset > /dev/null; then
                _command_offset $((i + 1))
            elif ((i + 1 == COMP_CWORD)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$word")
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$word")
            fi
            return
        fi
    done
    case $before in
{cases}        {files}) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        {others}) return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W '{all} -- {subcommands}' -- "$word")
}}
complete -o filenames -F _vaultexec vaultexec
"#,
        all = all.join(" "),
        subcommands = subcommands()
    )
}

fn zsh() -> String {
    let quoted = |text: &str| {
        text.replace('\'', "'\\''")
            .replace('[', "\\[")
            .replace(']', "\\]")
            .replace(':', "\\:")
    };
    let mut lines = String::new();
    for (setting, flag) in options() {
        let action = match setting.form {
            Form::Choice(name, choices) => format!(":{name}:({})", choices.join(" ")),
            Form::File(name) => format!(":{name}:_files"),
            _ => setting
                .value_name()
                .map(|name| format!(":{name}: "))
                .unwrap_or_default(),
        };
        let many = match setting.form {
            Form::List(_) | Form::Several(..) | Form::Count => "*",
            _ => "",
        };
        let help = quoted(setting.help);
        lines += &format!("        '{many}--{flag}[{help}]{action}' \\\n");
    }
    let mut cases = String::new();
    for known in SUBCOMMANDS.iter().filter(|known| !known.choices.is_empty()) {
        cases += &format!(
            "        {}) compadd {}; return ;;\n",
            known.name,
            known.choices.join(" ")
        );
    }
    format!(
        r#"#compdef vaultexec
_vaultexec() {{
    local dashes=${{words[(i)--]}}
    if ((dashes < CURRENT)); then
        shift $dashes words
        ((CURRENT -= dashes))
        _normal
        return
    fi
    case ${{words[CURRENT - 1]}} in
{cases}    esac
    _arguments -S \
{lines}        '1: :({subcommands})'
}}
if [[ $funcstack[1] == _vaultexec ]]; then
    _vaultexec "$@"
else
    compdef _vaultexec vaultexec
fi
"#,
        subcommands = subcommands()
    )
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let before = "-n 'not contains -- -- (commandline -opc)'";
    let mut script = "\
complete -c vaultexec -f
complete -c vaultexec -n 'contains -- -- (commandline -opc)' -x -a '(__vaultexec_command)'
function __vaultexec_command
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words)
    complete --do-complete=(string join ' ' -- (string escape -- $words[(math $at + 1)..-1]) (commandline -ct) | string collect)
end
"
    .to_owned();
    for (setting, flag) in options() {
        let short = setting.short.map(|short| format!(" -s {short}"));
        let value = match setting.form {
            Form::Choice(_, choices) => format!(" -x -a '{}'", choices.join(" ")),
            Form::File(_) => " -r -F".to_owned(),
            _ if setting.value_name().is_some() => " -x".to_owned(),
            _ => String::new(),
        };
        let (short, help) = (short.unwrap_or_default(), quoted(setting.help));
        script += &format!("complete -c vaultexec {before}{short} -l {flag}{value} -d '{help}'\n");
    }
    for known in &SUBCOMMANDS {
        let (name, help) = (known.name, quoted(known.help));
        script += &format!("complete -c vaultexec -n __fish_is_first_arg -a {name} -d '{help}'\n");
        if !known.choices.is_empty() {
            let choices = known.choices.join(" ");
            script += &format!(
                "complete -c vaultexec -n '__fish_seen_subcommand_from {name}' -x -a '{choices}'\n"
            );
        }
    }
    script
}
