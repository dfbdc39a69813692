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
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(1, |since| since.as_secs());
    let mut options = Options {
        runs: 2000,
        seed: now,
        parallel: 10,
        only: None,
        progress: true,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|word| word.parse::<u64>().ok());
        match (word.as_str(), number) {
            ("--runs", Some(number)) => options.runs = number as u32,
            ("--seed", Some(number)) => options.seed = number,
            ("--parallel", Some(number)) => options.parallel = (number as u32).max(1),
            ("--only", Some(number)) => options.only = Some(number as u32),
            _ => {
                eprintln!(
                    "usage: hostile [--runs N] [--seed S] [--parallel P] [--only I], each with a whole number"
                );
                return ExitCode::from(2);
            }
        }
    }
    println!(
        "hostile: {} runs, seed {}, {} at a time",
        options.runs, options.seed, options.parallel
    );
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
