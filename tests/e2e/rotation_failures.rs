//! Rotations that do not go well: credentials that are refused or lost, a sick server, leases and tokens that somebody revokes.

use crate::support::children::{count, telling_who};
use crate::support::expiring::{limit_lease, limit_token};
use crate::support::folder::Folder;
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// Somebody revokes the lease, and the run finds that out: its lease is replaced.
fn revoke_lease(tenant: &Tenant, running: &Running) {
    tenant.revoke_lease(&tenant.leases()[0]);
    running.signal(libc::SIGCONT);
}

/// Lets the rotation's request of that kind fail, for as long as it takes to see three tries.
fn failing(tenant: &Tenant, which: fn(&RequestInfo) -> bool, fault: Fault, roles: usize) {
    // What is lost is asked for again within the time for a start, which is at least this.
    let refused = matches!(fault, Fault::Status(..));
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
        if which(request) && request.nth >= 1 {
            fault.clone()
        } else {
            Fault::Pass
        }
    });
    let run = tenant.through(&proxy).args(["--start-timeout", "1s"]);
    let running = telling_who(run).spawn();
    running.wait_for_line("start");
    revoke_lease(tenant, &running);
    running.wait_for_stderr("cannot get new credentials");
    let fourth = proxy.wait_for(4, which);
    let times: Vec<Instant> = proxy
        .requests()
        .into_iter()
        .filter(which)
        .map(|request| request.at)
        .collect();
    let waits: Vec<Duration> = times
        .windows(2)
        .skip(1)
        .map(|pair| pair[1] - pair[0])
        .collect();
    let least = |refused_for: u64| Duration::from_millis(if refused { refused_for } else { 45 });
    assert!(waits[0] >= least(450), "{waits:?}");
    assert!(waits[1] >= least(900), "{waits:?}");
    assert!(fourth.at.elapsed() < Duration::from_secs(30));
    assert_eq!(
        count(&running.stdout_so_far(), "term"),
        0,
        "the child was stopped"
    );
    let few = poll_until(Duration::from_secs(90), || {
        (tenant.roles().len() <= roles).then_some(())
    });
    assert!(few.is_some(), "unused roles stay: {:?}", tenant.roles());
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7);
    let warnings = run.err().matches("cannot get new credentials").count();
    assert_eq!(warnings, 1, "{run}");
    proxy.settle(Duration::from_secs(20));
    // A login whose answer was lost leaves a token that nobody can know.
    for issued in proxy.issued().into_iter().filter(|issued| issued.lost) {
        if let IssuedKind::Token { accessor, .. } = issued.what {
            tenant
                .admin()
                .write(
                    "auth/token/revoke-accessor",
                    serde_json::json!({"accessor": accessor}),
                )
                .unwrap();
        }
    }
    tenant.assert_nothing_left();
}

#[test]
fn credentials_that_are_refused_are_asked_for_at_growing_intervals() {
    let fault = Fault::error(403, "permission denied");
    failing(
        &Tenant::new(Servers::shared()),
        RequestInfo::is_creds,
        fault,
        0,
    );
}

#[test]
fn credentials_whose_answers_are_lost_are_asked_for_at_growing_intervals_and_revoked() {
    let tenant = Tenant::new(Servers::shared());
    failing(&tenant, RequestInfo::is_creds, Fault::ResetAfter, 0);
}

#[test]
fn unused_leases_go_with_a_token_that_could_have_been_kept() {
    let tenant = Tenant::with(Servers::shared(), TenantSpec::may_revoke_leases);
    // The first one is asked for with the token that the child has, those after it with new ones.
    failing(&tenant, RequestInfo::is_creds, Fault::Truncate, 1);
}

#[test]
fn logins_whose_answers_are_lost_are_asked_for_at_growing_intervals() {
    failing(
        &Tenant::new(Servers::shared()),
        RequestInfo::is_login,
        Fault::ResetAfter,
        0,
    );
}

