//! Whatever happened, what was obtained is given back, and what could not be is told.

use crate::support::folder::Folder;
use crate::support::*;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const SAY: [&str; 2] = ["echo", "ran"];
/// Allows the revocation of this role's leases alone, by the form with the lease in the path.
const BY_PATH: &str =
    "path \"sys/leases/revoke/{mount}/creds/{role}/*\" { capabilities = [\"update\"] }\n";

fn pass(servers: &Servers) -> FaultProxy {
    FaultProxy::start(&servers.vault.url(), |_| Fault::Pass)
}

/// The tutorial's policy, one that allows the revocation, one that allows only the form by path.
fn policies() -> [(&'static str, Change); 3] {
    [
        ("tutorial", |spec| spec),
        ("body", TenantSpec::may_revoke_leases),
        ("path", |spec| spec.policy(BY_PATH)),
    ]
}

/// Ends what a test leaves behind on purpose.
fn sweep(tenant: &Tenant) {
    for lease in tenant.leases().into_iter().chain(tenant.tokens()) {
        let body = json!({"lease_id": lease, "sync": true});
        let revoked = || tenant.admin().write("sys/leases/revoke", body.clone());
        let _ = tenant::undisturbed(revoked);
    }
}

#[test]
fn every_end_of_the_child_is_followed_by_the_revocation() {
    let servers = Servers::shared();
    for (policy, change) in policies() {
        let tenant = Tenant::with(servers, change);
        for code in [0, 1, 42, 125, 255] {
            let run = tenant.command().child(Probe::exit(code)).output();
            run.assert_code(code).assert_silent();
            if policy != "tutorial" {
                assert_eq!(tenant.roles(), Vec::<String>::new(), "synchronous");
            }
            tenant.assert_nothing_left();
        }
        for name in ["TERM", "KILL", "SEGV"] {
            let run = tenant.command().child(Probe::die(name)).output();
            run.assert_killed_by(signals::number(name).unwrap())
                .assert_silent();
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_command_that_cannot_be_executed_after_all_is_followed_by_the_revocation() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::for_programs().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/nowhere/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let proxy = pass(Servers::shared());
    let run = tenant.through(&proxy).child([&script]).output();
    run.assert_code(127)
        .stdout_is("")
        .stderr_contains("cannot run")
        .stderr_contains("the interpreter named in its first line may be missing")
        .assert_no_secret(&proxy.secrets());
    assert_eq!(proxy.count(RequestInfo::is_creds), 1);
    tenant.assert_nothing_left();
    // One that is there and no program.
    fs::write(&script, "#!/etc/passwd\n").unwrap();
    let proxy = pass(Servers::shared());
    let run = tenant.through(&proxy).child([&script]).output();
    run.assert_code(126)
        .stdout_is("")
        .stderr_contains("cannot run")
        .assert_no_secret(&proxy.secrets());
    tenant.assert_nothing_left();
}

#[test]
fn a_read_that_fails_is_followed_by_the_revocation_of_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for fault in [
        Fault::error(403, "permission denied"),
        Fault::error(400, "no"),
    ] {
        let proxy = harm(servers, RequestInfo::is_creds, fault);
        let run = tenant.through(&proxy).child(SAY).output();
        assert_refused(&run, &proxy, &tenant);
        assert_eq!(proxy.count(RequestInfo::is_revoke_self), 1);
    }
}

#[test]
fn an_answer_with_credentials_that_is_lost_is_a_role_that_goes_with_its_token() {
    let servers = Servers::shared();
    for (_, change) in policies() {
        let tenant = Tenant::with(servers, change);
        for fault in [
            Fault::ResetAfter,
            Fault::HangAfter,
            Fault::StatusAfter(200, "<".to_owned()),
        ] {
            let proxy = harm(servers, RequestInfo::is_creds, fault);
            let run = tenant
                .through(&proxy)
                .args(["--start-timeout", "4s"])
                .child(SAY)
                .output();
            assert_refused(&run, &proxy, &tenant);
            run.stderr_contains("a database role may have been made that nobody knows: it is revoked through the token");
            assert_eq!(proxy.count(RequestInfo::is_creds), 1, "read once: {run}");
        }
    }
}

#[test]
fn a_lost_answer_under_a_batch_token_is_told_with_its_end() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.token_type("batch").token_ttl("15s"));
    let proxy = harm(servers, RequestInfo::is_creds, Fault::ResetAfter);
    let run = tenant.through(&proxy).child(SAY).output();
    run.assert_code(125)
        .stdout_is("")
        .assert_no_secret(&proxy.secrets())
        .stderr_contains("a lease whose id is not known could not be revoked")
        .stderr_contains("it ends by itself at 20");
    tenant.assert_nothing_left_within(Duration::from_secs(120));
}

