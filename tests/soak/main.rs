//! `make soak`: see `engine`. Options: `--runs N` (2000), `--seed S` (by the clock), `--parallel P` (12), `--only I` (that run alone).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![allow(clippy::pedantic, clippy::indexing_slicing)]
#![allow(missing_docs, clippy::disallowed_methods, clippy::missing_panics_doc)]

mod engine;
#[path = "../e2e/support/mod.rs"]
mod support;

use engine::{Options, soak};
use std::process::ExitCode;
use support::Servers;

fn main() -> ExitCode {
    let options = match Options::of_command_line("soak", 12) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let servers = Servers::private();
    let report = soak(&servers, &options);
    print!("{}", report.table());
    // A process that ends by `main` does not drop a static; these servers are its own.
    drop(servers);
    if report.violations.is_empty() {
        println!("soak: all is well; seed {}", options.seed);
        return ExitCode::SUCCESS;
    }
    println!(
        "soak: {} violations; again with --seed {}:",
        report.violations.len(),
        options.seed
    );
    for violation in &report.violations {
        println!("- {violation}");
    }
    ExitCode::FAILURE
}
