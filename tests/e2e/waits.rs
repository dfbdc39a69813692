//! A wait that a person notices, at the start or at the end, is told with the way out of it; and there is none without need.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const AT_THE_START: [(&str, Which); 2] = [
    (
        "waiting for the server to answer the login; Ctrl-C",
        RequestInfo::is_login,
    ),
    (
        "waiting for the server to give out credentials; Ctrl-C",
        RequestInfo::is_creds,
    ),
];

fn revokes(request: &RequestInfo) -> bool {
    request.is_lease_revoke() || request.is_revoke_self()
}

#[test]
fn a_server_that_hangs_at_the_start_is_told_after_a_second_and_a_signal_ends_the_wait() {
    let servers = Servers::shared();
    for (words, which) in AT_THE_START {
        let tenant = Tenant::new(servers);
        let proxy = harm(servers, which, Fault::Hang);
        let running = tenant.through(&proxy).child(["echo", "ran"]).spawn();
        running.wait_for_stderr(words);
        assert!(running.started().elapsed() >= Duration::from_millis(900));
        running.signal(libc::SIGINT);
        let run = running.wait();
        run.assert_killed_by(libc::SIGINT).stdout_is("");
        assert_eq!(run.whole_err().matches("waiting for").count(), 1, "{run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_server_that_hangs_at_the_end_is_told_after_a_second_and_a_signal_cuts_the_wait_short() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let proxy = harm(servers, revokes, Fault::Hang);
    let run = tenant.through(&proxy).args(["--revoke-timeout", "60s"]);
    let running = run.child(["true"]).spawn();
    running
        .wait_for_stderr("waiting for the server to revoke the credentials, for up to 1m; Ctrl-C");
    let told = Instant::now();
    running.signal(libc::SIGINT);
    running.wait_exit();
    assert!(told.elapsed() < Duration::from_secs(20));
    let run = running.wait();
    run.assert_code(0).stderr_contains("is not revoked yet");
    assert_eq!(run.whole_err().matches("waiting for").count(), 1, "{run}");
    tenant.sweep();
    tenant.assert_nothing_left();
}

#[test]
fn what_is_read_from_a_pipe_is_waited_for_with_a_word() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let run = tenant
        .command_without_secret()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .args(["--secret-id-file", "-"]);
    let mut running = run.stdin_piped().child(["echo", "ran"]).spawn();
    running.wait_for_stderr("waiting for the role id or the secret id, from a pipe");
    running.say(&tenant.secret_id());
    running.close_stdin();
    running.wait().assert_code(0).stdout_is("ran\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_quick_run_says_nothing_of_waiting() {
    let tenant = Tenant::new(Servers::shared());
    let quick = best_of_three(|| {
        let run = tenant.command().child(["true"]).output();
        run.assert_code(0).whole_err().is_empty()
    });
    assert!(quick, "each of three runs told of a wait");
    tenant.assert_nothing_left();
}

#[test]
fn where_everything_is_over_already_and_the_server_gone_there_is_nothing_to_wait_for() {
    let servers = Servers::shared();
    for hangs in [false, true] {
        let tenant = Tenant::with(servers, |spec| {
            spec.default_ttl("5s")
                .max_ttl("5s")
                .token_ttl("5s")
                .token_max_ttl("5s")
        });
        let away = Arc::new(AtomicBool::new(false));
        let hanging = Arc::clone(&away);
        let proxy = FaultProxy::start(&servers.vault.url(), move |_| {
            if hanging.load(Ordering::SeqCst) {
                Fault::Hang
            } else {
                Fault::Pass
            }
        });
        let run = tenant
            .through(&proxy)
            .args(["--on-expiry", "warn", "--revoke-timeout", "60s"]);
        let mut running = run.stdin_piped().child(["cat"]).spawn();
        running.wait_for_child("cat");
        if hangs {
            away.store(true, Ordering::SeqCst);
        } else {
            proxy.refuse();
        }
        running.wait_for_stderr("the credentials have ended");
        // The lease may end a moment before the token, by whole seconds.
        std::thread::sleep(Duration::from_secs(2));
        let closed = Instant::now();
        running.close_stdin();
        running.wait_exit();
        assert!(
            closed.elapsed() < Duration::from_secs(20),
            "{:?}",
            closed.elapsed()
        );
        let run = running.wait();
        run.assert_code(0);
        assert!(!run.err().contains("revoked"), "{run}");
        if !hangs {
            assert!(!run.whole_err().contains("waiting for"), "{run}");
        }
        tenant.assert_nothing_left();
    }
}

#[test]
fn the_last_try_is_made_just_before_the_end_of_the_start_timeout() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let timeout = Duration::from_secs(2);
    // Chance may have a try at any time; the last one has its place.
    for _ in 0..6 {
        let proxy = harm(servers, RequestInfo::is_login, Fault::error(503, "away"));
        let run = tenant.through(&proxy).args(["--start-timeout", "2s"]);
        let running = run.child(["echo", "ran"]).spawn();
        let started = running.started();
        running.wait().assert_code(125);
        let last = proxy.requests().pop().expect("a login").at - started;
        assert!(last >= timeout - Duration::from_millis(500), "{last:?}");
    }
    // So a server that comes up then is in time.
    let in_time = best_of_three(|| {
        let proxy = pass(servers);
        proxy.refuse();
        let run = tenant.through(&proxy).args(["--start-timeout", "3s"]);
        let running = run.child(["echo", "ran"]).spawn();
        let up_at = running.started() + Duration::from_millis(2600);
        std::thread::sleep(up_at.saturating_duration_since(Instant::now()));
        proxy.accept();
        running.wait().code() == Some(0)
    });
    assert!(in_time, "none of three runs made it");
    tenant.assert_nothing_left();
}
