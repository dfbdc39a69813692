//! Where the child's credentials come from, the first time and every time after: acquiring,
//! starting the command with them, keeping them alive, and giving back what was replaced.

mod issuer;
mod wording;

use issuer::Irreplaceable;
pub use issuer::Issuer;

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use nix::errno::Errno;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::child_environment;
use crate::config::OnExpiry;
use crate::environment::{Environment as _, Inherited};
use crate::error::Error;
use crate::lease::{
    self, Acquisition, Command, Deadline, Event as LeaseEvent, Holding, Keeper, OnServer,
};
use crate::postgres;
use crate::report::Reporter;
use crate::sensitive::Sensitive;
use crate::supervise::{Event, Saying, Supply, look_before_child, matters_before_child};
use crate::sys::clock::Moment;
use crate::sys::signals::Signals;
use crate::sys::spawn::{self, Child, Program, SpawnError};
use crate::sys::timer::BootClock;

/// The command, found and ready to be started.
#[derive(Debug)]
pub struct Invocation {
    /// What is executed.
    pub path: PathBuf,
    /// As it was given, the name it is called by first.
    pub arguments: Vec<OsString>,
}

/// The credentials that the child has now.
#[derive(Debug)]
struct Current {
    holding: Rc<Holding>,
    lease: Option<Rc<lease::Lease>>,
    keeper: mpsc::UnboundedSender<Command>,
    /// The keeper, and who passes its news on.
    keeping: [JoinHandle<()>; 2],
    deadline: Rc<Cell<Option<Deadline>>>,
}

impl Current {
    fn stop_keeping(&self) {
        self.keeping.iter().for_each(JoinHandle::abort);
    }
}

/// Gives the child its credentials.
#[derive(Debug)]
pub struct Provider {
    issuer: Rc<Issuer>,
    invocation: Invocation,
    news: mpsc::UnboundedSender<Event>,
    current: Option<Current>,
    /// What was acquired for the next child.
    fresh: Rc<RefCell<Option<Acquisition>>>,
    /// The acquisition that is under way.
    acquiring: Option<JoinHandle<()>>,
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
        self.fresh.replace(Some(acquisition));
        self.start_child(signals)
    }

    /// Waits for an acquisition that is under way: it may still bring something that has to be
    /// given back, and the server keeps a role that it makes for a token that is revoked by then.
    pub async fn finish(mut self, until: Moment) {
        if let Some(current) = &self.current {
            // What is given back is not renewed any more.
            current.stop_keeping();
        }
        // What was replaced is still held, and given back with all the rest.
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(mut acquiring) = self.acquiring.take() {
            let left = until.since(Moment::now());
            let _in_time = tokio::time::timeout(left, &mut acquiring).await;
            acquiring.abort();
        }
    }

    fn report(&self) -> Reporter {
        self.issuer.config.report
    }

    /// What cannot be replaced is told at the start, not at the end.
    fn say_whether_replaceable(&self) {
        if self.issuer.config.on_expiry != OnExpiry::Restart {
            return;
        }
        if let Ok(method) = self.issuer.method.try_lock()
            && let Err(reason) = method.can_repeat()
        {
            self.report().info(format_args!(
                    "there can be no other login, because {reason}: when the token cannot be renewed any more, the \
                     credentials will not be replaced"
                ));
        }
    }

    fn spawn(&self, acquisition: &Acquisition, signals: &mut Signals) -> Result<Child, Error> {
        let config = &self.issuer.config;
        let mut variables =
            postgres::variables(&acquisition.credentials, config.base.as_ref(), &Inherited);
        for note in &variables.notes {
            self.report().info(note);
        }
        if let Some(lease) = &acquisition.lease {
            variables
                .set
                .push(("VAULTEXEC_LEASE_ID", Sensitive::from(lease.id.as_str())));
            let token = acquisition.holding.session.expiry();
            let expiry = token.map_or(lease.expiry.get(), |token| token.min(lease.expiry.get()));
            let at = lease::wall(expiry, Moment::now());
            variables
                .set
                .push(("VAULTEXEC_EXPIRES_AT", Sensitive::new(at)));
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
        loop {
            match spawn::spawn(&program, orphaned, signals, matters_before_child) {
                Ok(child) => return Ok(child),
                Err(SpawnError::SignalsWait) => {
                    if let Some(signal) = look_before_child(signals) {
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

    fn keep(&mut self, acquisition: Acquisition) -> Option<Current> {
        let (keeper, commands) = mpsc::unbounded_channel();
        let (events, mut heard) = mpsc::unbounded_channel();
        let deadline = Rc::new(Cell::new(None));
        let schedule = acquisition.schedule(self.issuer.config.lease_ttl);
        let Acquisition {
            holding,
            lease,
            credentials: _,
        } = acquisition;
        let task = Keeper {
            renewer: OnServer {
                client: Rc::clone(&self.issuer.client),
                holding: Rc::clone(&holding),
                lease: lease.clone(),
            },
            schedule,
            clock: BootClock,
            report: self.report(),
            commands,
            events,
            told_end: false,
        };
        let keeping = tokio::task::spawn_local(task.run());
        let (news, known) = (self.news.clone(), Rc::clone(&deadline));
        let passing_on = tokio::task::spawn_local(async move {
            while let Some(event) = heard.recv().await {
                let (found, event) = match event {
                    LeaseEvent::Expiring(found) => (found, Event::Expiring),
                    LeaseEvent::Expired(found) => (found, Event::Expired),
                };
                known.set(Some(found));
                let _heard = news.send(event);
            }
        });
        self.current.replace(Current {
            holding,
            lease,
            keeper,
            keeping: [keeping, passing_on],
            deadline,
        })
    }

    fn task(&mut self, work: impl Future<Output = ()> + 'static) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(tokio::task::spawn_local(work));
    }
}

impl Supply for Provider {
    fn look_now(&self) {
        if let Some(current) = &self.current {
            let _heard = current.keeper.send(Command::LookNow);
        }
    }

    fn retry_later(&mut self) {
        if let Some(current) = &self.current {
            let _heard = current.keeper.send(Command::ActFailed);
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
        let cause = current.deadline.get().map(|deadline| deadline.cause);
        self.acquiring = Some(tokio::task::spawn_local(async move {
            let event = match issuer.replace(&holding, lease.as_deref(), cause).await {
                Ok(acquisition) => {
                    told.set(false);
                    fresh.replace(Some(acquisition));
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
        }));
    }

    fn start_child(&mut self, signals: &mut Signals) -> Result<Child, Error> {
        let Some(acquisition) = self.fresh.take() else {
            return Err(Error::System {
                doing: "start the command",
                reason: "there are no credentials".to_owned(),
            });
        };
        let child = self.spawn(&acquisition, signals)?;
        if let Some(companion) = &self.issuer.companion {
            companion.child_started(child.pid());
        }
        let (holding, first) = (Rc::clone(&acquisition.holding), self.current.is_none());
        let old = self.keep(acquisition);
        if !first {
            self.report()
                .info("started the command again with new credentials");
        }
        if let Some(old) = old {
            // What is given back is not renewed, and its end is no news.
            old.stop_keeping();
            let issuer = Rc::clone(&self.issuer);
            self.task(async move {
                issuer
                    .retire(&old.holding, old.lease.as_deref(), &holding)
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
        let deadline = self
            .current
            .as_ref()
            .and_then(|current| current.deadline.get());
        wording::say(saying, deadline, self.report());
    }
}
