//! Completions in real shells, and the manual page as `man` formats it.

use crate::support::folder::Folder;
use crate::support::*;
use std::fs;

/// What is typed before the key that completes, and what stands there after it.
const TYPED: [(&str, &str); 6] = [
    ("vaultexec --log-le", "vaultexec --log-level"),
    ("vaultexec --log-level in", "vaultexec --log-level info"),
    ("vaultexec --ca-cert a-fi", "vaultexec --ca-cert a-file"),
    ("vaultexec compl", "vaultexec completions"),
    ("vaultexec completions z", "vaultexec completions zsh"),
    (
        "vaultexec --creds x -- cat a-fi",
        "vaultexec --creds x -- cat a-file",
    ),
];

const BASH: &str = r#"
. ./script
for line; do
    COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _vaultexec
    unset 'COMP_WORDS[COMP_CWORD]'
    echo "${COMP_WORDS[@]}" "${COMPREPLY[@]}"
done
"#;

const FISH: &str = r"
source ./script
for line in $argv
    set -l found (complete --do-complete=$line | string replace -r '\t.*' '')
    string join ' ' -- (string split ' ' -- $line)[1..-2] $found
end
";

/// A shell at a terminal of its own: a key shows what its line has become.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'show() { zle -I; print "LINE=[$BUFFER]"; BUFFER=; zle redisplay }; zle -N show; bindkey "^X" show'
zpty -w shell 'autoload -U compinit; compinit -u -D; source ./script; print re""ady'
zpty -r shell out '*ready*'
for line; do
    zpty -n -w shell "$line"$'\t\x18'
    zpty -r shell out '*LINE=\[*\]*'
    print -r -- ${${out##*LINE=\[}%%\]*}
done
zpty -d shell
"#;

#[track_caller]
fn assert_completes(shell: &str, arguments: &[&str], driver: &str) {
    let folder = Folder::new().unwrap();
    let script = Run::vaultexec().args(["completions", shell]).output();
    script.assert_code(0).assert_quiet_stderr();
    fs::write(folder.path().join("script"), script.out()).unwrap();
    fs::write(folder.path().join("driver"), driver).unwrap();
    fs::write(folder.path().join("a-file"), "").unwrap();
    let run = Run::of(shell)
        .args(arguments)
        .arg("./driver")
        .args(TYPED.map(|(line, _)| line))
        .current_dir(folder.path())
        .output();
    run.assert_code(0);
    let lines: Vec<_> = run
        .out()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(lines, TYPED.map(|(_, completed)| completed), "{run}");
}

#[test]
fn bash_completes_options_values_files_and_the_command() {
    assert_completes("bash", &["--norc"], BASH);
}

#[test]
fn fish_completes_options_values_files_and_the_command() {
    assert_completes("fish", &["--no-config"], FISH);
}

#[test]
fn zsh_completes_options_values_files_and_the_command() {
    assert_completes("zsh", &["-f"], ZSH);
}

#[test]
fn the_manual_page_is_formatted_without_a_complaint_and_has_every_option() {
    let page = Run::vaultexec().arg("man").output();
    page.assert_code(0).assert_quiet_stderr();
    let formatted = Run::of("groff")
        .args(["-man", "-ww", "-Tascii", "-P-cbou"])
        .stdin_bytes(page.out().into_bytes())
        .output();
    formatted.assert_code(0).assert_quiet_stderr();
    let help = Run::vaultexec().arg("--help").output();
    let help = help.out();
    let options = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    let text = formatted.out();
    for option in options.map(|word| word.trim_matches(|c: char| !c.is_ascii_alphabetic())) {
        assert!(text.contains(option), "--{option} in {text}");
    }
}
