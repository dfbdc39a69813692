//! The terminal stays the child's: its keys, job control, its size and its settings, as if vaultexec were not there.

use crate::support::pty::{CTRL_BACKSLASH, CTRL_C, CTRL_Z};
use crate::support::{procfs, signals, *};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A `signals` probe on a terminal, with vaultexec as the session's leader or as PID 1.
fn probe_on_a_terminal(tenant: &Tenant, as_pid_1: bool) -> Scene {
    let run = tenant.command().child(Probe::signals());
    let run = if as_pid_1 { pidns::as_pid_1(run) } else { run };
    let scene = Surroundings::Terminal.start(run);
    scene.wait_for_line("ready");
    scene
}

fn the_terminals_keys_reach_the_child_exactly_once(as_pid_1: bool) {
    let tenant = Tenant::new(Servers::shared());
    let mut scene = probe_on_a_terminal(&tenant, as_pid_1);
    let fence = |scene: &Scene| {
        let pid = match as_pid_1 {
            true => pidns::pid_1(&scene.running),
            false => scene.pid(),
        };
        // It comes after whatever vaultexec would send because of a key.
        assert!(signals::kill(pid, libc::SIGUSR2));
        assert_eq!(Probe::next_signal(&scene.running).0, "USR2");
    };
    let kernel = |name: &str| (name.to_owned(), 0);
    let keys = [(CTRL_C, "INT"), (CTRL_Z, "TSTP"), (CTRL_BACKSLASH, "QUIT")];
    // The last one would end `unshare`, which is in the same group.
    let keys = &keys[..if as_pid_1 { 2 } else { 3 }];
    for _ in 0..3 {
        for (key, name) in keys {
            scene.pty.as_ref().unwrap().type_keys(key);
            let (said, sender) = Probe::next_signal(&scene.running);
            // The terminal's echo of the key stands before it.
            let said = said.trim_start_matches(['^', 'C', '\\', 'Z']).to_owned();
            assert_eq!((said, sender), kernel(name));
            fence(&scene);
        }
    }
    for rows in [30, 40] {
        scene.pty.as_ref().unwrap().resize(rows, 100);
        assert_eq!(Probe::next_signal(&scene.running), kernel("WINCH"));
        fence(&scene);
        scene.say("size");
        scene.wait_for_line(&format!("size {rows} 100"));
    }
    scene.say("ping");
    scene.wait_for_line("pong");
    scene.say("exit 4");
    scene.wait().assert_code(4).assert_quiet();
    tenant.assert_nothing_left();
}

#[test]
fn ctrl_c_ctrl_backslash_ctrl_z_and_a_resize_reach_the_child_exactly_once() {
    the_terminals_keys_reach_the_child_exactly_once(false);
}

#[test]
fn ctrl_c_ctrl_z_and_a_resize_reach_the_child_of_pid_1_exactly_once() {
    the_terminals_keys_reach_the_child_exactly_once(true);
}

#[test]
fn ctrl_c_cancels_a_query_and_psql_goes_on() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let pty = Pty::new();
    let running = pty.spawn(tenant.command().child(["psql", "-X"]));
    pty.wait_for("appdb=>");
    let role = tenant.wait_for_roles(1).remove(0);
    for _ in 0..2 {
        pty.type_line("select pg_sleep(50);");
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{role}' AND wait_event = 'PgSleep'"
        );
        let sleeping = poll_until(Duration::from_secs(90), || {
            (servers.postgres.sql(&query) == "1").then_some(())
        });
        assert!(sleeping.is_some(), "{}", pty.text());
        pty.type_keys(CTRL_C);
        pty.wait_for("canceling statement due to user request");
        pty.wait_for("appdb=>");
    }
    pty.type_line("select 6 * 7 as answer;");
    pty.wait_for("42");
    pty.type_line(r"\q");
    running.wait().assert_code(0);
    assert!(!pty.text().contains("vaultexec: "), "{}", pty.text());
    tenant.assert_nothing_left();
}

