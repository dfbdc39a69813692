//! Whom vaultexec trusts, and how soon and clearly it says that it does not.

use crate::support::folder::Folder;
use crate::support::http;
use crate::support::switch::Switch;
use crate::support::tunnel::Tunnel;
use crate::support::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SAY: [&str; 2] = ["echo", "ran"];

fn at(tenant: &Tenant, url: &str) -> Run {
    tenant.command().env("VAULT_ADDR", url)
}

#[track_caller]
fn assert_trusted(tenant: &Tenant, run: Run) {
    let run = run.child(SAY).output();
    run.assert_code(0).assert_quiet_stderr().stdout_is("ran\n");
    tenant.assert_nothing_left();
}

/// Final: told at once, not after the time that other faults are waited for.
#[track_caller]
fn assert_not_trusted(tenant: &Tenant, run: Run, needles: &[&str]) {
    let run = run.child(SAY).output();
    run.assert_code(125).stdout_is("");
    for needle in needles {
        run.stderr_contains(needle);
    }
    assert!(!run.err().contains("trying again"), "{run}");
    assert!(run.wall < Duration::from_secs(15), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn an_authority_is_given_by_file_folder_or_bytes() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let (ca, folder) = (tls.certificates.ca(), tls.certificates.ca_folder());
    let pem = fs::read_to_string(&ca).unwrap();
    let good = || at(&tenant, &tls.good());
    assert_trusted(&tenant, good().env("VAULT_CACERT", &ca));
    assert_trusted(&tenant, good().env("BAO_CACERT", &ca));
    assert_trusted(&tenant, good().arg("--ca-cert").arg(&ca));
    assert_trusted(&tenant, good().env("VAULT_CAPATH", &folder));
    assert_trusted(&tenant, good().arg("--ca-path").arg(&folder));
    assert_trusted(&tenant, good().env("VAULT_CACERT_BYTES", &pem));
    // Bytes win over a file, as for the official client; a flag wins over both.
    let other = tls.certificates.other_ca();
    assert_trusted(
        &tenant,
        good()
            .env("VAULT_CACERT", &other)
            .env("VAULT_CACERT_BYTES", &pem),
    );
    assert_trusted(
        &tenant,
        good()
            .env("VAULT_CACERT_BYTES", fs::read_to_string(&other).unwrap())
            .arg("--ca-cert")
            .arg(&ca),
    );
    assert_trusted(
        &tenant,
        good()
            .env("VAULT_CACERT", &other)
            .env("VAULT_CACERT_BYTES", fs::read_to_string(&other).unwrap())
            .arg("--ca-path")
            .arg(&folder),
    );
    // A folder may hold other things, and several authorities.
    let mixed = Folder::new().unwrap();
    fs::write(mixed.path().join("README"), "not a certificate").unwrap();
    fs::copy(&other, mixed.path().join("a.pem")).unwrap();
    fs::copy(&ca, mixed.path().join("b.pem")).unwrap();
    assert_trusted(&tenant, good().env("VAULT_CAPATH", mixed.path()));
}

#[test]
fn an_unknown_authority_is_named_with_the_setting_for_it() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let needles = [
        "no trusted connection",
        "UnknownIssuer",
        "--ca-cert (VAULT_CACERT)",
    ];
    assert_not_trusted(&tenant, at(&tenant, &tls.good()), &needles);
    let other = tls.certificates.other_ca();
    let run = at(&tenant, &tls.good()).env("VAULT_CACERT", other);
    assert_not_trusted(&tenant, run, &needles);
}

#[test]
fn a_certificate_that_has_expired_is_named_as_such() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let run = at(&tenant, &tls.expired()).env("VAULT_CACERT", tls.certificates.ca());
    assert_not_trusted(&tenant, run, &["no trusted connection", "expired"]);
}

#[test]
fn a_certificate_for_another_host_is_taken_only_under_its_name() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let wrong = || at(&tenant, &tls.wrong_host()).env("VAULT_CACERT", tls.certificates.ca());
    let needles = [
        "no trusted connection",
        "not valid for name",
        "VAULT_TLS_SERVER_NAME",
    ];
    assert_not_trusted(&tenant, wrong(), &needles);
    assert_trusted(
        &tenant,
        wrong().env("VAULT_TLS_SERVER_NAME", "elsewhere.example"),
    );
    assert_trusted(
        &tenant,
        wrong().args(["--tls-server-name", "elsewhere.example"]),
    );
    let good = at(&tenant, &tls.good()).env("VAULT_CACERT", tls.certificates.ca());
    assert_not_trusted(
        &tenant,
        good.args(["--tls-server-name", "elsewhere.example"]),
        &["not valid for name"],
    );
}

