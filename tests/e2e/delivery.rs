//! What a login is made of comes to an end, and is delivered anew or is not: nobody runs on dead credentials without being told.

use crate::support::children::{count, telling_who};
use crate::support::expiring::limit_token;
use crate::support::folder::{Folder, write_secret};
use crate::support::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How a value comes into its file.
type Delivery = fn(&Path, &str);

fn overwrite(file: &Path, value: &str) {
    fs::write(file, value).unwrap();
}

/// As `kubectl` and most agents do it.
fn rename_over(file: &Path, value: &str) {
    let new = file.with_extension("new");
    write_secret(&new, value);
    fs::rename(new, file).unwrap();
}

fn take_away_and_put_back(file: &Path, value: &str) {
    fs::remove_file(file).unwrap();
    write_secret(file, format!("{value}\n"));
}

/// A form of a secret id: the variable that names its file, and how a new one is made.
type Form = (&'static str, fn(&Tenant) -> String);

/// Both of them.
fn forms() -> [Form; 2] {
    [
        ("VAULT_SECRET_ID_FILE", Tenant::secret_id),
        ("VAULT_WRAPPED_SECRET_ID_FILE", |tenant| {
            tenant.wrapped_secret_id("5m")
        }),
    ]
}

/// A tenant whose secret ids are good for one login, and a command that reads one from a file.
fn once(form: Form, proxy: &FaultProxy) -> (Tenant, Folder, PathBuf, Run) {
    let tenant = Tenant::with(Servers::shared(), |spec| spec.secret_id_num_uses(1));
    let folder = Folder::new().unwrap();
    let file = folder.path().join("secret-id");
    write_secret(&file, form.1(&tenant));
    let run = tenant
        .command_without_secret()
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env(form.0, &file);
    (tenant, folder, file, run)
}

#[test]
fn a_secret_id_or_wrapping_token_that_was_delivered_anew_is_used_however_it_came() {
    let deliveries: [Delivery; 3] = [overwrite, rename_over, take_away_and_put_back];
    for form in forms() {
        for deliver in deliveries {
            let proxy = pass(Servers::shared());
            let (tenant, _folder, file, run) = once(form, &proxy);
            let running = telling_who(run).spawn();
            running.wait_for_line("start");
            deliver(&file, &form.1(&tenant));
            limit_token(&tenant, &running, "60s");
            running.wait_for_line("start");
            running.signal(libc::SIGTERM);
            running.wait().assert_code(7).assert_only_restarts(1);
            assert_eq!(proxy.count(RequestInfo::is_login), 2);
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn one_that_is_delivered_only_after_the_first_try_has_failed_is_used_too() {
    for form in forms() {
        let proxy = pass(Servers::shared());
        let (tenant, _folder, file, run) = once(form, &proxy);
        let running = telling_who(run).spawn();
        running.wait_for_line("start");
        limit_token(&tenant, &running, "60s");
        running.wait_for_stderr("cannot get new credentials");
        assert_eq!(count(&running.stdout_so_far(), "term"), 0);
        // What was refused is not shown again while it is looked for another one.
        let logins = proxy.count(RequestInfo::is_login);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(proxy.count(RequestInfo::is_login), logins);
        assert!(logins <= 2, "{logins} logins");
        rename_over(&file, &form.1(&tenant));
        running.wait_for_line("start");
        assert_eq!(proxy.count(RequestInfo::is_login), logins + 1);
        running.signal(libc::SIGTERM);
        let run = running.wait();
        run.assert_code(7);
        assert!(!run.err().contains("stopping the command"), "{run}");
        tenant.assert_nothing_left();
    }
}

/// The tutorial's proportions, a thousand times as fast: the secret id outlives one token, and not the second one.
fn hurried(spec: TenantSpec) -> TenantSpec {
    spec.approle("secret_id_ttl", "15s")
        .token_ttl("10s")
        .token_max_ttl("10s")
}

/// Can log in to the database when it is told to end, and says so.
const QUERYING: [&str; 3] = [
    "sh",
    "-c",
    r#"trap 'psql -XAtqc "select 1" >/dev/null && echo in time; exit 7' TERM
echo start
while :; do sleep 0.05; done"#,
];

fn wrapped(tenant: &Tenant) -> Run {
    tenant
        .command_without_secret()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
}

#[track_caller]
fn moment(line: &str, after: &str) -> SystemTime {
    let rest = line.split(after).nth(1).unwrap_or_else(|| panic!("{line}"));
    let end = rest.find('Z').expect("a time in UTC");
    humantime::parse_rfc3339(&rest[..=end]).unwrap()
}

#[test]
fn a_secret_id_that_ends_is_told_at_the_start_and_by_half_time_and_the_command_ends_in_time() {
    let tenant = Tenant::with(Servers::shared(), hurried);
    let running = wrapped(&tenant).arg("-v").child(QUERYING).spawn();
    running.wait_for_stderr("there can be no other login after ");
    running.wait_for_line("start");
    // The first token is replaced, the second one cannot be.
    running.wait_for_line("start");
    let told = running.wait_for_stderr(" cannot be replaced: by then the secret id has expired");
    let end = moment(&told, "the credentials end at ");
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    assert!(left >= Duration::from_secs(3), "{left:?} left: {told}");
    running.wait_for_stderr("stopping the command, whose credentials end at ");
    running.wait_for_line("in time");
    let run = running.wait();
    run.assert_code(125);
    assert!(!run.err().contains("have ended"), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn where_the_command_is_to_be_stopped_it_ends_in_time_too() {
    let tenant = Tenant::with(Servers::shared(), hurried);
    let run = wrapped(&tenant).args(["--on-expiry", "stop"]);
    let running = run.child(QUERYING).spawn();
    running.wait_for_stderr("stopping the command, whose credentials end at ");
    running.wait_for_line("in time");
    running.wait().assert_code(125);
    tenant.assert_nothing_left();
}

#[test]
fn a_command_that_ignores_it_is_killed_and_that_is_a_failure_as_well() {
    for on_expiry in ["restart", "stop"] {
        let tenant = Tenant::with(Servers::shared(), |spec| {
            hurried(spec).approle("secret_id_ttl", "2s")
        });
        let run = wrapped(&tenant)
            .args(["--on-expiry", on_expiry, "--stop-timeout", "500ms"])
            .child([
                "sh",
                "-c",
                "trap '' TERM; echo start; while :; do sleep 0.05; done",
            ])
            .output();
        run.assert_code(125)
            .stdout_is("start\n")
            .stderr_contains("stopping the command, whose credentials end at ")
            .stderr_contains("is killed");
        assert!(!run.err().contains("have ended"), "{run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn at_a_terminal_a_command_without_other_credentials_is_warned_of_their_end_and_goes_on() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        hurried(spec).approle("secret_id_ttl", "2s")
    });
    let run = wrapped(&tenant).args(["--on-expiry", "warn"]);
    let mut running = run.stdin_piped().child(["cat"]).spawn();
    running.wait_for_stderr("the credentials end at ");
    running.wait_for_stderr("the credentials have ended");
    running.say("still here");
    running.wait_for_line("still here");
    running.close_stdin();
    running.wait().assert_code(0);
    tenant.assert_nothing_left();
}
