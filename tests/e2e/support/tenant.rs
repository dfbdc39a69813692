//! One application of the tutorial, with names of its own, so that tests run side by side on the shared servers; and the
//! oracle that says whether anything of it is left behind.

use super::admin::{Admin, Refused};
use super::poll_until;
use super::postgres::{self, Postgres};
use super::run::Run;
use super::servers::{Servers, connection};
use super::vault::text;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The tutorial's creation statements.
pub const CREATION: &str = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
     GRANT SELECT ON ALL TABLES IN SCHEMA public TO \"{{name}}\";";

/// A password policy with every character that breaks a naive URL.
pub const NASTY_PASSWORD_POLICY: &str =
    r#"length = 24 rule "charset" { charset = "@:/?#[]%&+ ;=!$(){}|~^`\"\\<>," min-chars = 24 }"#;

/// That policy for a hand-over: without the blank where a service file holds the password, since none may end with one there.
pub fn nasty_password_policy(handover: &str) -> String {
    match handover {
        "service" => NASTY_PASSWORD_POLICY.replace("+ ;", "+;"),
        _ => NASTY_PASSWORD_POLICY.to_owned(),
    }
}

/// How long the oracle waits for what the server does in the background. That is done in milliseconds, unless the database
/// refuses because somebody else changes the same row just then ("tuple concurrently updated"): then after 10 to 30 seconds, and
/// after twice as many once more.
const PATIENCE: Duration = Duration::from_secs(120);

/// What differs from the tutorial; made by `Tenant::with`.
#[derive(Default)]
pub struct TenantSpec {
    database_role: Map<String, Value>,
    approle: Map<String, Value>,
    extra_policy: String,
    password_policy: Option<String>,
    approle_mount: Option<String>,
    own_database_mount: Option<String>,
}

impl TenantSpec {
    /// The lease's first duration, e.g. `5s`; 1h as in the tutorial.
    pub fn default_ttl(self, ttl: &str) -> Self {
        self.database_role("default_ttl", ttl)
    }

    /// No renewal extends a lease past it; 24h as in the tutorial.
    pub fn max_ttl(self, ttl: &str) -> Self {
        self.database_role("max_ttl", ttl)
    }

    /// The SQL that makes a role.
    pub fn creation_statements(self, sql: &str) -> Self {
        self.database_role("creation_statements", sql)
    }

    /// The SQL that takes a role away.
    pub fn revocation_statements(self, sql: &str) -> Self {
        self.database_role("revocation_statements", sql)
    }

    /// Any other field of `database/roles/<role>`.
    pub fn database_role(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.database_role.insert(field.to_owned(), value.into());
        self
    }

    /// The token's first duration; 1h as in the tutorial.
    pub fn token_ttl(self, ttl: &str) -> Self {
        self.approle("token_ttl", ttl)
    }

    /// No renewal extends the token past it; 4h as in the tutorial.
    pub fn token_max_ttl(self, ttl: &str) -> Self {
        self.approle("token_max_ttl", ttl)
    }

    /// Calls a token is good for.
    pub fn token_num_uses(self, uses: u64) -> Self {
        self.approle("token_num_uses", uses)
    }

    /// `batch` or `service`.
    pub fn token_type(self, kind: &str) -> Self {
        self.approle("token_type", kind)
    }

    /// A periodic token.
    pub fn token_period(self, period: &str) -> Self {
        self.approle("token_period", period)
    }

    /// Logins a secret id is good for; 10 as in the tutorial.
    pub fn secret_id_num_uses(self, uses: u64) -> Self {
        self.approle("secret_id_num_uses", uses)
    }

    /// Log in with the role id alone.
    pub fn without_secret_id(self) -> Self {
        // The server refuses a role without any constraint.
        self.approle("bind_secret_id", false)
            .approle("token_bound_cidrs", "127.0.0.0/8")
    }

    /// Any other field of `auth/approle/role/<role>`.
    pub fn approle(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.approle.insert(field.to_owned(), value.into());
        self
    }

    /// More policy text. `{mount}` and `{role}` stand for the database mount and role.
    pub fn policy(mut self, text: &str) -> Self {
        self.extra_policy.push_str(text);
        self
    }

