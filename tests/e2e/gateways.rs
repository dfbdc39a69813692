//! Something in front of the server answers in its place: what that says is true of neither tokens nor leases.

use crate::support::children::{count, telling_who};
use crate::support::expiring::short_token;
use crate::support::*;

/// What a gateway says whose rules are wrong for a moment.
fn denials() -> [Fault; 3] {
    [
        "<html>RBAC: access denied</html>",
        "",
        "{\"message\": \"forbidden\"}",
    ]
    .map(|body| Fault::Status(403, Vec::new(), body.to_owned()))
}

fn revokes(request: &RequestInfo) -> bool {
    request.is_lease_revoke() || request.is_revoke_self()
}

#[test]
fn a_gateways_403_at_the_end_is_not_taken_for_a_token_that_is_gone() {
    let servers = Servers::shared();
    for fault in denials() {
        for strict in [false, true] {
            let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
            let proxy = harm(servers, revokes, fault.clone());
            let run = tenant
                .through(&proxy)
                .args(["--revoke-timeout", "2s"])
                .args(strict.then_some("--strict-revoke"))
                .child(["true"])
                .output();
            run.assert_code(if strict { 125 } else { 0 })
                .stderr_contains(&format!("the lease {}/", tenant.creds_path()))
                .stderr_contains("is not revoked yet: the answer is not from the API (403)")
                .stderr_contains("a process in the background goes on trying");
            // That goes on as long as the gateway does.
            tenant.sweep();
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_gateways_403_at_the_end_that_passes_is_got_over_in_silence() {
    let servers = Servers::shared();
    for fault in denials() {
        let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
        let proxy = harm_first(servers, 2, revokes, fault);
        let run = tenant.through(&proxy).args(["--revoke-timeout", "30s"]);
        run.arg("--strict-revoke")
            .child(Probe::exit(0))
            .output()
            .assert_code(0)
            .assert_quiet_stderr();
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_gateways_403_while_the_child_runs_replaces_nothing() {
    let servers = Servers::shared();
    for fault in denials() {
        let tenant = Tenant::new(servers);
        let renews = |request: &RequestInfo| {
            let asks = request.is_lease_renew()
                || request.is_token_renew()
                || request.path.ends_with("auth/token/lookup-self");
            // Of each kind: in which order they come is for chance to say.
            asks && request.nth < 2
        };
        let proxy = harm(servers, renews, fault);
        let running = telling_who(tenant.through(&proxy)).spawn();
        running.wait_for_line("start");
        running.signal(libc::SIGCONT);
        // The same thing is asked for again until it is granted.
        proxy.wait_for(3, RequestInfo::is_lease_renew);
        proxy.wait_for(3, RequestInfo::is_token_renew);
        running.signal(libc::SIGTERM);
        let run = running.wait();
        run.assert_code(7);
        assert_eq!(count(&run.out(), "start"), 1, "{run}");
        assert_eq!(proxy.count(RequestInfo::is_login), 1);
        assert!(!run.err().contains("gone"), "{run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_gateways_400_at_a_new_login_does_not_end_all_hope() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, short_token);
    let proxy = FaultProxy::start(&servers.vault.url(), |request| {
        if request.is_login() && request.nth == 1 {
            Fault::Status(400, Vec::new(), "<html>Bad Request</html>".to_owned())
        } else {
            Fault::Pass
        }
    });
    let running = telling_who(tenant.through(&proxy)).spawn();
    running.wait_for_line("start");
    running.wait_for_line("start");
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7)
        .stderr_contains("cannot get new credentials");
    assert!(!run.err().contains("cannot be replaced"), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_gateways_own_codes_for_a_server_that_is_away_are_outages() {
    let servers = Servers::shared();
    let requests: [fn(&RequestInfo) -> bool; 2] = [RequestInfo::is_login, RequestInfo::is_creds];
    let tenant = Tenant::new(servers);
    for status in [408, 425, 520, 521, 522, 523, 524, 530] {
        for which in requests {
            let fault = Fault::Status(status, Vec::new(), "<html>origin</html>".to_owned());
            let proxy = harm_first(servers, 1, which, fault);
            let run = tenant.through(&proxy).child(["echo", "ran"]).output();
            run.assert_code(0).stdout_is("ran\n");
            run.stderr_contains(&format!("({status})"))
                .stderr_contains("trying again for");
            assert_eq!(run.err().lines().count(), 1, "told once: {run}");
            assert_eq!(proxy.count(which), 2, "{status}");
        }
    }
    // At the end as well.
    for status in [521, 530] {
        let fault = Fault::Status(status, Vec::new(), "<html>origin</html>".to_owned());
        let proxy = harm_first(servers, 1, revokes, fault);
        let run = tenant.through(&proxy).args(["--revoke-timeout", "30s"]);
        run.child(["true"])
            .output()
            .assert_code(0)
            .assert_quiet_stderr();
    }
    tenant.assert_nothing_left();
}
