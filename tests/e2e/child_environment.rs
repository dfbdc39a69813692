//! What the child finds in its environment, and what it does not.

use crate::support::*;
use std::collections::BTreeMap;

/// psql with nothing but the URL.
const BY_URL: &str = "env -u PGUSER -u PGPASSWORD -u PGHOST -u PGPORT -u PGDATABASE -u PGSSLMODE \
     psql \"$DATABASE_URL\" -XAtc \"select 'url', current_user, current_database()\"";
/// psql with nothing but the variables.
const BY_VARIABLES: &str =
    "env -u DATABASE_URL psql -XAtc \"select 'variables', current_user, current_database()\"";

fn shell(run: Run, script: &str) -> Finished {
    run.child(["sh", "-c", script]).output()
}

/// Either form alone leads to the database, as the same user.
#[track_caller]
fn assert_both_work(run: Run) -> Finished {
    let run = shell(run, &format!("{BY_URL} && {BY_VARIABLES}"));
    run.assert_code(0);
    let out = run.out();
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("url|v-") && lines[1].starts_with("variables|v-"),
        "{run}"
    );
    assert_eq!(
        lines[0].trim_start_matches("url"),
        lines[1].trim_start_matches("variables")
    );
    assert!(out.ends_with("|appdb\n"), "{run}");
    run
}

/// The child's whole environment, in bytes.
fn environment(run: Run) -> BTreeMap<Vec<u8>, Vec<u8>> {
    // The status is in hexadecimal: no secret is in it as it is.
    let run = run.child(Probe::status()).output();
    run.assert_code(0);
    let status = Probe::parse_status(&run.stdout);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let all = status["env"].as_array().unwrap().iter().map(|hex| {
        let bytes: Vec<u8> = hex
            .as_str()
            .unwrap()
            .as_bytes()
            .chunks(2)
            .map(byte)
            .collect();
        let at = bytes.iter().position(|byte| *byte == b'=').unwrap();
        (bytes[..at].to_vec(), bytes[at + 1..].to_vec())
    });
    all.collect()
}

#[test]
fn either_form_alone_is_enough_whatever_is_in_the_password() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.password_policy(NASTY_PASSWORD_POLICY));
    // Passwords are random: several.
    for _ in 0..5 {
        assert_both_work(tenant.command()).assert_quiet_stderr();
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_base_url_says_where_the_database_is() {
    let servers = Servers::shared();
    let tenant = Tenant::with(servers, |spec| spec.password_policy(NASTY_PASSWORD_POLICY));
    let port = servers.postgres.port();
    let bare = || {
        tenant
            .command()
            .env_remove("PGHOST")
            .env_remove("PGPORT")
            .env_remove("PGDATABASE")
    };
    for base in [
        format!("postgresql://127.0.0.1:{port}/appdb"),
        format!("postgres://127.0.0.1:{port}/appdb?sslmode=disable&application_name=my%20app"),
        format!("postgresql://old:p%40ss@127.0.0.1:{port}/appdb"),
        format!("postgresql:///appdb?host=127.0.0.1&port={port}"),
        format!("postgresql://127.0.0.1:{port}/appdb?user=old&password=hunter2"),
    ] {
        // A password is refused where everybody can read it.
        if !base.contains('@') && !base.contains("password") {
            assert_both_work(bare().args(["--database-url", &base])).assert_quiet_stderr();
        }
        assert_both_work(bare().env("VAULTEXEC_DATABASE_URL", &base)).assert_quiet_stderr();
        assert_both_work(bare().env("DATABASE_URL", &base)).assert_quiet_stderr();
    }
    // What the base does not say, a variable does.
    assert_both_work(
        bare()
            .env("DATABASE_URL", "postgresql://127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGDATABASE", "appdb"),
    );
    // What it says wins over variables, and a flag over a variable.
    assert_both_work(
        bare()
            .env("PGHOST", "nowhere.invalid")
            .env("PGPORT", "1")
            .env("PGHOSTADDR", "192.0.2.1")
            .env("DATABASE_URL", "postgresql://nowhere.invalid/x")
            .args([
                "--database-url",
                &format!("postgresql://127.0.0.1:{port}/appdb"),
            ]),
    );
    tenant.assert_nothing_left();
}

#[test]
fn vaultexecs_own_base_url_wins_over_an_inherited_one() {
    let tenant = Tenant::new(Servers::shared());
    let shown = |run: Run| {
        let run = run
            .env("DATABASE_URL", "postgresql://inherited.example:1/inherited")
            .child(["sh", "-c", "echo ${DATABASE_URL#*@} $PGHOST $PGDATABASE"])
            .output();
        run.assert_code(0).assert_quiet_stderr();
        run.out()
    };
    let own = "postgresql://own.example:2/own";
    let expected = "own.example:2/own own.example own\n";
    let run = || tenant.command();
    assert_eq!(shown(run().env("VAULTEXEC_DATABASE_URL", own)), expected);
    assert_eq!(shown(run().args(["--database-url", own])), expected);
    assert_eq!(
        shown(run()),
        "inherited.example:1/inherited inherited.example inherited\n"
    );
    tenant.assert_nothing_left();
}

#[test]
fn a_base_url_keeps_its_scheme_and_parameters() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let base = "postgresql+psycopg://old:hunter2@db.example:6000/app?application_name=my%20app&sslmode=disable";
    let all = environment(tenant.command().env("DATABASE_URL", base).canary("hunter2"));
    let text = |name: &str| String::from_utf8(all[name.as_bytes()].clone()).unwrap();
    let url = text("DATABASE_URL");
    assert!(url.starts_with("postgresql+psycopg://v-approle-"), "{url}");
    assert!(
        url.ends_with("@db.example:6000/app?application_name=my%20app&sslmode=disable"),
        "{url}"
    );
    assert_eq!(
        ["PGHOST", "PGPORT", "PGDATABASE", "PGSSLMODE"].map(text),
        ["db.example", "6000", "app", "disable"]
    );
    assert!(!url.contains("hunter2"));
}

