//! `--wait-login`: the command is not started before the database lets its credentials in.

use crate::support::folder::Folder;
use crate::support::{signals, *};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;
use std::time::Duration;

/// A replica that learns of each role this much later than the server where Vault makes it.
const BEHIND: Duration = Duration::from_millis(700);

/// That replica, of the shared server.
fn replica() -> &'static Postgres {
    static REPLICA: OnceLock<Postgres> = OnceLock::new();
    REPLICA.get_or_init(|| Servers::shared().postgres.replica(BEHIND).unwrap())
}

/// A run that asks the replica, as all of `--handover` do.
fn at_the_replica(tenant: &Tenant) -> Run {
    let port = replica().port().to_string();
    tenant.command().env("PGPORT", port)
}

const WHO: [&str; 3] = ["psql", "-XAtqc", "SELECT current_user, pg_is_in_recovery()"];

#[test]
fn a_replica_that_does_not_know_the_role_yet_is_waited_for() {
    for handover in ["env", "passfile", "service"] {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            spec.password_policy(&nasty_password_policy(handover))
        });
        let too_early = at_the_replica(&tenant).child(WHO).output();
        too_early.assert_code(2).stderr_contains("FATAL");
        let run = at_the_replica(&tenant).args(["-v", "--wait-login", "--handover", handover]);
        let run = run.child(WHO).output();
        run.assert_code(0);
        assert!(run.out().ends_with("|t\n"), "{handover}: {run}");
        run.stderr_contains("the database lets the credentials from");
        tenant.assert_nothing_left();
    }
}

#[test]
fn where_the_database_lets_them_in_at_once_nothing_is_said() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant.command().arg("--wait-login").child(["true"]);
    run.output().assert_code(0).assert_silent();
    tenant.assert_nothing_left();
}

#[test]
fn each_of_several_credentials_is_tried_where_it_is_good() {
    let tenant = Tenant::new(Servers::shared());
    let creds = tenant.creds_path();
    let replica = format!("ro=postgresql://127.0.0.1:{}/appdb", replica().port());
    let run = tenant
        .command()
        .env_remove("VAULTEXEC_CREDS")
        .args(["--creds", &creds, "--creds", &format!("ro={creds}")])
        .args(["--wait-login", "--database-url", &replica])
        .child(["sh", "-c", "psql -XAtqc 'SELECT 1' \"$RO_DATABASE_URL\""])
        .output();
    run.assert_code(0);
    assert_eq!(run.out(), "1\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_database_that_never_lets_them_in_is_told_and_nothing_is_left() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .env("PGDATABASE", "no_such_database")
        .args(["--wait-login", "--start-timeout", "1s"])
        .child(["echo", "started"])
        .output();
    run.assert_code(125)
        .stderr_contains(&tenant.creds_path())
        .stderr_contains("did not let them in within 1s (--wait-login)")
        .stderr_contains("database \"no_such_database\" does not exist");
    assert_eq!(run.out(), "");
    tenant.assert_nothing_left();
}

#[test]
fn one_that_does_not_answer_is_given_up_and_a_signal_ends_the_wait() {
    let tenant = Tenant::new(Servers::shared());
    // It is listened to, and nobody says anything.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port().to_string();
    let run = || tenant.command().env("PGPORT", &port).arg("--wait-login");
    let given_up = run().args(["--start-timeout", "1s"]).child(["true"]);
    let given_up = given_up.output();
    given_up
        .assert_code(125)
        .stderr_contains("it has not answered");
    let interrupted = run().child(["true"]).spawn();
    interrupted.wait_for_stderr("waiting for the database");
    interrupted.signal(libc::SIGTERM);
    interrupted.wait().assert_killed_by(libc::SIGTERM);
    tenant.assert_nothing_left();
}

#[test]
fn what_is_waited_for_longer_than_its_lease_lasts_is_kept_alive() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("3s").max_ttl("60s")
    });
    let folder = Folder::new().unwrap();
    let psql = folder.path().join("psql");
    std::fs::write(&psql, "#!/bin/sh\nsleep 6; echo 1\n").unwrap();
    std::fs::set_permissions(&psql, std::fs::Permissions::from_mode(0o755)).unwrap();
    let real = Servers::shared().postgres.psql();
    let run = tenant
        .command()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .arg("--wait-login")
        .child([real.to_str().unwrap(), "-XAtc", "SELECT 1"])
        .output();
    run.assert_code(0);
    assert_eq!(run.out(), "1\n");
    tenant.assert_nothing_left();
}

