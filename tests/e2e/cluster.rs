//! A real cluster of three: standbys, dead and sealed nodes, a leader that is lost.

use crate::support::*;
use std::time::Duration;

const WHO_AM_I: [&str; 3] = ["psql", "-XAtc", "select 'as ' || current_user"];

/// A command with a secret id that this node has heard of: a standby looks things up for itself, and may be late.
fn command(cluster: &Cluster, tenant: &Tenant, node: usize) -> Run {
    command_at(cluster, tenant, &[node])
}

/// Waits until these nodes have heard of the tenant's role.
fn await_role(cluster: &Cluster, tenant: &Tenant, nodes: &[usize]) {
    let path = format!("{}/role-id", tenant.approle_path());
    for node in nodes {
        let known = poll_until(Duration::from_secs(90), || {
            cluster.admin(*node).read(&path).ok().map(drop)
        });
        assert!(known.is_some(), "node {node} never heard of the role");
    }
}

/// The same for several nodes.
fn command_at(cluster: &Cluster, tenant: &Tenant, nodes: &[usize]) -> Run {
    await_role(cluster, tenant, nodes);
    let secret_id = tenant.secret_id();
    let path = format!("{}/secret-id/lookup", tenant.approle_path());
    let body = serde_json::json!({"secret_id": secret_id});
    for node in nodes {
        let known = poll_until(Duration::from_secs(90), || {
            let answer = cluster.admin(*node).write(&path, body.clone()).ok()?;
            answer["data"].is_object().then_some(())
        });
        assert!(known.is_some(), "node {node} never heard of the secret id");
    }
    tenant.command().env("VAULT_SECRET_ID", secret_id)
}

#[test]
fn every_node_will_do_be_it_the_leader_or_a_standby() {
    let cluster = Cluster::launch();
    let tenant = cluster.tenant(0, |spec| spec);
    for node in 0..3 {
        let run = command(&cluster, &tenant, node)
            .env("VAULT_ADDR", cluster.url(node))
            .child(WHO_AM_I)
            .output();
        run.assert_code(0).assert_quiet_stderr();
        assert!(run.out().starts_with("as v-approle-"), "{run}");
        tenant.assert_nothing_left();
    }
    // A standby that does not pass requests on sends the client to the leader.
    let standby = (cluster.leader() + 1) % 3;
    let proxy = FaultProxy::start(&cluster.url(standby), |_| {
        Fault::PassWithHeader("X-Vault-No-Request-Forwarding", "true".to_owned())
    });
    let run = command(&cluster, &tenant, standby)
        .env("VAULT_ADDR", proxy.url())
        .arg("-vv")
        .child(WHO_AM_I)
        .output();
    run.assert_code(0).stderr_contains("redirected to ");
    tenant.assert_nothing_left();
    let run = command(&cluster, &tenant, standby)
        .env("VAULT_ADDR", proxy.url())
        .env("VAULT_DISABLE_REDIRECTS", "true")
        .child(WHO_AM_I)
        .output();
    run.assert_code(125)
        .stderr_contains("VAULT_DISABLE_REDIRECTS is set");
    tenant.assert_nothing_left();
}

