//! There are no descriptors to be had: what there is is enough to give everything back.

use crate::support::*;
use std::time::Duration;

/// The soft limit on descriptors of a process that runs. Those above it stay; there are no new ones.
fn limit_descriptors(pid: i32, most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: a plain struct in, none out.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &limit, std::ptr::null_mut()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_system_that_has_no_descriptor_to_give_for_a_child_is_named_and_everything_given_back() {
    let servers = Servers::shared();
    for change in [(|spec| spec) as Change, TenantSpec::may_revoke_leases] {
        let tenant = Tenant::with(servers, change);
        let hold = Hold::new();
        let proxy = harm(
            servers,
            RequestInfo::is_creds,
            Fault::HoldAnswer(hold.clone()),
        );
        let running = tenant.through(&proxy).child(["echo", "ran"]).spawn();
        hold.wait_arrived();
        limit_descriptors(running.pid(), 3);
        hold.release();
        let run = running.wait();
        run.assert_code(125)
            .stdout_is("")
            .stderr_contains("cannot start a process: Too many open files");
        assert_eq!(run.err().lines().count(), 1, "{run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn what_there_is_when_the_child_ends_is_enough_to_give_everything_back() {
    let servers = Servers::shared();
    for change in [(|spec| spec) as Change, TenantSpec::may_revoke_leases] {
        let tenant = Tenant::with(servers, change);
        let proxy = pass(servers);
        let mut running = tenant
            .through(&proxy)
            .child(Probe::signals())
            .stdin_piped()
            .spawn();
        running.wait_for_line("ready");
        // The last question for some time, by a connection that is kept open for a while.
        let asked = || proxy.count(|request| request.path.ends_with("sys/capabilities-self"));
        let connected = poll_until(Duration::from_secs(60), || (asked() > 0).then_some(()));
        assert!(connected.is_some(), "it does not ask for its rights");
        limit_descriptors(running.pid(), 3);
        running.say("exit 4");
        running.wait().assert_code(4).assert_quiet_stderr();
        tenant.assert_nothing_left();
    }
}

#[test]
fn giving_back_takes_no_more_descriptors_than_the_start_did_however_late_it_is() {
    let tenant = Tenant::new(Servers::shared());
    let command = |most: u64| {
        let run = tenant.command().limited(libc::RLIMIT_NOFILE, most);
        run.args(["--start-timeout", "5s"])
    };
    // The fewest with which there is a child. With fewer the reason is told, and nothing left.
    let fewest = (4..64).find(|most| {
        let run = command(*most).child(["sh", "-c", "exit 4"]).output();
        if run.code() != Some(4) {
            run.assert_code(125).stdout_is("");
            assert!(!run.stderr.is_empty(), "{most}: {run}");
        }
        tenant.assert_nothing_left();
        run.code() == Some(4)
    });
    let fewest = fewest.expect("it never starts");
    // Longer than an idle connection is kept: there has to be a new one.
    let run = command(fewest)
        .args(["--revoke-timeout", "30s"])
        .child(["sh", "-c", "sleep 12; exit 4"])
        .output();
    run.assert_code(4).assert_silent();
    tenant.assert_nothing_left();
}
