//! The command with its credentials: found, started, and started again with new ones.

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use nix::errno::Errno;

use crate::environment::{Environment, Inherited};
use crate::error::Error;
use crate::handover::Folder;
use crate::manager::{Manager, News, wording};
use crate::render::recipe::{Lack, Variables};
use crate::render::{environment, mask};
use crate::secret::{self, Fields};
use crate::sensitive::Sensitive;
use crate::settings::Config;
use crate::supervise::{
    Childless, Event, OnExpiry, Operations, Saying, look_without_child, matters_without_child,
};
use crate::sys::clock::Moment;
use crate::sys::output;
use crate::sys::program;
use crate::sys::signals::Signals;
use crate::sys::spawn::{self, Child, Program, SpawnError};
use crate::trial;

/// How long GitHub's runner may take to read what it is to hide.
const MASKING: Duration = Duration::from_secs(5);

/// The command, found and ready to be started.
#[derive(Debug)]
pub struct Invocation {
    /// What is executed.
    path: PathBuf,
    /// As it was given, the name it is called by first.
    arguments: Vec<OsString>,
    /// Where its files are, if it gets any.
    pub folder: Option<Folder>,
    /// What tries its credentials, if they are to be tried.
    pub psql: Option<PathBuf>,
}

impl Invocation {
    /// Looks for the program as a shell does, along `PATH`.
    ///
    /// # Errors
    /// [`Error::Program`] when it is not there or cannot be run.
    pub fn find(arguments: Vec<OsString>, environment: &dyn Environment) -> Result<Self, Error> {
        let command = arguments.first().cloned().unwrap_or_default();
        let path = environment.variable("PATH");
        match program::find(&command, path.as_deref()) {
            Ok(path) => Ok(Self {
                path,
                arguments,
                folder: None,
                psql: None,
            }),
            Err(reason) => Err(Error::Program {
                command: command.into(),
                reason,
            }),
        }
    }
}

/// The command and where its credentials come from.
pub struct Command<'a> {
    config: &'a Config,
    invocation: Invocation,
    manager: &'a mut Manager,
    /// Whether there was a child before.
    restarted: bool,
    /// Why new credentials could not be had, as the user was told; later tries are for those who
    /// look closely.
    told: Option<String>,
    /// New credentials that are being tried at the database.
    trial: Option<Trial>,
}

/// A trial that is under way.
type Trial = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

impl<'a> Command<'a> {
    /// The command, not started yet.
    pub const fn new(config: &'a Config, invocation: Invocation, manager: &'a mut Manager) -> Self {
        Self {
            config,
            invocation,
            manager,
            restarted: false,
            told: None,
            trial: None,
        }
    }

    /// Tries the first credentials, if that is asked for. They are kept alive meanwhile.
    ///
    /// # Errors
    /// When they cannot be tried, or the database does not let them in.
    pub async fn try_credentials(&mut self) -> Result<(), Error> {
        let Some(mut trial) = self.begin_trial()? else {
            return Ok(());
        };
        loop {
            tokio::select! {
                biased;
                tried = &mut trial => return tried,
                // What ends without a child is told when there is one.
                _news = self.manager.next() => {}
            }
        }
    }

    /// Begins to try the new credentials, if that is asked for.
    fn begin_trial(&self) -> Result<Option<Trial>, Error> {
        let Some(psql) = self.invocation.psql.clone() else {
            return Ok(None);
        };
        let secrets = self.manager.fresh_secrets();
        let logins = self.config.recipe.logins(secrets, &Inherited);
        let logins = logins.map_err(explain)?;
        Ok(Some(Box::pin(trial::all(
            psql,
            logins,
            self.config.child_environment.clone(),
            self.config.start_timeout,
        ))))
    }