#[test]
fn a_sick_server_is_asked_for_credentials_no_more_than_every_now_and_then() {
    for which in [
        RequestInfo::is_login as fn(&RequestInfo) -> bool,
        RequestInfo::is_creds,
    ] {
        let tenant = Tenant::new(Servers::shared());
        let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
            if which(request) && (1..6).contains(&request.nth) {
                Fault::error(500, "internal error")
            } else {
                Fault::Pass
            }
        });
        let running = telling_who(tenant.command().env("VAULT_ADDR", proxy.url())).spawn();
        running.wait_for_line("start");
        limit_lease(&tenant, &running, "60s");
        running.wait_for_stderr("internal error");
        // It heals, and the rotation is made good.
        running.wait_for_line("start");
        let times: Vec<Instant> = proxy
            .requests()
            .into_iter()
            .filter(which)
            .map(|request| request.at)
            .collect();
        assert!(
            times
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= Duration::from_millis(45))
        );
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_replaced_lease_that_the_engine_refuses_to_end_is_named_although_its_time_is_over() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.may_revoke_leases());
    let refused = Fault::error(
        400,
        "failed to revoke entry: role cannot be dropped (SQLSTATE 2BP01)",
    );
    let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
        // The token is kept, so that nothing else ends the first lease.
        if request.is_lease_revoke() && request.nth < 50 {
            refused.clone()
        } else {
            Fault::Pass
        }
    });
    let run = tenant.through(&proxy).args(["--revoke-timeout", "2s"]);
    let running = telling_who(run).spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "15s");
    running.wait_for_line("start");
    tenant.unlimit_leases();
    let told = running.wait_for_stderr("of the command's last run could not be revoked");
    assert!(told.contains("SQLSTATE 2BP01"), "{told}");
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn batch_tokens_that_have_ended_are_not_what_is_left_at_the_end() {
    // The policy forbids to revoke their leases, and they themselves cannot be revoked.
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.token_type("batch").token_ttl("8s").token_max_ttl("8s")
    });
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let running = telling_who(tenant.through(&proxy)).spawn();
    for _ in 0..3 {
        running.wait_for_line("start");
    }
    // The first one has ended by itself.
    tenant.wait_for_roles(1);
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7);
    let named = run.err().matches("could not be revoked").count();
    assert!((1..=2).contains(&named), "{run}");
    assert!(!run.err().contains("its time was over"), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_secret_id_that_is_destroyed_meanwhile_is_not_tried_in_a_loop() {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let secret_id = tenant.secret_id();
    let run = tenant.command().env("VAULT_SECRET_ID", &secret_id);
    let running = telling_who(run.env("VAULT_ADDR", proxy.url())).spawn();
    running.wait_for_line("start");
    let path = format!("{}/secret-id/destroy", tenant.approle_path());
    tenant
        .admin()
        .write(&path, serde_json::json!({"secret_id": secret_id}))
        .unwrap();
    limit_token(&tenant, &running, "20s");
    running.wait_for_stderr("invalid role or secret ID");
    running.wait_for_stderr("cannot be replaced");
    running.wait_for_stderr("stopping the command, whose credentials end at ");
    running.wait().assert_code(125);
    assert_eq!(proxy.count(RequestInfo::is_login), 2);
    tenant.assert_nothing_left();
}

#[test]
fn a_lease_that_somebody_revokes_is_replaced_at_the_next_renewal() {
    for may_revoke in [false, true] {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            if may_revoke {
                spec.may_revoke_leases()
            } else {
                spec
            }
        });
        let running = telling_who(tenant.command()).spawn();
        running.wait_for_line("start");
        revoke_lease(&tenant, &running);
        running.wait_for_stderr("cannot renew the lease: lease not found");
        running.wait_for_line("term");
        running.wait_for_line("start");
        tenant.wait_for_roles(1);
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_token_that_somebody_revokes_is_replaced_at_the_next_renewal() {
    let tenant = Tenant::new(Servers::shared());
    let running = telling_who(tenant.command()).spawn();
    running.wait_for_line("start");
    tenant.revoke_tokens();
    running.signal(libc::SIGCONT);
    // The token is asked for first.
    running.wait_for_stderr("cannot renew the token: ");
    running.wait_for_line("term");
    running.wait_for_line("start");
    tenant.wait_for_roles(1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn a_renewal_that_hangs_does_not_cost_the_lease() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("24s").max_ttl("1h")
    });
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |request| {
        if request.is_lease_renew() && request.nth == 0 {
            Fault::Hang
        } else {
            Fault::Pass
        }
    });
    let running = telling_who(tenant.command().env("VAULT_ADDR", proxy.url())).spawn();
    running.wait_for_line("start");
    running.signal(libc::SIGCONT);
    // The second is the one that asks again in time, the third shows that all is as before.
    proxy.wait_for(2, RequestInfo::is_lease_renew);
    running.signal(libc::SIGCONT);
    proxy.wait_for(3, RequestInfo::is_lease_renew);
    assert_eq!(count(&running.stdout_so_far(), "term"), 0);
    assert_eq!(tenant.roles().len(), 1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn what_was_replaced_and_cannot_be_revoked_at_first_is_revoked_later() {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |request| {
        if request.is_revoke_self() && request.nth < 2 {
            Fault::Hang
        } else {
            Fault::Pass
        }
    });
    let run = tenant.command().args(["--revoke-timeout", "2s"]);
    let running = telling_who(run.env("VAULT_ADDR", proxy.url())).spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "60s");
    running.wait_for_line("start");
    proxy.wait_for(3, RequestInfo::is_revoke_self);
    // What was replaced is not left, though it lives for an hour.
    tenant.wait_for_tokens(1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn the_end_of_what_was_replaced_is_no_news() {
    let tenant = Tenant::new(Servers::shared());
    let (creds, revoke) = (Hold::new(), Hold::new());
    let held = (creds.clone(), revoke.clone());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), move |request| {
        if request.is_creds() && request.nth == 1 {
            Fault::HoldRequest(held.0.clone())
        } else if request.is_revoke_self() && request.nth == 0 {
            Fault::HoldRequest(held.1.clone())
        } else {
            Fault::Pass
        }
    });
    let run = tenant.command().args(["--revoke-timeout", "60s"]);
    let running = telling_who(run.env("VAULT_ADDR", proxy.url())).spawn();
    running.wait_for_line("start");
    limit_lease(&tenant, &running, "15s");
    creds.wait_arrived();
    tenant.unlimit_leases();
    creds.release();
    running.wait_for_line("start");
    revoke.wait_arrived();
    // The first one ends by itself.
    tenant.wait_for_roles(1);
    revoke.release();
    tenant.wait_for_tokens(1);
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7).assert_only_restarts(1);
    tenant.assert_nothing_left();
}

