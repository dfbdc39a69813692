//! Where settings come from: flag, variable, file and default; what prints them, and what is said of one that is mistyped.

use crate::support::folder::Folder;
use crate::support::*;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// A run that would ask a server that is not there.
fn nowhere() -> Run {
    Run::vaultexec()
        .env("VAULT_ADDR", "http://127.0.0.1:1")
        .env("VAULT_ROLE_ID", "a-role-id")
        .env("VAULTEXEC_CREDS", "database/creds/app")
        .canary("hunter2")
}

/// A file of settings.
fn file(text: &str) -> (Folder, PathBuf) {
    let folder = Folder::new().unwrap();
    let path = folder.path().join("vaultexec.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// What is said instead of a run.
#[track_caller]
fn refused(run: Run) -> String {
    let run = run.output();
    run.assert_code(125).stdout_is("");
    run.err()
}

/// Lines of `--print-config`, with single blanks.
fn lines(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(words).collect()
}

#[test]
fn a_command_without_dashes_is_refused_with_the_line_to_type() {
    let told = refused(nowhere().arg("psql"));
    assert!(told.contains("vaultexec -- psql\n"), "{told}");
    let told = refused(nowhere().args(["-v", "psql", "-c", "select 'hunter2'"]));
    assert!(told.contains("vaultexec [OPTIONS] -- psql ...\n"), "{told}");
    let told = refused(nowhere().args(["complations", "bash"]));
    assert!(
        told.contains("did you mean vaultexec completions?"),
        "{told}"
    );
}

#[test]
fn a_mistyped_flag_variable_or_key_is_answered_with_the_nearest_right_one() {
    let told = refused(nowhere().args(["--cred", "x"]).child(["true"]));
    assert!(
        told.contains("there is no option --cred; did you mean --creds?"),
        "{told}"
    );
    let told = refused(nowhere().env("VAULTEXEC_CRED", "hunter2").child(["true"]));
    let wanted = "VAULTEXEC_CRED: there is no such variable; did you mean VAULTEXEC_CREDS?";
    assert!(told.contains(wanted), "{told}");
    let (_folder, path) = file("# ours\nstop-timout = '5s'\n\nsecret-id = 'hunter2'\n");
    let told = refused(nowhere().arg("--config").arg(&path).child(["true"]));
    let line = |line: &str| format!("vaultexec: {}, line {line}\n", path.display());
    let wanted = line("2: there is no setting \"stop-timout\"; did you mean stop-timeout?");
    assert!(told.contains(&wanted), "{told}");
    let wanted = line("4: no secret is taken from this file: --secret-id-file or VAULT_SECRET_ID");
    assert!(told.contains(&wanted), "{told}");
}

#[test]
fn a_run_can_have_its_settings_from_a_file() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let (_folder, path) = file(&format!(
        "\u{feff}creds = '{}'\nkeep-env = ['VAULT_ROLE_ID', 'X']\nstart-timeout = 20\n",
        tenant.creds_path(),
    ));
    let run = || {
        let run = tenant.command().env_remove("VAULTEXEC_CREDS");
        run.child(["sh", "-c", "test -n \"$VAULT_ROLE_ID\" && echo ran"])
    };
    let by_variable = run().env("VAULTEXEC_CONFIG", &path).output();
    by_variable.assert_code(0).stdout_is("ran\n");
    // A variable wins over the file.
    let wrong = run().env("VAULTEXEC_CONFIG", &path);
    let wrong = wrong
        .env("VAULTEXEC_CREDS", "database/creds/no-such-role")
        .output();
    wrong
        .assert_code(125)
        .stderr_contains("database/creds/no-such-role");
    tenant.assert_nothing_left();
}

#[test]
fn a_file_that_cannot_be_taken_is_named_with_the_reason() {
    for (path, reason) in [
        (
            "/nowhere/x.toml",
            "cannot read /nowhere/x.toml: No such file",
        ),
        ("/", "cannot read /: Is a directory"),
        ("/dev/zero", "/dev/zero is longer than 1 MiB"),
    ] {
        let told = refused(nowhere().args(["--config", path]).child(["true"]));
        assert!(
            told.contains("--config: ") && told.contains(reason),
            "{told}"
        );
    }
    let (_folder, path) = file("creds = hunter2\n");
    let told = refused(nowhere().env("VAULTEXEC_CONFIG", &path).child(["true"]));
    assert!(told.contains("vaultexec.toml, line 1: "), "{told}");
    // A value from it is told by its name there.
    let (_folder, path) = file("database-url = 'postgresql://u:hunter2@h/d'\nstop-timeout = 'x'\n");
    let told = refused(nowhere().env("VAULTEXEC_CONFIG", &path).child(["true"]));
    assert!(
        told.contains("vaultexec.toml: database-url: there is a password in it"),
        "{told}"
    );
    assert!(
        told.contains("vaultexec.toml: stop-timeout: \"x\" is not a duration"),
        "{told}"
    );
}

#[test]
fn what_holds_is_printed_with_where_it_came_from_and_without_secrets() {
    let (_folder, path) = file("stop-timeout = '3s'\n");
    let run = nowhere()
        .env("VAULT_SECRET_ID", "hunter2")
        .env("DATABASE_URL", "postgresql://u:hunter2@h/d")
        .env("VAULTEXEC_CONFIG", &path)
        .args(["--print-config", "--on-expiry", "stop"])
        .output();
    run.assert_code(0).assert_quiet_stderr();
    let printed = run.out();
    for wanted in [
        "address = \"http://127.0.0.1:1\" # VAULT_ADDR",
        "creds = \"database/creds/app\" # VAULTEXEC_CREDS",
        "on-expiry = \"stop\" # --on-expiry",
        "start-timeout = \"30s\" # default",
        "# VAULT_SECRET_ID = set, and not shown # VAULT_SECRET_ID",
        "# DATABASE_URL = \"postgresql://REDACTED@h/d\" # DATABASE_URL",
    ] {
        assert!(
            lines(&printed).iter().any(|line| line == wanted),
            "{wanted} in {run}"
        );
    }
    let wanted = format!("stop-timeout = \"3s\" # {}: stop-timeout", path.display());
    assert!(lines(&printed).contains(&wanted), "{wanted} in {run}");
    // What it prints is a file with the same settings.
    let (_folder, again) = file(&printed);
    let bare = Run::vaultexec()
        .arg("--print-config")
        .arg("--config")
        .arg(&again);
    let run = bare.output();
    run.assert_code(0).assert_quiet_stderr();
    let set = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let settings = lines.filter_map(|line| line.split("  ").next().map(str::to_owned));
        settings.collect::<Vec<_>>()
    };
    assert_eq!(set(&run.out()), set(&printed));
}

