//! What is asked, and what comes back when it succeeds.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::document::Document;
use crate::sensitive::Sensitive;

/// One request.
pub struct Request<'a> {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/v1/`.
    pub path: &'a str,
    /// The token to show, if any.
    pub token: Option<&'a Sensitive<String>>,
    /// The JSON to send, if any.
    pub body: Option<Value>,
    /// Whether asking twice is the same as asking once: then a connection that breaks before the
    /// answer (a load balancer closed it while it was idle) is replaced once, silently.
    pub repeatable: bool,
    /// The most time this may take; the client's own bound holds as well.
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
}
