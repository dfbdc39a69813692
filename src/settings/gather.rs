//! Every setting, checked, as the rest of the program needs it.

use log::LevelFilter;

use super::Config;
use super::login::auth;
use super::lookup::Lookup;
use super::row::Setting;
use super::server::vault;
use super::table::{
    CLEAR_ENV, GITHUB_MASK, KEEP_ENV, KILL_AFTER, LEASE_TTL, LOG_FORMAT, LOG_LEVEL, NO_REVOKE,
    ON_EXPIRY, QUIET, REVOKE_TIMEOUT, START_TIMEOUT, STOP_SIGNAL, STOP_TIMEOUT, STRICT_PERMISSIONS,
    STRICT_REVOKE, VERBOSE, WAIT_LOGIN,
};
use super::{credentials, forms};
use crate::error::Problem;
use crate::logging::{Format, Logging};
use crate::login;
use crate::render::environment as child_environment;
use crate::render::recipe::{Handover, Recipe};
use crate::supervise::OnExpiry;

/// Checks every setting. `at_terminal` says whether standard input is one.
///
/// # Errors
/// Everything that is wrong or missing.
pub fn gather(lookup: Lookup<'_>, at_terminal: bool) -> Result<Config, Vec<Problem>> {
    if lookup.switch(&STRICT_PERMISSIONS) {
        // Before the first file with a secret is read.
        login::refuse_weak_permissions();
    }
    let start_timeout = lookup.duration(&START_TIMEOUT).unwrap_or_default();
    logging(&lookup);
    super::check::check(&lookup);
    let vault = vault(&lookup, start_timeout);
    let auth = auth(&lookup);
    let recipe = credentials::recipe(&lookup);
    let on_expiry = on_expiry(&lookup, &recipe, at_terminal);
    let lease_ttl = lookup.duration(&LEASE_TTL);
    let stop_signal = lookup.parsed(&STOP_SIGNAL, forms::stop_signal);
    let stop_timeout = lookup.duration(&STOP_TIMEOUT).unwrap_or_default();
    let kill_after = lookup.duration(&KILL_AFTER);
    let revoke_timeout = lookup.duration(&REVOKE_TIMEOUT).unwrap_or_default();
    let revoke = !lookup.switch(&NO_REVOKE);
    let strict_revoke = lookup.switch(&STRICT_REVOKE);
    if strict_revoke && !revoke {
        lookup.wrong(
            format!("{NO_REVOKE} and {STRICT_REVOKE}"),
            "one leaves the lease, the other insists on its revocation: give one of them",
        );
    }
    let child_environment = child_environment::Rules {
        keep: names(&lookup),
        clear: lookup.switch(&CLEAR_ENV),
    };
    let github_mask = lookup.switch(&GITHUB_MASK);
    let wait_login = lookup.switch(&WAIT_LOGIN);
    if wait_login && !recipe.has_postgres() && !recipe.credentials.is_empty() {
        lookup.wrong(
            WAIT_LOGIN.to_string(),
            "no credentials are PostgreSQL's, and only there a login can be tried",
        );
    }
    let problems = lookup.into_problems();
    match (auth, stop_signal) {
        (Some(auth), Some(stop_signal)) if problems.is_empty() => Ok(Config {
            vault,
            auth,
            recipe,
            child_environment,
            wait_login,
            github_mask,
            on_expiry,
            lease_ttl,
            stop_signal,
            stop_timeout,
            kill_after,
            start_timeout,
            revoke_timeout,
            revoke,
            strict_revoke,
        }),
        _ => Err(problems),
    }
}

/// What is logged, and how; as far as the settings are sound.
pub fn logging(lookup: &Lookup<'_>) -> Logging {
    let level = lookup.parsed(&LOG_LEVEL, |text| match text.parse() {
        Ok(level) if level != LevelFilter::Off => Ok(level),
        _ => Err(forms::no_choice(text, &LOG_LEVEL)),
    });
    let level = level.unwrap_or(LevelFilter::Warn);
    let (quiet, verbose) = (lookup.count(&QUIET), lookup.count(&VERBOSE));
    if quiet > 0 && verbose > 0 {
        lookup.wrong(format!("{QUIET} and {VERBOSE}"), "give only one of them");
    }
    // -v never lowers the level.
    let level = match (quiet, verbose) {
        (0, 0) => level,
        (0, 1) => level.max(LevelFilter::Info),
        (0, 2) => level.max(LevelFilter::Debug),
        (0, _) => LevelFilter::Trace,
        _ => LevelFilter::Error,
    };
    Logging {
        level,
        format: format(lookup, &LOG_FORMAT),
    }
}

/// The form of what is written.
pub fn format(lookup: &Lookup<'_>, setting: &'static Setting) -> Format {
    let format = lookup.parsed(setting, |text| match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err(forms::no_choice(text, setting)),
    });
    format.unwrap_or(Format::Text)
}

/// What is done when credentials end for good.
pub fn on_expiry(lookup: &Lookup<'_>, recipe: &Recipe, at_terminal: bool) -> OnExpiry {
    let given = lookup.parsed(&ON_EXPIRY, |text| match text {
        "restart" => Ok(OnExpiry::Restart),
        "refresh" if recipe.handover != Handover::Service => Err(
            "refresh replaces a file that clients read again: give --handover service".to_owned(),
        ),
        "refresh" if recipe.takes_fields() => Err(
            "refresh cannot replace what --env or --resolve-env has put into the environment of a running command: restart"
                .to_owned(),
        ),
        "refresh" => Ok(OnExpiry::Refresh),
        "stop" => Ok(OnExpiry::Stop),
        "warn" => Ok(OnExpiry::Warn),
        other => match other.strip_prefix("signal:") {
            Some(name) => forms::signal(name).map(OnExpiry::Signal),
            None => Err(forms::no_choice(other, &ON_EXPIRY)),
        },
    });
    let refreshes = recipe.handover == Handover::Service && !recipe.takes_fields();
    given.unwrap_or(if at_terminal {
        OnExpiry::Warn
    } else if refreshes {
        OnExpiry::Refresh
    } else {
        OnExpiry::Restart
    })
}

/// Names of variables, or prefixes of names that end in `*`.
fn names(lookup: &Lookup<'_>) -> Vec<String> {
    let given = lookup.list(&KEEP_ENV).into_iter();
    let given = given.filter(|value| !value.text.is_empty());
    given
        .filter_map(|value| {
            let name = forms::name_or_prefix(&value.text);
            name.map_err(|message| lookup.wrong(value.name, message))
                .ok()
        })
        .collect()
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
