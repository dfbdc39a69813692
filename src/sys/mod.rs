//! Everything that talks to the operating system about processes, signals and the terminal.
//!
//! The only place with `unsafe` code, and the only place that may wait for a process. Nothing in
//! here knows that Vault exists.

pub mod apart;
pub mod aside;
pub mod clock;
pub mod helper;
pub mod inherited;
pub mod mask;
pub mod output;
pub mod own_environment;
pub mod passing;
mod pidfd;
pub mod process;
pub mod program;
pub mod prompt;
pub mod reap;
pub mod secret_memory;
pub mod signal;
pub mod signals;
pub mod spawn;
pub mod terminal;
pub mod timer;
pub mod watched;
mod wiping;
