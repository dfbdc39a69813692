//! A token that was handed in: it is never revoked, and what was read with it is.

use crate::support::children::telling_who;
use crate::support::folder::write_secret;
use crate::support::*;
use serde_json::{Value, json};
use std::fs;

/// A tenant whose token may revoke leases.
fn tenant() -> Tenant {
    Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases)
}

/// What the server says of the token, if it still has it.
fn looked_up(tenant: &Tenant, token: &str) -> Option<Value> {
    let holder = tenant.admin().with_token(token);
    let answer = holder.read("auth/token/lookup-self").ok()?;
    Some(answer["data"].clone())
}

#[track_caller]
fn assert_alive_and_nothing_else(tenant: &Tenant, token: &str) {
    tenant.assert_nothing_left();
    assert!(looked_up(tenant, token).is_some(), "the token was revoked");
    let revoke = json!({ "token": token });
    tenant.admin().write("auth/token/revoke", revoke).unwrap();
}

/// vaultexec with nothing of a login yet.
fn bare(tenant: &Tenant) -> Run {
    let home = folder::Folder::new().unwrap();
    let run = tenant
        .command_without_secret()
        .env_remove("VAULTEXEC_AUTH_MOUNT");
    let run = run.env("HOME", home.path());
    std::mem::forget(home);
    run
}

const WHO: [&str; 3] = [
    "sh",
    "-c",
    "psql -XAtqc 'select 1' && echo \"${VAULT_TOKEN-no token}\"",
];

#[test]
fn a_token_in_the_variable_is_used_where_there_is_no_role_id_and_is_never_revoked() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h"}));
    let run = bare(&tenant).env("VAULT_TOKEN", &token).child(WHO).output();
    run.assert_code(0)
        .stdout_is("1\nno token\n")
        .assert_quiet_stderr();
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn a_token_is_read_from_a_file_from_standard_input_and_from_the_official_clients_place() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h"}));
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join(".vault-token");
    write_secret(&file, format!("{token}\n"));
    let runs = [
        bare(&tenant).arg("--token-file").arg(&file),
        bare(&tenant)
            .env("VAULTEXEC_TOKEN_FILE", &file)
            .env("VAULTEXEC_AUTH", "token"),
        bare(&tenant)
            .args(["--token-file", "-"])
            .stdin_bytes(token.clone()),
        bare(&tenant).env("HOME", folder.path()),
    ];
    for run in runs {
        let run = run.child(WHO).output();
        run.assert_code(0)
            .stdout_is("1\nno token\n")
            .assert_quiet_stderr();
    }
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn a_lease_that_the_tokens_policy_cannot_revoke_is_told_with_the_line_that_is_missing() {
    let tenant = Tenant::new(Servers::shared());
    let token = tenant.token(json!({"ttl": "1h"}));
    let run = bare(&tenant).env("VAULT_TOKEN", &token).child(WHO).output();
    run.assert_code(0)
        .stderr_contains("could not be revoked: ")
        .stderr_contains("path \"sys/leases/revoke\" { capabilities = [\"update\"] }");
    let strict = bare(&tenant)
        .env("VAULT_TOKEN", &token)
        .arg("--strict-revoke")
        .child(["true"])
        .output();
    strict
        .assert_code(125)
        .stderr_contains("--strict-revoke asks for");
    assert!(
        looked_up(&tenant, &token).is_some(),
        "the token was revoked"
    );
    tenant.sweep();
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn killed_it_leaves_the_token_and_the_companion_revokes_the_lease() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h"}));
    let run = bare(&tenant)
        .env("VAULT_TOKEN", &token)
        .child(Probe::signals())
        .stdin_piped()
        .spawn();
    run.wait_for_line("ready");
    assert_eq!(tenant.roles().len(), 1);
    run.signal(libc::SIGKILL);
    assert_eq!(Probe::next_signal(&run).0, "TERM");
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn a_renewable_token_is_renewed_by_what_it_was_issued_for() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "6s", "explicit_max_ttl": "10m"}));
    let proxy = pass(Servers::shared());
    let run = telling_who(
        bare(&tenant)
            .env("VAULT_ADDR", proxy.url())
            .env("VAULT_TOKEN", &token),
    )
    .spawn();
    run.wait_for_line("start");
    let renewed = poll_until(std::time::Duration::from_secs(60), || {
        (proxy.count(RequestInfo::is_token_renew) >= 3).then_some(())
    });
    assert!(renewed.is_some(), "it is not renewed");
    for request in proxy
        .requests()
        .iter()
        .filter(|request| request.is_token_renew())
    {
        assert_eq!(request.json()["increment"], 6);
    }
    run.signal(libc::SIGTERM);
    run.wait().assert_code(7).assert_quiet_stderr();
    assert_eq!(proxy.count(RequestInfo::is_revoke_self), 0);
    tenant.assert_nothing_left();
}

#[test]
fn where_the_token_ends_the_one_that_was_written_into_its_file_is_used() {
    let tenant = tenant();
    let first = tenant.token(json!({"ttl": "8s", "renewable": false}));
    let second = tenant.token(json!({"ttl": "1h"}));
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join("token");
    write_secret(&file, &first);
    let run = telling_who(bare(&tenant).arg("--token-file").arg(&file).arg("-v")).spawn();
    run.wait_for_line("start");
    run.wait_for_stderr("unless a new one is delivered into");
    write_secret(&folder.path().join("new"), &second);
    fs::rename(folder.path().join("new"), &file).unwrap();
    run.wait_for_line("start");
    run.signal(libc::SIGTERM);
    run.wait().assert_code(7);
    assert_alive_and_nothing_else(&tenant, &second);
}

