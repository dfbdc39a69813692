//! One setting that is missing or wrong.

use std::fmt;

/// A setting by its names, and what is wrong with it and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's flag and variable, as the user would write them.
    pub setting: String,
    /// What is wrong, and what would be right. Never the value of a secret.
    pub words: String,
}

/// Makes a [`Problem`].
pub fn problem(setting: impl Into<String>, words: impl Into<String>) -> Problem {
    Problem {
        setting: setting.into(),
        words: words.into(),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.setting, self.words)
    }
}
