//! Every setting, from its flag, its variable or its default. What is wrong is collected and told
//! together.

use std::time::Duration;

use super::Config;
use super::approle::auth;
use super::bounds;
use super::server::vault;
use super::value::{Lookup, Value, api_path};
use crate::child_environment;
use crate::cli::Cli;
use crate::environment::Environment;
use crate::error::Problem;
use crate::postgres::Base;
use crate::report::{Format, Level, Reporter};
use crate::supervise::OnExpiry;
use crate::sys::signal::Signal;

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
        .and_then(|value| stop_signal(&value, &lookup))
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
    let kill_after = lookup
        .value(
            "--kill-after",
            cli.kill_after.as_ref(),
            "VAULTEXEC_KILL_AFTER",
        )
        .map(|value| lookup.duration(Some(value), Duration::ZERO, bounds::SHORTEST_TIMEOUT));
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
    let keep = keep.map(|value| names(&value, &lookup)).unwrap_or_default();
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
        child_environment: child_environment::Rules { keep, clear },
        on_expiry,
        lease_ttl,
        stop_signal,
        stop_timeout,
        kill_after,
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
    // More is asked for by -v, so that it never makes less of a level.
    let level = level.unwrap_or(Level::Warn);
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => Level::Error,
        (false, 0) => level,
        (false, 1) => level.max(Level::Info),
        (false, 2) => level.max(Level::Debug),
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

/// A signal that can end a program.
fn stop_signal(value: &Value, lookup: &Lookup<'_>) -> Option<Signal> {
    let signal = signal(&value.text, &value.setting, lookup)?;
    let ends = !matches!(
        signal,
        Signal::STOP
            | Signal::TSTP
            | Signal::TTIN
            | Signal::TTOU
            | Signal::CONT
            | Signal::CHLD
            | Signal::URG
            | Signal::WINCH
    );
    if !ends {
        let words = format!("{signal} does not end a program; TERM, INT, QUIT or HUP do");
        lookup.wrong(&value.setting, words);
    }
    ends.then_some(signal)
}

/// Names of variables, or prefixes of names that end in `*`.
fn names(value: &Value, lookup: &Lookup<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for name in value.text.split(',').map(str::trim) {
        let sound = |character: char| !character.is_whitespace() && !"=*".contains(character);
        if !name.strip_suffix('*').unwrap_or(name).chars().all(sound) {
            // What stands behind the sign may be a secret.
            let shown = name.split('=').next().unwrap_or_default();
            let words = format!("{shown:?} is neither NAME nor PREFIX*, separated by commas");
            lookup.wrong(&value.setting, words);
        } else if !name.is_empty() {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
