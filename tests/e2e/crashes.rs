//! vaultexec is killed and cannot clean up: the child is told to end, and the companion gives
//! everything back.

use std::time::{Duration, Instant};

use crate::support::{seccomp, *};

/// The companion of a running vaultexec.
fn companion(run: &Running) -> libc::pid_t {
    let named = |pid: &libc::pid_t| {
        procfs::status_field(*pid, "Name").as_deref() == Some(procfs::COMPANION)
    };
    // It takes its name when it first gets its turn.
    poll_until(Duration::from_secs(60), || {
        procfs::all_children(run.pid()).into_iter().find(named)
    })
    .expect("a companion")
}

/// A run whose child counts its signals, and has said that it does.
fn ready(tenant: &Tenant) -> Running {
    let run = tenant
        .command()
        .child(Probe::signals())
        .stdin_piped()
        .spawn();
    run.wait_for_line("ready");
    run
}

#[test]
fn killed_it_leaves_neither_a_child_nor_a_role() {
    let tenant = Tenant::new(Servers::shared());
    let soon = best_of_three(|| {
        let run = ready(&tenant);
        assert_eq!(tenant.roles().len(), 1);
        let killed = Instant::now();
        run.signal(libc::SIGKILL);
        assert_eq!(
            Probe::next_signal(&run).0,
            "TERM",
            "the child is told to end"
        );
        tenant.assert_nothing_left();
        killed.elapsed() < Duration::from_secs(2)
    });
    assert!(soon, "it was not given back soon");
}

#[test]
fn a_child_that_ignores_the_stop_signal_is_killed_after_the_stop_timeout() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .args(["--stop-timeout", "300ms"])
        .child(Probe::ignore_term())
        .spawn();
    run.wait_for_line("ready");
    let child = run.wait_for_child("probe");
    run.signal(libc::SIGKILL);
    let gone = poll_until(Duration::from_secs(90), || {
        procfs::state(child)
            .is_none_or(|state| state == 'Z')
            .then_some(())
    });
    assert!(gone.is_some(), "the child still runs");
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_kills_vaultexec_with_its_first_step_is_ended_all_the_same() {
    let tenant = Tenant::new(Servers::shared());
    let kills = r#"trap '' TERM; echo $$; kill -KILL $PPID; exec sleep 1000"#;
    for _ in 0..10 {
        let run = tenant.command().args(["--stop-timeout", "10ms"]);
        let run = run.child(["sh", "-c", kills]).spawn();
        let child = run.next_line().parse().expect("its pid");
        wait_until_gone(child, "the child");
    }
    tenant.assert_nothing_left();
}

