//! Many runs that end at once, as when a node is drained: the server cannot keep up, and nothing untrue is said of that.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const RUNS: usize = 24;

#[test]
fn what_a_busy_server_has_not_answered_yet_is_told_as_such_and_the_companions_finish() {
    let servers = Servers::shared();
    for change in [TenantSpec::may_revoke_leases as Change, |spec| spec] {
        let tenant = Tenant::with(servers, change);
        let busy = Arc::new(AtomicBool::new(false));
        let slow = Arc::clone(&busy);
        let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
            let revokes = request.is_lease_revoke() || request.is_revoke_self();
            if revokes && slow.load(Ordering::SeqCst) {
                Fault::Delay(Duration::from_secs(3))
            } else {
                Fault::Pass
            }
        });
        let start = |_| {
            let run = tenant.through(&proxy).args(["--revoke-timeout", "1s"]);
            run.stdin_piped()
                .child(["sh", "-c", "echo up; cat"])
                .spawn()
        };
        let mut all: Vec<Running> = (0..RUNS).map(start).collect();
        all.iter()
            .for_each(|running| drop(running.wait_for_line("up")));
        busy.store(true, Ordering::SeqCst);
        all.iter_mut().for_each(Running::close_stdin);
        let told = std::thread::scope(|scope| {
            let ends: Vec<_> = all
                .into_iter()
                .map(|it| scope.spawn(|| it.wait()))
                .collect();
            let ended = ends.into_iter().map(|end| end.join().unwrap());
            ended.filter(check).count()
        });
        assert!(told > 0, "none of {RUNS} runs was in a hurry");
        busy.store(false, Ordering::SeqCst);
        tenant.assert_nothing_left_within(Duration::from_secs(60));
    }
}

/// Nothing untrue is said; says whether anything is.
fn check(run: &Finished) -> bool {
    run.assert_code(0);
    let err = run.err();
    for line in err.lines() {
        let known = line.starts_with("vaultexec: the lease ")
            && line.contains(" is not revoked yet: ")
            && line.contains("; a process in the background goes on trying for up to ten minutes. If that fails, ");
        assert!(known, "{run}");
    }
    assert!(err.lines().count() <= 1, "{run}");
    !err.is_empty()
}
