//! What is done to an answer: from the server's own to the bytes that the client gets.

use super::plan::Kind;
use super::{json, mutate};
use crate::support::RequestInfo;
use crate::support::http::Answer;
use fastrand::Rng;
use serde_json::{Value, json};
use std::time::Duration;

/// What of the answer is changed, and the rest is the server's.
struct Parts {
    first_line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether a length is announced that is the body's.
    framed: bool,
}

impl Parts {
    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.first_line).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if self.framed {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }

    fn replace(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// The bytes, and a pause in the middle of them.
pub fn alter(
    kind: Kind,
    rng: &mut Rng,
    request: &RequestInfo,
    answer: &Answer,
) -> (Vec<u8>, Duration) {
    let own = ["connection", "content-length", "transfer-encoding"];
    let headers = answer.head.headers.iter();
    let headers = headers.filter(|(name, _)| !own.contains(&name.to_lowercase().as_str()));
    let mut parts = Parts {
        first_line: answer.head.first_line.clone(),
        headers: headers.cloned().collect(),
        body: answer.body.clone(),
        framed: rng.u8(..4) > 0,
    };
    let mut pause = Duration::ZERO;
    match kind {
        Kind::Status => status(rng, &mut parts),
        Kind::StatusLine => {
            let lines = [
                "HTTP/1.1",
                "HTTP/1.1 ",
                "HTTP/9.9 200 OK",
                "HTTP/1.1 99 Low",
                "HTTP/1.1 1000 High",
                "HTTP/1.1 -1 x",
                "HTTP/1.1 200 \u{1b}[31m",
                "ICY 200 OK",
                "",
                "HTTP/1.0 200",
                "HTTP/2 200",
                "SSH-2.0-x",
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
                "HTTP/1.1 101 Switching Protocols",
            ];
            parts.first_line = lines[rng.usize(..lines.len())].to_owned();
        }
        Kind::Headers => change_headers(rng, &mut parts),
        Kind::Bytes => parts.body = mutate::mutate(rng, &[parts.body.clone()]),
        Kind::Json => {
            // An answer without a body may have one.
            if parts.body.is_empty() {
                parts.first_line = "HTTP/1.1 200 OK".to_owned();
                parts.body = b"{\"data\":{},\"errors\":[],\"auth\":null}".to_vec();
            }
            parts.body = json::mutate(rng, &parts.body).unwrap_or_default();
        }
        Kind::Truncated => {
            let mut bytes = parts.bytes();
            bytes.truncate(rng.usize(..=bytes.len()));
            return (bytes, pause);
        }
        Kind::Huge => huge(rng, &mut parts),
        Kind::Encoding => encode(rng, &mut parts),
        Kind::Delayed => {
            pause = Duration::from_millis(rng.choice([20, 200, 900, 2500]).unwrap_or(0))
        }
        Kind::Repeating => repeat(rng, &mut parts, request),
    }
    (parts.bytes(), pause)
}

fn status(rng: &mut Rng, parts: &mut Parts) {
    const STATUSES: [u16; 36] = [
        200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308, 400, 401,
        403, 404, 405, 407, 408, 412, 418, 429, 472, 473, 500, 501, 502, 503, 504, 521, 530, 999,
    ];
    let status = STATUSES[rng.usize(..STATUSES.len())];
    parts.first_line = format!("HTTP/1.1 {status} Odd");
    match rng.u8(..3) {
        0 => {
            parts.body = json!({"errors": [json::odd_text(rng), "made up"]})
                .to_string()
                .into()
        }
        1 => parts.body = b"<html>\x1b[31m".to_vec(),
        // The server's own words under another status.
        _ => {}
    }
}

fn change_headers(rng: &mut Rng, parts: &mut Parts) {
    let long = "h".repeat(1 + rng.usize(..200_000));
    let odd = json::odd_text(rng).replace(['\r', '\n', '\0'], "");
    match rng.u8(..15) {
        0 => parts.replace("X-Odd", &long),
        1 => (0..rng.usize(..300))
            .for_each(|number| parts.headers.push((format!("X-{number}"), odd.clone()))),
        2 => parts.replace(
            "Content-Length",
            rng.choice(["0", "-1", "99999999999999999999", "1,2", "3"])
                .unwrap_or(""),
        ),
        3 => parts.replace(
            "Transfer-Encoding",
            rng.choice(["chunked", "gzip, chunked", "x", "chunked, chunked"])
                .unwrap_or(""),
        ),
        4 => parts.replace(
            "Content-Encoding",
            rng.choice(["gzip", "br", "x"]).unwrap_or(""),
        ),
        5 => parts.replace("X-Cache", "HIT"),
        6 => parts.replace(
            "X-Vault-Index",
            &format!("{odd}{}", &long[..long.len().min(20_000)]),
        ),
        7 => parts.replace(
            "Content-Type",
            rng.choice(["text/html; charset=utf-16", "", "application/xml"])
                .unwrap_or(""),
        ),
        8 => parts.headers.push((odd, "x".to_owned())),
        9 => parts
            .headers
            .push(("X-Folded".to_owned(), "a\r\n b\r\n\tc".to_owned())),
        10 => parts.headers.clear(),
        11 => parts.replace(
            "Connection",
            rng.choice(["close", "upgrade", "keep-alive, x"])
                .unwrap_or(""),
        ),
        12 | 13 => {
            parts.first_line = format!(
                "HTTP/1.1 {} Moved",
                rng.choice([301, 302, 307]).unwrap_or(307)
            );
            // Nothing listens at port 1 of this host, and no other host is named that could be there.
            let places = [
                "http://127.0.0.1:1/v1/x",
                "/v1/sys/seal",
                "//127.0.0.1:1",
                "https://127.0.0.1:1",
                "ftp://127.0.0.1/",
                "http://",
                "\u{9b}",
                "file:///etc/passwd",
                "http://a.invalid/",
                "?x",
                "",
            ];
            parts.replace("Location", places[rng.usize(..places.len())]);
        }
        _ => {
            parts.first_line = "HTTP/1.1 503 Away".to_owned();
            let times = [
                "0",
                "-1",
                "18446744073709551615",
                "1e9",
                "soon",
                "Fri, 31 Dec 9999 23:59:59 GMT",
            ];
            parts.replace("Retry-After", times[rng.usize(..times.len())]);
        }
    }
}

fn huge(rng: &mut Rng, parts: &mut Parts) {
    let size = rng
        .choice([70_000, 1_000_000, 1_100_000, 3_000_000])
        .unwrap_or(0);
    parts.body = match rng.u8(..6) {
        0 => b"[".repeat(size),
        1 => b" ".repeat(size),
        2 => {
            let fields =
                (0..size / 34).map(|number| format!("\"f{number:07}\":\"value{number:09}\""));
            let fields: Vec<String> = fields.collect();
            format!("{{\"data\":{{{}}}}}", fields.join(",")).into()
        }
        3 => json!({"errors": ["e\u{1b}".repeat(size / 8)]})
            .to_string()
            .into(),
        4 => format!("{{\"lease_duration\":{}}}", "9".repeat(size)).into(),
        _ => {
            // One text of the server's own answer, made long.
            let mut value: Value = serde_json::from_slice(&parts.body).unwrap_or_default();
            let places = [
                "/auth/client_token",
                "/data/password",
                "/data/username",
                "/lease_id",
                "/data/creation_path",
                "/data/secret_id",
            ];
            for place in places {
                if let Some(found) = value.pointer_mut(place) {
                    *found = "L".repeat(size).into();
                }
            }
            value.to_string().into()
        }
    };
    if rng.bool() {
        parts.first_line = "HTTP/1.1 400 Bad".to_owned();
    } else if parts.first_line.contains(" 204") {
        parts.first_line = "HTTP/1.1 200 OK".to_owned();
    }
}

fn encode(rng: &mut Rng, parts: &mut Parts) {
    let text = String::from_utf8_lossy(&parts.body).into_owned();
    parts.body = match rng.u8(..7) {
        0 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        1 => ["\u{feff}".as_bytes(), &parts.body].concat(),
        2 => [b"\xff\xfe\xe9".as_slice(), &parts.body].concat(),
        3 => [b"\x1f\x8b\x08\0\0\0\0\0".as_slice(), &parts.body].concat(),
        4 => text.replace('a', "\\ud800").into(),
        5 => text.replace('"', "\u{201d}").into(),
        // Chunks, of which the last one lies.
        _ => {
            parts.framed = false;
            parts.replace("Transfer-Encoding", "chunked");
            let end = rng
                .choice(["0\r\n\r\n", "", "zz\r\n", "ffffffffffffffff\r\n", "5\r\nab"])
                .unwrap_or("");
            [
                format!("{:x};x=y\r\n", parts.body.len()).as_bytes(),
                &parts.body,
                b"\r\n",
                end.as_bytes(),
            ]
            .concat()
        }
    };
}

/// An error that repeats all that was asked, with what drives a terminal around it.
fn repeat(rng: &mut Rng, parts: &mut Parts, request: &RequestInfo) {
    let status = rng.choice([400, 403, 404, 500, 503]).unwrap_or(400);
    parts.first_line = format!("HTTP/1.1 {status} Repeated");
    let body = String::from_utf8_lossy(&request.body);
    let headers: Vec<&str> = request
        .headers
        .iter()
        .map(|(_, value)| value.as_str())
        .collect();
    let errors = json!({"errors": [
        format!("\u{1b}]0;x\u{7}{}\u{202e}", headers.join("\r\n")),
        format!("{body}\u{9b}2J\u{2028}vaultexec: forged"),
    ]});
    parts.body = errors.to_string().into();
}