#[test]
fn the_name_that_is_given_holds_for_a_standbys_address_too() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let wrong = tls.wrong_host();
    let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
        Fault::Redirect(format!("{wrong}{}", request.path))
    });
    let run = || at(&tenant, &proxy.url()).env("VAULT_CACERT", tls.certificates.ca());
    assert_trusted(
        &tenant,
        run().env("VAULT_TLS_SERVER_NAME", "elsewhere.example"),
    );
    assert_not_trusted(&tenant, run(), &["not valid for name"]);
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_to_the_address_whatever_the_certificates_name() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let bare = |url: String| url.replace("https://", "");
    for variable in ["VAULT_PROXY_ADDR", "HTTPS_PROXY"] {
        // What is on this host needs no proxy, unless it is Vault's own.
        let host = |url: String| match variable {
            "HTTPS_PROXY" => url.replace("127.0.0.1", "vault.invalid"),
            _ => url,
        };
        let through = |url: &str, tunnel: &Tunnel| {
            at(&tenant, url)
                .env("VAULT_CACERT", tls.certificates.ca())
                .env(variable, tunnel.url())
        };
        let tunnel = Tunnel::start();
        if variable == "VAULT_PROXY_ADDR" {
            assert_trusted(&tenant, through(&tls.good(), &tunnel));
            assert_eq!(tunnel.targets().first(), Some(&bare(tls.good())));
        }
        let tunnel = Tunnel::start();
        let wrong = host(tls.wrong_host());
        let run = through(&wrong, &tunnel);
        assert_trusted(
            &tenant,
            run.env("VAULT_TLS_SERVER_NAME", "elsewhere.example"),
        );
        assert_eq!(tunnel.targets().first(), Some(&bare(wrong)), "{variable}");
    }
}

#[test]
fn verification_can_be_switched_off() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    for url in [tls.good(), tls.expired(), tls.wrong_host()] {
        for run in [
            at(&tenant, &url).env("VAULT_SKIP_VERIFY", "true"),
            at(&tenant, &url).arg("--tls-skip-verify"),
        ] {
            let run = run.child(SAY).output();
            run.assert_code(0).stdout_is("ran\n");
            run.stderr_contains("the server's certificate is not verified");
            assert_eq!(run.err().lines().count(), 1, "{run}");
            tenant.assert_nothing_left();
        }
    }
}

#[test]
fn a_server_may_ask_for_a_client_certificate() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let files = &tls.certificates;
    let mutual = || at(&tenant, &tls.mutual()).env("VAULT_CACERT", files.ca());
    assert_trusted(
        &tenant,
        mutual()
            .env("VAULT_CLIENT_CERT", files.client_cert())
            .env("VAULT_CLIENT_KEY", files.client_key()),
    );
    assert_trusted(
        &tenant,
        mutual()
            .arg("--client-cert")
            .arg(files.client_cert())
            .arg("--client-key")
            .arg(files.client_key()),
    );
    assert_not_trusted(
        &tenant,
        mutual(),
        &["no trusted connection", "--client-cert (VAULT_CLIENT_CERT)"],
    );
    // A certificate and a key that do not belong together.
    assert_not_trusted(
        &tenant,
        mutual()
            .env("VAULT_CLIENT_CERT", files.client_cert())
            .env("VAULT_CLIENT_KEY", files.server_key("good")),
        &["VAULT_CLIENT_KEY: it does not belong to the client certificate"],
    );
    assert_not_trusted(
        &tenant,
        mutual()
            .env("VAULT_CLIENT_CERT", files.client_cert())
            .env("VAULT_CLIENT_KEY", files.client_cert()),
        &["VAULT_CLIENT_KEY", "no PEM private key"],
    );
}

#[test]
fn http_where_https_is_spoken_and_the_reverse_are_told_as_such() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let plain = tls.good().replace("https://", "http://");
    assert_not_trusted(
        &tenant,
        at(&tenant, &plain),
        &[
            "this address speaks https, not http",
            "begin the address with https://",
        ],
    );
    // A wrapping token is not to be taken for stolen because of that.
    let run = tenant
        .command_without_secret()
        .env("VAULT_ADDR", &plain)
        .env("VAULT_ROLE_ID", tenant.role_id())
        .env("VAULT_WRAPPED_SECRET_ID", tenant.wrapped_secret_id("60s"))
        .child(SAY)
        .output();
    run.assert_code(125).stderr_contains("speaks https");
    assert!(!run.err().contains("two readings"), "a false alarm: {run}");
    let secure = servers.vault.url().replace("http://", "https://");
    assert_not_trusted(
        &tenant,
        at(&tenant, &secure).env("VAULT_CACERT", tls.certificates.ca()),
        &["no trusted connection", "this address may speak plain http"],
    );
}

