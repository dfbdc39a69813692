//! The main form, whole, on the real servers.

use crate::support::folder::{Folder, write_secret};
use crate::support::*;

#[test]
fn the_child_has_credentials_while_it_runs_and_nothing_is_left_after() {
    // The mount is the tutorial's too, and nothing says so.
    let servers = Servers::private_vault();
    let tenant = Tenant::with(&servers, |spec| spec.approle_mount("approle"));
    let run = tenant
        .command()
        .child(["psql", "-XAtc", "select current_user, current_database()"])
        .output();
    run.assert_code(0).assert_quiet_stderr();
    assert!(run.out().starts_with("v-approle-"), "{}", run.out());
    assert!(run.out().ends_with("|appdb\n"), "{}", run.out());
    tenant.assert_nothing_left();
}

const SAY: [&str; 2] = ["echo", "ran"];

fn paths(proxy: &FaultProxy) -> Vec<String> {
    proxy.requests().into_iter().map(|one| one.path).collect()
}

#[test]
fn settings_come_by_flag_file_and_standard_input() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let folder = Folder::new().unwrap();
    let (role_file, secret_file) = (folder.path().join("role"), folder.path().join("secret"));
    write_secret(&role_file, format!("{}\n", tenant.role_id()));
    write_secret(&secret_file, format!("{}\r\n", tenant.secret_id()));
    let bare = || {
        tenant
            .command_without_secret()
            .env_remove("VAULT_ADDR")
            .env_remove("VAULTEXEC_CREDS")
            .args(["--address", &servers.vault.url()])
            .args(["--creds", &tenant.creds_path()])
    };
    let by_flags = bare()
        .args(["--role-id", &tenant.role_id(), "--secret-id-file"])
        .arg(&secret_file);
    let by_files = bare()
        .arg("--role-id-file")
        .arg(&role_file)
        .arg("--secret-id-file")
        .arg(&secret_file);
    let by_file_variables = bare()
        .env("VAULT_ROLE_ID_FILE", &role_file)
        .env("VAULT_SECRET_ID_FILE", &secret_file);
    let secret_on_stdin = bare()
        .arg("--role-id-file")
        .arg(&role_file)
        .args(["--secret-id-file", "-"])
        .stdin_bytes(format!("{}\n", tenant.secret_id()));
    let secret_on_stdin_by_variable = bare()
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_SECRET_ID_FILE", "-")
        .stdin_bytes(tenant.secret_id());
    let role_on_stdin = bare()
        .args(["--role-id-file", "-", "--secret-id-file"])
        .arg(&secret_file)
        .stdin_bytes(tenant.role_id());
    for run in [
        by_flags,
        by_files,
        by_file_variables,
        secret_on_stdin,
        secret_on_stdin_by_variable,
        role_on_stdin,
    ] {
        run.child(SAY)
            .output()
            .assert_code(0)
            .assert_quiet_stderr()
            .stdout_is("ran\n");
    }
    assert!(secret_file.exists(), "nobody asked for its removal");
    tenant.assert_nothing_left();
}

#[test]
fn a_bao_variable_wins_and_a_flag_wins_over_both() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let (good, dead) = (servers.vault.url(), "http://127.0.0.1:1");
    let wrong = "11111111-2222-3333-4444-555555555555";
    tenant
        .command()
        .env("VAULT_ADDR", dead)
        .env("BAO_ADDR", &good)
        .env("BAO_ROLE_ID", tenant.role_id())
        .env("VAULT_ROLE_ID", wrong)
        .env("BAO_SECRET_ID", tenant.secret_id())
        .env("VAULT_SECRET_ID", wrong)
        .env("BAO_MAX_RETRIES", "0")
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    tenant
        .command()
        .env("VAULT_ADDR", dead)
        .env("BAO_ADDR", dead)
        .env("BAO_ROLE_ID", wrong)
        .env("VAULTEXEC_CREDS", "nowhere/creds/x")
        .args(["--address", &good, "--role-id", &tenant.role_id()])
        .args(["--creds", &tenant.creds_path()])
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    // Empty is not set.
    tenant
        .command()
        .env("BAO_ADDR", "")
        .env("BAO_SECRET_ID", "")
        .env("VAULT_NAMESPACE", "")
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn a_server_on_a_unix_socket_is_reached() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    tenant
        .command()
        .env("VAULT_ADDR", servers.vault.unix_url())
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr()
        .stdout_is("ran\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_proxy_of_the_official_client_or_of_the_environment_is_used() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for name in ["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "BAO_PROXY_ADDR"] {
        let proxy = pass(servers);
        tenant
            .command()
            .env(name, proxy.url())
            .child(SAY)
            .output()
            .assert_code(0)
            .assert_quiet_stderr();
        let all = paths(&proxy);
        let whole = format!("{}{}", servers.vault.url(), tenant.login_path());
        assert_eq!(all.first(), Some(&whole), "{name}");
    }
    // Its own two, one after the other; both win over the environment's.
    let proxy = pass(servers);
    tenant
        .command()
        .env("VAULT_PROXY_ADDR", proxy.url())
        .env("VAULT_HTTP_PROXY", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    let whole = format!("{}{}", servers.vault.url(), tenant.login_path());
    assert_eq!(paths(&proxy).first(), Some(&whole));
    // The environment's, for a host elsewhere whose name only the proxy knows.
    for name in ["HTTP_PROXY", "http_proxy"] {
        let proxy = pass(servers);
        tenant
            .command()
            .env("VAULT_ADDR", "http://vault.invalid:8200")
            .env(name, proxy.url())
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .child(SAY)
            .output()
            .assert_code(0)
            .assert_quiet_stderr();
        let whole = format!("http://vault.invalid:8200{}", tenant.login_path());
        assert_eq!(paths(&proxy).first(), Some(&whole), "{name}");
    }
    // What is on this host needs none, as for the official client.
    for unused in ["http://127.0.0.1:1", "socks5://127.0.0.1:1"] {
        tenant
            .command()
            .env("HTTP_PROXY", unused)
            .env("HTTPS_PROXY", unused)
            .child(SAY)
            .output()
            .assert_code(0)
            .assert_quiet_stderr();
    }
    tenant.assert_nothing_left();
}

