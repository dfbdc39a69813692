//! A server that needs no server: for tests of processes alone, by the hundred. It knows nobody and gives everything to everybody.

use super::proxy::{Fault, FaultProxy, RequestInfo};
use super::run::Run;
use serde_json::json;
use std::time::Duration;

/// Answers at once.
pub struct FakeVault {
    proxy: FaultProxy,
}

impl FakeVault {
    /// A running one.
    pub fn new() -> Self {
        let proxy = FaultProxy::start("http://127.0.0.1:1", answer);
        Self { proxy }
    }

    /// One that gives these answers, and its own to all else.
    pub fn answering(
        script: impl Fn(&RequestInfo) -> Option<serde_json::Value> + Send + Sync + 'static,
    ) -> Self {
        let proxy = FaultProxy::start("http://127.0.0.1:1", move |request| {
            script(request).map_or_else(|| answer(request), |json| Fault::body(&json.to_string()))
        });
        Self { proxy }
    }

    /// What was asked.
    pub fn proxy(&self) -> &FaultProxy {
        &self.proxy
    }

    /// vaultexec with this server.
    pub fn command(&self) -> Run {
        Run::vaultexec()
            .env("VAULT_ADDR", self.proxy.url())
            .env("VAULT_ROLE_ID", "role")
            .env("VAULT_SECRET_ID", "fake-secret-id")
            .env("VAULTEXEC_CREDS", "database/creds/app-role")
            .env("PGHOST", "127.0.0.1")
    }

    /// Everything that was given has been given back, by as many runs as are said.
    #[track_caller]
    pub fn assert_all_given_back(&self, runs: usize) {
        let proxy = &self.proxy;
        let counts = (
            proxy.count(RequestInfo::is_login),
            proxy.count(RequestInfo::is_creds),
            proxy.count(RequestInfo::is_lease_revoke),
            proxy.count(RequestInfo::is_revoke_self),
        );
        assert_eq!(
            counts,
            (runs, runs, runs, runs),
            "logins, reads, revoked leases, revoked tokens"
        );
    }

    /// Every token has been given back but those of as many logins as were lost at the most; with a token its lease goes too.
    #[track_caller]
    pub fn assert_tokens_given_back(&self, lost: usize) {
        let proxy = &self.proxy;
        assert!(proxy.settle(Duration::from_secs(60)), "somebody still asks");
        let count = |which: fn(&RequestInfo) -> bool| proxy.count(which);
        let (logins, revoked) = (
            count(RequestInfo::is_login),
            count(RequestInfo::is_revoke_self),
        );
        assert!(
            (revoked..=revoked + lost).contains(&logins),
            "{logins} logins, {revoked} revoked tokens, {lost} lost"
        );
        let (reads, revoked) = (
            count(RequestInfo::is_creds),
            count(RequestInfo::is_lease_revoke),
        );
        assert!(reads >= revoked, "{reads} reads, {revoked} revoked leases");
    }
}

fn answer(request: &RequestInfo) -> Fault {
    if request.is_login() {
        let auth = json!({"client_token": "s.fake-token", "accessor": "fake", "policies": [], "token_policies": [],
            "lease_duration": 3600, "renewable": true, "token_type": "service", "num_uses": 0, "orphan": true});
        Fault::body(&json!({"auth": auth}).to_string())
    } else if request.is_creds() {
        let data = json!({"username": "v-fake", "password": "fake-password"});
        let lease = json!({"lease_id": "database/creds/app-role/1", "lease_duration": 3600, "renewable": true, "data": data});
        Fault::body(&lease.to_string())
    } else {
        Fault::Status(204, Vec::new(), String::new())
    }
}
