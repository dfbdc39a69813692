//! `vaultexec check`: what stands in the way of a run is told with its remedy, and the server is as it was afterwards.

use crate::support::folder::write_secret;
use crate::support::*;
use serde_json::Value;

/// The check of a run.
fn check(run: Run) -> Run {
    run.arg("check")
}

/// Its steps, with their results.
fn steps(run: &Finished) -> Vec<(String, String, Value)> {
    let objects = run.out();
    let objects = objects.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    });
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
    objects
        .map(|object| (text(&object, "step"), text(&object, "result"), object))
        .collect()
}

/// The first step that is as bad as that.
#[track_caller]
fn step<'a>(steps: &'a [(String, String, Value)], subject: &str, result: &str) -> &'a Value {
    let found = steps
        .iter()
        .find(|(name, found, _)| name == subject && found == result);
    &found
        .unwrap_or_else(|| panic!("no {subject} that is {result} in {steps:#?}"))
        .2
}

/// A check that finds something bad, as JSON.
#[track_caller]
fn refused(run: Run) -> Vec<(String, String, Value)> {
    let run = check(run).args(["--format", "json"]).output();
    run.assert_code(125);
    let steps = steps(&run);
    step(&steps, "end", "failed");
    steps
}

fn message(step: &Value) -> &str {
    step["message"].as_str().unwrap()
}

fn hint(step: &Value) -> &str {
    step["hint"].as_str().unwrap_or_default()
}

#[test]
fn a_sound_set_up_is_told_step_by_step_and_makes_no_role() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.may_revoke_leases());
    let run = check(tenant.command()).args(["-v", "--", "psql"]).output();
    run.assert_code(0);
    let out = run.out();
    let wanted = [
        "✓ the settings are sound\n".to_owned(),
        "✓ the command is there\n".to_owned(),
        format!("✓ the server at {} answers, version ", servers.vault.url()),
        "✓ it is unsealed\n".to_owned(),
        "! logging in takes one use of the secret id, if its uses are counted (--no-login leaves it out)\n".to_owned(),
        format!(
            "✓ logged in at {} as {} with the policies default, {}; the token lives for 1h\n",
            tenant.auth_path(),
            tenant.approle_role(),
            tenant.policy()
        ),
        format!("✓ the policy lets it read credentials at {}\n", tenant.creds_path()),
        format!("✓ the policy lets it revoke leases of {}\n", tenant.creds_path()),
        "✓ the policy lets it renew leases\n".to_owned(),
        "✓ the policy lets it renew its token\n".to_owned(),
        "✓ the policy lets it revoke its token\n".to_owned(),
        format!("✓ the database's host answers: 127.0.0.1 port {}\n", servers.postgres.port()),
        format!("? whether there are credentials at {} is not tried", tenant.creds_path()),
        "✓ nothing that was looked at stands in the way of a run, if the secret id has a use left\n".to_owned(),
    ];
    let mut rest = out.as_str();
    for line in &wanted {
        let at = rest.find(line.as_str());
        let at = at.unwrap_or_else(|| panic!("no {line:?}, in this order, in {run}"));
        rest = &rest[at + line.len()..];
    }
    assert!(!out.contains('\u{1b}'), "no colour in a pipe: {run}");
    // The token was given back before it ended.
    assert!(tenant.tokens().is_empty());
    tenant.assert_nothing_left();
}

#[test]
fn without_the_login_no_use_of_the_secret_id_is_taken_and_that_is_told() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.secret_id_num_uses(1));
    let secret_id = tenant.secret_id();
    let run = || tenant.command().env("VAULT_SECRET_ID", &secret_id);
    let checked = check(run())
        .args(["--no-login", "--format", "json"])
        .output();
    checked.assert_code(0).assert_quiet_stderr();
    let steps = steps(&checked);
    assert!(message(step(&steps, "login", "unknown")).ends_with("is left out: --no-login"));
    step(&steps, "policy", "unknown");
    step(&steps, "end", "ok");
    // The one use is still there.
    run()
        .child(["echo", "ran"])
        .output()
        .assert_code(0)
        .stdout_is("ran\n");
    tenant.assert_nothing_left();
}

