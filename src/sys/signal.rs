//! A signal by number, real-time signals included.

use std::fmt;

/// A valid signal number, from 1 to the system's last real-time signal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(libc::c_int);

impl Signal {
    /// Terminal hang-up, or death of the session's leader.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// The terminal's interrupt key.
    pub const INT: Self = Self(libc::SIGINT);
    /// The terminal's quit key.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// Cannot be caught: death.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// A polite request to end.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// A write to a pipe or socket that nobody reads.
    #[cfg(test)]
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// A child changed its state.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// Continue after a stop.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// Cannot be caught: stop.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// The terminal's suspend key.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// A background process reads the terminal.
    pub const TTIN: Self = Self(libc::SIGTTIN);
    /// A background process writes to the terminal.
    pub const TTOU: Self = Self(libc::SIGTTOU);
    /// Urgent data on a socket.
    pub const URG: Self = Self(libc::SIGURG);
    /// The terminal's window changed its size.
    pub const WINCH: Self = Self(libc::SIGWINCH);
    /// First of the user's own.
    #[cfg(test)]
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// Second of the user's own.
    #[cfg(test)]
    pub const USR2: Self = Self(libc::SIGUSR2);

    /// The signal with this number, if there is one. Also of those that the C library keeps for
    /// itself: a process can die of them.
    #[must_use]
    pub fn new(number: libc::c_int) -> Option<Self> {
        (1..=libc::SIGRTMAX())
            .contains(&number)
            .then_some(Self(number))
    }

    /// Every signal that a program can handle or ignore, and KILL and STOP.
    pub fn all() -> impl Iterator<Item = Self> {
        // The C libraries' threads need 32 and 33.
        (1..=31).chain(34..=libc::SIGRTMAX()).map(Self)
    }

    /// The signal's number on this system.
    #[must_use]
    pub const fn number(self) -> libc::c_int {
        self.0
    }

    /// Whether a process can have a handler for it.
    #[must_use]
    pub const fn can_be_caught(self) -> bool {
        self.0 != libc::SIGKILL && self.0 != libc::SIGSTOP
    }

    /// Whether it is what the processor raises for a fault in the program itself.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        matches!(
            self.0,
            libc::SIGSEGV
                | libc::SIGBUS
                | libc::SIGILL
                | libc::SIGFPE
                | libc::SIGTRAP
                | libc::SIGSYS
        )
    }

    /// Whether it is one of the terminal's, that stop a program which does not handle it.
    #[must_use]
    pub const fn is_stop(self) -> bool {
        matches!(self, Self::TSTP | Self::TTIN | Self::TTOU)
    }

    /// Whether it is one by which people and supervisors ask a program to end.
    #[must_use]
    pub const fn asks_to_end(self) -> bool {
        matches!(self, Self::TERM | Self::INT | Self::HUP | Self::QUIT)
    }

    /// Reads `TERM`, `SIGTERM`, `sigterm` or `15`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse() {
            return Self::new(number);
        }
        let upper = text.to_ascii_uppercase();
        let name = if upper.starts_with("SIG") {
            upper
        } else {
            format!("SIG{upper}")
        };
        Self::all().find(|signal| signal.name() == Some(name.as_str()))
    }

    fn name(self) -> Option<&'static str> {
        signal_hook::low_level::signal_name(self.0)
    }
}

/// Some of the signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The set whose bit `n - 1` is set for signal `n`.
    #[must_use]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As [`SignalSet::from_bits`] reads it: the kernel's own form.
    #[must_use]
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the signal is one of them.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << (signal.0 - 1)) != 0
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<T: IntoIterator<Item = Signal>>(signals: T) -> Self {
        Self(
            signals
                .into_iter()
                .fold(0, |bits, signal| bits | 1 << (signal.0 - 1)),
        )
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_prefix_and_as_numbers() {
        for text in ["TERM", "SIGTERM", "sigterm", " term ", "15"] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text}");
        }
        for text in ["", "0", "99", "SIG", "NOPE", "-1"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_classic_signal_has_a_name() {
        for number in (1..=31).filter(|&number| ![libc::SIGSTKFLT, libc::SIGPWR].contains(&number))
        {
            let signal = Signal::new(number).expect("a valid number");
            assert!(signal.to_string().starts_with("SIG"), "{number}: {signal}");
        }
    }
}
