//! What is done about a server that is away, sick or of another opinion, before there is a child.

use crate::support::*;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];

#[test]
fn a_server_that_is_not_up_yet_is_waited_for_and_that_is_said_at_once() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    proxy.refuse();
    let running = tenant.through(&proxy).child(SAY).spawn();
    let line = running.wait_for_stderr("cannot log in yet");
    assert!(
        running.started().elapsed() < Duration::from_secs(15),
        "not at once"
    );
    assert!(
        line.contains("refused") && line.contains("trying again for"),
        "{line}"
    );
    proxy.accept();
    let run = running.wait();
    run.assert_code(0).stdout_is("ran\n");
    assert_eq!(run.err().lines().count(), 1, "told once: {run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_fault_is_told_before_the_next_try_has_been_answered() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let held = hold.clone();
    let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
        match (request.is_login(), request.nth) {
            (true, 0) => Fault::error(503, "not just now"),
            (true, _) => Fault::HoldRequest(held.clone()),
            (false, _) => Fault::Pass,
        }
    });
    let run = tenant.through(&proxy).args(["--start-timeout", "120s"]);
    let running = run.child(SAY).spawn();
    hold.wait_arrived();
    running.wait_for_stderr("cannot log in yet: not just now (503)");
    hold.release();
    let run = running.wait();
    run.assert_code(0).stdout_is("ran\n");
    assert_eq!(run.err().lines().count(), 1, "told once: {run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_sealed_server_is_waited_for() {
    let servers = Servers::private_vault();
    let tenant = Tenant::new(&servers);
    let run = tenant
        .command()
        .args(["--start-timeout", "120s"])
        .child(SAY);
    servers.vault.seal();
    let running = run.spawn();
    let line = running.wait_for_stderr("cannot log in yet");
    assert!(line.contains("sealed") && line.contains("(503)"), "{line}");
    servers.vault.unseal();
    running.wait().assert_code(0).stdout_is("ran\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_stays_sealed_ends_the_run_with_a_remedy() {
    let servers = Servers::private_vault();
    let tenant = Tenant::new(&servers);
    let run = tenant.command().args(["--start-timeout", "4s"]).child(SAY);
    servers.vault.seal();
    let run = run.output();
    run.assert_code(125)
        .stdout_is("")
        .stderr_contains("hint: unseal the server, or allow more time with --start-timeout");
    assert!(run.wall < Duration::from_secs(15), "{run}");
}

#[test]
fn transient_statuses_are_retried_and_told_once() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for status in [412, 429, 472, 473, 500, 502, 503, 504] {
        for (doing, which) in [
            ("log in", RequestInfo::is_login as fn(&RequestInfo) -> bool),
            ("read credentials", RequestInfo::is_creds),
        ] {
            let fault = Fault::error(status, "not just now");
            let proxy = harm_first(servers, 2, which, fault);
            let run = tenant.through(&proxy).child(SAY).output();
            run.assert_code(0)
                .stdout_is("ran\n")
                .stderr_contains(&format!(
                    "vaultexec: cannot {doing} yet: not just now ({status}); trying again for"
                ));
            assert_eq!(run.err().lines().count(), 1, "told once: {run}");
            assert_eq!(proxy.count(which), 3, "{status} {doing}");
        }
    }
    tenant.assert_nothing_left();
}

#[test]
fn retry_after_is_honoured_within_the_budget_and_ends_the_run_beyond_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let slow = |seconds: &str| {
        let headers = vec![("Retry-After", seconds.to_owned())];
        Fault::Status(429, headers, "{\"errors\":[\"quota\"]}".to_owned())
    };
    let proxy = harm_first(servers, 1, RequestInfo::is_login, slow("1"));
    tenant.through(&proxy).child(SAY).output().assert_code(0);
    let logins: Vec<_> = proxy
        .requests()
        .into_iter()
        .filter(RequestInfo::is_login)
        .collect();
    assert!(logins[1].at - logins[0].at >= Duration::from_millis(990));

    let proxy = harm(servers, RequestInfo::is_login, slow("3600"));
    let run = tenant.through(&proxy).child(SAY).output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("quota (429)");
    assert!(run.wall < Duration::from_secs(15), "{run}");
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
}

