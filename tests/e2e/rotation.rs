//! What happens when credentials cannot be extended any further: `--on-expiry` on the real servers.

use crate::support::children::{count, telling_who};
use crate::support::expiring::{limit_lease, limit_token, short_token, shortest};
use crate::support::*;
use std::time::{Duration, SystemTime};

/// A child that queries ten times a second, each time on a new connection, with what it was started with.
fn querying(tenant: &Tenant) -> Run {
    let script = r#"
trap 'echo "term $PGUSER"; exit 0' TERM
echo "start $PGUSER"
while :; do
    if "$PSQL" -XAtqc 'select 1' >/dev/null; then echo ok; else echo failed; fi
    sleep 0.1
done"#;
    tenant
        .command()
        .env("PSQL", Servers::shared().postgres.psql())
        .child(["sh", "-c", script])
}

/// Each of these durations is what the lease, or the token, is cut down to: the first time it is replaced at once, the second time
/// soon. What is given out after that ends by itself.
const CUTS: [&str; 2] = ["60s", "20s"];

fn assert_no_query_fails(tenant: &Tenant, cut: fn(&Tenant, &Running, &str), rotations: usize) {
    let running = querying(tenant).spawn();
    running.wait_for_line("start v-approle-");
    for rotation in 0..rotations {
        if let Some(ttl) = CUTS.get(rotation) {
            cut(tenant, &running, ttl);
        }
        running.wait_for_line("start v-approle-");
    }
    // The last one has proved its worth too.
    for _ in 0..5 {
        running.wait_for_line("ok");
    }
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(0).assert_only_restarts(rotations);
    let out = run.out();
    assert_eq!(count(&out, "failed"), 0, "{out}");
    assert_eq!(count(&out, "start"), rotations + 1, "{out}");
    assert_eq!(count(&out, "term"), rotations + 1, "{out}");
    assert!(count(&out, "ok") > rotations * 3, "{out}");
    tenant.assert_nothing_left();
}

#[test]
fn no_query_fails_over_several_rotations_with_the_tutorials_policy() {
    assert_no_query_fails(&Tenant::new(Servers::shared()), limit_lease, 3);
}

#[test]
fn no_query_fails_over_several_rotations_where_leases_can_be_revoked() {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    assert_no_query_fails(&tenant, limit_lease, 3);
}

#[test]
fn no_query_fails_where_the_token_is_the_limit() {
    assert_no_query_fails(&Tenant::new(Servers::shared()), limit_token, 2);
}

#[test]
fn new_credentials_come_before_the_stop_and_the_old_ones_go_after_the_start() {
    for may_revoke in [false, true] {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            if may_revoke {
                spec.may_revoke_leases()
            } else {
                spec
            }
        });
        let (creds, revoke) = (Hold::new(), Hold::new());
        let held = (creds.clone(), revoke.clone());
        let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
            if request.is_creds() && request.nth == 1 {
                Fault::HoldAnswer(held.0.clone())
            } else if request.is_lease_revoke() || request.is_revoke_self() {
                Fault::HoldRequest(held.1.clone())
            } else {
                Fault::Pass
            }
        });
        let running = telling_who(tenant.command().env("VAULT_ADDR", proxy.url())).spawn();
        let first = running.wait_for_line("start");
        let first = first.trim_start_matches("start ").to_owned();
        assert_eq!(tenant.roles(), [first.as_str()]);
        limit_lease(&tenant, &running, "60s");
        creds.wait_arrived();
        assert_eq!(tenant.roles().len(), 2);
        assert_eq!(count(&running.stdout_so_far(), "term"), 0);
        creds.release();
        running.wait_for_line(&format!("term {first}"));
        let second = running.wait_for_line("start");
        assert_ne!(second, format!("start {first}"));
        let logins = proxy.count(RequestInfo::is_login);
        assert_eq!(logins, if may_revoke { 1 } else { 2 }, "logins");
        revoke.wait_arrived();
        assert!(
            tenant.roles().contains(&first),
            "the old role went too early"
        );
        revoke.release();
        assert_eq!(
            tenant.wait_for_roles(1),
            [second.trim_start_matches("start ")]
        );
        tenant.wait_for_tokens(1);
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7).assert_only_restarts(1);
        tenant.assert_nothing_left();
    }
}

