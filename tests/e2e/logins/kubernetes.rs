//! A pod's login. The cluster is a small server that answers TokenReview.

use super::{Other, WHO, assert_works};
use crate::support::children::telling_who;
use crate::support::folder::write_secret;
use crate::support::jwt::Issuer;
use crate::support::*;
use serde_json::json;
use std::fs;

const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// A cluster that knows one service account, and asks for nobody else.
pub fn cluster() -> FaultProxy {
    FaultProxy::start("http://127.0.0.1:1", |request| {
        assert!(
            request
                .path
                .starts_with("/apis/authentication.k8s.io/v1/tokenreviews")
        );
        let user = json!({"username": "system:serviceaccount:shop:web", "uid": "0123", "groups": ["system:serviceaccounts"]});
        let status = json!({"authenticated": true, "user": user, "audiences": [AUDIENCE]});
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status});
        Fault::body(&review.to_string())
    })
}

pub fn claims() -> serde_json::Value {
    json!({"iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:shop:web",
        "aud": [AUDIENCE],
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web", "uid": "0123"}}})
}

pub fn enabled(issuer: &Issuer, cluster: &FaultProxy, token_ttl: &str) -> Other {
    let other = Other::enable("kubernetes");
    let config = json!({"kubernetes_host": cluster.url(), "token_reviewer_jwt": issuer.jwt(3600, claims()),
        "disable_local_ca_jwt": true, "kubernetes_ca_cert": fs::read_to_string(Servers::shared().vault.tls().certificates.ca()).unwrap(),
        "pem_keys": [issuer.public_key()]});
    other.write("config", config);
    let role = json!({"bound_service_account_names": ["web"], "bound_service_account_namespaces": ["shop"],
        "token_ttl": token_ttl, "token_max_ttl": token_ttl, "token_policies": [other.tenant.policy()]});
    other.write("role/app", role);
    other
}

#[test]
fn a_pods_projected_token_is_read_again_at_each_login() {
    let (issuer, cluster) = (Issuer::new(), cluster());
    let other = enabled(&issuer, &cluster, "6s");
    let folder = folder::Folder::new().unwrap();
    let file = folder.path().join("token");
    let jwt = || other.tenant.remember(issuer.jwt(600, claims()));
    write_secret(&file, jwt());
    let proxy = pass(Servers::shared());
    let run = other.command("kubernetes").env("VAULT_ADDR", proxy.url());
    let run = run
        .args(["--auth-role", "app"])
        .arg("--jwt-file")
        .arg(&file);
    let run = telling_who(run).spawn();
    run.wait_for_line("start");
    // As the kubelet does, some time before the old one ends.
    let second = jwt();
    write_secret(&folder.path().join("new"), &second);
    fs::rename(folder.path().join("new"), &file).unwrap();
    run.wait_for_line("start");
    run.signal(libc::SIGTERM);
    run.wait().assert_code(7);
    let logins = proxy.requests();
    let logins: Vec<_> = logins.iter().filter(|request| request.is_login()).collect();
    assert!(logins.len() >= 2);
    assert_eq!(logins.last().unwrap().json()["jwt"], second);
    other.tenant.assert_nothing_left();
}

#[test]
fn the_pods_own_place_is_where_the_token_is_looked_for() {
    let (issuer, cluster) = (Issuer::new(), cluster());
    let other = enabled(&issuer, &cluster, "1h");
    let folder = folder::Folder::new().unwrap();
    let token = folder.path().join("token");
    write_secret(&token, other.tenant.remember(issuer.jwt(600, claims())));
    assert_works(
        &other,
        other
            .command("kubernetes")
            .env("VAULTEXEC_AUTH_ROLE", "app")
            .env("VAULTEXEC_JWT_FILE", &token),
    );
    let run = other.command("kubernetes").child(WHO).output();
    run.assert_code(125)
        .stderr_contains(
            "cannot read /var/run/secrets/kubernetes.io/serviceaccount/token: No such file",
        )
        .stderr_contains("--auth-role (VAULTEXEC_AUTH_ROLE): it is missing");
    other.tenant.assert_nothing_left();
}

#[test]
fn a_service_account_that_the_role_does_not_name_is_told_with_what_may_be_wrong() {
    let (issuer, cluster) = (Issuer::new(), cluster());
    let other = enabled(&issuer, &cluster, "1h");
    let role = json!({"bound_service_account_names": ["other"], "bound_service_account_namespaces": ["shop"]});
    other.write("role/other", role);
    let jwt = other.tenant.remember(issuer.jwt(600, claims()));
    for role in ["other", "nobody"] {
        let run =
            other
                .command("kubernetes")
                .args(["--auth-role", role, "-vvv", "--jwt-file", "-"]);
        let run = run.stdin_bytes(jwt.clone()).child(["true"]).output();
        run.assert_code(125)
            .stdout_is("")
            .stderr_contains("bound_service_account_namespaces");
    }
    let expired = other.tenant.remember(issuer.jwt(-3600, claims()));
    let run = other
        .command("kubernetes")
        .args(["--auth-role", "app", "--jwt-file", "-"]);
    let run = run.stdin_bytes(expired).child(["true"]).output();
    run.assert_code(125)
        .stderr_contains("--jwt-file: it is a JWT that has expired");
    other.tenant.assert_nothing_left();
}
