//! Ways to log in other than AppRole, each against the real server.

mod cert;
mod check;
mod jwt;
mod kubernetes;
mod passwords;
mod recipes;
mod repeated;
mod token;

use crate::support::*;
use serde_json::{Value, json};

/// A tenant that logs in by another method, at the mount that stands where its AppRole one would: so the oracle counts its
/// tokens too.
pub struct Other {
    tenant: Tenant,
    mount: String,
}

impl Other {
    /// Enables a method at a mount of its own.
    fn enable(method: &str) -> Self {
        let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
        let mount = tenant.auth_path();
        let mount = mount.strip_prefix("auth/").unwrap().to_owned();
        tenant.admin().delete(&format!("sys/auth/{mount}")).unwrap();
        let path = format!("sys/auth/{mount}");
        tenant
            .admin()
            .write(&path, json!({ "type": method }))
            .unwrap();
        Self { tenant, mount }
    }

    /// Writes below the mount.
    fn write(&self, path: &str, body: Value) {
        let path = format!("auth/{}/{path}", self.mount);
        self.tenant.admin().write(&path, body).unwrap();
    }

    /// vaultexec with that method and nothing else of a login.
    fn command(&self, method: &str) -> Run {
        let run = self.tenant.command_without_secret();
        run.env("VAULTEXEC_AUTH", method)
    }
}

/// A child that shows who it is in the database, and what it sees of the login.
const WHO: [&str; 3] = [
    "sh",
    "-c",
    "psql -XAtqc 'select 1' && env | grep -c -e ^VAULT_TOKEN -e ^VAULTEXEC_JWT -e ^VAULTEXEC_PASSWORD || true",
];

/// The login worked, and nothing is left.
#[track_caller]
fn assert_works(other: &Other, run: Run) {
    let run = run.child(WHO).output();
    run.assert_code(0).stdout_is("1\n0\n").assert_quiet_stderr();
    other.tenant.assert_nothing_left();
}
