//! A secret id that comes response-wrapped: looked at first, opened at most once, an alarm when somebody else did.

use crate::support::folder::{Folder, write_secret};
use crate::support::*;
use serde_json::json;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];

/// The tenant's command by way of the proxy, without a secret id.
fn command(tenant: &Tenant, proxy: &FaultProxy) -> Run {
    tenant
        .command_without_secret()
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_ROLE_ID", tenant.role_id())
}

fn opened(proxy: &FaultProxy) -> usize {
    proxy.count(RequestInfo::is_unwrap)
}

/// The token can still be opened by whoever it was meant for.
#[track_caller]
fn assert_whole(tenant: &Tenant, token: &str) {
    let answer = tenant
        .admin()
        .with_token(token)
        .write("sys/wrapping/unwrap", json!({}));
    assert!(
        answer.is_ok(),
        "the token was spent: {}",
        answer.unwrap_err()
    );
}

#[track_caller]
fn assert_alarm(run: &Finished) {
    run.stderr_contains("two readings are possible")
        .stderr_contains("Harmless:")
        .stderr_contains("Not harmless: somebody else opened it")
        .stderr_contains("destroy the secret ids of the role");
}

#[test]
fn a_wrapping_token_is_taken_bare_and_as_json_from_variable_file_and_stdin() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let folder = Folder::new().unwrap();
    let file = folder.path().join("wrapped");
    for json in [false, true] {
        for place in ["variable", "bao", "file", "flag", "stdin"] {
            let token = tenant.wrapped_secret_id("60s");
            let text = if json {
                let whole = json!({"request_id": "", "wrap_info": {"token": token, "ttl": 60}});
                format!("{}\n", serde_json::to_string_pretty(&whole).unwrap())
            } else {
                format!("{token}\n")
            };
            let proxy = pass(servers);
            let run = command(&tenant, &proxy);
            let run = match place {
                "variable" => run.env("VAULT_WRAPPED_SECRET_ID", text),
                "bao" => run.env("BAO_WRAPPED_SECRET_ID", text),
                "stdin" => run
                    .args(["--wrapped-secret-id-file", "-"])
                    .stdin_bytes(text),
                file_or_flag => {
                    write_secret(&file, text);
                    if file_or_flag == "file" {
                        run.env("VAULT_WRAPPED_SECRET_ID_FILE", &file)
                    } else {
                        run.arg("--wrapped-secret-id-file").arg(&file)
                    }
                }
            };
            let run = run.child(SAY).output();
            run.assert_code(0).assert_quiet_stderr().stdout_is("ran\n");
            run.assert_no_secret(&proxy.secrets());
            let paths: Vec<String> = proxy.requests().into_iter().map(|one| one.path).collect();
            assert_eq!(
                paths[..3],
                [
                    "/v1/sys/wrapping/lookup",
                    "/v1/sys/wrapping/unwrap",
                    &tenant.login_path()
                ],
                "{place}"
            );
            assert_eq!(opened(&proxy), 1);
        }
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_token_that_was_made_elsewhere_is_refused_without_being_opened() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let other = Tenant::with(servers, |spec| spec.approle_mount("wrapping-other"));
    let right = tenant.wrapped_secret_id("60s");
    let inside = tenant
        .admin()
        .with_token(&right)
        .write("sys/wrapping/unwrap", json!({}))
        .unwrap();
    tenant.remember(inside["data"]["secret_id"].as_str().unwrap().to_owned());
    // What a thief would do: open it, note the secret id, wrap it again.
    let again = tenant
        .admin()
        .write_wrapped("sys/wrapping/wrap", inside["data"].clone(), "60s")
        .unwrap();
    let again = again["wrap_info"]["token"].as_str().unwrap().to_owned();
    let elsewhere = other.wrapped_secret_id("60s");
    let path = format!("{}/secret-id", other.approle_path());
    for (token, made_at) in [(again, "sys/wrapping/wrap"), (elsewhere, path.as_str())] {
        tenant.remember(token.clone());
        let proxy = pass(servers);
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", &token)
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains(made_at)
            .stderr_contains(&format!("{}/role/<role>/secret-id", tenant.auth_path()))
            .stderr_contains("it has not been opened")
            .stderr_contains("treat it as stolen")
            .stderr_contains("--wrapping-path");
        assert_eq!((opened(&proxy), proxy.requests().len()), (0, 1));
        assert_whole(&tenant, &token);
    }
}

