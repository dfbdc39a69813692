//! Static roles: a database user that stays, whose password the server changes now and then. There is no lease.

use crate::support::*;
use serde_json::json;

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
