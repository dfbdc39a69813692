//! `--wait-login`: whether the database lets new credentials in, tried with libpq's own `psql` until it does.
//!
//! A replica may not know a role yet that its primary has just made. `psql` is what tries it, since it
//! understands every parameter, service, certificate and socket as the command's libpq will, and adds
//! nothing to this program; so it has to be there.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::{Environment, Inherited};
use crate::error::{Error, Problem};
use crate::render::environment::{self, Rules};
use crate::render::recipe::Login;
use crate::settings::WAIT_LOGIN;
use crate::sys::aside::{self, Said};
use crate::sys::clock::Moment;
use crate::sys::program;
use crate::vault::Backoff;

/// How long one host may take to answer, in seconds, unless the user has said so.
const PATIENCE: &str = "10";

/// What is tried: to log in, and to get an answer, which a pooler gives only from a server behind it.
const ARGUMENTS: [&str; 7] = ["-X", "-w", "-A", "-t", "-q", "-c", "SELECT 1"];

/// The program that tries a login.
///
/// # Errors
/// Where there is none on the `PATH`.
pub fn find_psql(environment: &dyn Environment) -> Result<PathBuf, Error> {
    let path = environment.variable("PATH");
    program::find(OsStr::new("psql"), path.as_deref()).map_err(|_| {
        let words = "it tries the login with psql, and that is not on the PATH: install PostgreSQL's client \
                     (Debian: postgresql-client), or leave the option out";
        Error::Config(vec![Problem::new(WAIT_LOGIN.to_string(), words)])
    })
}

/// Tries each of the logins in turn, until it succeeds.
///
/// # Errors
/// When one has not succeeded by then: which, and the last words of `psql`.
pub async fn all(
    psql: PathBuf,
    logins: Vec<Login>,
    rules: Rules,
    within: Duration,
) -> Result<(), Error> {
    let until = Moment::now() + within;
    for login in &logins {
        one(&psql, login, &rules, until, within).await?;
    }
    Ok(())
}

async fn one(
    psql: &Path,
    login: &Login,
    rules: &Rules,
    until: Moment,
    within: Duration,
) -> Result<(), Error> {
    let mut failures = 0;
    let mut words = "it has not answered".to_owned();
    loop {
        let left = until.since(Moment::now());
        match tokio::time::timeout(left, once(psql, login, rules)).await {
            Ok(Ok(())) => {
                log::info!(event = "login_tried", path = login.path.as_str(); "the database lets the credentials from {} in", login.path);
                return Ok(());
            }
            Ok(Err(why)) => words = why,
            Err(_elapsed) => {}
        }
        let delay = Backoff::SOON.delay(failures, fastrand::f64());
        if until.since(Moment::now()) <= delay {
            return Err(refused(login, &words, within));
        }
        log::debug!(event = "login_tried", path = login.path.as_str(); "the database does not let the credentials from {} in yet: {words}", login.path);
        failures += 1;
        tokio::time::sleep(delay).await;
    }
}

/// Logs in once, or says why that cannot be done.
async fn once(psql: &Path, login: &Login, rules: &Rules) -> Result<(), String> {
    let password = aside::file_in_memory(login.password_file.expose().as_bytes());
    let password: OwnedFd = password.map_err(|error| error.to_string())?;
    let mut variables = environment::build(Inherited.all(), rules, &login.drop, &login.set);
    // Kept for the command or not, they would count before ours.
    variables.retain(|(name, _)| name != "PGPASSWORD" && name != "PGPASSFILE");
    variables.push(("PGPASSFILE".into(), "/proc/self/fd/0".into()));
    if !variables
        .iter()
        .any(|(name, _)| name == "PGCONNECT_TIMEOUT")
    {
        variables.push(("PGCONNECT_TIMEOUT".into(), PATIENCE.into()));
    }
    let said = aside::run(psql, &ARGUMENTS, variables, password).await;
    judge(&said.map_err(|error| format!("psql cannot be started: {error}"))?)
}

fn judge(said: &Said) -> Result<(), String> {
    if said.out.trim() == "1" {
        return Ok(());
    }
    let lines = said
        .error
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines
        .map(|line| line.trim_start_matches("psql: error: "))
        .collect();
    match lines.as_slice() {
        [] => Err("psql ended without an answer".to_owned()),
        lines => Err(lines.join("; ")),
    }
}

fn refused(login: &Login, words: &str, within: Duration) -> Error {
    let within = humantime::format_duration(within);
    Error::Credentials {
        path: login.path.clone(),
        problem: format!("the database did not let them in within {within} (--wait-login): {words}"),
        hint: Some(
            "does the database that the command asks (PGHOST, DATABASE_URL) get its roles from the one where Vault makes \
             them, and does it do so within --start-timeout?"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_counts_and_what_psql_says_is_one_line() {
        let said = |out: &str, error: &str| Said {
            out: out.to_owned(),
            error: error.to_owned(),
        };
        assert_eq!(judge(&said("1\n", "a notice\n")), Ok(()));
        let error =
            "psql: error: connection to server at \"a\" failed: x\n\tIs the server running?\n";
        let words = "connection to server at \"a\" failed: x; Is the server running?";
        assert_eq!(judge(&said("", error)), Err(words.to_owned()));
        assert!(judge(&said("", "")).is_err());
        assert!(judge(&said("11\n", "")).is_err());
    }
}
