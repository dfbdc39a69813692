//! `--no-revoke` leaves what the child has when it ends, and nothing else.

use crate::support::children::telling_who;
use crate::support::*;

#[test]
fn what_was_replaced_is_revoked_and_the_last_credentials_stay() {
    for change in [(|spec| spec) as Change, TenantSpec::may_revoke_leases] {
        let tenant = Tenant::with(Servers::shared(), change);
        let running = telling_who(tenant.command().arg("--no-revoke")).spawn();
        let first = running.wait_for_line("start").replace("start ", "");
        tenant.revoke_lease(&tenant.leases()[0]);
        running.signal(libc::SIGCONT);
        let second = running.wait_for_line("start").replace("start ", "");
        assert_ne!(first, second);
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
        assert_eq!(tenant.roles(), [second], "the last role stays");
        assert_eq!(tenant.leases().len(), 1);
        tenant.wait_for_tokens(1);
        tenant.revoke_tokens();
        tenant.assert_nothing_left();
    }
}

#[test]
fn credentials_that_no_child_has_got_are_revoked_when_vaultexec_is_killed() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let proxy = harm(
        servers,
        RequestInfo::is_creds,
        Fault::HoldAnswer(hold.clone()),
    );
    let running = tenant
        .through(&proxy)
        .arg("--no-revoke")
        .child(["true"])
        .spawn();
    hold.wait_arrived();
    tenant.wait_for_roles(1);
    running.signal(libc::SIGKILL);
    hold.release();
    tenant.assert_nothing_left();
}
