//! The support itself works; nothing here needs vaultexec.

use crate::support::procfs;
use crate::support::pty::{CTRL_C, CTRL_Z};
use crate::support::*;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

/// The administrator's client through a proxy, without a token.
fn through(proxy: &FaultProxy) -> Admin {
    Admin::new(proxy.url().trim_start_matches("http://"), "")
}

fn fails(check: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

#[test]
fn the_oracle_fails_while_credentials_live_and_passes_after_their_revocation() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    tenant.assert_nothing_left();
    let token = tenant.login();
    let app = tenant.admin().with_token(&token);
    let creds = app.read(&tenant.creds_path()).unwrap();
    let (user, password) = (
        creds["data"]["username"].as_str().unwrap(),
        creds["data"]["password"].as_str().unwrap(),
    );
    assert_eq!(tenant.roles(), [user]);
    assert_eq!(tenant.leases(), [creds["lease_id"].as_str().unwrap()]);
    assert_eq!(tenant.tokens().len(), 1);
    let in_an_hour = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
        + 3600.0;
    assert!((tenant.valid_until(user) - in_an_hour).abs() < 60.0);
    assert_eq!(
        servers
            .postgres
            .try_sql_as(user, password, "SELECT current_user")
            .unwrap(),
        user
    );
    assert!(fails(
        || tenant.assert_nothing_left_within(Duration::from_millis(200))
    ));
    app.write("auth/token/revoke-self", json!({})).unwrap();
    tenant.assert_nothing_left();
}

#[test]
fn a_tenant_has_the_options_it_was_made_with() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| {
        spec.without_secret_id()
            .token_type("batch")
            .default_ttl("90s")
            .password_policy(NASTY_PASSWORD_POLICY)
            .may_revoke_leases()
            .approle_mount("works-approle")
            .database_mount("works-db")
    });
    let app = tenant.admin().with_token(&tenant.login());
    let creds = app.read(&tenant.creds_path()).unwrap();
    assert_eq!(creds["lease_duration"], 90);
    assert!(
        creds["data"]["password"]
            .as_str()
            .unwrap()
            .bytes()
            .all(|byte| byte.is_ascii_punctuation() || byte == b' ')
    );
    assert_eq!(
        (
            tenant.roles().len(),
            tenant.leases().len(),
            tenant.tokens().len()
        ),
        (1, 1, 0)
    );
    app.write(
        "sys/leases/revoke",
        json!({"lease_id": creds["lease_id"], "sync": true}),
    )
    .unwrap();
    tenant.assert_nothing_left();
}

#[test]
fn a_wrapping_token_has_the_tutorials_creation_path() {
    let tenant = Tenant::new(Servers::shared());
    let token = tenant.wrapped_secret_id("60s");
    let found = tenant
        .admin()
        .with_token("")
        .write("sys/wrapping/lookup", json!({"token": token}))
        .unwrap();
    assert_eq!(
        found["data"]["creation_path"],
        format!("{}/secret-id", tenant.approle_path())
    );
}

#[test]
fn the_tls_listeners_are_what_they_claim() {
    let tls = Servers::shared().vault.tls();
    let ca = tls.certificates.ca();
    let curl = |url: &str, more: &[&str]| {
        let health = format!("{url}/v1/sys/health");
        Command::new("curl")
            .args(["-q", "--noproxy", "*", "-sS", "--cacert"])
            .arg(&ca)
            .args(more)
            .arg(health)
            .output()
            .expect("this test needs curl (Debian: `apt-get install curl`)")
    };
    let words = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        curl(&tls.good(), &[]).status.success(),
        "{}",
        words(curl(&tls.good(), &[]))
    );
    assert!(words(curl(&tls.expired(), &[])).contains("expired"));
    assert!(words(curl(&tls.wrong_host(), &[])).contains("match"));
    assert!(!curl(&tls.mutual(), &[]).status.success());
    let (cert, key) = (
        tls.certificates.client_cert(),
        tls.certificates.client_key(),
    );
    assert!(
        curl(
            &tls.mutual(),
            &[
                "--cert",
                cert.to_str().unwrap(),
                "--key",
                key.to_str().unwrap()
            ]
        )
        .status
        .success()
    );
    let socket = Servers::shared().vault.unix_url().replace("unix://", "");
    assert!(
        curl("http://localhost", &["--unix-socket", &socket])
            .status
            .success()
    );
}

