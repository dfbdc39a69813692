//! Hostile input: everything that parses what came from outside, as the targets of a fuzzer.
//!
//! A target takes any bytes and panics where what it calls does, or where a property does not hold.
//! Targets stand beside what they call, as unit tests do. `engine` runs them on any toolchain, a short
//! time in `make test` and as long as wanted by `make fuzz`; the crate in `fuzz/` has libFuzzer run them.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

#[cfg(test)]
mod engine;
#[cfg(test)]
mod json;
#[cfg(test)]
mod mutate;
#[cfg(test)]
mod report;

use crate::{companion, logging, login, redaction, render, settings, vault};

/// Something that parses.
pub struct Target {
    /// Its name, which is its folder's below `fuzz/corpus/` too.
    pub name: &'static str,
    /// What is done with the bytes.
    pub run: fn(&[u8]),
    /// How many mutations a short run tries: fewer where each takes long.
    pub short: u32,
}

impl Target {
    /// One that takes microseconds.
    pub(crate) const fn new(name: &'static str, run: fn(&[u8])) -> Self {
        let short = 1500;
        Self { name, run, short }
    }
}

/// All of them.
#[must_use]
pub fn targets() -> Vec<&'static Target> {
    [
        vault::fuzz::TARGETS,
        login::fuzz::TARGETS,
        settings::fuzz::TARGETS,
        render::fuzz::TARGETS,
        companion::fuzz::TARGETS,
        logging::fuzz::TARGETS,
        redaction::fuzz::TARGETS,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs the target of that name.
///
/// # Panics
/// Where the target does, and where there is none.
#[cfg(fuzzing)]
pub fn run(name: &str, input: &[u8]) {
    let all = targets();
    let target = all.iter().find(|target| target.name == name);
    (target.expect("a target of that name").run)(input);
    redaction::forget();
}

/// The input as text, as far as it is one.
pub(crate) fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// The input's lines as so many texts; what is not there is empty, and the last one has all the rest.
pub(crate) fn lines<const N: usize>(input: &[u8]) -> [String; N] {
    let text = text(input);
    let mut lines = text.splitn(N, '\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default().to_owned())
}

/// What stands in for a secret that no message may show.
pub(crate) const CANARY: &str = "Zq7canary9Xw";
