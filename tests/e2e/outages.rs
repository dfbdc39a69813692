//! The server or the database is away while the child runs, or when it ends. The child never suffers for it.

use crate::support::*;
use std::time::{Duration, Instant};

/// A child that a terminal can stop. Not a shell: one that is stopped between fork and exec leaves its parent unstoppable.
fn stoppable() -> Vec<String> {
    Probe::signals_but(&["TSTP", "CONT", "TERM", "INT"])
}

fn telling(run: Run) -> Running {
    let running = run.child(children::TELLING).spawn();
    running.wait_for_line("start");
    running
}

/// Ends it, and checks that it was neither stopped nor started anew before.
fn ends_undisturbed(running: Running) -> Finished {
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7).stdout_is("start\nterm\n");
    run
}

/// An outage that begins before the first renewal, which a CONT asks for, and ends in time.
/// The lease is longer than any of them: a server may take its time to come back.
fn survives(servers: &Servers, begin: impl FnOnce(&Servers), end: impl FnOnce(&Servers)) {
    let tenant = Tenant::with(servers, |spec| spec.default_ttl("5m").max_ttl("1h"));
    // A server that is frozen is waited for as long as that.
    let run = tenant.command().env("VAULT_CLIENT_TIMEOUT", "8s");
    let running = telling(run.arg("-v"));
    begin(servers);
    running.signal(libc::SIGCONT);
    let said = running.wait_for_stderr("cannot renew the lease now: ");
    end(servers);
    running.wait_for_stderr("renewed the lease for ");
    let run = ends_undisturbed(running);
    for subject in ["lease", "token"] {
        let words = format!("cannot renew the {subject}");
        let told = run.err().matches(&words).count();
        assert!(told <= 1, "told more than once\n{said}\n{run}");
    }
    tenant.assert_nothing_left();
}

#[test]
fn the_vault_is_sealed_and_unsealed() {
    survives(
        &Servers::private_vault(),
        |servers| servers.vault.seal(),
        |servers| servers.vault.unseal(),
    );
}

#[test]
fn the_vault_is_frozen_and_goes_on() {
    survives(
        &Servers::private_vault(),
        |servers| servers.vault.stop(),
        |servers| servers.vault.cont(),
    );
}

#[test]
fn the_vault_is_killed_and_restarted() {
    survives(
        &Servers::private_vault(),
        |servers| servers.vault.kill(),
        |servers| servers.vault.restart(),
    );
}

#[test]
fn the_database_is_down_at_a_renewal() {
    survives(
        &Servers::private(),
        |servers| {
            // It is stopped the hard way, and would forget the role, which it has not written down yet.
            servers.postgres.sql("CHECKPOINT");
            servers.postgres.stop();
        },
        |servers| servers.postgres.start(),
    );
}

