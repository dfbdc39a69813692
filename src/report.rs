//! The only writer to standard error.
//!
//! Nothing of ours ever goes to standard output, which is the child's. Text that came from outside
//! is escaped, so that a server cannot drive the terminal.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use serde::Serialize;

use crate::sys::mask::without_ttou;
use crate::sys::output::write_to_stderr;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// vaultexec gives up.
    Error,
    /// Something a person should look at. The default level.
    Warn,
    /// What vaultexec does.
    Info,
    /// How it does it.
    Debug,
    /// Every request.
    Trace,
}

impl Level {
    /// All levels, the most important first.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];

    /// The level's name, as it is given and as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `vaultexec: message`, for people.
    Text,
    /// One JSON object a line, with `time`, `level`, `message` and, if there is one, `hint`.
    Json,
}

/// Writes lines of up to a level, in a format.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    /// The least important level that is written.
    pub level: Level,
    /// The form of the lines.
    pub format: Format,
}

impl Default for Reporter {
    fn default() -> Self {
        Self {
            level: Level::Warn,
            format: Format::Text,
        }
    }
}

impl Reporter {
    /// A reason to give up.
    pub fn error(self, message: impl fmt::Display, hint: Option<&str>) {
        self.line(Level::Error, &message, hint);
    }

    /// Something a person should look at.
    pub fn warn(self, message: impl fmt::Display) {
        self.line(Level::Warn, &message, None);
    }

    /// Something a person should look at, and what to do about it.
    pub fn warn_with(self, message: impl fmt::Display, hint: &str) {
        self.line(Level::Warn, &message, Some(hint));
    }

    /// What is done.
    pub fn info(self, message: impl fmt::Display) {
        self.line(Level::Info, &message, None);
    }

    /// How it is done.
    pub fn debug(self, message: impl fmt::Display) {
        self.line(Level::Debug, &message, None);
    }

    /// Every single step.
    pub fn trace(self, message: impl fmt::Display) {
        self.line(Level::Trace, &message, None);
    }

    fn line(self, level: Level, message: &dyn fmt::Display, hint: Option<&str>) {
        if level > self.level {
            return;
        }
        let line = render(
            self.format,
            level,
            &message.to_string(),
            hint,
            SystemTime::now(),
        );
        // One write a line, so that lines of several processes do not mix. A standard error that
        // is closed or full is no reason to stop: whatever is to be cleaned up still is.
        without_ttou(|| write_to_stderr(line.as_bytes()));
    }
}

/// A line as an object.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// One line, or two with a hint, ready to be written.
fn render(
    format: Format,
    level: Level,
    message: &str,
    hint: Option<&str>,
    now: SystemTime,
) -> String {
    let mut line = match format {
        Format::Text => {
            let mut text = format!("vaultexec: {}", escape(message));
            if let Some(hint) = hint {
                // Writing to a string cannot fail.
                let _written = write!(text, "\nhint: {}", escape(hint));
            }
            text
        }
        Format::Json => {
            let time = humantime::format_rfc3339_millis(now).to_string();
            let line = Line {
                time,
                level: level.name(),
                message,
                hint,
            };
            // Text and no map with odd keys: this cannot fail.
            let line = serde_json::to_string(&line).unwrap_or_default();
            line.chars().map(json_escape).collect()
        }
    };
    line.push('\n');
    line
}

/// The text with control characters made visible; line breaks stay.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hostile(character) && character != '\n' {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A character of a JSON text, which has its own way to write those that a terminal would obey; JSON
/// itself asks for that with the first 32 only.
fn json_escape(character: char) -> String {
    if is_hostile(character) {
        format!("\\u{:04x}", u32::from(character))
    } else {
        character.to_string()
    }
}

/// Whether a terminal would do something else with it than to show it. Characters that change the
/// direction of writing can make a line read differently.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_hint_on_its_own_line() {
        let line = render(
            Format::Text,
            Level::Error,
            "cannot log in",
            Some("try again"),
            SystemTime::UNIX_EPOCH,
        );
        assert_eq!(line, "vaultexec: cannot log in\nhint: try again\n");
    }

    #[test]
    fn json_is_one_line_with_everything_in_fields() {
        let line = render(
            Format::Json,
            Level::Warn,
            "two\nlines \"quoted\"",
            Some("h"),
            SystemTime::UNIX_EPOCH,
        );
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).expect("one object");
        assert_eq!(object["level"], "warn");
        assert_eq!(object["message"], "two\nlines \"quoted\"");
        assert_eq!(object["hint"], "h");
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let hostile = "a\u{9b}31mred\u{202e}gnp";
        let line = render(
            Format::Json,
            Level::Warn,
            hostile,
            None,
            SystemTime::UNIX_EPOCH,
        );
        assert!(!line.trim_end().chars().any(is_hostile), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).expect("one object");
        assert_eq!(object["message"], hostile);
        let escaped = escape("a\u{1b}[31mred\r\u{202e}gnp.\u{9b}x\ny");
        assert_eq!(escaped, "a\\u{1b}[31mred\\r\\u{202e}gnp.\\u{9b}x\ny");
    }
}
