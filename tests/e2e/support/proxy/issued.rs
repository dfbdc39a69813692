//! What the server gave out in the answers that went through the proxy: what has to be revoked, and what nobody may read.

use super::request::RequestInfo;
use serde_json::Value;
use std::time::Instant;

/// Something that the server gave out in an answer that went through the proxy.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The request's `sequence`.
    pub sequence: usize,
    /// What it is.
    pub what: IssuedKind,
    /// When the server had answered.
    pub at: Instant,
    /// Whether the client never got the answer: the proxy dropped or garbled it, or the client was gone by then.
    pub lost: bool,
}

/// What a server gives out that outlives the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedKind {
    /// A token and its accessor.
    Token { accessor: String, token: String },
    /// A lease and the database's role that came with it.
    Lease { lease_id: String, username: String },
}

impl IssuedKind {
    /// What this answer to that request gives out. A renewal names what is known already.
    pub fn in_answer(request: &RequestInfo, answer: &Value) -> Option<Self> {
        let text = |place: &str| Some(answer.pointer(place)?.as_str()?.to_owned());
        if request.is_login() {
            text("/auth/accessor")
                .zip(text("/auth/client_token"))
                .map(|(accessor, token)| Self::Token { accessor, token })
        } else if request.is_creds() {
            text("/lease_id")
                .zip(text("/data/username"))
                .map(|(lease_id, username)| Self::Lease { lease_id, username })
        } else {
            None
        }
    }
}

/// The secrets in an answer: tokens, passwords, secret ids.
pub fn secrets_in(answer: &Value) -> Vec<String> {
    let places = [
        "/auth/client_token",
        "/data/password",
        "/data/secret_id",
        "/wrap_info/token",
    ];
    let found = places
        .iter()
        .filter_map(|place| answer.pointer(place)?.as_str().map(str::to_owned));
    found.collect()
}