#[test]
fn every_call_has_the_headers_of_the_official_client() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let proxy = pass(servers);
    let run = tenant
        .command_without_secret()
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .child(SAY)
        .output();
    run.assert_code(0).assert_quiet_stderr();
    let requests = proxy.requests();
    for request in &requests {
        assert_eq!(
            request.header("x-vault-request"),
            Some("true"),
            "{}",
            request.path
        );
        assert_eq!(request.header("x-vault-namespace"), None);
        let needs_token = !request.is_login() && !request.is_wrapping_lookup();
        assert_eq!(
            request.header("x-vault-token").is_some(),
            needs_token,
            "{}",
            request.path
        );
    }
    let revoke = requests.iter().find(|one| one.is_lease_revoke()).unwrap();
    assert_eq!(revoke.json()["sync"], true);
}

#[test]
fn a_namespace_goes_with_every_call() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for by_flag in [true, false] {
        let proxy = pass(servers);
        let run = tenant.through(&proxy);
        let run = if by_flag {
            run.args(["--namespace", "teams/one"])
        } else {
            run.env("VAULT_NAMESPACE", "teams/one")
        };
        let run = run.child(SAY).output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("VAULT_NAMESPACE");
        let requests = proxy.requests();
        assert!(!requests.is_empty());
        for request in requests {
            assert_eq!(request.header("x-vault-namespace"), Some("teams/one"));
        }
    }
}

#[test]
fn a_role_may_need_no_secret_id() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::without_secret_id);
    let proxy = pass(servers);
    let run = tenant.through(&proxy).child(SAY).output();
    run.assert_code(0).assert_quiet_stderr().stdout_is("ran\n");
    assert_eq!(proxy.requests()[0].json().get("secret_id"), None);
    tenant.assert_nothing_left();
}

#[test]
fn other_mounts_are_used_when_they_are_named() {
    let tenant = Tenant::with(Servers::shared(), |spec| {
        spec.approle_mount("chain/approle")
            .database_mount("chain-db")
    });
    tenant
        .command()
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    tenant
        .command()
        .env_remove("VAULTEXEC_AUTH_MOUNT")
        .args(["--auth-mount", "auth/chain/approle/"])
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    // A wrapping token has to come from that mount, and not from the one that is usual.
    let wrapped = || {
        tenant
            .command_without_secret()
            .env("VAULT_ROLE_ID", tenant.role_id())
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
    };
    wrapped()
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr()
        .stdout_is("ran\n");
    wrapped()
        .env_remove("VAULTEXEC_AUTH_MOUNT")
        .child(SAY)
        .output()
        .assert_code(125)
        .stdout_is("")
        .stderr_contains("not at auth/approle/role/<role>/secret-id; it has not been opened");
    tenant.assert_nothing_left();
}

#[test]
fn the_secret_ids_file_is_removed_after_a_login_that_succeeded_and_only_then() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let folder = Folder::new().unwrap();
    let file = folder.path().join("secret");
    let command = |proxy: &FaultProxy| {
        let run = tenant
            .command_without_secret()
            .env("VAULT_ADDR", proxy.url())
            .env("VAULT_ROLE_ID", tenant.role_id())
            .env("VAULT_SECRET_ID_FILE", &file);
        run.args(["--start-timeout", "4s"])
    };
    let write = || write_secret(&file, tenant.secret_id());
    write();
    for fault in [
        Fault::error(400, "no"),
        Fault::error(503, "away"),
        Fault::body("{}"),
    ] {
        let proxy = harm(servers, RequestInfo::is_login, fault);
        let run = command(&proxy)
            .arg("--remove-secret-id-file")
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        assert!(file.exists(), "{run}");
    }
    // A login that succeeded is enough, whatever comes after.
    let proxy = harm(servers, RequestInfo::is_creds, Fault::error(403, "no"));
    let run = command(&proxy)
        .env("VAULTEXEC_REMOVE_SECRET_ID_FILE", "true")
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    assert!(!file.exists(), "{run}");
    write();
    command(&pass(servers))
        .arg("--remove-secret-id-file")
        .args(["--", "sh", "-c"])
        .arg(format!("test ! -e {}", file.display()))
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    assert!(!file.exists());
    tenant.assert_nothing_left();
}