#[test]
fn parameters_reach_both_forms() {
    let tenant = Tenant::new(Servers::shared());
    let port = Servers::shared().postgres.port();
    let show = "select current_setting('statement_timeout')";
    let script = format!(
        "env -u PGOPTIONS psql \"$DATABASE_URL\" -XAtc \"{show}\" && env -u DATABASE_URL psql -XAtc \"{show}\""
    );
    let base = format!("postgresql://127.0.0.1:{port}/appdb");
    let options = "options=-c%20statement_timeout%3D4321";
    for run in [
        tenant
            .command()
            .env("DATABASE_URL", format!("{base}?{options}")),
        tenant
            .command()
            .env("DATABASE_URL", &base)
            .env("PGOPTIONS", "-c statement_timeout=4321"),
    ] {
        shell(run, &script).stdout_is("4321ms\n4321ms\n");
    }
    let all = environment(tenant.command().env(
        "DATABASE_URL",
        format!("{base}?sslmode=verify-full&sslrootcert=/ca.pem&channel_binding=require"),
    ));
    for (name, value) in [
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", "/ca.pem"),
        ("PGCHANNELBINDING", "require"),
    ] {
        assert_eq!(all[name.as_bytes()], value.as_bytes(), "{name}");
    }
    tenant.assert_nothing_left();
}

#[test]
fn a_role_is_set_for_every_session_in_either_form() {
    let servers = Servers::shared();
    let owner = "an \\ Owner";
    servers.postgres.sql(&format!("CREATE ROLE \"{owner}\""));
    let tenant = Tenant::with(servers, |spec| {
        spec.creation_statements(&format!(
            "CREATE ROLE \"{{{{name}}}}\" LOGIN PASSWORD '{{{{password}}}}' VALID UNTIL '{{{{expiration}}}}' \
             IN ROLE \"{owner}\""
        ))
    });
    let show = "select current_user, current_setting('statement_timeout')";
    let script = format!(
        "env -u PGOPTIONS psql \"$DATABASE_URL\" -XAtc \"{show}\" && env -u DATABASE_URL psql -XAtc \"{show}\""
    );
    let run = || {
        tenant
            .command()
            .env("PGOPTIONS", "-c statement_timeout=4321")
    };
    let expected = format!("{owner}|4321ms\n{owner}|4321ms\n");
    for run in [
        run().args(["--set-role", owner]),
        run().env("VAULTEXEC_SET_ROLE", owner),
    ] {
        shell(run, &script).assert_code(0).stdout_is(&expected);
    }
    tenant.assert_nothing_left();
    servers.postgres.sql(&format!("DROP ROLE \"{owner}\""));
}

