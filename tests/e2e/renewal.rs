//! Lease and token are kept alive while the child runs, whatever the server does meanwhile.

use crate::support::*;
use serde_json::json;
use std::time::Duration;

/// Asks the database for every line it is given.
const QUERIES: &str =
    "while read -r line; do psql -XAtqc \"select 'alive'\" </dev/null || echo dead; done";

fn querying(run: Run) -> Running {
    run.child(["sh", "-c", QUERIES]).stdin_piped().spawn()
}

#[track_caller]
fn assert_alive(running: &mut Running) {
    running.say("query");
    assert_eq!(running.next_line(), "alive");
}

fn gaps(proxy: &FaultProxy, which: fn(&RequestInfo) -> bool) -> Vec<f64> {
    let times: Vec<_> = proxy
        .requests()
        .into_iter()
        .filter(which)
        .map(|one| one.at)
        .collect();
    times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect()
}

#[test]
fn lease_and_token_outlive_their_first_durations() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.default_ttl("30s").token_ttl("40s"));
    let proxy = pass(servers);
    let mut running = querying(tenant.through(&proxy));
    assert_alive(&mut running);
    let role = tenant.wait_for_roles(1).remove(0);
    let mut until = tenant.valid_until(&role);
    for renewal in 1..=2 {
        proxy.wait_for(renewal, RequestInfo::is_lease_renew);
        // The renewal is an ALTER ROLE, which is done a moment after the request came.
        let grown = poll_until(Duration::from_secs(60), || {
            let now = tenant.valid_until(&role);
            (now > until).then_some(now)
        });
        until = grown.expect("the role's end did not move");
        assert_alive(&mut running);
    }
    proxy.wait_for(1, RequestInfo::is_token_renew);
    assert!(
        running.started().elapsed() > Duration::from_secs(40),
        "longer than both durations"
    );
    // 70 to 73 % of the duration. That it is not too late has been seen by what was granted.
    for gap in gaps(&proxy, RequestInfo::is_lease_renew) {
        assert!(gap > 15.0, "{gap}");
    }
    running.close_stdin();
    let run = running.wait();
    run.assert_code(0).assert_quiet_stderr();
    assert_eq!(proxy.count(RequestInfo::is_creds), 1);
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_renewal_that_fails_is_tried_again_ever_later_and_told_once() {
    let servers = Servers::shared();
    let faults = [
        ("503", Fault::error(503, "Vault is sealed")),
        (
            "database",
            Fault::error(400, "failed to connect to the database"),
        ),
        ("malformed", Fault::body("{\"lease_duration\":\"long\"}")),
        ("html", Fault::body("<html>")),
        ("reset", Fault::ResetBefore),
    ];
    std::thread::scope(|scope| {
        for (name, fault) in faults {
            scope.spawn(move || {
                let tenant = Tenant::new(servers);
                let proxy = harm(servers, RequestInfo::is_lease_renew, fault);
                // A shorter lease is asked for at once.
                let mut running = tenant
                    .through(&proxy)
                    .args(["--lease-ttl", "60s"])
                    .child(Probe::signals())
                    .stdin_piped()
                    .spawn();
                running.wait_for_line("ready");
                let told = running.wait_for_stderr("cannot renew the lease now");
                assert!(told.contains("trying again, 59m"), "{told}");
                // A connection that breaks is replaced once at once, so that these come in pairs.
                let each = if name == "reset" { 2 } else { 1 };
                proxy.wait_for(4 * each, RequestInfo::is_lease_renew);
                let gaps: Vec<f64> = gaps(&proxy, RequestInfo::is_lease_renew)
                    .into_iter()
                    .skip(each - 1)
                    .step_by(each)
                    .collect();
                // How they grow at the most is in the schedule's own tests.
                for (nth, gap) in gaps.iter().enumerate() {
                    let bound = f64::from(1 << nth);
                    assert!(*gap >= bound * 0.45, "{name}: {gaps:?}");
                }
                assert_eq!(proxy.count(RequestInfo::is_creds), 1, "{name}");
                assert_eq!(proxy.count(RequestInfo::is_login), 1, "{name}");
                running.say("ping");
                assert_eq!(
                    running.next_line(),
                    "pong",
                    "{name}: the child had a signal"
                );
                running.say("exit 6");
                let run = running.wait();
                run.assert_code(6).assert_no_secret(&proxy.secrets());
                assert_eq!(run.err().lines().count(), 1, "told once: {run}");
                tenant.assert_nothing_left();
            });
        }
    });
}