#[test]
fn a_wrapping_token_is_looked_up_and_stays_whole() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let wrapped = tenant.wrapped_secret_id("300s");
    let run = |token: &str| {
        let run = tenant
            .command_without_secret()
            .env("VAULT_ROLE_ID", tenant.role_id());
        run.env("VAULT_WRAPPED_SECRET_ID", token)
    };
    let checked = check(run(&wrapped)).args(["--format", "json"]).output();
    checked.assert_code(0);
    let seen = steps(&checked);
    let whole = message(step(&seen, "wrapping_token", "ok")).to_owned();
    assert!(
        whole.contains(&format!(
            "made at {}/secret-id, and good until 20",
            tenant.approle_path()
        )),
        "{whole}"
    );
    assert!(message(step(&seen, "login", "unknown")).contains("can be done once"));
    run(&wrapped)
        .child(["echo", "ran"])
        .output()
        .assert_code(0)
        .stdout_is("ran\n");
    // Now it is spent.
    let spent = refused(run(&wrapped));
    let step = step(&spent, "wrapping_token", "failed");
    assert!(
        message(step).contains("the wrapping token is spent, expired or unknown"),
        "{step}"
    );
    assert!(hint(step).contains("two readings are possible"), "{step}");
    tenant.assert_nothing_left();
}

#[test]
fn a_file_that_a_run_would_remove_stays() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let folder = crate::support::folder::Folder::new().unwrap();
    let path = folder.path().join("secret-id");
    write_secret(&path, tenant.secret_id());
    let run = tenant
        .command()
        .env_remove("VAULT_SECRET_ID")
        .env("VAULT_SECRET_ID_FILE", &path);
    let run = run.env("VAULTEXEC_REMOVE_SECRET_ID_FILE", "true");
    check(run).output().assert_code(0);
    assert!(path.exists());
    tenant.assert_nothing_left();
}