#[test]
fn a_signal_while_the_login_hangs_ends_the_run_by_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let proxy = harm(servers, RequestInfo::is_login, Fault::Hang);
        let running = tenant.through(&proxy).child(SAY).spawn();
        proxy.wait_for(1, RequestInfo::is_login);
        let sent = Instant::now();
        running.signal(signal);
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15));
        running
            .wait()
            .assert_killed_by(signal)
            .stdout_is("")
            .stderr_contains("a use of the secret id may be spent");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_while_a_retry_is_waited_for_ends_the_run_by_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for which in [
        RequestInfo::is_login as fn(&RequestInfo) -> bool,
        RequestInfo::is_creds,
    ] {
        let headers = vec![("Retry-After", "20".to_owned())];
        let fault = Fault::Status(429, headers, "{}".to_owned());
        let proxy = harm(servers, which, fault);
        let running = tenant.through(&proxy).child(SAY).spawn();
        running.wait_for_stderr("yet");
        let sent = Instant::now();
        running.signal(libc::SIGTERM);
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15));
        running.wait().assert_killed_by(libc::SIGTERM).stdout_is("");
        assert_eq!(proxy.count(which), 1);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_before_the_answer_of_a_login_does_not_lose_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // An answer is waited for for half a second, which a busy machine can take for itself.
        let kept = best_of_three(|| {
            let hold = Hold::new();
            let fault = Fault::HoldAnswer(hold.clone());
            let proxy = harm(servers, RequestInfo::is_login, fault);
            let running = tenant.through(&proxy).child(SAY).spawn();
            hold.wait_arrived();
            assert_eq!(tenant.tokens().len(), 1);
            running.signal(signal);
            hold.release();
            let run = running.wait();
            run.assert_killed_by(signal).stdout_is("");
            let kept = run.stderr.is_empty();
            if !kept {
                sweep(&tenant);
            }
            tenant.assert_nothing_left();
            kept
        });
        assert!(kept, "the token was lost");
    }
}

#[test]
fn a_signal_while_the_credentials_are_read_leaves_no_role() {
    let servers = Servers::shared();
    for (_, change) in policies() {
        let tenant = Tenant::with(servers, change);
        for (signal, released) in [
            (libc::SIGTERM, true),
            (libc::SIGTERM, false),
            (libc::SIGINT, false),
        ] {
            let hold = Hold::new();
            let fault = Fault::HoldAnswer(hold.clone());
            let proxy = harm(servers, RequestInfo::is_creds, fault);
            let running = tenant.through(&proxy).child(SAY).spawn();
            hold.wait_arrived();
            assert_eq!(tenant.roles().len(), 1);
            running.signal(signal);
            if released {
                hold.release();
            }
            running.wait().assert_killed_by(signal).assert_silent();
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_signal_while_the_child_runs_is_the_childs_and_the_role_goes() {
    let tenant = Tenant::new(Servers::shared());
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let running = tenant.command().child(["sleep", "100"]).spawn();
        running.wait_for_child("sleep");
        tenant.wait_for_roles(1);
        running.signal(signal);
        running.wait().assert_killed_by(signal).assert_silent();
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_signal_while_revoking_leaves_time_for_the_token_and_another_one_does_not() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let signalled = |signals: usize| {
        let proxy = harm(servers, RequestInfo::is_lease_revoke, Fault::Hang);
        let running = tenant
            .through(&proxy)
            .args(["--revoke-timeout", "50s"])
            .child(Probe::exit(3))
            .spawn();
        let sent = Instant::now();
        for nth in 1..=signals {
            // With the first one the revocation begins anew, in a hurry.
            proxy.wait_for(nth, RequestInfo::is_lease_revoke);
            running.signal(libc::SIGTERM);
        }
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15), "{signals}");
        let run = running.wait();
        run.assert_code(3);
        run
    };
    // What is left for the token is a part of a second, which a busy machine can take for itself.
    let in_time = best_of_three(|| {
        let in_time = signalled(1).stderr.is_empty();
        if !in_time {
            sweep(&tenant);
        }
        tenant.assert_nothing_left();
        in_time
    });
    assert!(in_time, "no time was left for the token");
    let told = best_of_three(|| {
        let run = signalled(2);
        let told = tenant.leases().first().is_some_and(|lease| {
            run.stderr_contains(&format!("the lease {lease} could not be revoked"))
                .stderr_contains("it ends by itself at 20");
            true
        });
        sweep(&tenant);
        tenant.assert_nothing_left();
        told
    });
    assert!(
        told,
        "the second signal did not end it before the token went"
    );
}

#[test]
fn a_signal_during_a_slow_revocation_that_succeeds_changes_nothing() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    // A signal leaves the cleaning up no more than a second, which a busy machine can take for itself.
    let unchanged = best_of_three(|| {
        let hold = Hold::new();
        let fault = Fault::HoldRequest(hold.clone());
        let proxy = harm(servers, RequestInfo::is_lease_revoke, fault);
        let running = tenant.through(&proxy).child(Probe::exit(0)).spawn();
        hold.wait_arrived();
        running.signal(libc::SIGINT);
        hold.release();
        let run = running.wait();
        run.assert_code(0).stdout_is("");
        let unchanged = run.stderr.is_empty();
        if !unchanged {
            sweep(&tenant);
        }
        tenant.assert_nothing_left();
        unchanged
    });
    assert!(unchanged, "the lease was not revoked in time");
}

