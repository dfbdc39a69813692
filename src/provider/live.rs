//! Credentials that are kept alive, from the moment they are acquired until they are given back.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::lease::{
    Acquisition, Command, Deadline, Event as LeaseEvent, Holding, Keeper, Lease, OnServer,
};
use crate::render::postgres::Credentials;
use crate::supervise::Event;
use crate::sys::clock::Moment;
use crate::sys::timer::BootClock;

use super::issuer::Issuer;

/// A token and a lease with the task that renews them. What is dropped is not renewed any more, and
/// its end is no news.
#[derive(Debug)]
pub struct Live {
    /// The token.
    pub holding: Rc<Holding>,
    /// The lease; a static role has none.
    pub lease: Option<Rc<Lease>>,
    /// When it was acquired.
    pub since: Moment,
    commands: mpsc::UnboundedSender<Command>,
    keeper: JoinHandle<()>,
    /// The keeper's events, until somebody wants them.
    events: Option<mpsc::UnboundedReceiver<LeaseEvent>>,
    passing_on: Option<JoinHandle<()>>,
    deadline: Rc<Cell<Option<Deadline>>>,
}

impl Live {
    /// Begins to keep alive what was acquired.
    pub fn keep(acquisition: Acquisition, issuer: &Issuer) -> (Credentials, Self) {
        let schedule = acquisition.schedule(issuer.config.lease_ttl);
        let Acquisition {
            holding,
            lease,
            credentials,
        } = acquisition;
        let (commands, told) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let keeper = Keeper {
            renewer: OnServer {
                client: Rc::clone(&issuer.client),
                holding: Rc::clone(&holding),
                lease: lease.clone(),
            },
            schedule,
            clock: BootClock,
            report: issuer.config.report,
            commands: told,
            events: sender,
            told_end: false,
        };
        let live = Self {
            holding,
            lease,
            since: Moment::now(),
            commands,
            keeper: tokio::task::spawn_local(keeper.run()),
            events: Some(events),
            passing_on: None,
            deadline: Rc::default(),
        };
        (credentials, live)
    }

    /// A child has these credentials now: what becomes of them is passed on, and so is what has
    /// become of them already.
    pub fn pass_on(&mut self, news: mpsc::UnboundedSender<Event>) {
        let Some(mut events) = self.events.take() else {
            return;
        };
        let known = Rc::clone(&self.deadline);
        self.passing_on = Some(tokio::task::spawn_local(async move {
            while let Some(event) = events.recv().await {
                let (deadline, event) = match event {
                    LeaseEvent::Expiring(deadline) => (deadline, Event::Expiring),
                    LeaseEvent::Expired(deadline) => (deadline, Event::Expired),
                };
                known.set(Some(deadline));
                let _heard = news.send(event);
            }
        }));
    }

    /// Tells the keeper.
    pub fn tell(&self, command: Command) {
        let _heard = self.commands.send(command);
    }

    /// The deadline that was last passed on.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline.get()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Some(passing_on) = &self.passing_on {
            passing_on.abort();
        }
    }
}