#[test]
fn private_servers_can_be_broken_and_mended() {
    let servers = Servers::private();
    let tenant = Tenant::new(&servers);
    let app = tenant.admin().with_token(&tenant.login());
    app.read(&tenant.creds_path()).unwrap();
    servers.vault.seal();
    assert_eq!(app.read(&tenant.creds_path()).unwrap_err().status, 503);
    servers.vault.unseal();
    assert_eq!(tenant.leases().len(), 1);
    servers.vault.stop();
    assert_eq!(procfs::state(servers.vault.pid()), Some('T'));
    servers.vault.cont();
    servers.vault.kill();
    assert_eq!(app.read("sys/health").unwrap_err().status, 0);
    servers.vault.restart();
    assert_eq!(tenant.leases().len(), 1);
    servers.postgres.stop();
    assert_eq!(app.read(&tenant.creds_path()).unwrap_err().status, 500);
    servers.postgres.start();
    assert_eq!(tenant.roles().len(), 1);
    app.write("auth/token/revoke-self", json!({})).unwrap();
    tenant.assert_nothing_left_within(Duration::from_secs(120));
}

#[test]
fn what_postgresql_has_said_is_done_is_still_done_after_a_stop() {
    let servers = Servers::private();
    let postgres = &servers.postgres;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'passing%'";
    for round in 0..5 {
        postgres.sql(&format!("CREATE ROLE passing_{round}"));
        postgres.stop();
        postgres.start();
        assert_eq!(postgres.sql(roles), "1", "created");
        postgres.sql(&format!("DROP ROLE passing_{round}"));
        postgres.stop();
        postgres.start();
        assert_eq!(postgres.sql(roles), "0", "dropped");
    }
}

#[test]
fn servers_and_folder_go_with_the_value() {
    let servers = Servers::private_vault();
    let (pid, authority) = (servers.vault.pid(), servers.vault.authority());
    drop(servers);
    assert_eq!(procfs::state(pid), None);
    assert!(TcpStream::connect(authority).is_err());
}

#[test]
fn the_proxy_passes_and_records() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let secret_id = tenant.secret_id();
    let body = json!({"role_id": tenant.role_id(), "secret_id": secret_id});
    let login = format!("{}/login", tenant.auth_path());
    let answer = through(&proxy).write(&login, body).unwrap();
    let token = answer["auth"]["client_token"].as_str().unwrap().to_owned();
    assert_eq!(proxy.secrets(), std::slice::from_ref(&token));
    through(&proxy)
        .with_token(&token)
        .write("auth/token/revoke-self", json!({}))
        .unwrap();
    let requests = proxy.requests();
    assert!(requests[0].is_login() && requests[0].json()["secret_id"] == secret_id.as_str());
    assert!(requests[1].is_revoke_self() && requests[1].header("x-vault-token") == Some(&token));
    tenant.assert_nothing_left();
}

#[test]
fn the_proxy_does_each_harm() {
    let servers = Servers::shared();
    let upstream = servers.vault.url();
    let one = |fault: Fault| {
        let proxy = FaultProxy::start(&upstream, move |_| fault.clone());
        let started = Instant::now();
        (through(&proxy).read("sys/health"), started.elapsed())
    };
    for fault in [Fault::ResetBefore, Fault::ResetAfter] {
        let refused = one(fault).0.unwrap_err();
        assert!(
            refused.status == 0 && refused.message.contains("reset"),
            "{refused}"
        );
    }
    assert!(
        one(Fault::Truncate)
            .0
            .unwrap_err()
            .message
            .contains("fill whole buffer")
    );
    let refused = one(Fault::error(429, "slow down")).0.unwrap_err();
    assert!(refused.status == 429 && refused.message.contains("slow down"));
    assert_eq!(
        one(Fault::StatusAfter(502, "<html>".to_owned()))
            .0
            .unwrap_err()
            .status,
        502
    );
    assert_eq!(
        one(Fault::Redirect("http://127.0.0.1:1/".to_owned()))
            .0
            .unwrap_err()
            .status,
        307
    );
    assert_eq!(
        one(Fault::Raw(b"nonsense\r\n\r\n".to_vec()))
            .0
            .unwrap_err()
            .status,
        0
    );
    assert!(one(Fault::PassThenClose).0.is_ok());
    let (passed, took) = one(Fault::Delay(Duration::from_millis(150)));
    assert!(passed.is_ok() && took >= Duration::from_millis(150));
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let (dripped, took) = one(Fault::Drip(whole.clone(), Duration::from_millis(2)));
    assert!(dripped.is_ok() && took >= Duration::from_millis(2 * whole.len() as u64 - 2));
    let (flooded, _) = one(Fault::Flood(1_000_000));
    assert_eq!(
        flooded.unwrap()["data"]["password"].as_str().unwrap().len(),
        1_000_000 - 24
    );
}