#[test]
fn a_policy_that_forbids_the_revocation_is_silently_got_round_through_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    tenant
        .through(&proxy)
        .arg("--strict-revoke")
        .child(["true"])
        .output()
        .assert_code(0)
        .assert_silent();
    assert_eq!(proxy.count(RequestInfo::is_lease_revoke), 2, "either form");
    assert_eq!(proxy.count(RequestInfo::is_revoke_self), 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_policy_for_one_roles_leases_is_enough() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.policy(BY_PATH));
    let proxy = pass(servers);
    let run = tenant.through(&proxy).arg("-v").child(SAY).output();
    run.assert_code(0).stderr_contains("revoked the lease");
    // Before the token went: the answer was the database's.
    assert_eq!(tenant.roles(), Vec::<String>::new());
    tenant.assert_nothing_left();
}

/// A tenant whose roles may make tables. On servers of its own: a table in `public` is in the way of whoever is given rights on
/// all tables at the same time.
fn owner(servers: &Servers, change: Change) -> Tenant {
    Tenant::with(servers, |spec| {
        change(spec.creation_statements(
            "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
             GRANT USAGE, CREATE ON SCHEMA public TO \"{{name}}\";",
        ))
    })
}

/// Takes everything away from the tenant's roles, so that they can go.
fn disown(servers: &Servers, tenant: &Tenant) {
    for role in tenant.roles() {
        let drop_owned = format!("drop owned by \"{role}\"");
        tenant::undisturbed(|| servers.postgres.try_sql(&drop_owned)).unwrap();
    }
    sweep(tenant);
}

#[test]
fn a_role_that_owns_something_stays_and_that_is_told_in_the_databases_words() {
    let servers = &Servers::private();
    for strict in [false, true] {
        let tenant = owner(servers, TenantSpec::may_revoke_leases);
        let table = format!("owned_{}", &tenant.database_role()[..8]);
        let run = tenant
            .command()
            .args(["--revoke-timeout", "4s"])
            .args(strict.then_some("--strict-revoke"))
            .child(["psql", "-XAtqc", &format!("create table {table} (x int)")])
            .output();
        run.assert_code(if strict { 125 } else { 0 })
            .stdout_is("")
            .stderr_contains(&format!("the lease {}/", tenant.creds_path()))
            .stderr_contains("could not be revoked")
            .stderr_contains("depend on it")
            .stderr_contains("(400)")
            .stderr_contains("it ends by itself at 20");
        assert!(run.wall < Duration::from_secs(15), "{run}");
        assert_eq!(tenant.roles().len(), 1);
        disown(servers, &tenant);
        tenant.assert_nothing_left();
    }
    // A child that failed by itself keeps its code.
    let tenant = owner(servers, TenantSpec::may_revoke_leases);
    let table = format!("owned_{}", &tenant.database_role()[..8]);
    let run = tenant
        .command()
        .args([
            "--revoke-timeout",
            "4s",
            "--strict-revoke",
            "--",
            "sh",
            "-c",
        ])
        .arg(format!(
            "psql -XAtqc 'create table {table} (x int)'; exit 9"
        ))
        .output();
    run.assert_code(9).stderr_contains("depend on it");
    disown(servers, &tenant);
    tenant.assert_nothing_left();
}

