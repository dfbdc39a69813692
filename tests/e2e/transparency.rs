//! The child cannot tell vaultexec from a bare exec, but for the variables that were promised to it.

use crate::support::surroundings::everywhere;
use crate::support::{signals, *};
use serde_json::{Map, Value, json};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

everywhere!(a_child_with_any_stdin_gets_it_whole);

/// What differs by promise: made for the child, or kept from it.
const PROMISED: [&str; 11] = [
    "PGUSER",
    "PGPASSWORD",
    "DATABASE_URL",
    "PGHOST",
    "PGPORT",
    "PGDATABASE",
    "PGSSLMODE",
    "VAULTEXEC_LEASE_ID",
    "VAULTEXEC_EXPIRES_AT",
    "VAULT_ROLE_ID",
    "VAULT_SECRET_ID",
];

/// What the probe says of itself, without what no two processes have in common.
fn comparable(output: &[u8]) -> Map<String, Value> {
    let mut status = Probe::parse_status(output).as_object().unwrap().clone();
    for of_its_own in ["pid", "ppid", "pgrp", "sid", "death_signal"] {
        status.remove(of_its_own);
    }
    for target in status["fds"].as_object_mut().unwrap().values_mut() {
        // Each run has pipes of its own.
        if target.as_str().unwrap().starts_with("pipe:") {
            *target = "a pipe".into();
        }
    }
    let text = |value: &Value| {
        let hex = value.as_str().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        hex.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    };
    let variables: Vec<Vec<u8>> = status["env"].as_array().unwrap().iter().map(text).collect();
    let others = variables.iter().filter(|variable| {
        let name = variable.split(|byte| *byte == b'=').next().unwrap();
        !PROMISED.iter().any(|promised| promised.as_bytes() == name)
    });
    // With their order: it decides between two of one name.
    let others: Vec<String> = others
        .map(|variable| variable.escape_ascii().to_string())
        .collect();
    status.insert("env".to_owned(), json!(others));
    status
}

/// Runs the probe bare and under vaultexec, both prepared alike, and compares all that it sees.
#[track_caller]
fn assert_as_bare(what: &str, tenant: &Tenant, prepare: impl Fn(Run) -> Run) -> Map<String, Value> {
    let words = Probe::status();
    let command = || prepare(tenant.command().may_print_secrets());
    let bare = command().replaced_by(&words[0]).args(&words[1..]).output();
    let wrapped = command().child(&words).output();
    bare.assert_code(0);
    wrapped.assert_code(0).assert_quiet_stderr();
    let (bare, wrapped) = (comparable(&bare.stdout), comparable(&wrapped.stdout));
    for (name, value) in &bare {
        assert_eq!(&wrapped[name], value, "{what}: {name}");
    }
    assert_eq!(bare.len(), wrapped.len());
    wrapped
}

#[test]
fn the_child_has_the_ignored_and_blocked_signals_that_vaultexec_was_started_with() {
    let tenant = Tenant::new(Servers::shared());
    assert_as_bare("defaults", &tenant, |run| run);
    for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGCHLD, libc::SIGINT] {
        let status = assert_as_bare("ignored", &tenant, |run| run.ignoring(signal));
        assert_eq!(
            u64::from_str_radix(status["SigIgn"].as_str().unwrap(), 16).unwrap(),
            1 << (signal - 1)
        );
    }
    let all = || {
        let standard = signals::catchable().map(|(number, _)| number);
        standard.chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
    };
    assert_as_bare("all ignored", &tenant, |run| all().fold(run, Run::ignoring));
    assert_as_bare("all blocked", &tenant, |run| all().fold(run, Run::blocking));
    assert_as_bare("some of both", &tenant, |run| {
        run.ignoring(libc::SIGPIPE)
            .blocking(libc::SIGPIPE)
            .blocking(libc::SIGTERM)
            .blocking(libc::SIGRTMAX())
            .ignoring(libc::SIGTTOU)
    });
    tenant.assert_nothing_left();
}

#[test]
fn the_child_has_the_descriptors_that_vaultexec_was_started_with_and_none_of_its_own() {
    let tenant = Tenant::new(Servers::shared());
    let file = File::open("/usr").unwrap();
    let number = file.as_raw_fd();
    let status = assert_as_bare("one more", &tenant, |run| run.inheriting(number));
    assert_eq!(status["fds"][number.to_string()], "/usr");
    for closed in [&[0][..], &[2], &[0, 2]] {
        let status = assert_as_bare("closed", &tenant, |run| {
            closed.iter().fold(run, |run, &number| run.closing(number))
        });
        assert_eq!(status["fds"].as_object().unwrap().len(), 3 - closed.len());
    }
    tenant.assert_nothing_left();
}

