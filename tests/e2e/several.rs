//! Several credentials in one run, of any engine, and variables made of their fields.

use crate::support::tenant::CREATION;
use crate::support::*;
use serde_json::json;

/// A tenant with a second role beside its own, at the same database, and the second one's path.
fn tenant_of_two(servers: &Servers, change: Change) -> (Tenant, String) {
    let tenant = Tenant::with(servers, |spec| {
        change(spec).policy("path \"{mount}/creds/{role}-ro\" { capabilities = [\"read\"] }\n")
    });
    let role = format!("{}-ro", tenant.database_role());
    let body = json!({"db_name": "appdb", "creation_statements": CREATION, "default_ttl": "1h", "max_ttl": "24h"});
    tenant
        .admin()
        .write(&format!("database/roles/{role}"), body)
        .unwrap();
    let path = format!("database/creds/{role}");
    (tenant, path)
}

const BOTH: &str = "psql -XAtqc 'select current_user' \
    && PGUSER=$RO_PGUSER PGPASSWORD=$RO_PGPASSWORD psql -XAtqc 'select current_user' \
    && psql \"$RO_DATABASE_URL\" -XAtqc 'select current_user'";

#[test]
fn two_credentials_work_side_by_side_and_both_are_revoked() {
    let servers = Servers::shared();
    let (tenant, ro) = tenant_of_two(servers, |spec| spec.may_revoke_leases());
    let creds = format!("rw={}, ro={ro}", tenant.creds_path());
    for strict in [&[][..], &["--strict-revoke"]] {
        let run = tenant.command().env("VAULTEXEC_CREDS", &creds).args(strict);
        let run = run.child(["sh", "-c", BOTH]).output();
        run.assert_code(0).assert_quiet_stderr();
        let out = run.out();
        let users: Vec<&str> = out.lines().collect();
        assert!(
            users.len() == 3 && users[0] != users[1] && users[1] == users[2],
            "{run}"
        );
        tenant.assert_nothing_left();
    }
}

#[test]
fn nothing_is_left_of_the_first_where_the_second_cannot_be_had() {
    let servers = Servers::shared();
    let (tenant, ro) = tenant_of_two(servers, |spec| spec);
    for (second, message) in [
        (
            "database/creds/no-such-role".to_owned(),
            "database/creds/no-such-role",
        ),
        (format!("{ro}-missing"), "permission denied"),
        (
            "cubbyhole/nothing".to_owned(),
            "is a secrets engine mounted at cubbyhole/",
        ),
    ] {
        let run = tenant
            .command()
            .args([
                "--creds",
                &tenant.creds_path(),
                "--creds",
                &format!("ro={second}"),
            ])
            .child(["echo", "ran"])
            .output();
        run.assert_code(125).stdout_is("").stderr_contains(message);
        tenant.assert_nothing_left();
    }
}

#[test]
fn one_path_is_read_once_and_user_and_password_are_of_one_lease() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let proxy = FaultProxy::start(&servers.vault.url(), |_| Fault::Pass);
    let path = tenant.creds_path();
    let run = tenant
        .through(&proxy)
        .args([
            "--creds",
            &format!("rw={path}"),
            "--creds",
            &format!("ro={path}"),
        ])
        .env("REFERRING", format!("vault:{path}#username"))
        .args(["--resolve-env", "--env", "MADE={{ro.username}}"])
        .child([
            "sh",
            "-c",
            &format!("{BOTH} && echo $REFERRING && echo $MADE"),
        ])
        .output();
    run.assert_code(0).assert_quiet_stderr();
    let out = run.out();
    let users: Vec<&str> = out.lines().collect();
    assert_eq!(users.len(), 5, "{run}");
    assert!(users.iter().all(|user| *user == users[0]), "{run}");
    assert_eq!(proxy.count(RequestInfo::is_creds), 1, "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn all_credentials_are_replaced_together_when_one_of_them_ends() {
    let servers = Servers::shared();
    let (tenant, ro) = tenant_of_two(servers, |spec| spec.default_ttl("6s").max_ttl("6s"));
    let script = "psql \"$DATABASE_URL\" -XAtqc 'select 1' && psql \"$RO_DATABASE_URL\" -XAtqc 'select 1' \
                  && echo up $PGUSER $RO_PGUSER; exec sleep 60";
    let run = tenant
        .command()
        .args([
            "--creds",
            &tenant.creds_path(),
            "--creds",
            &format!("ro={ro}"),
        ])
        .child(["sh", "-c", script])
        .spawn();
    let first = run.wait_for_line("up v-");
    let second = run.wait_for_line("up v-");
    let users =
        |line: &str| -> Vec<String> { line.split(' ').skip(1).map(str::to_owned).collect() };
    let (first, second) = (users(&first), users(&second));
    assert!(
        first[0] != second[0] && first[1] != second[1],
        "{first:?} {second:?}"
    );
    tenant.wait_for_roles(2);
    run.signal(libc::SIGTERM);
    run.wait()
        .assert_killed_by(libc::SIGTERM)
        .assert_only_restarts(1);
    tenant.assert_nothing_left();
}