#[test]
fn the_databases_words_are_kept_when_a_later_try_gets_no_answer() {
    let servers = &Servers::private();
    let tenant = owner(servers, TenantSpec::may_revoke_leases);
    let table = format!("owned_{}", &tenant.database_role()[..8]);
    let proxy = FaultProxy::start(&servers.vault.url(), |request| {
        if request.is_lease_revoke() && request.nth > 0 {
            Fault::Hang
        } else {
            Fault::Pass
        }
    });
    let run = tenant
        .through(&proxy)
        .args(["--revoke-timeout", "10s", "--strict-revoke"])
        .child(["psql", "-XAtqc", &format!("create table {table} (x int)")])
        .output();
    run.assert_code(125)
        .stderr_contains("depend on it")
        .stderr_contains("it ends by itself at 20");
    disown(servers, &tenant);
    tenant.assert_nothing_left();
}

#[test]
fn no_revoke_leaves_lease_and_token_of_a_child_that_ran() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for by_flag in [true, false] {
        let proxy = pass(servers);
        let run = tenant.through(&proxy);
        let run = if by_flag {
            run.arg("--no-revoke")
        } else {
            run.env("VAULTEXEC_NO_REVOKE", "1")
        };
        run.child(Probe::exit(4))
            .output()
            .assert_code(4)
            .assert_silent();
        assert_eq!(proxy.requests().len(), 2);
        assert_eq!(
            (
                tenant.roles().len(),
                tenant.leases().len(),
                tenant.tokens().len()
            ),
            (1, 1, 1)
        );
        sweep(&tenant);
        tenant.assert_nothing_left();
    }
    // There was no child to leave them to.
    let proxy = harm(servers, RequestInfo::is_creds, Fault::ResetAfter);
    let run = tenant
        .through(&proxy)
        .arg("--no-revoke")
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
}

#[test]
fn a_batch_tokens_lease_is_revoked_where_the_policy_allows_it() {
    let servers = Servers::shared();
    for change in [TenantSpec::may_revoke_leases, |spec: TenantSpec| {
        spec.policy(BY_PATH)
    }] {
        let tenant = Tenant::with(servers, |spec| change(spec.token_type("batch")));
        let proxy = pass(servers);
        let run = tenant
            .through(&proxy)
            .arg("--strict-revoke")
            .child(SAY)
            .output();
        run.assert_code(0).assert_quiet_stderr();
        assert_eq!(tenant.roles(), Vec::<String>::new());
        assert_eq!(
            proxy.count(RequestInfo::is_revoke_self),
            0,
            "it cannot be revoked"
        );
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_batch_tokens_lease_that_may_not_be_revoked_is_named_with_remedy_and_end() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.token_type("batch").token_ttl("20s"));
    for (strict, code) in [(false, 0), (true, 125)] {
        let run = tenant
            .command()
            .args(strict.then_some("--strict-revoke"))
            .child(SAY)
            .output();
        run.assert_code(code)
            .stdout_is("ran\n")
            .stderr_contains(&format!("the lease {}/", tenant.creds_path()))
            .stderr_contains("could not be revoked")
            .stderr_contains("(403)")
            .stderr_contains("it ends by itself at 20")
            .stderr_contains("path \"sys/leases/revoke\" { capabilities = [\"update\"] }")
            .stderr_contains(&format!(
                "path \"sys/leases/revoke/{}/*\"",
                tenant.creds_path()
            ));
    }
    tenant.assert_nothing_left_within(Duration::from_secs(120));
}

#[test]
fn a_token_with_one_use_is_explained() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.token_num_uses(1));
    let proxy = pass(servers);
    let run = tenant.through(&proxy).child(SAY).output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("token_num_uses of 0, or of 3 and more");
}

