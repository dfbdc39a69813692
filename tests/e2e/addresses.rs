//! Several addresses: one that hangs does not keep the others from being asked, at the end as little as at the start.

use crate::support::*;

#[test]
fn an_address_that_hangs_at_the_end_leaves_time_for_the_next_one() {
    let servers = Servers::shared();
    for change in [(|spec| spec) as Change, TenantSpec::may_revoke_leases] {
        let tenant = Tenant::with(servers, change);
        let proxy = harm(
            servers,
            |request| request.is_lease_revoke() || request.is_revoke_self(),
            Fault::Hang,
        );
        let addresses = format!("{},{}", proxy.url(), servers.vault.url());
        tenant
            .command()
            .env("VAULT_ADDR", addresses)
            .args(["--revoke-timeout", "8s"])
            .child(Probe::exit(0))
            .output()
            .assert_code(0)
            .assert_quiet_stderr();
        assert!(proxy.count(|request| request.is_login()) == 1);
        tenant.assert_nothing_left();
    }
}
