//! Targets: a server's answers, from the bytes on the connection to what is said of them.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

use super::answer::{retry_after, words};
use super::api::is_lease_id;
use super::endpoint::below;
use super::request::{Kind, Request};
use super::{
    Address, Client, Document, Failure, Identity, Proxy, Settings, TlsSettings, certificates,
    check_identity,
};
use crate::error::hints;
use crate::fuzz::{CANARY, Target, lines, text};
use crate::logging::is_hostile;
use crate::secret::{Fields, Rotation};
use crate::sensitive::{Kept, Sensitive};
use crate::sys::clock::Moment;

pub const TARGETS: &[Target] = &[
    Target {
        name: "answer",
        run: answer,
        short: 300,
    },
    Target::new("document", document),
    Target::new("error-words", error_words),
    Target::new("retry-after", retry_after_header),
    Target::new("lease-id", lease_id),
    Target {
        name: "pem",
        run: pem,
        short: 500,
    },
];

/// A hundred years: no time of the server's is taken for longer.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// What a call may take here; it ends as soon as the connection does.
const LIMIT: Duration = Duration::from_secs(20);

/// A server that gives one answer to whatever is asked.
struct Server {
    runtime: Runtime,
    path: PathBuf,
    listener: UnixListener,
    client: Client,
}

impl Server {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let name = format!(
            "vaultexec-fuzz-{}-{:016x}",
            std::process::id(),
            fastrand::u64(..)
        );
        let path = std::env::temp_dir().join(name);
        let listener = {
            let _entered = runtime.enter();
            UnixListener::bind(&path).expect("a socket")
        };
        let client = Client::new(&Settings {
            addresses: vec![Address::Unix(path.clone())],
            namespace: None,
            tls: TlsSettings::default(),
            proxy: Proxy::Direct,
            timeout: LIMIT,
            connect_timeout: LIMIT,
            max_retries: None,
            follow_redirects: true,
        });
        Self {
            runtime,
            path,
            listener,
            client: client.expect("a client"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.path);
    }
}

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

/// The first line says which call is answered, the rest is what comes over the connection.
fn answer(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (call, bytes) = input.split_at(end.map_or(0, |end| end + 1));
    let call = text(call);
    SERVER.with_borrow(|server| {
        server.runtime.block_on(async {
            tokio::select! {
                () = serve(&server.listener, bytes) => {}
                () = carry_out(&server.client, call.trim_end()) => {}
            }
        });
    });
}

async fn serve(listener: &UnixListener, bytes: &[u8]) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // A client that has gone has had enough.
            let _answered = give(&stream, bytes).await;
        }
    }
}

/// Reads the request and writes the answer.
async fn give(stream: &UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let mut part = [0u8; 4096];
        let read = stream
            .async_io(Interest::READABLE, || stream.try_read(&mut part))
            .await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..read]);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = stream
            .async_io(Interest::WRITABLE, || stream.try_write(rest))
            .await?;
        rest = &rest[written..];
    }
    Ok(())
}

