//! Why there are no new credentials, and whether there may be some later.

use std::time::Duration;

use crate::error::Error;
use crate::vault::{Backoff, Retry};

/// Why there are no new credentials.
#[derive(Debug)]
pub struct Unobtained {
    /// Why.
    pub error: Error,
    /// Whether another try may succeed.
    pub again: bool,
}

impl Unobtained {
    /// Another try may succeed.
    pub const fn now(error: Error) -> Self {
        Self { error, again: true }
    }

    /// There will be none, in words.
    pub const fn never(words: String) -> Self {
        Self {
            error: Error::Irreplaceable(words),
            again: false,
        }
    }

    /// How long to wait before it is tried again, when it was tried so many times before.
    pub fn delay(&self, tries: u32, chance: f64) -> Duration {
        match &self.error {
            Error::Server { failure, .. } => Retry::delay(failure, tries, chance),
            _ => Backoff::PATIENT.delay(tries, chance),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        self.error.to_string()
    }

    /// Whether a signal was the reason.
    pub const fn interrupted(&self) -> bool {
        matches!(self.error, Error::Interrupted(_))
    }
}