#[test]
fn a_role_that_the_database_has_lost_is_replaced_though_its_lease_is_there() {
    let tenant = Tenant::new(Servers::shared());
    let running = telling(tenant.command());
    let role = tenant.roles().remove(0);
    let postgres = &Servers::shared().postgres;
    let drop_role = format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"");
    tenant::undisturbed(|| postgres.try_sql(&drop_role)).unwrap();
    running.signal(libc::SIGCONT);
    running.wait_for_stderr("does not exist (SQLSTATE 42704)");
    running.wait_for_line("term");
    running.wait_for_line("start");
    assert_eq!(tenant.wait_for_roles(1).len(), 1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn an_outage_that_outlasts_the_lease_is_told_and_the_credentials_are_replaced_after_it() {
    let servers = Servers::private_vault();
    let tenant = Tenant::with(&servers, |spec| spec.default_ttl("4s").max_ttl("1h"));
    let running = telling(tenant.command());
    servers.vault.kill();
    running.wait_for_stderr("cannot renew the lease now: ");
    running.wait_for_stderr("the credentials have ended, as far as can be told");
    assert_eq!(
        running.stdout_so_far(),
        "start\n",
        "the child was not left alone"
    );
    servers.vault.restart();
    running.wait_for_stderr("cannot renew the lease: ");
    running.wait_for_line("term");
    running.wait_for_line("start");
    tenant.wait_for_roles(1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn signals_reach_the_child_while_a_renewal_hangs() {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |request| {
        if request.is_lease_renew() {
            Fault::Hang
        } else {
            Fault::Pass
        }
    });
    let run = tenant.command().env("VAULT_ADDR", proxy.url());
    let mut running = run.stdin_piped().child(stoppable()).spawn();
    running.wait_for_line("ready");
    running.signal(libc::SIGCONT);
    proxy.wait_for(1, RequestInfo::is_lease_renew);
    let times: Vec<Duration> = (0..20)
        .map(|_| {
            let sent = Instant::now();
            running.signal(libc::SIGUSR1);
            assert_eq!(Probe::next_signal(&running).0, "USR1");
            sent.elapsed()
        })
        .collect();
    // One of them shows it: for the others the machine may have had something else to do.
    let fastest = times.iter().min().unwrap();
    assert!(*fastest < Duration::from_millis(50), "{times:?}");
    running.say("exit 5");
    running.wait().assert_code(5);
    tenant.assert_nothing_left();
}

#[test]
fn whatever_answer_a_renewal_gets_the_child_is_left_alone_and_it_is_asked_for_again() {
    let wrong_type = r#"{"lease_id":"x","renewable":"yes","lease_duration":"long"}"#;
    let html = "<html><body>It works!</body></html>";
    let mut faults = vec![
        ("reset before", Fault::ResetBefore),
        ("reset after", Fault::ResetAfter),
        ("truncated", Fault::Truncate),
        ("a wrong type", Fault::body(wrong_type)),
        ("an empty object", Fault::body("{}")),
        ("no body", Fault::body("")),
        ("html", Fault::body(html)),
        (
            "no HTTP",
            Fault::Raw(b"220 smtp.example ESMTP\r\n".to_vec()),
        ),
        ("too much", Fault::Flood(20 << 20)),
        (
            "dripping",
            Fault::Drip(b"HTTP/1.1 200 OK\r\n".to_vec(), Duration::from_millis(700)),
        ),
        (
            "a backend's 400",
            Fault::error(400, "failed to renew entry: connection refused"),
        ),
        (
            "a redirect to nowhere",
            Fault::Redirect("http://127.0.0.1:1/".to_owned()),
        ),
    ];
    faults.extend(
        [412, 429, 472, 500, 502, 503, 504]
            .map(|status| ("a status", Fault::error(status, "away"))),
    );
    faults.push((
        "Retry-After",
        Fault::Status(429, vec![("Retry-After", "1".to_owned())], String::new()),
    ));
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("16s").max_ttl("1h")
    });
    // Twice, because a broken connection is replaced silently once. One that is merely slow costs its time.
    let faulty = |name: &str| if name == "dripping" { 1 } else { 2 };
    let started: Vec<_> = faults
        .into_iter()
        .map(|(name, fault)| {
            let since = Instant::now();
            let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
                if request.is_lease_renew() && request.nth < faulty(name) {
                    fault.clone()
                } else {
                    Fault::Pass
                }
            });
            let running = telling(tenant.command().arg("-v").env("VAULT_ADDR", proxy.url()));
            running.signal(libc::SIGCONT);
            (name, since, proxy, running)
        })
        .collect();
    for (name, since, proxy, running) in started {
        proxy.wait_for(faulty(name) + 1, RequestInfo::is_lease_renew);
        running.wait_for_stderr("renewed the lease for 16s");
        assert_eq!(running.stdout_so_far(), "start\n", "{name}");
        assert_eq!(proxy.count(RequestInfo::is_login), 1, "{name}");
        // Those before this one took their time, and it has its own turns.
        let most = 4 + since.elapsed().as_secs() as usize / 8;
        assert!(
            proxy.count(RequestInfo::is_lease_renew) <= most,
            "{name}: a loop"
        );
        ends_undisturbed(running).assert_no_secret(&proxy.secrets());
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_connection_that_was_closed_while_idle_is_replaced_silently() {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let running = telling(tenant.command().arg("-v").env("VAULT_ADDR", proxy.url()));
    for _ in 0..2 {
        proxy.close_connections();
        running.signal(libc::SIGCONT);
        running.wait_for_stderr("renewed the lease");
    }
    proxy.close_connections();
    let run = ends_undisturbed(running);
    assert!(!run.err().contains("cannot"), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_renewal_that_the_policy_forbids_is_no_loop_and_no_lost_token() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("8s")
            .max_ttl("1h")
            .policy("path \"sys/leases/renew\" { capabilities = [\"deny\"] }\n")
    });
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let run = tenant.command().args(["-v", "--on-expiry", "warn"]);
    let running = telling(run.env("VAULT_ADDR", proxy.url()));
    running.signal(libc::SIGCONT);
    running.wait_for_stderr("the policy forbids renewing the lease");
    running.wait_for_stderr("the credentials have ended");
    // Once more, since a node that is behind answers in the same way.
    assert_eq!(proxy.count(RequestInfo::is_lease_renew), 2);
    ends_undisturbed(running);
    tenant.assert_nothing_left();
}