#[test]
fn the_path_that_a_token_must_have_can_be_given() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let path = format!("{}/secret-id", tenant.approle_path());
    for by_flag in [false, true] {
        let proxy = pass(servers);
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"));
        let run = if by_flag {
            run.args(["--wrapping-path", &path])
        } else {
            run.env("VAULTEXEC_WRAPPING_PATH", format!("/{path}/"))
        };
        run.child(SAY).output().assert_code(0).stdout_is("ran\n");
    }
    // The right mount, another role.
    let other = Tenant::new(servers);
    let token = other.wrapped_secret_id("60s");
    let proxy = pass(servers);
    let run = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", &token)
        .args(["--wrapping-path", &path])
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains(&path)
        .stderr_contains("it has not been opened");
    assert_eq!(opened(&proxy), 0);
    assert_whole(&other, &token);
    // With a path of its own, a token that was wrapped again is what it is said to be.
    let data = json!({"secret_id": tenant.secret_id()});
    let again = tenant
        .admin()
        .write_wrapped("sys/wrapping/wrap", data, "60s")
        .unwrap();
    command(&tenant, &proxy)
        .env(
            "VAULT_WRAPPED_SECRET_ID",
            again["wrap_info"]["token"].as_str().unwrap(),
        )
        .args(["--wrapping-path", "sys/wrapping/wrap"])
        .child(SAY)
        .output()
        .assert_code(0)
        .stdout_is("ran\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_spent_expired_or_unknown_token_is_an_alarm_with_both_readings() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let spent = tenant.wrapped_secret_id("60s");
    assert_whole(&tenant, &spent);
    let expired = tenant.wrapped_secret_id("1s");
    let lookup = json!({"token": expired});
    let gone = poll_until(Duration::from_secs(90), || {
        let client = tenant.admin().with_token("");
        client
            .write("sys/wrapping/lookup", lookup.clone())
            .is_err()
            .then_some(())
    });
    assert!(gone.is_some());
    for token in [spent.as_str(), expired.as_str(), "s.unknownunknownunknown"] {
        let proxy = pass(servers);
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", token)
            .canary(token)
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("spent, expired or unknown")
            .stderr_contains("wrapping token is not valid or does not exist (400)");
        assert_alarm(&run);
        assert_eq!((opened(&proxy), proxy.requests().len()), (0, 1));
    }
}

#[test]
fn a_token_that_is_opened_by_somebody_else_in_between_is_an_alarm() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let proxy = harm(
        servers,
        RequestInfo::is_unwrap,
        Fault::HoldRequest(hold.clone()),
    );
    let token = tenant.wrapped_secret_id("60s");
    let running = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", &token)
        .child(SAY)
        .spawn();
    hold.wait_arrived();
    assert_whole(&tenant, &token);
    hold.release();
    let run = running.wait();
    assert_refused(&run, &proxy, &tenant);
    assert_alarm(&run);
    assert_eq!(opened(&proxy), 1);
}

#[test]
fn an_answer_that_is_lost_is_not_asked_for_again() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for fault in [
        Fault::ResetAfter,
        Fault::Truncate,
        Fault::StatusAfter(200, "<html>".to_owned()),
    ] {
        let proxy = harm(servers, RequestInfo::is_unwrap, fault);
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("may have been opened, but what was in it is lost");
        assert_alarm(&run);
        assert_eq!(opened(&proxy), 1, "{run}");
        assert_eq!(proxy.count(RequestInfo::is_login), 0);
    }
}

#[test]
fn an_unwrapping_that_the_server_did_not_do_is_tried_again_after_another_look() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for (which, lookups, unwraps) in [
        (RequestInfo::is_unwrap as fn(&RequestInfo) -> bool, 2, 2),
        (RequestInfo::is_wrapping_lookup, 2, 1),
    ] {
        let proxy = harm_first(servers, 1, which, Fault::error(503, "Vault is sealed"));
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
            .child(SAY)
            .output();
        run.assert_code(0)
            .stdout_is("ran\n")
            .assert_no_secret(&proxy.secrets())
            .stderr_contains("cannot open the wrapping token yet: Vault is sealed (503)");
        assert_eq!(
            (proxy.count(RequestInfo::is_wrapping_lookup), opened(&proxy)),
            (lookups, unwraps)
        );
    }
    // A gateway's 504 after the server has opened it: the other look finds it spent.
    let fault = Fault::StatusAfter(504, "<html>".to_owned());
    let proxy = harm(servers, RequestInfo::is_unwrap, fault);
    let run = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    assert_alarm(&run);
    assert_eq!(opened(&proxy), 1);
}

