//! As the first process of a container: orphans, the end of everything, other inits in front. What every run does is tested in
//! these surroundings too, by `everywhere!` in the other files.

use crate::support::{procfs, signals, *};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_hundred_orphans_die_and_no_zombie_stays() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().child(Probe::spawn_orphans(100));
    let mut running = pidns::as_pid_1(run).stdin_piped().spawn();
    running.wait_for_line("ready");
    let init = pidns::pid_1(&running);
    assert_eq!(
        procfs::children(init).len(),
        101,
        "the child and the orphans"
    );
    running.say("go");
    let alone = poll_until(Duration::from_secs(90), || {
        (procfs::children(init).len() == 1).then_some(())
    });
    assert!(alone.is_some(), "zombies: {:?}", procfs::zombies(init));
    running.say("exit 5");
    running.wait().assert_code(5).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn the_childs_code_is_seen_when_orphans_die_with_it() {
    let vault = FakeVault::new();
    for code in 0..20 {
        let run = vault.command().child(Probe::spawn_orphans(10));
        let mut running = pidns::as_pid_1(run).stdin_piped().spawn();
        running.wait_for_line("ready");
        running.say(&format!("exit {code}"));
        running.wait().assert_code(code).assert_quiet_stderr();
    }
    vault.assert_all_given_back(20);
}

#[test]
fn an_orphan_that_outlives_the_child_does_not_keep_the_container_alive() {
    let tenant = Tenant::new(Servers::shared());
    let run = Probe::command(&["spawn-orphans", "3", "stay"]);
    let run = pidns::as_pid_1(tenant.command().child(run));
    let mut running = run.stdin_piped().spawn();
    running.wait_for_line("ready");
    running.say("exit 3");
    running.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn orphans_of_another_process_are_not_taken_when_not_pid_1() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().child(Probe::spawn_orphans(3));
    let mut running = run.stdin_piped().spawn();
    running.wait_for_line("ready");
    // The companion is one of them until it has taken its name.
    let one = poll_until(Duration::from_secs(90), || {
        (running.children().len() == 1).then_some(())
    });
    assert!(one.is_some(), "{:?}", running.children());
    running.say("exit 3");
    running.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn nobody_is_signalled_who_has_got_the_childs_pid_after_its_end() {
    let tenant = Tenant::new(Servers::shared());
    let hang = |request: &RequestInfo| match request.is_revoke_self() {
        true => Fault::Hang,
        false => Fault::Pass,
    };
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), hang);
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    let run = run.arg("-q").child(Probe::signals());
    let mut running = pidns::as_pid_1(run).stdin_piped().spawn();
    let ready = running.wait_for_line("ready");
    let pid: i32 = ready.strip_prefix("ready ").unwrap().parse().unwrap();
    let init = pidns::pid_1(&running);
    // The kernel is made to give the next process of the namespace the number that the child had.
    // The way in is by the child: vaultexec lets nobody but root look into itself.
    let script = format!(
        "echo in; read -r go; echo {} > /proc/sys/kernel/ns_last_pid; '{}' signals",
        pid - 1,
        Probe::path().display()
    );
    let child = procfs::children(init)[0].to_string();
    let as_root = nix::unistd::geteuid().is_root();
    let mut other = Run::of("nsenter")
        .args(if as_root {
            &["-t"][..]
        } else {
            &["-U", "--preserve-credentials", "-t"]
        })
        .args([&child, "-p", "-m", "sh", "-c", &script])
        .stdin_piped()
        .spawn();
    other.wait_for_line("in");
    running.say("exit 6");
    proxy.wait_for(1, RequestInfo::is_revoke_self);
    other.say("go");
    assert_eq!(other.wait_for_line("ready"), ready);
    for signal in [libc::SIGWINCH, libc::SIGUSR1, libc::SIGTERM] {
        assert!(signals::kill(init, signal));
    }
    running.wait().assert_code(6);
    // With its PID 1 gone, so is the namespace.
    assert_eq!(other.wait().out(), format!("in\n{ready}\n"));
    revoke_by_hand(&tenant);
    tenant.assert_nothing_left();
}