#[test]
fn the_child_has_the_folder_umask_limits_and_priority_that_vaultexec_was_started_with() {
    let tenant = Tenant::new(Servers::shared());
    assert_as_bare("all of it", &tenant, |run| {
        run.current_dir("/usr")
            .limited(libc::RLIMIT_NOFILE, 100)
            .limited(libc::RLIMIT_STACK, 4 << 20)
            .before_exec(|| {
                // SAFETY: numbers only, in the new process.
                unsafe {
                    libc::umask(0o027);
                    libc::setpriority(libc::PRIO_PROCESS, 0, 5);
                }
                Ok(())
            })
    });
    for cores in [0, 4096] {
        assert_as_bare("core files", &tenant, |run| {
            run.limited(libc::RLIMIT_CORE, cores)
        });
    }
    tenant.assert_nothing_left();
}

#[test]
fn the_child_has_arguments_and_variables_byte_for_byte() {
    let tenant = Tenant::new(Servers::shared());
    assert_as_bare("variables", &tenant, |run| {
        run.env_bytes(b"ODD", b"\xff\xfe=\n\t")
            .env_bytes(b"\xf0ODD", b"name")
            .env("EMPTY", "")
            .env("VAULTS", "is nobody's secret")
            .env("LISTEN_PID", "1")
            .env("PGOPTIONS", "-c work_mem=1MB")
    });
    let odd: [&[u8]; 6] = [b"", b"--", b"\xff\xfe", b"a b\n", b"$HOME;`id`", b"-v"];
    let odd = odd.map(OsStr::from_bytes);
    let words = Probe::status();
    let words = || words.iter().map(OsStr::new).chain(odd);
    let run = tenant.command().may_print_secrets();
    let bare = run
        .replaced_by(words().next().unwrap())
        .args(words().skip(1))
        .output();
    let wrapped = tenant.command().may_print_secrets().child(words()).output();
    let argv = |run: &Finished| Probe::parse_status(&run.stdout)["argv"].clone();
    assert_eq!(argv(&bare).as_array().unwrap().len(), 8);
    assert_eq!(argv(&wrapped), argv(&bare));
    tenant.assert_nothing_left();
}

#[test]
fn the_child_is_called_as_it_was_given_also_where_it_was_looked_for() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Probe::path().parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = tenant.command().may_print_secrets().env("PATH", path);
    let run = run.child(["probe", "status"]).output();
    let argv = &Probe::parse_status(&run.stdout)["argv"];
    assert_eq!(*argv, json!(["70726f6265", "737461747573"]));
    tenant.assert_nothing_left();
}

fn a_child_with_any_stdin_gets_it_whole(place: Surroundings) {
    let tenant = Tenant::new(Servers::shared());
    if place == Surroundings::Terminal {
        let pty = Pty::new();
        let running = pty.spawn(tenant.command().child(["head", "-n1"]));
        pty.type_line("typed before there was a child");
        running.wait().assert_code(0);
        assert_eq!(
            pty.text().matches("typed before").count(),
            2,
            "{}",
            pty.text()
        );
    } else {
        let mut bytes = vec![0; 1 << 20];
        let mut random = File::open("/dev/urandom").unwrap();
        random.read_exact(&mut bytes).unwrap();
        let run = tenant.command().child(["cat"]).stdin_bytes(bytes.clone());
        let run = match place {
            Surroundings::PidOne => pidns::as_pid_1(run),
            _ => run,
        };
        let run = run.output();
        run.assert_code(0).assert_quiet_stderr();
        assert!(run.stdout == bytes, "{} bytes came", run.stdout.len());
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_child_whose_reader_has_gone_dies_of_pipe() {
    let tenant = Tenant::new(Servers::shared());
    let line = tenant.command().child(["yes"]).shell_line();
    let script = format!("{line} | head -n1; echo ${{PIPESTATUS[0]}}");
    let run = tenant.command().replaced_by("bash").args(["-c", &script]);
    run.output()
        .assert_quiet_stderr()
        .stdout_is(&format!("y\n{}\n", 128 + libc::SIGPIPE));
    // And its own children too.
    let inner = ["bash", "-c", "yes | head -n1; echo ${PIPESTATUS[0]}"];
    let run = tenant.command().child(inner).output();
    run.assert_code(0)
        .assert_quiet_stderr()
        .stdout_is(&format!("y\n{}\n", 128 + libc::SIGPIPE));
    tenant.assert_nothing_left();
}

#[test]
fn a_variable_that_names_its_process_names_the_child_where_it_named_vaultexec_and_stays_where_it_did_not()
 {
    let tenant = Tenant::new(Servers::shared());
    let names = ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];
    let others = [
        "LISTEN_FDS=2",
        "WATCHDOG_USEC=30000000",
        "NOTIFY_SOCKET=/run/n",
    ];
    let show = r#"echo $$; for name in "$@"; do eval "echo \$name=\${$name-}"; done"#;
    let all = names
        .into_iter()
        .chain(["LISTEN_FDS", "WATCHDOG_USEC", "NOTIFY_SOCKET"]);
    let show: Vec<&str> = ["sh", "-c", show, "sh"].into_iter().chain(all).collect();
    let shown = |run: Run| {
        let run = others.iter().fold(run, |run, variable| {
            let (name, value) = variable.split_once('=').unwrap();
            run.env(name, value)
        });
        let run = run.output();
        run.assert_code(0).assert_quiet_stderr();
        let out = run.out();
        let mut lines = out.lines().map(str::to_owned);
        let pid = lines.next().unwrap();
        let (ours, rest): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("_PID="));
        assert_eq!(rest, others, "{out}");
        (pid, ours)
    };
    let expected = |pid: &str| names.map(|name| format!("{name}={pid}"));
    // They named vaultexec, all of them or one: the shell has become it.
    for ours in [&names[..], &names[1..2], &names[2..]] {
        let line = tenant.command().child(&show).shell_line();
        let set: String = ours
            .iter()
            .map(|name| format!("export {name}=$$; "))
            .collect();
        let script = format!("{set} exec {line}");
        let run = tenant.command().replaced_by("sh").args(["-c", &script]);
        let run = names.iter().fold(run, |run, name| run.env(name, "1"));
        let (pid, found) = shown(run);
        let expected = names.map(|name| match ours.contains(&name) {
            true => format!("{name}={pid}"),
            false => format!("{name}=1"),
        });
        assert_eq!(found, expected, "{ours:?}");
    }
    let other = || {
        names
            .iter()
            .fold(tenant.command(), |run, name| run.env(name, "1"))
    };
    let (_, found) = shown(other().child(&show));
    assert_eq!(found, expected("1"), "another process");
    let (pid, found) = shown(pidns::as_pid_1(other().child(&show)));
    assert_eq!(found, expected(&pid), "as PID 1");
    tenant.assert_nothing_left();
}