#[test]
fn ctrl_c_ends_the_login_and_the_reading_of_credentials_at_once() {
    let tenant = Tenant::new(Servers::shared());
    for at_login in [true, false] {
        let script = move |request: &RequestInfo| {
            if at_login && request.is_login() {
                Fault::Hang
            } else if request.is_creds() {
                Fault::HangAfter
            } else {
                Fault::Pass
            }
        };
        let proxy = FaultProxy::start(&Servers::shared().vault.url(), script);
        let run = tenant.command().env("VAULT_ADDR", proxy.url());
        let scene = Surroundings::Terminal.start(run.child(["echo", "there was a child"]));
        proxy.wait_for(1, |request| {
            at_login && request.is_login() || request.is_creds()
        });
        if !at_login {
            tenant.wait_for_roles(1);
        }
        scene.pty.as_ref().unwrap().type_keys(CTRL_C);
        let ending = scene.wait();
        ending.assert_died_of(libc::SIGINT);
        if at_login {
            let screen = ending.finished.out();
            assert!(screen.contains("may be spent"), "{screen:?}");
        } else {
            ending.assert_silent();
        }
        assert!(ending.finished.wall < Duration::from_secs(15));
        tenant.wait_for_roles(0);
    }
    tenant.assert_nothing_left();
}

/// vaultexec as a job of an interactive bash.
struct Job {
    pty: Pty,
    shell: Running,
}

impl Job {
    /// Types the command line of `run`, with something before and after it.
    fn start(run: Run, before: &str, after: &str) -> Self {
        let line = format!("{before}{}{after}", run.shell_line());
        let pty = Pty::new();
        let shell = pty.bash(run);
        pty.type_line(&line);
        Self { pty, shell }
    }

    fn vaultexec(&self) -> i32 {
        self.shell.wait_for_child("vaultexec")
    }

