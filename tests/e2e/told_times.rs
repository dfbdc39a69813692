//! The moments that are told: of what ends first, and as it is on the wall clock.

use crate::support::*;
use std::time::{Duration, SystemTime};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The lease would outlive its token by far, or the token the lease: in either case all is over after ten minutes.
fn ten_minutes() -> [Change; 2] {
    [
        |spec| spec.default_ttl("1h").token_ttl("10m"),
        |spec| spec.default_ttl("10m").token_ttl("1h"),
    ]
}

/// What is told after these words is ten minutes after some moment since `begun`.
#[track_caller]
fn assert_ten_minutes(text: &str, words: &str, begun: SystemTime) {
    let told = text.split(words).nth(1);
    let told = told.unwrap_or_else(|| panic!("no {words:?} in {text}"));
    let end = told.find('Z').expect("a time in UTC");
    let moment = humantime::parse_rfc3339(&told[..=end]).expect("a time");
    // The server counts in whole seconds, and a moment is told in such.
    let rounding = Duration::from_secs(2);
    let earliest = begun + TEN_MINUTES - rounding;
    let latest = SystemTime::now() + TEN_MINUTES + rounding;
    assert!(
        (earliest..=latest).contains(&moment),
        "{words}: {} is not ten minutes after the start: {text}",
        &told[..=end]
    );
}

/// Ends what a test leaves behind on purpose.
fn sweep(tenant: &Tenant) {
    for lease in tenant.leases().into_iter().chain(tenant.tokens()) {
        tenant.revoke_lease(&lease);
    }
    tenant.assert_nothing_left();
}

#[test]
fn what_is_left_is_named_with_the_moment_it_really_ends() {
    let servers = Servers::shared();
    let revokes = |one: &RequestInfo| one.is_lease_revoke() || one.is_revoke_self();
    for change in ten_minutes() {
        let tenant = Tenant::with(servers, |spec| change(spec.may_revoke_leases()));
        for fault in [Fault::Hang, Fault::error(500, "internal error")] {
            let proxy = harm(servers, revokes, fault);
            let begun = SystemTime::now();
            let run = tenant
                .through(&proxy)
                .args(["--revoke-timeout", "1s"])
                .child(["true"])
                .output();
            run.assert_code(0).stderr_contains(&format!(
                "the lease {} is not revoked yet",
                tenant.leases()[0]
            ));
            assert_ten_minutes(&run.err(), "it ends by itself at ", begun);
            sweep(&tenant);
        }
    }
}

#[test]
fn a_lease_that_nobody_knows_ends_with_its_token() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.default_ttl("1h").token_ttl("10m"));
    let proxy = FaultProxy::start(&servers.vault.url(), |request| {
        if request.is_creds() {
            Fault::ResetAfter
        } else if request.is_revoke_self() {
            Fault::Hang
        } else {
            Fault::Pass
        }
    });
    let begun = SystemTime::now();
    let run = tenant
        .through(&proxy)
        .args(["--revoke-timeout", "1s"])
        .child(["true"])
        .output();
    run.assert_code(125)
        .stderr_contains("a lease whose id is not known is not revoked yet");
    assert_ten_minutes(&run.err(), "it ends by itself at ", begun);
    sweep(&tenant);
}

#[test]
fn the_child_is_told_when_its_credentials_really_end() {
    let servers = Servers::shared();
    for change in ten_minutes() {
        let tenant = Tenant::with(servers, change);
        let begun = SystemTime::now();
        let run = tenant
            .command()
            .child(["sh", "-c", "echo until $VAULTEXEC_EXPIRES_AT"])
            .output();
        run.assert_code(0).assert_quiet_stderr();
        assert_ten_minutes(&run.out(), "until ", begun);
        tenant.assert_nothing_left();
    }
    // A shorter lease that is asked for, and got with the first renewal.
    let tenant = Tenant::new(servers);
    let begun = SystemTime::now();
    let run = tenant
        .command()
        .args(["--lease-ttl", "10m"])
        .child(["sh", "-c", "echo until $VAULTEXEC_EXPIRES_AT"])
        .output();
    run.assert_code(0).assert_quiet_stderr();
    assert_ten_minutes(&run.out(), "until ", begun);
    tenant.assert_nothing_left();
}

#[test]
fn the_moment_until_which_credentials_are_good_is_told_at_the_start_to_who_wants_to_know() {
    let servers = Servers::shared();
    let told = |tenant: &Tenant, words: &str| {
        let begun = SystemTime::now();
        let running = tenant.command().arg("-v").child(children::TELLING).spawn();
        let line = running.wait_for_stderr("the credentials ");
        assert_ten_minutes(&line, words, begun);
        running.wait_for_line("start");
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
        tenant.assert_nothing_left();
        line
    };
    for change in ten_minutes() {
        let line = told(
            &Tenant::with(servers, change),
            "the credentials are good until ",
        );
        assert!(line.contains(", and will be renewed before"), "{line}");
    }
    let batch = Tenant::with(servers, |spec| {
        spec.token_type("batch")
            .token_ttl("10m")
            .may_revoke_leases()
    });
    told(&batch, "the credentials end at ");
}