#[test]
fn a_lookup_that_cannot_be_answered_is_no_theft() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for fault in [
        Fault::Status(
            404,
            vec![("Content-Type", "text/html".to_owned())],
            "<html>no such page</html>".to_owned(),
        ),
        Fault::error(501, "not initialized"),
        Fault::body("<html>"),
        Fault::body("{\"data\":{\"creation_path\":17}}"),
        Fault::Hang,
    ] {
        let token = tenant.wrapped_secret_id("60s");
        let proxy = harm(servers, RequestInfo::is_wrapping_lookup, fault);
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", &token)
            .args(["--start-timeout", "1s"])
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        assert_eq!(opened(&proxy), 0);
        assert!(
            !run.err().contains("two readings") && !run.err().contains("may have been opened"),
            "a false alarm: {run}"
        );
        assert_whole(&tenant, &token);
    }
}

#[test]
fn the_plain_and_the_wrapped_form_are_not_taken_for_each_other() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let secret_id = tenant.secret_id();
    let plain = json!({"data": {"secret_id": secret_id, "secret_id_ttl": 1}}).to_string();
    let run = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", plain)
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("VAULT_WRAPPED_SECRET_ID: it holds a secret id that is not wrapped")
        .stderr_contains("VAULT_SECRET_ID");
    let wrapped = json!({"wrap_info": {"token": tenant.wrapped_secret_id("60s")}}).to_string();
    let run = command(&tenant, &proxy)
        .env("VAULT_SECRET_ID", wrapped)
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("VAULT_SECRET_ID: it holds JSON")
        .stderr_contains("VAULT_WRAPPED_SECRET_ID");
    for text in ["{", "{\"wrap_info\":{\"token\":7}}", "{\"wrap_info\":null}"] {
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", text)
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("VAULT_WRAPPED_SECRET_ID: it ");
    }
    assert_eq!(proxy.requests().len(), 0, "nothing was asked");
}

#[test]
fn a_wrapping_token_that_holds_something_else_is_refused_by_the_name_of_the_field() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for data in [
        json!({"password": "hunter2-hunter2"}),
        json!({"secret_id": ""}),
        json!({"secret_id": 17}),
    ] {
        let wrapped = tenant
            .admin()
            .write_wrapped("sys/wrapping/wrap", data, "60s")
            .unwrap();
        let proxy = pass(servers);
        let run = command(&tenant, &proxy)
            .env(
                "VAULT_WRAPPED_SECRET_ID",
                wrapped["wrap_info"]["token"].as_str().unwrap(),
            )
            .args(["--wrapping-path", "sys/wrapping/wrap"])
            .canary("hunter2-hunter2")
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("`data.secret_id`")
            .stderr_contains("this token is spent now");
    }
}

#[test]
fn a_secret_id_that_lives_for_ages_is_as_good_as_any() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for ttl in [1_000_000_000_000, u64::MAX] {
        let inside = json!({"data": {"secret_id": tenant.secret_id(), "secret_id_ttl": ttl, "secret_id_num_uses": 0}});
        let proxy = harm(
            servers,
            RequestInfo::is_unwrap,
            Fault::body(&inside.to_string()),
        );
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
            .args(["-v", "--on-expiry", "restart"])
            .child(SAY)
            .output();
        run.assert_code(0).stdout_is("ran\n");
        tenant.assert_nothing_left();
    }
}

#[test]
fn the_file_of_a_wrapping_token_is_removed_after_the_login() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let folder = Folder::new().unwrap();
    let file = folder.path().join("wrapped");
    write_secret(&file, tenant.wrapped_secret_id("60s"));
    let proxy = pass(servers);
    command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID_FILE", &file)
        .arg("--remove-secret-id-file")
        .child(SAY)
        .output()
        .assert_code(0)
        .assert_quiet_stderr();
    assert!(!file.exists());
}

#[test]
fn a_signal_during_the_lookup_leaves_the_token_whole() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let hold = Hold::new();
        let fault = Fault::HoldAnswer(hold.clone());
        let proxy = harm(servers, RequestInfo::is_wrapping_lookup, fault);
        let token = tenant.wrapped_secret_id("60s");
        let running = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", &token)
            .child(SAY)
            .spawn();
        hold.wait_arrived();
        running.signal(signal);
        hold.release();
        running.wait().assert_killed_by(signal).stdout_is("");
        assert_eq!(opened(&proxy), 0);
        assert_whole(&tenant, &token);
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_signal_while_the_token_is_opened_says_that_it_is_spent() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let proxy = harm(
        servers,
        RequestInfo::is_unwrap,
        Fault::HoldAnswer(hold.clone()),
    );
    let running = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .child(SAY)
        .spawn();
    hold.wait_arrived();
    running.signal(libc::SIGTERM);
    hold.release();
    running
        .wait()
        .assert_killed_by(libc::SIGTERM)
        .stderr_contains("it is spent");
    tenant.assert_nothing_left();
}