#[test]
fn a_run_takes_the_fewest_round_trips_on_one_connection_before_and_one_after_the_start() {
    let servers = Servers::shared();
    let ends: [(Change, &[&str]); 2] = [
        (
            TenantSpec::may_revoke_leases,
            &["/v1/sys/leases/revoke", "/v1/auth/token/revoke-self"],
        ),
        (
            // What the policy does not allow is not asked for.
            |spec| spec,
            &["/v1/auth/token/revoke-self"],
        ),
    ];
    for (change, end) in ends {
        let tenant = Tenant::with(servers, change);
        let proxy = pass(servers);
        let mut running = tenant.through(&proxy).child(["cat"]).stdin_piped().spawn();
        running.wait_for_child("cat");
        let creds = format!("/v1/{}", tenant.creds_path());
        // What the policy allows is asked while the database makes the role.
        let rights = "/v1/sys/capabilities-self".to_owned();
        proxy.wait_for(1, |request| request.path.ends_with("capabilities-self"));
        let mut start = paths(&proxy);
        start[1..].sort_by_key(|path| *path == rights);
        assert_eq!(start, [tenant.login_path(), creds.clone(), rights]);
        running.close_stdin();
        running.wait().assert_code(0).assert_silent();
        let mut rest: Vec<String> = paths(&proxy)[3..].to_vec();
        // The database may refuse at first, because somebody else changes the same row: then the same is asked again.
        rest.dedup();
        assert_eq!(rest, end);
        // The connection that the credentials came by is closed when the child has started; the other one is there for the end.
        let requests = proxy.requests();
        let read = requests.iter().find(|one| one.path == creds).unwrap();
        let asked = requests
            .iter()
            .find(|one| one.path.ends_with("self"))
            .unwrap();
        assert_eq!(read.connection, requests[0].connection, "the login's");
        assert_ne!(asked.connection, read.connection);
        for one in &requests[3..] {
            assert_eq!(one.connection, asked.connection, "{}", one.path);
        }
        tenant.assert_nothing_left();
    }
}

#[test]
fn standard_output_is_the_childs_alone_at_every_level() {
    let tenant = Tenant::new(Servers::shared());
    tenant
        .command()
        .child(["true"])
        .output()
        .assert_code(0)
        .assert_silent();
    for level in ["info", "debug", "trace"] {
        for format in ["text", "json"] {
            let run = tenant
                .command()
                .args(["--log-level", level, "--log-format", format])
                .child(SAY)
                .output();
            run.assert_code(0).stdout_is("ran\n");
            for line in run.err().lines() {
                if format == "json" {
                    let line: serde_json::Value = serde_json::from_str(line).unwrap();
                    assert!(line["message"].is_string() && line["level"].is_string());
                } else {
                    assert!(line.starts_with("vaultexec: "), "{line}");
                }
            }
            run.stderr_contains("revoked the token");
        }
    }
    tenant.assert_nothing_left();
}

#[test]
fn no_secret_is_told_at_any_level() {
    let servers = Servers::shared();
    let empty = Fault::StatusAfter(200, "{}".to_owned());
    for (fault, code) in [(Fault::Pass, 0), (empty, 125)] {
        let tenant = Tenant::new(servers);
        let proxy = harm(servers, RequestInfo::is_creds, fault);
        let run = tenant.through(&proxy).arg("-vvv").child(["true"]).output();
        run.assert_code(code);
        assert_eq!(proxy.secrets().len(), 2, "the token and the password");
        run.assert_no_secret(&proxy.secrets());
        tenant.assert_nothing_left();
    }
}

#[test]
fn no_secret_is_told_at_any_level_from_a_wrapped_start_to_the_end_of_a_rotation() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let run = tenant
        .command_without_secret()
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .arg("-vvv");
    let running = run.child(children::TELLING).spawn();
    running.wait_for_line("start");
    expiring::limit_lease(&tenant, &running, "60s");
    running.wait_for_line("start");
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7);
    let secrets = proxy.secrets();
    assert!(
        secrets.len() >= 5,
        "the secret id, two tokens and two passwords"
    );
    run.assert_no_secret(&secrets);
    tenant.assert_nothing_left();
}
