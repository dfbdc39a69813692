//! What the server gave out, as names and values: whatever the engine, one shape.

use crate::sensitive::Sensitive;
use crate::vault::{Document, Failure};

/// An answer's fields, by name, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Sensitive<String>)>);

impl Fields {
    /// Takes the object at this place of an answer, as in `data`. Numbers, true and false are taken as
    /// text, lists and objects as JSON.
    ///
    /// # Errors
    /// [`Failure::Malformed`], which names the field.
    pub fn read(document: &Document, place: &str) -> Result<Self, Failure> {
        document.secrets(place).map(Self)
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Sensitive<String>> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// The names, which are no secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Fields {
    fn from(fields: [(&str, &str); N]) -> Self {
        let fields = fields.into_iter();
        Self(
            fields
                .map(|(name, value)| (name.to_owned(), Sensitive::from(value)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Fields, Failure> {
        Fields::read(&Document::parse(json.as_bytes()).expect("JSON"), "data")
    }

    #[test]
    fn every_value_is_read_as_text() {
        let fields = read(
            r#"{"data": {"username": "u", "ttl": 60, "ok": true, "none": null, "empty": "",
                "hosts": ["a", {"b": "c\"d"}]}}"#,
        )
        .expect("fields");
        let value = |name| fields.get(name).map(|value| value.expose().as_str());
        assert_eq!(value("username"), Some("u"));
        assert_eq!(value("ttl"), Some("60"));
        assert_eq!(value("ok"), Some("true"));
        assert_eq!(value("none"), None);
        assert_eq!(value("empty"), Some(""));
        assert_eq!(value("hosts"), Some(r#"["a",{"b":"c\"d"}]"#));
        let names: Vec<_> = fields.names().collect();
        assert_eq!(names, ["empty", "hosts", "ok", "ttl", "username"]);
        assert!(!format!("{fields:?}").contains("\"u\""));
    }

    #[test]
    fn more_than_anybody_would_use_is_refused() {
        let many: String = (0..2000)
            .map(|number| format!("\"f{number}\": 1,"))
            .collect();
        for fields in [many, format!("\"{}\": 1,", "n".repeat(300))] {
            let json = format!("{{\"data\": {{{fields} \"x\": 1}}}}");
            let message = format!("{:?}", read(&json).expect_err("too many"));
            assert!(message.contains("anybody would use"), "{message}");
        }
    }

    #[test]
    fn what_has_no_fields_is_named_and_not_shown() {
        for json in [
            r#"{"data": "hunter2"}"#,
            r#"{"data": null}"#,
            r"{}",
            r#"{"data": {"x": "hunter2\u0000"}}"#,
        ] {
            let message = format!("{:?}", read(json).expect_err(json));
            assert!(
                message.contains("data") && !message.contains("hunter2"),
                "{message}"
            );
        }
    }
}
