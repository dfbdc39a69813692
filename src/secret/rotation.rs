//! The password of a static role: it has no lease, and the server changes it now and then.

use std::time::Duration;

use crate::sys::clock::Moment;
use crate::vault::{Document, Failure};

/// What an answer says of the password in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// When it was made, in the server's words: another password has another one.
    pub made: String,
    /// When that was read.
    pub read_at: Moment,
    /// How long it holds from then, in whole seconds.
    pub ttl: Duration,
}

impl Rotation {
    /// Looks for what static roles of databases and of LDAP say.
    ///
    /// # Errors
    /// [`Failure::Malformed`], which names the field.
    pub fn read(document: &Document, now: Moment) -> Result<Option<Self>, Failure> {
        if !document.has("data.last_vault_rotation") || !document.has("data.ttl") {
            return Ok(None);
        }
        Ok(Some(Self {
            made: document.text("data.last_vault_rotation")?.to_owned(),
            read_at: now,
            ttl: document.seconds("data.ttl")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<Rotation>, Failure> {
        let document = Document::parse(json.as_bytes()).expect("JSON");
        Rotation::read(&document, Moment::since_boot(Duration::ZERO))
    }

    #[test]
    fn only_what_says_when_it_is_changed_is_watched() {
        let found = read(r#"{"data": {"last_vault_rotation": "2026-01-01T00:00:00Z", "ttl": 7}}"#);
        let found = found.expect("sound").expect("a rotation");
        assert_eq!(
            (found.made.as_str(), found.ttl.as_secs()),
            ("2026-01-01T00:00:00Z", 7)
        );
        for other in [
            r#"{"data": {"ttl": 7}}"#,
            r#"{"data": {"last_vault_rotation": "x"}}"#,
            "{}",
        ] {
            assert_eq!(read(other).expect("sound"), None);
        }
        for wrong in [
            r#"{"data": {"last_vault_rotation": 5, "ttl": 7}}"#,
            r#"{"data": {"last_vault_rotation": "x", "ttl": "hunter2"}}"#,
        ] {
            let message = read(wrong).expect_err(wrong).to_string();
            assert!(
                message.contains("data.") && !message.contains("hunter2"),
                "{message}"
            );
        }
    }
}
