//! Whatever happened, what was obtained is given back, and what could not be is told.

use crate::support::folder::Folder;
use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];
/// Allows the revocation of this role's leases alone, by the form with the lease in the path.
const BY_PATH: &str =
    "path \"sys/leases/revoke/{mount}/creds/{role}/*\" { capabilities = [\"update\"] }\n";

/// The tutorial's policy, one that allows the revocation, one that allows only the form by path.
pub fn policies() -> [(&'static str, Change); 3] {
    [
        ("tutorial", |spec| spec),
        ("body", TenantSpec::may_revoke_leases),
        ("path", |spec| spec.policy(BY_PATH)),
    ]
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
            let understood = matches!(fault, Fault::StatusAfter(..));
            let proxy = harm(servers, RequestInfo::is_creds, fault);
            let run = tenant
                .through(&proxy)
                .args(["--start-timeout", "2s"])
                .child(SAY)
                .output();
            assert_refused(&run, &proxy, &tenant);
            run.stderr_contains("a database role may have been made that nobody knows: it is revoked with the token");
            let (reads, logins) = (
                proxy.count(RequestInfo::is_creds),
                proxy.count(RequestInfo::is_login),
            );
            assert_eq!(reads, logins, "once with each token: {run}");
            // What arrives and makes no sense would make none the next time.
            assert!(!understood || reads == 1, "{run}");
        }
    }
}

#[test]
fn a_lost_answer_under_a_batch_token_is_told_with_its_end() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.token_type("batch").token_ttl("15s"));
    let proxy = harm(servers, RequestInfo::is_creds, Fault::ResetAfter);
    let run = tenant
        .through(&proxy)
        .args(["--start-timeout", "1s"])
        .child(SAY)
        .output();
    run.assert_code(125)
        .stdout_is("")
        .assert_no_secret(&proxy.secrets())
        .stderr_contains("a lease whose id is not known could not be revoked")
        .stderr_contains("it ends by itself at 20");
    tenant.assert_nothing_left_within(Duration::from_secs(120));
}

#[test]
fn a_policy_that_forbids_the_revocation_is_silently_got_round_through_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    tenant
        .through(&proxy)
        .child(["true"])
        .output()
        .assert_code(0)
        .assert_silent();
    assert_eq!(proxy.count(RequestInfo::is_lease_revoke), 0, "pointless");
    assert_eq!(proxy.count(RequestInfo::is_revoke_self), 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_policy_that_allows_no_confirmed_revocation_is_refused_where_one_is_insisted_on() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().arg("--strict-revoke").child(SAY).output();
    run.assert_code(125)
        .stdout_is("")
        .stderr_contains("which --strict-revoke asks for")
        .stderr_contains("path \"sys/leases/revoke\" { capabilities = [\"update\"] }")
        .stderr_contains(&format!(
            "path \"sys/leases/revoke/{}/*\"",
            tenant.creds_path()
        ));
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
    tenant.sweep();
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
            .stderr_contains("the role stays in the database, and only its password ends, at 20")
            .stderr_contains("REASSIGN OWNED");
        assert!(!run.err().contains("ends by itself"), "{run}");
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
        .stderr_contains("only its password ends, at 20");
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
        tenant.sweep();
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
            .stdout_is(if strict { "" } else { "ran\n" })
            .stderr_contains(&format!("the lease {}/", tenant.creds_path()))
            .stderr_contains("could not be revoked: the policy forbids it")
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
            .stdout_is(if strict { "" } else { "ran\n" })
            .stderr_contains(&format!("the lease {}", tenant.leases()[0]))
            .stderr_contains("could not be revoked")
            .stderr_contains("(403)")
            .stderr_contains("it ends by itself at 20")
            .stderr_contains("path \"sys/leases/revoke\" { capabilities = [\"update\"] }");
        tenant.sweep();
        tenant.assert_nothing_left();
    }
    // There is no lease, but a token that stays.
    let proxy = harm(servers, RequestInfo::is_creds, Fault::error(403, "no"));
    let run = tenant.through(&proxy).child(SAY).output();
    run.assert_code(125)
        .stderr_contains("the token could not be revoked")
        .stderr_contains("path \"auth/token/revoke-self\" { capabilities = [\"update\"] }");
    tenant.sweep();
    tenant.assert_nothing_left();
}
