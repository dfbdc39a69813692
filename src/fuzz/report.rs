//! What came of a run: a line for each target.

use std::fmt::Write as _;
use std::time::Duration;

/// What came of one target.
pub struct Row {
    pub name: &'static str,
    pub inputs: usize,
    pub executions: u64,
    pub took: Duration,
    pub slowest: Duration,
    pub findings: Vec<String>,
}

/// The table, its last line the sum.
pub fn table(rows: &[Row]) -> String {
    let mut table = format!(
        "{:<16} {:>6} {:>12} {:>8} {:>9} {:>11} {:>8}\n",
        "target", "corpus", "executions", "seconds", "a second", "slowest ms", "findings"
    );
    let mut line = |name: &str,
                    inputs,
                    executions: u64,
                    took: Duration,
                    slowest: Duration,
                    findings| {
        let seconds = took.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown without its last digits"
        )]
        let rate = executions as f64 / seconds.max(1e-9);
        // Writing to a string cannot fail.
        let _written = writeln!(
            table,
            "{name:<16} {inputs:>6} {executions:>12} {seconds:>8.1} {rate:>9.0} {:>11.1} {findings:>8}",
            slowest.as_secs_f64() * 1e3
        );
    };
    for row in rows {
        let findings = row.findings.len();
        line(
            row.name,
            row.inputs,
            row.executions,
            row.took,
            row.slowest,
            findings,
        );
    }
    line(
        "all",
        rows.iter().map(|row| row.inputs).sum(),
        rows.iter().map(|row| row.executions).sum(),
        rows.iter().map(|row| row.took).sum(),
        rows.iter().map(|row| row.slowest).max().unwrap_or_default(),
        rows.iter().map(|row| row.findings.len()).sum(),
    );
    table
}