#[test]
fn the_start_timeout_bounds_the_retries_and_they_are_no_tight_loop() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let fault = Fault::error(503, "Vault is sealed");
    let proxy = harm(servers, RequestInfo::is_login, fault);
    let run = tenant
        .through(&proxy)
        .args(["--start-timeout", "2s"])
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains(&format!(
        "cannot log in at {}: Vault is sealed (503)",
        tenant.auth_path()
    ));
    assert!(run.wall < Duration::from_secs(15), "{run}");
    let count = proxy.count(RequestInfo::is_login);
    assert!((2..=25).contains(&count), "{count} logins in two seconds");
}

#[test]
fn no_retries_are_made_where_the_official_clients_variable_says_so() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = harm(servers, RequestInfo::is_login, Fault::error(503, "away"));
    let run = tenant
        .through(&proxy)
        .env("VAULT_MAX_RETRIES", "0")
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    assert_eq!(proxy.count(RequestInfo::is_login), 1);
    let proxy = harm(servers, RequestInfo::is_unwrap, Fault::error(503, "away"));
    let run = tenant
        .command_without_secret()
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .env("VAULT_MAX_RETRIES", "1")
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    assert_eq!(proxy.count(RequestInfo::is_unwrap), 2);
}

#[test]
fn one_lost_answer_does_not_keep_a_command_from_starting() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for (which, logins) in [
        (RequestInfo::is_login as fn(&RequestInfo) -> bool, 2),
        // A role that nobody knows goes with its token, and another token is needed.
        (RequestInfo::is_creds, 2),
    ] {
        for fault in [Fault::ResetBefore, Fault::ResetAfter, Fault::Truncate] {
            let proxy = harm_first(servers, 1, which, fault);
            let run = tenant.through(&proxy).child(SAY).output();
            run.assert_code(0)
                .stdout_is("ran\n")
                .assert_no_secret(&proxy.secrets())
                .stderr_contains(" yet: the answer was lost");
            assert_eq!(run.err().lines().count(), 1, "told once: {run}");
            assert_eq!(proxy.count(RequestInfo::is_login), logins, "{run}");
            let lost = proxy.issued().into_iter().filter(|issued| issued.lost);
            for issued in lost {
                // Nobody has the tokens that were lost.
                if let IssuedKind::Token { accessor, .. } = issued.what {
                    let accessor = serde_json::json!({"accessor": accessor});
                    tenant
                        .admin()
                        .write("auth/token/revoke-accessor", accessor)
                        .unwrap();
                }
            }
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn logins_whose_answers_are_always_lost_end_with_the_start_timeout() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for fault in [Fault::ResetBefore, Fault::ResetAfter, Fault::Truncate] {
        let proxy = harm(servers, RequestInfo::is_login, fault);
        let run = tenant
            .through(&proxy)
            .args(["--start-timeout", "2s"])
            .child(SAY)
            .output();
        run.assert_code(125)
            .stdout_is("")
            .assert_no_secret(&proxy.secrets())
            .stderr_contains(&format!(
                "cannot log in at {}: the answer was lost",
                tenant.auth_path()
            ))
            .stderr_contains("some of them may be spent by now");
        let logins = proxy.count(RequestInfo::is_login);
        assert!((2..=25).contains(&logins), "{logins} in two seconds: {run}");
        assert_eq!(proxy.requests().len(), logins, "{run}");
    }
    // Nobody has the tokens that were lost; no role hangs on them.
    assert_eq!(tenant.roles(), Vec::<String>::new());
}

#[test]
fn a_server_that_hangs_is_given_up_in_time() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for which in [
        RequestInfo::is_login as fn(&RequestInfo) -> bool,
        RequestInfo::is_creds,
    ] {
        for (client_timeout, tries) in [("60s", 1), ("1500ms", 3)] {
            let proxy = harm(servers, which, Fault::Hang);
            let run = tenant
                .through(&proxy)
                .args(["--start-timeout", "4s"])
                .env("VAULT_CLIENT_TIMEOUT", client_timeout)
                .child(SAY)
                .output();
            assert_refused(&run, &proxy, &tenant);
            run.stderr_contains("the answer was lost: none within");
            assert!(run.wall < Duration::from_secs(15), "{run}");
            let count = proxy.count(which);
            assert!((1..=tries).contains(&count), "{count} tries: {run}");
        }
    }
}