#[test]
fn the_companion_is_invisible_and_holds_nothing_it_does_not_need() {
    let tenant = Tenant::new(Servers::shared());
    let mut run = ready(&tenant);
    let pid = companion(&run);

    let stat = procfs::stat_fields(pid).unwrap();
    assert_eq!(stat[3], pid.to_string(), "a session of its own");
    assert_eq!(stat[4], "0", "no terminal");
    if nix::unistd::geteuid().is_root() {
        assert_holds_little(pid);
    } else {
        // Nobody but root can look into it at all.
        let refused = std::fs::read(format!("/proc/{pid}/environ")).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    }

    // No signal but KILL does anything to it.
    for (signal, _) in signals::catchable() {
        signals::kill(pid, signal);
    }
    assert_eq!(companion(&run), pid);

    run.say("exit 4");
    run.wait().assert_code(4).assert_quiet_stderr();
    assert_eq!(
        procfs::state(pid),
        None,
        "it is gone when vaultexec has ended"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_companion_that_is_killed_is_warned_of_and_replaced() {
    let tenant = Tenant::new(Servers::shared());
    for killed in [false, true] {
        let mut run = ready(&tenant);
        for _ in 0..2 {
            let old = companion(&run);
            signals::kill(old, libc::SIGKILL);
            run.wait_for_stderr("the companion process was killed, and another one is started");
            let new = poll_until(Duration::from_secs(60), || {
                Some(companion(&run)).filter(|new| *new != old)
            });
            assert!(new.is_some(), "no other companion");
        }
        if killed {
            // The new one knows what the old one knew: the child and what is held.
            let child = run.children()[0];
            run.signal(libc::SIGKILL);
            run.wait_exit();
            wait_until_gone(child, "the child");
        } else {
            run.say("exit 3");
            run.wait().assert_code(3);
        }
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_companion_that_was_stopped_does_not_hold_up_the_end() {
    let tenant = Tenant::new(Servers::shared());
    let mut run = ready(&tenant);
    signals::kill(companion(&run), libc::SIGSTOP);
    run.say("exit 3");
    run.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn killed_while_the_credentials_are_read_it_leaves_no_role() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let answer = hold.clone();
    let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
        if request.is_creds() {
            Fault::HoldAnswer(answer.clone())
        } else {
            Fault::Pass
        }
    });
    let run = tenant
        .command()
        .env("VAULT_ADDR", proxy.url())
        .child(Probe::exit(0))
        .spawn();
    hold.wait_arrived();
    tenant.wait_for_roles(1);
    run.signal(libc::SIGKILL);
    hold.release();
    tenant.assert_nothing_left();
}

#[test]
fn killed_with_the_server_away_the_companion_tries_again() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let run = tenant
        .command()
        .env("VAULT_ADDR", proxy.url())
        .args(["--revoke-timeout", "2s"])
        .child(Probe::signals())
        .stdin_piped()
        .spawn();
    run.wait_for_line("ready");
    proxy.refuse();
    run.signal(libc::SIGKILL);
    assert_eq!(Probe::next_signal(&run).0, "TERM");
    assert_eq!(tenant.roles().len(), 1);
    proxy.accept();
    tenant.assert_nothing_left();
}

#[test]
fn as_pid_1_there_is_no_companion_and_the_child_ends_with_it() {
    let tenant = Tenant::new(Servers::shared());
    let mut run = pidns::as_pid_1(tenant.command().child(Probe::signals()).stdin_piped()).spawn();
    run.wait_for_line("ready");
    let init = pidns::pid_1(&run);
    let children = procfs::all_children(init);
    assert_eq!(children.len(), 1, "only the child: {children:?}");
    run.say("exit 0");
    run.wait().assert_code(0);
    tenant.assert_nothing_left();
}

/// The companion has one socket, a descriptor of the child at most, and no secret in its environment.
fn assert_holds_little(pid: libc::pid_t) {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let wiped = environment.contains("VAULT_SECRET_ID=\0\0\0");
    assert!(wiped, "the environment was not wiped");
    // It closes the rest as soon as it is there.
    let mut files = Vec::new();
    let few = poll_until(Duration::from_secs(90), || {
        files = descriptors(pid);
        let sockets = files.iter().filter(|file| file.starts_with("socket:"));
        let others = files.iter().all(|file| {
            file == "/dev/null" || file.starts_with("socket:") || file.ends_with("[pidfd]")
        });
        (others && sockets.count() == 1).then_some(())
    });
    assert!(few.is_some(), "descriptors: {files:?}");
}

fn descriptors(pid: libc::pid_t) -> Vec<String> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    all.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap_or_default())
        .map(|target| target.display().to_string())
        .collect()
}

#[test]
fn a_child_that_has_become_another_user_is_told_to_end_too() {
    let tenant = Tenant::new(Servers::shared());
    let script = "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    // Nobody but root can become another user; then it is a child like any other, and told once.
    let root = nix::unistd::geteuid().is_root();
    let become_nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let prefix = become_nobody.into_iter().filter(|_| root);
    let run = tenant
        .command()
        .child(prefix.chain(["sh", "-c", script]))
        .spawn();
    run.wait_for_line("ready");
    run.signal(libc::SIGKILL);
    run.wait_for_line("told");
    tenant.assert_nothing_left();
}

