//! What harm can be done to a request.

use super::hold::Hold;
use crate::support::http::Answer;
use std::sync::Arc;
use std::time::Duration;

/// What the client gets in place of an answer: bytes, and a pause in the middle of them.
pub type Alter = dyn Fn(&Answer) -> (Vec<u8>, Duration) + Send + Sync;

/// What becomes of a request.
#[derive(Clone)]
pub enum Fault {
    /// None: forward it, give the answer, keep the connection.
    Pass,
    /// Forward it with one more header.
    PassWithHeader(&'static str, String),
    /// Forward it, and give the answer with one more header.
    PassWithAnswerHeader(&'static str, String),
    /// Forward it, give the answer, then close the connection unannounced, as a load balancer does with an idle one.
    PassThenClose,
    /// RST, and the server never hears of it.
    ResetBefore,
    /// The server acts on it; in place of the answer comes RST.
    ResetAfter,
    /// This answer (status, headers, body); the server never hears of it.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The server acts on it, and this status and body come in place of its answer.
    StatusAfter(u16, String),
    /// Pass, this much later.
    Delay(Duration),
    /// No answer for as long as the client waits; the server never hears of it.
    Hang,
    /// The server acts on it; no answer for as long as the client waits.
    HangAfter,
    /// These bytes in place of an HTTP answer, then a close; the server never hears of it.
    Raw(Vec<u8>),
    /// These bytes, one at a time, with that pause between them.
    Drip(Vec<u8>, Duration),
    /// 200 with a JSON body of that many bytes.
    Flood(u64),
    /// The server acts on it; the answer's body is cut in the middle, then the connection closed.
    Truncate,
    /// The server acts on it; these bytes come in place of its answer, then a close.
    Alter(Arc<Alter>),
    /// Forwarded when the test releases it; the server has not heard of it before.
    HoldRequest(Hold),
    /// The server acts on it; the answer is given when the test releases it.
    HoldAnswer(Hold),
    /// 307 to that URL.
    Redirect(String),
}

impl Fault {
    /// A status with the server's way to say why.
    pub fn error(status: u16, message: &str) -> Self {
        Self::Status(
            status,
            Vec::new(),
            serde_json::json!({"errors": [message]}).to_string(),
        )
    }

    /// 200 with that body.
    pub fn body(body: &str) -> Self {
        Self::Status(200, Vec::new(), body.to_owned())
    }

    /// Whether the client gets the server's own answer, unharmed.
    pub fn gives_the_answer(&self) -> bool {
        matches!(
            self,
            Self::Pass
                | Self::PassWithHeader(..)
                | Self::PassWithAnswerHeader(..)
                | Self::PassThenClose
                | Self::Delay(_)
                | Self::HoldRequest(_)
                | Self::HoldAnswer(_)
        )
    }
}
