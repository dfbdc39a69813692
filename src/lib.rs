//! Runs a command with short-lived database credentials from HashiCorp Vault or OpenBao, and
//! revokes them when it ends.
//!
//! ```text
//! flags + environment ─▶ Config ─▶ Session (token) ─▶ Credentials + Lease ─▶ child's environment ─▶ Child
//!                          └────── keeper: renews token and lease ──▶ events ─▶ supervisor ◀─ signals, child's end
//!                                                                               └▶ Exit ─▶ revoke ─▶ exit
//! ```
//!
//! `run` tells the story from top to bottom; the modules below stand in the order of that line.
//! What decides is pure (`lease::Schedule`, `supervise::Machine`, `supervise::reaches_child`):
//! time, chance, environment and identity are arguments. What touches the system is in `sys`,
//! the only place with `unsafe` code.

#[forbid(unsafe_code)]
mod run;

#[forbid(unsafe_code)]
mod environment;
#[forbid(unsafe_code)]
mod settings;
#[forbid(unsafe_code)]
mod vault;

#[forbid(unsafe_code)]
mod auth;
#[forbid(unsafe_code)]
mod lease;
#[forbid(unsafe_code)]
mod render;
#[forbid(unsafe_code)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for --env and the shapes in render/")
)]
mod secret;

#[forbid(unsafe_code)]
mod provider;
#[forbid(unsafe_code)]
mod supervise;

#[forbid(unsafe_code)]
mod companion;

mod sys;

#[forbid(unsafe_code)]
mod error;
#[forbid(unsafe_code)]
mod exit;
#[forbid(unsafe_code)]
mod interrupt;
#[forbid(unsafe_code)]
mod report;
#[forbid(unsafe_code)]
mod sensitive;

use std::process::ExitCode;

use exit::Exit;

/// Runs vaultexec and ends the process as the run did.
#[must_use]
pub fn main() -> ExitCode {
    match run::run() {
        Exit::Code(code) => ExitCode::from(code),
        Exit::Signal(signal) => {
            sys::process::die_by(signal);
            // As PID 1 there is no death by signal: the shell's number for it says the same.
            ExitCode::from(u8::try_from(128 + signal.number()).unwrap_or(exit::FAILURE))
        }
    }
}
