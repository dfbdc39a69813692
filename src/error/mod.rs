//! Everything that can keep the child from running, as data; the words are made here, in one place.

pub mod hints;
mod problem;
#[cfg(test)]
mod troubleshooting_tests;
mod unreadable;

pub use problem::{Problem, quotes};
pub use unreadable::cannot_read;

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::exit::{self, Exit};
use crate::sys::program::Unusable;
use crate::sys::signal::Signal;
use crate::vault::Failure;

/// Why a run ended before, or without, its child's own end.
#[derive(Debug)]
pub enum Error {
    /// Settings are missing or wrong; all that were found, together.
    Config(Vec<Problem>),
    /// COMMAND is not there or cannot be run; found out before anything was asked for.
    Program {
        /// As it was given.
        command: PathBuf,
        /// What is wrong with it.
        reason: Unusable,
    },
    /// The system would not execute COMMAND after all.
    Exec {
        /// As it was given.
        command: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The system has no process, descriptor or handler to give.
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The server could not or would not do what was asked of it.
    Server {
        /// What was being done, as in "log in".
        doing: &'static str,
        /// The API's path.
        path: String,
        /// What happened.
        failure: Failure,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The wrapping token was refused, or somebody else may have opened it.
    Wrapping {
        /// What is wrong.
        message: String,
        /// How to read it and what to do.
        hint: String,
    },
    /// What the server gave cannot be handed to a process.
    Credentials {
        /// The API's path.
        path: String,
        /// Which field, and what is wrong with it; never its content.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// New credentials cannot be had, in words.
    Irreplaceable(String),
    /// A signal ended vaultexec before there was a child.
    Interrupted(Signal),
}

impl Error {
    /// The system's refusal of something.
    pub fn system(doing: &'static str, reason: &impl fmt::Display) -> Self {
        Self::System {
            doing,
            reason: reason.to_string(),
        }
    }

    /// The server could not or would not do it; or a signal came before it was asked again.
    #[must_use]
    pub fn server(
        doing: &'static str,
        path: impl Into<String>,
        failure: Failure,
        hint: Option<String>,
    ) -> Self {
        match failure {
            Failure::Interrupted(signal) => Self::Interrupted(signal),
            failure => Self::Server {
                doing,
                path: path.into(),
                failure,
                hint,
            },
        }
    }

    /// How vaultexec ends because of this.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Program {
                reason: Unusable::NotFound,
                ..
            }
            | Self::Exec {
                errno: Errno::ENOENT,
                ..
            } => Exit::Code(exit::NOT_FOUND),
            Self::Program { .. } | Self::Exec { .. } => Exit::Code(exit::CANNOT_RUN),
            Self::Interrupted(signal) => Exit::Signal(*signal),
            Self::Config(_)
            | Self::System { .. }
            | Self::Server { .. }
            | Self::Wrapping { .. }
            | Self::Irreplaceable(_)
            | Self::Credentials { .. } => Exit::Code(exit::FAILURE),
        }
    }

    /// The API's path, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Server { path, .. } | Self::Credentials { path, .. } => Some(path),
            _ => None,
        }
    }

    /// What to do about it, if there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Server { hint, .. } | Self::Credentials { hint, .. } => hint.as_deref(),
            Self::Wrapping { hint, .. } => Some(hint),
            Self::Exec {
                errno: Errno::ENOENT,
                ..
            } => Some(
                "it was there before: it may have gone since, or the interpreter named in its first line may be missing",
            ),
            Self::Program {
                command,
                reason: Unusable::NotFound,
            } if command.as_os_str().as_encoded_bytes().contains(&b' ') => Some(
                "that is taken for the name of one file: leave the quotes out, or give the line to a shell (sh -c '...')",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problems) => {
                let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
                formatter.write_str(&all.join("; "))
            }
            Self::Program {
                command,
                reason: Unusable::NotFound,
            } => {
                write!(formatter, "cannot find the command {}", command.display())
            }
            Self::Program {
                command,
                reason: Unusable::CannotRun(errno),
            }
            | Self::Exec { command, errno } => {
                write!(
                    formatter,
                    "cannot run {}: {}",
                    command.display(),
                    errno.desc()
                )
            }
            Self::System { doing, reason } => write!(formatter, "cannot {doing}: {reason}"),
            Self::Server {
                doing,
                path,
                failure,
                ..
            } => write!(formatter, "cannot {doing} at {path}: {failure}"),
            Self::Wrapping { message, .. } | Self::Irreplaceable(message) => {
                formatter.write_str(message)
            }
            Self::Credentials { path, problem, .. } => {
                write!(
                    formatter,
                    "cannot use the credentials from {path}: {problem}"
                )
            }
            Self::Interrupted(signal) => write!(formatter, "ended by {signal}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> PathBuf {
        PathBuf::from("./app")
    }

    #[test]
    fn exit_codes_are_those_of_env() {
        let cases = [
            (
                Error::Program {
                    command: command(),
                    reason: Unusable::NotFound,
                },
                127,
            ),
            (
                Error::Program {
                    command: command(),
                    reason: Unusable::CannotRun(Errno::EACCES),
                },
                126,
            ),
            (
                Error::Exec {
                    command: command(),
                    errno: Errno::ENOENT,
                },
                127,
            ),
            (
                Error::Exec {
                    command: command(),
                    errno: Errno::E2BIG,
                },
                126,
            ),
            (Error::Config(vec![]), 125),
            (
                Error::System {
                    doing: "fork",
                    reason: String::new(),
                },
                125,
            ),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit(), Exit::Code(code), "{error:?}");
        }
        assert_eq!(
            Error::Interrupted(Signal::TERM).exit(),
            Exit::Signal(Signal::TERM)
        );
    }
}