#[test]
fn what_tries_it_dies_with_vaultexec() {
    let tenant = Tenant::new(Servers::shared());
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port().to_string();
    let run = tenant.command().env("PGPORT", port).arg("--wait-login");
    let run = run.child(["true"]).spawn();
    let psql = run.wait_for_child("psql");
    run.signal(libc::SIGKILL);
    let gone = poll_until(Duration::from_secs(60), || {
        matches!(procfs::state(psql), None | Some('Z')).then_some(())
    });
    assert!(gone.is_some(), "psql goes on with the password");
    tenant.assert_nothing_left();
}

#[test]
fn what_tries_it_has_no_variable_that_the_command_does_not_get_and_no_password() {
    let tenant = Tenant::new(Servers::shared());
    let folder = Folder::new().unwrap();
    let psql = folder.path().join("psql");
    let script =
        "#!/bin/sh\nenv >\"${0%/*}/seen\"; cat /proc/self/fd/0 >\"${0%/*}/file\"; echo 1\n";
    std::fs::write(&psql, script).unwrap();
    std::fs::set_permissions(&psql, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = tenant
        .command()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .env("SOMEBODYS", "secret")
        .env("PGPASSWORD", "of-another")
        .args([
            "--clear-env",
            "--keep-env",
            "PGPASSWORD,KEPT*",
            "--wait-login",
        ])
        .child(["/bin/sh", "-c", "printf %s \"$PGPASSWORD\""])
        .may_print_secrets()
        .output();
    run.assert_code(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (seen, file) = (read("seen"), read("file"));
    assert!(seen.contains("PGUSER=v-approle-") && file.starts_with("*:*:*:v-approle-"));
    for absent in ["SOMEBODYS", "PGPASSWORD", "VAULT_SECRET_ID", &run.out()] {
        assert!(!seen.contains(absent), "{absent}: {seen}");
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_restart_waits_too_while_the_command_goes_on_with_what_it_has() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.default_ttl("12s").max_ttl("12s")
    });
    let script = "psql -XAtqc 'SELECT current_user' || echo failed; exec sleep 1000";
    let run = || {
        at_the_replica(&tenant)
            .args(["--wait-login", "--on-expiry", "restart"])
            .child(["sh", "-c", script])
    };
    // As PID 1, whoever looks after the child takes the end of every process.
    for is_pid_1 in [false, true] {
        let run = if is_pid_1 {
            pidns::as_pid_1(run())
        } else {
            run()
        };
        let run = run.spawn();
        let users = [run.next_line(), run.next_line(), run.next_line()];
        let is_role = |user: &&String| user.starts_with("v-approle-");
        assert_eq!(users.iter().filter(is_role).count(), 3, "{users:?}");
        let vaultexec = if is_pid_1 {
            pidns::pid_1(&run)
        } else {
            run.pid()
        };
        assert!(signals::kill(vaultexec, libc::SIGTERM));
        run.wait();
    }
    tenant.assert_nothing_left();
}

#[test]
fn what_cannot_be_tried_is_told_before_anything_is_asked_for() {
    let tenant = Tenant::new(Servers::shared());
    let empty = Folder::new().unwrap();
    let run = tenant.command().env("PATH", empty.path());
    run.arg("--wait-login")
        .child(["/bin/true"])
        .output()
        .assert_code(125)
        .stderr_contains("--wait-login (VAULTEXEC_WAIT_LOGIN): it tries the login with psql");
    let other = tenant
        .command()
        .args(["--wait-login", "--database-url", "mysql://h/d"]);
    other
        .child(["true"])
        .output()
        .assert_code(125)
        .stderr_contains("no credentials are PostgreSQL's");
    assert_eq!(tenant.leases(), [""; 0]);
    tenant.assert_nothing_left();
}
