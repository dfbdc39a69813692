//! Passwords in files in place of the environment, and credentials that are replaced there without a restart.

use crate::support::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The file that the child was told of.
fn file_of(line: &str) -> PathBuf {
    PathBuf::from(line.rsplit(' ').next().unwrap())
}

#[track_caller]
fn assert_gone(file: &Path) {
    let folder = file.parent().unwrap();
    let gone = poll_until(Duration::from_secs(10), || (!folder.exists()).then_some(()));
    assert!(gone.is_some(), "{} is still there", folder.display());
}

const WAYS: [(&str, &str); 2] = [("passfile", "PGPASSFILE"), ("service", "PGSERVICEFILE")];

#[test]
fn the_password_is_in_a_file_for_the_command_alone_and_gone_at_the_end() {
    for (way, variable) in WAYS {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            spec.password_policy(&nasty_password_policy(way))
        });
        let script = format!(
            "psql -XAtqc 'select 1' && psql \"$DATABASE_URL\" -XAtqc 'select 1' && echo ${{PGPASSWORD-none}} ${variable}; read x"
        );
        let mut run = tenant
            .command()
            .args(["--handover", way, "--on-expiry", "restart"])
            .env("PGSERVICE", "other")
            .stdin_piped()
            .child(["sh", "-c", &script])
            .spawn();
        let line = run.wait_for_line("none /");
        let file = file_of(&line);
        assert_eq!(
            (mode(&file), mode(file.parent().unwrap())),
            (0o600, 0o700),
            "{way}"
        );
        let contents = std::fs::read_to_string(&file).unwrap();
        let user = tenant.wait_for_roles(1).remove(0);
        assert!(contents.contains(&user), "{way}");
        run.say("");
        let done = run.wait();
        done.assert_code(0).assert_quiet_stderr();
        assert_gone(&file);
        tenant.assert_nothing_left();
    }
}

#[test]
fn the_file_is_gone_however_the_run_ends() {
    let tenant = Tenant::new(Servers::shared());
    for (way, variable) in WAYS {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            let script = format!("echo up ${variable}; exec sleep 60");
            let run = tenant
                .command()
                .args(["--handover", way])
                .child(["sh", "-c", &script])
                .spawn();
            let file = file_of(&run.wait_for_line("up /"));
            assert!(file.exists());
            run.signal(signal);
            run.wait().assert_killed_by(signal);
            assert_gone(&file);
            tenant.assert_nothing_left();
        }
        let run = tenant
            .command()
            .args(["--handover", way])
            .child(["/proc/version"])
            .output();
        assert_eq!(run.code(), Some(126), "{run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn new_connections_take_new_credentials_without_a_restart() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("12s").max_ttl("12s")
    });
    // Ten new connections a second.
    let script =
        "echo up $$; while :; do psql -XAtqc 'select current_user' || echo failed; sleep 0.1; done";
    let run = tenant
        .command()
        .args(["--handover", "service", "-v"])
        .child(["sh", "-c", script])
        .spawn();
    let mut users = BTreeSet::new();
    let mut connections = 0;
    let mut starts = 0;
    // Some seconds more than the third rotation: what was replaced is revoked by then.
    let mut after = 0;
    while after < 60 {
        let line = run.next_line();
        assert!(
            !line.contains("failed"),
            "after {connections} connections: {}",
            run.stderr_so_far()
        );
        if line.starts_with("up ") {
            starts += 1;
            continue;
        }
        connections += 1;
        users.insert(line);
        after += usize::from(users.len() >= 4);
    }
    assert_eq!(starts, 1);
    assert!(connections > 150, "{connections}");
    run.signal(libc::SIGTERM);
    let done = run.wait();
    done.assert_killed_by(libc::SIGTERM)
        .stderr_contains("the command's file has new credentials");
    let refreshed = done.err().matches("has new credentials").count();
    assert!(refreshed >= 3, "{done}");
    tenant.assert_nothing_left();
}

#[test]
fn a_restart_writes_the_password_file_anew() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("6s").max_ttl("6s")
    });
    let script = "psql -XAtqc 'select 1' && echo up $PGUSER $PGPASSFILE; exec sleep 60";
    let run = tenant
        .command()
        .args(["--handover", "passfile"])
        .child(["sh", "-c", script])
        .spawn();
    let first = run.wait_for_line("up v-");
    let second = run.wait_for_line("up v-");
    assert_ne!(first, second);
    assert_eq!(file_of(&first), file_of(&second));
    run.signal(libc::SIGTERM);
    run.wait()
        .assert_killed_by(libc::SIGTERM)
        .assert_only_restarts(1);
    assert_gone(&file_of(&first));
    tenant.assert_nothing_left();
}

#[test]
fn what_files_cannot_do_is_refused_before_anything_is_asked_for() {
    let tenant = Tenant::new(Servers::shared());
    for (arguments, message) in [
        (&["--on-expiry", "refresh"][..], "give --handover service"),
        (
            &[
                "--handover",
                "service",
                "--on-expiry",
                "refresh",
                "--env",
                "X={{password}}",
            ],
            "refresh cannot replace",
        ),
        (
            &["--handover", "passfile", "--database-url", "mysql://h/d"],
            "such files are libpq's",
        ),
        (
            &[
                "--handover",
                "service",
                "--database-url",
                "postgresql+asyncpg://h/d",
            ],
            "service files are libpq's",
        ),
        (&["--handover", "file"], "is none of env, passfile, service"),
    ] {
        let run = tenant
            .command()
            .args(arguments)
            .child(["echo", "ran"])
            .output();
        run.assert_code(125).stdout_is("").stderr_contains(message);
    }
    tenant.assert_nothing_left();
}

#[test]
fn github_is_told_what_to_hide_where_that_is_asked_for_and_nothing_keeps_it() {
    let tenant = Tenant::new(Servers::shared());
    let shown = |run: Run| {
        let run = run
            .may_print_secrets()
            .child(["sh", "-c", "echo $PGPASSWORD"])
            .output();
        run.assert_code(0);
        (run.out(), run.err())
    };
    let (password, told) = shown(
        tenant
            .command()
            .arg("--github-mask")
            .env("GITHUB_ACTIONS", "true"),
    );
    assert!(
        told.contains(&format!("::add-mask::{}\n", password.trim())),
        "{told}"
    );
    for run in [
        tenant.command().arg("--github-mask"),
        tenant.command().env("GITHUB_ACTIONS", "true"),
    ] {
        assert_eq!(shown(run).1, "");
    }
    // A runner that does not read: the command would write what nobody hides.
    let (reader, writer) = nix::unistd::pipe().unwrap();
    while {
        let mut full = [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)];
        poll(&mut full, PollTimeout::ZERO).unwrap() == 1
    } {
        nix::unistd::write(&writer, &[b'x'; 4096]).unwrap();
    }
    let run = tenant
        .command()
        .arg("--github-mask")
        .env("GITHUB_ACTIONS", "true")
        .stderr(writer)
        .child(["echo", "started"])
        .output();
    run.assert_code(125).stdout_is("");
    drop(reader);
    let kept = std::env::temp_dir().join(format!("vaultexec-mask-{}", std::process::id()));
    let file = std::fs::File::create(&kept).unwrap();
    let run = tenant
        .command()
        .arg("--github-mask")
        .env("GITHUB_ACTIONS", "true");
    run.stderr(file).child(["true"]).output().assert_code(0);
    let told = std::fs::read_to_string(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    assert!(
        told.contains("not announced") && !told.contains("::add-mask::"),
        "{told}"
    );
    tenant.assert_nothing_left();
}
