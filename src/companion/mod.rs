//! The companion: a small process that cleans up when vaultexec is killed and cannot.
//!
//! It is started before the role id, secret id or wrapping token is read, has no terminal, no descriptor but its end of a socket,
//! and no signal reaches it but KILL. Over the socket it is told what is held. When the other end
//! closes, vaultexec has ended: if anything is held by then, it was not an orderly end, and the
//! companion gives it back. As PID 1 there is no companion: nothing outlives PID 1.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod message;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::ledger::Ledger;
use crate::settings::Config;
use crate::sys::apart::{self, Apart};
use crate::sys::spawn::Child;
use crate::sys::watched::Named;
use crate::sys::{passing, process};

use message::Outgoing;

/// vaultexec's end of the companion.
#[derive(Debug)]
pub struct Companion {
    config: Rc<Config>,
    link: Option<Link>,
    /// What it was told, for the next one should it be killed.
    ledger: Ledger,
    child: Option<(Named, Option<OwnedFd>)>,
}

/// The companion, for as long as it is there.
#[derive(Debug)]
struct Link {
    socket: UnixStream,
    process: Apart,
    /// Whether it has missed a message, and was killed for that.
    deaf: bool,
}

impl Link {
    fn start(config: &Config) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        // A companion that does not listen must never hold up the child.
        socket.set_nonblocking(true)?;
        let process = apart::start(theirs, |socket| guard::watch(socket, config))?;
        Ok(Self {
            socket,
            process,
            deaf: false,
        })
    }

    /// Ends the process first: it must not take the closing of the socket for vaultexec's own end.
    fn sever(self) {
        self.process.end();
        drop(self.socket);
    }
}

impl Companion {
    /// Starts the companion, unless this is PID 1. Must be called before there is a second thread
    /// or a secret in memory.
    ///
    /// # Errors
    /// When the system has no process or descriptor to give.
    pub fn start(config: &Rc<Config>) -> io::Result<Option<Self>> {
        if process::is_init() {
            return Ok(None);
        }
        Ok(Some(Self {
            link: Some(Link::start(config)?),
            config: Rc::clone(config),
            ledger: Ledger::default(),
            child: None,
        }))
    }

    /// Waits until it has ended, which it should not.
    pub async fn ended(&self) {
        match &self.link {
            Some(link) => link.process.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Starts another one in its place, which is told what this one was; says whether that could be
    /// done now.
    pub fn start_again(&mut self) -> bool {
        self.sever();
        // A name that is being looked up has a thread of its own.
        if !apart::is_alone() {
            return false;
        }
        let Ok(link) = Link::start(&self.config) else {
            return false;
        };
        self.link = Some(link);
        let ledger = std::mem::take(&mut self.ledger);
        self.tell_ledger(&ledger);
        if let Some((named, descriptor)) = self.child.take() {
            self.tell_child(&named, descriptor.as_ref().map(AsFd::as_fd));
            self.child = Some((named, descriptor));
        }
        true
    }

    /// Tells which child is to end if vaultexec does.
    pub fn child_begins(&mut self, child: &Child) {
        let named = child.named();
        let descriptor = child.descriptor();
        self.tell_child(&named, descriptor);
        let own = descriptor.and_then(|descriptor| descriptor.try_clone_to_owned().ok());
        self.child = Some((named, own));
    }

    fn tell_child(&mut self, named: &Named, descriptor: Option<BorrowedFd<'_>>) {
        let message = Outgoing::Child(named.pid, named.started.clone());
        self.tell_with(&message, descriptor);
    }

    /// Asks to be woken when the child goes on or ends, while vaultexec is stopped with it: one that
    /// is stopped hears of nothing itself.
    pub fn stopping(&mut self) {
        self.tell_with(&Outgoing::Stopping, None);
    }

    /// There is nobody to be woken any more.
    pub fn going_on(&mut self) {
        self.tell_with(&Outgoing::GoingOn, None);
    }

    /// Tells what is held now, if that is news.
    pub fn tell_ledger(&mut self, ledger: &Ledger) {
        if self.ledger != *ledger {
            self.ledger.clone_from(ledger);
            self.tell_with(&Outgoing::Ledger(ledger), None);
        }
    }

    /// Ends the companion. What is still held is no longer its business.
    pub fn dismiss(mut self) {
        self.sever();
    }

    /// Lets it go on with what is held when this process has ended; says whether it is there to do so.
    pub fn leave_to_it(mut self, ledger: &Ledger) -> bool {
        self.tell_ledger(ledger);
        // Closing the socket tells it.
        self.link.take().is_some_and(|link| !link.deaf)
    }

    fn tell_with(&mut self, message: &Outgoing<'_>, descriptor: Option<BorrowedFd<'_>>) {
        let Some(link) = &mut self.link else {
            return;
        };
        if passing::send(&link.socket, &message.to_frame(), descriptor).is_err() {
            // It is gone, or has not listened for long. What it knows is not true any more, and it
            // must not act on that.
            link.process.kill();
            link.deaf = true;
        }
    }

    fn sever(&mut self) {
        if let Some(link) = self.link.take() {
            link.sever();
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Whoever panics has not cleaned up.
        if !std::thread::panicking() {
            self.sever();
        }
    }
}