#[test]
fn an_inherited_url_of_another_database_is_left_alone() {
    let tenant = Tenant::new(Servers::shared());
    let run = shell(
        tenant
            .command()
            .arg("-v")
            .env("DATABASE_URL", "sqlite:///x"),
        &format!("echo $DATABASE_URL; {BY_VARIABLES}"),
    );
    run.assert_code(0)
        .stderr_contains("DATABASE_URL is no PostgreSQL's");
    assert!(run.out().starts_with("sqlite:///x\nvariables|v-"), "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn libpq_reads_a_zone_in_either_form() {
    let tenant = Tenant::new(Servers::shared());
    let run = shell(
        tenant
            .command()
            .env("PGHOST", "fe80::1%lo")
            .env("PGPORT", "1"),
        "psql \"$DATABASE_URL\" -c x; env -u DATABASE_URL psql -c x",
    );
    let text = String::from_utf8_lossy(&run.stderr).into_owned();
    let tried = text.matches("server at \"fe80::1%lo\"").count();
    assert_eq!(tried, 2, "{run}");
    tenant.assert_nothing_left();
}

#[test]
fn a_linked_services_port_is_refused_by_name() {
    let tenant = Tenant::new(Servers::shared());
    tenant
        .command()
        .env("PGPORT", "tcp://10.1.1.1:5432")
        .child(["true"])
        .output()
        .assert_code(125)
        .stderr_contains("PGPORT: it is a URL");
    tenant.assert_nothing_left();
}

#[test]
fn notes_are_told_at_info_only() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let replaced = || {
        tenant
            .command()
            .env("DATABASE_URL", "postgresql://old:hunter2@db.example/app")
            .canary("hunter2")
    };
    let unknown = || {
        let run = tenant.command();
        run.env_remove("PGHOST").env_remove("PGPORT")
    };
    replaced()
        .child(["true"])
        .output()
        .assert_code(0)
        .assert_silent();
    unknown()
        .child(["true"])
        .output()
        .assert_code(0)
        .assert_silent();
    replaced()
        .arg("-v")
        .child(["true"])
        .output()
        .assert_code(0)
        .stderr_contains("the user and password in the base URL are replaced");
    unknown()
        .arg("-v")
        .child(["true"])
        .output()
        .assert_code(0)
        .stderr_contains("localhost:5432 is taken");
    tenant.assert_nothing_left();
}

#[test]
fn what_would_mislead_libpq_is_dropped() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let misled = || {
        tenant
            .command()
            .env("PGUSER", "somebody")
            .env("PGPASSWORD", "wrong")
            .env("PGPASSFILE", "/nowhere/pgpass")
            .env("PGSERVICE", "nowhere")
            .env("PGSERVICEFILE", "/nowhere/service")
            .env("PGAPPNAME", "mine")
    };
    assert_both_work(misled()).assert_quiet_stderr();
    let names = ["PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGAPPNAME"];
    misled()
        .child(Probe::env(&names))
        .output()
        .stdout_is("PGPASSFILE unset\nPGSERVICE unset\nPGSERVICEFILE unset\nPGAPPNAME=mine\n");
    tenant.assert_nothing_left();
}

#[test]
fn the_logins_secrets_are_dropped_and_all_else_stays() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    assert_all_but_the_secrets(
        &tenant,
        &["TOKEN", "ROLE_ID", "SECRET_ID", "WRAPPED_SECRET_ID"],
    );
    // Of a value and a file only one may be given.
    assert_all_but_the_secrets(
        &tenant,
        &[
            "TOKEN_FILE",
            "ROLE_ID_FILE",
            "SECRET_ID_FILE",
            "WRAPPED_SECRET_ID_FILE",
        ],
    );
    tenant.assert_nothing_left();
}

#[track_caller]
fn assert_all_but_the_secrets(tenant: &Tenant, secrets: &[&str]) {
    let mut run = tenant
        .command()
        .env_remove("VAULT_ROLE_ID")
        .env_remove("VAULT_SECRET_ID")
        .args(["--role-id", &tenant.role_id(), "--secret-id-file", "-"])
        .stdin_bytes(tenant.secret_id())
        .env("MY_TOKEN", "mine")
        .env("VAULTS", "mine")
        .env_bytes(b"ODD\xff", b"\xfe\x80 =x")
        .env_bytes(b"EMPTY", b"");
    for name in secrets {
        for prefix in ["VAULT_", "BAO_"] {
            run = run.env(format!("{prefix}{name}"), "hunter2");
        }
    }
    let inherited: BTreeMap<_, _> = run.environment().clone();
    let all = environment(run);
    for name in secrets {
        for prefix in ["VAULT_", "BAO_"] {
            let name = format!("{prefix}{name}");
            assert!(!all.contains_key(name.as_bytes()), "{name}");
        }
    }
    assert_eq!(all[&b"ODD\xff"[..]], b"\xfe\x80 =x");
    let ours = [
        "PGUSER",
        "PGPASSWORD",
        "DATABASE_URL",
        "VAULTEXEC_LEASE_ID",
        "VAULTEXEC_EXPIRES_AT",
    ];
    for (name, value) in &inherited {
        use std::os::unix::ffi::OsStrExt;
        let secret = secrets.iter().any(|secret| {
            [format!("VAULT_{secret}"), format!("BAO_{secret}")]
                .iter()
                .any(|full| name == full.as_str())
        });
        if !secret {
            assert_eq!(
                all.get(name.as_bytes()).map(Vec::as_slice),
                Some(value.as_bytes()),
                "{name:?}"
            );
        }
    }
    for name in all.keys() {
        let name = String::from_utf8_lossy(name).into_owned();
        assert!(
            ours.contains(&name.as_str())
                || name == "ODD\u{fffd}"
                || inherited.contains_key(std::ffi::OsStr::new(&name)),
            "{name} came from nowhere"
        );
    }
}

