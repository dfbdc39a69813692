//! Every setting, from its flag, its variable or its default. What is wrong is collected and told
//! together.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::{parse_addresses, proxy};
use super::bounds;
use super::environment::Environment;
use super::problem::Problem;
use super::source::Source;
use super::value::{Lookup, Value};
use super::{AuthSettings, ChildEnvironment, Config, OnExpiry};
use crate::auth::{AppRoleSettings, CreationPath, SecretIdSettings};
use crate::cli::Cli;
use crate::postgres::Base;
use crate::report::{Format, Level, Reporter};
use crate::sensitive::Sensitive;
use crate::sys::signal::Signal;
use crate::vault::{Identity, Settings, TlsSettings, certificates, check_identity};

/// Reads every setting. `at_terminal` says whether standard input is one.
///
/// # Errors
/// Everything that is wrong or missing.
pub fn gather(
    cli: &Cli,
    environment: &dyn Environment,
    at_terminal: bool,
) -> Result<Config, Vec<Problem>> {
    let lookup = Lookup::new(environment);
    let report = report(cli, &lookup);
    let start_timeout = lookup.duration(
        lookup.value(
            "--start-timeout",
            cli.start_timeout.as_ref(),
            "VAULTEXEC_START_TIMEOUT",
        ),
        bounds::START_TIMEOUT,
        bounds::SHORTEST_TIMEOUT,
    );
    let vault = vault(cli, &lookup, start_timeout);
    let auth = auth(cli, &lookup);
    let creds = creds(cli, &lookup);
    let base = base(cli, &lookup);
    let on_expiry = on_expiry(cli, &lookup, at_terminal);
    let lease_ttl = lookup
        .value("--lease-ttl", cli.lease_ttl.as_ref(), "VAULTEXEC_LEASE_TTL")
        .map(|value| lookup.duration(Some(value), Duration::ZERO, bounds::SHORTEST_LEASE));
    let stop_signal = lookup
        .value(
            "--stop-signal",
            cli.stop_signal.as_ref(),
            "VAULTEXEC_STOP_SIGNAL",
        )
        .and_then(|value| signal(&value.text, &value.setting, &lookup))
        .unwrap_or(Signal::TERM);
    let stop_timeout = lookup.duration(
        lookup.value(
            "--stop-timeout",
            cli.stop_timeout.as_ref(),
            "VAULTEXEC_STOP_TIMEOUT",
        ),
        bounds::STOP_TIMEOUT,
        Duration::ZERO,
    );
    let revoke_timeout = lookup.duration(
        lookup.value(
            "--revoke-timeout",
            cli.revoke_timeout.as_ref(),
            "VAULTEXEC_REVOKE_TIMEOUT",
        ),
        bounds::REVOKE_TIMEOUT,
        bounds::SHORTEST_TIMEOUT,
    );
    let revoke = !lookup.switch(cli.no_revoke, "VAULTEXEC_NO_REVOKE");
    let strict_revoke = lookup.switch(cli.strict_revoke, "VAULTEXEC_STRICT_REVOKE");
    if strict_revoke && !revoke {
        let both =
            "--no-revoke (VAULTEXEC_NO_REVOKE) and --strict-revoke (VAULTEXEC_STRICT_REVOKE)";
        lookup.wrong(
            both,
            "one leaves the lease, the other insists on its revocation: give one of them",
        );
    }
    let keep = lookup.value("--keep-env", cli.keep_env.as_ref(), "VAULTEXEC_KEEP_ENV");
    let keep = keep.map(|value| names(&value.text)).unwrap_or_default();
    let clear = lookup.switch(cli.clear_env, "VAULTEXEC_CLEAR_ENV");
    let (Some(auth), Some(creds)) = (auth, creds) else {
        return Err(lookup.into_problems());
    };
    let problems = lookup.into_problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        vault,
        auth,
        creds,
        base,
        child_environment: ChildEnvironment { keep, clear },
        on_expiry,
        lease_ttl,
        stop_signal,
        stop_timeout,
        start_timeout,
        revoke_timeout,
        revoke,
        strict_revoke,
        report,
    })
}

/// How to tell what is wrong with the settings, as far as the settings say.
#[must_use]
pub fn reporting(cli: &Cli, environment: &dyn Environment) -> Reporter {
    report(cli, &Lookup::new(environment))
}

