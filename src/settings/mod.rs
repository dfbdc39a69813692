//! Flags, environment and a file, made into a checked [`Config`] by one table. Never touches the
//! network, and the file system only for that file and certificates; secrets are located here and read
//! later.

mod address;
mod approle;
mod check;
mod command_line;
mod completions;
mod credentials;
mod file;
mod forms;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gather;
mod help;
mod jwt;
mod login;
mod lookup;
mod man;
mod nearest;
mod password;
mod print;
#[cfg(test)]
mod reference_tests;
mod row;
mod server;
mod table;

pub use check::check;
pub use command_line::{Call, Flags, parse};
pub use gather::{gather, logging};
pub use help::usage;
pub use lookup::Lookup;
pub use password::PASSWORD_FILE_NAMES as PASSWORD_FILE;
pub use print::print;
use std::time::Duration;
pub use table::WAIT_LOGIN;

use crate::login::AuthSettings;
use crate::render::environment as child_environment;
use crate::render::recipe::Recipe;
use crate::supervise::OnExpiry;
use crate::sys::signal::Signal;
use crate::vault;

/// Everything a run needs to know, checked.
#[derive(Debug)]
pub struct Config {
    /// How to reach the server.
    pub vault: vault::Settings,
    /// How to log in.
    pub auth: AuthSettings,
    /// What is read, and what the child gets of it.
    pub recipe: Recipe,
    /// Which of the caller's variables the child sees.
    pub child_environment: child_environment::Rules,
    /// Whether a login to the database is tried before the child gets credentials.
    pub wait_login: bool,
    /// Whether GitHub's runner is told the passwords, so that it hides them.
    pub github_mask: bool,
    /// What happens when credentials cannot be extended.
    pub on_expiry: OnExpiry,
    /// The length of lease to ask for, in place of what the server grants by itself.
    pub lease_ttl: Option<Duration>,
    /// How a restart or a stop asks the child to end.
    pub stop_signal: Signal,
    /// How long the child has then until KILL.
    pub stop_timeout: Duration,
    /// How long a child may outlive a signal to end that was passed on to it.
    pub kill_after: Option<Duration>,
    /// How long transient faults are retried before the child starts.
    pub start_timeout: Duration,
    /// The bound on cleaning up.
    pub revoke_timeout: Duration,
    /// Whether lease and token are revoked when the child has ended.
    pub revoke: bool,
    /// Whether a revocation that failed makes a success a failure.
    pub strict_revoke: bool,
}
