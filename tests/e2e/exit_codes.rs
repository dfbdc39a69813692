//! How vaultexec ends: by the child's own end, or by a code of its own.

use crate::support::surroundings::everywhere;
use crate::support::{signals, *};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread;

everywhere!(
    the_childs_exit_code_is_passed_on,
    the_signal_that_killed_the_child_is_passed_on,
    a_program_that_cannot_be_run_is_told_before_anything_is_asked_for,
);

fn the_childs_exit_code_is_passed_on(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    for code in [0, 1, 42, 125, 255] {
        place
            .output(tenant.command().child(Probe::exit(code)))
            .assert_code(code)
            .assert_silent();
    }
    tenant.assert_nothing_left();
}

#[test]
fn every_exit_code_from_0_to_255_is_passed_on() {
    let vault = FakeVault::new();
    for code in 0..=255 {
        vault
            .command()
            .child(Probe::exit(code))
            .output()
            .assert_code(code)
            .assert_silent();
    }
    vault.assert_all_given_back(256);
}

fn the_signal_that_killed_the_child_is_passed_on(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    for name in ["TERM", "HUP", "QUIT", "KILL", "INT", "USR1", "SEGV"] {
        let ending = place.output(tenant.command().child(Probe::die(name)));
        ending
            .assert_died_of(signals::number(name).unwrap())
            .assert_silent();
        assert!(
            !ending.finished.status.core_dumped(),
            "a core of vaultexec would hold the secrets"
        );
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_dies_of_a_real_time_signal_is_passed_on() {
    let tenant = Tenant::new(Servers::shared());
    for signal in [libc::SIGRTMIN(), libc::SIGRTMAX()] {
        let run = tenant.command().child(Probe::die(&signal.to_string()));
        run.output().assert_killed_by(signal).assert_silent();
    }
    tenant.assert_nothing_left();
}

/// A folder with files that cannot be run, each in its own way.
struct Unusable(PathBuf);

impl Unusable {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("unusable-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("directory")).unwrap();
        fs::write(folder.join("no-x-bit"), "#!/bin/sh\n").unwrap();
        Self(folder)
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Unusable {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn a_program_that_cannot_be_run_is_told_before_anything_is_asked_for(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let files = Unusable::new(&format!("{place:?}"));
    let folder = files.0.to_str().unwrap();
    let cases = [
        ("no-such-program".to_owned(), 127),
        (format!("{folder}/no-such-program"), 127),
        (format!("{folder}/no-x-bit/below-a-file"), 127),
        (String::new(), 127),
        (format!("{folder}/directory"), 126),
        (format!("{folder}/no-x-bit"), 126),
        ("no-x-bit".to_owned(), 126),
    ];
    for (program, code) in cases {
        let path = format!("{}:{folder}", std::env::var("PATH").unwrap());
        let run = tenant.command().env("VAULT_ADDR", proxy.url());
        let ending = place.output(run.env("PATH", path).child([&program]));
        ending.assert_code(code);
        let said = ending.said();
        let verb = if code == 127 { "find" } else { "run" };
        assert!(
            said.starts_with("vaultexec: cannot ")
                && said.contains(verb)
                && said.contains(&program),
            "{program:?}: {said:?}"
        );
    }
    assert_eq!(proxy.requests().len(), 0);
    tenant.assert_nothing_left();
}

#[test]
fn a_script_without_its_interpreter_is_127_and_what_was_obtained_is_revoked() {
    let tenant = Tenant::new(Servers::shared());
    let files = Unusable::new("interpreter");
    let script = files.script("script", "#!/no/such/interpreter\n");
    let run = tenant.command().child([&script]).output();
    run.assert_code(127)
        .stderr_contains("cannot run")
        .stderr_contains("interpreter");
    assert!(run.stdout.is_empty());
    tenant.assert_nothing_left();
}

#[test]
fn a_script_without_a_first_line_is_run_by_the_shell() {
    let tenant = Tenant::new(Servers::shared());
    let files = Unusable::new("shell");
    let script = files.script("script", "echo \"$0 has $# arguments: $1\"\nexit 3\n");
    let run = tenant.command().child([&script, "a b"]).output();
    run.assert_code(3)
        .assert_quiet_stderr()
        .stdout_is(&format!("{script} has 1 arguments: a b\n"));
    tenant.assert_nothing_left();
}

#[test]
fn wrong_usage_is_125_with_the_usage_on_stderr_and_nothing_on_stdout() {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let cases: [&[&str]; 4] = [&["--no-such-flag", "--", "true"], &["true"], &[], &["--"]];
    for arguments in cases {
        let run = tenant.command().env("VAULT_ADDR", proxy.url());
        let run = run.args(arguments).output();
        run.assert_code(125).stderr_contains("Usage: vaultexec");
        assert!(run.stdout.is_empty(), "{arguments:?}: {run}");
    }
    let wrong: [&[&str]; 2] = [&["--on-expiry", "dance"], &["-q", "-v"]];
    for arguments in wrong {
        let run = tenant.command().env("VAULT_ADDR", proxy.url());
        let run = run.args(arguments).child(["true"]).output();
        run.assert_code(125).stderr_contains("vaultexec: --");
        assert!(run.stdout.is_empty(), "{run}");
    }
    assert_eq!(proxy.requests().len(), 0);
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_is_gone_at_once_is_seen_a_thousand_times() {
    let vault = FakeVault::new();
    let (threads, rounds) = (4, 250);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for round in 0..rounds {
                    // A code of 0 could come from anywhere.
                    let (program, code) = [("true", 0), ("false", 1)][round % 2];
                    let run = vault.command().child([program]);
                    run.output().assert_code(code).assert_silent();
                }
            });
        }
    });
    vault.assert_all_given_back(threads * rounds);
}

#[test]
fn a_command_that_cannot_be_executed_with_its_new_environment_is_told_and_cleaned_up_after() {
    let tenant = Tenant::new(Servers::shared());
    // As long as one variable may be: with a user and a password in it, it is longer.
    let name = "DATABASE_URL=".len() + 1;
    let base = "postgresql://h/app?application_name=";
    let url = format!("{base}{}", "x".repeat(128 * 1024 - name - base.len()));
    tenant
        .command()
        .env("DATABASE_URL", url)
        .child(["true"])
        .output()
        .assert_code(126)
        .stderr_contains("Argument list too long");
    tenant.assert_nothing_left();
}