#[test]
fn settings_and_a_command_that_are_wrong_are_told() {
    let run = Run::vaultexec().env("VAULT_ROLE_ID", "x");
    let steps = refused(run);
    assert!(
        message(step(&steps, "settings", "failed"))
            .contains("--creds (VAULTEXEC_CREDS): it is missing")
    );
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let run = check(tenant.command())
        .args(["--no-login", "--", "/nowhere/app"])
        .output();
    run.assert_code(125);
    assert!(
        run.out()
            .contains("✗ cannot find the command /nowhere/app\n"),
        "{run}"
    );
    let run = check(tenant.command_without_secret())
        .env("VAULT_ROLE_ID", "x")
        .env("VAULT_SECRET_ID_FILE", "/nowhere/f");
    let run = run.output();
    run.assert_code(125);
    assert!(
        run.out()
            .contains("✗ VAULT_SECRET_ID_FILE: cannot read /nowhere/f: No such file"),
        "{run}"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_server_that_is_not_there_not_trusted_or_sealed_is_told() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let at = |address: &str| tenant.command().env("VAULT_ADDR", address);
    let steps = refused(at("http://127.0.0.1:1"));
    let bad = step(&steps, "server", "failed");
    assert!(
        message(bad).contains("cannot reach the server: http://127.0.0.1:1: Connection refused"),
        "{bad}"
    );
    assert!(hint(bad).contains("VAULT_ADDR"), "{bad}");
    let steps = refused(at("http://no-such-host.invalid:8200"));
    let bad = step(&steps, "server", "failed");
    assert!(
        message(bad).contains("http://no-such-host.invalid:8200"),
        "{bad}"
    );

    // PostgreSQL's: something listens there, and it is no Vault.
    let steps = refused(at(&format!("http://127.0.0.1:{}", servers.postgres.port())));
    let bad = step(&steps, "server", "failed");
    assert!(hint(bad).contains("with the right port"), "{bad}");

    let tls = servers.vault.tls();
    let steps = refused(at(&tls.good()));
    // Nothing is said of a server that is not known to be the right one.
    let there = message(step(&steps, "server", "ok"));
    assert!(there.starts_with("something answers at "), "{there}");
    let bad = step(&steps, "certificate", "failed");
    assert_eq!(message(bad).matches(&tls.good()).count(), 1, "{bad}");
    assert!(hint(bad).contains("VAULT_CACERT"), "{bad}");
    let trusted = at(&tls.good()).env("VAULT_CACERT", tls.certificates.ca());
    let run = check(trusted).output();
    run.assert_code(0);
    assert!(
        run.out().contains("✓ its certificate is trusted\n"),
        "{run}"
    );
    let steps = refused(at(&tls.wrong_host()).env("VAULT_CACERT", tls.certificates.ca()));
    assert!(hint(step(&steps, "certificate", "failed")).contains("VAULT_TLS_SERVER_NAME"));
    // One address of several is enough.
    let both = format!("http://127.0.0.1:1,{}", servers.vault.url());
    let run = check(at(&both)).args(["--format", "json"]).output();
    run.assert_code(0);
    let steps = self::steps(&run);
    step(&steps, "server", "warning");
    step(&steps, "server", "ok");
    tenant.assert_nothing_left();
}

#[test]
fn a_sealed_server_is_told_at_once() {
    let servers = Servers::private_vault();
    let tenant = Tenant::new(&servers);
    let run = tenant.command();
    servers.vault.seal();
    let steps = refused(run);
    let bad = step(&steps, "seal", "failed");
    assert_eq!(message(bad), "it is sealed");
    servers.vault.unseal();
    tenant.assert_nothing_left();
}

#[test]
fn a_login_that_is_refused_is_told_in_the_words_of_a_run() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let steps = refused(tenant.command().env("VAULT_SECRET_ID", "wrong"));
    let bad = step(&steps, "login", "failed");
    assert!(
        message(bad).starts_with(&format!(
            "cannot log in at {}: invalid ",
            tenant.auth_path()
        )),
        "{bad}"
    );
    assert!(hint(bad).contains("secret id is wrong"), "{bad}");
    step(&steps, "policy", "unknown");
    tenant.assert_nothing_left();
}

#[test]
fn a_capability_that_is_missing_is_told_with_lines_that_mend_it() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let other = tenant.creds_path().replace("/creds/", "/creds/not-");
    let steps = refused(tenant.command().env("VAULTEXEC_CREDS", &other));
    let bad = step(&steps, "policy", "failed");
    let line = format!("path \"{other}\" {{ capabilities = [\"read\"] }}");
    assert_eq!(bad["policy"][0], line.as_str());
    // The tutorial's policy works, with a drawback; not for a revocation that must be confirmed.
    let run = check(tenant.command()).args(["--format", "json"]).output();
    run.assert_code(0);
    let seen = self::steps(&run);
    let missing = step(&seen, "policy", "warning").clone();
    let strict = tenant.command().env("VAULTEXEC_STRICT_REVOKE", "true");
    step(&refused(strict), "policy", "failed");
    // Each of its lines, pasted, mends that.
    for line in missing["policy"].as_array().unwrap() {
        let mended = Tenant::with(servers, |spec| {
            spec.policy(
                &line
                    .as_str()
                    .unwrap()
                    .replace(&tenant.creds_path(), "{mount}/creds/{role}"),
            )
        });
        let strict = mended.command().env("VAULTEXEC_STRICT_REVOKE", "true");
        check(strict).output().assert_code(0);
        mended.assert_nothing_left();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_token_without_the_default_policy_lacks_what_that_would_allow() {
    let servers = Servers::shared();
    let bare = Tenant::with(servers, |spec| {
        let spec = spec.approle("token_no_default_policy", true);
        spec.policy("path \"sys/capabilities-self\" { capabilities = [\"update\"] }\n")
            .token_ttl("3s")
    });
    let run = check(bare.command()).output();
    run.assert_code(0);
    for line in [
        "path \"sys/leases/renew\" { capabilities = [\"update\"] }",
        "path \"auth/token/renew-self\" { capabilities = [\"update\"] }",
        "path \"auth/token/revoke-self\" { capabilities = [\"update\"] }",
    ] {
        assert!(run.out().contains(line), "{line} in {run}");
    }
    assert!(
        run.out().contains("! the token could not be given back: "),
        "{run}"
    );
    bare.assert_nothing_left();
    let silent = Tenant::with(servers, |spec| {
        spec.approle("token_no_default_policy", true)
            .token_ttl("3s")
    });
    let run = check(silent.command()).output();
    run.assert_code(0);
    assert!(
        run.out()
            .contains("? what the policy allows cannot be found out: permission denied (403)"),
        "{run}"
    );
    // All that a run does, at once, and no promise.
    let read = silent.creds_path();
    let revoke = format!("sys/leases/revoke/{read}/*");
    for (path, capability) in [
        ("sys/capabilities-self", "update"),
        (&read, "read"),
        (&revoke, "update"),
        ("sys/leases/renew", "update"),
        ("auth/token/renew-self", "update"),
        ("auth/token/revoke-self", "update"),
    ] {
        let line = format!("      path \"{path}\" {{ capabilities = [\"{capability}\"] }}\n");
        assert!(run.out().contains(&line), "{line} in {run}");
    }
    assert!(
        run.out()
            .ends_with("\n✓ nothing that was looked at stands in the way of a run, if the secret id has a use left\n"),
        "{run}"
    );
    silent.assert_nothing_left();
}

#[test]
fn a_token_whose_only_call_would_be_the_read_is_told() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.token_num_uses(1));
    let steps = refused(tenant.command());
    assert!(hint(step(&steps, "token", "failed")).contains("token_num_uses"));
    tenant.assert_nothing_left();
}