#[test]
fn of_the_clients_variables_only_what_is_known_to_be_harmless_passes() {
    let tenant = Tenant::new(Servers::shared());
    let hidden = [
        "VAULT_HEADERS",
        "VAULT_MFA",
        "BAO_CLIENT_KEY_BYTES",
        "VAULT_LICENSE",
        "VAULTEXEC_DATABASE_URL",
    ];
    let seen = ["VAULT_FORMAT", "VAULT_LOG_LEVEL", "VAULTEXEC_LOG_LEVEL"];
    let mut run = tenant
        .command()
        .env("VAULT_FORMAT", "json")
        .env("VAULT_LOG_LEVEL", "info")
        .env("VAULTEXEC_LOG_LEVEL", "error")
        .env("VAULTEXEC_DATABASE_URL", "postgresql://u:hunter2@h/d")
        .canary("hunter2");
    for name in hidden.iter().take(4) {
        run = run.env(name, "hunter2");
    }
    let all = environment(run);
    for name in hidden {
        assert!(!all.contains_key(name.as_bytes()), "{name}");
    }
    for name in seen {
        assert!(all.contains_key(name.as_bytes()), "{name}");
    }
    for value in all.values() {
        assert!(!String::from_utf8_lossy(value).contains("hunter2"));
    }
    tenant.assert_nothing_left();
}

#[test]
fn what_is_asked_for_is_kept() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let names = ["VAULT_ROLE_ID", "VAULT_TOKEN", "BAO_TOKEN", "PGSERVICE"];
    let run = || {
        tenant
            .command()
            .env("VAULT_ROLE_ID", tenant.role_id())
            .env("VAULT_TOKEN", "kept")
            .env("BAO_TOKEN", "dropped")
            .env("PGSERVICE", "s")
    };
    let expected = format!(
        "VAULT_ROLE_ID={}\nVAULT_TOKEN=kept\nBAO_TOKEN unset\nPGSERVICE=s\n",
        tenant.role_id()
    );
    run()
        .args(["--keep-env", "VAULT_*, PGSERVICE"])
        .env_remove("VAULT_SECRET_ID")
        .args(["--secret-id-file", "-"])
        .stdin_bytes(tenant.secret_id())
        .child(Probe::env(&names))
        .output()
        .stdout_is(&expected);
    run()
        .env("VAULTEXEC_KEEP_ENV", "VAULT_ROLE_ID,VAULT_TOKEN,PGSERVICE")
        .child(Probe::env(&names))
        .output()
        .stdout_is(&expected);
    tenant.assert_nothing_left();
}

#[test]
fn a_cleared_environment_holds_the_credentials_and_what_is_kept() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    for by_flag in [true, false] {
        let run = tenant.command().args(["--keep-env", "LANG,LC_*"]);
        let run = if by_flag {
            run.arg("--clear-env")
        } else {
            run.env("VAULTEXEC_CLEAR_ENV", "true")
        };
        let names: Vec<String> = environment(run.env("LC_ALL", "C"))
            .into_keys()
            .map(|name| String::from_utf8(name).unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "DATABASE_URL",
                "LANG",
                "LC_ALL",
                "PGDATABASE",
                "PGHOST",
                "PGPASSWORD",
                "PGPORT",
                "PGUSER",
                "VAULTEXEC_EXPIRES_AT",
                "VAULTEXEC_LEASE_ID"
            ]
        );
    }
    // The command was found by the caller's PATH.
    let run = tenant
        .command()
        .arg("--clear-env")
        .child(["psql", "-XAtc", "select 1"])
        .output();
    run.stdout_is("1\n");
    tenant.assert_nothing_left();
}

#[test]
fn the_child_can_see_which_lease_it_has_and_until_when() {
    let servers = Servers::shared();
    let tenant = Tenant::new(servers);
    let mut running = tenant
        .command()
        .child([
            "sh",
            "-c",
            "echo $VAULTEXEC_LEASE_ID; echo $VAULTEXEC_EXPIRES_AT; cat",
        ])
        .stdin_piped()
        .spawn();
    let lease = running.next_line();
    assert_eq!(tenant.leases(), [lease]);
    let expires = running.next_line();
    assert!(
        expires.starts_with("20") && expires.ends_with('Z'),
        "{expires}"
    );
    running.close_stdin();
    running.wait().assert_code(0);
    tenant.assert_nothing_left();
}
