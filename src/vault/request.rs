//! What is asked, and what comes back when it succeeds.

use std::rc::Rc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::document::Document;
use crate::sensitive::Kept;

/// A token, shared by the requests that are under way with it: there is one copy.
pub type Token = Rc<Kept>;

/// What it means to send a request twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same as sending it once. When its answer is lost it is sent again: at once where a load
    /// balancer has closed an idle connection, and to the other addresses.
    Repeatable,
    /// It spends or makes something each time. It is sent again only where the server cannot have
    /// acted on it.
    Once,
}

/// One request.
pub struct Request<'a> {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/v1/`.
    pub path: &'a str,
    /// The token to show, if any.
    pub token: Option<&'a Kept>,
    /// The JSON to send, if any.
    pub body: Option<Value>,
    /// Whether it can be repeated.
    pub kind: Kind,
    /// The most time this may take at all addresses together; the client's own bound on one
    /// exchange holds as well.
    pub limit: Duration,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// The answer to a request that succeeded.
#[derive(Debug)]
pub struct Answer {
    /// A status from 200 to 299.
    pub status: u16,
    /// The JSON, `null` where there is none.
    pub document: Document,
    /// Whether a caching proxy has answered in place of the server.
    pub from_cache: bool,
}