    /// Allows `sys/leases/revoke`, which neither the tutorial's policy nor the default one does.
    pub fn may_revoke_leases(self) -> Self {
        self.policy("path \"sys/leases/revoke\" { capabilities = [\"update\"] }\n")
    }

    /// Passwords by a policy of their own, e.g. `NASTY_PASSWORD_POLICY`.
    pub fn password_policy(mut self, policy: &str) -> Self {
        self.password_policy = Some(policy.to_owned());
        self
    }

    /// Log in at `auth/<path>` instead of a mount of the tenant's own. Take a path that no other tenant of the server has:
    /// `approle`, the default, only on a server that has no other.
    pub fn approle_mount(mut self, path: &str) -> Self {
        self.approle_mount = Some(path.to_owned());
        self
    }

    /// Credentials from `<path>/creds/…` instead of `database/creds/…`. Take a path no other test has.
    pub fn database_mount(mut self, path: &str) -> Self {
        self.own_database_mount = Some(path.to_owned());
        self
    }
}

/// A way to make a tenant other than the tutorial's.
pub type Change = fn(TenantSpec) -> TenantSpec;

/// One application: a database role, a policy and an AppRole role.
pub struct Tenant {
    admin: Admin,
    postgres: Arc<Postgres>,
    vault_url: String,
    database_mount: String,
    database_role: String,
    approle_mount: String,
    approle_role: String,
    policy: String,
    bind_secret_id: bool,
    // All the secrets handed out so far: they must not occur in any output of a run made from here.
    canaries: Arc<Mutex<Vec<String>>>,
}

impl Tenant {
    /// As in the tutorial.
    pub fn new(servers: &Servers) -> Self {
        Self::with(servers, |spec| spec)
    }

    /// As in the tutorial but for what `change` says, e.g. `|spec| spec.default_ttl("5s")`.
    pub fn with(servers: &Servers, change: impl FnOnce(TenantSpec) -> TenantSpec) -> Self {
        Self::on(
            servers.admin(),
            &servers.postgres,
            servers.vault.url(),
            change,
        )
    }

