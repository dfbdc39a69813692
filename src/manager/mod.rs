//! The lease manager: gets credentials, keeps them alive, replaces them and revokes them.
//!
//! [`Machine`] decides, and is pure; [`Manager`] owns everything there is for it by value, carries
//! its requests out, several at once, and turns the answers into its events. Whoever watches the
//! child asks it for news.

mod machine;
mod obtaining;
mod request;
mod rights;
mod schedule;
mod set;
#[cfg(test)]
pub mod test_support;
mod unobtained;
pub mod wording;

pub use machine::{News, Rules};
pub use schedule::Deadline;

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::companion::Companion;
use crate::error::Error;
use crate::ledger::{Fact, Ledger, Left};
use crate::login::Login;
use crate::revoke;
use crate::secret::Fields;
use crate::supervise::SLOW;
use crate::sys::clock::Moment;
use crate::sys::signal::Signal;
use crate::sys::spawn::Child;
use crate::sys::timer::BootClock;
use crate::vault::{Backoff, Client, Retries};

use machine::{Action, Event, Machine};
use request::{Answer, carry_out, log_in};

/// When to try again to start a companion.
const COMPANION_AGAIN: Duration = Duration::from_secs(1);
/// How long a login or a read that is under way when the child ends is waited for.
const LAST_ANSWER: Duration = Duration::from_secs(2);

/// The credentials of a run.
pub struct Manager {
    machine: Machine,
    client: Rc<Client>,
    /// What the login is made of, unless one is under way.
    login: Option<Login>,
    retries: Retries,
    interrupt: watch::Sender<Option<Signal>>,
    /// What may bring something that has to be revoked: never given up unheard.
    obtaining: JoinSet<(Option<Login>, Answer)>,
    /// Renewals and revocations.
    upkeep: JoinSet<Answer>,
    /// Goes off when the host was suspended.
    resumed: Pin<Box<dyn Future<Output = ()>>>,
    companion: Option<Companion>,
    /// When another companion is started in place of one that was killed.
    companion_due: Option<Moment>,
    news: VecDeque<News>,
}

impl Manager {
    /// A manager that has nothing yet. `max_retries` bounds the tries of one request at the start.
    pub fn new(
        rules: Rules,
        client: Client,
        login: Login,
        companion: Option<Companion>,
        max_retries: Option<u32>,
    ) -> Self {
        let (sender, interrupt) = watch::channel(None);
        Self {
            retries: Retries {
                time: rules.start_timeout,
                most: max_retries,
                interrupt,
                told: Rc::default(),
            },
            machine: Machine::new(rules),
            client: Rc::new(client),
            login: Some(login),
            interrupt: sender,
            obtaining: JoinSet::new(),
            upkeep: JoinSet::new(),
            resumed: resumed(),
            companion,
            companion_due: None,
            news: VecDeque::new(),
        }
    }

    /// How waiting work hears of the signal that wants the program to end.
    #[must_use]
    pub fn interrupt(&self) -> watch::Sender<Option<Signal>> {
        self.interrupt.clone()
    }

    /// Gets the first credentials.
    ///
    /// # Errors
    /// Why there are none. What was obtained before the failure is held.
    pub async fn first(&mut self) -> Result<(), Error> {
        self.obtain();
        let mut slow = std::pin::pin!(tokio::time::sleep(SLOW));
        let mut told = false;
        loop {
            let news = tokio::select! {
                biased;
                news = self.next() => news,
                () = &mut slow, if !told => {
                    told = true;
                    // Who was told that it is tried again knows what is waited for.
                    let what = self.machine.waits_for().filter(|_| !self.retries.told.get());
                    what.into_iter().for_each(wording::say_waiting);
                    continue;
                }
            };
            match news {
                News::Obtained => return Ok(()),
                News::NotObtained(unobtained) => return Err(unobtained.error),
                News::Expiring | News::LastCall | News::Expired => {}
            }
        }
    }

