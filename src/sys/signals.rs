//! Every signal that reaches vaultexec, with who sent it, in the order of arrival.
//!
//! The handlers write a small record to a pipe, which the event loop reads. The record keeps
//! `siginfo`'s code and sender: whether the kernel (a terminal key) or a process sent a signal is
//! a fact to be read, not something to be guessed.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::io::unix::AsyncFd;

use super::mask::{
    empty_set, handle_alone, raise, restore, set_disposition, unblock_all, with_blocked,
};
use super::reap::Pid;
use super::signal::Signal;

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel: a key of the terminal, a hang-up, a timer, a limit.
    Kernel,
    /// A process, by its id; 0 when it lives outside this PID namespace.
    Process(Pid),
    /// vaultexec itself, by writing to a pipe that nobody reads.
    Ourselves,
}

/// A signal that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which one.
    pub signal: Signal,
    /// Who sent it.
    pub origin: Origin,
}

impl Received {
    /// Whether the sender may be about to send the same once more: `timeout` sends it to its child
    /// and then to its whole group.
    const fn may_be_repeated(self) -> bool {
        self.signal.asks_to_end() && matches!(self.origin, Origin::Process(_))
    }
}

/// How long to wait for the same signal from the same sender. The kernel makes one of two that come
/// before the first one is taken; so does this, since many programs take a second one as "now".
const REPEATED_WITHIN: Duration = Duration::from_millis(5);

/// Where the handlers write to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// What a handler writes: the signal, `si_code`, the sender.
const RECORD: usize = 3 * size_of::<i32>();

/// The signals of this process from the time this exists.
#[derive(Debug)]
pub struct Signals {
    pipe: AsyncFd<OwnedFd>,
    arrived: VecDeque<Received>,
}

impl Signals {
    /// Installs a handler for every signal that can be caught, and unblocks them all: what was
    /// ignored or blocked by the caller is the child's business, and it is restored there.
    ///
    /// # Errors
    /// When the system refuses a pipe or a handler. Needs a running tokio runtime.
    pub fn install() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // The handlers outlive everything, and so must the descriptor that they write to.
        PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
        // And so must a reader, which nobody reads: a write without one raises SIGPIPE, whose
        // handler writes, without end.
        let _kept = reader.try_clone()?.into_raw_fd();
        for signal in Signal::all().filter(|signal| signal.can_be_caught()) {
            handle_alone(signal, record)?;
        }
        unblock_all()?;
        // SAFETY: an owned descriptor stays open and the same for as long as it is registered.
        let pipe = unsafe { AsyncFd::register(reader) }?;
        Ok(Self {
            pipe,
            arrived: VecDeque::new(),
        })
    }

    /// The next signal. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Received {
        loop {
            if let Some(received) = self.try_next() {
                return received;
            }
            self.arrival().await;
        }
    }

    /// The next signal, once it is known whether its sender has sent it twice: for passing it on.
    /// Nothing is lost when the future is dropped.
    pub async fn next_to_pass_on(&mut self) -> Received {
        loop {
            self.collect();
            let Some(first) = self.arrived.front() else {
                self.arrival().await;
                continue;
            };
            if first.may_be_repeated() {
                tokio::time::sleep(REPEATED_WITHIN).await;
            }
            if let Some(received) = self.try_next() {
                return received;
            }
        }
    }

    /// Waits until a handler has written something.
    async fn arrival(&mut self) {
        match self.pipe.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            // The runtime is shutting down: there will be no further signal.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Whether a signal that `matters` has come and not been reported yet. While signals are
    /// blocked, that includes those that wait in the kernel.
    pub fn any_before_fork(&mut self, matters: impl Fn(Received) -> bool) -> bool {
        self.collect();
        let mut pending = empty_set();
        // SAFETY: the set is valid for writing.
        unsafe { libc::sigpending(&raw mut pending) };
        let waiting = Signal::all()
            // SAFETY: the set is valid and the number in range.
            .filter(|signal| unsafe { libc::sigismember(&raw const pending, signal.number()) } == 1)
            .map(|signal| Received {
                signal,
                origin: Origin::Kernel,
            });
        self.arrived.iter().copied().chain(waiting).any(matters)
    }

    /// The next signal, if there is one now.
    pub fn try_next(&mut self) -> Option<Received> {
        self.collect();
        let next = self.arrived.pop_front()?;
        if next.may_be_repeated() {
            self.arrived.retain(|later| *later != next);
        }
        Some(next)
    }

    /// Forgets what has come so far.
    pub fn forget(&mut self) {
        self.collect();
        self.arrived.clear();
    }

    /// Stops this process by `signal`, as the shell that watches it expects, and comes back when
    /// something continues it. Says whether it was stopped: in a process group that nobody could
    /// continue, the kernel ignores the terminal's stop signals.
    ///
    /// The CONT that ends the stop is not reported by [`Signals::next`]. One that has arrived and
    /// not been reported yet ends it before it begins.
    pub fn stop_ourselves(&mut self, signal: Signal) -> bool {
        // A stop by STOP would hold in an orphaned group too, for ever: nobody is told of it.
        let signal = if signal == Signal::STOP {
            Signal::TSTP
        } else {
            signal
        };
        let Ok(handler) = set_disposition(signal, libc::SIG_DFL) else {
            return false;
        };
        with_blocked(signal, || {
            // First, so that a CONT that comes from now on takes it back: the kernel does that.
            raise(signal);
            self.collect();
            if self.position(Signal::CONT).is_some() {
                // To ignore a signal discards it where it is pending: nothing stops any more.
                let _before = set_disposition(signal, libc::SIG_IGN);
            }
            // As soon as it is no longer blocked, the stop takes place.
        });
        restore(signal, &handler);
        self.collect();
        let continued = self.position(Signal::CONT);
        if let Some(index) = continued {
            self.arrived.remove(index);
            // What asked for a stop before the CONT has been overtaken by it, as the kernel has it
            // with stops that are pending. A reader in the background asks again and again.
            let mut before = index;
            self.arrived.retain(|received| {
                let overtaken = before > 0 && received.signal.is_stop();
                before = before.saturating_sub(1);
                !overtaken
            });
        }
        continued.is_some()
    }

    fn position(&self, signal: Signal) -> Option<usize> {
        self.arrived
            .iter()
            .position(|received| received.signal == signal)
    }

    fn collect(&mut self) {
        let mut buffer = [0u8; RECORD * 64];
        while let Ok(count @ 1..) = nix::unistd::read(self.pipe.get_ref(), &mut buffer) {
            let full = count == buffer.len();
            self.arrived.extend(
                buffer
                    .chunks_exact(RECORD)
                    .take(count / RECORD)
                    .filter_map(decode),
            );
            if !full {
                break;
            }
        }
    }
}