#[test]
fn where_the_token_is_the_limit_there_is_a_new_login_first() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        short_token(spec).may_revoke_leases()
    });
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let running = telling_who(tenant.command().env("VAULT_ADDR", proxy.url())).spawn();
    running.wait_for_line("start");
    running.wait_for_line("start");
    let paths: Vec<String> = proxy
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    let logins: Vec<usize> = (0..paths.len())
        .filter(|&at| paths[at].ends_with("/login"))
        .collect();
    assert_eq!(logins.len(), 2, "{paths:?}");
    assert!(paths[logins[1] + 1].contains("/creds/"), "{paths:?}");
    tenant.wait_for_roles(1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7).assert_only_restarts(1);
    tenant.assert_nothing_left();
}

#[test]
fn with_a_lease_ttl_the_child_is_told_the_nearer_end() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .args(["--lease-ttl", "90s"])
        .child([
            "sh",
            "-c",
            "date +%s; date -d \"$VAULTEXEC_EXPIRES_AT\" +%s",
        ])
        .output();
    let out = run.assert_code(0).out();
    let times: Vec<i64> = out.lines().map(|line| line.parse().unwrap()).collect();
    assert!((60..=90).contains(&(times[1] - times[0])), "{out}");
    tenant.assert_nothing_left();
}

#[test]
fn the_child_knows_its_lease_and_when_it_ends() {
    let tenant = Tenant::with(Servers::shared(), |spec| spec.default_ttl("20m"));
    let running = tenant
        .command()
        .child([
            "sh",
            "-c",
            "echo \"$VAULTEXEC_LEASE_ID\"; echo \"$VAULTEXEC_EXPIRES_AT\"; read _",
        ])
        .stdin_piped();
    let before = SystemTime::now();
    let running = running.spawn();
    let lease = running.next_line();
    let expires = humantime::parse_rfc3339(&running.next_line()).unwrap();
    let after = SystemTime::now();
    assert_eq!(tenant.leases(), [lease.as_str()]);
    let granted = expires - Duration::from_secs(1200);
    // Both are told in whole seconds.
    let second = Duration::from_secs(1);
    assert!(
        (before - second..=after + second).contains(&granted),
        "{granted:?}, not from {before:?} to {after:?}"
    );
    running.wait().assert_code(1);
    tenant.assert_nothing_left();
}

#[test]
fn after_a_rotation_the_child_knows_the_new_lease() {
    let tenant = Tenant::new(Servers::shared());
    let script = r#"trap 'exit 0' TERM; echo "$VAULTEXEC_LEASE_ID $VAULTEXEC_EXPIRES_AT"; while :; do sleep 0.05; done"#;
    let running = tenant.command().child(["sh", "-c", script]).spawn();
    let first = running.next_line();
    limit_lease(&tenant, &running, "60s");
    let second = running.next_line();
    assert_ne!(first, second);
    let leases = tenant.wait_for_leases(1);
    assert!(
        second.starts_with(&leases[0]),
        "{second} is not of {leases:?}"
    );
    running.signal(libc::SIGTERM);
    running.wait().assert_code(0);
    tenant.assert_nothing_left();
}