fn report(cli: &Cli, lookup: &Lookup<'_>) -> Reporter {
    let level = lookup
        .value("--log-level", cli.log_level.as_ref(), "VAULTEXEC_LOG_LEVEL")
        .and_then(|value| {
            let level = Level::ALL
                .into_iter()
                .find(|level| level.name() == value.text.to_ascii_lowercase());
            if level.is_none() {
                lookup.wrong(
                    &value.setting,
                    format!(
                        "{:?} is none of error, warn, info, debug, trace",
                        value.text
                    ),
                );
            }
            level
        });
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => Level::Error,
        (false, 0) => level.unwrap_or(Level::Warn),
        (false, 1) => Level::Info,
        (false, 2) => Level::Debug,
        (false, _) => Level::Trace,
    };
    let format = lookup.value(
        "--log-format",
        cli.log_format.as_ref(),
        "VAULTEXEC_LOG_FORMAT",
    );
    let format = format.map_or(Format::Text, |value| match value.text.as_str() {
        "text" => Format::Text,
        "json" => Format::Json,
        other => {
            lookup.wrong(
                &value.setting,
                format!("{other:?} is neither text nor json"),
            );
            Format::Text
        }
    });
    Reporter { level, format }
}

fn vault(cli: &Cli, lookup: &Lookup<'_>, start_timeout: Duration) -> Settings {
    let address = lookup
        .value("--address", cli.address.as_ref(), "VAULT_ADDR")
        .unwrap_or_else(|| Value {
            text: bounds::ADDRESS.to_owned(),
            setting: "VAULT_ADDR".to_owned(),
            by_flag: false,
        });
    let timeout = lookup.variable("VAULT_CLIENT_TIMEOUT");
    let timeout = lookup.duration(timeout, bounds::CLIENT_TIMEOUT, bounds::SHORTEST_TIMEOUT);
    let max_retries = lookup.variable("VAULT_MAX_RETRIES").and_then(|value| {
        let parsed = value.text.parse().ok();
        if parsed.is_none() {
            lookup.wrong(
                &value.setting,
                format!("{:?} is not a whole number", value.text),
            );
        }
        parsed
    });
    let namespace = lookup.value("--namespace", cli.namespace.as_ref(), "VAULT_NAMESPACE");
    let namespace = namespace.filter(|value| {
        let sound = value
            .text
            .chars()
            .all(|character| character.is_ascii_graphic());
        if !sound {
            lookup.wrong(&value.setting, "it holds a character that no namespace has");
        }
        sound
    });
    Settings {
        addresses: parse_addresses(&address, lookup),
        namespace: namespace.map(|value| value.text),
        tls: tls(cli, lookup),
        proxy: proxy(lookup),
        timeout,
        connect_timeout: bounds::CONNECT_TIMEOUT
            .min(timeout / 2)
            .min(start_timeout / 2),
        max_retries,
        follow_redirects: !lookup.switch(false, "VAULT_DISABLE_REDIRECTS"),
    }
}

