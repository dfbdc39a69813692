//! How vaultexec itself ends: the exit codes that scripts rely on, after `env(1)` and `timeout(1)`.

use crate::sys::signal::Signal;
use crate::sys::{process, secret_memory};

/// vaultexec itself failed: usage, configuration, network, login, policy, unwrapping.
pub const FAILURE: u8 = 125;
/// COMMAND was found and cannot be run.
pub const CANNOT_RUN: u8 = 126;
/// COMMAND is not there.
pub const NOT_FOUND: u8 = 127;

/// The end of a run.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// An exit code, the child's or one of this module's.
    Code(u8),
    /// Death by a signal: the child's, or the one that ended vaultexec before there was a child.
    Signal(Signal),
}

impl Exit {
    /// Ends this process like this.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn end_process(self) -> ! {
        secret_memory::wipe_all();
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => {
                process::die_by(signal);
                // As PID 1 there is no death by signal: the shell's number for it says the same.
                u8::try_from(128 + signal.number()).unwrap_or(FAILURE)
            }
        };
        std::process::exit(code.into())
    }

    /// Whether a child that ended like this is said to have succeeded.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}