/// A tenant that may read key-value secrets of both versions, and where they are.
fn tenant_with_secrets(servers: &Servers) -> (Tenant, String, String) {
    let tenant = Tenant::with(servers, |spec| {
        spec.policy("path \"kv1-{role}/*\" { capabilities = [\"read\"] }\n")
            .policy("path \"kv2-{role}/*\" { capabilities = [\"read\"] }\n")
    });
    let secret = json!({"api-key": "k\"1", "port": 8080, "on": true});
    let (one, two) = (
        format!("kv1-{}", tenant.database_role()),
        format!("kv2-{}", tenant.database_role()),
    );
    let admin = tenant.admin();
    for (mount, version) in [(&one, "1"), (&two, "2")] {
        let body = json!({"type": "kv", "options": {"version": version}});
        admin.write(&format!("sys/mounts/{mount}"), body).unwrap();
    }
    admin.write(&format!("{one}/app"), secret.clone()).unwrap();
    let written = poll_until(std::time::Duration::from_secs(30), || {
        // A mount of version 2 is made ready in the background.
        admin
            .write(&format!("{two}/data/app"), json!({"data": secret}))
            .ok()
    });
    assert!(written.is_some());
    (tenant, format!("{one}/app"), format!("{two}/data/app"))
}

#[test]
fn templates_take_fields_of_any_engine() {
    let servers = Servers::shared();
    let (tenant, one, two) = tenant_with_secrets(servers);
    let templates = "KEY={{one.api-key}}\nJSON={\"key\":{{two.api-key|json}},\"port\":{{two.port}}}\n\
                     COMMAS=a,b\nURL={{url}}\nJDBC={{jdbc_url}}\nBASE64={{two.api-key | base64}}";
    let script = "echo \"$KEY\" \"$JSON\" $COMMAS $BASE64; [ \"$URL\" = \"$DATABASE_URL\" ] && echo same; \
                  echo \"${JDBC%%\\?*}\"; env | grep -c '^ONE_\\|^TWO_'; echo ${VAULTEXEC_LEASE_ID%/*}";
    let creds = tenant.creds_path();
    let run = tenant
        .command()
        .args([
            "--creds",
            &creds,
            "--creds",
            &format!("one={one}"),
            "--creds",
            &format!("two={two}"),
        ])
        .env("VAULTEXEC_ENV", templates)
        .env("PGHOST", "127.0.0.1")
        .child(["sh", "-c", script])
        .output();
    let port = servers.postgres.port();
    run.assert_quiet_stderr().stdout_is(&format!(
        "k\"1 {{\"key\":\"k\\\"1\",\"port\":8080}} a,b ayIx\nsame\njdbc:postgresql://127.0.0.1:{port}/appdb\n0\n{creds}\n"
    ));
    tenant.assert_nothing_left();
}