#[test]
fn killed_while_credentials_are_replaced_it_leaves_neither_the_old_nor_the_new_ones() {
    let servers = Servers::shared();
    for (which, answer) in [
        (RequestInfo::is_creds as fn(&RequestInfo) -> bool, true),
        (RequestInfo::is_revoke_self, false),
    ] {
        let tenant = Tenant::with(servers, |spec| spec.default_ttl("30s").max_ttl("1h"));
        let hold = Hold::new();
        let held = hold.clone();
        let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
            let second = request.nth == usize::from(!request.is_revoke_self());
            match which(request) && second {
                true if answer => Fault::HoldAnswer(held.clone()),
                true => Fault::HoldRequest(held.clone()),
                false => Fault::Pass,
            }
        });
        let run = children::telling_who(tenant.through(&proxy)).spawn();
        run.wait_for_line("start");
        tenant.revoke_lease(&tenant.leases()[0]);
        run.signal(libc::SIGCONT);
        hold.wait_arrived();
        run.signal(libc::SIGKILL);
        hold.release();
        run.wait_for_line("term");
        tenant.assert_nothing_left();
    }
}

/// The pid in the line `ready PID`.
#[track_caller]
fn pid_in(ready: &str) -> libc::pid_t {
    ready.strip_prefix("ready ").unwrap().parse().unwrap()
}

/// Waits until there is no such process any more. In a container nobody may ever bury it.
#[track_caller]
fn wait_until_gone(pid: libc::pid_t, who: &str) {
    let gone = poll_until(Duration::from_secs(120), || {
        procfs::state(pid)
            .is_none_or(|state| state == 'Z')
            .then_some(())
    });
    assert!(gone.is_some(), "{who} still runs");
}

#[test]
fn the_child_of_a_restart_is_ended_like_the_first_one() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .args(["--stop-timeout", "300ms"])
        .child(Probe::ignore_term())
        .spawn();
    let first = pid_in(&run.wait_for_line("ready"));
    expiring::limit_lease(&tenant, &run, "60s");
    let second = pid_in(&run.wait_for_line("ready"));
    assert_ne!(first, second);
    run.signal(libc::SIGKILL);
    wait_until_gone(second, "the second child");
    tenant.assert_nothing_left();
}

#[test]
fn killed_it_has_the_child_told_by_the_users_own_stop_signal() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .args(["--stop-signal", "INT", "--stop-timeout", "2s"])
        .child(Probe::signals())
        .stdin_piped()
        .spawn();
    run.wait_for_line("ready");
    run.signal(libc::SIGKILL);
    assert_eq!(Probe::next_signal(&run).0, "INT");
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_is_stopped_hears_the_stop_signal_long_before_it_would_be_killed() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .args(["--stop-timeout", "10m"])
        .child(Probe::signals())
        .stdin_piped()
        .spawn();
    let child = pid_in(&run.wait_for_line("ready"));
    let companion = companion(&run);
    assert!(signals::kill(child, libc::SIGSTOP));
    run.wait_state(child, 'T');
    run.signal(libc::SIGKILL);
    // Without a terminal it is in a group of its own, which is orphaned now: the kernel tells a stopped one of that.
    let signals: Vec<String> = (0..3).map(|_| Probe::next_signal(&run).0).collect();
    for name in ["HUP", "TERM", "CONT"] {
        assert!(signals.iter().any(|said| said == name), "{signals:?}");
    }
    tenant.assert_nothing_left();
    // It goes on, and has ten minutes for that.
    assert!(signals::kill(child, libc::SIGKILL));
    wait_until_gone(companion, "the companion");
}

#[test]
fn killed_while_it_revokes_it_leaves_neither_the_lease_nor_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let hold = Hold::new();
    let proxy = harm(
        servers,
        |request| request.is_lease_revoke() && request.nth == 0,
        Fault::HoldRequest(hold.clone()),
    );
    let run = tenant.through(&proxy).child(Probe::exit(0)).spawn();
    hold.wait_arrived();
    run.signal(libc::SIGKILL);
    hold.release();
    tenant.assert_nothing_left();
}

