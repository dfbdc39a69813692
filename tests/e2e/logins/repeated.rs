//! A server that repeats everything it has ever heard or said, at each call of each way to log in: at the loudest level, as text and
//! as JSON, none of it gets into what vaultexec writes.

use super::{Other, jwt};
use crate::support::folder::{Folder, write_secret};
use crate::support::jwt::Issuer;
use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// No run makes more calls than this before the end of its child.
const CALLS: usize = 8;

/// Everything that the server has heard or said by now, in the forms in which it may come back.
fn everything(heard: &RequestInfo, proxy: &FaultProxy) -> String {
    let mut all = proxy.secrets();
    all.extend(heard.header("x-vault-token").map(str::to_owned));
    all.push(String::from_utf8_lossy(&heard.body).into_owned());
    for request in proxy.requests() {
        all.push(String::from_utf8_lossy(&request.body).into_owned());
    }
    let forms: Vec<String> = all.iter().map(|one| forms(one).join(" ")).collect();
    forms.join("\n")
}

fn forms(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let upper = hex.to_uppercase();
    let encoded = [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
    let json = json!(secret).to_string();
    [vec![secret.to_owned(), hex, upper, json], encoded.to_vec()].concat()
}

/// A proxy that answers that call by everything it knows.
fn repeating(call: usize, status: u16) -> Arc<OnceLock<FaultProxy>> {
    let cell: Arc<OnceLock<FaultProxy>> = Arc::default();
    let known = Arc::clone(&cell);
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
        let Some(proxy) = known.get().filter(|_| request.sequence == call) else {
            return Fault::Pass;
        };
        let said = everything(request, proxy);
        let body = json!({"errors": [said], "warnings": [said], "data": {"x": said}});
        Fault::Status(status, Vec::new(), body.to_string())
    });
    cell.get_or_init(|| proxy);
    cell
}

/// Its own output is looked through for what the tenant knows; this is what the server has made.
fn assert_no_secret(run: &Finished, proxy: &FaultProxy) {
    let made: Vec<String> = proxy.secrets().iter().flat_map(|one| forms(one)).collect();
    run.assert_no_secret(&made);
}

/// Runs it once for each call and each answer that repeats everything, and looks at what was written.
fn assert_kept(tenant: &Tenant, command: impl Fn() -> Run) {
    for call in 0..CALLS {
        // A policy's refusal, words with a success that is none, and an outage, which is tried again.
        for (status, format) in [(403, "text"), (200, "json"), (500, "json"), (400, "text")] {
            let cell = repeating(call, status);
            let proxy = cell.get().unwrap();
            let run = command()
                .env("VAULT_ADDR", proxy.url())
                .args(["-vvv", "--log-format", format])
                .args(["--start-timeout", "2s", "--revoke-timeout", "2s"])
                .child(["true"])
                .output();
            assert!(run.code().is_some(), "{call} {status}: {run}");
            assert_no_secret(&run, proxy);
            tenant.sweep();
        }
    }
}

#[test]
fn by_check_too_whose_lines_hold_nothing_that_a_terminal_would_obey() {
    let tenant = Tenant::new(Servers::shared());
    for call in 0..CALLS {
        for (status, format) in [(403, "text"), (400, "json")] {
            let cell = repeating(call, status);
            let proxy = cell.get().unwrap();
            let run = tenant
                .command()
                .env("VAULT_ADDR", proxy.url())
                .args(["check", "--start-timeout", "2s", "--format", format])
                .output();
            assert!(run.code().is_some(), "{call} {status}: {run}");
            assert_no_secret(&run, proxy);
            tenant.sweep();
        }
    }
    let says = Fault::error(403, "a\u{9b}b\u{202e}c");
    let proxy = harm(Servers::shared(), RequestInfo::is_login, says);
    for format in ["text", "json"] {
        let run = tenant.command().env("VAULT_ADDR", proxy.url());
        let run = run.args(["check", "--format", format]).output();
        run.assert_code(125);
        assert!(!run.out().contains(['\u{9b}', '\u{202e}']), "{run}");
    }
    tenant.assert_nothing_left();
}

#[test]
fn of_approle_bare_and_wrapped() {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    assert_kept(&tenant, || tenant.command());
    assert_kept(&tenant, || {
        tenant
            .command_without_secret()
            .env("VAULT_ROLE_ID", tenant.role_id())
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
    });
}

#[test]
fn of_a_token_that_was_handed_in() {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    assert_kept(&tenant, || {
        let run = tenant.command_without_secret();
        run.env_remove("VAULTEXEC_AUTH_MOUNT")
            .env("VAULT_TOKEN", tenant.token(json!({"ttl": "5m"})))
    });
}

#[test]
fn of_a_jwt_and_of_a_password() {
    let issuer = Issuer::new();
    let other = jwt::enabled(&issuer, "1h");
    assert_kept(&other.tenant, || {
        let run = other.command("jwt").args(["--auth-role", "app"]);
        run.env("VAULTEXEC_JWT", jwt::jwt(&other, &issuer, 600))
    });
    let other = Other::enable("userpass");
    let password = other
        .tenant
        .remember("hunter2 \"hunter3\" hunter4".to_owned());
    let user = json!({"password": password, "token_policies": [other.tenant.policy()]});
    other.write("users/ann", user);
    let folder = Folder::new().unwrap();
    let file = folder.path().join("password");
    write_secret(&file, password);
    assert_kept(&other.tenant, || {
        let run = other.command("userpass").args(["--username", "ann"]);
        run.env("VAULTEXEC_PASSWORD_FILE", &file)
    });
}
