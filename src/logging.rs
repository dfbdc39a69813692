//! The only writer to standard error: what is logged by the `log` crate's macros ends up here.
//!
//! Nothing of ours ever goes to standard output, which is the child's. Text that came from outside
//! is escaped, so that a server cannot drive the terminal or forge a line.
//!
//! A record's key-value pairs are the fields of its JSON line (see the reference in the docs); of
//! them only `hint` is shown in text.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::colour::{self, Colour};
use crate::environment::Inherited;
use crate::redaction::redact;
use crate::sys::mask::without_ttou;
use crate::sys::output::write_to_stderr;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `vaultexec: message`, for people, with a `hint: …` line below where there is one.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The least important level that is written.
    pub level: LevelFilter,
    /// The form of the lines.
    pub format: Format,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LevelFilter::Warn,
            format: Format::Text,
        }
    }
}

static JSON: AtomicBool = AtomicBool::new(false);
static COLOUR: AtomicBool = AtomicBool::new(false);

impl Logging {
    /// Begins to log, or goes on in this way.
    pub fn start(self) {
        JSON.store(self.format == Format::Json, Ordering::Relaxed);
        let colour = colour::wanted(std::io::stderr().is_terminal(), &Inherited);
        COLOUR.store(colour, Ordering::Relaxed);
        // It fails where there is a logger already, which is this one.
        let _first = log::set_logger(&Stderr);
        log::set_max_level(self.level);
    }
}

/// Nothing is logged any more: for a process that has nobody to tell.
pub fn silence() {
    log::set_max_level(LevelFilter::Off);
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // A library may log what it sends.
        metadata.target().starts_with("vaultexec")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        // Collecting cannot fail.
        let _visited = record.key_values().visit(&mut fields);
        let message = redact(&record.args().to_string());
        write(&if JSON.load(Ordering::Relaxed) {
            json(record.level(), &message, fields, SystemTime::now())
        } else {
            let colour = COLOUR
                .load(Ordering::Relaxed)
                .then(|| match record.level() {
                    Level::Error => Colour::Red,
                    Level::Warn => Colour::Yellow,
                    _ => Colour::Cyan,
                });
            text(&message, fields.hint(), colour)
        });
    }

    fn flush(&self) {}
}

/// One write a line, so that lines of several processes do not mix. A standard error that is closed
/// or full is no reason to stop: whatever is to be cleaned up still is.
fn write(line: &str) {
    without_ttou(|| write_to_stderr(line.as_bytes()));
}

/// The key-value pairs of a record, in its order.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn hint(&self) -> Option<&str> {
        let hint = self.0.iter().find(|(name, _)| name == "hint");
        hint.map(|(_, value)| value.as_str())
    }
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        let value = redact(&value.to_string());
        // What does not apply is left out.
        if !value.is_empty() {
            self.0.push((key.to_string(), value));
        }
        Ok(())
    }
}

/// One line, or two with a hint.
fn text(message: &str, hint: Option<&str>, colour: Option<Colour>) -> String {
    let paint = |name: &str| colour.map_or_else(|| name.to_owned(), |colour| colour.paint(name));
    let mut text = format!("{} {}\n", paint("vaultexec:"), escape(message));
    if let Some(hint) = hint {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{} {}", paint("hint:"), escape(hint));
    }
    text
}

/// One object with `time`, `level`, the record's fields, and `message`.
fn json(level: Level, message: &str, fields: Fields, now: SystemTime) -> String {
    let mut object = serde_json::Map::new();
    let time = humantime::format_rfc3339_millis(now).to_string();
    object.insert("time".to_owned(), time.into());
    let level = level.as_str().to_ascii_lowercase();
    object.insert("level".to_owned(), level.into());
    object.insert("message".to_owned(), message.into());
    object.insert("event".to_owned(), "note".into());
    for (name, value) in fields.0 {
        object.insert(name, value.into());
    }
    json_line(object)
}

/// An object on a line of its own, with everything escaped that a terminal would obey.
pub fn json_line(object: serde_json::Map<String, serde_json::Value>) -> String {
    let line = serde_json::Value::Object(object).to_string();
    let mut line: String = line.chars().map(json_escape).collect();
    line.push('\n');
    line
}

/// The text with everything made visible that a terminal would obey, or that makes a line read
/// differently.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hostile(character) {
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
    let mut units = [0u16; 2];
    if is_hostile(character) {
        let units = character.encode_utf16(&mut units);
        units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
    } else {
        character.to_string()
    }
}

/// Whether it is a control or format character, or separates lines or paragraphs: Unicode's
/// categories Cc, Cf, Zl and Zp.
pub(crate) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_hint_on_its_own_line() {
        let line = text("cannot log in", Some("try again"), None);
        assert_eq!(line, "vaultexec: cannot log in\nhint: try again\n");
    }

    #[test]
    fn json_is_one_line_with_everything_in_fields() {
        let hint = Fields(vec![("hint".to_owned(), "h".to_owned())]);
        let message = "two\nlines \"quoted\"";
        let line = json(Level::Warn, message, hint, SystemTime::UNIX_EPOCH);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).expect("one object");
        assert_eq!(object["level"], "warn");
        assert_eq!(object["message"], message);
        assert_eq!(object["hint"], "h");
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn control_and_format_characters_never_reach_the_terminal() {
        let hostile = "a\u{9b}31mred\u{202e}gnp\u{2028}\u{200b}\u{feff}\u{61c}\u{e0041}";
        let line = json(
            Level::Warn,
            hostile,
            Fields::default(),
            SystemTime::UNIX_EPOCH,
        );
        assert!(!line.trim_end().chars().any(is_hostile), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).expect("one object");
        assert_eq!(object["message"], hostile);
        let shown = text("a\u{1b}[31mred\r\u{202e}gnp.\u{2029}x\ny", None, None);
        assert_eq!(
            shown,
            "vaultexec: a\\u{1b}[31mred\\r\\u{202e}gnp.\\u{2029}x\\ny\n"
        );
    }
}
