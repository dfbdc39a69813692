//! What goes with `vaultexec check` alone.

use super::lookup::Lookup;
use super::table::{FORMAT, NO_LOGIN};
use crate::logging::Format;

/// How to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// Whether to log in.
    pub login: bool,
    /// What is printed.
    pub format: Format,
}

/// As far as the settings are sound.
pub fn check(lookup: &Lookup<'_>) -> CheckSettings {
    let format = super::gather::format(lookup, &FORMAT);
    CheckSettings {
        login: !lookup.switch(&NO_LOGIN),
        format,
    }
}