#[test]
fn the_proxy_hangs_until_it_is_dropped() {
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Hang);
    let client = through(&proxy);
    let asking = std::thread::spawn(move || client.read("sys/health"));
    proxy.wait_for(1, |_| true);
    assert!(!asking.is_finished());
    drop(proxy);
    assert_eq!(asking.join().unwrap().unwrap_err().status, 0);
}

#[test]
fn the_proxy_holds_an_answer_until_it_is_released() {
    let tenant = Tenant::new(Servers::shared());
    let hold = Hold::new();
    let held = hold.clone();
    let script = move |request: &RequestInfo| {
        if request.is_creds() {
            Fault::HoldAnswer(held.clone())
        } else {
            Fault::Pass
        }
    };
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), script);
    let token = tenant.login();
    let (client, path) = (through(&proxy).with_token(&token), tenant.creds_path());
    let asking = std::thread::spawn(move || client.read(&path));
    hold.wait_arrived();
    assert_eq!(tenant.roles().len(), 1);
    assert!(!asking.is_finished());
    hold.release();
    asking.join().unwrap().unwrap();
    through(&proxy)
        .with_token(&token)
        .write("auth/token/revoke-self", json!({}))
        .unwrap();
    tenant.assert_nothing_left();
}

#[test]
fn the_proxy_refuses_and_accepts_again() {
    let proxy = FaultProxy::start(&Servers::shared().vault.url(), |_| Fault::Pass);
    let mut idle = TcpStream::connect(proxy.url().trim_start_matches("http://")).unwrap();
    idle.write_all(b"GET /v1/sys/health HTTP/1.1\r\n\r\n")
        .unwrap();
    proxy.wait_for(1, |_| true);
    proxy.refuse();
    assert!(idle.read_to_end(&mut Vec::new()).is_ok());
    assert!(
        through(&proxy)
            .read("sys/health")
            .unwrap_err()
            .message
            .contains("refused")
    );
    proxy.accept();
    assert!(through(&proxy).read("sys/health").is_ok());
}

#[test]
fn the_probe_reports_signals_in_order_with_their_sender() {
    let [program, rest @ ..] = &Probe::signals()[..] else {
        panic!()
    };
    let mut running = Run::of(program).args(rest).stdin_piped().spawn();
    running.wait_for_line("ready");
    for (number, name) in signals::catchable() {
        running.signal(number);
        assert_eq!(
            Probe::next_signal(&running),
            (name.to_owned(), std::process::id() as i32)
        );
    }
    running.say("ping");
    running.wait_for_line("pong");
    running.say("exit 7");
    running.wait().assert_code(7);
}

#[test]
fn the_probe_exits_dies_and_stops() {
    let run = |words: Vec<String>| Run::of(&words[0]).args(&words[1..]);
    run(Probe::exit(255))
        .output()
        .assert_code(255)
        .assert_silent();
    for name in ["TERM", "KILL", "SEGV"] {
        run(Probe::die(name))
            .output()
            .assert_killed_by(signals::number(name).unwrap())
            .assert_silent();
    }
    let stopping = run(Probe::stop_self("STOP", 2)).spawn();
    for round in 1..=2 {
        assert_eq!(stopping.wait_stopped(), libc::SIGSTOP);
        assert_eq!(stopping.state(), Some('T'));
        stopping.signal(libc::SIGCONT);
        stopping.wait_for_line(&format!("resumed {round}"));
    }
    stopping.wait().assert_code(0);
    let deaf = run(Probe::ignore_term()).spawn();
    deaf.wait_for_line("ready");
    deaf.signal(libc::SIGTERM);
    assert!(procfs::mask_has(
        &deaf.status_field("SigIgn"),
        libc::SIGTERM
    ));
    deaf.signal(libc::SIGKILL);
    deaf.wait().assert_killed_by(libc::SIGKILL);
    run(Probe::env(&["LANG", "NOPE"]))
        .output()
        .stdout_is("LANG=C.UTF-8\nNOPE unset\n");
}

