//! Signals that processes send: to vaultexec before, during and after the child's life.

use crate::support::surroundings::everywhere;
use crate::support::{procfs, signals, *};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

everywhere!(
    every_signal_reaches_the_child_exactly_once_and_in_order,
    every_queued_real_time_signal_arrives,
    a_child_that_sends_its_parent_term_does_not_get_it_back,
    a_chld_that_somebody_sends_means_nothing,
    a_signal_while_a_secret_is_read_from_standard_input_ends_vaultexec,
    a_signal_during_the_login_ends_vaultexec_at_once,
    a_signal_while_credentials_are_read_ends_vaultexec_and_revokes_them,
    a_term_at_the_moment_of_the_spawn_is_never_lost,
    a_second_term_while_revoking_bounds_it,
    a_third_signal_while_revoking_gives_up_and_says_what_is_left,
    a_child_that_ignores_term_is_killed_when_it_has_to_stop,
    a_child_that_outlives_a_term_by_the_time_it_is_given_is_killed_and_its_role_goes,
);

/// All that can be caught and are to be forwarded, the real-time signals included.
fn forwarded() -> Vec<i32> {
    signals::catchable()
        .map(|(number, _)| number)
        .filter(|number| *number != libc::SIGCHLD)
        .chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
        .collect()
}

fn every_signal_reaches_the_child_exactly_once_and_in_order(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let mut scene = place.start(tenant.command().child(Probe::signals()));
    scene.wait_for_line("ready");
    let sender = scene.inner_pid();
    for number in forwarded() {
        scene.signal(number);
        assert_eq!(
            Probe::next_signal(&scene.running),
            (signals::name(number), sender)
        );
    }
    scene.assert_no_further_signal();
    scene.say("exit 7");
    scene.wait().assert_code(7).assert_quiet();
    tenant.assert_nothing_left();
}

fn every_queued_real_time_signal_arrives(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let mut scene = place.start(tenant.command().child(Probe::signals()));
    scene.wait_for_line("ready");
    let (signal, pid) = (libc::SIGRTMIN() + 1, scene.pid());
    for _ in 0..200 {
        assert!(signals::kill(pid, signal));
    }
    for _ in 0..200 {
        assert_eq!(Probe::next_signal(&scene.running).0, signals::name(signal));
    }
    scene.assert_no_further_signal();
    scene.say("exit 0");
    scene.wait().assert_code(0).assert_quiet();
    tenant.assert_nothing_left();
}

fn a_child_that_sends_its_parent_term_does_not_get_it_back(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let mut scene = place.start(tenant.command().child(Probe::term_parent()));
    scene.wait_for_line("sent");
    scene.assert_no_further_signal();
    scene.say("exit 6");
    scene.wait().assert_code(6).assert_quiet();
    tenant.assert_nothing_left();
}

fn a_chld_that_somebody_sends_means_nothing(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let mut scene = place.start(tenant.command().child(Probe::signals()));
    scene.wait_for_line("ready");
    scene.signal(libc::SIGCHLD);
    scene.assert_no_further_signal();
    scene.say("exit 5");
    scene.wait().assert_code(5).assert_quiet();
    tenant.assert_nothing_left();
}

/// What is told of a login whose answer was not waited for.
const SPENT: &str = "a use of the secret id may be spent";

/// What ends a program that does not handle it.
const ENDING: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGPIPE,
];

fn a_signal_while_a_secret_is_read_from_standard_input_ends_vaultexec(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        let run = tenant
            .command_without_secret()
            .env("VAULT_ROLE_ID", tenant.role_id())
            .args(["--secret-id-file", "-"])
            .stdin_piped()
            .child(["echo", "there was a child"]);
        let scene = place.start(run);
        // It handles signals before it begins to read.
        poll_until(Duration::from_secs(60), || {
            let caught = procfs::status_field(scene.pid(), "SigCgt")?;
            let caught = u64::from_str_radix(&caught, 16).ok()?;
            (caught & (1 << (signal - 1)) != 0).then_some(())
        })
        .expect("no handler");
        scene.signal(signal);
        let ending = scene.wait();
        ending.assert_died_of(signal);
        assert!(!ending.finished.out().contains("child"));
    }
    tenant.assert_nothing_left();
}