#[test]
fn what_can_be_asked_only_once_gets_its_time_also_at_the_end_of_the_start_timeout() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    // The lookup comes through when most of the time is over; then each call takes longer than the rest.
    let proxy = FaultProxy::start(&servers.vault.url(), |request| {
        if request.is_wrapping_lookup() {
            Fault::Delay(Duration::from_secs(8))
        } else if request.is_unwrap() || request.is_login() || request.is_creds() {
            Fault::Delay(Duration::from_millis(6500))
        } else {
            Fault::Pass
        }
    });
    command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .args(["--start-timeout", "14s"])
        .child(SAY)
        .output()
        .assert_code(0)
        .stdout_is("ran\n")
        .assert_quiet_stderr();
    tenant.assert_nothing_left();
}

#[test]
fn the_end_of_the_secret_id_is_told_at_the_start() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .arg("-v")
        .child(SAY)
        .output()
        .assert_code(0)
        .stderr_contains("there can be no other login after 20")
        .stderr_contains("when the secret id ends");
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_is_not_up_yet_is_waited_for_with_the_token_whole() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = pass(servers);
    let token = tenant.wrapped_secret_id("30m");
    proxy.refuse();
    let running = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", token)
        .args(["--start-timeout", "120s"])
        .child(SAY)
        .spawn();
    running.wait_for_stderr("cannot open the wrapping token yet: cannot reach the server: ");
    proxy.accept();
    let run = running.wait();
    run.assert_code(0).stdout_is("ran\n");
    assert_eq!(run.err().lines().count(), 1, "told once: {run}");
    assert_eq!(opened(&proxy), 1);
    tenant.assert_nothing_left();
}

#[test]
fn a_lookup_whose_answer_is_lost_is_asked_for_again() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for count in [1, 2, 3] {
        let fault = Fault::ResetAfter;
        let proxy = harm_first(servers, count, RequestInfo::is_wrapping_lookup, fault);
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("30m"))
            .child(SAY)
            .output();
        run.assert_code(0).stdout_is("ran\n");
        let lookups = proxy.count(RequestInfo::is_wrapping_lookup);
        assert_eq!((lookups, opened(&proxy)), (count + 1, 1), "{run}");
    }
    tenant.assert_nothing_left();
}

#[test]
fn an_unwrapping_that_hangs_is_given_up_in_time_with_an_alarm() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = harm(servers, RequestInfo::is_unwrap, Fault::HangAfter);
    let run = command(&tenant, &proxy)
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("30m"))
        .args(["--start-timeout", "2s"])
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains(
        "may have been opened, but what was in it is lost: the answer was lost: none within",
    );
    assert_alarm(&run);
    assert_eq!(opened(&proxy), 1, "{run}");
    assert_eq!(proxy.count(RequestInfo::is_login), 0);
}

#[test]
fn a_signal_while_the_answer_to_the_opening_never_comes_says_that_the_token_is_spent() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let hold = Hold::new();
        let fault = Fault::HoldAnswer(hold.clone());
        let proxy = harm(servers, RequestInfo::is_unwrap, fault);
        let running = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("30m"))
            .child(SAY)
            .spawn();
        hold.wait_arrived();
        let sent = std::time::Instant::now();
        running.signal(signal);
        running.wait_exit();
        assert!(sent.elapsed() < Duration::from_secs(15));
        running
            .wait()
            .assert_killed_by(signal)
            .stdout_is("")
            .stderr_contains("if a wrapping token was being opened, it is spent");
        assert_eq!(opened(&proxy), 1);
        assert_eq!(proxy.count(RequestInfo::is_login), 0);
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_asks_for_time_before_it_opens_the_token_gets_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let headers = vec![("Retry-After", "2".to_owned())];
    let busy = Fault::Status(429, headers, "{\"errors\":[\"quota\"]}".to_owned());
    for which in [
        RequestInfo::is_unwrap as fn(&RequestInfo) -> bool,
        RequestInfo::is_wrapping_lookup,
    ] {
        let proxy = harm_first(servers, 1, which, busy.clone());
        let run = command(&tenant, &proxy)
            .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("30m"))
            .args(["--start-timeout", "120s"])
            .child(SAY)
            .output();
        run.assert_code(0)
            .stdout_is("ran\n")
            .stderr_contains("cannot open the wrapping token yet: quota (429)");
        let asked: Vec<_> = proxy.requests().into_iter().filter(which).collect();
        let gap = asked[1].at - asked[0].at;
        assert!(gap >= Duration::from_millis(1990), "{gap:?}: {run}");
    }
    tenant.assert_nothing_left();
}
