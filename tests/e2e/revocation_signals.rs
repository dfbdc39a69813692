//! A signal at any time: what was obtained is given back all the same.

use crate::revocation::policies;
use crate::support::*;
use std::time::{Duration, Instant};

const SAY: [&str; 2] = ["echo", "ran"];

#[test]
fn a_signal_while_the_login_hangs_ends_the_run_by_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let proxy = harm(servers, RequestInfo::is_login, Fault::Hang);
        let running = tenant.through(&proxy).child(SAY).spawn();
        proxy.wait_for(1, RequestInfo::is_login);
        let sent = Instant::now();
        running.signal(signal);
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15));
        running
            .wait()
            .assert_killed_by(signal)
            .stdout_is("")
            .stderr_contains("a use of the secret id may be spent");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_while_a_retry_is_waited_for_ends_the_run_by_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for which in [
        RequestInfo::is_login as fn(&RequestInfo) -> bool,
        RequestInfo::is_creds,
    ] {
        let headers = vec![("Retry-After", "20".to_owned())];
        let fault = Fault::Status(429, headers, "{}".to_owned());
        let proxy = harm(servers, which, fault);
        let running = tenant.through(&proxy).child(SAY).spawn();
        running.wait_for_stderr("yet");
        let sent = Instant::now();
        running.signal(libc::SIGTERM);
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15));
        running.wait().assert_killed_by(libc::SIGTERM).stdout_is("");
        assert_eq!(proxy.count(which), 1);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_before_the_answer_of_a_login_does_not_lose_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // An answer is waited for for half a second, which a busy machine can take for itself.
        let kept = best_of_three(|| {
            let hold = Hold::new();
            let fault = Fault::HoldAnswer(hold.clone());
            let proxy = harm(servers, RequestInfo::is_login, fault);
            let running = tenant.through(&proxy).child(SAY).spawn();
            hold.wait_arrived();
            assert_eq!(tenant.tokens().len(), 1);
            running.signal(signal);
            hold.release();
            let run = running.wait();
            run.assert_killed_by(signal).stdout_is("");
            let kept = run.err().is_empty();
            if !kept {
                tenant.sweep();
            }
            tenant.assert_nothing_left();
            kept
        });
        assert!(kept, "the token was lost");
    }
}

#[test]
fn a_signal_while_the_credentials_are_read_leaves_no_role() {
    let servers = Servers::shared();
    for (_, change) in policies() {
        let tenant = Tenant::with(servers, change);
        for (signal, released) in [
            (libc::SIGTERM, true),
            (libc::SIGTERM, false),
            (libc::SIGINT, false),
        ] {
            let hold = Hold::new();
            let fault = Fault::HoldAnswer(hold.clone());
            let proxy = harm(servers, RequestInfo::is_creds, fault);
            let running = tenant.through(&proxy).child(SAY).spawn();
            hold.wait_arrived();
            assert_eq!(tenant.roles().len(), 1);
            running.signal(signal);
            if released {
                hold.release();
            }
            running.wait().assert_killed_by(signal).assert_silent();
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_signal_while_the_child_runs_is_the_childs_and_the_role_goes() {
    let tenant = Tenant::new(Servers::shared());
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let running = tenant.command().child(["sleep", "100"]).spawn();
        running.wait_for_child("sleep");
        tenant.wait_for_roles(1);
        running.signal(signal);
        running.wait().assert_killed_by(signal).assert_silent();
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_while_revoking_leaves_time_for_the_token_and_another_one_does_not() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let signalled = |signals: usize| {
        let proxy = harm(servers, RequestInfo::is_lease_revoke, Fault::Hang);
        let running = tenant
            .through(&proxy)
            .args(["--revoke-timeout", "50s"])
            .child(Probe::exit(3))
            .spawn();
        let sent = Instant::now();
        for nth in 1..=signals {
            // With the first one the revocation begins anew, in a hurry.
            proxy.wait_for(nth, RequestInfo::is_lease_revoke);
            running.signal(libc::SIGTERM);
        }
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15), "{signals}");
        let run = running.wait();
        run.assert_code(3);
        run
    };
    // What is left for the token is a part of a second, which a busy machine can take for itself.
    let in_time = best_of_three(|| {
        let in_time = signalled(1).err().is_empty();
        if !in_time {
            tenant.sweep();
        }
        tenant.assert_nothing_left();
        in_time
    });
    assert!(in_time, "no time was left for the token");
    let told = best_of_three(|| {
        let run = signalled(2);
        let told = tenant.leases().first().is_some_and(|lease| {
            run.stderr_contains(&format!("the lease {lease} is not revoked yet"))
                .stderr_contains("it ends by itself at 20");
            true
        });
        tenant.sweep();
        tenant.assert_nothing_left();
        told
    });
    assert!(
        told,
        "the second signal did not end it before the token went"
    );
}

#[test]
fn a_signal_during_a_slow_revocation_that_succeeds_changes_nothing() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    // A signal leaves the cleaning up no more than a second, which a busy machine can take for itself.
    let unchanged = best_of_three(|| {
        let hold = Hold::new();
        let fault = Fault::HoldRequest(hold.clone());
        let proxy = harm(servers, RequestInfo::is_lease_revoke, fault);
        let running = tenant.through(&proxy).child(Probe::exit(0)).spawn();
        hold.wait_arrived();
        running.signal(libc::SIGINT);
        hold.release();
        let run = running.wait();
        run.assert_code(0).stdout_is("");
        let unchanged = run.err().is_empty();
        if !unchanged {
            tenant.sweep();
        }
        tenant.assert_nothing_left();
        unchanged
    });
    assert!(unchanged, "the lease was not revoked in time");
}

#[test]
fn the_time_of_a_stop_does_not_count_while_revoking() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let proxy = harm_first(
        servers,
        1,
        RequestInfo::is_revoke_self,
        Fault::HoldRequest(hold.clone()),
    );
    let pty = Pty::new();
    let run = tenant
        .through(&proxy)
        .args(["--revoke-timeout", "10s"])
        .child(SAY);
    let line = run.shell_line();
    let shell = pty.bash(run);
    pty.type_line(&line);
    hold.wait_arrived();
    let vaultexec = shell.wait_for_child("vaultexec");
    pty.type_keys("\x1a");
    shell.wait_state(vaultexec, 'T');
    // Longer than the bound.
    std::thread::sleep(Duration::from_secs(11));
    pty.type_line("fg; echo code $?");
    pty.wait_for("code 0\r\n");
    let text = pty.text();
    for told in ["could not be revoked", "is not revoked yet"] {
        assert!(!text.contains(told), "{text}");
    }
    hold.release();
    pty.type_line("exit");
    shell.wait();
    tenant.assert_nothing_left();
}
