//! What of the secrets is in memory while the child runs: all that root can read of vaultexec and its companion.

use crate::support::folder::{Folder, write_secret};
use crate::support::*;
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Longer than a connection is kept open unused; all but the token is gone much sooner.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often each secret is found in what can be read of that process: the plain text of it, wherever it lies.
#[track_caller]
fn found(pid: i32, secrets: &[&str]) -> Vec<usize> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
    let maps = maps.unwrap_or_else(|error| {
        panic!("cannot look into {pid}: {error}; run the tests as root, in a container if need be")
    });
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut counts = vec![0; secrets.len()];
    for line in maps.lines() {
        let (range, rights) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        if !rights.starts_with('r') {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // What nobody can read: `[vvar]`, and the secret pages themselves.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        for (count, secret) in counts.iter_mut().zip(secrets) {
            *count += occurrences(&bytes, secret.as_bytes());
        }
    }
    counts
}

fn occurrences(bytes: &[u8], secret: &[u8]) -> usize {
    // Comparing at every byte is slow in a build that is not optimized.
    let first = secret[0];
    let mut count = 0;
    let mut rest = bytes;
    while let Some(at) = memchr(first, rest) {
        rest = &rest[at..];
        count += usize::from(rest.starts_with(secret));
        rest = &rest[1..];
    }
    count
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: within the slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

/// A secret that was used: its name, its text, and how often it may be found in a process.
type Known = (&'static str, String, usize);

/// How often what is kept for later may be found: where the kernel has memory that nobody else can read, never.
fn kept() -> usize {
    // SAFETY: a number in, a descriptor out.
    let descriptor = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    if descriptor < 0 {
        return 1;
    }
    // SAFETY: just opened.
    unsafe { libc::close(descriptor as i32) };
    0
}

const CHILD: [&str; 3] = ["sh", "-c", "echo \"password=$PGPASSWORD\"; exec sleep 1000"];

/// Looks into vaultexec and its companion once the child has said its password on `line`.
#[track_caller]
fn assert_gone(how: &str, running: &Running, line: &str, mut secrets: Vec<Known>) {
    let password = line.trim_start_matches("password=").to_owned();
    assert!(password.len() > 10, "{how}: no password");
    secrets.push(("password", password, 0));
    let texts: Vec<&str> = secrets.iter().map(|(_, text, _)| text.as_str()).collect();
    let child = running.children()[0];
    // The search finds what is there.
    let of_the_child = || found(child, &texts)[texts.len() - 1];
    let seen = poll_until(PATIENCE, || (of_the_child() > 0).then_some(()));
    assert!(seen.is_some(), "{how}: the password is not in the child");
    let mut others = procfs::all_children(running.pid());
    others.retain(|pid| *pid != child);
    assert_eq!(others.len(), 1, "{how}: one companion");
    for (whose, pid) in [("vaultexec", running.pid()), ("the companion", others[0])] {
        let mut counts = Vec::new();
        let gone = poll_until(PATIENCE, || {
            counts = found(pid, &texts);
            let mut all = counts.iter().zip(&secrets);
            all.all(|(count, (_, _, allowed))| count <= allowed)
                .then_some(())
        });
        let counts: Vec<_> = secrets
            .iter()
            .map(|(name, _, _)| *name)
            .zip(&counts)
            .collect();
        assert!(gone.is_some(), "{how}: in {whose}: {counts:?}");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        for (name, text, _) in &secrets {
            let there = occurrences(&environment, text.as_bytes());
            assert_eq!(there, 0, "{how}: {name} in the environment of {whose}");
        }
    }
}

/// Ends the run as a supervisor does.
#[track_caller]
fn end(running: Running) {
    running.signal(libc::SIGTERM);
    running.wait().assert_killed_by(libc::SIGTERM);
}

/// A run whose secret comes in that way, wrapped or not.
fn handed_over(run: Run, way: &str, wrapped: bool, secret: &str, folder: &Folder) -> Run {
    let (variable, flag) = if wrapped {
        ("VAULT_WRAPPED_SECRET_ID", "--wrapped-secret-id-file")
    } else {
        ("VAULT_SECRET_ID", "--secret-id-file")
    };
    let file = folder.path().join("secret");
    match way {
        "variable" => run.env(variable, secret),
        "stdin" => run.args([flag, "-"]).stdin_bytes(secret),
        "file" | "removed file" => {
            write_secret(&file, secret);
            let run = run.arg(flag).arg(&file);
            if way == "file" {
                return run;
            }
            run.arg("--remove-secret-id-file")
        }
        _ => unreachable!("{way}"),
    }
}

#[test]
fn while_the_child_runs_no_secret_is_in_memory_whichever_way_it_came_in() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.secret_id_num_uses(0));
    let folder = Folder::new().unwrap();
    for expiry in ["warn", "restart"] {
        for (way, wrapped) in [
            ("variable", false),
            ("file", false),
            ("removed file", false),
            ("stdin", false),
            ("variable", true),
            ("file", true),
            ("stdin", true),
        ] {
            let how = format!("{way}, wrapped: {wrapped}, on expiry: {expiry}");
            let proxy = pass(servers);
            let secret = if wrapped {
                tenant.wrapped_secret_id("60s")
            } else {
                tenant.secret_id()
            };
            let run = tenant
                .command_without_secret()
                .env("VAULT_ADDR", proxy.url())
                .env("VAULT_ROLE_ID", tenant.role_id())
                .args(["--on-expiry", expiry])
                .may_print_secrets();
            let mut run = handed_over(run, way, wrapped, &secret, &folder);
            if way == "file" {
                run = run.arg("--wait-login");
            }
            let running = run.child(CHILD).spawn();
            // The child is there, and so all that the server gave out is known.
            let line = running.wait_for_line("");
            let mut secrets: Vec<Known> = Vec::new();
            for given in proxy.secrets() {
                match &given {
                    token if token.starts_with("hvs.") || token.starts_with("s.") => {
                        secrets.push(("token", given, 1));
                    }
                    password if line.ends_with(password) => {}
                    _ => secrets.push(("unwrapped secret id", given, kept())),
                }
            }
            assert_eq!(
                secrets.len(),
                1 + usize::from(wrapped),
                "{how}: {} known",
                secrets.len()
            );
            let once = if wrapped || expiry == "warn" || way == "file" {
                0
            } else {
                kept()
            };
            secrets.push((
                if wrapped {
                    "wrapping token"
                } else {
                    "secret id"
                },
                secret,
                once,
            ));
            assert_gone(&how, &running, &line, secrets);
            end(running);
        }
    }
    tenant.assert_nothing_left();
}

#[test]
fn what_came_by_tls_is_gone_as_well() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let secret = tenant.secret_id();
    let running = tenant
        .command_without_secret()
        .env("VAULT_ADDR", tls.good())
        .env("VAULT_CACERT", tls.certificates.ca())
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_SECRET_ID", &secret)
        .may_print_secrets()
        .child(CHILD)
        .spawn();
    let line = running.wait_for_line("");
    assert_gone("by TLS", &running, &line, vec![("secret id", secret, 0)]);
    end(running);
    tenant.assert_nothing_left();
}

#[test]
fn a_token_that_was_handed_in_is_in_the_memory_once_at_most() {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    let folder = Folder::new().unwrap();
    let file = folder.path().join("token");
    for place in ["variable", "file"] {
        let token = tenant.token(json!({}));
        let run = tenant.command_without_secret().may_print_secrets();
        let run = if place == "variable" {
            run.env("VAULT_TOKEN", &token)
        } else {
            write_secret(&file, &token);
            run.arg("--token-file").arg(&file)
        };
        let running = run.child(CHILD).spawn();
        let line = running.wait_for_line("");
        assert_gone(place, &running, &line, vec![("token", token, 1)]);
        end(running);
    }
    tenant.assert_nothing_left();
}