#[test]
fn a_database_that_does_not_answer_is_told() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let steps = refused(tenant.command().env("PGPORT", "1"));
    let bad = step(&steps, "database", "failed");
    assert!(
        message(bad).starts_with(
            "the database's host does not answer: 127.0.0.1 port 1: Connection refused"
        ),
        "{bad}"
    );
    let url = "postgresql://h.invalid,127.0.0.1:1/app?host=/nowhere";
    let steps = refused(tenant.command().env("DATABASE_URL", url));
    assert!(message(step(&steps, "database", "failed")).contains("/nowhere/.s.PGSQL."));
    tenant.assert_nothing_left();
}

#[test]
fn a_database_without_a_name_is_told() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let checked = check(tenant.command().env_remove("PGDATABASE"))
        .args(["--format", "json"])
        .output();
    checked.assert_code(0);
    let steps = steps(&checked);
    let nameless = step(&steps, "database", "warning");
    assert!(
        message(nameless).starts_with("nothing names the database: "),
        "{nameless}"
    );
    assert!(hint(nameless).contains("PGDATABASE"), "{nameless}");
    tenant.assert_nothing_left();
}

#[test]
fn a_terminal_has_colour_unless_it_is_not_wanted() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let on = |run: Run| Pty::new().spawn(check(run).arg("--no-login")).wait();
    let run = on(tenant.command().env("TERM", "xterm"));
    run.assert_code(0);
    assert!(
        run.out()
            .contains("\u{1b}[32m✓\u{1b}[0m the settings are sound"),
        "{run}"
    );
    let run = on(tenant.command().env("TERM", "xterm").env("NO_COLOR", "1"));
    assert!(
        run.out().contains("✓ the settings are sound") && !run.out().contains('\u{1b}'),
        "{run}"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_signal_ends_a_check_and_its_token_is_given_back() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let hold = Hold::new();
    let asks = |request: &RequestInfo| request.path == "/v1/sys/capabilities-self";
    let proxy = harm_first(servers, 1, asks, Fault::HoldAnswer(hold.clone()));
    let run = check(tenant.through(&proxy)).spawn();
    hold.wait_arrived();
    run.signal(libc::SIGINT);
    run.wait().assert_killed_by(libc::SIGINT);
    tenant.assert_nothing_left();
}
