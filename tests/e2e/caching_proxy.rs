//! The server's own proxy with a cache in front of it: each run has its own credentials all the same, or is refused.

use crate::support::children::telling_who;
use crate::support::expiring::limit_lease;
use crate::support::*;

#[test]
fn each_run_has_its_own_credentials_and_new_ones_when_they_are_replaced() {
    let servers = Servers::shared();
    let cache = CachingProxy::start(servers);
    let tenant = Tenant::new(servers);
    let (role_id, secret_id) = (tenant.role_id(), tenant.secret_id());
    let start = || {
        let run = tenant
            .command_without_secret()
            .env("VAULT_ADDR", cache.url())
            .env("VAULT_ROLE_ID", &role_id)
            .env("VAULT_SECRET_ID", &secret_id);
        telling_who(run).spawn()
    };
    let (first, second) = (start(), start());
    let who = |running: &Running| running.wait_for_line("start").replace("start ", "");
    let (one, other) = (who(&first), who(&second));
    assert_ne!(one, other);
    tenant.wait_for_tokens(2);
    // The first one to end takes nothing of the other's.
    first.signal(libc::SIGTERM);
    first.wait().assert_code(7).assert_quiet_stderr();
    assert_eq!(tenant.wait_for_roles(1), [other.as_str()]);
    // A rotation is not given again what it is to replace.
    limit_lease(&tenant, &second, "60s");
    let new = who(&second);
    assert_ne!(new, other);
    assert_eq!(tenant.wait_for_roles(1), [new.as_str()]);
    second.signal(libc::SIGTERM);
    second.wait().assert_code(7).assert_only_restarts(1);
    tenant.assert_nothing_left();
}

#[test]
fn what_a_cache_has_given_out_is_refused_for_it_is_somebody_elses() {
    let cases: [(Which, &str); 2] = [
        (
            RequestInfo::is_login,
            "a token of a cache, which others use as well",
        ),
        (
            RequestInfo::is_creds,
            "a secret of a cache, which others use as well",
        ),
    ];
    for (which, words) in cases {
        let vault = FakeVault::new();
        let upstream = vault.proxy().url();
        let proxy = FaultProxy::start(&upstream, move |request| {
            if which(request) {
                Fault::PassWithAnswerHeader("X-Cache", "HIT".to_owned())
            } else {
                Fault::Pass
            }
        });
        let run = vault
            .command()
            .env("VAULT_ADDR", proxy.url())
            .args(["--start-timeout", "2s"])
            .child(["echo", "ran"])
            .output();
        run.assert_code(125).stdout_is("").stderr_contains(words);
        assert_eq!(proxy.count(which), 1, "{run}");
        // The token of the cache is not this run's to revoke.
        let revoked = proxy.count(RequestInfo::is_revoke_self);
        assert_eq!(revoked, usize::from(words.starts_with("a secret")), "{run}");
    }
}
