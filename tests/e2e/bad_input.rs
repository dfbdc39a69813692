//! Settings that are wrong or missing, and servers that answer nonsense.

use crate::support::folder::Folder;
use crate::support::*;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];
/// What a hostile answer holds, and no message may.
const CONTENT: &str = "hunter2-content";

/// A run with sound settings, which would ask a server that is not there.
fn sound() -> Run {
    Run::vaultexec()
        .env("VAULT_ADDR", "http://127.0.0.1:1")
        .env("VAULT_ROLE_ID", "a-role-id")
        .env("VAULT_SECRET_ID", "hunter2-secret-id")
        .env("VAULTEXEC_CREDS", "database/creds/app")
        .canary("hunter2")
}

#[track_caller]
fn assert_told(run: Run, needles: &[&str]) -> Finished {
    let run = run.child(SAY).output();
    run.assert_code(125).stdout_is("");
    for needle in needles {
        run.stderr_contains(needle);
    }
    assert!(
        run.wall < Duration::from_secs(15),
        "something was asked: {run}"
    );
    run
}

#[test]
fn a_missing_setting_is_named_by_flag_and_variable() {
    assert_told(
        sound().env_remove("VAULT_ROLE_ID"),
        &[
            "--role-id",
            "--role-id-file",
            "VAULT_ROLE_ID",
            "VAULT_ROLE_ID_FILE",
            "is missing",
        ],
    );
    assert_told(
        sound().env_remove("VAULTEXEC_CREDS"),
        &[
            "--creds (VAULTEXEC_CREDS): it is missing",
            "database/creds/app-role",
        ],
    );
    let run = assert_told(Run::vaultexec(), &["VAULT_ROLE_ID", "VAULTEXEC_CREDS"]);
    assert_eq!(run.err().lines().count(), 2, "one line each: {run}");
}

