//! A few runs against a server that says anything; `make hostile` has the many.

#[path = "../hostile/engine/mod.rs"]
mod engine;

use crate::support::Servers;

#[test]
fn whatever_a_server_says_a_run_ends_in_good_order() {
    let options = engine::Options {
        // Every kind of harm at most endpoints.
        runs: 66,
        seed: 20_261_126,
        parallel: 6,
        only: None,
        progress: false,
    };
    let report = engine::hostile(Servers::shared(), &options);
    assert!(
        report.findings.is_empty(),
        "{}\n{}",
        report.findings.join("\n"),
        report.table()
    );
    assert!(report.harmed() >= 50, "{}", report.table());
}