fn tls(cli: &Cli, lookup: &Lookup<'_>) -> TlsSettings {
    let file = |flag: &str, given: Option<&OsString>, variable: &str| {
        lookup.value(flag, given, variable).and_then(|value| {
            let read = std::fs::read(&value.text);
            let wrong = |error| {
                lookup.wrong(
                    &value.setting,
                    format!("cannot read {}: {error}", value.text),
                );
            };
            Some((read.map_err(wrong).ok()?, value))
        })
    };
    let checked = |pem: Vec<u8>, setting: &str| match certificates(&pem) {
        Ok(_) => Some(pem),
        Err(words) => {
            lookup.wrong(setting, words);
            None
        }
    };
    // The official client's order: the PEM itself, then the file, then the folder.
    let bytes = cli
        .ca_cert
        .is_none()
        .then(|| lookup.variable("VAULT_CACERT_BYTES"))
        .flatten();
    let authorities = match bytes {
        Some(value) => checked(value.text.into_bytes(), &value.setting),
        None => match file("--ca-cert", cli.ca_cert.as_ref(), "VAULT_CACERT") {
            Some((pem, value)) => checked(pem, &value.setting),
            None => lookup
                .value("--ca-path", cli.ca_path.as_ref(), "VAULT_CAPATH")
                .and_then(|value| match certificates_below(Path::new(&value.text)) {
                    Ok(pem) => checked(pem, &value.setting),
                    Err(error) => {
                        lookup.wrong(
                            &value.setting,
                            format!("cannot read {}: {error}", value.text),
                        );
                        None
                    }
                }),
        },
    };
    let certificate = file(
        "--client-cert",
        cli.client_cert.as_ref(),
        "VAULT_CLIENT_CERT",
    );
    let key = file("--client-key", cli.client_key.as_ref(), "VAULT_CLIENT_KEY");
    let identity = match (certificate, key) {
        (Some((certificate, value)), Some((key, keys_value))) => {
            let identity = checked(certificate, &value.setting).map(|certificate| Identity {
                certificate,
                key: Sensitive::new(key),
            });
            if let Some(Err(words)) = identity.as_ref().map(check_identity) {
                lookup.wrong(&keys_value.setting, words);
            }
            identity
        }
        (None, None) => None,
        (Some(_), None) => {
            lookup.wrong(
                "--client-key (VAULT_CLIENT_KEY)",
                "it is missing, and a client certificate is given",
            );
            None
        }
        (None, Some(_)) => {
            lookup.wrong(
                "--client-cert (VAULT_CLIENT_CERT)",
                "it is missing, and a client key is given",
            );
            None
        }
    };
    let server_name = lookup.value(
        "--tls-server-name",
        cli.tls_server_name.as_ref(),
        "VAULT_TLS_SERVER_NAME",
    );
    TlsSettings {
        authorities,
        identity,
        server_name: server_name.map(|value| value.text),
        skip_verify: lookup.switch(cli.tls_skip_verify, "VAULT_SKIP_VERIFY"),
    }
}

/// All certificates of a folder, as one PEM text. Files that are something else are passed over.
fn certificates_below(folder: &Path) -> std::io::Result<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        let pem = std::fs::read(path)?;
        if certificates(&pem).is_ok() {
            all.extend_from_slice(&pem);
            all.push(b'\n');
        }
    }
    Ok(all)
}

fn auth(cli: &Cli, lookup: &Lookup<'_>) -> Option<AuthSettings> {
    let method = lookup.value("--auth", cli.auth.as_ref(), "VAULTEXEC_AUTH");
    if let Some(value) = method.filter(|value| value.text != "approle") {
        lookup.wrong(
            &value.setting,
            format!(
                "{:?} is not a method of this version: approle is",
                value.text
            ),
        );
        return None;
    }
    let mount = lookup.value(
        "--auth-mount",
        cli.auth_mount.as_ref(),
        "VAULTEXEC_AUTH_MOUNT",
    );
    let mount = match mount {
        None => "approle".to_owned(),
        Some(value) => {
            let mount = api_path(&value, lookup)?;
            mount.strip_prefix("auth/").unwrap_or(&mount).to_owned()
        }
    };
    let role_id = one_of(
        lookup,
        &[
            Form::Flag("--role-id", cli.role_id.as_ref()),
            Form::FlagFile("--role-id-file", cli.role_id_file.as_ref()),
            Form::Variable("VAULT_ROLE_ID"),
            Form::VariableFile("VAULT_ROLE_ID_FILE"),
        ],
    );
    let plain = one_of(
        lookup,
        &[
            Form::FlagFile("--secret-id-file", cli.secret_id_file.as_ref()),
            Form::Variable("VAULT_SECRET_ID"),
            Form::VariableFile("VAULT_SECRET_ID_FILE"),
        ],
    );
    let wrapped = one_of(
        lookup,
        &[
            Form::FlagFile(
                "--wrapped-secret-id-file",
                cli.wrapped_secret_id_file.as_ref(),
            ),
            Form::Variable("VAULT_WRAPPED_SECRET_ID"),
            Form::VariableFile("VAULT_WRAPPED_SECRET_ID_FILE"),
        ],
    );
    let creation_path = lookup
        .value(
            "--wrapping-path",
            cli.wrapping_path.as_ref(),
            "VAULTEXEC_WRAPPING_PATH",
        )
        .and_then(|value| api_path(&value, lookup))
        .map_or_else(
            || CreationPath::AnyRoleOf {
                mount: mount.clone(),
            },
            CreationPath::Exactly,
        );
    let secret_id = match (plain, wrapped) {
        (None, None) => SecretIdSettings::None,
        (Some((plain, _)), None) => SecretIdSettings::Plain(plain),
        (None, Some((source, _))) => SecretIdSettings::Wrapped {
            source,
            creation_path,
        },
        // A flag wins over a variable of the other form.
        (Some((plain, true)), Some((_, false))) => SecretIdSettings::Plain(plain),
        (Some((_, false)), Some((source, true))) => SecretIdSettings::Wrapped {
            source,
            creation_path,
        },
        (Some((plain, _)), Some((wrapped, _))) => {
            let both = format!("{} and {}", plain.setting(), wrapped.setting());
            lookup.wrong(
                &both,
                "the secret id is given twice, plain and wrapped: give one of them",
            );
            return None;
        }
    };
    let Some((role_id, _)) = role_id else {
        lookup.wrong(
            "--role-id, --role-id-file (VAULT_ROLE_ID, VAULT_ROLE_ID_FILE)",
            "the role id is missing; `vault read -field=role_id auth/approle/role/ROLE/role-id` shows it",
        );
        return None;
    };
    let secret_from_stdin = match &secret_id {
        SecretIdSettings::Plain(source) | SecretIdSettings::Wrapped { source, .. } => {
            matches!(source, Source::StandardInput { .. })
        }
        SecretIdSettings::None => false,
    };
    if secret_from_stdin && matches!(role_id, Source::StandardInput { .. }) {
        lookup.wrong(
            role_id.setting(),
            "standard input can hold the role id or the secret id, not both",
        );
    }
    Some(AuthSettings::AppRole(AppRoleSettings {
        mount,
        role_id,
        secret_id,
        remove_file: lookup.switch(cli.remove_secret_id_file, "VAULTEXEC_REMOVE_SECRET_ID_FILE"),
    }))
}