#[test]
fn a_descriptor_of_the_process_that_sockets_are_for_is_not_passed_on() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().env("LISTEN_PIDFDID", "4711");
    let run = run.child(Probe::env(&["LISTEN_PIDFDID"])).output();
    run.assert_code(0).stdout_is("LISTEN_PIDFDID unset\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_stderr_that_is_closed_or_full_changes_nothing() {
    let tenant = Tenant::new(Servers::shared());
    let run = || tenant.command().arg("-vvv").child(Probe::exit(7));
    run().closing(2).output().assert_code(7);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    run().stderr(full()).output().assert_code(7);
    // A pipe that nobody reads any more.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run().stderr(OwnedFd::from(writer)).output().assert_code(7);
    // All of them closed.
    run()
        .closing(0)
        .closing(1)
        .closing(2)
        .output()
        .assert_code(7);
    tenant.assert_nothing_left();
}

/// A pipe that is full, and that nobody reads.
fn full_pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: a size and flags for descriptors of ours.
    unsafe {
        let size = libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096);
        assert!(size > 0);
        writer.write_all(&vec![b'x'; size as usize]).unwrap();
    }
    (reader, writer.into())
}

/// A terminal that nobody reads, with room for less than a line.
fn full_terminal() -> (OwnedFd, OwnedFd) {
    let pair = nix::pty::openpty(None, None).unwrap();
    for (end, flags) in [
        (&pair.master, libc::O_RDWR),
        (&pair.slave, libc::O_NONBLOCK),
    ] {
        // SAFETY: flags of descriptors of ours.
        unsafe {
            libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
            libc::fcntl(end.as_raw_fd(), libc::F_SETFL, flags);
        }
    }
    while nix::unistd::write(&pair.slave, &[b'x'; 64]).is_ok() {}
    // Room for some of what a run has to say at this level.
    let mut rest = 300;
    while rest > 0 {
        rest -= nix::unistd::read(&pair.master, &mut vec![0; rest]).unwrap();
    }
    // SAFETY: as above; what is written to it waits for room again.
    unsafe { libc::fcntl(pair.slave.as_raw_fd(), libc::F_SETFL, 0) };
    (pair.master, pair.slave)
}

#[test]
fn a_terminal_that_nobody_reads_does_not_stop_the_run() {
    let tenant = Tenant::new(Servers::shared());
    let (_master, slave) = full_terminal();
    let run = tenant.command().arg("-vvv").stderr(slave).stdin_piped();
    let mut running = run.child(Probe::signals()).spawn();
    running.wait_for_line("ready");
    running.signal(libc::SIGTERM);
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    running.say("exit 7");
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn a_stderr_that_nobody_reads_does_not_stop_the_run() {
    let tenant = Tenant::new(Servers::shared());
    let (_reader, writer) = full_pipe();
    let run = tenant.command().arg("-v").stderr(writer).stdin_piped();
    let mut running = run.child(Probe::signals()).spawn();
    running.wait_for_line("ready");
    running.signal(libc::SIGTERM);
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    running.say("exit 7");
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn a_stderr_that_nobody_reads_does_not_keep_the_server_from_being_cleaned_up_after_a_failure() {
    let tenant = Tenant::new(Servers::shared());
    let (_reader, writer) = full_pipe();
    let script = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("no-interpreter-{}", std::process::id()));
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = tenant.command().arg("-vvv").stderr(writer);
    let run = run.child([&script]).output();
    run.assert_code(127);
    let _ = fs::remove_file(&script);
    tenant.assert_nothing_left();
}
