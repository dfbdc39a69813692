//! What the user wants when credentials end.

use std::fmt;

use crate::sys::signal::Signal;

/// What happens when credentials cannot be extended any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpiry {
    /// New credentials, and the child is stopped and started again with them.
    Restart,
    /// New credentials, and the file that has them is replaced; the child goes on.
    Refresh,
    /// The child is sent this signal.
    Signal(Signal),
    /// The child is stopped, so that whoever supervises it starts it anew.
    Stop,
    /// The child is left alone, and standard error says when it will end.
    Warn,
}

impl OnExpiry {
    /// Whether credentials that end are replaced by new ones.
    #[must_use]
    pub const fn replaces(self) -> bool {
        matches!(self, Self::Restart | Self::Refresh)
    }
}

/// As `--on-expiry` takes it.
impl fmt::Display for OnExpiry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart => formatter.write_str("restart"),
            Self::Refresh => formatter.write_str("refresh"),
            Self::Signal(signal) => write!(formatter, "signal:{signal}"),
            Self::Stop => formatter.write_str("stop"),
            Self::Warn => formatter.write_str("warn"),
        }
    }
}