#[test]
fn references_in_the_callers_environment_are_resolved_where_that_is_asked_for() {
    let servers = Servers::shared();
    let (tenant, one, two) = tenant_with_secrets(servers);
    let creds = tenant.creds_path();
    let run = || {
        tenant
            .command()
            .env_remove("VAULTEXEC_CREDS")
            .env("KEY", format!("vault:{one}#api-key"))
            .env("PORT", format!("vault:{two}#port"))
            .env("PGUSER", format!("vault:{creds}#username"))
            .env("PGPASSWORD", format!("vault:{creds}#password"))
    };
    let script = "echo \"$KEY\" $PORT; psql -XAtqc 'select current_user = (select current_user)'";
    let resolved = run()
        .args(["--resolve-env"])
        .child(["sh", "-c", script])
        .output();
    resolved
        .assert_code(0)
        .assert_quiet_stderr()
        .stdout_is("k\"1 8080\nt\n");
    let kept = run()
        .env("VAULTEXEC_CREDS", &creds)
        .child(["sh", "-c", "echo $KEY"])
        .output();
    kept.assert_code(0)
        .stdout_is(&format!("vault:{one}#api-key\n"));
    tenant.assert_nothing_left();
}

#[test]
fn a_field_that_an_answer_does_not_have_is_told_with_those_that_it_has() {
    let servers = Servers::shared();
    let (tenant, one, two) = tenant_with_secrets(servers);
    let own = tenant.creds_path();
    for (arguments, reference, message) in [
        (
            vec!["--creds", &own, "--env", "X={{passwort}}"],
            "",
            "has no field \"passwort\": it has password, username",
        ),
        (
            vec!["--creds", &own, "--resolve-env"],
            &*two,
            "for KEY: the answer has no field \"kee\": it has api-key, on, port",
        ),
        (vec!["--creds", &one], "", "no `data.username`"),
        (
            vec!["--creds", &own, "--creds", "kv=cubbyhole/../x"],
            "",
            "is not a path of the API",
        ),
    ] {
        let key = if reference.is_empty() {
            String::new()
        } else {
            format!("vault:{reference}#kee")
        };
        let run = tenant
            .command()
            .args(arguments)
            .env("KEY", key)
            .child(["echo", "ran"])
            .output();
        run.assert_code(125).stdout_is("").stderr_contains(message);
        tenant.assert_nothing_left();
    }
}

#[test]
fn a_field_that_is_missing_from_new_credentials_leaves_the_command_with_the_old_ones() {
    let servers = Servers::shared();
    let (tenant, _, two) = tenant_with_secrets(servers);
    tenant.limit_leases("10s");
    let run = tenant
        .command()
        .args([
            "--creds",
            &tenant.creds_path(),
            "--creds",
            &format!("kv={two}"),
            "--env",
            "KEY={{kv.api-key}}",
        ])
        .child(["sh", "-c", "echo up $PGUSER; exec sleep 60"])
        .spawn();
    let first = run.wait_for_line("up v-");
    let other = json!({"data": {"other": "x"}});
    tenant.admin().write(&two, other).unwrap();
    run.wait_for_stderr("the answer has no field \"api-key\"");
    assert!(!run.stdout_so_far().trim_end().contains('\n'), "{first}");
    let right = json!({"data": {"api-key": "y"}});
    tenant.admin().write(&two, right).unwrap();
    run.wait_for_line("up v-");
    run.signal(libc::SIGTERM);
    run.wait().assert_killed_by(libc::SIGTERM);
    tenant.assert_nothing_left();
}

#[test]
fn the_url_of_another_database_is_made_in_its_scheme() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for (base, shape) in [
        (
            "mysql://m.example:3306/d?charset=utf8",
            "mysql://U:P@m.example:3306/d?charset=utf8",
        ),
        (
            "mongodb://a:1,b:2/d?authSource=admin",
            "mongodb://U:P@a:1,b:2/d?authSource=admin",
        ),
        ("amqps://q.example/%2Fv", "amqps://U:P@q.example/%2Fv"),
    ] {
        let script = "echo \"$DATABASE_URL\" | sed 's,//[^:]*:[^@]*@,//U:P@,'; echo ${PGUSER-none}";
        let run = tenant
            .command()
            .args(["--database-url", base])
            .child(["sh", "-c", script])
            .output();
        run.assert_code(0)
            .assert_quiet_stderr()
            .stdout_is(&format!("{shape}\nnone\n"));
    }
    tenant.assert_nothing_left();
}
