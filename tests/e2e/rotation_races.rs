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
fn ctrl_c_while_the_old_child_is_stopping_ends_the_run_with_its_code() {
    // It may have ended of the Ctrl-C by the time vaultexec hears of that: both are to be looked at together.
    for _ in 0..5 {
        let tenant = Tenant::new(Servers::shared());
        let pty = Pty::new();
        let script = "trap '' TERM; trap 'exit 7' INT; echo started; while :; do sleep 0.01; done";
        let run = tenant.command().args(["--on-expiry", "restart", "-v"]);
        let running = pty.spawn(run.child(["sh", "-c", script]));
        pty.wait_for("started");
        limit_lease(&tenant, &running, "60s");
        pty.wait_for("restarting the command with new credentials");
        pty.type_keys("\x03");
        running.wait().assert_code(7);
        let text = pty.text();
        assert!(!text.contains("started the command again"), "{text}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_that_comes_between_two_children_is_neither_the_end_nor_the_next_ones() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().child(Probe::signals_but(&["CONT"]));
    let mut running = run.stdin_piped().spawn();
    running.wait_for_line("ready");
    limit_lease(&tenant, &running, "60s");
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    // vaultexec hears of the child's end and of the signal at the same time.
    let first = running.wait_for_child("probe");
    running.signal(libc::SIGSTOP);
    running.wait_state(running.pid(), 'T');
    running.say("exit 0");
    running.wait_state(first, 'Z');
    running.signal(libc::SIGUSR1);
    running.signal(libc::SIGCONT);
    running.wait_for_line("ready");
    running.signal(libc::SIGTERM);
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    running.say("exit 4");
    running.wait().assert_code(4);
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

#[test]
fn new_credentials_are_kept_alive_while_the_old_child_takes_its_time() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("12s").max_ttl("1h").may_revoke_leases()
    });
    // It ends 14 seconds after it was told to: by then the new lease is past its first duration.
    let script = r#"
trap 'sleep 14; exit 0' TERM
psql -XAtqc "select 'start ' || current_user" || echo failed
while :; do sleep 0.05; done"#;
    let running = tenant
        .command()
        .args(["--stop-timeout", "60s"])
        .child(["sh", "-c", script])
        .spawn();
    let first = running.wait_for_line("start");
    tenant.revoke_lease(&tenant.leases()[0]);
    running.signal(libc::SIGCONT);
    let second = running.wait_for_line("start");
    assert_ne!(first, second);
    signals::kill(running.wait_for_child("sh"), libc::SIGKILL);
    let run = running.wait();
    run.assert_killed_by(libc::SIGKILL);
    assert!(!run.out().contains("failed"), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_ends_while_a_sick_server_is_asked_is_not_kept_waiting() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.default_ttl("30s").max_ttl("1h"));
    let proxy = FaultProxy::start(&servers.vault.url(), |request| {
        if request.is_login() && request.nth > 0 {
            Fault::error(503, "Vault is sealed")
        } else {
            Fault::Pass
        }
    });
    let mut running = tenant
        .through(&proxy)
        .child(["sh", "-c", "echo start; read -r line; exit 3"])
        .stdin_piped()
        .spawn();
    running.wait_for_line("start");
    tenant.revoke_lease(&tenant.leases()[0]);
    running.signal(libc::SIGCONT);
    proxy.wait_for(4, RequestInfo::is_login);
    running.say("go");
    let asked = proxy.count(RequestInfo::is_login);
    running.wait().assert_code(3);
    // One may have been on its way.
    assert!(proxy.count(RequestInfo::is_login) <= asked + 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_shell_that_had_the_terminal_leaves_it_to_the_next_one() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("30s").max_ttl("1h")
    });
    let pty = Pty::new();
    let shell = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let run = tenant
        .command()
        .args(["--on-expiry", "restart", "--stop-signal", "KILL"]);
    let running = pty.spawn(run.child(shell));
    pty.type_line("echo first-$PGUSER");
    pty.wait_for("first-v-approle-");
    tenant.revoke_lease(&tenant.leases()[0]);
    let first = running.wait_for_child("bash");
    running.signal(libc::SIGCONT);
    let gone = poll_until(std::time::Duration::from_secs(60), || {
        procfs::state(first).is_none().then_some(())
    });
    assert!(gone.is_some(), "the first shell still runs");
    pty.type_line("echo second-$PGUSER");
    pty.wait_for("second-v-approle-");
    pty.type_line("exit 6");
    running.wait().assert_code(6);
    tenant.assert_nothing_left();
}
