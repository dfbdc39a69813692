//! What came of it, by endpoint and by kind of harm.

use super::plan::{Endpoint, Kind, Plan};
use crate::support::Finished;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Counts of some runs.
#[derive(Clone, Debug, Default)]
struct Row {
    runs: u32,
    harmed: u32,
    exits: BTreeMap<String, u32>,
    slowest: Duration,
    left: u32,
    findings: u32,
}

/// Counts of all runs.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<(Endpoint, Kind), Row>);

impl Figures {
    fn row(&mut self, plan: &Plan) -> &mut Row {
        self.0.entry((plan.endpoint, plan.kind)).or_default()
    }

    /// A run has ended.
    pub fn run(&mut self, plan: &Plan, harmed: bool, finished: &Finished) {
        let row = self.row(plan);
        row.runs += 1;
        row.harmed += u32::from(harmed);
        let exit = finished
            .code()
            .map_or("signal".to_owned(), |code| code.to_string());
        *row.exits.entry(exit).or_default() += 1;
        row.slowest = row.slowest.max(finished.wall);
    }

    /// A role is left that a lie has kept.
    pub fn left(&mut self, plan: &Plan) {
        self.row(plan).left += 1;
    }

    /// Something should not have been.
    pub fn finding(&mut self, plan: &Plan) {
        self.row(plan).findings += 1;
    }

    fn sum(&self, which: impl Fn(Endpoint, Kind) -> bool) -> Row {
        let mut sum = Row::default();
        for ((endpoint, kind), row) in &self.0 {
            if which(*endpoint, *kind) {
                sum.runs += row.runs;
                sum.harmed += row.harmed;
                sum.left += row.left;
                sum.findings += row.findings;
                sum.slowest = sum.slowest.max(row.slowest);
                for (exit, count) in &row.exits {
                    *sum.exits.entry(exit.clone()).or_default() += count;
                }
            }
        }
        sum
    }
}

/// What came of all runs.
#[derive(Debug)]
pub struct Report {
    pub figures: Figures,
    /// What should not have been, each with the number of its run.
    pub findings: Vec<String>,
    pub took: Duration,
}

impl Report {
    /// How many runs met harm at all.
    pub fn harmed(&self) -> u32 {
        self.figures.sum(|_, _| true).harmed
    }

    /// A line for each endpoint, for each kind of harm, and for all.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<16} {:>6} {:>7} {:>7} {:>9} {:>9} {:>5} {:>9}  other exits\n",
            "", "runs", "harmed", "exit 0", "exit 125", "slowest s", "left", "findings"
        );
        for endpoint in Endpoint::ALL {
            line(
                &mut table,
                &format!("{endpoint:?}"),
                &self.figures.sum(|of, _| of == endpoint),
            );
        }
        table.push('\n');
        for kind in Kind::ALL {
            line(
                &mut table,
                &format!("{kind:?}"),
                &self.figures.sum(|_, of| of == kind),
            );
        }
        table.push('\n');
        line(&mut table, "all", &self.figures.sum(|_, _| true));
        let _ = writeln!(
            table,
            "{} s in all; left: roles of tokens that were handed in, or lied about",
            self.took.as_secs()
        );
        table
    }
}

fn line(table: &mut String, name: &str, row: &Row) {
    let exit = |code: &str| row.exits.get(code).copied().unwrap_or_default();
    let others = row
        .exits
        .iter()
        .filter(|(code, _)| !["0", "125"].contains(&code.as_str()));
    let others: Vec<String> = others
        .map(|(code, count)| format!("{code}: {count}"))
        .collect();
    let _ = writeln!(
        table,
        "{name:<16} {:>6} {:>7} {:>7} {:>9} {:>9.1} {:>5} {:>9}  {}",
        row.runs,
        row.harmed,
        exit("0"),
        exit("125"),
        row.slowest.as_secs_f64(),
        row.left,
        row.findings,
        others.join(", ")
    );
}