#[test]
fn credentials_that_end_at_once_are_replaced_at_growing_intervals() {
    let servers = Servers::shared();
    // The first renewal comes at once, and always finds that there is no such role.
    let tenant = Tenant::with(servers, |spec| {
        spec.database_role(
            "renew_statements",
            "ALTER ROLE \"nobody-has-this-name\" VALID UNTIL '{{expiration}}';",
        )
    });
    let run = tenant.command().args(["--lease-ttl", "60s"]);
    let running = telling_who(run).spawn();
    running.wait_for_line("start");
    let begun = Instant::now();
    (0..3).for_each(|_| drop(running.wait_for_line("start")));
    // Half a second, one, two at the least.
    assert!(begun.elapsed() >= Duration::from_secs(3));
    running.signal(libc::SIGTERM);
    running.wait().assert_code(7);
    tenant.assert_nothing_left();
}

#[test]
fn a_replaced_lease_that_the_database_will_not_let_go_is_told_at_the_end_as_well() {
    let servers = Servers::shared();
    // What is granted on a schema keeps a role from being dropped.
    let tenant = Tenant::with(servers, |spec| {
        spec.may_revoke_leases().creation_statements(
            "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'; \
             GRANT USAGE, CREATE ON SCHEMA public TO \"{{name}}\";",
        )
    });
    let run = tenant
        .command()
        .args(["--strict-revoke", "--revoke-timeout", "4s"]);
    let script = "trap 'exit 0' TERM; echo start; while :; do sleep 0.05; done";
    let running = run.child(["sh", "-c", script]).spawn();
    running.wait_for_line("start");
    let lease = tenant.leases().remove(0);
    limit_token(&tenant, &running, "60s");
    running.wait_for_line("start");
    running.wait_for_stderr("of the command's last run could not be revoked");
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(125)
        .stderr_contains(&format!("the lease {lease} of the command's last run"))
        .stderr_contains(&format!("the lease {lease} could not be revoked"))
        .stderr_contains("depend on it");
    for role in tenant.roles() {
        let drop_owned = format!("drop owned by \"{role}\"");
        tenant::undisturbed(|| servers.postgres.try_sql(&drop_owned)).unwrap();
    }
    for lease in tenant.leases() {
        let body = serde_json::json!({"lease_id": lease, "sync": true});
        let revoked = || tenant.admin().write("sys/leases/revoke", body.clone());
        let _gone = tenant::undisturbed(revoked);
    }
    tenant.assert_nothing_left();
}

/// What a run has written and asked for whose lease or token is revoked by somebody, and which looks at them then. `until` waits for
/// what it does about that. It is looked at once more, and then told to end, if it goes on.
fn after_a_loss(
    lose: fn(&Tenant),
    on_expiry: &str,
    until: fn(&Running),
    goes_on: bool,
) -> Finished {
    let tenant = Tenant::new(Servers::shared());
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let run = tenant
        .through(&proxy)
        .args(["-v", "--on-expiry", on_expiry]);
    let running = telling_who(run).spawn();
    running.wait_for_line("start");
    lose(&tenant);
    running.signal(libc::SIGCONT);
    until(&running);
    if goes_on {
        running.signal(libc::SIGCONT);
        running.signal(libc::SIGTERM);
    }
    let run = running.wait();
    run.assert_code(if goes_on { 7 } else { 125 });
    assert_eq!(count(&run.out(), "start"), 1, "{run}");
    assert_eq!(count(&run.out(), "term"), 1, "{run}");
    assert!(
        proxy.count(RequestInfo::is_lease_renew) <= 2,
        "a loop: {run}"
    );
    let asked = (
        proxy.count(RequestInfo::is_login),
        proxy.count(RequestInfo::is_creds),
    );
    assert_eq!(asked, (1, 1), "logins and reads: {run}");
    tenant.assert_nothing_left();
    run
}

