//! A server or a database that is sick, slow or away when it is time to give back, and answers that are lost.

use crate::support::*;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];

#[test]
fn a_revocation_whose_answer_is_lost_is_asked_for_again_in_silence() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for which in [
        RequestInfo::is_lease_revoke as fn(&RequestInfo) -> bool,
        RequestInfo::is_revoke_self,
    ] {
        for fault in [
            Fault::ResetAfter,
            Fault::ResetBefore,
            Fault::Truncate,
            Fault::StatusAfter(502, "<".to_owned()),
        ] {
            let proxy = harm_first(servers, 1, which, fault);
            let run = tenant
                .through(&proxy)
                .args(["--revoke-timeout", "30s", "--strict-revoke"])
                .child(SAY)
                .output();
            run.assert_code(0).assert_quiet_stderr();
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_token_that_is_refused_without_a_reason_is_told() {
    // As of a token that is good, but only from other addresses.
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let refused = Fault::error(403, "permission denied");
    let proxy = harm(
        servers,
        |request| !request.is_login() && !request.is_creds(),
        refused,
    );
    let run = tenant.through(&proxy).child(SAY).output();
    run.assert_code(0)
        .stdout_is("ran\n")
        .stderr_contains("the server does not take the token any more: permission denied (403)")
        .stderr_contains("token_bound_cidrs");
    assert_eq!(tenant.roles().len(), 1);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_is_sick_at_the_end_is_asked_again() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for status in [412, 429, 500, 503, 504] {
        for which in [
            RequestInfo::is_lease_revoke as fn(&RequestInfo) -> bool,
            RequestInfo::is_revoke_self,
        ] {
            let proxy = harm_first(servers, 2, which, Fault::error(status, "not now"));
            let run = tenant.through(&proxy).args(["--revoke-timeout", "30s"]);
            let run = run.child(SAY).output();
            run.assert_code(0).assert_quiet_stderr();
            // The database may refuse once more, because somebody else changes the same row.
            assert!(proxy.count(which) >= 3);
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_server_that_hangs_at_the_end_is_given_up_in_time_and_the_lease_named() {
    let servers = Servers::shared();
    for (strict, code) in [(false, 0), (true, 125)] {
        let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
        let which = |one: &RequestInfo| one.is_lease_revoke() || one.is_revoke_self();
        let proxy = harm(servers, which, Fault::Hang);
        let run = tenant
            .through(&proxy)
            .args(["--revoke-timeout", "1s"])
            .args(strict.then_some("--strict-revoke"))
            .child(SAY)
            .output();
        assert!(run.wall < Duration::from_secs(15), "{run}");
        let lease = tenant.leases().remove(0);
        run.assert_code(code)
            .stdout_is("ran\n")
            .stderr_contains(&format!("the lease {lease} is not revoked yet"))
            .stderr_contains("it ends by itself at 20");
        tenant.sweep();
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_server_that_is_away_at_the_end_is_named_with_what_stays() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let mut running = tenant
        .through(&proxy)
        .args(["--revoke-timeout", "1s"])
        .child(["sh", "-c", "read line; exit 7"])
        .stdin_piped()
        .spawn();
    tenant.wait_for_roles(1);
    running.wait_for_child("sh");
    proxy.refuse();
    running.say("go");
    let run = running.wait();
    assert!(run.err().contains("cannot reach the server"), "{run}");
    run.assert_code(7)
        .stderr_contains(&format!("the lease {}", tenant.leases()[0]));
    tenant.sweep();
    tenant.assert_nothing_left();
}

#[test]
fn a_database_that_is_down_at_the_end_is_waited_for_or_named() {
    let servers = Servers::private();
    let tenant = Tenant::with(&servers, TenantSpec::may_revoke_leases);
    let proxy = pass(&servers);
    let start = |timeout: &str| {
        let run = tenant.through(&proxy).args(["--revoke-timeout", timeout]);
        let running = run
            .child(["sh", "-c", "read line; exit 7"])
            .stdin_piped()
            .spawn();
        running.wait_for_child("sh");
        running
    };
    // It comes back in time.
    let mut running = start("60s");
    servers.postgres.stop();
    let before = proxy.count(RequestInfo::is_lease_revoke);
    running.say("go");
    proxy.wait_for(before + 2, RequestInfo::is_lease_revoke);
    servers.postgres.start();
    running.wait().assert_code(7).assert_silent();
    tenant.assert_nothing_left();
    // It does not.
    let mut running = start("4s");
    let lease = tenant.leases().remove(0);
    servers.postgres.stop();
    running.say("go");
    let run = running.wait();
    run.assert_code(7)
        .stderr_contains(&format!("the lease {lease} could not be revoked"))
        .stderr_contains("(400)")
        .stderr_contains("it ends by itself at 20")
        .assert_no_secret(&proxy.secrets());
    servers.postgres.start();
    tenant.sweep();
    tenant.assert_nothing_left_within(Duration::from_secs(120));
}

#[test]
fn a_connection_closed_while_the_child_runs_is_replaced_in_silence() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let proxy = pass(servers);
    let mut running = tenant.through(&proxy).child(["cat"]).stdin_piped().spawn();
    running.wait_for_child("cat");
    proxy.close_connections();
    running.close_stdin();
    running.wait().assert_code(0).assert_silent();
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_asks_for_time_gets_it_at_the_start_and_at_the_end() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for which in [
        RequestInfo::is_creds as fn(&RequestInfo) -> bool,
        RequestInfo::is_lease_revoke,
        RequestInfo::is_revoke_self,
    ] {
        let headers = vec![("Retry-After", "2".to_owned())];
        let busy = Fault::Status(429, headers, "{\"errors\":[\"quota\"]}".to_owned());
        let proxy = harm_first(servers, 1, which, busy);
        let run = tenant
            .through(&proxy)
            .args(["--revoke-timeout", "30s"])
            .child(SAY)
            .output();
        run.assert_code(0).stdout_is("ran\n");
        let asked: Vec<_> = proxy.requests().into_iter().filter(which).collect();
        let gap = asked[1].at - asked[0].at;
        assert!(gap >= Duration::from_millis(1990), "{gap:?}: {run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_revocation_that_the_server_has_only_put_in_its_queue_is_not_called_done() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let fault = Fault::StatusAfter(202, String::new());
    let proxy = harm_first(servers, 1, RequestInfo::is_lease_revoke, fault);
    let run = tenant.through(&proxy).arg("-v").child(SAY).output();
    run.assert_code(0)
        .stdout_is("ran\n")
        .stderr_contains("the server has put the revocation of the lease")
        .stderr_contains("in its queue");
    assert!(!run.err().contains("revoked the lease"), "{run}");
    assert_eq!(proxy.count(RequestInfo::is_lease_revoke), 1);
    tenant.assert_nothing_left();
}
