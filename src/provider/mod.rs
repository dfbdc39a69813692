//! Where the child's credentials come from, the first time and every time after: acquiring,
//! starting the command with them, keeping them alive, and giving back what was replaced.

mod invocation;
mod issuer;
mod live;
mod plan;
mod wording;

pub use invocation::Invocation;
use issuer::Irreplaceable;
pub use issuer::Issuer;
use live::Live;
pub use wording::say_what_is_left;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::environment::{Environment as _, Inherited};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::lease::{self, Acquisition, Command};
use crate::render::environment as child_environment;
use crate::render::postgres::{self, Credentials};
use crate::report::Reporter;
use crate::sensitive::Sensitive;
use crate::supervise::{
    Childless, Event, OnExpiry, Saying, Supply, look_without_child, matters_without_child,
};
use crate::sys::clock::Moment;
use crate::sys::signal::Signal;
use crate::sys::signals::Signals;
use crate::sys::spawn::{self, Child, Program, SpawnError};

/// Credentials that end sooner than this after they were acquired are not replaced at once.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// Gives the child its credentials.
#[derive(Debug)]
pub struct Provider {
    issuer: Rc<Issuer>,
    invocation: Invocation,
    news: mpsc::UnboundedSender<Event>,
    /// What the child has now.
    current: Option<Live>,
    /// What was acquired for the next child.
    fresh: Rc<RefCell<Option<(Credentials, Live)>>>,
    /// The acquisition that is under way, and what ends its waiting.
    acquiring: Option<(JoinHandle<()>, Rc<Interrupt>)>,
    /// How many in a row ended as soon as they were there.
    short_lived: u32,
    tasks: Vec<JoinHandle<()>>,
    told: Rc<Cell<bool>>,
}

impl Provider {
    /// A provider without credentials yet.
    #[must_use]
    pub fn new(
        issuer: Rc<Issuer>,
        invocation: Invocation,
        news: mpsc::UnboundedSender<Event>,
    ) -> Self {
        Self {
            issuer,
            invocation,
            news,
            current: None,
            fresh: Rc::default(),
            acquiring: None,
            short_lived: 0,
            tasks: Vec::new(),
            told: Rc::default(),
        }
    }

    /// Starts the command with its first credentials.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_first(
        &mut self,
        acquisition: Acquisition,
        signals: &mut Signals,
    ) -> Result<Child, Error> {
        self.say_whether_replaceable();
        let fresh = Live::keep(acquisition, &self.issuer);
        self.fresh.replace(Some(fresh));
        self.start_child(signals)
    }

    /// The child has ended, and nothing is renewed or replaced any more. Waits for an acquisition
    /// that is under way: it may still bring something that has to be given back, and the server
    /// keeps a role that it makes for a token that is revoked by then.
    pub async fn finish(&mut self, until: Moment) {
        self.current = None;
        // What was being given back is still held, and given back with all the rest.
        self.tasks.drain(..).for_each(|task| task.abort());
        if let Some((acquiring, interrupt)) = &mut self.acquiring {
            interrupt.trip(Signal::TERM);
            let left = until.since(Moment::now());
            let _in_time = tokio::time::timeout(left, &mut *acquiring).await;
            acquiring.abort();
        }
        self.acquiring = None;
        self.fresh.replace(None);
    }

    fn report(&self) -> Reporter {
        self.issuer.config.report
    }

    /// What cannot be replaced is told at the start, not at the end.
    fn say_whether_replaceable(&self) {
        if self.issuer.config.on_expiry != OnExpiry::Restart {
            return;
        }
        let Ok(method) = self.issuer.method.try_lock() else {
            return;
        };
        let consequence =
            "when the token cannot be renewed any more, the credentials will not be replaced";
        match (method.can_repeat(), method.expiry()) {
            (Err(reason), _) => self.report().info(format_args!(
                "there can be no other login, because {reason}: {consequence}"
            )),
            (Ok(()), Some(expiry)) => self.report().info(format_args!(
                "there can be no other login after {}, when the secret id ends: {consequence}",
                lease::wall(expiry, Moment::now())
            )),
            (Ok(()), None) => {}
        }
    }

    fn spawn(
        &self,
        credentials: &Credentials,
        live: &Live,
        signals: &mut Signals,
    ) -> Result<Child, Error> {
        let config = &self.issuer.config;
        let mut variables = postgres::variables(
            credentials,
            config.base.as_ref(),
            config.set_role.as_deref(),
            &Inherited,
        );
        for note in &variables.notes {
            self.report().info(note);
        }
        if let Some(lease) = &live.lease {
            let id = Sensitive::from(lease.id.as_str());
            variables.set.push(("VAULTEXEC_LEASE_ID", id));
            let session = &live.holding.session;
            let expiry = lease.expiry_with(session, config.lease_ttl);
            let expiry = Sensitive::new(lease::wall(expiry, Moment::now()));
            variables.set.push(("VAULTEXEC_EXPIRES_AT", expiry));
        }
        let rules = &config.child_environment;
        let environment =
            child_environment::build(Inherited.all(), rules, &variables.drop, &variables.set);
        let program = Program::new(
            &self.invocation.path,
            &self.invocation.arguments,
            environment,
        );
        let program = program.map_err(|_| Error::Credentials {
            path: config.creds.clone(),
            problem: "a value holds a NUL".to_owned(),
            hint: None,
        })?;
        let orphaned = (!crate::sys::process::is_init()).then_some(config.stop_signal);
        let when = if self.current.is_some() {
            Childless::Between
        } else {
            Childless::Before
        };
        let matters = |received| matters_without_child(received, when);
        loop {
            match spawn::spawn(&program, orphaned, signals, matters) {
                Ok(child) => return Ok(child),
                Err(SpawnError::SignalsWait) => {
                    if let Some(signal) = look_without_child(signals, when) {
                        return Err(Error::Interrupted(signal));
                    }
                }
                Err(SpawnError::Fork(errno)) => {
                    return Err(Error::System {
                        doing: "start a process",
                        reason: errno.desc().to_owned(),
                    });
                }
            }
        }
    }

    /// How long to wait before credentials are replaced that have lived for so long. A server that
    /// gives out what ends at once would have the command started again without end.
    fn wait_after(&mut self, lived: Duration) -> Duration {
        if lived >= SHORT_LIFE {
            self.short_lived = 0;
            return Duration::ZERO;
        }
        let wait = lease::growing(self.short_lived, fastrand::f64());
        self.short_lived = self.short_lived.saturating_add(1);
        wait.saturating_sub(lived)
    }

    fn task(&mut self, work: impl Future<Output = ()> + 'static) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(tokio::task::spawn_local(work));
    }
}