#[test]
fn what_is_final_is_told_at_once_with_its_remedy() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.policy("path \"database/creds/n*\" { capabilities = [\"read\"] }\n")
            .policy("path \"nodb/*\" { capabilities = [\"read\"] }\n")
    });
    let role = tenant.approle_role().to_owned();
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "VAULTEXEC_CREDS",
            "database/creds/nope",
            &["unknown role: nope (400)", "is nope the name of a role"],
        ),
        (
            "VAULTEXEC_CREDS",
            "database/creds/other",
            &[
                "(403)",
                "path \"database/creds/other\" { capabilities = [\"read\"] }",
            ],
        ),
        (
            "VAULTEXEC_CREDS",
            "nodb/creds/x",
            &["(404)", "mounted at nodb/", "VAULTEXEC_CREDS"],
        ),
        (
            "VAULTEXEC_AUTH_MOUNT",
            "nowhere",
            &["cannot log in at auth/nowhere", "VAULTEXEC_AUTH_MOUNT"],
        ),
        (
            "VAULT_SECRET_ID",
            "11111111-2222-3333-4444-555555555555",
            &["invalid role or secret ID (400)", "used up"],
        ),
        ("VAULT_ROLE_ID", &role, &["(400)", "role id is wrong"]),
    ];
    for (name, value, needles) in cases {
        let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
        let run = tenant.through(&proxy).env(name, value).child(SAY).output();
        assert_refused(&run, &proxy, &tenant);
        for needle in needles {
            run.stderr_contains(needle);
        }
        run.stderr_contains("\nhint: ");
        assert!(run.wall < Duration::from_secs(15), "{run}");
        let which = if run.err().contains("cannot log in") {
            RequestInfo::is_login
        } else {
            RequestInfo::is_creds as fn(&RequestInfo) -> bool
        };
        assert!(proxy.count(which) <= 1, "asked again: {run}");
    }
}

#[test]
fn a_missing_secret_id_is_named_as_such() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let run = tenant
        .through(&proxy)
        .env_remove("VAULT_SECRET_ID")
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("no secret id was given")
        .stderr_contains("VAULT_WRAPPED_SECRET_ID_FILE");
}

#[test]
fn several_addresses_are_tried_in_turn() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let dead = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let sealed = harm(servers, |_| true, Fault::error(503, "Vault is sealed"));
    let good = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    dead.refuse();
    let addresses = [dead.url(), sealed.url(), good.url()].join(",");
    let run = tenant
        .command()
        .env("VAULT_ADDR", addresses)
        .child(SAY)
        .output();
    run.assert_code(0).stdout_is("ran\n");
    assert_eq!(sealed.requests().len(), 1);
    assert_eq!(good.count(RequestInfo::is_login), 1);
    // It stays with the one that works.
    assert_eq!(good.count(RequestInfo::is_revoke_self), 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_standbys_redirect_is_followed_once_with_method_body_and_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let active = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let target = active.url();
    let standby = FaultProxy::start(&servers.vault.url(), move |request| {
        Fault::Redirect(format!("{target}{}", request.path))
    });
    let run = tenant.through(&standby).child(SAY).output();
    run.assert_code(0).assert_quiet_stderr().stdout_is("ran\n");
    let methods = |proxy: &FaultProxy| -> Vec<_> {
        let all = proxy.requests();
        all.into_iter()
            .map(|request| (request.method.clone(), request.path.clone(), request.body))
            .collect()
    };
    assert_eq!(methods(&standby), methods(&active));
    assert!(
        active.requests()[1].header("x-vault-token").is_some(),
        "the token goes along"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_redirect_to_anything_but_the_call_that_was_made_is_refused() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let other = FaultProxy::start(&servers.vault.url(), |_| Fault::error(404, "no"));
    for path in ["/some/internal/admin?x=1", "/v1/sys/tools/hash", "/"] {
        let target = format!("{}{path}", other.url());
        let here = RequestInfo::is_login;
        let proxy = harm(servers, here, Fault::Redirect(target));
        let run = tenant.through(&proxy).child(SAY).output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("redirect refused: its target is another call");
    }
    assert_eq!(other.requests().len(), 0, "the secret id went there");
}

#[test]
fn redirects_in_a_circle_or_where_they_are_forbidden_are_refused() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for (which, disabled) in [
        (RequestInfo::is_login as fn(&RequestInfo) -> bool, false),
        (RequestInfo::is_creds, false),
        (RequestInfo::is_login, true),
    ] {
        let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
            if which(request) {
                Fault::Redirect(request.path.clone())
            } else {
                Fault::Pass
            }
        });
        let run = tenant
            .through(&proxy)
            .env("VAULT_DISABLE_REDIRECTS", disabled.to_string())
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("redirect refused");
        assert_eq!(proxy.count(which), if disabled { 1 } else { 2 }, "{run}");
    }
}