#[test]
fn an_outage_does_not_spend_the_uses_of_a_counted_token() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.token_num_uses(6).may_revoke_leases()
    });
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let run = tenant
        .command()
        .args(["-vv"])
        .env("VAULT_ADDR", proxy.url());
    let running = telling(run);
    proxy.refuse();
    for _ in 0..6 {
        running.signal(libc::SIGCONT);
        running.wait_for_stderr("cannot renew the ");
    }
    proxy.accept();
    let run = ends_undisturbed(running);
    run.stderr_contains("revoked the lease")
        .stderr_contains("revoked the token");
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_job_that_was_stopped_looks_at_its_lease_at_once() {
    let tenant = Tenant::with(Servers::shared(), |spec| spec.default_ttl("1h"));
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let run = tenant
        .command()
        .env("VAULT_ADDR", proxy.url())
        .child(stoppable());
    let line = run.shell_line();
    let pty = Pty::new();
    let shell = pty.bash(run);
    pty.type_line(&line);
    pty.wait_for("ready ");
    pty.type_keys(pty::CTRL_Z);
    pty.wait_for("Stopped");
    assert_eq!(proxy.count(RequestInfo::is_lease_renew), 0);
    let resumed = Instant::now();
    pty.type_line("fg");
    let renewal = proxy.wait_for(1, RequestInfo::is_lease_renew);
    assert!(
        // What was granted within the last second has been looked at: then it is a second after that.
        renewal.at - resumed < Duration::from_secs(20),
        "{:?}",
        renewal.at - resumed
    );
    pty.type_keys(pty::CTRL_C);
    pty.wait_for("$ ");
    pty.type_line("exit 0");
    shell.wait();
    tenant.assert_nothing_left();
}

#[test]
fn a_lease_that_was_lost_while_the_job_was_stopped_is_replaced_at_once() {
    let tenant = Tenant::with(Servers::shared(), |spec| spec.default_ttl("1h"));
    let run = tenant
        .command()
        .args(["--on-expiry", "restart"])
        .child(stoppable());
    let line = run.shell_line();
    let pty = Pty::new();
    let shell = pty.bash(run);
    pty.type_line(&line);
    pty.wait_for("ready ");
    pty.type_keys(pty::CTRL_Z);
    pty.wait_for("Stopped");
    tenant.revoke_lease(&tenant.leases()[0]);
    pty.type_line("fg");
    pty.wait_for("cannot renew the lease: lease not found");
    pty.wait_for("ready ");
    pty.type_keys(pty::CTRL_C);
    pty.wait_for("$ ");
    pty.type_line("exit 0");
    shell.wait();
    tenant.assert_nothing_left();
}

/// The child ends with 3 while the server is out. When it is back, what was left is revoked.
fn says_what_is_left(out: fn(&Vault), back: fn(&Vault)) {
    let servers = Servers::private_vault();
    let bounded = |strict| {
        let tenant = Tenant::with(&servers, TenantSpec::may_revoke_leases);
        let run = tenant.command().args(["--revoke-timeout", "1500ms"]);
        let run = if strict {
            run.arg("--strict-revoke")
        } else {
            run
        };
        let mut running = run.stdin_piped().child(Probe::signals()).spawn();
        running.wait_for_line("ready");
        let lease = tenant.leases().remove(0);
        out(&servers.vault);
        let ended = Instant::now();
        running.say(if strict { "exit 0" } else { "exit 3" });
        let run = running.wait();
        let took = ended.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}");
        run.assert_code(if strict { 125 } else { 3 })
            .stderr_contains(&format!("the lease {lease} is not revoked yet: "))
            .stderr_contains("If that fails, it ends by itself at 20")
            .stderr_contains("a process in the background goes on trying");
        back(&servers.vault);
        // It does.
        tenant.assert_nothing_left_within(Duration::from_secs(120));
        took < Duration::from_secs(4)
    };
    for strict in [false, true] {
        assert!(best_of_three(|| bounded(strict)), "the bound was not kept");
    }
}