fn a_signal_during_the_login_ends_vaultexec_at_once(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    for signal in ENDING {
        let hang = |request: &RequestInfo| match request.is_login() {
            true => Fault::Hang,
            false => Fault::Pass,
        };
        let at_once = best_of_three(|| {
            let proxy = FaultProxy::start(&Servers::shared().vault.url(), hang);
            let run = tenant.command().env("VAULT_ADDR", proxy.url());
            let scene = place.start(run.child(["echo", "there was a child"]));
            proxy.wait_for(1, RequestInfo::is_login);
            let sent = Instant::now();
            scene.signal(signal);
            scene.running.wait_exit();
            let took = sent.elapsed();
            let ending = scene.wait();
            ending.assert_died_of(signal);
            let said = ending.said();
            assert!(said.contains(SPENT) && !said.contains("child"), "{said:?}");
            took < Duration::from_secs(2)
        });
        assert!(at_once, "not at once");
    }
    tenant.assert_nothing_left();
}

/// A proxy that holds the answer to the read of credentials: the role exists by then.
fn holding_the_credentials() -> (FaultProxy, Hold) {
    let hold = Hold::new();
    let held = hold.clone();
    let script = move |request: &RequestInfo| match request.is_creds() {
        true => Fault::HoldAnswer(held.clone()),
        false => Fault::Pass,
    };
    (
        FaultProxy::start(&Servers::shared().vault.url(), script),
        hold,
    )
}

fn a_signal_while_credentials_are_read_ends_vaultexec_and_revokes_them(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    for (signal, answered) in [
        (libc::SIGTERM, false),
        (libc::SIGTERM, true),
        (libc::SIGINT, false),
        (libc::SIGHUP, true),
    ] {
        let (proxy, hold) = holding_the_credentials();
        let run = tenant.command().env("VAULT_ADDR", proxy.url());
        let scene = place.start(run.child(["echo", "there was a child"]));
        hold.wait_arrived();
        assert_eq!(tenant.roles().len(), 1);
        let sent = Instant::now();
        scene.signal(signal);
        if answered {
            hold.release();
        }
        let ending = scene.wait();
        assert!(sent.elapsed() < Duration::from_secs(15));
        ending.assert_died_of(signal).assert_silent();
        // A token's leases are revoked by the server's queue, soon after the token itself.
        tenant.wait_for_roles(0);
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_signal_that_was_ignored_at_the_start_does_not_end_vaultexec_before_the_child() {
    let tenant = Tenant::new(Servers::shared());
    let (proxy, hold) = holding_the_credentials();
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    let run = run.ignoring(libc::SIGINT).ignoring(libc::SIGHUP);
    let running = run.child(["echo", "there was a child"]).spawn();
    hold.wait_arrived();
    running.signal(libc::SIGINT);
    running.signal(libc::SIGHUP);
    hold.release();
    let finished = running.wait();
    finished.assert_code(0).assert_quiet_stderr();
    finished.stdout_is("there was a child\n");
    tenant.assert_nothing_left();
}

fn a_term_at_the_moment_of_the_spawn_is_never_lost(place: Surroundings) {
    let vault = FakeVault::new();
    let (rounds, mut lost) = (40, 0);
    for round in 0..rounds {
        let scene = place.start(vault.command().child(["sleep", "1000"]));
        let pid = scene.pid();
        // From the moment there is a second process it may be before its exec or after it; in every second round the moment
        // is a little earlier, when vaultexec has its handlers and no child.
        let in_time = poll_eagerly(|| {
            let handled = procfs::status_field(pid, "SigCgt")
                .is_some_and(|mask| procfs::mask_has(&mask, libc::SIGTERM));
            (round % 2 == 0 && handled) || !procfs::children(pid).is_empty()
        });
        assert!(in_time, "neither handlers nor a child");
        assert!(signals::kill(pid, libc::SIGTERM));
        lost += usize::from(lost_its_login(&scene.wait(), libc::SIGTERM));
    }
    assert!(lost < rounds, "no login was ever waited for");
    vault.assert_tokens_given_back(lost);
}

/// It died of that signal, and said nothing. Only the answer to a login is waited for for half a second, which a busy machine can
/// take for itself: that is told.
#[track_caller]
fn lost_its_login(ending: &Ending, signal: i32) -> bool {
    ending.assert_died_of(signal);
    let said = ending.said();
    let lost = said.contains(SPENT);
    if lost {
        assert_eq!(said.matches("vaultexec: ").count(), 1, "{said}");
    } else {
        ending.assert_silent();
    }
    lost
}

#[test]
fn a_ctrl_c_at_the_moment_of_the_spawn_is_never_lost() {
    let vault = FakeVault::new();
    let (rounds, mut lost) = (40, 0);
    for _ in 0..rounds {
        let scene = Surroundings::Terminal.start(vault.command().child(["sleep", "1000"]));
        let pid = scene.pid();
        assert!(poll_eagerly(|| !procfs::children(pid).is_empty()));
        // The terminal sends it to both, whether the child has got to its exec or not.
        scene.pty.as_ref().unwrap().type_keys(pty::CTRL_C);
        lost += usize::from(lost_its_login(&scene.wait(), libc::SIGINT));
    }
    assert!(lost < rounds, "no login was ever waited for");
    vault.assert_tokens_given_back(lost);
}

/// Polls without a pause: the moment is short.
fn poll_eagerly(mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(90);
    while Instant::now() < deadline {
        if done() {
            return true;
        }
    }
    false
}

/// A run whose child has died of TERM and whose revocation hangs.
fn hanging_in_the_revocation(place: Surroundings, tenant: &Tenant) -> (Scene, FaultProxy) {
    let hang = |request: &RequestInfo| match request.is_lease_revoke() || request.is_revoke_self() {
        true => Fault::Hang,
        false => Fault::Pass,
    };
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), hang);
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    let run = run.args(["--revoke-timeout", "50s"]);
    let scene = place.start(run.child(["sh", "-c", "echo running; exec sleep 1000"]));
    scene.wait_for_line("running");
    scene.signal(libc::SIGTERM);
    proxy.wait_for(1, |request| {
        request.is_lease_revoke() || request.is_revoke_self()
    });
    (scene, proxy)
}