/// A form in which a setting can be given.
enum Form<'a> {
    Flag(&'a str, Option<&'a OsString>),
    FlagFile(&'a str, Option<&'a OsString>),
    Variable(&'a str),
    VariableFile(&'a str),
}

/// Where a setting is that has several forms, and whether a flag said so. Of two flags, or of two
/// variables, nobody could say which is meant.
fn one_of(lookup: &Lookup<'_>, forms: &[Form<'_>]) -> Option<(Source, bool)> {
    let mut found: Vec<(Source, bool)> = Vec::new();
    for form in forms {
        let source = match form {
            Form::Flag(flag, given) => {
                given
                    .and_then(|_| lookup.value(flag, *given, ""))
                    .map(|value| {
                        let Value { text, setting, .. } = value;
                        (
                            Source::Flag {
                                setting,
                                value: text,
                            },
                            true,
                        )
                    })
            }
            Form::FlagFile(flag, given) => given
                .and_then(|_| lookup.value(flag, *given, ""))
                .map(|value| (file_or_stdin(value), true)),
            Form::Variable(name) => lookup
                .name_in_use(name)
                .map(|name| (Source::Variable(name), false)),
            Form::VariableFile(name) => lookup
                .variable(name)
                .map(|value| (file_or_stdin(value), false)),
        };
        found.extend(source);
    }
    let by_flag = found.iter().any(|(_, by_flag)| *by_flag);
    found.retain(|(_, flag)| *flag == by_flag);
    if let [(first, _), (second, _), ..] = found.as_slice() {
        lookup.wrong(
            &format!("{} and {}", first.setting(), second.setting()),
            "give only one of them",
        );
    }
    found.into_iter().next()
}

fn file_or_stdin(value: Value) -> Source {
    if value.text == "-" {
        Source::StandardInput {
            setting: value.setting,
        }
    } else {
        Source::File {
            setting: value.setting,
            path: PathBuf::from(value.text),
        }
    }
}

fn creds(cli: &Cli, lookup: &Lookup<'_>) -> Option<String> {
    let Some(value) = lookup.value("--creds", cli.creds.as_ref(), "VAULTEXEC_CREDS") else {
        lookup.wrong(
            "--creds (VAULTEXEC_CREDS)",
            "it is missing: the path that is read for credentials, as in database/creds/app-role",
        );
        return None;
    };
    api_path(&value, lookup)
}