impl Supply for Provider {
    fn look_now(&self) {
        if let Some(current) = &self.current {
            current.tell(Command::LookNow);
        }
    }

    fn stopping(&self) {
        if let Some(companion) = &self.issuer.companion {
            companion.stopping();
        }
    }

    fn going_on(&self) {
        if let Some(companion) = &self.issuer.companion {
            companion.going_on();
        }
    }

    fn retry_later(&mut self) {
        if let Some(current) = &self.current {
            current.tell(Command::ActFailed);
        }
    }

    fn acquire(&mut self) {
        let Some(current) = &self.current else { return };
        let issuer = Rc::clone(&self.issuer);
        let (news, fresh, told) = (
            self.news.clone(),
            Rc::clone(&self.fresh),
            Rc::clone(&self.told),
        );
        let (holding, lease) = (Rc::clone(&current.holding), current.lease.clone());
        let cause = current.deadline().map(|deadline| deadline.cause);
        let lived = Moment::now().since(current.since);
        let wait = self.wait_after(lived);
        let interrupt = Rc::new(Interrupt::default());
        let interrupted = Rc::clone(&interrupt);
        let task = tokio::task::spawn_local(async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _signal = interrupted.wait() => return,
            }
            let replaced = issuer
                .replace(&holding, lease.as_deref(), cause, &interrupted)
                .await;
            let event = match replaced {
                // Nobody waits for it any more, and what it has left is given back with the rest.
                Err(_) if interrupted.signal().is_some() => return,
                Ok(acquisition) => {
                    told.set(false);
                    // The old child may take long to end, and a lease does not wait for it.
                    fresh.replace(Some(Live::keep(acquisition, &issuer)));
                    Event::Acquired
                }
                Err(Irreplaceable { words, again }) => {
                    let words = format!("cannot get new credentials: {words}");
                    if again && told.replace(true) {
                        issuer.config.report.info(words);
                    } else {
                        issuer.config.report.warn(words);
                    }
                    issuer.give_back_all_but(&holding, lease.as_deref()).await;
                    Event::NotAcquired { again }
                }
            };
            let _heard = news.send(event);
        });
        self.acquiring = Some((task, interrupt));
    }

    fn start_child(&mut self, signals: &mut Signals) -> Result<Child, Error> {
        let Some((credentials, mut live)) = self.fresh.take() else {
            return Err(Error::System {
                doing: "start the command",
                reason: "there are no credentials".to_owned(),
            });
        };
        let child = self.spawn(&credentials, &live, signals)?;
        if let Some(companion) = &self.issuer.companion {
            companion.child_started(&child);
        }
        live.pass_on(self.news.clone());
        let holdings = &self.issuer.holdings;
        holdings.claim_back();
        if !self.issuer.config.revoke {
            holdings.leave(&live.holding, live.lease.as_deref());
        }
        let holding = Rc::clone(&live.holding);
        if let Some(old) = self.current.replace(live) {
            self.report()
                .info("started the command again with new credentials");
            let (old_holding, old_lease) = (Rc::clone(&old.holding), old.lease.clone());
            let issuer = Rc::clone(&self.issuer);
            self.task(async move {
                issuer
                    .retire(&old_holding, old_lease.as_deref(), &holding)
                    .await;
            });
        }
        Ok(child)
    }

    fn not_executed(&self, errno: Errno) -> Error {
        let command = self.invocation.arguments.first().cloned();
        Error::Exec {
            command: command.unwrap_or_default().into(),
            errno,
        }
    }

    fn say(&self, saying: Saying) {
        let deadline = self.current.as_ref().and_then(Live::deadline);
        wording::say(saying, deadline, self.report());
    }
}