#[test]
fn a_wrong_variable_is_named_with_what_would_be_right() {
    let cases = [
        (
            "VAULT_ADDR",
            "vault:8200",
            "it has no scheme: https://vault:8200, or http://vault:8200",
        ),
        ("VAULT_ADDR", "https://u:hunter2@h", "a user or a password"),
        ("BAO_ADDR", "unix://relative", "absolute path"),
        ("VAULT_ADDR", ",", "names no address"),
        ("VAULT_NAMESPACE", "a\u{e4}", "no namespace has"),
        (
            "VAULT_CACERT",
            "/nowhere/ca.pem",
            "cannot read /nowhere/ca.pem: No such file",
        ),
        ("VAULT_CACERT", "/etc/passwd", "no PEM certificate"),
        ("VAULT_CACERT", "/dev/zero", "longer than 16 MiB"),
        ("VAULT_CACERT_BYTES", "hunter2", "no PEM certificate"),
        ("VAULT_CAPATH", "/nowhere", "cannot read /nowhere"),
        ("VAULT_SKIP_VERIFY", "maybe", "neither true nor false"),
        ("VAULT_DISABLE_REDIRECTS", "maybe", "neither true nor false"),
        ("VAULT_CLIENT_TIMEOUT", "soon", "such as 30s"),
        ("VAULT_CLIENT_TIMEOUT", "0", "100ms"),
        ("VAULT_MAX_RETRIES", "-1", "whole number"),
        ("VAULT_PROXY_ADDR", "ftp://x", "proxy"),
        ("VAULTEXEC_AUTH", "kerberos", "approle"),
        ("VAULTEXEC_AUTH_MOUNT", "../sys", "is not a path of the API"),
        ("VAULT_ROLE_ID_FILE", "/nowhere/role", "give only one"),
        ("VAULT_SECRET_ID_FILE", "/nowhere/secret", "give only one"),
        (
            "VAULT_WRAPPED_SECRET_ID",
            "hunter2-wrapped",
            "given twice, plain and wrapped",
        ),
        (
            "VAULTEXEC_WRAPPING_PATH",
            "a//b",
            "is not a path of the API",
        ),
        (
            "VAULTEXEC_REMOVE_SECRET_ID_FILE",
            "maybe",
            "neither true nor false",
        ),
        (
            "VAULTEXEC_CREDS",
            "database/creds/../x",
            "is not a path of the API",
        ),
        (
            "VAULTEXEC_DATABASE_URL",
            "sqlite://u:hunter2@h/d",
            "as in postgresql://",
        ),
        (
            "VAULTEXEC_DATABASE_URL",
            "jdbc:postgresql://u:hunter2@h/d",
            "as in postgresql://",
        ),
        ("DATABASE_URL", "postgresql://u:hunter2@h:99999/d", "65535"),
        ("DATABASE_URL", "postgresql://u:hunter2/34@h/d", "%2F"),
        ("DATABASE_URL", "postgresql://u:hunter2?34@h/d", "%3F"),
        ("DATABASE_URL", "postgresql://u:p@h/hunter2%", "%25"),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@h/a%00b",
            "control character, percent-encoded",
        ),
        (
            "VAULTEXEC_ON_EXPIRY",
            "explode",
            "none of restart, refresh, signal:NAME, stop, warn",
        ),
        ("VAULTEXEC_ON_EXPIRY", "signal:NOPE", "not a signal"),
        ("VAULTEXEC_STOP_SIGNAL", "NOPE", "not a signal"),
        ("VAULTEXEC_STOP_TIMEOUT", "never", "such as 30s"),
        ("VAULTEXEC_KILL_AFTER", "0", "100ms"),
        ("VAULTEXEC_START_TIMEOUT", "1 fortnight", "such as 30s"),
        ("VAULTEXEC_START_TIMEOUT", "1ms", "100ms"),
        ("VAULTEXEC_REVOKE_TIMEOUT", "x", "such as 30s"),
        ("VAULTEXEC_NO_REVOKE", "maybe", "neither true nor false"),
        ("VAULTEXEC_STRICT_REVOKE", "maybe", "neither true nor false"),
        ("VAULTEXEC_LEASE_TTL", "1s", "5s"),
        ("VAULTEXEC_CLEAR_ENV", "maybe", "neither true nor false"),
        (
            "VAULTEXEC_KEEP_ENV",
            "HOME,FOO=hunter2",
            "neither NAME nor PREFIX*",
        ),
        (
            "VAULTEXEC_LOG_LEVEL",
            "loud",
            "none of error, warn, info, debug, trace",
        ),
        ("VAULTEXEC_LOG_FORMAT", "xml", "none of text, json"),
    ];
    for (name, value, needle) in cases {
        assert_told(sound().env(name, value), &[name, needle]);
    }
    assert_told(
        sound()
            .env("VAULT_ADDR", "https://vault.example:8200")
            .env("HTTPS_PROXY", "socks5://127.0.0.1:1"),
        &["HTTPS_PROXY: ", "https://vault.example:8200 needs one"],
    );
    for (given, missing) in [
        (
            "VAULT_CLIENT_CERT",
            "--client-key (VAULT_CLIENT_KEY): it is missing",
        ),
        (
            "VAULT_CLIENT_KEY",
            "--client-cert (VAULT_CLIENT_CERT): it is missing",
        ),
    ] {
        assert_told(sound().env(given, "/etc/passwd"), &[missing]);
    }
}