#[test]
fn dead_and_sealed_nodes_are_passed_over() {
    let cluster = Cluster::launch();
    let leader = cluster.leader();
    let (out, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let tenant = cluster.tenant(leader, |spec| spec);
    let run = |first: usize| {
        let addresses = cluster.urls(&[out, other, leader]);
        let run = command(&cluster, &tenant, first)
            .env("VAULT_ADDR", addresses)
            .child(WHO_AM_I)
            .output();
        run.assert_code(0);
        assert!(run.out().starts_with("as v-approle-"), "{run}");
        // A node that is out while others serve is worth a line, and no waiting.
        assert!(run.wall < Duration::from_secs(15), "{run}");
        tenant.assert_nothing_left();
    };
    cluster.kill(out);
    run(other);
    cluster.start_sealed(out);
    run(other);
    cluster.unseal(out);
    run(out);
}

#[test]
fn a_start_while_there_is_no_leader_is_waited_for() {
    let cluster = Cluster::launch();
    let leader = cluster.leader();
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let tenant = cluster.tenant(others[0], |spec| spec);
    let run = command_at(&cluster, &tenant, &others)
        .env("VAULT_ADDR", cluster.urls(&[leader, others[0], others[1]]))
        .args(["--start-timeout", "120s", "--revoke-timeout", "40s"])
        .child(WHO_AM_I);
    cluster.kill(leader);
    let run = run.output();
    run.assert_code(0)
        .stderr_contains("yet: ")
        .stderr_contains("; trying again for ");
    assert!(run.out().starts_with("as v-approle-"), "{run}");
    assert_ne!(cluster.leader(), leader);
    tenant.assert_nothing_left();
}

#[test]
fn the_leader_is_lost_while_children_run_rotate_and_end() {
    let cluster = Cluster::launch();
    let leader = cluster.leader();
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let addresses = cluster.urls(&[leader, others[0], others[1]]);
    let tenant = |change: fn(TenantSpec) -> TenantSpec| {
        let tenant = cluster.tenant(others[0], change);
        await_role(&cluster, &tenant, &others[..1]);
        tenant
    };
    let start = |tenant: &Tenant, child: Vec<String>| {
        let run = tenant
            .command()
            .env("VAULT_ADDR", &addresses)
            .args(["--revoke-timeout", "40s"]);
        run.stdin_piped().child(child).spawn()
    };
    let telling = || children::TELLING.map(str::to_owned).to_vec();

    let lasting = tenant(|spec| spec.default_ttl("5m"));
    let rotating = tenant(|spec| spec.default_ttl("10s").max_ttl("16s"));
    let ending = tenant(|spec| spec);
    let ending_alone = tenant(TenantSpec::may_revoke_leases);
    let stays = start(&lasting, telling());
    let rotates = start(&rotating, telling());
    let mut ends = start(&ending, Probe::signals());
    let mut ends_alone = start(&ending_alone, Probe::signals());
    stays.wait_for_line("start");
    rotates.wait_for_line("start");
    ends.wait_for_line("ready");
    ends_alone.wait_for_line("ready");

    cluster.kill(leader);
    ends.say("exit 3");
    ends_alone.say("exit 4");
    ends.wait().assert_code(3).assert_quiet_stderr();
    ends_alone.wait().assert_code(4).assert_quiet_stderr();
    ending.assert_nothing_left();
    ending_alone.assert_nothing_left();

    // Two rotations, by a cluster with another leader and one node less.
    rotates.wait_for_line("start");
    rotates.wait_for_line("start");
    rotating.wait_for_roles(1);
    assert_ne!(cluster.leader(), leader);
    cluster.start_sealed(leader);
    cluster.unseal(leader);

    // The other one can be renewed by them too.
    let role = lasting.wait_for_roles(1).remove(0);
    let until = lasting.valid_until(&role);
    stays.signal(libc::SIGCONT);
    let grown = poll_until(Duration::from_secs(90), || {
        (lasting.valid_until(&role) > until).then_some(())
    });
    assert!(grown.is_some(), "the role's end did not move");
    assert_eq!(stays.stdout_so_far(), "start\n");
    for running in [stays, rotates] {
        running.signal(libc::SIGTERM);
        running.wait().assert_code(7);
    }
    lasting.assert_nothing_left();
    rotating.assert_nothing_left();
}

/// What is shown to a node: the logins that were tried, and whether the state of the storage that an answer has shown was sent
/// back with each later request.
fn in_front_of(url: &str) -> FaultProxy {
    FaultProxy::start(url, |_| Fault::Pass)
}

#[test]
fn a_secret_id_made_a_moment_before_is_good_at_any_node() {
    let cluster = Cluster::launch();
    let leader = cluster.leader();
    let (standby, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let tenant = cluster.tenant(leader, |spec| spec);
    await_role(&cluster, &tenant, &[standby, other]);
    let run = |addresses: String| {
        // Made by the leader; nobody waits until the others have heard of it.
        tenant
            .command()
            .env("VAULT_ADDR", addresses)
            .child(WHO_AM_I)
            .output()
    };
    // A standby alone.
    for _ in 0..5 {
        let proxy = in_front_of(&cluster.url(standby));
        let run = run(proxy.url());
        run.assert_code(0).assert_quiet_stderr();
        assert!(run.out().starts_with("as v-approle-"), "{run}");
        let logins = proxy.count(RequestInfo::is_login);
        assert!(logins <= 3, "{logins} logins: {run}");
    }
    tenant.assert_nothing_left();
    // All of them, and one first that has just been restarted and is behind.
    for _ in 0..2 {
        cluster.kill(standby);
        cluster.start_sealed(standby);
        cluster.unseal(standby);
        let fronts = [standby, other, leader].map(|node| in_front_of(&cluster.url(node)));
        let run = run(fronts.each_ref().map(FaultProxy::url).join(","));
        run.assert_code(0);
        assert!(run.out().starts_with("as v-approle-"), "{run}");
        let logins = |front: &FaultProxy| front.count(RequestInfo::is_login);
        let logins: usize = fronts.iter().map(logins).sum();
        assert!(logins <= 3, "{logins} logins: {run}");
        tenant.assert_nothing_left();
    }
}

#[test]
fn the_state_of_the_storage_that_an_answer_shows_is_sent_back() {
    let vault = FakeVault::new();
    let proxy = FaultProxy::start(&vault.proxy().url(), |request| {
        if request.is_login() {
            Fault::PassWithAnswerHeader("X-Vault-Index", "state-of-the-login".to_owned())
        } else {
            Fault::Pass
        }
    });
    let run = vault.command().env("VAULT_ADDR", proxy.url());
    run.child(["true"]).output().assert_code(0);
    let requests = proxy.requests();
    assert!(requests.len() >= 3);
    for request in &requests {
        let expected = (!request.is_login()).then_some("state-of-the-login");
        assert_eq!(
            request.header("x-vault-index"),
            expected,
            "{}",
            request.path
        );
    }
}
