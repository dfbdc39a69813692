//! The companion: a small process that cleans up when vaultexec is killed and cannot.
//!
//! It is started before the role id, secret id or wrapping token is read, has no terminal, no descriptor but its end of a socket,
//! and no signal reaches it but KILL. Over the socket it is told what is held. When the other end
//! closes, vaultexec has ended: if anything is held by then, it was not an orderly end, and the
//! companion gives it back. As PID 1 there is no companion: nothing outlives PID 1.

mod guard;
mod message;

use std::cell::RefCell;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use zeroize::Zeroizing;

use crate::lease::{Holding, Witness};
use crate::report::Reporter;
use crate::settings::Config;
use crate::sys::apart::{self, Apart};
use crate::sys::spawn::Child;
use crate::sys::watched::Named;
use crate::sys::{passing, process};

use message::{Held, Message};

/// vaultexec's end of the companion.
#[derive(Debug)]
pub struct Companion {
    link: RefCell<Option<Link>>,
    report: Reporter,
}

/// The companion, for as long as it is there.
#[derive(Debug)]
struct Link {
    socket: UnixStream,
    process: Apart,
}

impl Link {
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
    pub fn start(config: &Config) -> std::io::Result<Option<Self>> {
        if process::is_init() {
            return Ok(None);
        }
        let (ours, theirs) = UnixStream::pair()?;
        // A companion that does not listen must never hold up the child.
        ours.set_nonblocking(true)?;
        let secret = |name: &[u8]| crate::render::environment::is_secret(name);
        let process = apart::start(theirs, secret, |socket| guard::watch(socket, config))?;
        let socket = ours;
        Ok(Some(Self {
            link: RefCell::new(Some(Link { socket, process })),
            report: config.report,
        }))
    }

    /// Tells which child is to end if vaultexec does.
    pub fn child_started(&self, child: &Child) {
        let Named { pid, started } = child.named();
        self.tell_with(&Message::Child(pid, started), child.descriptor());
    }

    /// Asks to be woken when the child goes on or ends, while vaultexec is stopped with it: one that
    /// is stopped hears of nothing itself.
    pub fn stopping(&self) {
        self.tell(&Message::Stopping);
    }

    /// There is nobody to be woken any more.
    pub fn going_on(&self) {
        self.tell(&Message::GoingOn);
    }

    /// Ends the companion. What is still held is no longer its business.
    pub fn dismiss(&self) {
        if let Some(link) = self.link.take() {
            link.sever();
        }
    }

    fn tell(&self, message: &Message) {
        self.tell_with(message, None);
    }

    fn tell_with(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) {
        let Some(link) = self.link.take() else {
            return;
        };
        let frame = Zeroizing::new(message.to_frame());
        if passing::send(&link.socket, &frame, descriptor).is_ok() {
            self.link.replace(Some(link));
            return;
        }
        // It is gone, or has not listened for long. What it knows is not true any more, and it must
        // not act on that.
        link.sever();
        self.report.info(
            "the companion process has ended: if vaultexec is killed now, what it holds ends by itself",
        );
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Whoever panics has not cleaned up.
        if !std::thread::panicking() {
            self.dismiss();
        }
    }
}

impl Witness for Rc<Companion> {
    fn changed(&self, holdings: &[Rc<Holding>]) {
        let held = holdings
            .iter()
            .filter(|holding| !holding.is_settled() && !holding.is_beyond_reach())
            .map(|holding| Held::of(holding));
        self.tell(&Message::Held(held.collect()));
    }
}
