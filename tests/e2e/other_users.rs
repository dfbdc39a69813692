//! A child that has become another user, under a vaultexec that may not signal it.

use crate::support::*;

/// `run` as root without the right to signal other users' processes, with a child that becomes one and obeys INT alone.
#[track_caller]
fn out_of_reach(run: Run) -> Run {
    assert!(
        nix::unistd::geteuid().is_root(),
        "only root can become another user: run the tests as root, in a container if need be"
    );
    let script = "trap 'exit 3' INT; trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    run.child(nobody.into_iter().chain(["sh", "-c", script]))
        .under(["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"])
}

const REFUSED: &str = "it runs as user 65534, whom vaultexec as user 0 may not signal";

#[test]
fn a_signal_that_may_not_be_passed_on_is_told() {
    let tenant = Tenant::new(Servers::shared());
    let running = out_of_reach(tenant.command()).spawn();
    running.wait_for_line("ready");
    let child = running.children()[0];
    for signal in [libc::SIGTERM, libc::SIGUSR1] {
        running.signal(signal);
        let told = running.wait_for_stderr(REFUSED);
        assert!(
            told.contains(&format!("SIG{}", signals::name(signal))),
            "{told}"
        );
    }
    assert!(signals::kill(child, libc::SIGINT));
    running.wait().assert_code(3);
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_cannot_be_killed_is_not_said_to_be_and_the_end_of_its_credentials_is_told() {
    for on_expiry in ["stop", "restart"] {
        let tenant = Tenant::with(Servers::shared(), expiring::short);
        let run = tenant.command().args(["--on-expiry", on_expiry]);
        let run = out_of_reach(run.args(["--stop-timeout", "300ms"]));
        let running = run.spawn();
        running.wait_for_line("ready");
        let child = running.children()[0];
        running.wait_for_stderr(&format!("SIGTERM: {REFUSED}"));
        running.wait_for_stderr(&format!("SIGKILL: {REFUSED}"));
        running.wait_for_stderr("the credentials have ended");
        assert!(!running.stderr_so_far().contains("is killed"));
        // Then the next one, where there is one, ends like this.
        assert!(signals::kill(child, libc::SIGINT));
        if on_expiry == "restart" {
            running.wait_for_line("ready");
            assert!(signals::kill(running.children()[0], libc::SIGINT));
        }
        let code = if on_expiry == "stop" { 125 } else { 3 };
        running.wait().assert_code(code);
        tenant.assert_nothing_left();
    }
}