#[test]
fn where_the_token_ends_and_there_is_no_other_the_command_is_told_to_end() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "8s", "renewable": false}));
    let run = telling_who(bare(&tenant).env("VAULT_TOKEN", &token)).output();
    run.assert_code(125)
        .stderr_contains("there is only the token that was handed in");
    tenant.assert_nothing_left();
}

#[test]
fn a_lease_that_ends_is_replaced_with_the_same_token() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h"}));
    let run = telling_who(bare(&tenant).env("VAULT_TOKEN", &token)).spawn();
    let first = run.wait_for_line("start");
    tenant.revoke_lease(&tenant.leases()[0]);
    run.signal(libc::SIGCONT);
    assert_ne!(first, run.wait_for_line("start"));
    run.signal(libc::SIGTERM);
    run.wait()
        .assert_code(7)
        .stderr_contains("restarting the command");
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn batch_tokens_and_counted_ones_do() {
    let tenant = tenant();
    for fields in [
        json!({"type": "batch", "ttl": "1h"}),
        json!({"ttl": "1h", "num_uses": 20}),
    ] {
        let token = tenant.token(fields);
        let run = bare(&tenant)
            .env("VAULT_TOKEN", &token)
            .child(["true"])
            .output();
        run.assert_code(0).assert_quiet_stderr();
        tenant.assert_nothing_left();
        assert!(
            looked_up(&tenant, &token).is_some(),
            "the token was revoked"
        );
    }
}

#[test]
fn a_token_that_will_not_do_is_told_and_not_shown() {
    let tenant = tenant();
    let unknown = "s.hunter2hunter2hunter2hu";
    let spent = tenant.token(json!({"ttl": "1h", "num_uses": 1}));
    let other = tenant
        .admin()
        .write("auth/token/create", json!({"policies": ["default"]}))
        .unwrap();
    let other = tenant.remember(vault::text(&other["auth"]["client_token"]));
    for (token, needle) in [
        (unknown, "the token is wrong, has expired or was revoked"),
        (&spent, "has no use left"),
        (&other, "a policy of this login needs this line"),
        ("{\"auth\": {}}", "VAULT_TOKEN: it holds JSON"),
    ] {
        let run = bare(&tenant).env("VAULT_TOKEN", token).canary(unknown);
        let run = run
            .args(["-vvv", "--log-format", "json"])
            .child(["true"])
            .output();
        run.assert_code(125).stdout_is("");
        assert!(run.err().contains(needle), "{needle} in {}", run.err());
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_token_that_may_not_be_looked_up_is_used_all_the_same() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h", "no_default_policy": true}));
    let run = bare(&tenant).env("VAULT_TOKEN", &token).child(WHO).output();
    run.assert_code(0)
        .stderr_contains("may not be looked up")
        .stderr_contains("path \"auth/token/lookup-self\" { capabilities = [\"read\"] }");
    tenant.assert_nothing_left();
    let revoke = json!({ "token": token });
    tenant.admin().write("auth/token/revoke", revoke).unwrap();
}

#[test]
fn credentials_whose_answer_was_lost_are_told_since_they_cannot_go_with_the_token() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h"}));
    let proxy = harm(Servers::shared(), RequestInfo::is_creds, Fault::ResetAfter);
    let run = bare(&tenant)
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_TOKEN", &token)
        .child(["true"])
        .output();
    run.assert_code(125)
        .stdout_is("")
        .stderr_contains("the answer with it was lost, and its token was handed in");
    assert_eq!(proxy.count(RequestInfo::is_creds), 1);
    assert!(
        looked_up(&tenant, &token).is_some(),
        "the token was revoked"
    );
    tenant.sweep();
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn at_the_loudest_level_the_token_is_in_no_output() {
    let tenant = tenant();
    let token = tenant.token(json!({"ttl": "1h"}));
    for format in ["text", "json"] {
        let run = bare(&tenant)
            .env("VAULT_TOKEN", &token)
            .args(["-vvv", "--log-format", format])
            .child(["true"])
            .output();
        run.assert_code(0)
            .stdout_is("")
            .stderr_contains("the token that was handed in lives for");
        let shown = bare(&tenant)
            .env("VAULT_TOKEN", &token)
            .arg("--print-config")
            .output();
        shown.assert_code(0);
        assert!(
            shown.out().contains("# VAULT_TOKEN = set, and not shown"),
            "{}",
            shown.out()
        );
    }
    assert_alive_and_nothing_else(&tenant, &token);
}

#[test]
fn a_check_with_a_token_says_what_its_policy_lacks_and_leaves_it_alone() {
    let tenant = Tenant::new(Servers::shared());
    let token = tenant.token(json!({"ttl": "1h"}));
    let run = bare(&tenant)
        .env("VAULT_TOKEN", &token)
        .arg("check")
        .output();
    run.assert_code(0);
    for needle in [
        "logged in at auth/token",
        "by the token that was handed in",
        "without it the lease stays until it ends by itself, since the token is not revoked",
    ] {
        assert!(run.out().contains(needle), "{needle} in {}", run.out());
    }
    assert_alive_and_nothing_else(&tenant, &token);
}