#[test]
fn a_wrong_flag_is_named_as_the_flag() {
    for (flag, value, needle) in [
        ("--address", "http://", "it is not a URL"),
        ("--address", "http://b\u{fc}cher.example", "written xn--"),
        ("--address", "nonsense", "https://nonsense"),
        ("--address", "", "empty"),
        ("--ca-cert", "/nowhere", "cannot read"),
        ("--auth", "token2", "approle"),
        ("--creds", "", "empty"),
        ("--creds", "a?b", "is not a path of the API"),
        ("--creds", "kv/my app", "has a blank in it"),
        ("--creds", "kv/app\u{a0}pw=evil", "has a blank in it"),
        ("--start-timeout", "soon", "such as 30s"),
        ("--log-level", "loud", "none of"),
        ("--on-expiry", "no", "none of"),
        (
            "--secret-id-file",
            "/nowhere/secret",
            "cannot read /nowhere/secret: No such file",
        ),
        ("--secret-id-file", "/", "cannot read /: Is a directory"),
        ("--secret-id-file", "/dev/null", "it is empty"),
        (
            "--role-id-file",
            "/nowhere/role",
            "cannot read /nowhere/role",
        ),
        (
            "--wrapped-secret-id-file",
            "/nowhere/w",
            "cannot read /nowhere/w",
        ),
    ] {
        assert_told(sound().args([flag, value]), &[&format!("{flag}: "), needle]);
    }
    assert_told(
        sound().args(["--no-revoke", "--strict-revoke"]),
        &["--no-revoke (VAULTEXEC_NO_REVOKE) and --strict-revoke (VAULTEXEC_STRICT_REVOKE)"],
    );
    assert_told(
        sound().args(["--role-id-file", "-", "--secret-id-file", "-"]),
        &["standard input can hold the role id or the secret id, not both"],
    );
}

#[test]
fn all_that_is_wrong_is_told_together() {
    let run = sound()
        .env("VAULT_SKIP_VERIFY", "maybe")
        .env("VAULTEXEC_STOP_SIGNAL", "NOPE")
        .env_remove("VAULTEXEC_CREDS")
        .args(["--start-timeout", "soon"]);
    let run = assert_told(
        run,
        &[
            "VAULT_SKIP_VERIFY: ",
            "VAULTEXEC_STOP_SIGNAL: ",
            "--creds",
            "--start-timeout: ",
        ],
    );
    assert_eq!(run.err().lines().count(), 4, "{run}");
}

#[test]
fn a_secrets_file_that_is_missing_is_told_with_the_rest_and_before_the_command() {
    let missing = || {
        Run::vaultexec()
            .env("VAULT_ADDR", "http://127.0.0.1:1")
            .env("VAULT_ROLE_ID_FILE", "/nowhere/role")
            .env("VAULT_SECRET_ID_FILE", "/nowhere/secret")
    };
    let needles = [
        "VAULT_ROLE_ID_FILE: cannot read /nowhere/role: No such file",
        "VAULT_SECRET_ID_FILE: cannot read /nowhere/secret: No such file",
        "--creds (VAULTEXEC_CREDS): it is missing",
    ];
    let run = assert_told(missing(), &needles);
    assert_eq!(run.err().lines().count(), 3, "{run}");
    let run = missing()
        .env("VAULTEXEC_CREDS", "database/creds/app")
        .child(["no-such-command"])
        .output();
    run.assert_code(125).stderr_contains("/nowhere/role");
    // A pipe has nobody at its other end yet, and gives what it holds only once.
    let folder = Folder::new().unwrap();
    let pipe = folder.path().join("secret");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = missing().env("VAULT_SECRET_ID_FILE", &pipe);
    let run = assert_told(run, &["VAULT_ROLE_ID_FILE"]);
    assert!(!run.err().contains("SECRET_ID"), "{run}");
}

/// A run that meets rights as anybody does: root's own say over files is dropped.
fn bound_by_rights(run: Run) -> Run {
    if nix::unistd::geteuid().is_root() {
        run.under(["setpriv", "--bounding-set=-all", "--inh-caps=-all"])
    } else {
        run
    }
}

#[test]
fn a_secrets_file_that_may_not_be_read_is_told_with_its_owner_its_mode_and_the_user_who_asks() {
    let folder = Folder::new().unwrap();
    let hidden = folder.path().join("hidden");
    std::fs::create_dir(&hidden).unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "hunter2").unwrap();
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(&file, closed.clone()).unwrap();
    std::fs::set_permissions(&hidden, closed).unwrap();
    let us = format!(
        "{}:{}",
        nix::unistd::geteuid(),
        nix::unistd::getegid().as_raw()
    );
    let inside = hidden.join("secret");
    for (path, named) in [
        (&file, "it".to_owned()),
        (&inside, hidden.display().to_string()),
    ] {
        let told = format!(
            "VAULT_SECRET_ID_FILE: cannot read {}: permission denied; {named} belongs to {us} with mode 0000, \
             and vaultexec runs as {us}",
            path.display()
        );
        let run = sound().env_remove("VAULT_SECRET_ID");
        let run = bound_by_rights(run.env("VAULT_SECRET_ID_FILE", path));
        let run = assert_told(run, &[&told]);
        assert_eq!(run.err().lines().count(), 1, "{run}");
    }
}

