//! A rotation in the middle of which the child ends, or is told to end, or does not end when it should.

use crate::support::children::{count, telling_who};
use crate::support::expiring::limit_lease;
use crate::support::*;

#[test]
fn a_child_that_ignores_term_is_killed_after_the_stop_timeout() {
    let tenant = Tenant::new(Servers::shared());
    let script = r#"trap '' TERM; echo "start $(date +%s%N)"; while :; do sleep 0.05; done"#;
    let running = tenant
        .command()
        .args(["--stop-timeout", "700ms"])
        .child(["sh", "-c", script])
        .spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "60s");
    running.wait_for_stderr("has not ended in time and is killed");
    running.wait_for_line("start");
    tenant.wait_for_roles(1);
    // It is not started a third time by a TERM of the user's, which it ignores too: KILL is the user's to send.
    running.signal(libc::SIGTERM);
    let child = running.wait_for_child("sh");
    signals::kill(child, libc::SIGKILL);
    running.wait().assert_killed_by(libc::SIGKILL);
    tenant.assert_nothing_left();
}

/// A run whose rotation is held at the second request of that kind.
fn held(tenant: &Tenant, which: fn(&RequestInfo) -> bool, answer: bool) -> (Hold, FaultProxy, Run) {
    let hold = Hold::new();
    let held = hold.clone();
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
        match which(request) && request.nth == 1 {
            true if answer => Fault::HoldAnswer(held.clone()),
            true => Fault::HoldRequest(held.clone()),
            false => Fault::Pass,
        }
    });
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    (hold, proxy, run)
}

#[test]
fn a_child_that_ends_by_itself_while_credentials_are_asked_for_gives_its_code() {
    for (which, answer) in [
        (RequestInfo::is_login as fn(&RequestInfo) -> bool, false),
        (RequestInfo::is_creds, false),
        (RequestInfo::is_creds, true),
    ] {
        let tenant = Tenant::new(Servers::shared());
        let (hold, proxy, run) = held(&tenant, which, answer);
        let mut running = run.child(Probe::signals()).stdin_piped().spawn();
        running.wait_for_line("ready");
        limit_lease(&tenant, &running, "60s");
        hold.wait_arrived();
        running.say("exit 42");
        // Never released: an answer that does not come is not waited for.
        let run = running.wait();
        run.assert_code(42).assert_no_secret(&proxy.secrets());
        drop(proxy);
        tenant.assert_nothing_left();
    }
}

#[test]
fn term_while_credentials_are_asked_for_ends_the_run() {
    for (which, answer) in [
        (RequestInfo::is_login as fn(&RequestInfo) -> bool, false),
        (RequestInfo::is_creds, false),
        (RequestInfo::is_creds, true),
    ] {
        let tenant = Tenant::new(Servers::shared());
        let (hold, proxy, run) = held(&tenant, which, answer);
        let running = telling_who(run).spawn();
        running.wait_for_line("start");
        limit_lease(&tenant, &running, "60s");
        hold.wait_arrived();
        running.signal(libc::SIGTERM);
        let run = running.wait();
        run.assert_code(7);
        assert_eq!(count(&run.out(), "start"), 1, "{run}");
        drop(proxy);
        tenant.assert_nothing_left();
    }
}

#[test]
fn term_while_the_old_child_is_stopping_means_no_new_one() {
    let tenant = Tenant::new(Servers::shared());
    let mut running = tenant
        .command()
        .child(Probe::signals_but(&["CONT"]))
        .stdin_piped()
        .spawn();
    running.wait_for_line("ready");
    limit_lease(&tenant, &running, "60s");
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    // It has been told to end for the rotation, and takes its time.
    running.signal(libc::SIGTERM);
    while Probe::next_signal(&running).0 != "TERM" {}
    assert_eq!(tenant.roles().len(), 2);
    running.say("exit 9");
    let run = running.wait();
    run.assert_code(9);
    assert_eq!(count(&run.out(), "ready"), 1, "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_term_that_the_child_survives_means_that_it_is_not_started_again() {
    let tenant = Tenant::new(Servers::shared());
    let mut running = tenant
        .command()
        .child(Probe::signals_but(&["CONT"]))
        .stdin_piped()
        .spawn();
    running.wait_for_line("ready");
    running.signal(libc::SIGTERM);
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    limit_lease(&tenant, &running, "60s");
    running.wait_for_stderr("are not replaced: the lease has reached its max_ttl");
    running.say("exit 9");
    running.wait().assert_code(9);
    tenant.assert_nothing_left();
}
