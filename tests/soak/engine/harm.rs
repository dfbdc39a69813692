//! The harm that befalls a run's requests.

use crate::support::{Fault, RequestInfo};
use std::time::Duration;

/// The proxy's faults by what they mean for a request that must not be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Status(u16),
    StatusAfter(u16),
    Delay(u64),
    ResetBefore,
    ResetAfter,
    Garbage,
    Html,
    Truncate,
    PassThenClose,
    Hang,
    HangAfter,
}

impl Harm {
    /// What the proxy does.
    pub fn fault(self) -> Fault {
        match self {
            Self::Status(429) => Fault::Status(
                429,
                vec![("Retry-After", "1".to_owned())],
                r#"{"errors":["quota"]}"#.to_owned(),
            ),
            Self::Status(status) => Fault::error(status, "made up by the soak"),
            Self::StatusAfter(status) => Fault::StatusAfter(status, "<html>".to_owned()),
            Self::Delay(millis) => Fault::Delay(Duration::from_millis(millis)),
            Self::ResetBefore => Fault::ResetBefore,
            Self::ResetAfter => Fault::ResetAfter,
            Self::Garbage => Fault::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            Self::Html => Fault::StatusAfter(200, "<html>welcome</html>".to_owned()),
            Self::Truncate => Fault::Truncate,
            Self::PassThenClose => Fault::PassThenClose,
            Self::Hang => Fault::Hang,
            Self::HangAfter => Fault::HangAfter,
        }
    }

    /// What it is counted as.
    pub fn name(self) -> String {
        match self {
            Self::Status(status) => format!("status {status}"),
            Self::StatusAfter(status) => format!("status {status} after the server acted"),
            Self::Delay(_) => "delay".to_owned(),
            other => format!("{other:?}"),
        }
    }

    /// A login or a read of credentials that meets this is not repeated.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Html | Self::Status(403))
    }

    /// It takes as long as the whole start may: whether there is another try is a matter of luck.
    pub fn may_be_final(self) -> bool {
        self.hangs()
    }

    /// Whether it takes as long as an answer is waited for.
    pub fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::HangAfter)
    }

    /// Whether the oracle can say what comes of it, when it befalls this request.
    pub fn suits(self, request: &RequestInfo, rotates: bool) -> bool {
        let once = request.is_login() || request.is_creds();
        match self {
            // What is sent on a connection that is being closed is lost, and must not be repeated: nobody can do better.
            Self::PassThenClose => !once,
            // A token whose own revocation, or look-up, is forbidden is taken for one that is gone; a lease that was replaced has
            // to stay where it cannot go with its token.
            // Whether a node is behind is asked after a refusal, which is final unless that is not known.
            _ if request.path == "/v1/sys/health" => false,
            Self::Status(403) => once || request.is_lease_revoke() && !rotates,
            _ => true,
        }
    }
}
