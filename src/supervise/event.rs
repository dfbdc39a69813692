//! What happens, and what is done about it.

use std::time::Duration;

use crate::exit::Exit;
use crate::sys::reap::Change;
use crate::sys::signal::Signal;
use crate::sys::signals::Received;

use super::policy::Topology;

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A signal has arrived.
    Signal(Received, Topology),
    /// The child has changed its state.
    Child(Change),
    /// vaultexec itself was stopped, and goes on.
    Resumed {
        /// Whether the child has changed its state meanwhile: then it was continued as well, even
        /// if it has stopped again since.
        child_too: bool,
    },
    /// The credentials cannot be extended much longer.
    Expiring,
    /// The credentials are about to end, and there are no others.
    LastCall,
    /// The credentials have ended.
    Expired,
    /// New credentials are there.
    Acquired,
    /// There are no new credentials; whether it makes sense to try again.
    NotAcquired {
        /// Whether another try may succeed.
        again: bool,
    },
    /// The time is up that a child has to end when it is told to.
    StopTimedOut,
    /// The system has refused to send the child a signal.
    Refused(Refusal),
}

/// A signal that the child may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which one.
    pub signal: Signal,
    /// The user the child runs as, where that can be told.
    pub child: Option<u32>,
    /// The user that vaultexec runs as.
    pub ours: u32,
}

/// Something to be done. Carried out in the order given.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the child this signal.
    Signal(Signal),
    /// Stop vaultexec itself, as the child is stopped.
    StopOurselves(Signal),
    /// Renew at once: time has passed unseen.
    LookAtLease,
    /// Get new credentials.
    Acquire,
    /// The credentials will be said to expire again, later.
    RetryLater,
    /// Tell the child to end, and start the time it has for that.
    StopChild,
    /// Kill the child, unless it ends within this time.
    KillIn(Duration),
    /// Kill the child, and tell the user.
    Kill,
    /// Start the command anew with the new credentials, and give the old ones back.
    StartChild,
    /// Replace the file that has the credentials, and give the old ones back a little later.
    HandOver,
    /// Tell the user.
    Say(Saying),
    /// It is over.
    Finish(Exit),
}

/// What the user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// The credentials will end, and nothing is done about it.
    WillExpire,
    /// The credentials will end, and new ones cannot be had.
    CannotReplace,
    /// The credentials have ended.
    HaveExpired,
    /// The child is being restarted with new credentials.
    Restarting,
    /// The child is told to end, because its credentials will.
    Stopping,
    /// The child was sent a signal, because its credentials will end.
    Signalled(Signal),
    /// The child did not end in time, and was killed.
    Killing,
    /// The child may not be sent a signal.
    Refused(Refusal),
}
