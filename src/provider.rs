//! Where the child's credentials come from, the first time and every time after: acquiring,
//! starting the command with them, keeping them alive, and giving back what was replaced.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use nix::errno::Errno;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::auth::Method;
use crate::child_environment;
use crate::companion::Companion;
use crate::config::environment::Inherited;
use crate::config::{Config, Environment as _, OnExpiry};
use crate::error::Error;
use crate::lease::{
    self, Acquisition, Cause, Command, Deadline, Event as LeaseEvent, Holding, Holdings, Keeper,
    OnServer, Subject,
};
use crate::postgres;
use crate::report::Reporter;
use crate::sensitive::Sensitive;
use crate::supervise::{Event, Saying, Supply, look_before_child, matters_before_child};
use crate::sys::clock::Moment;
use crate::sys::signals::Signals;
use crate::sys::spawn::{self, Child, Program, SpawnError};
use crate::sys::timer::BootClock;
use crate::vault::{Client, Interrupt, Patience};

/// The command, found and ready to be started.
#[derive(Debug)]
pub struct Invocation {
    /// What is executed.
    pub path: PathBuf,
    /// As it was given, the name it is called by first.
    pub arguments: Vec<OsString>,
}

/// The server's side of a run: what every acquisition needs.
#[derive(Debug)]
pub struct Desk {
    /// The server.
    pub client: Rc<Client>,
    /// How to log in.
    pub method: Mutex<Method>,
    /// What is held.
    pub holdings: Rc<Holdings>,
    /// Who cleans up if this process cannot.
    pub companion: Option<Rc<Companion>>,
    /// The settings.
    pub config: Config,
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
    desk: Rc<Desk>,
    invocation: Invocation,
    news: mpsc::UnboundedSender<Event>,
    current: Option<Current>,
    /// What was acquired for the next child.
    fresh: Rc<RefCell<Option<Acquisition>>>,
    tasks: Vec<JoinHandle<()>>,
    told: Rc<Cell<bool>>,
}