#[test]
fn the_companion_ends_when_it_has_given_everything_back() {
    let tenant = Tenant::new(Servers::shared());
    let run = children::telling_who(tenant.command()).spawn();
    run.wait_for_line("start");
    let companion = companion(&run);
    run.signal(libc::SIGKILL);
    wait_until_gone(companion, "the companion");
    // By then all has been asked for.
    tenant.assert_nothing_left();
}

#[test]
fn killed_with_no_revoke_the_child_is_told_to_end_and_what_it_has_stays() {
    let tenant = Tenant::new(Servers::shared());
    let run = children::telling_who(tenant.command().args(["-v", "--no-revoke"])).spawn();
    run.wait_for_line("start");
    // By then the companion knows that it stays.
    run.wait_for_stderr("started the command");
    let companion = companion(&run);
    run.signal(libc::SIGKILL);
    run.wait_for_line("term");
    wait_until_gone(companion, "the companion");
    let left = (tenant.roles(), tenant.leases(), tenant.tokens());
    let counts = (left.0.len(), left.1.len(), left.2.len());
    assert_eq!(counts, (1, 1, 1), "{left:?}");
    tenant.revoke_lease(&left.1[0]);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
}

#[test]
fn the_companion_is_there_before_a_secret_is_read_and_takes_little() {
    let tenant = Tenant::new(Servers::shared());
    let mut run = tenant
        .command_without_secret()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .args(["--secret-id-file", "-"])
        .child(["echo", "ran"])
        .stdin_piped()
        .spawn();
    let pid = companion(&run);
    let own = |name: &str| {
        let field = procfs::status_field(pid, name).unwrap_or_default();
        let kilobytes = field
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        kilobytes.unwrap_or(u64::MAX)
    };
    // Without the program itself, which both have in common.
    assert!(own("RssAnon") < 4096, "{} kB", own("RssAnon"));
    run.say(&tenant.secret_id());
    run.close_stdin();
    run.wait().assert_code(0).stdout_is("ran\n");
    tenant.assert_nothing_left();
}

#[test]
fn the_companion_finds_the_systems_authorities_where_vaultexec_does() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let ca = tls.certificates.ca();
    let run = tenant
        .command()
        .env("VAULT_ADDR", tls.good())
        .env("SSL_CERT_FILE", ca.file_name().unwrap())
        .current_dir(ca.parent().unwrap())
        .child(["sleep", "1000"])
        .spawn();
    run.wait_for_child("sleep");
    run.signal(libc::SIGKILL);
    run.wait();
    tenant.assert_nothing_left_within(Duration::from_secs(30));
}

#[test]
fn where_nothing_can_clean_up_a_lease_ttl_bounds_what_is_left() {
    let servers = Servers::shared();
    let command = |tenant: &Tenant, proxy: &FaultProxy| {
        let run = tenant.through(proxy).args(["--lease-ttl", "12s"]);
        run.child(["sleep", "1000"])
    };
    // As PID 1 there is no companion.
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let run = pidns::as_pid_1(command(&tenant, &proxy)).spawn();
    // With the first one it is shortened, which has been done when the second one comes.
    proxy.wait_for(2, RequestInfo::is_lease_renew);
    assert!(signals::kill(pidns::pid_1(&run), libc::SIGKILL));
    run.wait();
    tenant.wait_for_roles(0);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
    // Outside somebody kills both.
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let run = command(&tenant, &proxy).spawn();
    proxy.wait_for(2, RequestInfo::is_lease_renew);
    assert!(signals::kill(companion(&run), libc::SIGKILL));
    run.signal(libc::SIGKILL);
    run.wait();
    tenant.wait_for_roles(0);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
}