    fn program(&mut self) -> Result<Program, Error> {
        let secrets = self.manager.take_secrets();
        let environment = self.environment(&secrets)?;
        let Invocation {
            path, arguments, ..
        } = &self.invocation;
        Program::new(path, arguments, environment).map_err(|_| Error::Credentials {
            path: self.config.recipe.paths.join(", "),
            problem: "a value holds a NUL".to_owned(),
            hint: None,
        })
    }

    /// Writes the files, if there are any, and names them in the variables.
    fn put_files(&mut self, variables: &mut Variables) -> Result<(), Error> {
        let Some(folder) = &mut self.invocation.folder else {
            return Ok(());
        };
        // It was chosen among those whose names are text.
        let path = folder.path().to_str().unwrap_or_default().to_owned();
        let files = variables.put_files(self.config.recipe.handover, &path);
        if !files.is_empty() {
            self.manager.folder_begins(&path);
        }
        folder.write(&files)
    }

    /// Tells GitHub's runner, which reads standard error, what to hide in the job's log.
    ///
    /// # Errors
    /// When it does not take them: the command would write passwords that nobody hides.
    fn announce(&self, secrets: &[Fields]) -> Result<(), Error> {
        let runs_there = Inherited
            .variable("GITHUB_ACTIONS")
            .is_some_and(|value| value == "true");
        if !self.config.github_mask || !runs_there {
            return Ok(());
        }
        if output::is_read_by_a_program() {
            let lines = mask::lines(secrets);
            output::write_to_stderr_within(lines.expose().as_bytes(), MASKING).map_err(
                |errno| Error::system("announce the passwords to GitHub's runner", &errno.desc()),
            )?;
        } else {
            log::warn!(event = "environment"; "the passwords are not announced to GitHub's runner: standard error goes to a file or a terminal, which would keep them");
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let secrets = self.manager.take_secrets();
        self.announce(&secrets)?;
        let variables = self.config.recipe.variables(&secrets, &Inherited);
        self.put_files(&mut variables.map_err(explain)?)
    }

    fn environment(&mut self, secrets: &[Fields]) -> Result<Vec<(OsString, OsString)>, Error> {
        let variables = self.config.recipe.variables(secrets, &Inherited);
        let mut variables = variables.map_err(explain)?;
        self.announce(secrets)?;
        for note in &variables.notes {
            log::info!(event = "environment"; "{note}");
        }
        self.put_files(&mut variables)?;
        // Of a file that is replaced they would soon tell what is not true any more.
        let stays = self.config.on_expiry != OnExpiry::Refresh;
        if let Some((id, expiry)) = self.manager.fresh_lease().filter(|_| stays) {
            let expiry = Sensitive::new(wording::wall(expiry, Moment::now()));
            variables
                .set
                .push(("VAULTEXEC_LEASE_ID".to_owned(), Sensitive::from(id)));
            variables
                .set
                .push(("VAULTEXEC_EXPIRES_AT".to_owned(), expiry));
        }
        let rules = &self.config.child_environment;
        Ok(environment::build(
            Inherited.all(),
            rules,
            &variables.drop,
            &variables.set,
        ))
    }

    /// Why the new credentials are of no use, if they are not: found out while the child still runs.
    fn unusable(&self) -> Option<Error> {
        let secrets = self.manager.fresh_secrets();
        let variables = self.config.recipe.variables(secrets, &Inherited);
        variables.err().map(explain)
    }

    /// New credentials are handed over if they are good for that, else given back.
    fn judge(&mut self, usable: Result<(), Error>) -> Event {
        match usable {
            Ok(()) => {
                self.told = None;
                Event::Acquired
            }
            Err(error) => {
                self.manager.give_back();
                self.not_obtained(&error.to_string(), true)
            }
        }
    }

    fn not_obtained(&mut self, words: &str, again: bool) -> Event {
        let level = match &self.told {
            // What is looked for every second is not news each time.
            Some(before) if again && before == words => log::Level::Debug,
            Some(_) if again => log::Level::Info,
            _ => log::Level::Warn,
        };
        if again {
            self.told = Some(words.to_owned());
        }
        log::log!(level, event = "not_obtained", reason = words; "cannot get new credentials: {words}");
        Event::NotAcquired { again }
    }
}

/// What an answer lacks, as an error.
fn explain(lack: Lack) -> Error {
    let Lack {
        path,
        problem,
        of_a_login,
    } = lack;
    if of_a_login {
        return secret::no_login(path, problem);
    }
    Error::Credentials {
        path,
        problem,
        hint: None,
    }
}

impl Operations for Command<'_> {
    async fn next(&mut self) -> Event {
        loop {
            let trial = async {
                match &mut self.trial {
                    Some(trial) => trial.await,
                    None => std::future::pending().await,
                }
            };
            let news = tokio::select! {
                biased;
                tried = trial => {
                    self.trial = None;
                    return self.judge(tried);
                }
                news = self.manager.next() => news,
            };
            return match news {
                // They are being tried.
                News::Obtained if self.trial.is_some() => continue,
                News::Obtained => match self.unusable().map_or_else(|| self.begin_trial(), Err) {
                    Ok(Some(trial)) => {
                        self.trial = Some(trial);
                        continue;
                    }
                    usable => self.judge(usable.map(drop)),
                },
                News::NotObtained(unobtained) => {
                    self.not_obtained(&unobtained.words(), unobtained.again)
                }
                News::Expiring => Event::Expiring,
                News::LastCall => Event::LastCall,
                News::Expired => Event::Expired,
            };
        }
    }

