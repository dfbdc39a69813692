//! userpass and ldap, with a password file or a question at the terminal. OpenBao has no ldap of its own any more: its
//! requests are the same, so that a userpass mount stands in for it.

use super::{Other, WHO, assert_works};
use crate::support::children::telling_who;
use crate::support::folder::write_secret;
use crate::support::*;
use serde_json::json;
use std::fs;

/// Blanks and quotes are characters like others.
const PASSWORD: &str = " \"hunter2 hunter3\" ";

fn enabled() -> Other {
    let other = Other::enable("userpass");
    let user = json!({"password": PASSWORD, "token_policies": [other.tenant.policy()]});
    other.write("users/ann", user);
    other.tenant.remember(PASSWORD.trim().to_owned());
    other.tenant.remember("hunter2".to_owned());
    other
}

fn logins(proxy: &FaultProxy) -> usize {
    proxy.count(|request| request.path.contains("/login/"))
}

#[test]
fn a_password_of_a_file_or_of_standard_input_logs_in() {
    let other = enabled();
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join("password");
    write_secret(&file, format!("{PASSWORD}\n"));
    for method in ["userpass", "ldap"] {
        let command = || other.command(method).args(["--username", "ann"]);
        assert_works(&other, command().env("VAULTEXEC_PASSWORD_FILE", &file));
        assert_works(&other, command().arg("--password-file").arg(&file));
        assert_works(
            &other,
            command()
                .args(["--password-file", "-"])
                .stdin_bytes(PASSWORD),
        );
    }
    // By the method's own name, where the mount has it.
    let run = other
        .command("ldap")
        .env_remove("VAULTEXEC_AUTH_MOUNT")
        .args(["--username", "ann"]);
    let run = run
        .arg("--password-file")
        .arg(&file)
        .child(["true"])
        .output();
    run.assert_code(125).stderr_contains("at auth/ldap: ");
}

#[test]
fn a_wrong_password_is_shown_once_and_in_no_output() {
    let other = enabled();
    for log in [["-vvv", "--log-format=text"], ["-vvv", "--log-format=json"]] {
        let proxy = pass(Servers::shared());
        let run = other
            .command("userpass")
            .env("VAULT_ADDR", proxy.url())
            .args(["--username", "ann", "--password-file", "-"]);
        let run = run
            .args(log)
            .stdin_bytes("hunter2-and-wrong")
            .canary("hunter2-and-wrong")
            .child(["true"])
            .output();
        run.assert_code(125)
            .stdout_is("")
            .stderr_contains("the user or the password is wrong");
        assert_eq!(logins(&proxy), 1);
    }
    // One whose answers are lost is not shown until the server locks the user out.
    let proxy = harm(
        Servers::shared(),
        |request| request.path.contains("/login/"),
        Fault::ResetAfter,
    );
    let run = other
        .command("userpass")
        .env("VAULT_ADDR", proxy.url())
        .args(["--username", "ann", "--password-file", "-"]);
    let run = run
        .stdin_bytes("hunter2-and-wrong")
        .child(["true"])
        .output();
    run.assert_code(125);
    assert_eq!(logins(&proxy), 2);
    other.tenant.assert_nothing_left();
}

#[test]
fn in_mid_life_a_password_that_was_changed_is_tried_once_and_the_new_one_used() {
    let other = enabled();
    other.write("users/ann", json!({"token_ttl": "24s", "token_max_ttl": "24s", "token_policies": [other.tenant.policy()]}));
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join("password");
    write_secret(&file, PASSWORD);
    let proxy = pass(Servers::shared());
    let run = other
        .command("userpass")
        .env("VAULT_ADDR", proxy.url())
        .args(["--username", "ann"]);
    let run = telling_who(
        run.args(["--stop-timeout", "500ms", "--password-file"])
            .arg(&file),
    )
    .spawn();
    run.wait_for_line("start");
    other.write("users/ann/password", json!({"password": "another one"}));
    run.wait_for_stderr("invalid username or password");
    // The file is looked at every second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(logins(&proxy), 2, "the first login and the refused one");
    write_secret(&folder.path().join("new"), "another one");
    fs::rename(folder.path().join("new"), &file).unwrap();
    run.wait_for_line("start");
    run.signal(libc::SIGTERM);
    run.wait().assert_code(7);
    other.tenant.assert_nothing_left();
}

