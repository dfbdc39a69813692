//! What can go wrong with one request, told apart by what it means for the server's state.

use std::fmt;
use std::time::Duration;

use crate::sys::signal::Signal;

/// What stands for the server's own words where something else has answered in its place.
pub(super) const NOT_THE_API: &str = "the answer is not from the API";

/// One request that did not give a usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request was never sent: refused, no such host, no connection in time.
    Unreachable(String),
    /// The server's or our certificate is not accepted, or it speaks no TLS. Nothing was sent.
    Tls(String),
    /// The request was sent and no whole answer came. The server may have acted.
    Lost(String),
    /// The server answered with an error.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's own words, capped.
        errors: Vec<String>,
        /// How long it asks us to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// The server said yes, in a way that cannot be understood. It has acted.
    Malformed {
        /// Which field of the answer.
        field: String,
        /// What is wrong with it; never its content.
        problem: &'static str,
    },
    /// A redirect that is not followed.
    Redirect(String),
    /// A signal came while waiting for the next try.
    Interrupted(Signal),
}

impl Failure {
    /// The HTTP status, where there is an answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server said something like this.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        match self {
            Self::Refused { errors, .. } => errors.iter().any(|error| error.contains(words)),
            _ => false,
        }
    }

    /// Whether it is the API that has refused the request, and not something in front of it: a
    /// gateway's 403 says nothing of a token, nor its 400 of a lease.
    #[must_use]
    pub fn is_from_api(&self) -> bool {
        self.status().is_some() && !self.says(NOT_THE_API)
    }

    /// Whether a policy forbids the request. The same status for a token that the server does not
    /// know has other words: Vault's tell of two errors, OpenBao's of none.
    #[must_use]
    pub fn is_policy(&self) -> bool {
        self.status() == Some(403) && self.says("1 error occurred")
    }

    /// Whether the same request may succeed later, and the server has said or shown that it did
    /// not carry it out. An answer that was lost is not among these.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => {
                // 412 replication lag, 429 quota, 472 and 473 standby kinds, 5xx. Not 501: a
                // server that is not initialised does not become so by waiting.
                matches!(status, 412 | 429 | 472 | 473 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// Whether the server may have carried out a request that we have no usable answer to.
    #[must_use]
    pub const fn may_have_acted(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Malformed { .. } => true,
            // A gateway's word for an answer that was lost behind it.
            Self::Refused { status, .. } => matches!(status, 502 | 504),
            _ => false,
        }
    }

    /// How long the server asks us to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The same, with the address that no connection could be made to.
    pub(super) fn at(self, address: &str) -> Self {
        match self {
            Self::Unreachable(reason) => Self::Unreachable(format!("{address}: {reason}")),
            Self::Tls(reason) => Self::Tls(format!("{address}: {reason}")),
            other => other,
        }
    }

    /// A field that is not what it must be.
    pub(crate) fn malformed(field: impl Into<String>, problem: &'static str) -> Self {
        Self::Malformed {
            field: field.into(),
            problem,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(formatter, "cannot reach the server: {reason}"),
            Self::Tls(reason) => write!(formatter, "no trusted connection: {reason}"),
            Self::Lost(reason) => write!(formatter, "the answer was lost: {reason}"),
            Self::Refused { status, errors, .. } if errors.is_empty() => {
                write!(formatter, "the server answered {status} without a reason")
            }
            Self::Refused { status, errors, .. } => {
                write!(formatter, "{} ({status})", errors.join("; "))
            }
            Self::Malformed { field, problem } => {
                write!(formatter, "the server's answer has {field} {problem}")
            }
            Self::Redirect(reason) => write!(formatter, "redirect refused: {reason}"),
            Self::Interrupted(signal) => write!(formatter, "interrupted by {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Failure {
        Failure::Refused {
            status,
            errors: vec![],
            retry_after: None,
        }
    }

    #[test]
    fn statuses_are_transient_as_documented() {
        for status in [412, 429, 472, 473, 500, 502, 503, 504] {
            assert!(refused(status).is_transient(), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 410, 418, 501] {
            assert!(!refused(status).is_transient(), "{status}");
        }
    }

    #[test]
    fn a_lost_answer_is_never_simply_tried_again() {
        let lost = Failure::Lost(String::new());
        assert!(!lost.is_transient());
        assert!(lost.may_have_acted());
        assert!(!Failure::Unreachable(String::new()).may_have_acted());
        assert!(!refused(503).may_have_acted());
    }
}