#[test]
fn a_secret_that_cannot_be_one_is_named_and_not_shown() {
    for (bytes, needle) in [
        (&b""[..], "it is empty"),
        (b" \n\n", "it is empty"),
        (b"hunter2\nhunter2", "control character"),
        (b"hunter2\0", "control character"),
        (b"hunter2\xff", "not text in UTF-8"),
        (&[b'h'; 70_000], "longer than 64 KiB"),
    ] {
        let run = sound()
            .args(["--secret-id-file", "-"])
            .stdin_bytes(bytes.to_vec());
        assert_told(run, &["--secret-id-file: ", needle]);
    }
    // No end of it is waited for.
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    let run = sound().args(["--secret-id-file", "-"]).stdin(zeros);
    assert_told(run, &["longer than 64 KiB"]);
    assert_told(
        sound().env_bytes(b"VAULT_SECRET_ID", b"hunter2\xff"),
        &["VAULT_SECRET_ID: ", "not text in UTF-8"],
    );
    assert_told(
        sound().env_bytes(b"VAULTEXEC_CREDS", b"database/\xff"),
        &["VAULTEXEC_CREDS: ", "not text in UTF-8"],
    );
}

#[test]
fn wrong_usage_is_told_on_stderr() {
    for arguments in [
        &["true"][..],
        &[],
        &["--"],
        &["--nope", "--", "true"],
        &["--secret-id", "x", "--", "true"],
    ] {
        let run = sound().args(arguments).output();
        run.assert_code(125).stdout_is("");
        run.stderr_contains("--help");
    }
    let run = sound().env("VAULTEXEC_LOG_FORMAT", "json").arg("--nope");
    let run = run.child(SAY).output();
    run.assert_code(125).stdout_is("");
    let line: serde_json::Value = serde_json::from_str(&run.err()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["message"].as_str().unwrap().contains("--nope"));
}

fn with_content(json: &str) -> String {
    json.replace("CONTENT", CONTENT)
}

/// One answer of nonsense in place of the server's, and what has to be told.
#[track_caller]
fn assert_named(which: fn(&RequestInfo) -> bool, acts: bool, body: &str, needle: &str) {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let body = with_content(body);
    let fault = if acts {
        Fault::StatusAfter(200, body.clone())
    } else {
        Fault::body(&body)
    };
    let proxy = harm(servers, which, fault);
    let run = tenant.through(&proxy).canary(CONTENT).child(SAY).output();
    run.assert_code(125).stdout_is("").stderr_contains(needle);
    assert!(run.wall < Duration::from_secs(15), "{run}");
    run.assert_no_secret(&proxy.secrets());
    assert_eq!(proxy.count(which), 1, "asked once: {body}: {run}");
    tenant.assert_nothing_left();
}

#[test]
fn nonsense_in_place_of_a_login_is_named_by_its_field() {
    let deep = "[".repeat(100_000);
    for (body, needle) in [
        (
            "<html><body>CONTENT</body></html>",
            "a body that is not JSON",
        ),
        ("", "no `auth.client_token`"),
        ("null", "no `auth.client_token`"),
        ("[\"CONTENT\"]", "no `auth.client_token`"),
        ("{\"auth\":\"CONTENT\"}", "no `auth.client_token`"),
        (
            "{\"auth\":{\"client_token\":17}}",
            "a `auth.client_token` that is not a text",
        ),
        (
            "{\"auth\":{\"client_token\":\"\"}}",
            "a `auth.client_token` that is empty",
        ),
        (
            "{\"auth\":{\"client_token\":\"CONTENT\\u0000\"}}",
            "a `auth.client_token` that holds a NUL",
        ),
        ("{\"auth\":{\"client_token\":\"CONTENT", "not JSON"),
        (
            "{\"auth\":{\"client_token\":\"x\",\"lease_duration\":\"CONTENT\"}}",
            "a `auth.lease_duration` that is not",
        ),
        (
            "{\"auth\":{\"client_token\":\"x\",\"renewable\":\"CONTENT\"}}",
            "a `auth.renewable` that is not",
        ),
        (
            "{\"auth\":{\"client_token\":\"x\",\"num_uses\":-1}}",
            "a `auth.num_uses` that is not",
        ),
        (&deep, "not JSON"),
    ] {
        assert_named(RequestInfo::is_login, false, body, needle);
    }
}