/// Whether a request is there with its body.
fn is_whole(request: &[u8]) -> bool {
    let text = text(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .and_then(|length| length.parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn carry_out(client: &Client, call: &str) {
    let token = Kept::from(CANARY);
    let path = "database/creds/app-role";
    let failure = match call {
        "login" => {
            let body = json!({"role_id": "role", "secret_id": CANARY});
            let answer = client.login("auth/approle/login", body, LIMIT).await;
            answer.map(|answer| assert!(answer.lease_duration <= LONGEST))
        }
        "wrapping-lookup" => client.wrapping_lookup(&token, LIMIT).await.map(|info| {
            // As it is told.
            let _shown = info
                .until
                .map(|until| humantime::format_rfc3339_seconds(until).to_string());
        }),
        "unwrap" => client.unwrap_response(&token, LIMIT).await.map(drop),
        "read" => client.read(path, &token, LIMIT).await.map(|answer| {
            let id = answer.lease_id.unwrap_or_default();
            assert!(!id.contains(is_hostile_in_a_path), "{id:?}");
            if let Ok((duration, _)) = answer.terms {
                assert!(duration <= LONGEST);
            }
        }),
        "renew-lease" => {
            let answer = client.renew_lease("a/b", LIMIT, &token, LIMIT).await;
            answer.map(|renewed| assert!(renewed.granted <= LONGEST))
        }
        "renew-self" => client.renew_self(LIMIT, &token, LIMIT).await.map(drop),
        "lookup-self" => {
            let answer = client.lookup_self(&token, LIMIT).await;
            answer.map(|info| assert!(info.ttl <= LONGEST && info.creation_ttl <= LONGEST))
        }
        "capabilities" => {
            let paths = ["sys/leases/revoke".to_owned(), "x".to_owned()];
            client.capabilities(&paths, &token, LIMIT).await.map(drop)
        }
        "revoke-lease" => {
            let answer = client.revoke_lease("a/b", true, &token, LIMIT).await;
            answer.map(drop)
        }
        "revoke-self" => client.revoke_self(&token, LIMIT).await,
        // Nothing secret is asked with.
        "seal-status" => {
            let _said = client.seal_statuses(LIMIT).await;
            return;
        }
        _ => return,
    };
    if let Err(failure) = failure {
        judge(&failure);
    }
}

/// Control characters, and what has a meaning in a URL.
fn is_hostile_in_a_path(character: char) -> bool {
    character.is_control() || "?#%\\".contains(character)
}

/// Whatever is said of a failure shows no secret and is bounded.
fn judge(failure: &Failure) {
    let hint = hints::for_failure(failure).unwrap_or_default();
    let said = format!("{failure}\n{hint}");
    assert!(!said.contains(CANARY), "a secret of the request is told");
    assert!(said.chars().count() < 4000, "{} long", said.len());
    let _all_questions = (
        failure.is_token_gone(),
        failure.is_policy(),
        failure.is_lease_gone(),
        failure.is_role_unknown(),
        failure.is_past_max_ttl(),
        failure.is_login_refused(),
        failure.is_sealed(),
    );
}

/// An answer's body, field by field.
fn document(input: &[u8]) {
    let Ok(document) = Document::parse(input) else {
        return;
    };
    assert_eq!(format!("{document:?}"), "Document(REDACTED)");
    let fields = [
        "data",
        "data.username",
        "data.password",
        "lease_id",
        "lease_duration",
        "renewable",
        "auth.client_token",
        "auth.num_uses",
        "data.ttl",
        "errors",
        "",
        ".",
    ];
    let mut failures = Vec::new();
    for field in fields {
        let _there = (document.has(field), document.texts(field));
        failures.extend(document.text(field).err());
        failures.extend(document.secret(field).err());
        failures.extend(document.text_or_empty(field).err());
        failures.extend(document.flag(field).err());
        failures.extend(document.number(field).err());
        failures.extend(Fields::read(&document, field).err());
        if let Ok(text) = document.text_or_empty(field) {
            assert!(!text.contains(char::is_control));
        }
        match document.seconds(field) {
            Ok(time) => assert!(time <= LONGEST),
            Err(failure) => failures.push(failure),
        }
    }
    failures.extend(document.capabilities("sys/leases/revoke").err());
    failures.extend(Rotation::read(&document, Moment::now()).err());
    for failure in failures {
        let said = failure.to_string();
        assert!(!said.contains(CANARY), "a value is told");
        assert!(!said.contains(is_hostile), "{said:?}");
    }
}

/// The body of an error, of a server that repeats what it was asked.
fn error_words(input: &[u8]) {
    let token = Kept::from(CANARY);
    let request = Request {
        method: reqwest::Method::POST,
        path: "auth/approle/login",
        token: Some(&token),
        body: Some(json!({"secret_id": "another-Zq8secret"})),
        kind: Kind::Once,
        limit: LIMIT,
    };
    for words in words(input, &request).unwrap_or_default() {
        assert!(!words.contains(CANARY) && !words.contains("another-Zq8secret"));
        assert!(words.chars().count() <= 300 && !words.is_empty());
    }
}

fn retry_after_header(input: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(input) {
        let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, value)]);
        let wish = retry_after(&headers).unwrap_or_default();
        // As whoever waits adds it.
        let _then = Moment::now() + wish;
    }
}

/// A lease's id becomes part of a path that is asked for with the token.
fn lease_id(input: &[u8]) {
    let id = text(input);
    if is_lease_id(&id) {
        let base = Url::parse("https://vault.example/under").expect("a URL");
        let url = below(&base, &format!("sys/leases/revoke/{id}"));
        let rest = url.path().strip_prefix("/under/v1/sys/leases/revoke/");
        let rest = rest.expect("below the path of revocations");
        assert_eq!(rest.split('/').count(), id.split('/').count());
        assert_eq!((url.query(), url.fragment()), (None, None));
    }
}

/// Certificates and keys, each alone and as a pair.
fn pem(input: &[u8]) {
    let mut said = Vec::new();
    said.extend(certificates(input).err());
    let identity = Identity {
        certificate: input.to_vec(),
        key: Sensitive::new(input.to_vec()),
    };
    said.extend(check_identity(&identity).err());
    let settings = TlsSettings {
        authorities: Some(input.to_vec()),
        identity: Some(identity),
        server_name: Some(lines::<1>(input).concat()),
        skip_verify: false,
    };
    said.extend(super::tls::configure(&settings, &Proxy::Direct).err());
    for words in said {
        assert!(!words.contains(CANARY), "a key is told");
        assert!(words.len() < 500, "{} long", words.len());
    }
}