impl Provider {
    /// A provider without credentials yet.
    #[must_use]
    pub fn new(desk: Rc<Desk>, invocation: Invocation, news: mpsc::UnboundedSender<Event>) -> Self {
        Self {
            desk,
            invocation,
            news,
            current: None,
            fresh: Rc::default(),
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

    /// Waits for what is under way, which may still bring something that has to be given back.
    pub async fn finish(mut self, until: Moment) {
        if let Some(current) = &self.current {
            // What is given back is not renewed any more.
            current.stop_keeping();
        }
        let left = until.since(Moment::now());
        let all = async {
            for task in &mut self.tasks {
                let _ended = task.await;
            }
        };
        let _in_time = tokio::time::timeout(left, all).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    fn report(&self) -> Reporter {
        self.desk.config.report
    }

    /// What cannot be replaced is told at the start, not at the end.
    fn say_whether_replaceable(&self) {
        if self.desk.config.on_expiry != OnExpiry::Restart {
            return;
        }
        if let Ok(method) = self.desk.method.try_lock()
            && let Err(reason) = method.can_repeat()
        {
            self.report().info(format_args!(
                    "there can be no other login, because {reason}: when the token cannot be renewed any more, the \
                     credentials will not be replaced"
                ));
        }
    }

    fn spawn(&self, acquisition: &Acquisition, signals: &mut Signals) -> Result<Child, Error> {
        let config = &self.desk.config;
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
        let schedule = acquisition.schedule(self.desk.config.lease_ttl);
        let Acquisition {
            holding,
            lease,
            credentials: _,
        } = acquisition;
        let task = Keeper {
            renewer: OnServer {
                client: Rc::clone(&self.desk.client),
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
            let _heard = current.keeper.send(Command::ActFailed(None));
        }
    }

    fn acquire(&mut self) {
        let Some(current) = &self.current else { return };
        let desk = Rc::clone(&self.desk);
        let (news, fresh, told) = (
            self.news.clone(),
            Rc::clone(&self.fresh),
            Rc::clone(&self.told),
        );
        let (holding, lease) = (Rc::clone(&current.holding), current.lease.clone());
        let cause = current.deadline.get().map(|deadline| deadline.cause);
        self.task(async move {
            let event = match desk.replace(&holding, lease.as_deref(), cause).await {
                Ok(acquisition) => {
                    told.set(false);
                    fresh.replace(Some(acquisition));
                    Event::Acquired
                }
                Err(Irreplaceable { words, again }) => {
                    let words = format!("cannot get new credentials: {words}");
                    if again && told.replace(true) {
                        desk.config.report.info(words);
                    } else {
                        desk.config.report.warn(words);
                    }
                    desk.give_back_all_but(&holding, lease.as_deref()).await;
                    Event::NotAcquired { again }
                }
            };
            let _heard = news.send(event);
        });
    }

    fn start_child(&mut self, signals: &mut Signals) -> Result<Child, Error> {
        let Some(acquisition) = self.fresh.take() else {
            return Err(Error::System {
                doing: "start the command",
                reason: "there are no credentials".to_owned(),
            });
        };
        let child = self.spawn(&acquisition, signals)?;
        if let Some(companion) = &self.desk.companion {
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
            let desk = Rc::clone(&self.desk);
            self.task(async move { desk.retire(&old, &holding).await });
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
        let (at, why) = deadline.map_or(
            (String::from("an unknown time"), String::new()),
            |deadline| {
                (
                    lease::wall(deadline.at, Moment::now()),
                    format!(": {}", deadline.cause),
                )
            },
        );
        let report = self.report();
        match saying {
            Saying::WillExpire => report.warn(format_args!(
                "the credentials end at {at} and are not replaced{why}"
            )),
            Saying::CannotReplace => report.warn(format_args!(
                "the credentials end at {at} and cannot be replaced{why}"
            )),
            Saying::HaveExpired => report.warn(format_args!("the credentials have ended{why}")),
            Saying::Restarting => report.info(format_args!(
                "restarting the command with new credentials{why}"
            )),
            Saying::Stopping => report.warn(format_args!(
                "stopping the command, whose credentials end at {at}{why}"
            )),
            Saying::Signalled(signal) => {
                report.info(format_args!(
                    "sent the command {signal}, because its credentials end at {at}{why}"
                ));
            }
            Saying::Killing => report.warn("the command has not ended in time and is killed"),
        }
    }
}

/// Why there are no new credentials.
struct Irreplaceable {
    words: String,
    again: bool,
}

impl Desk {
    /// The first credentials of a run.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn first(&self, patience: &Patience<'_>) -> Result<Acquisition, Error> {
        let mut method = self.method.lock().await;
        lease::acquire(
            &self.client,
            &mut method,
            None,
            &self.config.creds,
            patience,
            &self.holdings,
        )
        .await
    }

    /// New credentials in place of those that will end for `cause`. With a new login where that is
    /// possible, so that the old lease can go with its token; with the old token where that is
    /// good enough.
    async fn replace(
        &self,
        holding: &Rc<Holding>,
        lease: Option<&lease::Lease>,
        cause: Option<Cause>,
    ) -> Result<Acquisition, Irreplaceable> {
        let interrupt = Interrupt::default();
        let config = &self.config;
        let until = Moment::now() + config.start_timeout;
        let patience = Patience::new(until, config.retries(), config.report, &interrupt);
        let mut method = self.method.lock().await;
        // A lease may end early because it never outlives a token that cannot be renewed.
        let session = &holding.session;
        let fixed_token = session.batch || !session.renewable;
        let bounded_by_token = session
            .expiry()
            .filter(|_| fixed_token)
            .zip(lease)
            .is_some_and(|(expiry, lease)| expiry.since(Moment::now()) < lease.duration);
        let cause_is_token = cause.is_none_or(|cause| {
            let subject_is_token = matches!(
                cause,
                Cause::MaxTtl(Subject::Token)
                    | Cause::NotRenewable(Subject::Token)
                    | Cause::Denied(Subject::Token)
                    | Cause::Lost(Subject::Token)
            );
            subject_is_token || matches!(cause, Cause::BatchToken | Cause::UsesSpent)
        });
        let token_ends = cause_is_token || bounded_by_token;
        let alone = match lease {
            // A lease that nobody knows goes only with its token, so that one is to be replaced too.
            Some(lease) if !token_ends && !holding.unknown_lease.get() => {
                lease::can_revoke_alone(&self.client, holding, lease, config.revoke_timeout).await
            }
            _ => false,
        };
        let repeatable = method.can_repeat();
        if !alone
            && let Err(reason) = repeatable
            && token_ends
        {
            let words = format!("another login is needed, and {reason}");
            return Err(Irreplaceable {
                words,
                again: false,
            });
        }
        let token = (alone || repeatable.is_err()).then(|| Rc::clone(holding));
        let logs_in = token.is_none();
        let acquired = lease::acquire(
            &self.client,
            &mut method,
            token,
            &config.creds,
            &patience,
            &self.holdings,
        )
        .await;
        acquired.map_err(|error| {
            let hopeless = logs_in && token_ends && method.can_repeat().is_err();
            Irreplaceable {
                words: error.to_string(),
                again: !hopeless,
            }
        })
    }

    /// Gives back what an acquisition that failed has left, for as long as cleaning up may take:
    /// everything but the token and the lease that are in use.
    async fn give_back_all_but(&self, holding: &Rc<Holding>, lease: Option<&lease::Lease>) {
        let until = Moment::now() + self.config.revoke_timeout;
        let report = self.config.report;
        for held in self.holdings.unsettled() {
            if !Rc::ptr_eq(&held, holding) {
                lease::revoke(&self.client, &held, until, report).await;
                continue;
            }
            let leases: Vec<_> = held.leases.borrow().iter().map(Rc::clone).collect();
            for unused in leases.iter().filter(|unused| !unused.is_settled()) {
                if !lease.is_some_and(|lease| std::ptr::eq(lease, &raw const **unused)) {
                    lease::revoke_lease(&self.client, &held, unused, until, report).await;
                }
            }
        }
        self.holdings.tidy();
    }

    /// Gives back what the child no longer uses; tries until it would have ended by itself.
    async fn retire(&self, old: &Current, new: &Rc<Holding>) {
        let report = self.config.report;
        let Some(lease) = &old.lease else { return };
        let alone = Rc::ptr_eq(&old.holding, new);
        let mut pause = std::time::Duration::from_secs(1);
        loop {
            let until = Moment::now() + self.config.revoke_timeout;
            if alone {
                lease::revoke_lease(&self.client, &old.holding, lease, until, report).await;
            } else {
                lease::revoke(&self.client, &old.holding, until, report).await;
            }
            self.holdings.tidy();
            let now = Moment::now();
            let done = if alone {
                lease.is_settled()
                    || lease.was_refused(lease::Reason::Policy)
                    || lease.expiry.get() <= now
            } else {
                let token_ended = old.holding.session.expiry().is_some_and(|at| at <= now);
                old.holding.is_settled() || token_ended
            };
            if done {
                return;
            }
            if !alone && old.holding.token_settled.get() {
                // The engine has refused, and there is no token any more to ask it again with.
                report.warn(format_args!(
                    "the lease {} of the command's last run could not be revoked{}; it ends by itself at {}",
                    lease.id,
                    lease.refusal().map(|refusal| format!(": {}", refusal.words)).unwrap_or_default(),
                    lease::wall(lease.expiry.get(), now)
                ));
                return;
            }
            report.debug(format_args!(
                "the lease {} is not revoked yet; trying again",
                lease.id
            ));
            tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            pause = (pause * 2).min(std::time::Duration::from_secs(60));
        }
    }
}