#[test]
fn a_vault_that_is_sealed_at_the_end_has_its_bound_and_what_is_left_is_named() {
    says_what_is_left(Vault::seal, Vault::unseal);
}

#[test]
fn a_vault_that_is_frozen_at_the_end_has_its_bound_and_what_is_left_is_named() {
    says_what_is_left(Vault::stop, Vault::cont);
}

#[test]
fn a_vault_that_is_gone_at_the_end_has_its_bound_and_what_is_left_is_named() {
    says_what_is_left(Vault::kill, Vault::restart);
}

#[test]
fn a_vault_that_comes_back_while_cleaning_up_is_asked_again() {
    let servers = Servers::private_vault();
    let tenant = Tenant::new(&servers);
    let mut running = tenant
        .command()
        .args(["--revoke-timeout", "30s", "-vv"])
        .stdin_piped()
        .child(Probe::signals())
        .spawn();
    running.wait_for_line("ready");
    servers.vault.seal();
    running.say("exit 3");
    running.wait_for_stderr("trying again");
    servers.vault.unseal();
    let run = running.wait();
    run.assert_code(3);
    run.assert_quiet_of_what_is_left();
    tenant.assert_nothing_left();
}

#[test]
fn a_database_that_is_down_at_the_end_is_named_in_its_own_words_or_asked_again() {
    let servers = Servers::private();
    let tenant = Tenant::with(&servers, TenantSpec::may_revoke_leases);
    let mut running = tenant
        .command()
        .args(["--revoke-timeout", "30s", "-vv"])
        .stdin_piped()
        .child(Probe::signals())
        .spawn();
    running.wait_for_line("ready");
    servers.postgres.stop();
    running.say("exit 3");
    running.wait_for_stderr("trying again");
    servers.postgres.start();
    running.wait().assert_code(3);
    tenant.assert_nothing_left();
}

#[test]
fn whatever_answer_a_revocation_gets_it_is_asked_for_again_until_it_is_done() {
    let html = "<html>welcome</html>".to_owned();
    let mut faults = vec![
        ("reset before", Fault::ResetBefore),
        ("reset after", Fault::ResetAfter),
        ("truncated", Fault::Truncate),
        ("html after", Fault::StatusAfter(200, html.clone())),
        (
            "no HTTP",
            Fault::Raw(b"220 smtp.example ESMTP\r\n".to_vec()),
        ),
        ("502 after", Fault::StatusAfter(502, html)),
        (
            "a backend's 400",
            Fault::error(400, "failed to revoke entry: connection refused"),
        ),
        (
            "Retry-After",
            Fault::Status(429, vec![("Retry-After", "1".to_owned())], String::new()),
        ),
    ];
    faults.extend(
        [412, 429, 500, 502, 503, 504].map(|status| ("a status", Fault::error(status, "away"))),
    );
    for may_revoke in [false, true] {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            if may_revoke {
                spec.may_revoke_leases()
            } else {
                spec
            }
        });
        let started: Vec<_> = faults
            .iter()
            .map(|(name, fault)| {
                let fault = fault.clone();
                let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
                    let revokes = request.is_lease_revoke() || request.is_revoke_self();
                    if revokes && request.nth < 2 {
                        fault.clone()
                    } else {
                        Fault::Pass
                    }
                });
                let run = tenant.command().env("VAULT_ADDR", proxy.url());
                let run = run.args(["--revoke-timeout", "20s"]).child(Probe::exit(6));
                (*name, proxy, run.spawn())
            })
            .collect();
        for (name, proxy, running) in started {
            let run = running.wait();
            assert_eq!(run.code(), Some(6), "{name}: {run}");
            run.assert_quiet_stderr().assert_no_secret(&proxy.secrets());
            assert!(proxy.count(RequestInfo::is_revoke_self) <= 4, "{name}");
        }
        tenant.assert_nothing_left();
    }
}
