//! A short soak; `make soak` is the long one.

#[path = "../soak/engine/mod.rs"]
mod engine;

use crate::support::Servers;

#[test]
fn a_short_soak_leaves_nothing_behind() {
    let options = engine::Options {
        runs: 60,
        seed: 20_251_123,
        parallel: 8,
        only: None,
        progress: false,
    };
    let report = engine::soak(Servers::shared(), &options);
    assert!(
        report.violations.is_empty(),
        "{}\n{}",
        report.violations.join("\n"),
        report.table()
    );
    assert_eq!(report.figures["runs"], 60);
    for figure in [
        "faults",
        "rotations",
        "signal: KILL",
        "exit: 125",
        "runs with a node that is behind",
        "runs behind a caching proxy",
    ] {
        assert!(
            report.figures.contains_key(figure),
            "no {figure}\n{}",
            report.table()
        );
    }
}
