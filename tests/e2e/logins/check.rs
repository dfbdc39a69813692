//! `vaultexec check` logs in as a run does, by every method.

use super::Other;
use crate::support::folder::{Folder, write_secret};
use crate::support::*;
use serde_json::json;

#[test]
fn a_password_is_checked_and_its_token_given_back() {
    let other = Other::enable("userpass");
    let user = json!({"password": "hunter2", "token_policies": [other.tenant.policy()]});
    other.write("users/ann", user);
    let folder = Folder::new().unwrap();
    let file = folder.path().join("password");
    write_secret(&file, "hunter2");
    let command = || {
        let command = other.command("userpass").args(["--username", "ann"]);
        command.arg("--password-file").arg(&file).arg("check")
    };
    let run = command().output();
    run.assert_code(0).assert_quiet_stderr();
    let wanted = format!(
        "✓ logged in at {} as ann with the policies default, {}",
        other.tenant.auth_path(),
        other.tenant.policy()
    );
    assert!(run.out().contains(&wanted), "{run}");
    other.tenant.assert_nothing_left();
    write_secret(&file, "wrong");
    let run = command().output();
    run.assert_code(125);
    assert!(run.out().contains("✗ cannot log in at auth/"), "{run}");
    other.tenant.assert_nothing_left();
}

#[test]
fn a_token_that_was_handed_in_is_checked_and_stays() {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    let token = tenant.login();
    let command = || tenant.command_without_secret().env("VAULT_TOKEN", &token);
    for _ in 0..2 {
        let run = command().arg("check").output();
        run.assert_code(0).assert_quiet_stderr();
        assert!(
            run.out().contains("the policy lets it read credentials"),
            "{run}"
        );
        assert!(!run.out().contains("revoke its token"), "{run}");
    }
    command()
        .child(["echo", "ran"])
        .output()
        .assert_code(0)
        .stdout_is("ran\n");
    assert_eq!(tenant.tokens().len(), 1);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
}