#[test]
fn a_gateway_that_gave_up_on_the_read_may_have_made_a_role_and_it_goes_at_once() {
    let servers = Servers::shared();
    for (kind, policy) in [("service", ""), ("service", "sys/leases/revoke")] {
        let tenant = Tenant::with(servers, |spec| {
            let spec = spec.token_type(kind);
            if policy.is_empty() {
                spec
            } else {
                spec.may_revoke_leases()
            }
        });
        let fault = Fault::StatusAfter(504, "<html>gateway time-out</html>".to_owned());
        let proxy = harm_first(servers, 1, RequestInfo::is_creds, fault);
        let mut running = tenant.through(&proxy).child(["cat"]).stdin_piped().spawn();
        proxy.wait_for(2, RequestInfo::is_creds);
        // The first one goes with the token that it was asked for with.
        tenant.wait_for_roles(1);
        running.close_stdin();
        running.wait().assert_code(0);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_database_that_is_down_is_waited_for() {
    let servers = Servers::private();
    let tenant = Tenant::new(&servers);
    let run = tenant
        .command()
        .args(["--start-timeout", "120s"])
        .child(SAY);
    servers.postgres.stop();
    let running = run.spawn();
    let line = running.wait_for_stderr("cannot read credentials yet");
    assert!(line.contains("(500)"), "{line}");
    servers.postgres.start();
    running.wait().assert_code(0).stdout_is("ran\n");
    tenant.assert_nothing_left();
}

/// The server was never reached, and that is what is said: nothing can have been spent.
#[track_caller]
fn assert_never_reached(run: &Finished, tenant: &Tenant) {
    run.assert_code(125)
        .stdout_is("")
        .stderr_contains(&format!("cannot log in at {}", tenant.auth_path()))
        .stderr_contains("cannot reach the server: ")
        .stderr_contains("hint: is the address right (--address, VAULT_ADDR) and the server up?");
    for wrong in ["spent", "the answer was lost", "used up"] {
        assert!(!run.err().contains(wrong), "{wrong}: {run}");
    }
    assert!(run.wall < Duration::from_secs(30), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_name_that_nobody_knows_is_told_with_a_hint_about_the_address() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .env("VAULT_ADDR", "http://no-such-host.invalid:8200")
        .args(["--start-timeout", "2s"])
        .child(SAY)
        .output();
    assert_never_reached(&run, &tenant);
    run.stderr_contains("http://no-such-host.invalid:8200: ");
}

#[test]
fn a_server_that_refuses_connections_till_the_end_is_told_at_once_and_in_the_end() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    proxy.refuse();
    let run = tenant
        .through(&proxy)
        .args(["--start-timeout", "2s"])
        .child(SAY)
        .output();
    assert_never_reached(&run, &tenant);
    run.stderr_contains("cannot log in yet: cannot reach the server: ")
        .stderr_contains("refused");
    assert_eq!(proxy.requests().len(), 0);
}

#[test]
fn a_connection_that_is_never_accepted_is_no_answer_that_was_lost() {
    let tenant = Tenant::new(Servers::shared());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: a listening socket of ours; a second call changes how many may wait to be accepted.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address: SocketAddr = listener.local_addr().unwrap();
    // As many as there is room for, and then one that gets no answer.
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "there is room for everybody");
    }
    let run = tenant
        .command()
        .env("VAULT_ADDR", format!("http://{address}"))
        .args(["--start-timeout", "4s"])
        .child(SAY)
        .output();
    assert_never_reached(&run, &tenant);
}