#[test]
fn a_companion_that_comes_late_signals_nobody_who_has_got_the_childs_pid() {
    pidns::require();
    let tenant = Tenant::new(Servers::shared());
    for refused in [&[][..], &[libc::SYS_pidfd_open]] {
        let run = tenant
            .command_without_secret()
            .env("VAULT_ROLE_ID", tenant.role_id())
            .args(["--secret-id-file", "-", "--stop-timeout", "100ms"])
            .child(Probe::ignore_term());
        // Not as PID 1, which has no companion.
        let script = format!(
            "echo in; exec 3<&0; {} <&3 & wait; exec sleep 1000",
            run.shell_line()
        );
        let run = run.replaced_by("sh").args(["-c", &script]);
        // It reaps the child, whose number is free then.
        let run = run.under(["tini", "--"]);
        let run = seccomp::refusing(pidns::as_pid_1(run), refused, libc::ENOSYS);
        let mut running = run.stdin_piped().spawn();
        running.wait_for_line("in");
        let vaultexec = poll_until(Duration::from_secs(60), || {
            let shell = *procfs::children(pidns::pid_1(&running)).first()?;
            procfs::children(shell).first().copied()
        })
        .expect("no vaultexec");
        let companion = poll_until(Duration::from_secs(60), || {
            let named = |pid: &libc::pid_t| {
                procfs::status_field(*pid, "Name").as_deref() == Some(procfs::COMPANION)
            };
            procfs::all_children(vaultexec).into_iter().find(named)
        })
        .expect("no companion");
        assert!(signals::kill(companion, libc::SIGSTOP));
        running.say(&tenant.secret_id());
        running.close_stdin();
        let pid: i32 = pid_in(&running.wait_for_line("ready"));
        let child = procfs::children(vaultexec)[0];
        assert!(signals::kill(vaultexec, libc::SIGKILL));
        assert!(signals::kill(child, libc::SIGKILL));
        let reaped = || procfs::state(child).is_none().then_some(());
        poll_until(Duration::from_secs(60), reaped).expect("a zombie");
        // The kernel is made to give the next process of the namespace the number that the child had.
        let script = format!(
            "echo in; read -r go; echo {} > /proc/sys/kernel/ns_last_pid; '{}' signals",
            pid - 1,
            Probe::path().display()
        );
        let as_root = nix::unistd::geteuid().is_root();
        let mut stranger = Run::of("nsenter")
            .args(if as_root {
                &["-t"][..]
            } else {
                &["-U", "--preserve-credentials", "-t"]
            })
            .args([&companion.to_string(), "-p", "-m", "sh", "-c", &script])
            .stdin_piped()
            .spawn();
        stranger.wait_for_line("in");
        stranger.say("go");
        assert_eq!(pid_in(&stranger.wait_for_line("ready")), pid);
        assert!(signals::kill(companion, libc::SIGCONT));
        wait_until_gone(companion, "the companion");
        stranger.say("ping");
        assert_eq!(stranger.next_line(), "pong", "a stranger was signalled");
        stranger.say("exit 0");
        stranger.wait().assert_code(0);
        tenant.assert_nothing_left();
        assert!(signals::kill(pidns::pid_1(&running), libc::SIGKILL));
        running.wait();
    }
}

#[test]
fn where_there_is_neither_dev_nor_proc_the_companion_cleans_up_all_the_same() {
    let tenant = Tenant::new(Servers::shared());
    let user = if nix::unistd::geteuid().is_root() {
        None
    } else {
        Some("-Ur")
    };
    let script = r#"mount -t tmpfs none /dev && mount -t tmpfs none /proc && exec "$@""#;
    let hidden = ["unshare"].into_iter().chain(user);
    let hidden = hidden.chain(["-m", "sh", "-c", script, "sh"]);
    let run = tenant.command().child(Probe::signals()).under(hidden);
    let run = run.stdin_piped().spawn();
    run.wait_for_line("ready");
    run.signal(libc::SIGKILL);
    assert_eq!(Probe::next_signal(&run).0, "TERM");
    tenant.assert_nothing_left();
}