#[test]
fn renewals_that_failed_for_a_while_are_made_up_for_in_time() {
    let servers = Servers::shared();
    let faults = [
        ("503", 2, Fault::error(503, "Vault is sealed")),
        ("hang", 1, Fault::Hang),
        ("lost", 1, Fault::ResetAfter),
        ("html", 1, Fault::body("<html>")),
    ];
    std::thread::scope(|scope| {
        for (name, count, fault) in faults {
            scope.spawn(move || {
                let tenant = Tenant::with(servers, |spec| spec.default_ttl("40s"));
                let proxy = harm_first(servers, count, RequestInfo::is_lease_renew, fault);
                let mut running = querying(tenant.through(&proxy));
                assert_alive(&mut running);
                let role = tenant.wait_for_roles(1).remove(0);
                let until = tenant.valid_until(&role);
                running.signal(libc::SIGCONT);
                proxy.wait_for(count + 1, RequestInfo::is_lease_renew);
                let grown = poll_until(Duration::from_secs(60), || {
                    (tenant.valid_until(&role) > until).then_some(())
                });
                assert!(grown.is_some(), "{name}: the role's end did not move");
                assert_alive(&mut running);
                assert_eq!(proxy.count(RequestInfo::is_creds), 1, "{name}");
                running.close_stdin();
                let run = running.wait();
                run.assert_code(0);
                let lines = run.err().lines().count();
                assert_eq!(lines, usize::from(name != "lost"), "{name}: {run}");
                tenant.assert_nothing_left();
            });
        }
    });
}

