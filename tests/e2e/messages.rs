//! What is told when something is wrong: it names the thing, and what to do about it.

use crate::support::folder::Folder;
use crate::support::process::free_port;
use crate::support::*;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];

/// Calls openssl in a folder.
#[track_caller]
fn openssl(folder: &Path, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let made = std::process::Command::new("openssl")
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{line}: {made:?}");
}

/// An authority on one curve, and a leaf on another that it has signed with SHA-512, shown by a server.
#[track_caller]
fn told_of(authority: &str, leaf: &str) -> String {
    let folder = Folder::new().unwrap();
    let at = folder.path();
    std::fs::write(at.join("ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    for (curve, key) in [(authority, "ca.key"), (leaf, "leaf.key")] {
        openssl(
            at,
            &format!("ecparam -name {curve} -genkey -noout -out {key}"),
        );
    }
    openssl(
        at,
        "req -x509 -new -key ca.key -sha256 -subj /CN=authority -days 30 -out ca.pem",
    );
    openssl(at, "req -new -key leaf.key -subj /CN=leaf -out leaf.csr");
    let digest = if authority == "prime256v1" {
        "-sha256"
    } else {
        "-sha512"
    };
    openssl(
        at,
        &format!(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key {digest} -days 30 -extfile ext -set_serial 2 -out leaf.pem"
        ),
    );
    let port = free_port().unwrap();
    let server = Run::of("openssl")
        .current_dir(at)
        .args(["s_server", "-www", "-cert", "leaf.pem", "-key", "leaf.key"]);
    let server = server.arg("-accept").arg(port.to_string()).spawn();
    server.wait_for_line("ACCEPT");
    let run = Run::vaultexec()
        .env("VAULT_ADDR", format!("https://127.0.0.1:{port}"))
        .env("VAULT_CACERT", at.join("ca.pem"))
        .env("VAULT_ROLE_ID", "x")
        .env("VAULTEXEC_CREDS", "database/creds/app")
        .child(SAY)
        .output();
    run.assert_code(125).stdout_is("");
    assert!(
        run.wall < Duration::from_secs(15),
        "it was tried again: {run}"
    );
    server.signal(libc::SIGKILL);
    server.wait();
    run.err()
}

#[test]
fn a_certificate_that_cannot_be_checked_is_told_in_one_line_that_names_the_algorithm() {
    for (authority, leaf, wanted) in [
        (
            "secp521r1",
            "prime256v1",
            "signed with ecdsa-with-SHA512, which cannot be checked here\n",
        ),
        (
            "secp384r1",
            "prime256v1",
            "signed with ecdsa-with-SHA512, which cannot be checked here\n",
        ),
        (
            "prime256v1",
            "secp521r1",
            "no version, cipher or kind of certificate that both sides can use\n",
        ),
    ] {
        let told = told_of(authority, leaf);
        assert!(told.contains(wanted), "{authority} {leaf}: {told}");
        assert!(told.contains("P-384") && told.contains("Ed25519"), "{told}");
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(told.lines().all(|line| line.len() < 250), "{told}");
    }
}

/// A proxy that lets nobody through.
fn closed_proxy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let refuse = |stream: TcpStream| -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && !line.ends_with("\r\n\r\n") {}
        (&stream).write_all(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
        )
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = refuse(stream);
        }
    });
    format!("{address}")
}

#[test]
fn a_proxy_that_wants_a_user_is_named_at_once() {
    let proxy = closed_proxy();
    for address in ["https://vault.invalid:8200", "http://vault.invalid:8200"] {
        let run = Run::vaultexec()
            .env("VAULT_ADDR", address)
            .env("VAULT_PROXY_ADDR", format!("http://{proxy}"))
            .env("VAULT_ROLE_ID", "x")
            .env("VAULTEXEC_CREDS", "database/creds/app")
            .child(SAY)
            .output();
        run.assert_code(125)
            .stderr_contains(&format!(
                "the proxy http://{proxy} wants a user and a password (407)"
            ))
            .stderr_contains("VAULT_PROXY_ADDR");
        assert!(
            run.wall < Duration::from_secs(15),
            "it was tried again: {run}"
        );
    }
}