/// It died of TERM and named the lease; the lease is there, and is then revoked by hand.
fn assert_told_what_is_left(ending: &Ending, tenant: &Tenant) {
    ending.assert_died_of(libc::SIGTERM);
    let said = ending.said();
    let leases = tenant.leases();
    assert_eq!(leases.len(), 1);
    // As PID 1 there is nobody to go on with it.
    let told = ["could not be revoked", "is not revoked yet"];
    assert!(told.iter().any(|words| said.contains(words)), "{said:?}");
    for words in [&leases[0], "it ends by itself at 20"] {
        assert!(said.contains(words), "no {words:?} in {said:?}");
    }
    tenant.revoke_lease(&leases[0]);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
}

fn a_second_term_while_revoking_bounds_it(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let bounded = best_of_three(|| {
        let (scene, _proxy) = hanging_in_the_revocation(place, &tenant);
        let sent = Instant::now();
        scene.signal(libc::SIGTERM);
        scene.running.wait_exit();
        let took = sent.elapsed();
        assert_told_what_is_left(&scene.wait(), &tenant);
        took < Duration::from_secs(3)
    });
    assert!(bounded, "it went on after the second signal");
}

fn a_third_signal_while_revoking_gives_up_and_says_what_is_left(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let at_once = best_of_three(|| {
        let (scene, _proxy) = hanging_in_the_revocation(place, &tenant);
        let pid = scene.pid();
        let sent = Instant::now();
        // Two different ones: of two alike the kernel may make one.
        assert!(signals::kill(pid, libc::SIGTERM));
        assert!(signals::kill(pid, libc::SIGINT));
        scene.running.wait_exit();
        let took = sent.elapsed();
        assert_told_what_is_left(&scene.wait(), &tenant);
        // The bound that the second one sets is a second.
        took < Duration::from_millis(900)
    });
    assert!(at_once, "it went on after the third signal");
}

fn a_child_that_ignores_term_is_killed_when_it_has_to_stop(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().args(["--on-expiry", "stop"]);
    let run = run.args(["--stop-timeout", "300ms"]);
    let scene = place.start(run.child(Probe::ignore_term()));
    scene.wait_for_line("ready");
    tenant.limit_leases("60s");
    scene.signal(libc::SIGCONT);
    let ending = scene.wait();
    ending.assert_code(125);
    let said = ending.said();
    assert!(
        said.contains("stopping the command") && said.contains("is killed"),
        "{said:?}"
    );
    tenant.assert_nothing_left();
}