/// A path below `/v1/`, without slashes at its ends.
fn api_path(value: &Value, lookup: &Lookup<'_>) -> Option<String> {
    let path = value.text.trim_matches('/');
    let path = path.strip_prefix("v1/").unwrap_or(path);
    let sound = !path.is_empty()
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !path
            .chars()
            .any(|character| character.is_control() || matches!(character, '?' | '#' | '\\' | '%'));
    if !sound {
        lookup.wrong(
            &value.setting,
            format!(
                "{:?} is not a path of the API, as in database/creds/app-role",
                value.text
            ),
        );
        return None;
    }
    Some(path.to_owned())
}

fn base(cli: &Cli, lookup: &Lookup<'_>) -> Option<Base> {
    let value = lookup
        .value(
            "--database-url",
            cli.database_url.as_ref(),
            "VAULTEXEC_DATABASE_URL",
        )
        .or_else(|| lookup.variable("DATABASE_URL"))?;
    match Base::parse(&value.text) {
        Ok(base) => Some(base),
        Err(words) => {
            lookup.wrong(&value.setting, words);
            None
        }
    }
}

fn on_expiry(cli: &Cli, lookup: &Lookup<'_>, at_terminal: bool) -> OnExpiry {
    let default = if at_terminal {
        OnExpiry::Warn
    } else {
        OnExpiry::Restart
    };
    let Some(value) = lookup.value("--on-expiry", cli.on_expiry.as_ref(), "VAULTEXEC_ON_EXPIRY")
    else {
        return default;
    };
    match value.text.as_str() {
        "restart" => OnExpiry::Restart,
        "stop" => OnExpiry::Stop,
        "warn" => OnExpiry::Warn,
        other => {
            if let Some(name) = other.strip_prefix("signal:") {
                signal(name, &value.setting, lookup).map_or(default, OnExpiry::Signal)
            } else {
                lookup.wrong(
                    &value.setting,
                    format!("{other:?} is none of restart, signal:NAME, stop, warn"),
                );
                default
            }
        }
    }
}

fn signal(name: &str, setting: &str, lookup: &Lookup<'_>) -> Option<Signal> {
    let signal = Signal::parse(name);
    if signal.is_none() {
        lookup.wrong(
            setting,
            format!("{name:?} is not a signal, such as TERM, HUP or USR1"),
        );
    }
    signal
}

fn names(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn gathered(arguments: &[&str], environment: &Vec<(&str, &str)>) -> Result<Config, String> {
        let arguments = [&["vaultexec"], arguments, &["--", "true"]].concat();
        let cli = Cli::try_parse_from(arguments).expect("a sound command line");
        gather(&cli, environment, false).map_err(|problems| {
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
        assert_eq!(config.vault.timeout, Duration::from_secs(60));
        assert_eq!(config.on_expiry, OnExpiry::Restart);
        assert!(config.revoke && !config.strict_revoke && config.vault.follow_redirects);
    }

    #[test]
    fn all_that_is_wrong_is_told_together() {
        let environment = vec![
            ("VAULT_ADDR", "nonsense"),
            ("VAULT_SKIP_VERIFY", "maybe"),
            ("VAULTEXEC_STOP_SIGNAL", "NOPE"),
            ("VAULT_CACERT", "/nowhere/ca.pem"),
        ];
        let problems =
            gathered(&["--start-timeout", "soon"], &environment).expect_err("wrong on purpose");
        for named in [
            "VAULT_ADDR: ",
            "VAULT_SKIP_VERIFY: ",
            "VAULTEXEC_STOP_SIGNAL: ",
            "VAULT_CACERT: cannot read /nowhere/ca.pem",
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
        assert!(gathered(&["--secret-id-file", "/g"], &environment).is_ok());
        let environment = with(&[("VAULT_SECRET_ID", "s"), ("BAO_WRAPPED_SECRET_ID", "w")]);
        let problems = gathered(&[], &environment).expect_err("ambiguous");
        assert!(
            problems.contains("BAO_WRAPPED_SECRET_ID: the secret id is given twice"),
            "{problems}"
        );
        let config =
            gathered(&["--wrapped-secret-id-file", "-"], &environment).expect("the flag wins");
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
            let problems =
                gathered(&["--creds", path], &vec![("VAULT_ROLE_ID", "r")]).expect_err(path);
            assert!(problems.starts_with("--creds: "), "{problems}");
        }
        let config =
            gathered(&["--creds", "/v1/database/creds/x/"], &with(&[])).expect("tidied up");
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
        assert!(gathered(&["--no-revoke", "--strict-revoke"], &with(&[])).is_err());
    }
}