    /// Waits for the probe, and gives its pid.
    fn ready(&self) -> i32 {
        let line = self.shell.wait_for_line("ready ");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn wait_both(&self, pids: [i32; 2], state: char) {
        for pid in pids {
            self.shell.wait_state(pid, state);
        }
    }

    /// The shell has its prompt; its last exit code is this.
    fn assert_last_code(&self, code: i32) {
        self.pty.type_line("echo \"last=$?\"");
        self.pty.wait_for(&format!("last={code}\r\n"));
    }

    fn end(self) {
        self.pty.type_line("exit 9");
        self.shell.wait().assert_code(9);
        assert!(
            !self.pty.text().contains("vaultexec: "),
            "{}",
            self.pty.text()
        );
    }
}

#[test]
fn ctrl_z_stops_both_and_fg_resumes_both_and_looks_at_the_lease() {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    let job = Job::start(run.child(Probe::signals_but(&["TSTP", "CONT"])), "", "");
    let both = [job.ready(), job.vaultexec()];
    let renewals = |request: &RequestInfo| request.is_lease_renew() || request.is_token_renew();
    assert_eq!(proxy.count(renewals), 0);
    for round in 1..=3 {
        job.pty.type_keys(CTRL_Z);
        job.pty.wait_for("Stopped");
        job.wait_both(both, 'T');
        job.pty.type_line("fg");
        proxy.wait_for(round, RequestInfo::is_lease_renew);
        job.pty.type_line("ping");
        job.shell.wait_for_line("pong");
        job.wait_both(both, 'S');
    }
    job.pty.type_keys(CTRL_C);
    job.pty.wait_for("INT pid=0");
    job.pty.type_line("exit 5");
    job.pty.wait_for("$ ");
    job.assert_last_code(5);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn a_job_that_was_stopped_can_go_on_in_the_background_and_be_killed_while_stopped() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .child(["sh", "-c", r"echo read\y $$; exec sleep 1000"]);
    let job = Job::start(run, "", "");
    let both = [job.ready(), job.vaultexec()];
    job.pty.type_keys(CTRL_Z);
    job.pty.wait_for("Stopped");
    job.wait_both(both, 'T');
    job.pty.type_line("bg");
    job.wait_both(both, 'S');
    job.pty.type_line("kill -STOP %1");
    job.wait_both(both, 'T');
    job.pty
        .type_line(r"until [[ $(jobs) == *Stopped* ]]; do :; done; echo know\n");
    job.pty.wait_for("known\r\n");
    job.pty.type_line("kill %1");
    // bash lets a stopped job go on when it kills it; it tells of the end at its next prompt.
    let gone = poll_until(Duration::from_secs(90), || {
        procfs::state(both[1]).is_none().then_some(())
    });
    assert!(gone.is_some(), "{}", job.pty.text());
    job.pty.type_line("");
    job.pty.wait_for("Terminated");
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn a_stop_signal_sent_to_vaultexec_stops_both_and_cont_resumes_both_without_a_terminal() {
    let tenant = Tenant::new(Servers::shared());
    let but = ["TSTP", "TTIN", "TTOU", "CONT"];
    // In a group of its own whose parent is in the same session: one that somebody can continue.
    let run = tenant.command().child(Probe::signals_but(&but));
    let mut running = run.place(Place::Group).stdin_piped().spawn();
    let line = running.wait_for_line("ready");
    let child: i32 = line.strip_prefix("ready ").unwrap().parse().unwrap();
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        running.signal(signal);
        assert_eq!(running.wait_stopped(), signal);
        running.wait_state(child, 'T');
        running.signal(libc::SIGCONT);
        running.say("ping");
        running.wait_for_line("pong");
        running.wait_state(running.pid(), 'S');
    }
    // A child that something stops by itself takes vaultexec with it too.
    assert!(signals::kill(child, libc::SIGSTOP));
    running.wait_state(running.pid(), 'T');
    running.signal(libc::SIGCONT);
    running.say("ping");
    running.wait_for_line("pong");
    running.say("exit 3");
    running.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_is_continued_or_killed_by_itself_takes_vaultexec_along() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().child(Probe::signals_but(&["TSTP"]));
    let mut running = run.place(Place::Group).stdin_piped().spawn();
    let line = running.wait_for_line("ready");
    let child: i32 = line.strip_prefix("ready ").unwrap().parse().unwrap();
    for signal in [libc::SIGSTOP, libc::SIGTSTP] {
        assert!(signals::kill(child, signal));
        running.wait_state(running.pid(), 'T');
        assert!(signals::kill(child, libc::SIGCONT));
        running.wait_state(running.pid(), 'S');
        let ours = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Probe::next_signal(&running), ("CONT".to_owned(), ours));
        running.say("ping");
        assert_eq!(running.next_line(), "pong", "it was continued once");
    }
    assert!(signals::kill(child, libc::SIGSTOP));
    running.wait_state(running.pid(), 'T');
    assert!(signals::kill(child, libc::SIGKILL));
    running
        .wait()
        .assert_killed_by(libc::SIGKILL)
        .assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_job_whose_child_alone_is_continued_goes_on_in_the_background() {
    let tenant = Tenant::new(Servers::shared());
    let job = Job::start(
        tenant.command().child(Probe::signals_but(&["TSTP"])),
        "",
        "",
    );
    let (child, vaultexec) = (job.ready(), job.vaultexec());
    job.pty.type_keys(CTRL_Z);
    job.pty.wait_for("Stopped");
    job.wait_both([child, vaultexec], 'T');
    assert!(signals::kill(child, libc::SIGCONT));
    job.shell.wait_state(vaultexec, 'S');
    assert_eq!(job.pty.foreground_group(), job.shell.pid());
    signals::kill(child, libc::SIGTERM);
    job.pty.wait_for("TERM pid=");
    job.pty.type_line("fg");
    job.pty.wait_for("signals");
    job.pty.type_line("exit 2");
    job.pty.wait_for("$ ");
    job.assert_last_code(2);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn a_cont_right_behind_a_stop_signal_leaves_both_running() {
    let tenant = Tenant::new(Servers::shared());
    let but = ["TSTP", "CONT"];
    let run = tenant.command().child(Probe::signals_but(&but));
    let mut running = run.place(Place::Group).stdin_piped().spawn();
    let line = running.wait_for_line("ready");
    let child: i32 = line.strip_prefix("ready ").unwrap().parse().unwrap();
    let check = |running: &mut Running| {
        running.say("ping");
        running.wait_for_line("pong");
        running.signal(libc::SIGUSR1);
        assert_eq!(Probe::next_signal(running).0, "USR1");
    };
    for _ in 0..50 {
        running.signal(libc::SIGTSTP);
        running.signal(libc::SIGCONT);
        check(&mut running);
    }
    // vaultexec finds both at once: that the child has stopped, and that it is to go on.
    for _ in 0..10 {
        running.signal(libc::SIGSTOP);
        running.wait_state(running.pid(), 'T');
        assert!(signals::kill(child, libc::SIGTSTP));
        running.wait_state(child, 'T');
        running.signal(libc::SIGCONT);
        check(&mut running);
    }
    running.say("exit 3");
    running.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn ctrl_z_during_the_login_stops_it_and_fg_goes_on() {
    let tenant = Tenant::new(Servers::shared());
    let hold = Hold::new();
    let held = hold.clone();
    let script = move |request: &RequestInfo| match request.is_login() {
        true => Fault::HoldAnswer(held.clone()),
        false => Fault::Pass,
    };
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), script);
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    let job = Job::start(run.child(["sh", "-c", r"echo r\an; exit 6"]), "", "");
    hold.wait_arrived();
    for _ in 0..2 {
        job.pty.type_keys(CTRL_Z);
        job.pty.wait_for("Stopped");
        job.shell.wait_state(job.vaultexec(), 'T');
        job.pty.type_line("fg");
        job.shell.wait_state(job.vaultexec(), 'S');
    }
    hold.release();
    job.shell.wait_for_line("ran");
    job.pty.wait_for("$ ");
    job.assert_last_code(6);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn a_stop_signal_sent_to_vaultexec_stops_both_and_cont_resumes_both_on_a_terminal() {
    let tenant = Tenant::new(Servers::shared());
    let but = ["TSTP", "TTIN", "TTOU", "CONT"];
    let job = Job::start(tenant.command().child(Probe::signals_but(&but)), "", "");
    let both = [job.ready(), job.vaultexec()];
    for name in ["TSTP", "TTIN", "TTOU"] {
        signals::kill(both[1], signals::number(name).unwrap());
        job.pty.wait_for("Stopped");
        job.wait_both(both, 'T');
        job.pty.type_line("fg");
        job.pty.wait_for("signals");
        job.pty.type_line("ping");
        job.shell.wait_for_line("pong");
    }
    job.pty.type_line("exit 2");
    job.pty.wait_for("$ ");
    job.assert_last_code(2);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn as_pid_1_a_stop_signal_stops_the_child_alone_and_cont_resumes_it() {
    let tenant = Tenant::new(Servers::shared());
    let but = ["TSTP", "TTIN", "TTOU", "STOP", "CONT"];
    let run = pidns::as_pid_1(tenant.command().child(Probe::signals_but(&but)));
    let mut running = run.place(Place::Group).stdin_piped().spawn();
    running.wait_for_line("ready");
    let init = pidns::pid_1(&running);
    let child = procfs::children(init)[0];
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        signals::kill(init, signal);
        running.wait_state(child, 'T');
        // It stays awake: nobody could continue a container's first process.
        signals::kill(init, libc::SIGCONT);
        running.say("ping");
        running.wait_for_line("pong");
    }
    running.say("exit 3");
    running.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_stops_itself_four_times_in_a_pipeline_makes_no_deadlock() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().child(Probe::stop_self("TTOU", 4));
    let job = Job::start(run, "", " | cat");
    let vaultexec = job.vaultexec();
    let child = job.ready();
    for round in 1..=4 {
        job.wait_both([child, vaultexec], 'T');
        // To the whole pipeline, as `fg` does it.
        assert!(signals::kill(-vaultexec, libc::SIGCONT));
        job.shell.wait_for_line(&format!("resumed {round}"));
    }
    job.pty.wait_for("$ ");
    job.assert_last_code(0);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_stops_itself_is_seen_by_the_shell_and_goes_on_with_fg() {
    let tenant = Tenant::new(Servers::shared());
    for name in ["TTOU", "TTIN", "TSTP", "STOP"] {
        let job = Job::start(tenant.command().child(Probe::stop_self(name, 2)), "", "");
        for round in 1..=2 {
            job.pty.wait_for("Stopped");
            job.pty.type_line("fg");
            job.shell.wait_for_line(&format!("resumed {round}"));
        }
        job.pty.wait_for("$ ");
        job.assert_last_code(0);
        job.end();
    }
    tenant.assert_nothing_left();
}

#[test]
fn in_the_background_a_child_that_reads_the_terminal_is_stopped_and_the_foreground_stays() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .child(["sh", "-c", r"echo read\y $$; exec cat"]);
    let job = Job::start(run, "", " &");
    let both = [job.ready(), job.vaultexec()];
    job.wait_both(both, 'T');
    assert_eq!(job.pty.foreground_group(), job.shell.pid());
    job.pty.type_line("jobs");
    job.pty.wait_for("Stopped");
    job.pty.type_line("fg");
    job.pty.wait_for("exec cat");
    job.pty.type_line("hello, cat");
    // Once by the terminal's echo, once by cat.
    job.pty.wait_for("hello, cat\r\n");
    job.pty.wait_for("hello, cat\r\n");
    job.pty.type_keys(pty::CTRL_D);
    job.pty.wait_for("$ ");
    job.assert_last_code(0);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn in_the_background_a_child_that_sets_the_terminal_is_stopped_and_vaultexec_may_write() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().arg("-v");
    let run = run.child(["sh", "-c", r"stty -echo; stty echo; echo don\e"]);
    let job = Job::start(run, "stty tostop; ", " &");
    let vaultexec = job.vaultexec();
    job.shell.wait_state(vaultexec, 'T');
    assert_eq!(job.pty.foreground_group(), job.shell.pid());
    // What vaultexec wrote from the background, where TTOU stops who writes, did not stop it.
    assert!(
        job.pty.text().contains("vaultexec: logged in"),
        "{}",
        job.pty.text()
    );
    job.pty.type_line("fg");
    job.shell.wait_for_line("done");
    job.pty.wait_for("$ ");
    job.assert_last_code(0);
    job.pty.type_line("exit 9");
    job.shell.wait().assert_code(9);
    tenant.assert_nothing_left();
}

#[test]
fn the_terminals_settings_are_the_same_after_as_before() {
    let tenant = Tenant::new(Servers::shared());
    let pty = Pty::new();
    let before = pty.settings();
    let during = tenant.command().child(["stty", "-g"]);
    pty.spawn(during).wait().assert_code(0);
    assert_eq!(pty.settings(), before);
    let running = pty.spawn(tenant.command().child(["psql", "-X"]));
    pty.wait_for("appdb=>");
    pty.type_line(r"\q");
    running.wait().assert_code(0);
    assert_eq!(pty.settings(), before);
    tenant.assert_nothing_left();
}

#[test]
fn the_shell_has_its_terminal_back_when_vaultexec_dies_while_the_child_has_it_in_raw_mode() {
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let tenant = Tenant::new(Servers::shared());
        let run = tenant.command();
        let run = run.child([
            "sh",
            "-c",
            r"stty raw -echo; echo read\y $$; exec sleep 1000",
        ]);
        let job = Job::start(run, "", "");
        let child = job.ready();
        assert!(!job.pty.is_cooked());
        signals::kill(job.vaultexec(), signal);
        job.pty.wait_for("$ ");
        assert!(job.pty.is_cooked());
        job.assert_last_code(128 + signal);
        // After a KILL it ends a moment later, and nobody may ever bury it.
        let gone = || matches!(procfs::state(child), None | Some('Z')).then_some(());
        assert!(poll_until(Duration::from_secs(90), gone).is_some());
        assert!(signal == libc::SIGKILL || procfs::state(child).is_none());
        job.end();
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_shell_as_the_child_has_job_control() {
    let tenant = Tenant::new(Servers::shared());
    let pty = Pty::new();
    let run = tenant.command().env("PS1", "$ ").env("TERM", "dumb");
    let bash = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let running = pty.spawn(run.child(bash));
    pty.wait_for("$ ");
    let shell = running.wait_for_child("bash");
    pty.type_line("cat");
    let cat = poll_until(Duration::from_secs(90), || {
        let child = *procfs::children(shell).first()?;
        // Before its exec it still ignores what its shell does.
        let runs = procfs::arguments(child) == [b"cat"];
        (runs && pty.foreground_group() == child).then_some(child)
    })
    .expect("cat did not get the terminal");
    pty.type_keys(CTRL_Z);
    pty.wait_for("Stopped");
    // The shell's job is stopped, not the shell.
    running.wait_state(running.pid(), 'S');
    pty.type_line("fg");
    running.wait_state(cat, 'S');
    assert_eq!(pty.foreground_group(), cat);
    pty.type_keys(CTRL_C);
    pty.wait_for("^C");
    pty.wait_for("$ ");
    pty.type_line("echo \"last=$?\"");
    pty.wait_for("last=130\r\n");
    pty.type_line("exit 11");
    running.wait().assert_code(11);
    assert!(!pty.text().contains("no job control"), "{}", pty.text());
    assert!(!pty.text().contains("vaultexec: "), "{}", pty.text());
    tenant.assert_nothing_left();
}

#[test]
fn a_shell_as_the_child_can_be_suspended_from_an_outer_shell() {
    let tenant = Tenant::new(Servers::shared());
    let inner = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let job = Job::start(tenant.command().child(inner), "", "");
    let vaultexec = job.vaultexec();
    let shell = poll_until(Duration::from_secs(90), || {
        let child = *procfs::children(vaultexec).first()?;
        (job.pty.foreground_group() == child).then_some(child)
    })
    .expect("the inner shell did not get the terminal");
    for _ in 0..2 {
        job.pty.type_line("suspend -f");
        job.pty.wait_for("Stopped");
        job.wait_both([shell, vaultexec], 'T');
        assert_eq!(job.pty.foreground_group(), job.shell.pid());
        job.pty.type_line("fg");
        job.shell.wait_state(vaultexec, 'S');
        poll_until(Duration::from_secs(90), || {
            (job.pty.foreground_group() == shell).then_some(())
        })
        .expect("the inner shell did not get the terminal back");
    }
    job.pty.type_line("exit 12");
    job.pty.wait_for("exit\r\n");
    job.assert_last_code(12);
    job.end();
    tenant.assert_nothing_left();
}

#[test]
fn a_hang_up_of_the_terminal_reaches_the_child_once() {
    let tenant = Tenant::new(Servers::shared());
    let log =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hang-up-{}", std::process::id()));
    let run = tenant.command().child(Probe::signals());
    let job = Job::start(run, "", &format!(" > {}", log.display()));
    let wait_for = |what: &str| {
        let found = poll_until(Duration::from_secs(90), || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.contains(what).then_some(text)
        });
        found.unwrap_or_else(|| panic!("no {what}"))
    };
    let ready = wait_for("\n");
    let child: i32 = ready
        .trim()
        .strip_prefix("ready ")
        .unwrap()
        .parse()
        .unwrap();
    let vaultexec = job.vaultexec();
    // When the session's leader dies, the kernel hangs the terminal up.
    assert!(signals::kill(job.shell.pid(), libc::SIGKILL));
    wait_for("HUP pid=0");
    assert!(signals::kill(vaultexec, libc::SIGUSR2));
    let text = wait_for("USR2 pid=");
    assert_eq!(text.matches("HUP").count(), 1, "{text}");
    assert!(signals::kill(child, libc::SIGKILL));
    job.shell.wait().assert_killed_by(libc::SIGKILL);
    let _ = fs::remove_file(&log);
    tenant.assert_nothing_left();
}

#[test]
fn in_the_background_a_secret_that_is_read_from_the_terminal_waits_for_fg() {
    let tenant = Tenant::new(Servers::shared());
    let secret = tenant.secret_id();
    let run = tenant
        .command_without_secret()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .args(["--secret-id-file", "-"])
        // The terminal shows what is typed.
        .may_print_secrets()
        .child(["sh", "-c", "echo ready $$; exit 5"]);
    let job = Job::start(run, "", " &");
    let vaultexec = job.vaultexec();
    job.shell.wait_state(vaultexec, 'T');
    // The shell hears of that when the last of its threads has stopped, and would not continue what it takes to be running.
    let heard = poll_until(Duration::from_secs(90), || {
        job.pty.type_line("jobs; echo told");
        job.pty
            .wait_for("\r\ntold")
            .contains("Stopped")
            .then_some(())
    });
    assert!(heard.is_some(), "{}", job.pty.text());
    job.pty.type_line("fg");
    job.shell.wait_state(vaultexec, 'S');
    job.pty.type_line(&secret);
    job.pty.type_keys("\x04");
    job.pty.wait_for("ready ");
    job.assert_last_code(5);
    job.end();
    tenant.assert_nothing_left();
}