#[test]
fn a_login_whose_answer_is_nonsense_but_for_the_token_does_not_lose_the_token() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for (field, value) in [
        ("lease_duration", "\"CONTENT\""),
        ("lease_duration", "-1"),
        ("renewable", "\"CONTENT\""),
        ("renewable", "7"),
        ("num_uses", "\"CONTENT\""),
        ("num_uses", "1.5"),
        ("token_type", "17"),
    ] {
        let token = "hvs.made-up-token";
        let body = format!("{{\"auth\":{{\"client_token\":\"{token}\",\"{field}\":{value}}}}}");
        let proxy = harm(
            servers,
            RequestInfo::is_login,
            Fault::body(&with_content(&body)),
        );
        let run = tenant.through(&proxy).canary(CONTENT).canary(token);
        let run = run.child(SAY).output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains(&format!("`auth.{field}`"));
        let revoked: Vec<_> = proxy
            .requests()
            .into_iter()
            .filter(RequestInfo::is_revoke_self)
            .collect();
        assert_eq!(revoked.len(), 1, "{field} {value}: {run}");
        assert_eq!(revoked[0].header("x-vault-token"), Some(token));
        assert_eq!(proxy.requests().len(), 2, "{run}");
    }
    // One that is a real token.
    let token = tenant.login();
    let body = format!("{{\"auth\":{{\"client_token\":\"{token}\",\"lease_duration\":[]}}}}");
    let proxy = harm(servers, RequestInfo::is_login, Fault::body(&body));
    let run = tenant.through(&proxy).child(SAY).output();
    assert_refused(&run, &proxy, &tenant);
}

#[test]
fn nonsense_in_place_of_credentials_is_named_by_its_field_and_the_role_goes() {
    let deep = "{\"data\":".repeat(50_000);
    let lease =
        "\"lease_id\":\"database/creds/x/CONTENT\",\"lease_duration\":3600,\"renewable\":true";
    let with = |data: &str| format!("{{{lease},\"data\":{data}}}");
    let cases = [
        ("<html>CONTENT</html>".to_owned(), "a body that is not JSON"),
        (String::new(), "no `data.username`"),
        ("{}".to_owned(), "no `data.username`"),
        ("\"CONTENT\"".to_owned(), "no `data.username`"),
        (deep, "not JSON"),
        (
            "{\"lease_duration\":\"CONTENT\"}".to_owned(),
            "`lease_duration`",
        ),
        ("{\"lease_duration\":-5}".to_owned(), "`lease_duration`"),
        (
            "{\"lease_id\":\"x\",\"renewable\":\"CONTENT\"}".to_owned(),
            "`renewable`",
        ),
        (
            "{\"lease_id\":17,\"data\":{\"username\":\"CONTENT\",\"password\":\"CONTENT\"}}"
                .to_owned(),
            "`lease_id`",
        ),
        (
            "{\"lease_id\":\"CONTENT\\u0007\",\"data\":{\"username\":\"u\",\"password\":\"p\"}}"
                .to_owned(),
            "`lease_id`",
        ),
        (with("null"), "no `data.username`"),
        (
            with("{\"username\":17,\"password\":\"CONTENT\"}"),
            "a `data.username` that is not a text",
        ),
        (
            with("{\"username\":\"\",\"password\":\"CONTENT\"}"),
            "a `data.username` that is empty",
        ),
        (with("{\"username\":\"u\"}"), "no `data.password`"),
        (
            with("{\"username\":\"u\",\"password\":[\"CONTENT\"]}"),
            "a `data.password` that is not a text",
        ),
        (
            with("{\"username\":\"u\",\"password\":\"CONTENT\\u0000\"}"),
            "a `data.password` that holds a NUL",
        ),
    ];
    for (body, needle) in cases {
        assert_named(RequestInfo::is_creds, true, &body, needle);
    }
}

