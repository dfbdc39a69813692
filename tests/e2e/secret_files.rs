//! The files that secrets come in: who else may read them, and which one is removed.

use crate::support::folder::Folder;
use crate::support::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// A file with a new secret id, with that mode, in a folder that anybody may look into.
fn secret_file(tenant: &Tenant, folder: &Folder, name: &str, mode: u32) -> PathBuf {
    let file = folder.path().join(name);
    write(&file, &tenant.secret_id(), mode);
    file
}

fn write(file: &Path, text: &str, mode: u32) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

fn reading(tenant: &Tenant, file: &Path) -> Run {
    let run = tenant.command_without_secret();
    let run = run.env("VAULT_ROLE_ID", tenant.role_id());
    run.arg("--secret-id-file").arg(file)
}

const SAY: [&str; 2] = ["echo", "ran"];

#[track_caller]
fn assert_silent(run: Run) {
    let run = run.child(SAY).output();
    run.assert_code(0).assert_quiet_stderr().stdout_is("ran\n");
}

#[track_caller]
fn assert_warned(run: Run, words: &str) {
    let run = run.child(SAY).output();
    run.assert_code(0).stdout_is("ran\n").stderr_contains(words);
    assert_eq!(run.err().lines().count(), 1, "{run}");
}

#[track_caller]
fn assert_refused(run: Run, words: &str) {
    let run = run.arg("--strict-permissions").child(SAY).output();
    run.assert_code(125).stdout_is("").stderr_contains(words);
    assert_eq!(run.err().lines().count(), 1, "{run}");
}

#[test]
fn a_pipe_with_a_name_that_others_may_open_is_no_better_than_a_file() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o666)).unwrap();
    let (secret_id, path) = (tenant.secret_id(), pipe.clone());
    let writer = std::thread::spawn(move || fs::write(path, secret_id));
    assert_refused(reading(&tenant, &pipe), "others may write it (mode 0666)");
    // Whether it was opened is all that the writer knows.
    let _written = writer.join().unwrap();
    // Of a shell's <(…) nobody else knows.
    let script = "vaultexec=$0; exec \"$vaultexec\" --strict-permissions --secret-id-file <(printf %s \"$SECRET\") -- echo ran";
    let run = tenant.command_without_secret();
    let mut shell = Run::of("bash").args(["-c", script]).arg(Run::binary());
    for (name, value) in run.environment() {
        shell = shell.env(name, value);
    }
    let run = shell
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("SECRET", tenant.secret_id())
        .output();
    run.assert_code(0).stdout_is("ran\n").assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_file_that_others_may_read_or_write_is_warned_of_and_refused_if_told_so() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::new().unwrap();
    for (mode, words) in [
        (0o644, "others may read it (mode 0644)"),
        (0o666, "others may write it (mode 0666)"),
    ] {
        let file = secret_file(&tenant, &folder, "weak", mode);
        // Read by the group as well as by everybody; root's is given to a group.
        let run = || reading(&tenant, &file);
        assert_warned(
            run(),
            &format!("{} holds a secret, and {words}", file.display()),
        );
        assert_refused(run(), words);
        let run = run()
            .env("VAULTEXEC_STRICT_PERMISSIONS", "true")
            .child(SAY)
            .output();
        run.assert_code(125)
            .stderr_contains("(--strict-permissions)");
    }
    for mode in [0o600, 0o400] {
        let file = secret_file(&tenant, &folder, "good", mode);
        assert_silent(reading(&tenant, &file));
        assert_silent(reading(&tenant, &file).arg("--strict-permissions"));
        fs::remove_file(file).unwrap();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_file_of_another_user_is_warned_of() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "only root can read another user's file: run the tests as root, in a container if need be"
    );
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::new().unwrap();
    let file = secret_file(&tenant, &folder, "anothers", 0o600);
    chown(&file, Some(65534), None).unwrap();
    assert_warned(reading(&tenant, &file), "it belongs to user 65534");
    assert_refused(reading(&tenant, &file), "it belongs to user 65534");
    tenant.assert_nothing_left();
}