    fn look_now(&mut self) {
        self.manager.look_now();
    }

    fn stopping(&mut self) {
        self.manager.stopping();
    }

    fn going_on(&mut self) {
        self.manager.going_on();
    }

    fn acquire(&mut self) {
        self.manager.obtain();
    }

    fn retry_later(&mut self) {
        self.manager.retry_later();
    }

    fn start_child(&mut self, signals: &mut Signals) -> Result<Child, Error> {
        let program = self.program()?;
        let orphaned = (!crate::sys::process::is_init()).then_some(self.config.stop_signal);
        let when = if self.restarted {
            Childless::Between
        } else {
            Childless::Before
        };
        let matters = |received| matters_without_child(received, when);
        let child = loop {
            let waits = || signals.any_before_fork(matters);
            let announce = |child: &Child| self.manager.child_begins(child);
            match spawn::spawn(&program, orphaned, waits, announce) {
                Ok(child) => break child,
                Err(SpawnError::SignalsWait) => {
                    if let Some(signal) = look_without_child(signals, when) {
                        return Err(Error::Interrupted(signal));
                    }
                }
                Err(SpawnError::Fork(errno)) => {
                    return Err(Error::system("start a process", &errno.desc()));
                }
            }
        };
        self.manager.child_started();
        if std::mem::replace(&mut self.restarted, true) {
            log::info!(event = "restarted", pid = child.pid(); "started the command again with new credentials");
        } else {
            log::info!(event = "started", pid = child.pid(); "started the command");
        }
        Ok(child)
    }

    fn hand_over(&mut self) {
        let why = self.manager.deadline();
        match self.refresh() {
            Ok(()) => {
                self.manager.handed_over();
                let why = why.map_or_else(String::new, |why| format!(": {}", why.cause));
                log::info!(event = "refreshed"; "the command's file has new credentials{why}");
            }
            Err(error) => {
                log::warn!(event = "not_obtained"; "cannot hand over new credentials: {error}");
                self.manager.give_back();
                self.manager.retry_later();
            }
        }
    }

    fn not_executed(&self, errno: Errno) -> Error {
        let command = self.invocation.arguments.first().cloned();
        Error::Exec {
            command: command.unwrap_or_default().into(),
            errno,
        }
    }

    fn say(&self, saying: Saying) {
        wording::say(saying, self.manager.deadline(), Moment::now());
    }
}
