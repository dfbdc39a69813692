//! How work that waits hears of a signal that wants the program to end.

use std::cell::Cell;

use tokio::sync::Notify;

use crate::sys::signal::Signal;

/// Tells whoever waits that a signal wants the program to end.
#[derive(Debug, Default)]
pub struct Interrupt {
    signal: Cell<Option<Signal>>,
    tripped: Notify,
}

impl Interrupt {
    /// Says so. The first signal stays.
    pub fn trip(&self, signal: Signal) {
        if self.signal.get().is_none() {
            self.signal.set(Some(signal));
            self.tripped.notify_waiters();
        }
    }

    /// The signal, if there was one.
    #[must_use]
    pub const fn signal(&self) -> Option<Signal> {
        self.signal.get()
    }

    /// Waits for it.
    pub async fn wait(&self) -> Signal {
        loop {
            let notified = self.tripped.notified();
            if let Some(signal) = self.signal.get() {
                return signal;
            }
            notified.await;
        }
    }
}