#[test]
fn as_kubernetes_and_systemd_put_it_there_a_file_is_all_right() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::new().unwrap();
    // A projected volume: links to a folder that is swapped as a whole.
    let version = folder.path().join("..2026_01_01_00_00_00.123");
    fs::create_dir(&version).unwrap();
    write(&version.join("secret-id"), &tenant.secret_id(), 0o644);
    symlink("..2026_01_01_00_00_00.123", folder.path().join("..data")).unwrap();
    symlink("..data/secret-id", folder.path().join("secret-id")).unwrap();
    let projected = folder.path().join("secret-id");
    assert_silent(reading(&tenant, &projected).arg("--strict-permissions"));
    let credentials = Folder::new().unwrap();
    let file = secret_file(&tenant, &credentials, "secret-id", 0o444);
    assert_silent(
        reading(&tenant, &file)
            .arg("--strict-permissions")
            .env("CREDENTIALS_DIRECTORY", credentials.path()),
    );
    assert_refused(reading(&tenant, &file), "others may read it");
    tenant.assert_nothing_left();
}

#[test]
fn the_file_that_was_read_is_removed_and_what_is_left_of_it_told() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::new().unwrap();
    let link = folder.path().join("link");
    let file = secret_file(&tenant, &folder, "file", 0o600);
    symlink(&file, &link).unwrap();
    assert_silent(reading(&tenant, &link).arg("--remove-secret-id-file"));
    assert!(
        !file.exists() && link.is_symlink(),
        "the link's file is to go"
    );

    let file = secret_file(&tenant, &folder, "one", 0o600);
    let hard = folder.path().join("other");
    fs::hard_link(&file, &hard).unwrap();
    assert_warned(
        reading(&tenant, &file).arg("--remove-secret-id-file"),
        "it has another name (a hard link)",
    );
    assert!(!file.exists() && hard.exists());
    tenant.assert_nothing_left();
}

#[test]
fn a_file_that_was_put_in_the_place_of_the_one_that_was_read_stays() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let folder = Folder::new().unwrap();
    let file = secret_file(&tenant, &folder, "file", 0o600);
    let hold = Hold::new();
    let proxy = harm(
        servers,
        RequestInfo::is_login,
        Fault::HoldAnswer(hold.clone()),
    );
    let run = reading(&tenant, &file)
        .env("VAULT_ADDR", proxy.url())
        .arg("--remove-secret-id-file")
        .child(SAY)
        .spawn();
    hold.wait_arrived();
    let next = secret_file(&tenant, &folder, "next", 0o600);
    fs::rename(&next, &file).unwrap();
    hold.release();
    let run = run.wait();
    run.assert_code(0)
        .stderr_contains("another file has taken its place since it was read");
    assert!(file.exists());
    tenant.assert_nothing_left();
}

#[test]
fn a_secret_that_was_given_in_place_of_its_file_is_not_in_the_error() {
    let tenant = Tenant::new(Servers::shared());
    let (id, token) = (tenant.secret_id(), tenant.wrapped_secret_id("60s"));
    for (variable, secret) in [
        ("VAULT_SECRET_ID_FILE", &id),
        ("VAULT_WRAPPED_SECRET_ID_FILE", &token),
    ] {
        for format in ["text", "json"] {
            let run = tenant.command_without_secret();
            let run = run
                .env("VAULT_ROLE_ID", tenant.role_id())
                .env(variable, secret);
            let run = run
                .args(["-vvv", "--log-format", format])
                .child(SAY)
                .output();
            // The canaries are looked for in all that it says.
            run.assert_code(125)
                .stderr_contains(variable)
                .stderr_contains("REDACTED");
        }
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_repeats_a_secret_of_another_call_gets_it_into_no_log() {
    use std::sync::{Arc, Mutex};
    let servers = Servers::shared();
    for format in ["text", "json"] {
        let tenant = Tenant::new(servers);
        let secret = tenant.secret_id();
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let said = format!("no, {secret} ({hex})");
        let body = serde_json::json!({"errors": [said]}).to_string();
        let proxy = harm(
            servers,
            RequestInfo::is_creds,
            Fault::Status(400, Vec::new(), body),
        );
        let run = tenant
            .command_without_secret()
            .env("VAULT_ADDR", proxy.url())
            .env("VAULT_ROLE_ID", tenant.role_id())
            .env("VAULT_SECRET_ID", &secret)
            .canaries(&Arc::new(Mutex::new(vec![hex])))
            .args(["-vvv", "--log-format", format])
            .child(SAY)
            .output();
        run.assert_code(125)
            .stderr_contains("no, REDACTED (REDACTED)");
        tenant.assert_nothing_left();
    }
}
