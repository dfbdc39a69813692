use super::*;
use crate::auth::{AppRoleSettings, AuthSettings, SecretIdSettings, Source};
use crate::environment::Given;
use crate::vault::Proxy;
use clap::Parser as _;

fn gathered(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, String> {
    let arguments = [&["vaultexec"], arguments, &["--", "true"]].concat();
    let cli = Cli::try_parse_from(arguments).expect("a sound command line");
    gather(&cli, &Given(environment.to_vec()), false).map_err(|problems| {
        problems
            .iter()
            .map(|problem| format!("{problem}\n"))
            .collect()
    })
}

const NEEDED: [(&str, &str); 2] = [
    ("VAULT_ROLE_ID", "r"),
    ("VAULTEXEC_CREDS", "database/creds/x"),
];

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&NEEDED, more].concat()
}

#[test]
fn defaults_are_those_of_the_official_client() {
    let config = gathered(&[], &with(&[])).expect("valid");
    assert_eq!(
        config
            .vault
            .addresses
            .first()
            .map(ToString::to_string)
            .as_deref(),
        Some("https://127.0.0.1:8200")
    );
    assert_eq!(config.vault.addresses.len(), 1);
    assert_eq!(config.vault.timeout, Duration::from_secs(60));
    assert_eq!(config.vault.connect_timeout, Duration::from_secs(5));
    assert_eq!(config.vault.max_retries, None);
    assert_eq!(config.vault.namespace, None);
    assert!(config.vault.proxy == Proxy::Direct && config.vault.follow_redirects);
    let tls = &config.vault.tls;
    assert!(tls.authorities.is_none() && tls.identity.is_none() && !tls.skip_verify);
    assert_eq!(tls.server_name, None);
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = gathered(&[], &with(&[])).expect("valid");
    assert_eq!(config.start_timeout, Duration::from_secs(30));
    assert_eq!(config.revoke_timeout, Duration::from_secs(5));
    assert_eq!(config.stop_timeout, Duration::from_secs(10));
    assert_eq!(config.kill_after, None);
    assert_eq!(config.stop_signal, Signal::TERM);
    assert_eq!(config.lease_ttl, None);
    assert_eq!(config.on_expiry, OnExpiry::Restart);
    assert!(config.revoke && !config.strict_revoke);
    assert_eq!(config.report.level, Level::Warn);
    assert_eq!(config.report.format, Format::Text);
    assert!(config.base.is_none());
    assert_eq!(
        config.child_environment,
        child_environment::Rules {
            keep: vec![],
            clear: false
        }
    );
    assert_eq!(approle(&config).mount, "approle");
    assert!(!approle(&config).remove_file);
    assert_eq!(secret_id(&config), "none");
}

#[test]
fn all_that_is_wrong_is_told_together() {
    let environment = vec![
        ("VAULT_ADDR", "nonsense"),
        ("VAULT_SKIP_VERIFY", "maybe"),
        ("VAULTEXEC_STOP_SIGNAL", "NOPE"),
        ("VAULT_CACERT", "/nowhere/ca.pem"),
        ("VAULT_WRAPPED_SECRET_ID_FILE", "/nowhere/token"),
    ];
    let problems =
        gathered(&["--start-timeout", "soon"], &environment).expect_err("wrong on purpose");
    for named in [
        "VAULT_ADDR: ",
        "VAULT_SKIP_VERIFY: ",
        "VAULTEXEC_STOP_SIGNAL: ",
        "VAULT_CACERT: cannot read /nowhere/ca.pem",
        "VAULT_WRAPPED_SECRET_ID_FILE: cannot read /nowhere/token: No such file",
        "--start-timeout: ",
        "VAULT_ROLE_ID, VAULT_ROLE_ID_FILE): the role id is missing",
        "--creds (VAULTEXEC_CREDS): it is missing",
    ] {
        assert!(problems.contains(named), "{named} in\n{problems}");
    }
}

