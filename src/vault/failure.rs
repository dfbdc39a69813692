//! What can go wrong with one request, told apart by what it means for the server's state.

use std::fmt;
use std::time::Duration;

use super::wording::plain;
use crate::sys::signal::Signal;

/// Why there is no connection that both sides trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// Nobody that is trusted stands behind the server's certificate.
    UnknownIssuer,
    /// The server's certificate is an authority's own.
    AuthoritysOwn,
    /// The server's certificate is for another name.
    WrongName,
    /// The server asks for a client certificate.
    ClientCertificateWanted,
    /// What answers does not speak TLS.
    NotTls,
    /// The server speaks TLS, and was spoken to without.
    TlsWanted,
    /// A certificate is signed in a way that cannot be checked here.
    Algorithm,
    /// The server finds nothing that both sides can do.
    NothingInCommon,
    /// Anything else; the reason says it.
    Other,
}

/// One request that did not give a usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request was never sent: refused, no such host, no connection in time.
    Unreachable {
        /// The system's words.
        reason: String,
        /// Whether nothing answered at all, not even with a refusal.
        silent: bool,
    },
    /// The server's or our certificate is not accepted, or it speaks no TLS. Nothing was sent.
    Tls {
        /// What that means.
        kind: TlsFailure,
        /// The TLS library's words.
        reason: String,
    },
    /// The proxy wants to know who asks. Nothing was sent to the server.
    Proxy(String),
    /// The request cannot be put into HTTP. Nothing was sent.
    NotSent(&'static str),
    /// The request was sent and no whole answer came. The server may have acted.
    Lost(String),
    /// The server answered with an error.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's own words, capped.
        errors: Vec<String>,
        /// Whether it was the API that answered, and not something in front of it.
        from_api: bool,
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
    /// The login has succeeded so far, and the server wants a second factor.
    SecondFactor,
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

    /// Whether it is the API that has refused the request, and not something in front of it: a
    /// gateway's 403 says nothing of a token, nor its 400 of a lease.
    #[must_use]
    pub const fn is_from_api(&self) -> bool {
        matches!(self, Self::Refused { from_api: true, .. })
    }

    /// Whether the same request may succeed later, and the server has said or shown that it did
    /// not carry it out. An answer that was lost is not among these.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => {
                // 412 replication lag, 429 quota, 472 and 473 standby kinds; the others are a
                // gateway's own codes for a server that is away. Not 501: a server that is not
                // initialised does not become so by waiting.
                matches!(
                    status,
                    408 | 412 | 425 | 429 | 472 | 473 | 500 | 502..=504 | 520..=524 | 530
                )
            }
            _ => false,
        }
    }

    /// Whether the request has left this host, as far as is known.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        !matches!(
            self,
            Self::Unreachable { .. }
                | Self::Tls { .. }
                | Self::Proxy(_)
                | Self::NotSent(_)
                | Self::Interrupted(_)
        )
    }

    /// Whether the server may have carried out a request that we have no usable answer to.
    #[must_use]
    pub const fn may_have_acted(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Malformed { .. } => true,
            // A gateway's codes for an answer that was lost behind it.
            Self::Refused { status, .. } => matches!(status, 502 | 504 | 520 | 524),
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
            Self::Unreachable { reason, silent } => Self::Unreachable {
                reason: format!("{address}: {reason}"),
                silent,
            },
            Self::Tls { kind, reason } => Self::Tls {
                kind,
                reason: format!("{address}: {reason}"),
            },
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
            Self::Unreachable { reason, .. } => {
                write!(formatter, "cannot reach the server: {reason}")
            }
            Self::Tls { reason, .. } => write!(formatter, "no trusted connection: {reason}"),
            Self::Proxy(name) => {
                write!(
                    formatter,
                    "the proxy {name} wants a user and a password (407)"
                )
            }
            Self::NotSent(reason) => write!(formatter, "the request cannot be sent: {reason}"),
            Self::Lost(reason) => write!(formatter, "the answer was lost: {reason}"),
            Self::Refused {
                status,
                from_api: false,
                ..
            } => write!(formatter, "the answer is not from the API ({status})"),
            Self::Refused { status, errors, .. } if errors.is_empty() => {
                write!(formatter, "the server answered {status} without a reason")
            }
            Self::Refused { status, errors, .. } => {
                let errors: Vec<_> = errors.iter().map(|error| plain(error)).collect();
                write!(formatter, "{} ({status})", errors.join("; "))
            }
            Self::Malformed { field, problem } => {
                write!(formatter, "the server's answer has {field} {problem}")
            }
            Self::SecondFactor => formatter.write_str("login MFA is enforced here"),
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
            from_api: true,
            retry_after: None,
        }
    }

    #[test]
    fn statuses_are_transient_as_documented() {
        for status in [
            408, 412, 425, 429, 472, 473, 500, 502, 503, 504, 520, 521, 522, 523, 524, 530,
        ] {
            assert!(refused(status).is_transient(), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 407, 410, 418, 501, 505, 525] {
            assert!(!refused(status).is_transient(), "{status}");
        }
    }

    #[test]
    fn a_lost_answer_is_never_simply_tried_again() {
        let away = Failure::Unreachable {
            reason: String::new(),
            silent: false,
        };
        let lost = Failure::Lost(String::new());
        assert!(!lost.is_transient());
        assert!(lost.may_have_acted());
        assert!(!away.may_have_acted());
        assert!(!refused(503).may_have_acted());
    }
}