/// A TLS server that gives this answer to one request, whatever it is; gives its address and, at the end, what it was
/// asked.
fn answering_once(
    cert: &Path,
    key: &Path,
    answer: String,
) -> (String, std::thread::JoinHandle<String>) {
    let chain = CertificateDer::pem_file_iter(cert)
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut asked = Vec::new();
        let mut buffer = [0; 4096];
        while !asked.ends_with(b"}") {
            let Ok(count) = stream.read(&mut buffer) else {
                return "not trusted".to_owned();
            };
            asked.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.flush().unwrap();
        let _ = stream.read(&mut buffer);
        String::from_utf8_lossy(&asked).into_owned()
    });
    (url, serving)
}

fn redirect_to(target: &str) -> String {
    format!("HTTP/1.1 307 Elsewhere\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn a_redirect_from_https_down_to_http_is_refused() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let files = &tls.certificates;
    let plain = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let target = format!("{}{}", plain.url(), tenant.login_path());
    let (url, serving) = answering_once(
        &files.server_cert("good"),
        &files.server_key("good"),
        redirect_to(&target),
    );
    let run = at(&tenant, &url).env("VAULT_CACERT", files.ca());
    assert_not_trusted(
        &tenant,
        run,
        &[
            "redirect refused: from https down to http",
            "--address, VAULT_ADDR",
        ],
    );
    assert!(
        serving
            .join()
            .unwrap()
            .starts_with(&format!("POST {} ", tenant.login_path()))
    );
    assert_eq!(plain.requests().len(), 0, "nothing went over plain http");
}

#[test]
fn a_redirect_from_http_up_to_https_is_followed() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let target = tls.good();
    let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
        Fault::Redirect(format!("{target}{}", request.path))
    });
    let ca = tls.certificates.ca();
    let redirected = || at(&tenant, &proxy.url());
    assert_trusted(&tenant, redirected().env("VAULT_CACERT", &ca));
    // The system's authorities, as far as this library looks for them.
    assert_trusted(&tenant, redirected().env("SSL_CERT_FILE", &ca));
    assert_not_trusted(
        &tenant,
        redirected().env("SSL_CERT_FILE", tls.certificates.other_ca()),
        &["no trusted connection", "UnknownIssuer", &tls.good()],
    );
}

#[test]
fn a_redirect_never_leads_off_a_socket() {
    let servers = Servers::shared();
    let (tenant, folder) = (Tenant::new(servers), Folder::new().unwrap());
    let elsewhere = pass(servers);
    let target = format!("{}/elsewhere{}", elsewhere.url(), tenant.login_path());
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = std::io::BufReader::new(stream.unwrap());
            while let Ok(Some(head)) = http::read_head(&mut stream) {
                http::read_body(&mut stream, &head).unwrap();
                let answer = if head.first_line.contains(" /elsewhere/") {
                    let body = "{\"errors\":[\"dialled again\"]}";
                    format!(
                        "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                } else {
                    redirect_to(&target)
                };
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        }
    });
    let run = at(&tenant, &format!("unix://{}", socket.display()))
        .child(SAY)
        .output();
    run.assert_code(125).stderr_contains("dialled again (403)");
    assert_eq!(
        elsewhere.requests().len(),
        0,
        "nothing went over plain http"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_redirect_over_plain_http_leads_only_to_a_host_that_was_given() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let elsewhere = pass(servers);
    // The same machine by another name.
    let target = elsewhere.url().replace("127.0.0.1", "127.0.0.2");
    let proxy = FaultProxy::start(&servers.vault.url(), move |request| {
        Fault::Redirect(format!("{target}{}", request.path))
    });
    let run = at(&tenant, &proxy.url()).child(SAY).output();
    run.assert_code(125).stderr_contains(
        "redirect refused: over plain http to a host that VAULT_ADDR does not name",
    );
    assert_eq!(elsewhere.requests().len(), 0, "nothing was sent there");
    tenant.assert_nothing_left();
}

#[test]
fn the_systems_authorities_are_not_read_for_plain_http() {
    let servers = Servers::shared();
    let (tenant, folder) = (Tenant::new(servers), Folder::new().unwrap());
    // Whoever opens it waits for ever.
    let pipe = folder.path().join("authorities");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = tenant.command().env("SSL_CERT_FILE", &pipe);
    assert_trusted(&tenant, run.deadline(Duration::from_secs(120)));
}

