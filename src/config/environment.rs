//! The caller's environment. The only place that reads it.

use std::ffi::OsString;

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
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn all(&self) -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }
}

/// The arguments this process was called with, its own name first.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
#[must_use]
pub fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// An environment that a test makes up.
#[cfg(test)]
#[derive(Clone, Debug)]
pub struct Given<'a>(pub Vec<(&'a str, &'a str)>);

#[cfg(test)]
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
