//! Without a terminal the child is in a process group of its own: what is sent to vaultexec's group reaches it once.

use crate::support::{procfs, signals, *};
use std::time::Duration;

/// The process group of a process.
fn group(pid: i32) -> i32 {
    procfs::stat_fields(pid).unwrap()[2].parse().unwrap()
}

#[test]
fn a_signal_to_the_whole_group_reaches_the_child_once() {
    let tenant = Tenant::new(Servers::shared());
    for as_pid_1 in [false, true] {
        let run = tenant.command().child(Probe::signals()).stdin_piped();
        let mut running = match as_pid_1 {
            // Else `unshare` would be in the group.
            true => pidns::as_pid_1(run.under(["setsid"])).spawn(),
            false => run.spawn(),
        };
        running.wait_for_line("ready");
        let pid = match as_pid_1 {
            true => pidns::pid_1(&running),
            false => running.pid(),
        };
        let sender = if as_pid_1 { 1 } else { pid };
        let names = ["TERM", "HUP", "INT", "QUIT", "USR1", "CONT"];
        for name in names.into_iter().cycle().take(60) {
            assert!(signals::kill(-pid, signals::number(name).unwrap()));
            assert_eq!(Probe::next_signal(&running), (name.to_owned(), sender));
        }
        running.say("ping");
        assert_eq!(running.next_line(), "pong", "one signal more");
        running.say("exit 7");
        running.wait().assert_code(7).assert_quiet_stderr();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_timeout_in_front_sends_the_child_one_term() {
    let vault = FakeVault::new();
    let rounds = 40;
    for _ in 0..rounds {
        let run = vault.command().child(Probe::signals());
        let mut running = run.under(["timeout", "600"]).stdin_piped().spawn();
        running.wait_for_line("ready");
        // As its time was up: it passes the signal on to its child, and to its whole group.
        running.signal(libc::SIGTERM);
        assert_eq!(Probe::next_signal(&running).0, "TERM");
        running.say("ping");
        let mut seen = Vec::new();
        loop {
            let line = running.next_line();
            if line == "pong" {
                break;
            }
            seen.push(line);
        }
        assert!(
            !seen.iter().any(|line| line.starts_with("TERM")),
            "{seen:?}"
        );
        running.say("exit 5");
        running.wait();
    }
    vault.assert_all_given_back(rounds);
}

#[test]
fn vaultexec_in_vaultexec_and_inits_that_signal_a_whole_group_pass_on_one_term() {
    let tenant = Tenant::new(Servers::shared());
    let child = |program: &str| {
        let inner = [program, "--"].map(str::to_owned).to_vec();
        let run = tenant.command();
        let run = run.args(["--keep-env", "VAULT_ROLE_ID,VAULT_SECRET_ID"]);
        run.child([inner, Probe::signals()].concat()).stdin_piped()
    };
    let nested = child(&Run::binary());
    let plain = tenant.command().child(Probe::signals()).stdin_piped();
    for (run, in_namespace) in [
        (nested, false),
        (plain.under(["tini", "-g", "--"]), true),
        (child(&Run::binary()).under(["dumb-init", "--"]), true),
    ] {
        let mut running = match in_namespace {
            true => pidns::as_pid_1(run).spawn(),
            false => run.spawn(),
        };
        running.wait_for_line("ready");
        for name in ["TERM", "HUP", "TERM"] {
            let number = signals::number(name).unwrap();
            let sent = match in_namespace {
                true => signals::kill(pidns::pid_1(&running), number),
                false => signals::kill(-running.pid(), number),
            };
            assert!(sent);
            assert_eq!(Probe::next_signal(&running).0, name);
        }
        running.say("ping");
        assert_eq!(running.next_line(), "pong", "one signal more");
        running.say("exit 5");
        running.wait().assert_code(5).assert_quiet_stderr();
    }
    tenant.assert_nothing_left();
}

#[test]
fn the_child_leaves_the_group_only_where_there_is_no_terminal() {
    let tenant = Tenant::new(Servers::shared());
    for (place, stays) in [
        (Surroundings::Pipes, false),
        (Surroundings::PidOne, false),
        (Surroundings::Terminal, true),
    ] {
        let mut scene = place.start(tenant.command().child(Probe::signals()));
        scene.wait_for_line("ready");
        let child = procfs::children(scene.pid())[0];
        let expected = if stays { group(scene.pid()) } else { child };
        assert_eq!(group(child), expected, "{place:?}");
        scene.say("exit 3");
        scene.wait().assert_code(3).assert_quiet();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_child_on_a_terminal_of_the_session_stays_in_the_group_whatever_its_descriptors_are() {
    let tenant = Tenant::new(Servers::shared());
    let pty = Pty::new();
    let line = tenant.command().child(Probe::signals()).shell_line();
    let shell = pty.bash(tenant.command());
    pty.type_line(&format!("{line} </dev/null 2>/dev/null | cat"));
    let ready = shell.wait_for_line("ready ");
    let child: i32 = ready.rsplit(' ').next().unwrap().parse().unwrap();
    assert_ne!(group(child), child);
    assert_eq!(group(child), pty.foreground_group());
    assert!(signals::kill(child, libc::SIGKILL));
    pty.wait_for("$ ");
    pty.type_line("exit 0");
    shell.wait().assert_code(0);
    tenant.assert_nothing_left_within(Duration::from_secs(30));
}
