//! One value that a login is made of, and where it is read again.

use std::hash::{BuildHasher as _, RandomState};

use super::source::Source;
use crate::error::Problem;
use crate::sensitive::{Kept, Sensitive};

/// Reads what is sent.
type Reading = fn(&Source) -> Result<Sensitive<String>, Problem>;

/// A value, and the source that it came from.
#[derive(Debug)]
pub struct Supply {
    source: Source,
    reading: Reading,
    value: Option<Kept>,
    /// Tells a value that was delivered anew from the one that is known, without keeping it.
    fingerprint: u64,
    keys: RandomState,
}

impl Supply {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(source: &Source, reading: Reading) -> Result<Self, Problem> {
        let value = reading(source)?;
        let keys = RandomState::new();
        Ok(Self {
            source: source.clone(),
            reading,
            fingerprint: keys.hash_one(value.expose()),
            value: Some(value.into()),
            keys,
        })
    }

    /// Reads it again, if that is possible; says whether it is another one than before. What cannot be
    /// read now leaves what is known as it was.
    pub fn look_again(&mut self) -> bool {
        if !self.source.can_be_read_again() {
            return false;
        }
        let Ok(value) = (self.reading)(&self.source) else {
            return false;
        };
        let fingerprint = self.keys.hash_one(value.expose());
        let other = fingerprint != self.fingerprint;
        self.fingerprint = fingerprint;
        self.value = Some(value.into());
        other
    }

    /// The value.
    pub const fn value(&self) -> Option<&Kept> {
        self.value.as_ref()
    }

    /// The value's text.
    pub fn expose(&self) -> Option<&str> {
        self.value.as_ref().map(Kept::expose)
    }

    /// Whether it is known, or can be read again.
    pub fn is_there(&self) -> bool {
        self.value.is_some() || self.source.can_be_read_again()
    }

    /// Forgets the value, which cannot be used again.
    pub fn forget(&mut self) {
        self.value = None;
    }

    /// Forgets the value, if it can be read again.
    pub fn forget_if_readable(&mut self) {
        if self.source.can_be_read_again() {
            self.value = None;
        }
    }

    /// The file that another one may be delivered into.
    pub fn delivered_at(&self) -> Option<String> {
        let file = self.source.file().filter(|_| self.source.is_a_place());
        file.map(|path| path.display().to_string())
    }
}
