//! `make hostile`: see `engine`. Options: `--runs N` (2000), `--seed S` (by the clock), `--parallel P` (10), `--only I` (that run alone).

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

use engine::{Options, hostile};
use std::process::ExitCode;
use support::Servers;

fn main() -> ExitCode {
    let options = match Options::of_command_line("hostile", 10) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let servers = Servers::private();
    let report = hostile(&servers, &options);
    print!("{}", report.table());
    // A process that ends by `main` does not drop a static; these servers are its own.
    drop(servers);
    for finding in &report.findings {
        println!("- {finding}");
    }
    println!(
        "hostile: {} of the runs met harm, {} findings; seed {}",
        report.harmed(),
        report.findings.len(),
        options.seed
    );
    if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