    /// Waits for the next news. What goes on meanwhile goes on if this is dropped.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            let event = self.event().await;
            self.handle(event);
        }
    }

    async fn event(&mut self) -> Event {
        let due = sleep_until(self.machine.due(Moment::now()));
        let companion = self.companion.as_ref();
        tokio::select! {
            biased;
            Some(Ok((login, answer))) = self.obtaining.join_next() => {
                self.login = self.login.take().or(login);
                Event::Answered(answer)
            }
            Some(Ok(answer)) = self.upkeep.join_next() => Event::Answered(answer),
            () = &mut self.resumed => {
                self.resumed = resumed();
                log::info!(event = "resumed"; "the host was suspended: looking at the lease");
                Event::Look
            }
            () = ended(companion) => {
                self.replace_companion(true);
                Event::Due
            }
            () = sleep_until(self.companion_due) => {
                self.replace_companion(false);
                Event::Due
            }
            () = due => Event::Due,
        }
    }

    fn handle(&mut self, event: Event) {
        let actions = self
            .machine
            .handle(event, Moment::now(), &mut fastrand::f64);
        // Before a request is sent: its answer may be lost with this process.
        self.tell_companion();
        for action in actions {
            match action {
                Action::Tell(news) => self.news.push_back(news),
                Action::LogIn(until) => {
                    let Some(login) = self.login.take() else {
                        continue;
                    };
                    let work = log_in(Rc::clone(&self.client), login, self.retries.until(until));
                    self.obtaining.spawn_local(async {
                        let (login, answer) = work.await;
                        (Some(login), answer)
                    });
                }
                Action::Ask(request) => {
                    let brings_something = request.brings_something();
                    let work = carry_out(Rc::clone(&self.client), request, self.retries.clone());
                    if brings_something {
                        self.obtaining.spawn_local(async { (None, work.await) });
                    } else {
                        self.upkeep.spawn_local(work);
                    }
                }
            }
        }
    }

    fn tell_companion(&mut self) {
        if let Some(companion) = &mut self.companion {
            companion.tell_ledger(self.machine.ledger());
        }
    }

    /// The companion was killed: without one, a SIGKILL would leave everything.
    fn replace_companion(&mut self, was_there: bool) {
        let Some(companion) = &mut self.companion else {
            return;
        };
        if was_there {
            log::warn!(event = "companion_ended"; "the companion process was killed, and another one is started in its place");
        }
        let started = companion.start_again();
        self.companion_due = (!started).then(|| Moment::now() + COMPANION_AGAIN);
    }

    /// New credentials are wanted; news will tell how that went.
    pub fn obtain(&mut self) {
        self.handle(Event::Wanted);
    }

    /// Time may have passed unseen: renew at once.
    pub fn look_now(&mut self) {
        self.handle(Event::Look);
    }

    /// What was done about the end of the credentials failed; say so again, later each time.
    pub fn retry_later(&mut self) {
        self.handle(Event::ActFailed);
    }

    /// The new credentials are of no use, and are revoked.
    pub fn give_back(&mut self) {
        self.handle(Event::Unusable);
    }

    /// The new credentials.
    #[must_use]
    pub fn fresh_secrets(&self) -> &[Fields] {
        self.machine.fresh_secrets()
    }

    /// The new credentials, once.
    pub fn take_secrets(&mut self) -> Vec<Fields> {
        self.machine.take_secrets()
    }

    /// The lease of the new credentials, and when it ends unless it is renewed.
    #[must_use]
    pub fn fresh_lease(&self) -> Option<(&str, Moment)> {
        self.machine.fresh_lease()
    }

    /// There is a child, which does not run its program yet.
    pub fn child_begins(&mut self, child: &Child) {
        if let Some(companion) = &mut self.companion {
            companion.child_begins(child);
        }
    }

    /// The child has been started with the new credentials.
    pub fn child_started(&mut self) {
        self.client.close_connections();
        self.handle(Event::Started);
    }

    /// The child finds the new credentials in its file.
    pub fn handed_over(&mut self) {
        self.client.close_connections();
        self.handle(Event::HandedOver);
    }

    /// A folder is about to be made, which has to be removed whatever happens.
    pub fn folder_begins(&mut self, path: &str) {
        self.machine
            .ledger_mut()
            .apply(Fact::Folder(path.to_owned()));
        self.tell_companion();
    }

    /// vaultexec is about to stop with the child: somebody has to wake it when the child goes on.
    pub fn stopping(&mut self) {
        if let Some(companion) = &mut self.companion {
            companion.stopping();
        }
    }

    /// There is nobody to be woken any more.
    pub fn going_on(&mut self) {
        if let Some(companion) = &mut self.companion {
            companion.going_on();
        }
    }

    /// When the credentials that the child has end, as far as that is known.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.machine.deadline()
    }

    /// Whether nothing was ever asked of the server that could have left something.
    #[must_use]
    pub const fn holds_nothing(&self) -> bool {
        self.machine.ledger().is_empty()
    }

    /// No child was started, so that there is nobody to leave anything to.
    pub fn claim_back(&mut self) {
        self.machine.ledger_mut().apply(Fact::ClaimedBack);
    }

    /// Revokes everything that is held, until a moment. Waits for an answer under way before: it may
    /// still bring something, and the server keeps a role that it makes for a token that is revoked
    /// by then. It can be dropped and begun again.
    pub async fn clean_up(&mut self, until: Moment) {
        let now = Moment::now();
        let last_answer = now + LAST_ANSWER.min(until.since(now) / 2);
        self.interrupt.send_replace(Some(Signal::TERM));
        self.upkeep.abort_all();
        while self.machine.awaits_answers() && Moment::now() < last_answer {
            let answer = self.obtaining.join_next();
            let left = last_answer.since(Moment::now());
            match tokio::time::timeout(left, answer).await {
                Ok(Some(Ok((_, answer)))) => self.handle(Event::Answered(answer)),
                Ok(None) | Err(_) => break,
                Ok(Some(Err(_aborted))) => {}
            }
            // A renewal or revocation that this has led to is not wanted any more.
            self.upkeep.abort_all();
        }
        self.obtaining.abort_all();
        let now = Moment::now();
        let leases_until = now + until.since(now).mul_f64(revoke::LEASES_SHARE);
        let Self {
            machine,
            client,
            companion,
            ..
        } = self;
        let changed = |ledger: &Ledger| {
            // With nothing left to do, it is about to be ended.
            if let Some(companion) = companion.as_mut().filter(|_| !ledger.is_settled()) {
                companion.tell_ledger(ledger);
            }
        };
        let ledger = machine.ledger_mut();
        revoke::everything(client, ledger, leases_until, until, Backoff::SOON, changed).await;
    }

    /// Ends the companion, or leaves to it what could not be done; says what is left.
    pub fn conclude(&mut self) -> Vec<Left> {
        let now = Moment::now();
        let ledger = self.machine.ledger_mut();
        ledger.apply(Fact::Abandoned);
        // An impatient user may have ended the cleaning up before it began.
        revoke::retire_all(ledger, now);
        let left = ledger.left(now);
        let can_go_on = ledger.is_revoking(now);
        let goes_on = match self.companion.take() {
            Some(companion) if can_go_on => companion.leave_to_it(self.machine.ledger()),
            Some(companion) => {
                companion.dismiss();
                false
            }
            None => false,
        };
        wording::say_what_is_left(&left, goes_on, now);
        left
    }
}

async fn sleep_until(moment: Option<Moment>) {
    match moment {
        Some(moment) => BootClock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn ended(companion: Option<&Companion>) {
    match companion {
        Some(companion) => companion.ended().await,
        None => std::future::pending().await,
    }
}

fn resumed() -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async { BootClock.resumed().await })
}
