//! An answer's JSON, read field by field.
//!
//! An error names the field and what is wrong with it, never what it holds, which a general
//! deserialiser's errors would. The text is wiped when the document is dropped.

use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroize as _;

use super::failure::Failure;
use crate::redaction;
use crate::sensitive::Sensitive;

/// Of a field that may be anything, a shorter value can be an ordinary word, which logs need.
const LONG: usize = 12;
/// No secret has more fields: each is entered where it is not to be logged.
const MOST_FIELDS: usize = 1024;
/// No field has a longer name, in bytes.
const LONGEST_NAME: usize = 256;

/// No duration of the API is longer: larger numbers would only overflow the sums made with them.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A JSON document from the server. An empty answer is `null`.
pub struct Document(Value);

impl Document {
    /// Reads an answer's body.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is not JSON.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Value::Null));
        }
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|_| Failure::malformed("a body", "that is not JSON"))
    }

    fn find(&self, field: &str) -> Option<&Value> {
        let found = field
            .split('.')
            .try_fold(&self.0, |value, name| value.get(name));
        found.filter(|value| !value.is_null())
    }

    /// Whether a field is there.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.find(field).is_some()
    }

    /// A text that must be there, named by its path, as in `data.username`.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is missing, no text, empty, or holds a NUL.
    pub fn text(&self, field: &str) -> Result<&str, Failure> {
        let value = self
            .find(field)
            .ok_or_else(|| Failure::malformed(format!("no `{field}`"), "in it"))?;
        let name = || format!("a `{field}`");
        let text = value
            .as_str()
            .ok_or_else(|| Failure::malformed(name(), "that is not a text"))?;
        if text.is_empty() {
            return Err(Failure::malformed(name(), "that is empty"));
        }
        if text.contains('\0') {
            return Err(Failure::malformed(name(), "that holds a NUL"));
        }
        Ok(text)
    }

    /// A secret text that must be there.
    ///
    /// # Errors
    /// As [`Document::text`].
    pub fn secret(&self, field: &str) -> Result<Sensitive<String>, Failure> {
        let text = self.text(field)?;
        redaction::enter(text);
        Ok(Sensitive::from(text))
    }

    /// Every field of an object, as text: a number and the like as JSON has it, lists and objects as
    /// JSON. What is null is left out.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is missing or no object, or a text in it holds a NUL.
    pub fn secrets(&self, field: &str) -> Result<Vec<(String, Sensitive<String>)>, Failure> {
        let object = self
            .find(field)
            .and_then(Value::as_object)
            .ok_or_else(|| Failure::malformed(format!("a `{field}`"), "that is not an object"))?;
        if object.len() > MOST_FIELDS || object.keys().any(|name| name.len() > LONGEST_NAME) {
            return Err(Failure::malformed(
                format!("a `{field}`"),
                "with more fields, or longer names, than anybody would use",
            ));
        }
        let present = object.iter().filter(|(_, value)| !value.is_null());
        let fields = present.map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let text = Sensitive::new(text);
            if name == "password" || name != "username" && text.expose().len() >= LONG {
                redaction::enter(text.expose());
            }
            if name.contains('\0') || text.expose().contains('\0') {
                return Err(Failure::malformed(
                    format!("a `{field}`"),
                    "that holds a NUL",
                ));
            }
            Ok((name.clone(), text))
        });
        fields.collect()
    }

    /// A text that may be missing or empty; empty if it is missing.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is something else, or holds a control character.
    pub fn text_or_empty(&self, field: &str) -> Result<&str, Failure> {
        let name = || format!("a `{field}`");
        let text = self.find(field).map_or(Ok(""), |value| {
            value
                .as_str()
                .ok_or_else(|| Failure::malformed(name(), "that is not a text"))
        })?;
        if text.contains(char::is_control) {
            return Err(Failure::malformed(name(), "that holds a control character"));
        }
        Ok(text)
    }

    /// A yes or no; no if it is missing.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is something else.
    pub fn flag(&self, field: &str) -> Result<bool, Failure> {
        self.find(field).map_or(Ok(false), |value| {
            value.as_bool().ok_or_else(|| {
                Failure::malformed(format!("a `{field}`"), "that is not true or false")
            })
        })
    }

    /// A number that is not negative; 0 if it is missing.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is something else.
    pub fn number(&self, field: &str) -> Result<u64, Failure> {
        self.find(field).map_or(Ok(0), |value| {
            value.as_u64().ok_or_else(|| {
                Failure::malformed(format!("a `{field}`"), "that is not a whole number")
            })
        })
    }

    /// A number of seconds, capped at a hundred years; 0 if it is missing.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it is not a whole number.
    pub fn seconds(&self, field: &str) -> Result<Duration, Failure> {
        Ok(Duration::from_secs(self.number(field)?).min(LONGEST))
    }

    /// The texts of a list; empty if there is none.
    #[must_use]
    pub fn texts(&self, field: &str) -> Vec<String> {
        let list = self.find(field).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// What `sys/capabilities-self` says of a path, whose name may hold any character.
    ///
    /// # Errors
    /// [`Failure::Malformed`] when it says nothing.
    pub fn capabilities(&self, path: &str) -> Result<Vec<&str>, Failure> {
        let list = self
            .0
            .get(path)
            .or_else(|| self.0.get("data")?.get(path))
            .and_then(Value::as_array)
            .ok_or_else(|| Failure::malformed("no capabilities", "in it"))?;
        Ok(list.iter().filter_map(Value::as_str).collect())
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Document(REDACTED)")
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(json: &str) -> Document {
        Document::parse(json.as_bytes()).expect("valid JSON")
    }

    #[test]
    fn errors_name_the_field_and_never_the_content() {
        let answer = document(
            r#"{"data":{"username":17,"password":"hunter2\u0000","empty":""},"n":"hunter2"}"#,
        );
        let errors = [
            answer.text("data.username").map(drop),
            answer.text("data.password").map(drop),
            answer.text("data.empty").map(drop),
            answer.text("data.missing").map(drop),
            answer.number("n").map(drop),
            answer.flag("n").map(drop),
        ];
        for error in errors {
            let shown = error.expect_err("wrong on purpose").to_string();
            assert!(shown.contains('`'), "{shown}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("17"),
                "{shown}"
            );
        }
        assert!(!format!("{answer:?}").contains("hunter2"));
    }

    #[test]
    fn not_json_and_hostile_json_are_errors_and_no_panic() {
        for body in ["<html>", "{", "\u{0}", "nul", "{\"a\":1}x"] {
            assert!(Document::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Document::parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(
            Document::parse(b" \n")
                .expect("empty is null")
                .text("data")
                .is_err()
        );
    }

    #[test]
    fn absurd_numbers_are_capped_or_refused() {
        let answer = document(r#"{"huge":18446744073709551615,"negative":-1,"fraction":1.5}"#);
        assert_eq!(answer.seconds("huge"), Ok(LONGEST));
        assert!(answer.seconds("negative").is_err());
        assert!(answer.seconds("fraction").is_err());
        assert_eq!(answer.seconds("missing"), Ok(Duration::ZERO));
    }
}