#[test]
fn a_signal_of_the_users_choice_tells_the_child() {
    let tenant = Tenant::new(Servers::shared());
    let running = telling_who(tenant.command().args(["-v", "--on-expiry", "signal:HUP"])).spawn();
    let user = running.wait_for_line("start").replace("start ", "");
    limit_lease(&tenant, &running, "20s");
    assert_eq!(running.wait_for_line("hup"), format!("hup {user}"));
    running.wait_for_stderr("sent the command SIGHUP, because its credentials end at ");
    running.wait_for_stderr("the credentials have ended");
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7);
    assert_eq!(count(&run.out(), "hup"), 1, "{run}");
    assert_eq!(count(&run.out(), "start"), 1, "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn stop_ends_the_child_and_fails_so_that_it_is_started_anew() {
    let tenant = Tenant::with(Servers::shared(), shortest);
    let run = telling_who(tenant.command().args(["--on-expiry", "stop"])).output();
    run.assert_code(125)
        .stderr_contains("stopping the command, whose credentials end at ");
    assert_eq!(count(&run.out(), "term"), 1, "{run}");
    assert!(run.wall < Duration::from_secs(30), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn warn_leaves_the_child_alone_and_says_when_it_ends() {
    let tenant = Tenant::new(Servers::shared());
    let running = telling_who(tenant.command().args(["--on-expiry", "warn"])).spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "20s");
    let said = running.wait_for_stderr("the credentials end at ");
    assert!(
        said.contains("are not replaced: the lease has reached its max_ttl"),
        "{said}"
    );
    running.wait_for_stderr("the credentials have ended");
    assert_eq!(running.stdout_so_far().lines().count(), 1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn at_a_terminal_the_child_is_only_warned() {
    let tenant = Tenant::new(Servers::shared());
    let pty = Pty::new();
    let running = pty.spawn(telling_who(tenant.command()));
    pty.wait_for("start v-approle-");
    limit_lease(&tenant, &running, "20s");
    pty.wait_for("are not replaced: the lease has reached its max_ttl");
    pty.wait_for("start it again (in psql: \\q): it gets new credentials");
    pty.wait_for("the credentials have ended");
    assert!(!pty.text().contains("term"), "{}", pty.text());
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn whether_it_is_at_a_terminal_is_for_standard_input_to_say() {
    let tenant = Tenant::new(Servers::shared());
    let pty = Pty::new();
    let running = telling_who(tenant.command().stdin(pty.end())).spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "60s");
    running.wait_for_stderr("are not replaced");
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7);
    assert_eq!(count(&run.out(), "start"), 1, "{run}");
    tenant.assert_nothing_left();
    // The other way round.
    tenant.unlimit_leases();
    let pty = Pty::new();
    let run = tenant.command().stdin_piped();
    let running = telling_who(run.stdout(pty.end()).stderr(pty.end())).spawn();
    pty.wait_for("start");
    limit_lease(&tenant, &running, "60s");
    pty.wait_for("term");
    pty.wait_for("start");
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn at_a_terminal_a_restart_can_be_asked_for() {
    let tenant = Tenant::new(Servers::shared());
    let pty = Pty::new();
    let running = pty.spawn(telling_who(
        tenant.command().args(["--on-expiry", "restart"]),
    ));
    pty.wait_for("start v-approle-");
    limit_lease(&tenant, &running, "60s");
    pty.wait_for("term v-approle-");
    pty.wait_for("start v-approle-");
    pty.type_keys(pty::CTRL_C);
    running.wait().assert_killed_by(libc::SIGINT);
    tenant.assert_nothing_left();
}

#[test]
fn a_secret_id_that_is_counted_out_is_told_at_the_start_and_the_child_ends_in_time() {
    let tenant = Tenant::with(Servers::shared(), |spec| spec.secret_id_num_uses(1));
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let run = tenant
        .command_without_secret()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .env("VAULT_ADDR", proxy.url());
    let running = telling_who(run.arg("-v")).spawn();
    running.wait_for_stderr("there can be no other login, because the secret id has no use left");
    running.wait_for_line("start");
    limit_token(&tenant, &running, "20s");
    running.wait_for_stderr("another login is needed, and the secret id has no use left");
    running.wait_for_stderr("cannot be replaced: the token has reached its max_ttl");
    let stopped = running.wait_for_stderr("stopping the command, whose credentials end at ");
    let run = running.wait();
    // Whatever the command's code was: whoever supervises vaultexec starts it anew.
    run.assert_code(125);
    assert!(
        !run.err().contains("have ended"),
        "it was in time: {stopped}"
    );
    assert_eq!(count(&run.out(), "term"), 1);
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
    assert_eq!(proxy.count(RequestInfo::is_creds), 1);
    assert_eq!(count(&run.out(), "start"), 1);
    tenant.assert_nothing_left();
}

#[test]
fn where_only_the_lease_ends_a_counted_out_secret_id_is_not_needed() {
    let tenant = Tenant::with(Servers::shared(), |spec| spec.secret_id_num_uses(1));
    let run = tenant
        .command_without_secret()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"));
    let running = telling_who(run).spawn();
    running.wait_for_line("start");
    for ttl in CUTS {
        limit_lease(&tenant, &running, ttl);
        running.wait_for_line("start");
    }
    running.signal(libc::SIGTERM);
    running
        .wait()
        .assert_code(7)
        .assert_only_restarts(CUTS.len());
    tenant.assert_nothing_left();
}

#[test]
fn the_users_own_stop_signal_is_used() {
    let tenant = Tenant::new(Servers::shared());
    let script = r#"trap 'echo int; exit 0' INT; echo start; while :; do sleep 0.05; done"#;
    let running = tenant
        .command()
        .args(["--stop-signal", "INT"])
        .child(["sh", "-c", script])
        .spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "60s");
    running.wait_for_line("int");
    running.wait_for_line("start");
    running.signal(libc::SIGTERM);
    running.wait().assert_killed_by(libc::SIGTERM);
    tenant.assert_nothing_left();
}

#[test]
fn the_deadline_is_told_as_soon_as_it_is_known() {
    let told = |tenant: &Tenant, limited: bool, why: &str| {
        let running = telling_who(tenant.command().args(["-v", "--on-expiry", "warn"])).spawn();
        running.wait_for_line("start");
        if limited {
            limit_lease(tenant, &running, "60s");
        }
        let line = running.wait_for_stderr("the credentials end at ");
        assert!(line.ends_with(why), "{line}");
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
    };
    let with = |change: fn(TenantSpec) -> TenantSpec| Tenant::with(Servers::shared(), change);
    let tenant = with(|spec| spec.token_type("batch").may_revoke_leases());
    told(
        &tenant,
        false,
        "the token is a batch token, and the lease ends with it",
    );
    tenant.assert_nothing_left();
    let tenant = with(|spec| spec.token_num_uses(3));
    told(
        &tenant,
        false,
        "the token has a limited number of uses, and the last ones are kept for revoking",
    );
    tenant.assert_nothing_left();
    let tenant = with(|spec| spec);
    told(&tenant, true, "the lease has reached its max_ttl");
    tenant.assert_nothing_left();
}

#[test]
fn credentials_of_a_batch_token_are_replaced_by_a_new_login() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.token_type("batch")
            .token_ttl("12s")
            .token_max_ttl("12s")
            .may_revoke_leases()
    });
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let running = telling_who(tenant.command().env("VAULT_ADDR", proxy.url())).spawn();
    running.wait_for_line("start");
    running.wait_for_line("start");
    assert_eq!(proxy.count(RequestInfo::is_login), 2);
    tenant.wait_for_roles(1);
    for renews in [
        RequestInfo::is_token_renew as fn(&RequestInfo) -> bool,
        RequestInfo::is_lease_renew,
    ] {
        assert_eq!(proxy.count(renews), 0, "a pointless call");
    }
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7).assert_only_restarts(1);
    assert_eq!(
        proxy.count(RequestInfo::is_revoke_self),
        0,
        "a pointless call"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_lease_ttl_shortens_the_lease_and_keeps_it_alive() {
    let tenant = Tenant::new(Servers::shared());
    let running = telling_who(tenant.command().args(["--lease-ttl", "12s"])).spawn();
    let user = running.wait_for_line("start").replace("start ", "");
    let now = || {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
        since.unwrap().as_secs_f64()
    };
    // The server adds five seconds of its own to what the database is told.
    let shortened = poll_until(Duration::from_secs(20), || {
        (tenant.valid_until(&user) < now() + 18.0).then_some(())
    });
    assert!(
        shortened.is_some(),
        "it lives for {} s",
        tenant.valid_until(&user) - now()
    );
    let at_first = tenant.valid_until(&user);
    let extended = poll_until(Duration::from_secs(20), || {
        (tenant.valid_until(&user) > at_first + 2.0).then_some(())
    });
    assert!(extended.is_some(), "it is not kept alive");
    assert!(tenant.valid_until(&user) < now() + 18.0);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7).assert_quiet_stderr();
    tenant.assert_nothing_left();
}