#[test]
fn a_proxy_that_is_away_is_named_with_the_address() {
    let run = Run::vaultexec()
        .env("VAULT_ADDR", "https://vault.invalid:8200")
        .env("VAULT_PROXY_ADDR", "http://u:hunter2@127.0.0.1:1")
        .env("VAULT_ROLE_ID", "x")
        .env("VAULTEXEC_CREDS", "database/creds/app")
        .env("VAULTEXEC_START_TIMEOUT", "1s")
        .canary("hunter2")
        .child(SAY)
        .output();
    run.assert_code(125).stderr_contains(
        "https://vault.invalid:8200 by way of http://127.0.0.1:1: Connection refused",
    );
}

#[test]
fn a_secret_id_that_is_bound_to_another_address_is_told_as_the_server_means_it() {
    let servers = Servers::shared();
    for field in ["secret_id_bound_cidrs", "token_bound_cidrs"] {
        let tenant = Tenant::new(servers);
        let secret_id = tenant.secret_id();
        tenant
            .admin()
            .write(&tenant.approle_path(), json!({ (field): ["192.0.2.0/24"] }))
            .unwrap();
        let fresh = tenant.secret_id();
        for secret_id in [secret_id, fresh] {
            let run = tenant
                .command()
                .env("VAULT_SECRET_ID", secret_id)
                .child(SAY)
                .output();
            run.assert_code(125).stderr_contains(field);
            assert!(
                !run.err().contains("secret id is wrong") && !run.err().contains("needs this line"),
                "{run}"
            );
        }
        // From here its token cannot be given back either.
        tenant.revoke_tokens();
        tenant.assert_nothing_left();
    }
}

#[test]
fn messages_have_colour_at_a_terminal_that_wants_it_and_nowhere_else() {
    let wrong = || {
        Run::vaultexec()
            .env("VAULT_ROLE_ID", "x")
            .env("TERM", "xterm")
            .child(SAY)
    };
    let shown = Pty::new().spawn(wrong()).wait().out();
    assert!(
        shown.contains("\u{1b}[31mvaultexec:\u{1b}[0m --creds (VAULTEXEC_CREDS)"),
        "{shown}"
    );
    let plain = Pty::new().spawn(wrong().env("NO_COLOR", "1")).wait().out();
    assert!(
        plain.contains("vaultexec: --creds") && !plain.contains('\u{1b}'),
        "{plain}"
    );
    assert!(!wrong().output().err().contains('\u{1b}'));
}

/// The lines of a run with `-v`, as JSON.
fn story(tenant: &Tenant) -> Vec<Value> {
    let run = tenant
        .command()
        .args(["-v", "--log-format", "json"])
        .child(["true"])
        .output();
    run.assert_code(0);
    let lines = run.err();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_run_tells_its_story_in_a_dozen_lines_with_the_fields_that_apply() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, TenantSpec::may_revoke_leases);
    let story = story(&tenant);
    assert!(story.len() <= 12, "{story:#?}");
    let event = |name: &str| {
        let found = story.iter().find(|line| line["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {story:#?}"))
    };
    for line in &story {
        for field in ["time", "level", "event", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    let login = event("logged_in");
    let message = login["message"].as_str().unwrap();
    assert!(
        message.contains(tenant.approle_role()) && message.contains(tenant.policy()),
        "{login}"
    );
    assert_eq!(login["path"], tenant.auth_path());
    let read = event("credentials");
    assert_eq!(read["path"], tenant.creds_path());
    assert!(
        read["db_user"].as_str().unwrap().starts_with("v-"),
        "{read}"
    );
    assert!(
        read["lease_id"]
            .as_str()
            .unwrap()
            .starts_with(&tenant.creds_path()),
        "{read}"
    );
    assert!(
        read["expires_at"].as_str().unwrap().ends_with('Z'),
        "{read}"
    );
    event("issued");
    assert!(
        event("started")["pid"]
            .as_str()
            .unwrap()
            .parse::<u32>()
            .is_ok()
    );
    let revoked = event("revoked");
    assert_eq!(revoked["lease_id"], read["lease_id"]);
    tenant.assert_nothing_left();
}