#[test]
fn what_is_missing_or_no_name_is_told() {
    let other = enabled();
    let run = other
        .command("userpass")
        .args(["--password-file", "/etc"])
        .child(["true"])
        .output();
    run.assert_code(125)
        .stderr_contains("--username (VAULTEXEC_USERNAME): it is missing")
        .stderr_contains("--password-file: cannot read /etc: Is a directory");
    let run = other
        .command("userpass")
        .args(["--username", "../x"])
        .child(["true"])
        .output();
    run.assert_code(125)
        .stderr_contains("--username: \"../x\" is no user's name");
    let run = other
        .command("userpass")
        .args(["--username", "ann"])
        .child(["true"])
        .output();
    run.assert_code(125).stderr_contains(
        "--password-file (VAULTEXEC_PASSWORD_FILE): the password is missing: there is no terminal",
    );
    other.tenant.assert_nothing_left();
}

#[test]
fn at_the_terminal_the_password_is_asked_for_and_not_shown() {
    let other = enabled();
    let pty = Pty::new();
    let before = pty.settings();
    let run = pty.spawn(
        other
            .command("userpass")
            .args(["--username", "ann"])
            .child(WHO),
    );
    pty.wait_for(&format!("Password of ann ({}): ", other.tenant.auth_path()));
    assert!(!pty.is_cooked());
    pty.type_line(PASSWORD);
    pty.wait_for("1\r\n0\r\n");
    run.wait().assert_code(0);
    assert_eq!(pty.settings(), before);
    assert!(!pty.text().contains("hunter"), "{}", pty.text());
    other.tenant.assert_nothing_left();
}

#[test]
fn what_ends_the_question_leaves_the_terminal_as_it_was() {
    let other = enabled();
    for (signal, keys) in [
        (libc::SIGINT, Some(pty::CTRL_C)),
        (libc::SIGQUIT, Some(pty::CTRL_BACKSLASH)),
        (libc::SIGTERM, None),
        (libc::SIGHUP, None),
    ] {
        let pty = Pty::new();
        let before = pty.settings();
        let proxy = pass(Servers::shared());
        let run = other
            .command("userpass")
            .env("VAULT_ADDR", proxy.url())
            .args(["--username", "ann"]);
        let run = pty.spawn(run.child(WHO));
        pty.wait_for("Password of ann");
        // A half of the answer, and a stop that does nothing.
        pty.type_keys("hunt");
        pty.type_keys(pty::CTRL_Z);
        match keys {
            Some(keys) => pty.type_keys(keys),
            None => run.signal(signal),
        }
        run.wait().assert_killed_by(signal);
        assert_eq!(pty.settings(), before, "{signal}");
        assert_eq!(proxy.requests().len(), 0);
        assert!(!pty.text().contains("hunt"), "{}", pty.text());
    }
    other.tenant.assert_nothing_left();
}

#[test]
fn no_answer_at_the_terminal_is_told_and_asked_for_no_more() {
    let other = enabled();
    for keys in ["\n", pty::CTRL_D] {
        let pty = Pty::new();
        let before = pty.settings();
        let run = pty.spawn(
            other
                .command("userpass")
                .args(["--username", "ann"])
                .child(["true"]),
        );
        pty.wait_for("Password of ann");
        pty.type_keys(keys);
        pty.wait_for("nothing was entered");
        run.wait().assert_code(125);
        assert_eq!(pty.settings(), before);
    }
    other.tenant.assert_nothing_left();
}

#[test]
fn a_job_in_the_background_is_told_that_it_cannot_ask() {
    let other = enabled();
    let pty = Pty::new();
    let run = other
        .command("userpass")
        .args(["--username", "ann"])
        .child(["true"]);
    let line = run.shell_line();
    let shell = pty.bash(run);
    pty.type_line(&format!("{line} &"));
    pty.wait_for("cannot be asked for at the terminal by a job in the background");
    pty.type_line("exit");
    shell.wait();
    other.tenant.assert_nothing_left();
}
