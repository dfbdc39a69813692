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

impl Problem {
    /// What is wrong with a setting, in words that hold no secret.
    pub fn new(setting: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            words: words.into(),
        }
    }
}

/// What is wrong with a value that has a shell's quotes around it, if it has: nobody means them.
#[must_use]
pub fn quotes(text: &str) -> Option<&'static str> {
    let around = |quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    (around('"') || around('\'')).then_some(
        "it stands in quotes, which are part of it: take them away (a shell removes them, docker's --env-file does \
         not)",
    )
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.setting, self.words)
    }
}
