//! The caller's environment. The only place that reads it.

use std::ffi::OsString;

use crate::sys::own_environment;

/// Where variables are looked up. A test hands in its own.
pub trait Environment {
    /// A variable's value, in bytes as the caller had it.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// All variables, in the caller's order.
    fn all(&self) -> Vec<(OsString, OsString)>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct Inherited;

impl Environment for Inherited {
    fn variable(&self, name: &str) -> Option<OsString> {
        own_environment::variable(name)
    }

    fn all(&self) -> Vec<(OsString, OsString)> {
        own_environment::all()
    }
}

/// The arguments this process was called with, its own name first.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
#[must_use]
pub fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// An environment that a test makes up.
#[cfg(any(test, fuzzing))]
#[derive(Clone, Debug)]
pub struct Given<'a>(pub Vec<(&'a str, &'a str)>);

#[cfg(any(test, fuzzing))]
impl Environment for Given<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    }

    fn all(&self) -> Vec<(OsString, OsString)> {
        let all = self.0.iter();
        all.map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect()
    }
}