/// The handler of every signal. It only calls functions that are async-signal-safe.
extern "C" fn record(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let saved = Errno::last_raw();
    // SAFETY: the kernel passes a valid one to a handler that has asked for it.
    let info = unsafe { &*info };
    let fault = Signal::new(info.si_signo).is_some_and(Signal::is_fault) && info.si_code > 0;
    if fault {
        // Our own fault, not a message: die of it as any program would.
        let _never_returns = signal_hook::low_level::emulate_default_handler(info.si_signo);
    }
    // SAFETY: for a signal that a process sent, the sender is there; for others it is not used.
    let sender = unsafe { info.si_pid() };
    let mut bytes = [0u8; RECORD];
    for (chunk, number) in bytes
        .chunks_exact_mut(4)
        .zip([info.si_signo, info.si_code, sender])
    {
        chunk.copy_from_slice(&number.to_ne_bytes());
    }
    // SAFETY: `bytes` is valid for reading its own length. A full pipe loses the record, after
    // thousands that the event loop has not got round to: blocking here would be worse.
    unsafe {
        libc::write(
            PIPE.load(Ordering::Relaxed),
            bytes.as_ptr().cast(),
            bytes.len(),
        )
    };
    Errno::set_raw(saved);
}

fn decode(bytes: &[u8]) -> Option<Received> {
    let mut numbers = bytes
        .chunks_exact(4)
        .filter_map(|chunk| chunk.try_into().ok().map(i32::from_ne_bytes));
    let signal = Signal::new(numbers.next()?)?;
    let (code, sender) = (numbers.next()?, numbers.next()?);
    // By POSIX, codes up to zero say that a process sent it.
    let origin = if code > 0 {
        Origin::Kernel
    } else if sender == nix::unistd::getpid().as_raw() {
        Origin::Ourselves
    } else {
        Origin::Process(sender)
    };
    Some(Received { signal, origin })
}
