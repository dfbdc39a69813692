//! The client certificate of the connection.

use super::{Other, assert_works};
use crate::support::*;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn enabled() -> Other {
    let other = Other::enable("cert");
    let tls = Servers::shared().vault.tls();
    let role = json!({"certificate": fs::read_to_string(tls.certificates.ca()).unwrap(), "allowed_common_names": ["client"],
        "token_policies": [other.tenant.policy()]});
    other.write("certs/app", role);
    let stranger = json!({"certificate": fs::read_to_string(tls.certificates.ca()).unwrap(),
        "allowed_common_names": ["somebody else"], "token_policies": [other.tenant.policy()]});
    other.write("certs/stranger", stranger);
    other
}

fn command(other: &Other, url: String) -> Run {
    let certificates = &Servers::shared().vault.tls().certificates;
    let run = other.command("cert").env("VAULT_ADDR", url);
    let run = run.env("VAULT_CACERT", certificates.ca());
    run.env("VAULT_CLIENT_CERT", certificates.client_cert())
        .env("VAULT_CLIENT_KEY", certificates.client_key())
}

#[test]
fn the_connections_certificate_logs_in_with_a_role_and_without() {
    let other = enabled();
    let tls = Servers::shared().vault.tls();
    for url in [tls.good(), tls.mutual()] {
        assert_works(&other, command(&other, url.clone()));
        assert_works(&other, command(&other, url).args(["--auth-role", "app"]));
    }
}

#[test]
fn a_certificate_that_no_role_takes_is_told_with_what_may_be_wrong() {
    let other = enabled();
    let url = Servers::shared().vault.tls().good();
    for role in ["stranger", "nobody"] {
        let run = command(&other, url.clone())
            .args(["--auth-role", role, "-vvv"])
            .child(["true"])
            .output();
        run.assert_code(125)
            .stdout_is("")
            .stderr_contains("is there a role that takes this certificate");
    }
    other.tenant.assert_nothing_left();
}

#[test]
fn a_key_that_others_may_read_is_told_and_refused_where_that_is_wanted() {
    let other = enabled();
    let tls = Servers::shared().vault.tls();
    let folder = folder::Folder::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let key = folder.path().join("key");
    fs::copy(tls.certificates.client_key(), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o666)).unwrap();
    let run = || command(&other, tls.good()).env("VAULT_CLIENT_KEY", &key);
    let told = run().child(["true"]).output();
    told.assert_code(0).stderr_contains("others may write it");
    let refused = run().arg("--strict-permissions").child(["true"]).output();
    refused
        .assert_code(125)
        .stderr_contains("VAULT_CLIENT_KEY")
        .stderr_contains("(--strict-permissions)");
    other.tenant.assert_nothing_left();
}

#[test]
fn what_the_method_needs_is_named_before_anything_is_asked_for() {
    let other = enabled();
    let run = other.command("cert").child(["true"]).output();
    run.assert_code(125)
        .stderr_contains(
            "--client-cert (VAULT_CLIENT_CERT): it is missing: the certificate to log in with",
        )
        .stderr_contains("VAULT_ADDR: --auth cert needs https://");
    other.tenant.assert_nothing_left();
}
