use super::super::command_line::Flags;
use super::super::row::{Form, Setting};
use super::super::table::{self, ALL};
use super::*;
use crate::environment::Given;
use crate::render::recipe::Place;

fn gathered(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, String> {
    let (flags, environment) = (Flags::of(arguments), Given(environment.to_vec()));
    gather(Lookup::new(&flags, &environment), false).map_err(|problems| {
        let lines = problems.iter().map(|problem| format!("{problem}\n"));
        lines.collect()
    })
}

fn logged(arguments: &[&str], environment: &[(&str, &str)]) -> Logging {
    let (flags, environment) = (Flags::of(arguments), Given(environment.to_vec()));
    logging(&Lookup::new(&flags, &environment))
}

const NEEDED: [(&str, &str); 2] = [
    ("VAULT_ROLE_ID", "r"),
    ("VAULTEXEC_CREDS", "database/creds/x"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [more, &NEEDED].concat()
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

/// A row, a value, and what the configuration then says that it does not say otherwise; a problem, where
/// a sound value would take more than this.
const EFFECTS: [(&Setting, &str, &str); 47] = [
    (&table::ADDRESS, "unix:///s", "addresses: [Unix(\"/s\")]"),
    (
        &table::NAMESPACE,
        "teams/one",
        "namespace: Some(\"teams/one\")",
    ),
    (&table::CA_CERT, "/nowhere/x", ": cannot read /nowhere/x"),
    (&table::CA_CERT_BYTES, PEM, "authorities: Some("),
    (&table::CA_PATH, "/nowhere/x", ": cannot read /nowhere/x"),
    (
        &table::CLIENT_CERT,
        "/nowhere/x",
        ": cannot read /nowhere/x",
    ),
    (&table::CLIENT_KEY, "/nowhere/x", ": cannot read /nowhere/x"),
    (
        &table::TLS_SERVER_NAME,
        "vault",
        "server_name: Some(\"vault\")",
    ),
    (&table::TLS_SKIP_VERIFY, "t", "skip_verify: true"),
    (&table::CLIENT_TIMEOUT, "5", " timeout: 5s"),
    (&table::MAX_RETRIES, "0", "max_retries: Some(0)"),
    (&table::DISABLE_REDIRECTS, "TRUE", "follow_redirects: false"),
    (&table::PROXY_ADDR, "http://p:1", "proxy: Always("),
    (&table::VAULT_HTTP_PROXY, "p:2", "proxy: Always("),
    (&table::HTTPS_PROXY, "http://p:1", "proxy: Environment("),
    (&table::HTTP_PROXY, "http://p:1", "proxy: Environment("),
    (
        &table::AUTH,
        "kerberos",
        ": \"kerberos\" is none of approle, token, kubernetes, jwt, cert, userpass, ldap",
    ),
    (
        &table::AUTH_MOUNT,
        "auth/team/approle/",
        "mount: \"team/approle\"",
    ),
    (&table::ROLE_ID, "q", "role_id: "),
    (
        &table::ROLE_ID_FILE,
        "/nowhere/x",
        ": cannot read /nowhere/x",
    ),
    (&table::SECRET_ID, "s", "secret_id: Plain(Variable("),
    (
        &table::SECRET_ID_FILE,
        "-",
        "secret_id: Plain(StandardInput",
    ),
    (
        &table::WRAPPED_SECRET_ID,
        "w",
        "secret_id: Wrapped { source: Variable(",
    ),
    (
        &table::WRAPPED_SECRET_ID_FILE,
        "-",
        "secret_id: Wrapped { source: StandardInput",
    ),
    (&table::WRAPPING_PATH, "a//b", ": \"a//b\" is not a path"),
    (&table::REMOVE_SECRET_ID_FILE, "true", "remove_file: true"),
    (
        &table::CREDS,
        "database/static-creds/app",
        "paths: [\"database/static-creds/app\"]",
    ),
    (&table::ENV, "A=b", "made: [Made { name: \"A\""),
    (&table::GITHUB_MASK, "1", "github_mask: true"),
    (&table::HANDOVER, "passfile", "handover: Passfile"),
    (&table::RESOLVE_ENV, "true", "name: \"REFERRING\", path: 1"),
    (&table::DATABASE_URL, "postgresql://h/app", "path: \"/app\""),
    (
        &table::INHERITED_DATABASE_URL,
        "postgresql://h/app",
        "path: \"/app\"",
    ),
    (&table::SET_ROLE, "owner", "set_role: Some(\"owner\")"),
    (&table::LEASE_TTL, "5m", "lease_ttl: Some(300s)"),
    (&table::ON_EXPIRY, "signal:USR1", "on_expiry: Signal("),
    (
        &table::KEEP_ENV,
        " A , LC_*,,*",
        "keep: [\"A\", \"LC_*\", \"*\"]",
    ),
    (&table::WAIT_LOGIN, "1", "wait_login: true"),
    (&table::CLEAR_ENV, "1", "clear: true"),
    (
        &table::STOP_SIGNAL,
        "CONT",
        ": SIGCONT does not end a program",
    ),
    (&table::STOP_TIMEOUT, "0", "stop_timeout: 0ns"),
    (&table::KILL_AFTER, "1m", "kill_after: Some(60s)"),
    (&table::START_TIMEOUT, "1m30s", "start_timeout: 90s"),
    (&table::REVOKE_TIMEOUT, "7", "revoke_timeout: 7s"),
    (&table::NO_REVOKE, "T", " revoke: false"),
    (&table::STRICT_REVOKE, "True", "strict_revoke: true"),
    (&table::LOG_FORMAT, "json", "format: Json"),
];

/// What has a test of its own.
const OTHERS: [&Setting; 12] = [
    // For the whole process.
    &table::STRICT_PERMISSIONS,
    &table::NO_PROXY,
    &table::LOG_LEVEL,
    &table::CONFIG,
    &table::TOKEN,
    &table::TOKEN_FILE,
    &table::AUTH_ROLE,
    &table::JWT,
    &table::JWT_FILE,
    &table::JWT_AUDIENCE,
    &table::USERNAME,
    &table::PASSWORD_FILE,
];

#[test]
fn every_row_has_its_effect_in_every_layer_it_has() {
    let said = |flags: &[&str], environment: &[(&str, &str)]| match gathered(flags, environment) {
        Ok(config) => format!("{config:?} {:?}", logged(flags, environment)),
        Err(problems) => problems,
    };
    let default = said(&[], &with(&[]));
    for (setting, value, effect) in EFFECTS {
        // Only the other form of the role id would be in its way.
        let mut needed = [&NEEDED[..], &[("REFERRING", "vault:kv/a#b")]].concat();
        needed.retain(|(name, _)| !(*setting == table::ROLE_ID_FILE && *name == "VAULT_ROLE_ID"));
        for variable in setting.variables() {
            let environment = [&[(variable.as_str(), value)], &needed[..]].concat();
            let said = said(&[], &environment);
            assert!(said.contains(effect), "{variable}={value}: {said}");
        }
        if let Some(flag) = setting.flag {
            let flag = format!("--{flag}");
            let flags = match setting.form {
                Form::Switch => vec![flag.as_str()],
                _ => vec![flag.as_str(), value],
            };
            let said = said(&flags, &needed);
            assert!(said.contains(effect), "{flags:?}: {said}");
        }
        assert!(
            *setting == table::ROLE_ID || !default.contains(effect),
            "{effect}"
        );
    }
    let tested = EFFECTS.iter().map(|(setting, ..)| *setting).chain(OTHERS);
    let tested: Vec<_> = tested.collect();
    for setting in ALL.iter().filter(|setting| setting.variable.is_some()) {
        assert!(tested.contains(setting), "{setting}");
    }
}

#[test]
fn defaults_are_those_of_the_table() {
    let config = format!("{:?}", gathered(&[], &with(&[])).expect("valid"));
    for said in [
        "addresses: [Tcp(",
        "Some(Ipv4(127.0.0.1)), port: Some(8200), path: \"/\"",
        "namespace: None",
        "authorities: None, identity: None, server_name: None, skip_verify: false",
        "proxy: Direct, timeout: 60s, connect_timeout: 5s, max_retries: None, follow_redirects: true",
        "mount: \"approle\"",
        "secret_id: None, remove_file: false",
        "place: Postgres(None) }], made: [], referring: [], set_role: None",
        "keep: [], clear: false",
        "on_expiry: Restart, lease_ttl: None",
        "stop_timeout: 10s, kill_after: None, start_timeout: 30s, revoke_timeout: 5s, revoke: true, strict_revoke: false",
    ] {
        assert!(config.contains(said), "{said} in\n{config}");
    }
    assert_eq!(logged(&[], &with(&[])), Logging::default());
}

#[test]
fn all_that_is_wrong_is_told_together() {
    let environment = [
        ("VAULT_ADDR", "nonsense"),
        ("VAULT_SKIP_VERIFY", "maybe"),
        ("VAULTEXEC_STOP_SIGNAL", "NOPE"),
        ("VAULT_CACERT", "/nowhere/ca.pem"),
        ("VAULT_WRAPPED_SECRET_ID_FILE", "/nowhere/token"),
        ("VAULTEXEC_CRED", "x"),
    ];
    let problems = gathered(&["--start-timeout", "soon", "-q", "-v"], &environment);
    let problems = problems.expect_err("wrong on purpose");
    let reported = [
        "VAULTEXEC_CRED: there is no such variable; did you mean VAULTEXEC_CREDS?",
        "VAULT_ADDR: ",
        "VAULT_SKIP_VERIFY: ",
        "VAULTEXEC_STOP_SIGNAL: ",
        "VAULT_CACERT: cannot read /nowhere/ca.pem",
        "VAULT_WRAPPED_SECRET_ID_FILE: cannot read /nowhere/token: No such file",
        "--start-timeout: ",
        "--quiet and --verbose: give only one",
        "VAULT_ROLE_ID, VAULT_ROLE_ID_FILE): the role id is missing",
        "--creds (VAULTEXEC_CREDS): it is missing",
    ];
    for needle in reported {
        assert!(problems.contains(needle), "{needle} in\n{problems}");
    }
    assert_eq!(
        problems.lines().count(),
        reported.len(),
        "each once:\n{problems}"
    );
}

#[test]
fn a_flag_wins_and_two_forms_of_one_setting_are_refused() {
    let environment = with(&[("VAULT_SECRET_ID", "s"), ("VAULT_SECRET_ID_FILE", "/f")]);
    let problems = gathered(&[], &environment).expect_err("ambiguous");
    assert!(
        problems.contains("VAULT_SECRET_ID_FILE and VAULT_SECRET_ID: give only one"),
        "{problems}"
    );
    assert!(gathered(&["--secret-id-file", "/etc/passwd"], &environment).is_ok());
    let environment = with(&[("VAULT_SECRET_ID", "s"), ("BAO_WRAPPED_SECRET_ID", "w")]);
    let problems = gathered(&[], &environment).expect_err("ambiguous");
    assert!(
        problems.contains("BAO_WRAPPED_SECRET_ID: the secret id is given twice"),
        "{problems}"
    );
    let config = gathered(&["--wrapped-secret-id-file", "-"], &environment).expect("the flag wins");
    let config = format!("{config:?}");
    assert!(
        config.contains("Wrapped { source: StandardInput"),
        "{config}"
    );
    assert!(gathered(&["--no-revoke", "--strict-revoke"], &with(&[])).is_err());
}

#[test]
fn a_flag_for_the_authorities_wins_over_every_variable() {
    let variables = [
        ("VAULT_CACERT", "/nowhere/variable.pem"),
        ("VAULT_CACERT_BYTES", "no PEM"),
        ("VAULT_CAPATH", "/nowhere/variable"),
    ];
    for (flags, reported) in [
        (
            &["--ca-path", "/nowhere/flag"][..],
            "--ca-path: cannot read /nowhere/flag: ",
        ),
        (
            &["--ca-cert", "/nowhere/flag", "--ca-path", "/nowhere/other"],
            "--ca-cert: cannot read /nowhere/flag: ",
        ),
        (&[], "VAULT_CACERT_BYTES: no PEM certificate"),
    ] {
        let problems = gathered(flags, &with(&variables)).expect_err("not there");
        assert!(problems.starts_with(reported), "{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn a_client_certificate_that_cannot_be_read_is_not_called_missing() {
    let files = with(&[
        ("VAULT_CLIENT_CERT", "/nowhere/cert"),
        ("VAULT_CLIENT_KEY", "/etc/passwd"),
    ]);
    let problems = gathered(&[], &files).expect_err("not there");
    assert!(
        problems.starts_with("VAULT_CLIENT_CERT: cannot read /nowhere/cert: "),
        "{problems}"
    );
    assert_eq!(problems.lines().count(), 1, "{problems}");
}

#[test]
fn more_is_never_less() {
    for (flags, level) in [
        (&[][..], LevelFilter::Warn),
        (&["-v"], LevelFilter::Info),
        (&["-vv"], LevelFilter::Debug),
        (&["-vvvv"], LevelFilter::Trace),
        (&["--verbose", "--verbose"], LevelFilter::Debug),
        (&["--log-level", "Debug", "-v"], LevelFilter::Debug),
        (&["--log-level", "trace", "-vv"], LevelFilter::Trace),
        (&["--log-level", "error", "-v"], LevelFilter::Info),
        (&["--log-level", "debug", "-q"], LevelFilter::Error),
        (&["--quiet"], LevelFilter::Error),
    ] {
        assert_eq!(logged(flags, &with(&[])).level, level, "{flags:?}");
    }
}

#[test]
fn a_password_where_others_can_read_it_is_refused() {
    let url = "postgresql://u:hunter2@h/d";
    let problems = gathered(&["--database-url", url], &with(&[])).expect_err("in argv");
    assert!(
        problems.starts_with("--database-url: there is a password in it, which everybody"),
        "{problems}"
    );
    assert!(!problems.contains("hunter2"), "{problems}");
    assert!(gathered(&[], &with(&[("VAULTEXEC_DATABASE_URL", url)])).is_ok());
    assert!(gathered(&["--database-url", "postgresql://u@h/d"], &with(&[])).is_ok());
}

#[test]
fn the_choices_of_a_row_are_those_that_are_taken() {
    for setting in ALL {
        let (Form::Choice(_, choices), Some(flag)) = (setting.form, setting.flag) else {
            continue;
        };
        for choice in choices {
            let choice = choice.replace("NAME", "HUP");
            let given = gathered(&[&format!("--{flag}"), &choice], &with(&[]));
            // A way to log in has needs of its own.
            let refused = given.is_err_and(|problems| problems.contains(" is none of "));
            assert!(!refused, "{setting} {choice}");
        }
        let problems =
            gathered(&[&format!("--{flag}"), "nope"], &with(&[])).expect_err("no choice");
        assert!(
            problems.starts_with(&format!("--{flag}: \"nope\" is n")),
            "{problems}"
        );
    }
}

#[test]
fn the_command_sees_no_variable_of_a_setting_that_is_a_secret_or_a_url() {
    let mut dropped = 0;
    for setting in table::ALL {
        let is_url = setting
            .value_name()
            .is_some_and(|name| name.ends_with("URL"));
        let is_several = is_url && matches!(setting.form, Form::Several(..));
        if !matches!(setting.form, Form::Secret | Form::Url(_)) && !is_several {
            continue;
        }
        for name in setting.variables() {
            let is_ours = ["VAULTEXEC_", "VAULT_", "BAO_"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if is_ours && !name.ends_with("T_ADDR") && name != "BAO_ADDR" {
                assert!(child_environment::is_secret(name.as_bytes()), "{name}");
                dropped += 1;
            }
        }
    }
    assert!(dropped > 5, "{dropped}");
}

#[test]
fn an_inherited_url_of_another_database_is_not_ours() {
    for url in ["sqlite:///x", "mysql://u:p@h/d", "not a URL"] {
        let config = gathered(&[], &with(&[("DATABASE_URL", url)])).expect(url);
        let first = config.recipe.credentials.first();
        let place = first.map(|first| first.place.clone());
        assert_eq!(place, Some(Place::Postgres(None)), "{url}");
        let problems = gathered(&["--database-url", url], &with(&[])).expect_err(url);
        assert!(
            problems.contains("password in it") || problems.contains("not a URL of PostgreSQL"),
            "{problems}"
        );
    }
}

#[test]
fn a_port_that_is_none_is_refused_by_name_where_it_is_needed() {
    for (name, value, message) in [
        ("PGPORT", "tcp://10.1.1.1:5432", "PGPORT: it is a URL"),
        ("PGPORT", "hunter2", "PGPORT: it is not a number"),
        ("PGPORT", "0", "PGPORT: it is not a number"),
        ("PGPORT", "1,2", "PGPORT: it has not as many"),
        ("PGHOST", "tcp://db", "PGHOST: it is a URL"),
        ("PGHOST", "db,user:x@evil", "PGHOST: it holds a character"),
        ("PGHOST", "db/app?user=x", "PGHOST: it holds a character"),
    ] {
        let problems = gathered(&[], &with(&[(name, value)])).expect_err(value);
        assert!(
            problems.contains(message) && !problems.contains("hunter2"),
            "{problems}"
        );
        let base = ("DATABASE_URL", "postgresql://h:1/d");
        assert!(
            gathered(&[], &with(&[(name, value), base])).is_ok(),
            "{value}"
        );
    }
}

#[test]
fn a_role_is_refused_where_it_would_not_reach_the_session() {
    let flags = ["--set-role", "owner"];
    for scheme in ["postgresql+asyncpg", "ecto"] {
        let url = format!("{scheme}://h/d");
        let problems = gathered(&flags, &with(&[("DATABASE_URL", &url)])).expect_err(scheme);
        assert!(
            problems.contains("--set-role: no role can be set"),
            "{problems}"
        );
    }
    assert!(gathered(&flags, &with(&[("DATABASE_URL", "postgis://h/d")])).is_ok());
    assert!(gathered(&["--set-role", "a\u{1}b"], &with(&[])).is_err());
}

#[test]
fn credentials_have_names_paths_and_places() {
    let both = with(&[
        (
            "VAULTEXEC_CREDS",
            "database/creds/x, ro=database/creds/y,my=db/static-creds/z",
        ),
        (
            "VAULTEXEC_DATABASE_URL",
            "postgresql://h1,h2/d\r\nmy=mysql://u:p@m/d?a=b\n",
        ),
    ]);
    let flags = [
        "--creds=database/creds/x",
        "--creds=ro=database/creds/y",
        "--creds=my=db/static-creds/z",
        "--database-url=postgresql://h1,h2/d",
        "--database-url=my=mysql://m/d?a=b",
    ];
    for (flags, environment) in [(&[][..], both), (&flags[..], with(&[]))] {
        let recipe = gathered(flags, &environment).expect("sound").recipe;
        assert_eq!(
            recipe.paths,
            ["database/creds/x", "database/creds/y", "db/static-creds/z"]
        );
        let prefixes: Vec<_> = recipe
            .credentials
            .iter()
            .map(|one| one.prefix.as_str())
            .collect();
        assert_eq!(prefixes, ["", "RO_", "MY_"]);
        let places: Vec<_> = recipe.credentials.iter().map(|one| &one.place).collect();
        assert_eq!(places[0], places[1]);
        assert!(matches!(places[0], Place::Postgres(Some(_))));
        assert!(matches!(places[2], Place::Other(_)));
    }
    let twice = gathered(
        &["--creds=a=db/creds/x", "--creds=b=db/creds/x"],
        &with(&[]),
    );
    assert_eq!(twice.expect("sound").recipe.paths, ["db/creds/x"]);
}

#[test]
fn what_is_said_of_credentials_that_are_not_there_or_twice_is_refused() {
    for (flags, message) in [
        (
            &["--creds=a=d/creds/x", "--creds=A=d/creds/y"][..],
            "two credentials would have the variables A_",
        ),
        (
            &["--creds=d/creds/x", "--creds=d/creds/y"],
            "cannot be a name of credentials",
        ),
        (
            &["--database-url=ro=postgresql://h"],
            "no credentials are called \"ro\"",
        ),
        (
            &[
                "--database-url=postgresql://h",
                "--database-url=postgresql://i",
            ],
            "for the same credentials",
        ),
        (
            &["--set-role=r", "--database-url=mysql://h/d"],
            "only a PostgreSQL",
        ),
        (&["--env=A"], "--env: it is not NAME=TEMPLATE"),
        (&["--env==x"], "cannot be the name of a variable"),
        (
            &["--env=A={{username|uri}}"],
            "--env: A: there is no filter \"uri\"",
        ),
        (
            &["--env=A={{rx.username}}"],
            "--env: A: no credentials are called \"rx\"",
        ),
        (&["--env=A=1", "--env=A=2"], "A is made twice"),
        (&["--env=VAULTEXEC_LEASE_ID=1"], "VAULTEXEC_LEASE_ID says"),
    ] {
        let problems = gathered(flags, &with(&[])).expect_err(message);
        assert!(problems.contains(message), "{flags:?}: {problems}");
    }
}

#[test]
fn variables_that_refer_to_fields_are_found_where_that_is_asked_for() {
    let given = [
        ("KEY", "vault:secret/data/a#key"),
        ("USER", "vault:database/creds/x#username"),
    ];
    let recipe = gathered(&["--env=A=b,c"], &with(&given))
        .expect("sound")
        .recipe;
    assert_eq!((recipe.paths.len(), recipe.referring.len()), (1, 0));
    let recipe = gathered(&["--resolve-env"], &with(&given))
        .expect("sound")
        .recipe;
    assert_eq!(recipe.paths, ["database/creds/x", "secret/data/a"]);
    let found: Vec<_> = recipe
        .referring
        .iter()
        .map(|it| (it.name.as_str(), it.path, it.field.as_str()))
        .collect();
    assert_eq!(found, [("KEY", 1, "key"), ("USER", 0, "username")]);
    // Then nothing else has to be read.
    let alone = [("VAULT_ROLE_ID", "r"), ("KEY", "vault:secret/data/a#key")];
    let recipe = gathered(&["--resolve-env"], &alone).expect("sound").recipe;
    assert_eq!((recipe.paths.len(), recipe.credentials.len()), (1, 0));
    for (name, value, message) in [
        (
            "KEY",
            "vault:secret/data/a#key#2",
            "KEY: it refers to a version",
        ),
        (
            "KEY",
            "vault:secret",
            "KEY: a reference is vault:PATH#FIELD",
        ),
        (
            "PGPASSWORD",
            "vault:secret/data/a#key",
            "PGPASSWORD: it refers to a field, and --creds sets it as well",
        ),
    ] {
        let problems = gathered(&["--resolve-env"], &with(&[(name, value)])).expect_err(message);
        assert!(problems.contains(message), "{problems}");
    }
}
