//! A kernel or a sandbox that refuses the calls on descriptors of processes: signals go by number then, and nothing hangs.

use crate::support::{procfs, seccomp, signals, *};
use std::time::Duration;

/// What is refused, and how: an old kernel knows none of them, an old sandbox answers EPERM to what it does not know.
fn sandboxes() -> Vec<(&'static [libc::c_long], i32)> {
    const CALLS: [&[libc::c_long]; 3] = [
        &[libc::SYS_pidfd_send_signal],
        &[libc::SYS_pidfd_open],
        &[libc::SYS_pidfd_open, libc::SYS_pidfd_send_signal],
    ];
    CALLS
        .into_iter()
        .flat_map(|calls| [libc::EPERM, libc::ENOSYS].map(|errno| (calls, errno)))
        .collect()
}

/// What hangs is to be seen soon.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn the_childs_code_is_passed_on_and_nothing_is_left() {
    let tenant = Tenant::new(Servers::shared());
    for (calls, errno) in sandboxes() {
        let run = tenant.command().child(["sh", "-c", "exit 7"]);
        let run = seccomp::refusing(run, calls, errno).deadline(SOON);
        run.output().assert_code(7).assert_silent();
    }
    tenant.assert_nothing_left();
}

#[test]
fn signals_reach_the_child_and_it_is_killed_when_it_has_to_be() {
    let tenant = Tenant::new(Servers::shared());
    for (calls, errno) in sandboxes() {
        let run = tenant.command().child(Probe::signals()).stdin_piped();
        let mut running = seccomp::refusing(run, calls, errno).deadline(SOON).spawn();
        running.wait_for_line("ready");
        for name in ["TERM", "HUP", "USR1"] {
            running.signal(signals::number(name).unwrap());
            assert_eq!(Probe::next_signal(&running).0, name, "{calls:?} {errno}");
        }
        running.say("exit 3");
        running.wait().assert_code(3).assert_quiet_stderr();
    }
    let (calls, errno) = sandboxes()[4];
    let run = tenant.command().args(["--on-expiry", "stop"]);
    let run = run.args(["--stop-timeout", "300ms"]);
    let run = run.child(Probe::ignore_term()).deadline(SOON);
    let running = seccomp::refusing(run, calls, errno).spawn();
    running.wait_for_line("ready");
    tenant.limit_leases("60s");
    running.signal(libc::SIGCONT);
    running.wait().assert_code(125).stderr_contains("is killed");
    tenant.assert_nothing_left();
}

#[test]
fn after_a_kill_the_companion_ends_a_child_that_ignores_the_stop_signal() {
    let tenant = Tenant::new(Servers::shared());
    for (calls, errno) in sandboxes() {
        let run = tenant.command().args(["--stop-timeout", "300ms"]);
        let run = run.child(Probe::ignore_term()).deadline(SOON);
        let running = seccomp::refusing(run, calls, errno).spawn();
        let ready = running.wait_for_line("ready");
        let child: i32 = ready.strip_prefix("ready ").unwrap().parse().unwrap();
        running.signal(libc::SIGKILL);
        let gone = poll_until(SOON, || {
            matches!(procfs::state(child), None | Some('Z')).then_some(())
        });
        assert!(gone.is_some(), "the child still runs: {calls:?} {errno}");
    }
    tenant.assert_nothing_left();
}
