//! The run on any toolchain: each target over its corpus and over mutations of that.
//!
//! An input hangs on the seed, the target and the input's number alone, so that whatever was found is
//! found again. There is no feedback from what was reached: that takes libFuzzer, see `fuzz/`.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::mutate::mutate;
use super::report::{Row, table};
use super::{Target, targets};
use crate::redaction;

/// A target that takes longer for one input is as bad as one that panics; generous, for a machine that
/// does much else.
const SLOW: Duration = Duration::from_secs(10);
/// As many different findings of one target are enough to begin with.
const ENOUGH: usize = 5;

/// How much of what.
struct Options {
    seed: u64,
    /// How long in all; without it every target has its short count.
    seconds: Option<u64>,
    /// How many mutations a target, in place of its short count.
    runs: Option<u64>,
    target: Option<String>,
    /// This file alone, as libFuzzer's programs take one.
    input: Option<PathBuf>,
}

impl Options {
    /// From the words of `make fuzz FUZZ="…"`.
    fn parse(words: &str) -> Self {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let mut options = Self {
            seed: now.map_or(1, |now| now.as_secs()),
            seconds: None,
            runs: None,
            target: None,
            input: None,
        };
        let mut words = words.split_whitespace();
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match (word, value.parse()) {
                ("--seconds", Ok(number)) => options.seconds = Some(number),
                ("--runs", Ok(number)) => options.runs = Some(number),
                ("--seed", Ok(number)) => options.seed = number,
                ("--target", _) => options.target = Some(value.to_owned()),
                ("--input", _) => options.input = Some(value.into()),
                _ => panic!(
                    "FUZZ takes --seconds N or --runs N (of each target), --seed S, --target NAME, --input FILE; not {word} {value}"
                ),
            }
        }
        if options.seconds.is_none() && options.runs.is_none() {
            options.seconds = Some(300);
        }
        options
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The corpus of a target, in the order of the names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(target.name);
    let listed =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = listed.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a file"))
        .collect()
}

/// Runs a target over its corpus and so many mutations, or for so long.
fn run(target: &Target, seed: u64, most: u64, until: Option<Instant>) -> Row {
    let (corpus, started) = (corpus(target), Instant::now());
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    let mut row = Row {
        name: target.name,
        inputs: corpus.len(),
        executions: 0,
        took: Duration::ZERO,
        slowest: Duration::ZERO,
        findings: Vec::new(),
    };
    let mut hasher = DefaultHasher::new();
    target.name.hash(&mut hasher);
    let own = seed ^ hasher.finish();
    let all = most.saturating_add(u64::try_from(corpus.len()).expect("a number"));
    for number in 0..all {
        let input = match usize::try_from(number)
            .ok()
            .and_then(|number| corpus.get(number))
        {
            Some(input) => input.clone(),
            None => mutate(
                &mut Rng::with_seed(own ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                &corpus,
            ),
        };
        if let Err(words) = execute(target, &input, &mut row) {
            let file = keep(target, &input);
            row.findings.push(format!(
                "{}, input {number} of seed {seed}, kept as {file}: {words}",
                target.name
            ));
            if row.findings.len() == ENOUGH {
                break;
            }
        }
        if number.is_multiple_of(256) {
            if until.is_some() {
                // What a run enters would only grow.
                redaction::forget();
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
    }
    row.took = started.elapsed();
    row
}

/// One input; what went wrong, in words.
fn execute(target: &Target, input: &[u8], row: &mut Row) -> Result<(), String> {
    let started = Instant::now();
    let done = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = started.elapsed();
    row.executions += 1;
    row.slowest = row.slowest.max(took);
    done.map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
        words.unwrap_or_else(|| "a panic without words".to_owned())
    })?;
    if took > SLOW {
        return Err(format!("it took {took:?}"));
    }
    Ok(())
}

/// Saves an input; where.
fn keep(target: &Target, input: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let folder = root().join("target/fuzz-findings");
    let file = folder.join(format!("{}-{:016x}", target.name, hasher.finish()));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, input))
        .expect("a file");
    file.display().to_string()
}

/// What was found, or nothing.
fn findings(rows: &[Row]) -> String {
    let all: Vec<&str> = rows
        .iter()
        .flat_map(|row| &row.findings)
        .map(String::as_str)
        .collect();
    all.join("\n")
}

#[test]
fn every_target_bears_its_corpus_and_some_mutations_of_it() {
    let all = targets();
    let rows: Vec<Row> = all
        .iter()
        .map(|target| run(target, 20_261_126, target.short.into(), None))
        .collect();
    let found = findings(&rows);
    assert!(found.is_empty(), "{found}\n{}", table(&rows));
}

#[test]
fn every_folder_of_the_corpus_is_a_targets() {
    let all = targets();
    for entry in fs::read_dir(root().join("fuzz/corpus")).expect("the corpus") {
        let name = entry.expect("a folder").file_name();
        assert!(
            all.iter().any(|target| name == target.name),
            "{name:?} is no target's"
        );
    }
    // The programs of libFuzzer are as many.
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("the crate");
    for target in all {
        let named = format!("\nname = \"{}\"\n", target.name);
        assert!(
            manifest.contains(&named),
            "{} is not in fuzz/Cargo.toml",
            target.name
        );
    }
}

#[test]
fn a_finding_is_found_again_by_its_seed() {
    let broken = Target::new("duration", |input| {
        assert!(!input.contains(&b'%'), "there it is");
    });
    let found = |seed| run(&broken, seed, 2000, None).findings;
    let first = found(7);
    assert!(
        first[0].contains("of seed 7, kept as ") && first[0].ends_with(": there it is"),
        "{first:?}"
    );
    assert_eq!(first, found(7));
}

/// `make fuzz`: as long as it is told to.
#[test]
#[ignore = "it takes as long as it is told to: make fuzz"]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
#[expect(
    clippy::disallowed_methods,
    reason = "libtest takes no arguments of a test's own"
)]
fn for_long() {
    let options = Options::parse(&std::env::var("FUZZ").unwrap_or_default());
    let all = targets();
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|target| {
            options
                .target
                .as_ref()
                .is_none_or(|name| name == target.name)
        })
        .collect();
    assert!(!wanted.is_empty(), "there is no such target");
    if let Some(file) = &options.input {
        let input = fs::read(file).expect("a file to read");
        return wanted.iter().for_each(|target| (target.run)(&input));
    }
    println!("fuzz: {} targets, seed {}", wanted.len(), options.seed);
    let share = options.seconds.map(|all| {
        let count = u32::try_from(wanted.len()).expect("a number");
        Duration::from_secs(all) / count
    });
    let rows: Vec<Row> = wanted
        .iter()
        .map(|target| {
            let until = share.map(|share| Instant::now() + share);
            run(
                target,
                options.seed,
                options.runs.unwrap_or(u64::MAX),
                until,
            )
        })
        .collect();
    print!("{}", table(&rows));
    let found = findings(&rows);
    assert!(found.is_empty(), "{found}");
}