#[test]
fn a_connection_that_was_closed_while_it_was_idle_is_replaced_in_silence() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let mut running = querying(tenant.through(&proxy));
    assert_alive(&mut running);
    for renewal in 1..=2 {
        proxy.close_connections();
        running.signal(libc::SIGCONT);
        let request = proxy.wait_for(renewal, RequestInfo::is_lease_renew);
        assert_eq!(request.connection, 0, "numbered from the last close");
    }
    running.close_stdin();
    running.wait().assert_code(0).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_shorter_lease_is_asked_for_and_kept() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let mut running = querying(tenant.through(&proxy).args(["--lease-ttl", "12s"]));
    assert_alive(&mut running);
    for renewal in 1..=3 {
        let request = proxy.wait_for(renewal, RequestInfo::is_lease_renew);
        assert_eq!(request.json()["increment"], 12);
        assert_alive(&mut running);
        running.signal(libc::SIGCONT);
    }
    let role = tenant.wait_for_roles(1).remove(0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!(tenant.valid_until(&role) - now < 60.0);
    running.close_stdin();
    running.wait().assert_code(0).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn signals_are_forwarded_while_a_renewal_hangs() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = harm(servers, RequestInfo::is_lease_renew, Fault::Hang);
    let mut running = tenant
        .through(&proxy)
        .args(["--lease-ttl", "60s"])
        .child(Probe::signals())
        .stdin_piped()
        .spawn();
    running.wait_for_line("ready");
    proxy.wait_for(1, RequestInfo::is_lease_renew);
    let sent = std::time::Instant::now();
    running.signal(libc::SIGUSR1);
    assert_eq!(Probe::next_signal(&running).0, "USR1");
    assert!(sent.elapsed() < Duration::from_secs(5));
    running.say("exit 0");
    let run = running.wait();
    run.assert_code(0).assert_quiet_stderr();
    assert!(run.wall < Duration::from_secs(20), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_is_sealed_for_a_while_is_survived() {
    let servers = Servers::private_vault();
    let tenant = Tenant::with(&servers, |spec| spec.default_ttl("5m"));
    let mut running = querying(tenant.command());
    assert_alive(&mut running);
    let role = tenant.wait_for_roles(1).remove(0);
    let until = tenant.valid_until(&role);
    servers.vault.seal();
    running.signal(libc::SIGCONT);
    let told = running.wait_for_stderr("cannot renew the lease now");
    assert!(told.contains("sealed"), "{told}");
    servers.vault.unseal();
    let grown = poll_until(Duration::from_secs(60), || {
        (tenant.valid_until(&role) > until).then_some(())
    });
    assert!(grown.is_some());
    assert_alive(&mut running);
    running.close_stdin();
    let run = running.wait();
    run.assert_code(0);
    for subject in ["lease", "token"] {
        let told = run.err().matches(&format!("renew the {subject}")).count();
        assert_eq!(told, 1, "{subject} told once: {run}");
    }
    assert_eq!(run.err().lines().count(), 2, "{run}");
    tenant.assert_nothing_left();
}

/// Asks for two looks, each of which renews all that can be renewed. The second one is not begun before the first is done.
#[track_caller]
fn look_twice(running: &Running, vault: &FakeVault, renewable: fn(&RequestInfo) -> bool) {
    for count in 1..=2 {
        running.signal(libc::SIGCONT);
        vault.proxy().wait_for(count, renewable);
    }
}

#[test]
fn a_lease_that_cannot_be_renewed_is_told_at_the_start_and_never_asked_for() {
    let vault = FakeVault::answering(|request| {
        if request.is_creds() {
            Some(
                json!({"lease_id": "database/creds/app-role/1", "lease_duration": 3600, "renewable": false,
                "data": {"username": "v-fake", "password": "fake-password"}}),
            )
        } else if request.is_token_renew() {
            Some(json!({"auth": {"lease_duration": 3600, "renewable": true}}))
        } else {
            None
        }
    });
    let running = vault.command().arg("-v").child(children::TELLING).spawn();
    let told = running.wait_for_stderr("the credentials end at 20");
    assert!(told.ends_with(": the lease is not renewable"), "{told}");
    running.wait_for_line("start");
    look_twice(&running, &vault, RequestInfo::is_token_renew);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    assert_eq!(vault.proxy().count(RequestInfo::is_lease_renew), 0);
    vault.assert_all_given_back(1);
}

#[test]
fn a_token_that_cannot_be_renewed_is_told_at_the_start_and_never_asked_for() {
    let vault = FakeVault::answering(|request| {
        if request.is_login() {
            Some(
                json!({"auth": {"client_token": "s.fake-token", "lease_duration": 3600, "renewable": false,
                "token_type": "service", "num_uses": 0}}),
            )
        } else if request.is_lease_renew() {
            Some(
                json!({"lease_id": "database/creds/app-role/1", "lease_duration": 3600, "renewable": true}),
            )
        } else {
            None
        }
    });
    let running = vault.command().arg("-v").child(children::TELLING).spawn();
    let told = running.wait_for_stderr("the credentials end at 20");
    assert!(told.ends_with(": the token is not renewable"), "{told}");
    running.wait_for_line("start");
    look_twice(&running, &vault, RequestInfo::is_lease_renew);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    assert_eq!(vault.proxy().count(RequestInfo::is_token_renew), 0);
    vault.assert_all_given_back(1);
}

#[test]
fn a_renewal_that_is_forbidden_once_while_the_token_is_alive_replaces_nothing() {
    let servers = Servers::shared();
    let renewals: [fn(&RequestInfo) -> bool; 2] =
        [RequestInfo::is_lease_renew, RequestInfo::is_token_renew];
    // As a policy has it, and as of a token that a node does not know.
    for words in [
        "1 error occurred:\n\t* permission denied\n\n",
        "permission denied",
    ] {
        for renews in renewals {
            let tenant = Tenant::new(servers);
            let proxy = harm_first(servers, 1, renews, Fault::error(403, words));
            let running = tenant.through(&proxy).child(children::TELLING).spawn();
            running.wait_for_line("start");
            running.signal(libc::SIGCONT);
            proxy.wait_for(2, renews);
            // It was granted, and so is the next one.
            running.signal(libc::SIGCONT);
            proxy.wait_for(3, renews);
            assert_eq!(proxy.count(RequestInfo::is_login), 1);
            assert_eq!(proxy.count(RequestInfo::is_creds), 1);
            running.signal(libc::SIGTERM);
            let run = running.wait();
            for wrong in ["restarting", "gone", "forbids"] {
                assert!(!run.err().contains(wrong), "{wrong}: {run}");
            }
            tenant.assert_nothing_left();
        }
    }
}