#[test]
fn what_is_lost_is_not_replaced_where_something_else_was_asked_for() {
    let losses: [fn(&Tenant); 2] = [
        |tenant| tenant.revoke_lease(&tenant.leases()[0]),
        Tenant::revoke_tokens,
    ];
    for lose in losses {
        let hup = |running: &Running| drop(running.wait_for_line("hup"));
        let run = after_a_loss(lose, "signal:HUP", hup, true);
        assert_eq!(count(&run.out(), "hup"), 1, "{run}");

        let run = after_a_loss(lose, "stop", |_| (), false);
        run.stderr_contains("stopping the command");
        assert_eq!(count(&run.out(), "hup"), 0, "{run}");

        let told = |running: &Running| drop(running.wait_for_stderr("are not replaced"));
        let run = after_a_loss(lose, "warn", told, true);
        let lines = run.err().matches("are not replaced").count();
        assert_eq!(lines, 1, "{run}");
        assert_eq!(count(&run.out(), "hup"), 0, "{run}");
    }
}

#[test]
fn a_command_that_is_gone_when_it_is_to_be_restarted_ends_the_run_like_any_that_is_not_there() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::for_programs().unwrap();
    let script = folder.path().join("script");
    for (change, code) in [("rm", 127), ("chmod -x", 126)] {
        let text = format!(
            "#!/bin/sh\n{change} \"$0\"\ntrap 'exit 0' TERM\necho start\nwhile :; do sleep 0.05; done\n"
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let running = tenant.command().child([&script]).spawn();
        running.wait_for_line("start");
        limit_lease(&tenant, &running, "60s");
        let run = running.wait();
        run.assert_code(code)
            .stdout_is("start\n")
            .stderr_contains("cannot run");
        assert!(!run.err().contains("the file is there"), "{run}");
        tenant.assert_nothing_left();
        tenant.unlimit_leases();
    }
}

#[test]
fn new_credentials_whose_answer_hangs_are_asked_for_again_and_the_child_is_left_alone_meanwhile() {
    for may_revoke in [false, true] {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            if may_revoke {
                spec.may_revoke_leases()
            } else {
                spec
            }
        });
        let proxy = FaultProxy::start(&Servers::shared().vault.url(), |request| {
            if request.is_creds() && request.nth == 1 {
                Fault::HangAfter
            } else {
                Fault::Pass
            }
        });
        let run = tenant.through(&proxy).args(["--start-timeout", "2s"]);
        let running = telling_who(run).spawn();
        let first = running.wait_for_line("start").replace("start ", "");
        limit_lease(&tenant, &running, "10m");
        running.wait_for_stderr("cannot get new credentials");
        assert_eq!(count(&running.stdout_so_far(), "term"), 0);
        assert!(tenant.roles().contains(&first), "the child's role went");
        // A later read is answered, and only then the child is told to end.
        running.wait_for_line(&format!("term {first}"));
        assert!(proxy.count(RequestInfo::is_creds) >= 3);
        let second = running.wait_for_line("start").replace("start ", "");
        // The first one goes, and so does the one that nobody has heard of.
        assert_eq!(tenant.wait_for_roles(1), [second]);
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_secret_id_that_has_expired_meanwhile_is_not_tried_at_all() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.approle("secret_id_ttl", "10s")
    });
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    // What is in a wrapping token says how long it lives.
    let run = tenant
        .command_without_secret()
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"));
    let running = telling_who(run.arg("-v")).spawn();
    let told = running.wait_for_stderr("there can be no other login after ");
    let end = told.split("after ").nth(1).unwrap().split(',').next();
    let end = humantime::parse_rfc3339(end.unwrap()).unwrap();
    running.wait_for_line("start");
    // Told in whole seconds.
    let over = end + Duration::from_secs(1);
    let gone = poll_until(Duration::from_secs(90), || {
        over.elapsed().is_ok().then_some(())
    });
    assert!(gone.is_some(), "{told}");
    limit_token(&tenant, &running, "15s");
    running.wait_for_stderr("another login is needed, and the secret id has expired");
    running.wait_for_stderr("stopping the command, whose credentials end at ");
    running.wait().assert_code(125);
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
    tenant.assert_nothing_left();
}