#[test]
fn a_flood_is_not_kept_in_memory() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for which in [
        RequestInfo::is_login as fn(&RequestInfo) -> bool,
        RequestInfo::is_creds,
    ] {
        let proxy = harm(servers, which, Fault::Flood(400 << 20));
        let run = tenant
            .through(&proxy)
            // To hold it all would end in an abort.
            .limited(libc::RLIMIT_AS, 200 << 20)
            .child(SAY)
            .output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains("a body of more than 1 MiB");
        assert!(run.wall < Duration::from_secs(15), "{run}");
    }
    // While cleaning up the status alone decides.
    let proxy = harm(
        servers,
        RequestInfo::is_revoke_self,
        Fault::Flood(400 << 20),
    );
    let run = tenant
        .through(&proxy)
        .limited(libc::RLIMIT_AS, 200 << 20)
        .child(SAY)
        .output();
    run.assert_code(0).stdout_is("ran\n");
}

#[test]
fn a_byte_a_second_is_not_waited_for() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for which in [
        RequestInfo::is_login as fn(&RequestInfo) -> bool,
        RequestInfo::is_creds,
    ] {
        for (head, pause) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{", 20),
            ("HTTP/1.1 200 OK\r\nX-Slow: ", 1000),
        ] {
            let bytes = [head.as_bytes(), &[b'a'; 400]].concat();
            let fault = Fault::Drip(bytes, Duration::from_millis(pause));
            let proxy = harm(servers, which, fault);
            let run = tenant
                .through(&proxy)
                .args(["--start-timeout", "2s"])
                .child(SAY)
                .output();
            assert_refused(&run, &proxy, &tenant);
            run.stderr_contains("the answer was lost");
            assert!(run.wall < Duration::from_secs(15), "{run}");
        }
    }
}

#[test]
fn what_is_no_http_or_is_cut_off_is_a_lost_answer() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for fault in [
        Fault::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        Fault::Raw(Vec::new()),
        Fault::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"auth\":".to_vec()),
        Fault::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        Fault::Truncate,
    ] {
        let proxy = harm(servers, RequestInfo::is_creds, fault);
        let run = tenant.through(&proxy).args(["--start-timeout", "500ms"]);
        let run = run.child(SAY).output();
        assert_refused(&run, &proxy, &tenant);
        run.stderr_contains(&format!(
            "cannot read credentials at {}: the answer was lost",
            tenant.creds_path()
        ));
        let (reads, logins) = (
            proxy.count(RequestInfo::is_creds),
            proxy.count(RequestInfo::is_login),
        );
        assert_eq!(reads, logins, "once with each token");
    }
}

#[test]
fn a_servers_own_words_are_capped_and_cannot_drive_the_terminal() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let words = format!(
        "\u{1b}[2J\r\nvaultexec: all is well\u{7}{}",
        "y".repeat(50_000)
    );
    let proxy = harm(servers, RequestInfo::is_login, Fault::error(400, &words));
    let run = tenant.through(&proxy).child(SAY).output();
    assert_refused(&run, &proxy, &tenant);
    let text = run.err();
    assert!(!text.contains(['\u{1b}', '\u{7}', '\r']), "{text:?}");
    assert!(
        text.len() < 2_000 && !text.contains("\nvaultexec: all"),
        "{text}"
    );
    // A server that gives back what it was asked with.
    let secret_id = tenant.secret_id();
    let echo = Fault::error(400, &format!("bad secret {secret_id}"));
    let proxy = harm(servers, RequestInfo::is_login, echo);
    let run = tenant
        .through(&proxy)
        .env("VAULT_SECRET_ID", &secret_id)
        .child(SAY)
        .output();
    assert_refused(&run, &proxy, &tenant);
    run.stderr_contains("bad secret REDACTED (400)");
}
