//! The command line of a program that makes many random runs: `make soak`, `make hostile`.

use std::process::ExitCode;

/// How much of what.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many runs.
    pub runs: u32,
    /// Where chance comes from.
    pub seed: u64,
    /// How many at a time.
    pub parallel: u32,
    /// This run alone.
    pub only: Option<u32>,
    /// Say now and then how far it is.
    pub progress: bool,
}

impl Options {
    /// Reads them, and says what holds: 2,000 runs, a seed by the clock and so many at a time, unless something else is said.
    ///
    /// # Errors
    /// The exit code, once the usage has been told.
    pub fn of_command_line(name: &str, parallel: u32) -> Result<Self, ExitCode> {
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(1, |since| since.as_secs());
        let mut options = Self {
            runs: 2000,
            seed: now,
            parallel,
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
                        "usage: {name} [--runs N] [--seed S] [--parallel P] [--only I], each with a whole number"
                    );
                    return Err(ExitCode::from(2));
                }
            }
        }
        println!(
            "{name}: {} runs, seed {}, {} at a time",
            options.runs, options.seed, options.parallel
        );
        Ok(options)
    }
}