#[test]
fn a_flag_wins_and_two_forms_of_one_setting_are_refused() {
    let environment = with(&[("VAULT_SECRET_ID", "s"), ("VAULT_SECRET_ID_FILE", "/f")]);
    let problems = gathered(&[], &environment).expect_err("ambiguous");
    assert!(
        problems.contains("VAULT_SECRET_ID and VAULT_SECRET_ID_FILE: give only one"),
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
    let AuthSettings::AppRole(settings) = config.auth;
    assert!(matches!(
        settings.secret_id,
        SecretIdSettings::Wrapped {
            source: Source::StandardInput { .. },
            ..
        }
    ));
}

#[test]
fn paths_that_would_leave_the_api_are_refused() {
    for path in [
        "../sys/seal",
        "database//creds",
        "a?b",
        "a#b",
        "a%2e",
        "/",
        "a\nb",
    ] {
        let problems = gathered(&["--creds", path], &[("VAULT_ROLE_ID", "r")]).expect_err(path);
        assert!(problems.starts_with("--creds: "), "{problems}");
    }
    let config = gathered(&["--creds", "/v1/database/creds/x/"], &with(&[])).expect("tidied up");
    assert_eq!(config.creds, "database/creds/x");
}

#[test]
fn signals_and_actions_are_read() {
    let config = gathered(
        &["--on-expiry", "signal:HUP", "--stop-signal", "int"],
        &with(&[]),
    )
    .expect("valid");
    assert_eq!(config.on_expiry, OnExpiry::Signal(Signal::HUP));
    assert_eq!(config.stop_signal, Signal::INT);
    assert!(gathered(&["--on-expiry", "signal:NOPE"], &with(&[])).is_err());
    assert!(gathered(&["--stop-signal", "CONT"], &with(&[])).is_err());
    assert!(gathered(&["--no-revoke", "--strict-revoke"], &with(&[])).is_err());
}

#[test]
fn a_flag_for_the_authorities_wins_over_every_variable() {
    let variables = [
        ("VAULT_CACERT", "/nowhere/variable.pem"),
        ("VAULT_CACERT_BYTES", "no PEM"),
        ("VAULT_CAPATH", "/nowhere/variable"),
    ];
    for (flags, told) in [
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
        assert!(problems.starts_with(told), "{problems}");
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
fn names_to_keep_are_names_or_prefixes() {
    for wrong in ["A B", "FOO=1", "P*X", "**", "*X", "A\tB", "=", "A,B C"] {
        let problems = gathered(&["--keep-env", wrong], &with(&[])).expect_err(wrong);
        assert!(problems.starts_with("--keep-env: "), "{problems}");
        assert!(problems.contains("neither NAME nor PREFIX*"), "{problems}");
        assert!(!problems.contains('1'), "a value: {problems}");
    }
    let config = gathered(&["--keep-env", " A , LC_*,,*,b.c"], &with(&[])).expect("valid");
    assert_eq!(config.child_environment.keep, ["A", "LC_*", "*", "b.c"]);
}

#[test]
fn more_is_never_less() {
    for (flags, level) in [
        (&[][..], Level::Warn),
        (&["-v"], Level::Info),
        (&["-vv"], Level::Debug),
        (&["-vvvv"], Level::Trace),
        (&["--verbose", "--verbose"], Level::Debug),
        (&["--log-level", "debug", "-v"], Level::Debug),
        (&["--log-level", "trace", "-vv"], Level::Trace),
        (&["--log-level", "error", "-v"], Level::Info),
        (&["--log-level", "debug", "-q"], Level::Error),
        (&["--quiet"], Level::Error),
    ] {
        let config = gathered(flags, &with(&[])).expect("valid");
        assert_eq!(config.report.level, level, "{flags:?}");
    }
}

/// A variable, a value, a field of the configuration, and what it has to be.
type Row = (
    &'static str,
    &'static str,
    fn(&Config) -> String,
    &'static str,
);

fn approle(config: &Config) -> &AppRoleSettings {
    let AuthSettings::AppRole(settings) = &config.auth;
    settings
}

fn creation_path(config: &Config) -> String {
    match &approle(config).secret_id {
        SecretIdSettings::Wrapped { creation_path, .. } => creation_path.to_string(),
        other => format!("{other:?}"),
    }
}

const OURS: [Row; 20] = [
    (
        "VAULTEXEC_AUTH_MOUNT",
        "auth/team/approle/",
        |c| approle(c).mount.clone(),
        "team/approle",
    ),
    (
        "VAULTEXEC_WRAPPING_PATH",
        "auth/x/role/y/secret-id",
        creation_path,
        "auth/x/role/y/secret-id",
    ),
    (
        "VAULTEXEC_REMOVE_SECRET_ID_FILE",
        "true",
        |c| approle(c).remove_file.to_string(),
        "true",
    ),
    (
        "VAULTEXEC_CREDS",
        "database/static-creds/app",
        |c| c.creds.clone(),
        "database/static-creds/app",
    ),
    (
        "VAULTEXEC_DATABASE_URL",
        "postgresql://h/app",
        |c| format!("{:?}", c.base.as_ref().and_then(Base::database)),
        "Some(\"app\")",
    ),
    (
        "DATABASE_URL",
        "postgresql://h/app",
        |c| format!("{:?}", c.base.as_ref().and_then(Base::database)),
        "Some(\"app\")",
    ),
    (
        "VAULTEXEC_LEASE_TTL",
        "5m",
        |c| format!("{:?}", c.lease_ttl),
        "Some(300s)",
    ),
    (
        "VAULTEXEC_ON_EXPIRY",
        "signal:USR1",
        |c| format!("{:?}", c.on_expiry == OnExpiry::Signal(Signal::USR1)),
        "true",
    ),
    (
        "VAULTEXEC_KEEP_ENV",
        "VAULT_TOKEN, LC_*",
        |c| c.child_environment.keep.join(" "),
        "VAULT_TOKEN LC_*",
    ),
    (
        "VAULTEXEC_CLEAR_ENV",
        "1",
        |c| c.child_environment.clear.to_string(),
        "true",
    ),
    (
        "VAULTEXEC_STOP_SIGNAL",
        "SIGQUIT",
        |c| (c.stop_signal == Signal::QUIT).to_string(),
        "true",
    ),
    (
        "VAULTEXEC_STOP_TIMEOUT",
        "0",
        |c| format!("{:?}", c.stop_timeout),
        "0ns",
    ),
    (
        "VAULTEXEC_KILL_AFTER",
        "1m",
        |c| format!("{:?}", c.kill_after),
        "Some(60s)",
    ),
    (
        "VAULTEXEC_START_TIMEOUT",
        "1m30s",
        |c| format!("{:?}", c.start_timeout),
        "90s",
    ),
    (
        "VAULTEXEC_REVOKE_TIMEOUT",
        "7",
        |c| format!("{:?}", c.revoke_timeout),
        "7s",
    ),
    (
        "VAULTEXEC_NO_REVOKE",
        "T",
        |c| c.revoke.to_string(),
        "false",
    ),
    (
        "VAULTEXEC_STRICT_REVOKE",
        "True",
        |c| c.strict_revoke.to_string(),
        "true",
    ),
    (
        "VAULTEXEC_LOG_LEVEL",
        "Trace",
        |c| c.report.level.name().to_owned(),
        "trace",
    ),
    (
        "VAULTEXEC_LOG_LEVEL",
        "error",
        |c| c.report.level.name().to_owned(),
        "error",
    ),
    (
        "VAULTEXEC_LOG_FORMAT",
        "json",
        |c| format!("{:?}", c.report.format),
        "Json",
    ),
];

const CLIENTS: [Row; 15] = [
    (
        "VAULT_ADDR",
        "http://a,unix:///s",
        |c| {
            c.vault
                .addresses
                .iter()
                .map(|one| format!("{one} "))
                .collect()
        },
        "http://a unix:///s ",
    ),
    (
        "VAULT_NAMESPACE",
        "teams/one",
        |c| format!("{:?}", c.vault.namespace),
        "Some(\"teams/one\")",
    ),
    (
        "VAULT_CACERT_BYTES",
        PEM,
        |c| c.vault.tls.authorities.is_some().to_string(),
        "true",
    ),
    (
        "VAULT_TLS_SERVER_NAME",
        "vault",
        |c| format!("{:?}", c.vault.tls.server_name),
        "Some(\"vault\")",
    ),
    (
        "VAULT_SKIP_VERIFY",
        "t",
        |c| c.vault.tls.skip_verify.to_string(),
        "true",
    ),
    (
        "VAULT_CLIENT_TIMEOUT",
        "5",
        |c| format!("{:?}", c.vault.timeout),
        "5s",
    ),
    (
        "VAULT_MAX_RETRIES",
        "0",
        |c| format!("{:?}", c.vault.max_retries),
        "Some(0)",
    ),
    (
        "VAULT_PROXY_ADDR",
        "http://p:1",
        |c| (c.vault.proxy == always("http://p:1")).to_string(),
        "true",
    ),
    (
        "VAULT_HTTP_PROXY",
        "p:2",
        |c| (c.vault.proxy == always("http://p:2")).to_string(),
        "true",
    ),
    (
        "VAULT_DISABLE_REDIRECTS",
        "TRUE",
        |c| c.vault.follow_redirects.to_string(),
        "false",
    ),
    (
        "VAULT_ROLE_ID",
        "r",
        |c| approle(c).role_id.setting().to_owned(),
        "VAULT_ROLE_ID",
    ),
    (
        "VAULT_ROLE_ID_FILE",
        "/etc/passwd",
        |c| format!("{:?}", approle(c).role_id.file()),
        "Some(\"/etc/passwd\")",
    ),
    ("VAULT_SECRET_ID", "s", secret_id, "plain VAULT_SECRET_ID"),
    (
        "VAULT_SECRET_ID_FILE",
        "-",
        secret_id,
        "plain VAULT_SECRET_ID_FILE",
    ),
    (
        "VAULT_WRAPPED_SECRET_ID_FILE",
        "/etc/passwd",
        secret_id,
        "wrapped VAULT_WRAPPED_SECRET_ID_FILE",
    ),
];

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";

fn always(url: &str) -> Proxy {
    Proxy::Always(url.parse().expect("a URL"))
}

fn secret_id(config: &Config) -> String {
    match &approle(config).secret_id {
        SecretIdSettings::None => "none".to_owned(),
        SecretIdSettings::Plain(source) => format!("plain {}", source.setting()),
        SecretIdSettings::Wrapped { source, .. } => format!("wrapped {}", source.setting()),
    }
}

/// The row's variable, which counts where a name is there twice, and what else is needed.
fn beside(row: &Row) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![(row.0, row.1), ("VAULTEXEC_CREDS", "database/creds/x")];
    if !row.0.contains("_ROLE_ID") {
        all.push(("VAULT_ROLE_ID", "r"));
    }
    if !row.0.contains("SECRET_ID") || row.0.starts_with("VAULTEXEC") {
        all.push(("VAULT_WRAPPED_SECRET_ID", "w"));
    }
    all
}

#[test]
fn every_variable_reaches_its_field() {
    for row in OURS.iter().chain(&CLIENTS) {
        let (name, value, field, wanted) = row;
        let all = beside(row);
        let config = gathered(&[], &all).expect(name);
        assert_eq!(field(&config), *wanted, "{name}={value}");
        if !matches!(*name, "VAULT_ROLE_ID") {
            let without = with(&[("VAULT_WRAPPED_SECRET_ID", "w")]);
            let config = gathered(&[], &without).expect("valid");
            assert_ne!(field(&config), *wanted, "{name} changes something");
        }
    }
    // The one method there is so far is the default.
    assert!(gathered(&[], &with(&[("VAULTEXEC_AUTH", "approle")])).is_ok());
}

#[test]
fn every_variable_of_the_official_client_may_be_called_bao() {
    for (name, value, field, wanted) in CLIENTS {
        let alias: &'static str = name.replace("VAULT_", "BAO_").leak();
        let config = gathered(&[], &beside(&(alias, value, field, wanted))).expect(alias);
        assert_eq!(
            field(&config).replace("BAO_", "VAULT_"),
            wanted,
            "{alias}={value}"
        );
    }
}

/// A flag, its value (none for a switch), a variable that says something else, a field, and what the flag makes of it.
type FlagRow = (
    &'static str,
    Option<&'static str>,
    (&'static str, &'static str),
    fn(&Config) -> String,
    &'static str,
);

const FLAGS: [FlagRow; 26] = [
    (
        "--address",
        Some("http://flag,unix:///s"),
        ("VAULT_ADDR", "http://variable"),
        |c| {
            c.vault
                .addresses
                .iter()
                .map(|one| format!("{one} "))
                .collect()
        },
        "http://flag unix:///s ",
    ),
    (
        "--namespace",
        Some("flag"),
        ("VAULT_NAMESPACE", "variable"),
        |c| format!("{:?}", c.vault.namespace),
        "Some(\"flag\")",
    ),
    (
        "--tls-server-name",
        Some("flag"),
        ("VAULT_TLS_SERVER_NAME", "variable"),
        |c| format!("{:?}", c.vault.tls.server_name),
        "Some(\"flag\")",
    ),
    (
        "--tls-skip-verify",
        None,
        ("VAULT_SKIP_VERIFY", "false"),
        |c| c.vault.tls.skip_verify.to_string(),
        "true",
    ),
    (
        "--auth-mount",
        Some("flag"),
        ("VAULTEXEC_AUTH_MOUNT", "variable"),
        |c| approle(c).mount.clone(),
        "flag",
    ),
    (
        "--role-id",
        Some("flag"),
        ("VAULT_ROLE_ID", "variable"),
        |c| approle(c).role_id.setting().to_owned(),
        "--role-id",
    ),
    (
        "--role-id-file",
        Some("/etc/passwd"),
        ("VAULT_ROLE_ID_FILE", "/etc/group"),
        |c| format!("{:?}", approle(c).role_id.file()),
        "Some(\"/etc/passwd\")",
    ),
    (
        "--secret-id-file",
        Some("-"),
        ("VAULT_SECRET_ID", "variable"),
        secret_id,
        "plain --secret-id-file",
    ),
    (
        "--wrapped-secret-id-file",
        Some("-"),
        ("VAULT_SECRET_ID_FILE", "/etc/passwd"),
        secret_id,
        "wrapped --wrapped-secret-id-file",
    ),
    (
        "--wrapping-path",
        Some("auth/flag/role/y/secret-id"),
        ("VAULTEXEC_WRAPPING_PATH", "auth/variable/role/y/secret-id"),
        creation_path,
        "auth/flag/role/y/secret-id",
    ),
    (
        "--remove-secret-id-file",
        None,
        ("VAULTEXEC_REMOVE_SECRET_ID_FILE", "false"),
        |c| approle(c).remove_file.to_string(),
        "true",
    ),
    (
        "--creds",
        Some("flag/creds/x"),
        ("VAULTEXEC_CREDS", "variable/creds/x"),
        |c| c.creds.clone(),
        "flag/creds/x",
    ),
    (
        "--database-url",
        Some("postgresql://h/flag"),
        ("VAULTEXEC_DATABASE_URL", "postgresql://h/variable"),
        |c| format!("{:?}", c.base.as_ref().and_then(Base::database)),
        "Some(\"flag\")",
    ),
    (
        "--lease-ttl",
        Some("5m"),
        ("VAULTEXEC_LEASE_TTL", "6m"),
        |c| format!("{:?}", c.lease_ttl),
        "Some(300s)",
    ),
    (
        "--on-expiry",
        Some("stop"),
        ("VAULTEXEC_ON_EXPIRY", "warn"),
        |c| (c.on_expiry == OnExpiry::Stop).to_string(),
        "true",
    ),
    (
        "--keep-env",
        Some("FLAG"),
        ("VAULTEXEC_KEEP_ENV", "VARIABLE"),
        |c| c.child_environment.keep.join(" "),
        "FLAG",
    ),
    (
        "--clear-env",
        None,
        ("VAULTEXEC_CLEAR_ENV", "false"),
        |c| c.child_environment.clear.to_string(),
        "true",
    ),
    (
        "--stop-signal",
        Some("QUIT"),
        ("VAULTEXEC_STOP_SIGNAL", "INT"),
        |c| (c.stop_signal == Signal::QUIT).to_string(),
        "true",
    ),
    (
        "--stop-timeout",
        Some("1s"),
        ("VAULTEXEC_STOP_TIMEOUT", "2s"),
        |c| format!("{:?}", c.stop_timeout),
        "1s",
    ),
    (
        "--kill-after",
        Some("3s"),
        ("VAULTEXEC_KILL_AFTER", "4s"),
        |c| format!("{:?}", c.kill_after),
        "Some(3s)",
    ),
    (
        "--start-timeout",
        Some("3s"),
        ("VAULTEXEC_START_TIMEOUT", "4s"),
        |c| format!("{:?}", c.start_timeout),
        "3s",
    ),
    (
        "--revoke-timeout",
        Some("7s"),
        ("VAULTEXEC_REVOKE_TIMEOUT", "8s"),
        |c| format!("{:?}", c.revoke_timeout),
        "7s",
    ),
    (
        "--no-revoke",
        None,
        ("VAULTEXEC_NO_REVOKE", "false"),
        |c| c.revoke.to_string(),
        "false",
    ),
    (
        "--strict-revoke",
        None,
        ("VAULTEXEC_STRICT_REVOKE", "false"),
        |c| c.strict_revoke.to_string(),
        "true",
    ),
    (
        "--log-level",
        Some("debug"),
        ("VAULTEXEC_LOG_LEVEL", "error"),
        |c| c.report.level.name().to_owned(),
        "debug",
    ),
    (
        "--log-format",
        Some("json"),
        ("VAULTEXEC_LOG_FORMAT", "text"),
        |c| format!("{:?}", c.report.format),
        "Json",
    ),
];

/// Files: a flag that is not there is told, and the variable is not looked at.
const FLAGS_OF_FILES: [(&str, &str); 4] = [
    ("--ca-cert", "VAULT_CACERT"),
    ("--ca-path", "VAULT_CAPATH"),
    ("--client-cert", "VAULT_CLIENT_CERT"),
    ("--client-key", "VAULT_CLIENT_KEY"),
];

#[test]
fn every_flag_reaches_its_field_and_wins_over_its_variable() {
    for (flag, value, variable, field, wanted) in FLAGS {
        let flags: Vec<&str> = std::iter::once(flag).chain(value).collect();
        let mut variables = beside(&(variable.0, variable.1, field, wanted));
        variables.retain(|(name, _)| {
            *name == variable.0 || !flag.contains("secret-id-file") || !name.contains("WRAPPED")
        });
        if flag == "--wrapping-path" {
            variables.push(("VAULT_WRAPPED_SECRET_ID", "w"));
        }
        let config = gathered(&flags, &variables).expect(flag);
        assert_eq!(field(&config), wanted, "{flag} beside {variable:?}");
        let config = gathered(&[], &variables).expect(variable.0);
        assert_ne!(field(&config), wanted, "{flag} changes something");
    }
    for (flag, variable) in FLAGS_OF_FILES {
        let variables = with(&[
            ("VAULT_CLIENT_CERT", "/nowhere/variable"),
            ("VAULT_CLIENT_KEY", "/nowhere/variable"),
            (variable, "/nowhere/variable"),
        ]);
        let problems = gathered(&[flag, "/nowhere/flag"], &variables).expect_err("not there");
        let told = format!("{flag}: cannot read /nowhere/flag: ");
        assert!(problems.contains(&told), "{problems}");
        assert!(!problems.contains(&format!("{variable}: ")), "{problems}");
    }
}

#[test]
fn no_flag_is_left_out_of_the_tables() {
    use clap::CommandFactory as _;
    let command = Cli::command();
    let all = command.get_arguments().filter_map(clap::Arg::get_long);
    let tested = FLAGS.iter().map(|row| row.0);
    let tested: Vec<_> = tested.chain(FLAGS_OF_FILES.map(|row| row.0)).collect();
    // The method has one value only so far; how much is told has a table of its own.
    let others = ["auth", "verbose", "quiet", "help", "version"];
    for flag in all.filter(|flag| !others.contains(flag)) {
        assert!(tested.contains(&format!("--{flag}").as_str()), "--{flag}");
    }
}