#[test]
fn a_token_with_few_uses_keeps_the_last_one_for_its_own_revocation() {
    let servers = Servers::shared();
    for (_, change) in policies() {
        for uses in [2, 3, 4, 5, 6] {
            let tenant = Tenant::with(servers, |spec| change(spec.token_num_uses(uses)));
            let proxy = pass(servers);
            let run = tenant.through(&proxy).child(SAY).output();
            run.assert_code(0)
                .stdout_is("ran\n")
                .assert_quiet_stderr()
                .assert_no_secret(&proxy.secrets());
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_revocation_whose_answer_is_lost_is_asked_for_again_in_silence() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for which in [
        RequestInfo::is_lease_revoke as fn(&RequestInfo) -> bool,
        RequestInfo::is_revoke_self,
    ] {
        for fault in [
            Fault::ResetAfter,
            Fault::ResetBefore,
            Fault::Truncate,
            Fault::StatusAfter(502, "<".to_owned()),
        ] {
            let proxy = harm_first(servers, 1, which, fault);
            let run = tenant
                .through(&proxy)
                .args(["--revoke-timeout", "30s", "--strict-revoke"])
                .child(SAY)
                .output();
            run.assert_code(0).assert_quiet_stderr();
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_token_that_is_refused_without_a_reason_is_told() {
    // As of a token that is good, but only from other addresses.
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let refused = Fault::error(403, "permission denied");
    let proxy = harm(
        servers,
        |request| !request.is_login() && !request.is_creds(),
        refused,
    );
    let run = tenant.through(&proxy).child(SAY).output();
    run.assert_code(0)
        .stdout_is("ran\n")
        .stderr_contains("the server does not take the token any more: permission denied (403)")
        .stderr_contains("token_bound_cidrs");
    assert_eq!(tenant.roles().len(), 1);
    tenant.revoke_tokens();
    tenant.assert_nothing_left();
}

#[test]
fn the_time_of_a_stop_does_not_count_while_revoking() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let proxy = harm_first(
        servers,
        1,
        RequestInfo::is_revoke_self,
        Fault::HoldRequest(hold.clone()),
    );
    let pty = Pty::new();
    let run = tenant
        .through(&proxy)
        .args(["--revoke-timeout", "10s"])
        .child(SAY);
    let line = run.shell_line();
    let shell = pty.bash(run);
    pty.type_line(&line);
    hold.wait_arrived();
    let vaultexec = shell.wait_for_child("vaultexec");
    pty.type_keys("\x1a");
    shell.wait_state(vaultexec, 'T');
    // Longer than the bound.
    std::thread::sleep(Duration::from_secs(11));
    pty.type_line("fg; echo code $?");
    pty.wait_for("code 0\r\n");
    let text = pty.text();
    assert!(!text.contains("could not be revoked"), "{text}");
    hold.release();
    pty.type_line("exit");
    shell.wait();
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_is_sick_at_the_end_is_asked_again() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for status in [412, 429, 500, 503, 504] {
        for which in [
            RequestInfo::is_lease_revoke as fn(&RequestInfo) -> bool,
            RequestInfo::is_revoke_self,
        ] {
            let proxy = harm_first(servers, 2, which, Fault::error(status, "not now"));
            let run = tenant.through(&proxy).args(["--revoke-timeout", "30s"]);
            let run = run.child(SAY).output();
            run.assert_code(0).assert_quiet_stderr();
            // The database may refuse once more, because somebody else changes the same row.
            assert!(proxy.count(which) >= 3);
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_server_that_hangs_at_the_end_is_given_up_in_time_and_the_lease_named() {
    let servers = Servers::shared();
    for (strict, code) in [(false, 0), (true, 125)] {
        let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
        let which = |one: &RequestInfo| one.is_lease_revoke() || one.is_revoke_self();
        let proxy = harm(servers, which, Fault::Hang);
        let run = tenant
            .through(&proxy)
            .args(["--revoke-timeout", "1s"])
            .args(strict.then_some("--strict-revoke"))
            .child(SAY)
            .output();
        assert!(run.wall < Duration::from_secs(15), "{run}");
        let lease = tenant.leases().remove(0);
        run.assert_code(code)
            .stdout_is("ran\n")
            .stderr_contains(&format!("the lease {lease} could not be revoked"))
            .stderr_contains("it ends by itself at 20");
        sweep(&tenant);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_server_that_is_away_at_the_end_is_named_with_what_stays() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let mut running = tenant
        .through(&proxy)
        .args(["--revoke-timeout", "1s"])
        .child(["sh", "-c", "read line; exit 7"])
        .stdin_piped()
        .spawn();
    tenant.wait_for_roles(1);
    running.wait_for_child("sh");
    proxy.refuse();
    running.say("go");
    let run = running.wait();
    assert!(run.err().contains("cannot reach the server"), "{run}");
    run.assert_code(7)
        .stderr_contains(&format!("the lease {}", tenant.leases()[0]));
    sweep(&tenant);
    tenant.assert_nothing_left();
}

#[test]
fn a_database_that_is_down_at_the_end_is_waited_for_or_named() {
    let servers = Servers::private();
    let tenant = Tenant::with(&servers, TenantSpec::may_revoke_leases);
    let proxy = pass(&servers);
    let start = |timeout: &str| {
        let run = tenant.through(&proxy).args(["--revoke-timeout", timeout]);
        let running = run
            .child(["sh", "-c", "read line; exit 7"])
            .stdin_piped()
            .spawn();
        running.wait_for_child("sh");
        running
    };
    // It comes back in time.
    let mut running = start("60s");
    servers.postgres.stop();
    let before = proxy.count(RequestInfo::is_lease_revoke);
    running.say("go");
    proxy.wait_for(before + 2, RequestInfo::is_lease_revoke);
    servers.postgres.start();
    running.wait().assert_code(7).assert_silent();
    tenant.assert_nothing_left();
    // It does not.
    let mut running = start("4s");
    let lease = tenant.leases().remove(0);
    servers.postgres.stop();
    running.say("go");
    let run = running.wait();
    run.assert_code(7)
        .stderr_contains(&format!("the lease {lease} could not be revoked"))
        .stderr_contains("(400)")
        .stderr_contains("it ends by itself at 20")
        .assert_no_secret(&proxy.secrets());
    servers.postgres.start();
    sweep(&tenant);
    tenant.assert_nothing_left_within(Duration::from_secs(120));
}

#[test]
fn a_connection_closed_while_the_child_runs_is_replaced_in_silence() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let proxy = pass(servers);
    let mut running = tenant.through(&proxy).child(["cat"]).stdin_piped().spawn();
    running.wait_for_child("cat");
    proxy.close_connections();
    running.close_stdin();
    running.wait().assert_code(0).assert_silent();
    tenant.assert_nothing_left();
}

#[test]
fn a_policy_that_forbids_even_the_tokens_own_revocation_is_told() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.approle("token_no_default_policy", true)
    });
    for (strict, code) in [(false, 0), (true, 125)] {
        let run = tenant
            .command()
            .args(strict.then_some("--strict-revoke"))
            .child(SAY)
            .output();
        run.assert_code(code)
            .stdout_is("ran\n")
            .stderr_contains(&format!("the lease {}", tenant.leases()[0]))
            .stderr_contains("could not be revoked")
            .stderr_contains("(403)")
            .stderr_contains("it ends by itself at 20")
            .stderr_contains("path \"sys/leases/revoke\" { capabilities = [\"update\"] }");
        sweep(&tenant);
        tenant.assert_nothing_left();
    }
    // There is no lease, but a token that stays.
    let proxy = harm(servers, RequestInfo::is_creds, Fault::error(403, "no"));
    let run = tenant.through(&proxy).child(SAY).output();
    run.assert_code(125)
        .stderr_contains("the token could not be revoked")
        .stderr_contains("path \"auth/token/revoke-self\" { capabilities = [\"update\"] }");
    sweep(&tenant);
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_asks_for_time_gets_it_at_the_start_and_at_the_end() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    for which in [
        RequestInfo::is_creds as fn(&RequestInfo) -> bool,
        RequestInfo::is_lease_revoke,
        RequestInfo::is_revoke_self,
    ] {
        let headers = vec![("Retry-After", "2".to_owned())];
        let busy = Fault::Status(429, headers, "{\"errors\":[\"quota\"]}".to_owned());
        let proxy = harm_first(servers, 1, which, busy);
        let run = tenant
            .through(&proxy)
            .args(["--revoke-timeout", "30s"])
            .child(SAY)
            .output();
        run.assert_code(0).stdout_is("ran\n");
        let asked: Vec<_> = proxy.requests().into_iter().filter(which).collect();
        let gap = asked[1].at - asked[0].at;
        assert!(gap >= Duration::from_millis(1990), "{gap:?}: {run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_revocation_that_the_server_has_only_put_in_its_queue_is_not_called_done() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let fault = Fault::StatusAfter(202, String::new());
    let proxy = harm_first(servers, 1, RequestInfo::is_lease_revoke, fault);
    let run = tenant.through(&proxy).arg("-v").child(SAY).output();
    run.assert_code(0)
        .stdout_is("ran\n")
        .stderr_contains("the server has put the revocation of the lease")
        .stderr_contains("in its queue");
    assert!(!run.err().contains("revoked the lease"), "{run}");
    assert_eq!(proxy.count(RequestInfo::is_lease_revoke), 1);
    tenant.assert_nothing_left();
}