#[test]
fn the_probe_sees_exactly_what_it_was_started_with() {
    let words = Probe::status();
    let run = Run::of(&words[0])
        .args(&words[1..])
        .env_bytes(b"ODD", b"\xff\xfe")
        .current_dir("/usr");
    let run = run
        .ignoring(libc::SIGPIPE)
        .blocking(libc::SIGUSR1)
        .closing(0)
        .limited(libc::RLIMIT_CORE, 0);
    let finished = run.output();
    let status = Probe::parse_status(&finished.stdout);
    let mask = |name: &str| u64::from_str_radix(status[name].as_str().unwrap(), 16).unwrap();
    assert_eq!(mask("SigIgn"), 1 << (libc::SIGPIPE - 1));
    assert_eq!(mask("SigBlk"), 1 << (libc::SIGUSR1 - 1));
    assert_eq!(mask("SigCgt"), 0);
    assert_eq!(
        status["fds"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(status["cwd"], "/usr");
    assert_eq!(status["pid"], status["sid"]);
    assert!(
        status["env"]
            .as_array()
            .unwrap()
            .contains(&json!("4f44443dfffe"))
    );
}

#[test]
fn a_run_finds_secrets_leftovers_and_overlong_runs() {
    let sh = |script: &str| Run::of("sh").args(["-c", script]);
    assert!(fails(|| drop(
        sh("echo hunter2%2Fx >&2").canary("hunter2/x").output()
    )));
    assert!(fails(|| drop(
        sh(r#"echo 'hunter2\"x'"#).canary("hunter2\"x").output()
    )));
    sh("echo hunter2/x")
        .canary("hunter2/x")
        .may_print_secrets()
        .output()
        .assert_code(0);
    let started = Instant::now();
    assert!(fails(|| drop(
        sh("sleep 100")
            .deadline(Duration::from_millis(200))
            .output()
    )));
    assert!(started.elapsed() < Duration::from_secs(10));
    sh("cat; exit 3")
        .stdin_bytes(vec![b'x'; 1 << 20])
        .output()
        .assert_code(3)
        .assert_quiet_stderr();
}

#[test]
fn a_pty_echoes_resizes_and_has_job_control() {
    let pty = Pty::new();
    let words = Probe::signals_but(&["TSTP", "CONT"]);
    let run = Run::of(&words[0]).args(&words[1..]);
    let line = run.shell_line();
    let before = pty.settings();
    let shell = pty.bash(run);
    pty.type_line(&line);
    pty.wait_for("ready");
    assert_ne!(pty.foreground_group(), shell.pid());
    pty.type_keys(CTRL_C);
    pty.wait_for("INT pid=0");
    pty.resize(40, 100);
    pty.wait_for("WINCH pid=0");
    pty.type_line("size");
    pty.wait_for("size 40 100");
    pty.type_keys(CTRL_Z);
    pty.wait_for("Stopped");
    assert_eq!(pty.foreground_group(), shell.pid());
    pty.type_line("fg");
    pty.wait_for("signals");
    pty.type_line("exit 5");
    pty.wait_for("$ ");
    pty.type_line("echo code $?; exit 9");
    pty.wait_for("code 5");
    shell.wait().assert_code(9);
    assert_eq!(pty.settings(), before);
    assert!(pty.is_cooked());
}

#[test]
fn a_program_can_be_pid_1() {
    let words = Probe::signals();
    let mut running = pidns::as_pid_1(Run::of(&words[0]).args(&words[1..]).stdin_piped()).spawn();
    assert_eq!(running.wait_for_line("ready"), "ready 1");
    let inside = pidns::pid_1(&running);
    assert!(signals::kill(inside, libc::SIGTERM));
    assert_eq!(Probe::next_signal(&running).0, "TERM");
    running.say("exit 4");
    running.wait().assert_code(4);
}

#[test]
fn orphans_are_orphans_and_die_on_command() {
    let words = Probe::spawn_orphans(3);
    let mut running = Run::of(&words[0]).args(&words[1..]).stdin_piped().spawn();
    running.wait_for_line("ready");
    assert_eq!(procfs::session_members(running.pid()).len(), 4);
    assert!(running.children().is_empty());
    running.say("go");
    running.wait_for_line("gone");
    running.say("exit 0");
    running.wait().assert_code(0);
}