#[test]
fn what_holds_is_printed_although_something_is_wrong() {
    let run = Run::vaultexec().arg("--print-config").output();
    run.assert_code(125)
        .stderr_contains("--creds (VAULTEXEC_CREDS): it is missing");
    assert!(run.out().contains("stop-timeout = \"10s\""), "{run}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = Run::vaultexec().arg("-h").output();
    help.assert_code(0).assert_quiet_stderr();
    assert!(help.out().lines().count() <= 24, "{help}");
    let help = Run::vaultexec().args(["--creds", "x", "--help"]).output();
    help.assert_code(0).assert_quiet_stderr();
    assert!(
        help.out()
            .contains("  --kill-after DURATION, VAULTEXEC_KILL_AFTER\n"),
        "{help}"
    );
    let version = Run::vaultexec().arg("-V").output();
    version.assert_code(0).assert_quiet_stderr();
    let wanted = concat!("vaultexec ", env!("CARGO_PKG_VERSION"));
    assert!(version.out().starts_with(wanted), "{version}");
    assert!(
        version.out().contains("\nlogins: approle, token"),
        "{version}"
    );
}

#[test]
fn a_secret_id_is_taken_in_every_form_that_the_server_takes() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let path = format!("{}/custom-secret-id", tenant.approle_path());
    for secret_id in ["p\u{e4}ssw\u{f6}rd-\u{df}", "{abc", "{\"", "a'b\"c d", "'"] {
        let secret_id = format!("{secret_id}{}", tenant.secret_id());
        tenant
            .admin()
            .write(&path, json!({"secret_id": secret_id}))
            .unwrap();
        let run = tenant
            .command()
            .env("VAULT_SECRET_ID", &secret_id)
            .canary(&secret_id);
        run.child(["echo", "ran"])
            .output()
            .assert_code(0)
            .stdout_is("ran\n");
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_mark_of_the_byte_order_is_taken_away_and_quotes_are_named() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let secret_id = tenant.secret_id();
    let (_folder, path) = file(&format!("\u{feff}{secret_id}\r\n"));
    let run = tenant.command().env_remove("VAULT_SECRET_ID");
    let run = run
        .env("VAULT_SECRET_ID_FILE", &path)
        .child(["echo", "ran"])
        .output();
    run.assert_code(0).stdout_is("ran\n");
    for (name, value) in [
        ("VAULT_ADDR", "\"https://vault:8200\""),
        ("VAULT_SECRET_ID", "'hunter2'"),
        ("VAULTEXEC_CREDS", "\"database/creds/app\""),
    ] {
        let told = refused(nowhere().env(name, value).child(["true"]));
        assert!(
            told.contains(&format!(
                "{name}: it stands in quotes, which are part of it"
            )),
            "{told}"
        );
    }
    tenant.assert_nothing_left();
}

#[test]
fn an_address_is_taken_as_it_is_copied_from_elsewhere() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let url = servers.vault.url();
    for address in [
        format!(" {url}/ui/ "),
        format!("{url}/v1\r\n"),
        format!("{url}/ui/vault/secrets?namespace=x#y"),
    ] {
        let run = tenant
            .command()
            .env("VAULT_ADDR", &address)
            .child(["echo", "ran"])
            .output();
        run.assert_code(0).stdout_is("ran\n").assert_quiet_stderr();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_path_that_cannot_be_one_of_credentials_is_told_before_anything_is_asked_for() {
    for (path, right) in [
        ("app-role", "as in database/creds/app-role"),
        ("database/creds/app-role ", "has a blank at its end"),
        (
            "database/roles/app-role",
            "its credentials are at database/creds/app-role",
        ),
        ("database/creds/", "names no role"),
    ] {
        let told = refused(nowhere().args(["--creds", path]).child(["true"]));
        assert!(
            told.contains("vaultexec: --creds: ") && told.contains(right),
            "{told}"
        );
    }
}
