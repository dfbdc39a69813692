//! The main form, whole, on the real servers.

use crate::support::*;

#[test]
fn the_child_has_credentials_while_it_runs_and_nothing_is_left_after() {
    let tenant = Tenant::new(Servers::shared());
    let run = tenant
        .command()
        .child(["psql", "-XAtc", "select current_user, current_database()"])
        .output();
    run.assert_code(0).assert_quiet_stderr();
    assert!(run.out().starts_with("v-approle-"), "{}", run.out());
    assert!(run.out().ends_with("|appdb\n"), "{}", run.out());
    tenant.assert_nothing_left();
}
