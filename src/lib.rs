//! Runs a command with short-lived database credentials from HashiCorp Vault or OpenBao, and
//! revokes them when it ends.
//!
//! ```text
//! flags + environment ─▶ Config ─▶ log in ─ read ─ render ─ start ─▶ the child
//!                          └────── the manager: renews, replaces, revokes ──▶ news ─▶ supervisor ◀─ signals, child's end
//!                                      └─ the ledger: what is held ──snapshot──▶ companion
//! ```
//!
//! `run` tells the story from top to bottom; the modules below stand in the order of that line.
//! What decides is pure (`manager::machine`, `ledger`, `supervise::machine`, `supervise::policy`):
//! time, chance, environment and identity are arguments. What touches the system is in `sys`,
//! the only place with `unsafe` code.

#[forbid(unsafe_code)]
mod run;

#[forbid(unsafe_code)]
mod environment;
#[forbid(unsafe_code)]
mod settings;

#[forbid(unsafe_code)]
mod check;
mod colour;
mod command;
#[forbid(unsafe_code)]
mod companion;
#[forbid(unsafe_code)]
mod handover;
#[forbid(unsafe_code)]
mod ledger;
#[forbid(unsafe_code)]
mod login;
#[forbid(unsafe_code)]
mod manager;
#[forbid(unsafe_code)]
mod revoke;
#[forbid(unsafe_code)]
mod secret;
#[forbid(unsafe_code)]
mod supervise;
#[forbid(unsafe_code)]
mod trial;

#[forbid(unsafe_code)]
mod render;
#[forbid(unsafe_code)]
mod vault;

#[forbid(unsafe_code)]
mod error;
#[forbid(unsafe_code)]
mod exit;
#[forbid(unsafe_code)]
mod logging;
#[forbid(unsafe_code)]
mod redaction;
#[forbid(unsafe_code)]
mod sensitive;

mod sys;

#[cfg(fuzzing)]
#[forbid(unsafe_code)]
pub mod fuzz;
#[cfg(all(test, not(fuzzing)))]
#[forbid(unsafe_code)]
mod fuzz;

/// Runs vaultexec and ends the process as the run did.
pub fn main() -> ! {
    run::run().end_process()
}
