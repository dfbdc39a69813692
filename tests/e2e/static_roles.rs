//! Static roles: a database user that stays, whose password the server changes now and then. There is no lease.

use crate::support::*;
use serde_json::json;

/// A tenant that may read a static role, and nothing else; its path and its user.
fn tenant_of_static_role(rotation_period: &str) -> (Tenant, String) {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.policy("path \"database/static-creds/{role}-static\" { capabilities = [\"read\"] }\n")
    });
    let role = format!("{}-static", tenant.database_role());
    let user = role.replace('-', "_");
    servers.postgres.sql(&format!("CREATE ROLE {user} LOGIN"));
    let body = json!({"db_name": "appdb", "username": user, "rotation_period": rotation_period});
    tenant
        .admin()
        .write(&format!("database/static-roles/{role}"), body)
        .unwrap();
    (tenant, format!("database/static-creds/{role}"))
}

/// Stops the rotations, and what they would write into the log of the servers.
fn end_static_role(tenant: &Tenant, path: &str) {
    let path = path.replace("static-creds", "static-roles");
    tenant.admin().delete(&path).unwrap();
    tenant.assert_nothing_left();
}

#[test]
fn a_command_is_started_again_with_each_new_password_of_a_static_role() {
    let (tenant, path) = tenant_of_static_role("10s");
    let script = "psql -XAtqc 'select 1' && echo up $(echo $PGPASSWORD | sha256sum); exec sleep 60";
    let run = tenant
        .command()
        .args(["--creds", &path])
        .child(["sh", "-c", script])
        .spawn();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let line = run.wait_for_line("up ");
        assert!(
            !seen.contains(&line),
            "started again with the same password: {line}"
        );
        seen.push(line);
    }
    run.signal(libc::SIGTERM);
    let done = run.wait();
    done.assert_killed_by(libc::SIGTERM).assert_only_restarts(2);
    done.stderr_contains("the static role's password was changed");
    end_static_role(&tenant, &path);
}

#[test]
fn a_new_password_of_a_static_role_is_told_of_or_ends_the_command_as_the_user_wants() {
    for (action, code) in [("warn", 3), ("stop", 125), ("signal:USR1", 7)] {
        let (tenant, path) = tenant_of_static_role("5s");
        let script = "trap 'exit 7' USR1; trap 'exit 0' TERM; i=0; while [ $i -lt 160 ]; do sleep 0.1; i=$((i+1)); done; exit 3";
        let run = tenant
            .command()
            .args(["--creds", &path, "--on-expiry", action, "-v"])
            .child(["sh", "-c", script])
            .output();
        run.assert_code(code);
        run.stderr_contains("the static role's password was changed");
        end_static_role(&tenant, &path);
    }
}

#[test]
fn a_new_password_beside_a_lease_replaces_both() {
    let (tenant, path) = tenant_of_static_role("10s");
    let script = "psql -XAtqc 'select 1' && psql \"$FIXED_DATABASE_URL\" -XAtqc 'select 1' && echo up $PGUSER; exec sleep 60";
    let run = tenant
        .command()
        .args([
            "--creds",
            &tenant.creds_path(),
            "--creds",
            &format!("fixed={path}"),
        ])
        .child(["sh", "-c", script])
        .spawn();
    let first = run.wait_for_line("up v-");
    let second = run.wait_for_line("up v-");
    assert_ne!(first, second);
    tenant.wait_for_roles(1);
    run.signal(libc::SIGTERM);
    run.wait()
        .assert_killed_by(libc::SIGTERM)
        .assert_only_restarts(1);
    end_static_role(&tenant, &path);
}

#[test]
fn the_credentials_of_a_static_role_are_handed_over_and_only_the_token_is_revoked() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.policy("path \"database/static-creds/{role}-static\" { capabilities = [\"read\"] }\n")
    });
    let role = format!("{}-static", tenant.database_role());
    let user = role.replace('-', "_");
    servers.postgres.sql(&format!("CREATE ROLE {user} LOGIN"));
    let body = json!({"db_name": "appdb", "username": user, "rotation_period": "24h"});
    tenant
        .admin()
        .write(&format!("database/static-roles/{role}"), body)
        .unwrap();
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let path = format!("database/static-creds/{role}");
    let script = "psql -XAtqc 'select current_user' && echo \"lease=${VAULTEXEC_LEASE_ID-none} \
                  end=${VAULTEXEC_EXPIRES_AT-none}\"";
    let run = tenant
        .through(&proxy)
        .args(["--creds", &path, "--strict-revoke"])
        // An outer run's lease is none of this one's.
        .env("VAULTEXEC_LEASE_ID", "outer")
        .env("VAULTEXEC_EXPIRES_AT", "outer")
        .args(["--keep-env", "VAULTEXEC_*"])
        .child(["sh", "-c", script])
        .output();
    run.assert_code(0)
        .stdout_is(&format!("{user}\nlease=none end=none\n"))
        .assert_quiet_stderr();
    let paths: Vec<String> = proxy
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    // Whether leases could be revoked is asked for before it is known that there is none.
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert!(paths[3].ends_with("auth/token/revoke-self"), "{paths:?}");
    tenant.assert_nothing_left();
    let still = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{user}'");
    assert_eq!(servers.postgres.sql(&still), "1");
}