#[test]
fn a_proxy_that_speaks_tls_stands_before_a_server_that_does_not() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let files = &tls.certificates;
    let body = r#"{"errors":["by way of the proxy"]}"#;
    let length = body.len();
    let answer = format!("HTTP/1.1 400 No\r\nContent-Length: {length}\r\n\r\n{body}");
    let (url, serving) = answering_once(
        &files.server_cert("good"),
        &files.server_key("good"),
        answer,
    );
    let run = at(&tenant, "http://vault.example:8200")
        .env("VAULT_PROXY_ADDR", url)
        .env("VAULT_CACERT", files.ca());
    assert_not_trusted(&tenant, run, &["by way of the proxy (400)"]);
    let asked = serving.join().unwrap();
    assert!(
        asked.starts_with(&format!(
            "POST http://vault.example:8200{} ",
            tenant.login_path()
        )),
        "{asked}"
    );
}

#[test]
fn the_next_address_is_asked_when_the_first_is_not_trusted() {
    let servers = Servers::shared();
    let (tenant, tls) = (Tenant::new(servers), servers.vault.tls());
    let ca = tls.certificates.ca();
    let several = |urls: &[&str]| at(&tenant, &urls.join(",")).env("VAULT_CACERT", &ca);
    let (good, expired, wrong_host) = (tls.good(), tls.expired(), tls.wrong_host());
    assert_trusted(&tenant, several(&[&expired, &wrong_host, &good]));
    let needles = ["no trusted connection", &expired, "certificate expired"];
    assert_not_trusted(&tenant, several(&[&expired, &wrong_host]), &needles);
    assert_not_trusted(
        &tenant,
        several(&["https://127.0.0.1:1", &expired]),
        &needles,
    );
}

#[test]
fn a_certificate_that_signed_itself_is_trusted_when_it_is_given() {
    let servers = Servers::shared();
    let (tenant, folder) = (Tenant::new(servers), Folder::new().unwrap());
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    // As its manual has it: an authority, and a server's certificate at once.
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-out")
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let answer = || {
        let body = r#"{"errors":["trusted"]}"#;
        let length = body.len();
        format!("HTTP/1.1 400 No\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let (url, serving) = answering_once(&cert, &key, answer());
    let run = at(&tenant, &url).env("VAULT_CACERT", &cert);
    assert_not_trusted(&tenant, run, &["trusted (400)"]);
    serving.join().unwrap();
    let (url, serving) = answering_once(&cert, &key, answer());
    assert_not_trusted(
        &tenant,
        at(&tenant, &url),
        &[
            "no trusted connection",
            "is an authority's own",
            "--ca-cert (VAULT_CACERT)",
        ],
    );
    assert_eq!(serving.join().unwrap(), "not trusted");
}

/// A run by way of a server whose certificate can become one that has expired.
fn by_way_of(tenant: &Tenant, switch: &Switch) -> Run {
    let ca = Servers::shared().vault.tls().certificates.ca();
    at(tenant, &switch.url()).env("VAULT_CACERT", ca)
}

#[test]
fn a_certificate_that_expires_while_the_child_runs_is_an_outage() {
    let tls = Servers::shared().vault.tls();
    let tenant = Tenant::new(Servers::shared());
    let switch = Switch::to(&tls.good());
    let running = by_way_of(&tenant, &switch)
        .arg("-v")
        .child(children::TELLING)
        .spawn();
    running.wait_for_line("start");
    switch.turn_to(&tls.expired());
    running.signal(libc::SIGCONT);
    let told = running.wait_for_stderr("cannot renew the ");
    assert!(
        told.contains(" now: no trusted connection: ") && told.contains("; trying again"),
        "{told}"
    );
    switch.turn_to(&tls.good());
    running.wait_for_stderr("renewed the token for ");
    running.signal(libc::SIGCONT);
    running.wait_for_stderr("renewed the lease for ");
    running.signal(libc::SIGTERM);
    let run = running.wait();
    run.assert_code(7).stdout_is("start\nterm\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_certificate_that_has_expired_at_the_end_is_waited_for() {
    let tls = Servers::shared().vault.tls();
    for (change, requests) in [
        (TenantSpec::may_revoke_leases as Change, 4),
        (|spec| spec, 3),
    ] {
        let tenant = Tenant::with(Servers::shared(), change);
        let switch = Switch::to(&tls.good());
        let mut running = by_way_of(&tenant, &switch)
            .args(["--revoke-timeout", "60s"])
            .child(["sh", "-c", "echo ready; read line; exit 3"])
            .stdin_piped()
            .spawn();
        running.wait_for_line("ready");
        switch.turn_to(&tls.expired());
        running.say("go");
        // One for each call that the policy allows; any more are tries again.
        switch.wait_ended(requests);
        switch.turn_to(&tls.good());
        running.wait().assert_code(3).assert_quiet_stderr();
        tenant.assert_nothing_left();
    }
}