#[test]
fn a_setting_that_is_read_from_a_pipe_does_not_keep_it_from_ending() {
    let tenant = Tenant::new(Servers::shared());
    let fifo = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ca-{}", std::process::id()));
    let _ = std::fs::remove_file(&fifo);
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        for ignored in [false, true] {
            let run = tenant.command().env("VAULT_CACERT", &fifo);
            let run = run.child(["echo", "there was a child"]);
            let run = if ignored { run.ignoring(signal) } else { run };
            let running = pidns::as_pid_1(run).spawn();
            let pid = pidns::pid_1(&running);
            // It waits for somebody who opens the other end.
            let waits = poll_until(Duration::from_secs(60), || {
                let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
                let number = call.split(' ').next()?.parse::<i64>().ok()?;
                opens(number).then_some(())
            });
            assert!(waits.is_some(), "it does not wait for the file");
            assert!(signals::kill(pid, signal));
            if ignored {
                // An empty file holds no certificate.
                drop(std::fs::OpenOptions::new().write(true).open(&fifo).unwrap());
                running.wait().assert_code(125);
            } else {
                running.wait().assert_code(128 + signal).assert_silent();
            }
        }
    }
    let _ = std::fs::remove_file(&fifo);
    tenant.assert_nothing_left();
}

/// Whether a system call opens a file: musl has the old one where there is one.
fn opens(call: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if call == libc::SYS_open {
        return true;
    }
    call == libc::SYS_openat
}

/// Where the test has kept vaultexec from it.
fn revoke_by_hand(tenant: &Tenant) {
    for lease in tenant.leases() {
        tenant.revoke_lease(&lease);
    }
    tenant.revoke_tokens();
}

/// vaultexec in vaultexec, with a child.
fn nested(tenant: &Tenant, child: Vec<String>) -> Run {
    let run = tenant.command();
    let run = run.args(["--keep-env", "VAULT_ROLE_ID,VAULT_SECRET_ID"]);
    let inner = vec![Run::binary(), "--".to_owned()];
    run.child([inner, child].concat())
}

#[test]
fn codes_and_signals_pass_through_vaultexec_in_vaultexec_in_an_init() {
    let tenant = Tenant::new(Servers::shared());
    let inits: [&[&str]; 3] = [&[], &["tini", "--"], &["dumb-init", "-c", "--"]];
    for init in inits {
        let run = nested(&tenant, Probe::signals()).under(init);
        let mut running = pidns::as_pid_1(run).stdin_piped().spawn();
        running.wait_for_line("ready");
        tenant.wait_for_roles(2);
        let first = pidns::pid_1(&running);
        for name in [
            "TERM", "HUP", "USR1", "INT", "QUIT", "USR2", "CONT", "WINCH",
        ] {
            assert!(signals::kill(first, signals::number(name).unwrap()));
            assert_eq!(Probe::next_signal(&running).0, name, "{init:?}");
        }
        running.say("ping");
        assert_eq!(running.next_line(), "pong");
        running.say("exit 9");
        running.wait().assert_code(9).assert_quiet_stderr();

        let run = nested(&tenant, Probe::die("TERM")).under(init);
        let ended = pidns::as_pid_1(run).output();
        ended.assert_code(128 + libc::SIGTERM).assert_silent();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_term_ends_vaultexec_in_vaultexec_in_tini_and_both_revoke() {
    let tenant = Tenant::new(Servers::shared());
    let child = ["sh", "-c", "echo ready; exec sleep 1000"].map(str::to_owned);
    let run = nested(&tenant, child.to_vec()).under(["tini", "--"]);
    let running = pidns::as_pid_1(run).spawn();
    running.wait_for_line("ready");
    tenant.wait_for_roles(2);
    assert!(signals::kill(pidns::pid_1(&running), libc::SIGTERM));
    let ended = running.wait();
    ended.assert_code(128 + libc::SIGTERM).assert_quiet_stderr();
    tenant.assert_nothing_left();
}
