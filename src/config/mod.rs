//! Flags and environment, made into a checked [`Config`]. Touches the network never, and the file
//! system only for certificates; secrets are named here and looked for, and read later.

mod address;
mod approle;
mod bounds;
mod gather;
mod login;
mod problem;
mod server;
pub mod source;
mod value;

pub use gather::{gather, reporting};
pub use login::{AppRoleSettings, CreationPath, SecretIdSettings};
pub use problem::{Problem, problem};

use std::time::Duration;

use crate::postgres::Base;
use crate::report::Reporter;
use crate::sys::signal::Signal;
use crate::vault;

/// Everything a run needs to know, checked.
#[derive(Debug)]
pub struct Config {
    /// How to reach the server.
    pub vault: vault::Settings,
    /// How to log in.
    pub auth: AuthSettings,
    /// The path that is read for credentials.
    pub creds: String,
    /// Where the database is, as far as the settings say.
    pub base: Option<Base>,
    /// Which of the caller's variables the child sees.
    pub child_environment: ChildEnvironment,
    /// What happens when credentials cannot be extended.
    pub on_expiry: OnExpiry,
    /// The length of lease to ask for, in place of what the server grants by itself.
    pub lease_ttl: Option<Duration>,
    /// How a restart or a stop asks the child to end.
    pub stop_signal: Signal,
    /// How long the child has then until KILL.
    pub stop_timeout: Duration,
    /// How long transient faults are retried before the child starts.
    pub start_timeout: Duration,
    /// The bound on cleaning up.
    pub revoke_timeout: Duration,
    /// Whether lease and token are revoked when the child has ended.
    pub revoke: bool,
    /// Whether a revocation that failed makes a success a failure.
    pub strict_revoke: bool,
    /// What is told, and how.
    pub report: Reporter,
}

/// How to log in; a variant a method.
#[derive(Debug)]
pub enum AuthSettings {
    /// AppRole.
    AppRole(AppRoleSettings),
}

/// Which of the caller's variables the child sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildEnvironment {
    /// Names, or prefixes that end in `*`, of variables that are kept in any case.
    pub keep: Vec<String>,
    /// Whether nothing else is kept.
    pub clear: bool,
}

/// What happens when credentials cannot be extended any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpiry {
    /// New credentials, and the child is stopped and started again with them.
    Restart,
    /// The child is sent this signal.
    Signal(Signal),
    /// The child is stopped, so that whoever supervises it starts it anew.
    Stop,
    /// The child is left alone, and standard error says when it will end.
    Warn,
}