    /// As `with`, on the server of that administrator.
    pub fn on(
        admin: Admin,
        postgres: &Arc<Postgres>,
        vault_url: String,
        change: impl FnOnce(TenantSpec) -> TenantSpec,
    ) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let spec = change(TenantSpec::default());
        // Usernames carry the first 8 characters of the role: they have to tell this tenant from all others.
        let tag = format!("t{:06}x", COUNTER.fetch_add(1, Ordering::Relaxed));
        let tenant = Self {
            admin,
            postgres: Arc::clone(postgres),
            vault_url,
            database_mount: spec
                .own_database_mount
                .clone()
                .unwrap_or_else(|| "database".to_owned()),
            database_role: format!("{tag}-app-role"),
            approle_mount: spec
                .approle_mount
                .clone()
                .unwrap_or_else(|| format!("approle-{tag}")),
            approle_role: format!("{tag}-myapp"),
            policy: format!("{tag}-app-policy"),
            bind_secret_id: spec.approle.get("bind_secret_id") != Some(&Value::Bool(false)),
            canaries: Arc::default(),
        };
        tenant.set_up(spec, &tag);
        tenant
    }

    /// The administrator's client.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The path of a login as requests have it, `/v1/auth/<mount>/login`.
    pub fn login_path(&self) -> String {
        format!("/v1/auth/{}/login", self.approle_mount)
    }

    /// `auth/<mount>`.
    pub fn auth_path(&self) -> String {
        format!("auth/{}", self.approle_mount)
    }

    /// The path that is read for credentials, `database/creds/<role>`.
    pub fn creds_path(&self) -> String {
        format!("{}/creds/{}", self.database_mount, self.database_role)
    }

    /// The name below `<mount>/roles/`.
    pub fn database_role(&self) -> &str {
        &self.database_role
    }

    /// The name below `auth/<mount>/role/`.
    pub fn approle_role(&self) -> &str {
        &self.approle_role
    }

    /// `auth/<mount>/role/<role>`.
    pub fn approle_path(&self) -> String {
        format!("auth/{}/role/{}", self.approle_mount, self.approle_role)
    }

    /// The policy's name.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The role id.
    pub fn role_id(&self) -> String {
        text(
            &self
                .admin
                .read(&format!("{}/role-id", self.approle_path()))
                .unwrap()["data"]["role_id"],
        )
    }

    /// A new secret id at every call.
    pub fn secret_id(&self) -> String {
        let answer = self
            .admin
            .write(&format!("{}/secret-id", self.approle_path()), json!({}))
            .unwrap();
        self.remember(text(&answer["data"]["secret_id"]))
    }

    /// A wrapping token, good for `ttl`, around a new secret id.
    pub fn wrapped_secret_id(&self, ttl: &str) -> String {
        let path = format!("{}/secret-id", self.approle_path());
        let answer = self.admin.write_wrapped(&path, json!({}), ttl).unwrap();
        self.remember(text(&answer["wrap_info"]["token"]))
    }

    /// A token with the tenant's policy, for `--auth token`; `fields` as of `auth/token/create`. The oracle does not count it.
    pub fn token(&self, mut fields: Value) -> String {
        fields["policies"] = json!([self.policy]);
        let answer = self.admin.write("auth/token/create", fields).unwrap();
        self.remember(text(&answer["auth"]["client_token"]))
    }

    /// A token as the application gets it: by a login at AppRole.
    pub fn login(&self) -> String {
        let mut body = json!({"role_id": self.role_id()});
        if self.bind_secret_id {
            body["secret_id"] = self.secret_id().into();
        }
        let answer = self
            .admin
            .with_token("")
            .write(&format!("auth/{}/login", self.approle_mount), body)
            .unwrap();
        self.remember(text(&answer["auth"]["client_token"]))
    }

    /// Adds a secret that no output may have.
    pub fn remember(&self, secret: String) -> String {
        self.canaries.lock().unwrap().push(secret.clone());
        secret
    }

    /// vaultexec with the tenant's clean environment: the server, a role id, a new secret id, the path of the credentials, where
    /// the database is.
    pub fn command(&self) -> Run {
        let run = self
            .command_without_secret()
            .env("VAULT_ROLE_ID", self.role_id());
        if self.bind_secret_id {
            run.env("VAULT_SECRET_ID", self.secret_id())
        } else {
            run
        }
    }

    /// As `command`, with neither role id nor secret id.
    pub fn command_without_secret(&self) -> Run {
        let run = Run::vaultexec()
            .env("VAULT_ADDR", &self.vault_url)
            .env("VAULTEXEC_CREDS", self.creds_path())
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.postgres.port().to_string())
            .env("PGDATABASE", postgres::DATABASE)
            .canaries(&self.canaries);
        if self.approle_mount == "approle" {
            run
        } else {
            run.env("VAULTEXEC_AUTH_MOUNT", &self.approle_mount)
        }
    }

    /// The roles of this tenant that PostgreSQL has now.
    pub fn roles(&self) -> Vec<String> {
        self.try_roles().unwrap()
    }

    fn try_roles(&self) -> Result<Vec<String>, String> {
        // `_` and `%` do not occur in a tag.
        let tag = &self.database_role[..8];
        let rows = self.postgres.try_sql(&format!(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%-{tag}-%' ORDER BY 1"
        ))?;
        Ok(rows.lines().map(str::to_owned).collect())
    }

    /// When PostgreSQL stops letting that role in, in seconds since 1970.
    pub fn valid_until(&self, role: &str) -> f64 {
        let sql = format!(
            "SELECT extract(epoch FROM rolvaliduntil) FROM pg_roles WHERE rolname = '{role}'"
        );
        let answer = self.postgres.sql(&sql);
        answer
            .parse()
            .unwrap_or_else(|_| panic!("no VALID UNTIL of {role}: {answer:?}"))
    }

    /// The full ids of the tenant's leases.
    pub fn leases(&self) -> Vec<String> {
        self.try_leases().unwrap()
    }

    fn try_leases(&self) -> Result<Vec<String>, Refused> {
        self.leases_below(&self.creds_path())
    }

    fn leases_below(&self, path: &str) -> Result<Vec<String>, Refused> {
        let keys = self.admin.list(&format!("sys/leases/lookup/{path}/"))?;
        Ok(keys.iter().map(|key| format!("{path}/{key}")).collect())
    }

    /// Waits until the server has exactly `count` leases of this tenant, and names them.
    #[track_caller]
    pub fn wait_for_leases(&self, count: usize) -> Vec<String> {
        let mut leases = Vec::new();
        let found = poll_until(PATIENCE, || {
            leases = self.leases();
            (leases.len() == count).then_some(())
        });
        assert!(
            found.is_some(),
            "wanted {count} leases, there are {leases:?}"
        );
        leases
    }

    /// Revokes a lease as the administrator does, and has the database's answer. That is asked again where somebody else was
    /// changing the same row.
    #[track_caller]
    pub fn revoke_lease(&self, lease_id: &str) {
        let body = json!({"lease_id": lease_id, "sync": true});
        let revoked = || self.admin.write("sys/leases/revoke", body.clone());
        undisturbed(revoked).unwrap();
    }

    /// From now on no lease lives longer than `ttl` after it was given out: the next renewal is granted less than it asks for.
    pub fn limit_leases(&self, ttl: &str) {
        self.set_lease_ttl(ttl, ttl);
    }

    /// As it was at the start.
    pub fn unlimit_leases(&self) {
        self.set_lease_ttl("1h", "24h");
    }

    fn set_lease_ttl(&self, default: &str, max: &str) {
        let path = format!("{}/roles/{}", self.database_mount, self.database_role);
        let body = json!({"default_ttl": default, "max_ttl": max});
        self.admin.write(&path, body).unwrap();
    }

    /// The same for tokens.
    pub fn limit_tokens(&self, ttl: &str) {
        let body = json!({"token_ttl": ttl, "token_max_ttl": ttl});
        self.admin.write(&self.approle_path(), body).unwrap();
    }

    /// `sys/leases/lookup` of one lease: `ttl`, `expire_time`, `last_renewal`…
    pub fn lease(&self, lease_id: &str) -> Value {
        self.admin
            .write("sys/leases/lookup", json!({"lease_id": lease_id}))
            .unwrap()["data"]
            .take()
    }

    /// The tokens that came from a login at the tenant's mount, by the leases that the server keeps of them. Batch tokens have
    /// none. Looking tokens up by their accessors would do harm: OpenBao revokes one that is looked up just before its lease is
    /// written, and then some other test's login has given a token that is dead.
    pub fn tokens(&self) -> Vec<String> {
        self.try_tokens().unwrap()
    }

    fn try_tokens(&self) -> Result<Vec<String>, Refused> {
        self.leases_below(&format!("auth/{}/login", self.approle_mount))
    }

    /// Waits until there are exactly `count` such tokens.
    #[track_caller]
    pub fn wait_for_tokens(&self, count: usize) {
        let mut tokens = Vec::new();
        let found = poll_until(PATIENCE, || {
            tokens = self.tokens();
            (tokens.len() == count).then_some(())
        });
        assert!(
            found.is_some(),
            "wanted {count} tokens, there are {tokens:?}"
        );
    }

    /// Revokes the tenant's tokens as the administrator does, and what hangs on them.
    #[track_caller]
    pub fn revoke_tokens(&self) {
        for token in self.tokens() {
            self.revoke_lease(&token);
        }
    }

    /// Ends what a test leaves behind on purpose, as far as that can be done.
    pub fn sweep(&self) {
        for lease in self.leases().into_iter().chain(self.tokens()) {
            let body = json!({"lease_id": lease, "sync": true});
            let revoked = || self.admin.write("sys/leases/revoke", body.clone());
            let _ = undisturbed(revoked);
        }
    }

    /// What is left: roles, leases, tokens, one a line. Empty is as it should be after a run. Who gives no answer has not
    /// shown that nothing is left.
    pub fn leftovers(&self) -> Vec<String> {
        fn lines<E: Display>(what: &str, found: Result<Vec<String>, E>) -> Vec<String> {
            match found {
                Ok(names) => names.iter().map(|name| format!("{what} {name}")).collect(),
                Err(error) => vec![format!("{what} not known: {error}")],
            }
        }
        let mut left = lines("role", self.try_roles());
        left.extend(lines("lease", self.try_leases()));
        left.extend(lines("token", self.try_tokens()));
        left
    }

    /// THE ORACLE: soon there is neither a role, nor a lease, nor a token of this tenant.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.assert_nothing_left_within(PATIENCE);
    }

    /// The oracle with another patience, e.g. where something is to end by its TTL.
    #[track_caller]
    pub fn assert_nothing_left_within(&self, patience: Duration) {
        let mut left = Vec::new();
        let clean = poll_until(patience, || {
            left = self.leftovers();
            left.is_empty().then_some(())
        });
        assert!(
            clean.is_some(),
            "left behind after {patience:?}:\n{}",
            left.join("\n")
        );
    }

    /// Waits until PostgreSQL has exactly `count` roles of this tenant, and names them.
    #[track_caller]
    pub fn wait_for_roles(&self, count: usize) -> Vec<String> {
        let mut roles = Vec::new();
        let found = poll_until(PATIENCE, || {
            roles = self.roles();
            (roles.len() == count).then_some(())
        });
        assert!(found.is_some(), "wanted {count} roles, there are {roles:?}");
        roles
    }

    fn set_up(&self, spec: TenantSpec, tag: &str) {
        let (admin, mount, role) = (&self.admin, &self.database_mount, &self.database_role);
        if spec.own_database_mount.is_some() {
            admin
                .write(&format!("sys/mounts/{mount}"), json!({"type": "database"}))
                .unwrap();
        }
        let mut connection_name = "appdb".to_owned();
        if spec.own_database_mount.is_some() || spec.password_policy.is_some() {
            let mut config = connection(&self.postgres);
            if let Some(policy) = &spec.password_policy {
                admin
                    .write(
                        &format!("sys/policies/password/{tag}"),
                        json!({"policy": policy}),
                    )
                    .unwrap();
                config["password_policy"] = tag.into();
                connection_name = tag.to_owned();
            }
            admin
                .write(&format!("{mount}/config/{connection_name}"), config)
                .unwrap();
        }
        let database_role = json!({"db_name": connection_name, "creation_statements": CREATION, "default_ttl": "1h", "max_ttl": "24h"});
        admin
            .write(
                &format!("{mount}/roles/{role}"),
                merged(database_role, spec.database_role),
            )
            .unwrap();

        let extra = spec
            .extra_policy
            .replace("{mount}", mount)
            .replace("{role}", role);
        let policy = format!(
            "path \"{}\" {{ capabilities = [\"read\"] }}\n{extra}",
            self.creds_path()
        );
        admin
            .write(
                &format!("sys/policies/acl/{}", self.policy),
                json!({"policy": policy}),
            )
            .unwrap();

        // The default one is there, as in the tutorial.
        if self.approle_mount != "approle" {
            let path = format!("sys/auth/{}", self.approle_mount);
            admin.write(&path, json!({"type": "approle"})).unwrap();
        }
        let approle = json!({
            "token_policies": [self.policy],
            "token_ttl": "1h",
            "token_max_ttl": "4h",
            "secret_id_ttl": "24h",
            "secret_id_num_uses": 10,
        });
        let mut approle = merged(approle, spec.approle);
        if !self.bind_secret_id {
            // What is not bound cannot be counted.
            for field in ["secret_id_ttl", "secret_id_num_uses"] {
                approle.as_object_mut().unwrap().remove(field);
            }
        }
        // A standby hears of a new mount a little later.
        let mut written = admin.write(&self.approle_path(), approle.clone());
        poll_until(Duration::from_secs(30), || {
            let unknown = matches!(&written, Err(refused) if refused.status == 404);
            if unknown {
                written = admin.write(&self.approle_path(), approle.clone());
            }
            (!unknown).then_some(())
        });
        written.unwrap();
    }
}

/// Does it again for a while as long as the database refuses because somebody else changes the same row.
pub fn undisturbed<T, E: Display>(mut work: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let collided = |error: &E| error.to_string().contains("tuple concurrently updated");
    let mut last = None;
    poll_until(Duration::from_secs(30), || {
        last = Some(work());
        let again = matches!(&last, Some(Err(error)) if collided(error));
        (!again).then_some(())
    });
    last.expect("it was done once")
}

fn merged(mut base: Value, changes: Map<String, Value>) -> Value {
    base.as_object_mut().unwrap().extend(changes);
    base
}
