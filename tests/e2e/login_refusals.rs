//! Logins that the server refuses for a reason of its own, which is named; and no more of them than it bears.

use crate::support::*;
use serde_json::json;

const SAY: [&str; 2] = ["echo", "ran"];
const WRONG: &str = "11111111-2222-3333-4444-555555555555";

#[test]
fn a_second_factor_that_the_mount_wants_is_named() {
    let servers = Servers::shared();
    let (admin, tenant) = (servers.admin(), Tenant::new(servers));
    let mounts = admin.read("sys/auth").unwrap();
    let mount = tenant.auth_path().replace("auth/", "") + "/";
    let accessor = mounts["data"][&mount]["accessor"].clone();
    let method = admin
        .write(
            "identity/mfa/method/totp",
            json!({"issuer": "tests", "period": 30}),
        )
        .unwrap();
    let enforcement = format!("identity/mfa/login-enforcement/{}", tenant.policy());
    let body = json!({
        "mfa_method_ids": [method["data"]["method_id"]],
        "auth_method_accessors": [accessor],
    });
    admin.write(&enforcement, body).unwrap();
    let proxy = pass(servers);
    let run = tenant.through(&proxy).child(SAY).output();
    admin.delete(&enforcement).unwrap();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("second factor")
        .stderr_contains("MFA")
        .stderr_contains("identity/mfa/login-enforcement")
        .stderr_contains(&tenant.auth_path());
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
    tenant.command().child(SAY).output().assert_code(0);
    tenant.assert_nothing_left();
}

#[test]
fn a_role_that_the_server_has_locked_is_named_as_such() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let body = json!({"role_id": tenant.role_id(), "secret_id": WRONG});
    let path = format!("{}/login", tenant.auth_path());
    for _ in 0..5 {
        let refused = servers.admin().with_token("").write(&path, body.clone());
        assert_eq!(refused.unwrap_err().status, 400);
    }
    let proxy = pass(servers);
    let run = tenant.through(&proxy).child(SAY).output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("(403)").stderr_contains("user lockout");
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
}

#[test]
fn a_wrong_secret_id_is_not_shown_to_a_cluster_so_often_that_the_role_is_locked() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    // As a standby has it, which may be behind.
    let standby = || {
        let health = |request: &RequestInfo| request.path.contains("sys/health");
        harm(
            servers,
            health,
            Fault::Status(429, Vec::new(), "{}".to_owned()),
        )
    };
    let others: Vec<FaultProxy> = (0..3).map(|_| standby()).collect();
    let urls: Vec<String> = others.iter().map(FaultProxy::url).collect();
    for addresses in [urls[0].clone(), urls.join(",")] {
        let tenant = Tenant::new(servers);
        let run = tenant
            .command()
            .env("VAULT_ADDR", addresses)
            .env("VAULT_SECRET_ID", WRONG)
            .child(SAY)
            .output();
        run.assert_code(125)
            .stdout_is("")
            .stderr_contains("invalid role or secret ID (400)");
        let path = tenant.login_path();
        let logins = |proxy: &FaultProxy| {
            let requests = proxy.requests();
            requests
                .iter()
                .filter(|request| request.path == path)
                .count()
        };
        let shown: usize = others.iter().map(logins).sum();
        assert!((2..=3).contains(&shown), "shown {shown} times: {run}");
        // The role is not locked.
        tenant.command().child(SAY).output().assert_code(0);
        tenant.assert_nothing_left();
    }
    tenant.assert_nothing_left();
}