fn a_child_that_outlives_a_term_by_the_time_it_is_given_is_killed_and_its_role_goes(
    place: Surroundings,
) {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    let run = tenant.command().env("VAULTEXEC_KILL_AFTER", "300ms");
    let scene = place.start(run.child(Probe::ignore_term()));
    scene.wait_for_line("ready");
    let sent = Instant::now();
    scene.signal(libc::SIGTERM);
    let ending = scene.wait();
    assert!(sent.elapsed() >= Duration::from_millis(300));
    ending.assert_died_of(libc::SIGKILL);
    assert!(ending.said().contains("is killed"), "{}", ending.said());
    assert_eq!(tenant.roles().len(), 0, "the role has gone before the end");
    tenant.assert_nothing_left();
}

#[test]
fn the_time_that_a_child_is_given_begins_with_the_first_signal_to_end_and_no_other() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().args(["--kill-after", "2s"]);
    let running = run.child(Probe::signals()).stdin_piped().spawn();
    running.wait_for_line("ready");
    running.signal(libc::SIGUSR1);
    assert_eq!(Probe::next_signal(&running).0, "USR1");
    running.signal(libc::SIGINT);
    let sent = Instant::now();
    assert_eq!(Probe::next_signal(&running).0, "INT");
    // Each one more would put it off, if it were not the first that counts.
    while running.state() != Some('Z') && sent.elapsed() < Duration::from_secs(60) {
        signals::kill(running.pid(), libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(sent.elapsed() >= Duration::from_secs(2));
    running.wait().assert_killed_by(libc::SIGKILL);
    tenant.assert_nothing_left();
}

#[test]
fn a_child_that_ignores_term_is_killed_when_it_has_to_be_restarted() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().args(["--on-expiry", "restart"]);
    let running = run
        .args(["--stop-timeout", "300ms"])
        .child(Probe::ignore_term())
        .spawn();
    let pid = |line: String| line.strip_prefix("ready ").unwrap().parse::<i32>().unwrap();
    let first = pid(running.wait_for_line("ready"));
    expiring::limit_lease(&tenant, &running, "60s");
    let second = pid(running.wait_for_line("ready"));
    assert_ne!(first, second);
    assert_eq!(
        procfs::state(first),
        None,
        "the first was killed and buried"
    );
    assert!(signals::kill(second, libc::SIGKILL));
    let finished = running.wait();
    finished
        .assert_killed_by(libc::SIGKILL)
        .stderr_contains("is killed");
    tenant.assert_nothing_left();
}

#[test]
fn a_parent_that_ignores_chld_changes_nothing() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().ignoring(libc::SIGCHLD);
    run.child(Probe::exit(42))
        .output()
        .assert_code(42)
        .assert_silent();
    let run = tenant.command().ignoring(libc::SIGCHLD);
    run.child(Probe::die("TERM"))
        .output()
        .assert_killed_by(libc::SIGTERM)
        .assert_silent();
    let run = tenant.command().blocking(libc::SIGCHLD);
    run.child(Probe::exit(43))
        .output()
        .assert_code(43)
        .assert_silent();
    tenant.assert_nothing_left();
}

#[test]
fn children_that_were_there_before_do_not_end_the_run() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().child(Probe::signals());
    // An older child that dies when it is told to, and one that was dead already.
    let (reader, writer) = std::io::pipe().unwrap();
    let number = reader.as_raw_fd();
    let script = format!(
        "(exit 8) & cat <&{number} >/dev/null & exec {} {number}<&-",
        run.shell_line()
    );
    let mut running = run
        .replaced_by("bash")
        .args(["-c", &script])
        .inheriting(number)
        .stdin_piped()
        .spawn();
    running.wait_for_line("ready");
    let before = running.wait_for_child("cat");
    drop(writer);
    let buried = poll_until(Duration::from_secs(90), || {
        procfs::state(before).is_none().then_some(())
    });
    assert!(buried.is_some(), "{before} was not buried");
    running.say("ping");
    running.wait_for_line("pong");
    assert!(procfs::zombies(running.pid()).is_empty());
    running.say("exit 3");
    running.wait().assert_code(3).assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_storm_of_signals_at_the_very_end_does_no_harm() {
    let tenant = Tenant::new(Servers::shared());
    for _ in 0..5 {
        let mut running = tenant
            .command()
            .stdin_piped()
            .child(Probe::signals())
            .spawn();
        running.wait_for_line("ready");
        running.say("exit 5");
        // Until there is nobody any more: some of them come after the last one that is listened to.
        while !matches!(running.state(), None | Some('Z'))
            && running.started().elapsed().as_secs() < 20
        {
            signals::kill(running.pid(), libc::SIGWINCH);
        }
        running.wait().assert_code(5);
    }
    tenant.assert_nothing_left();
}
