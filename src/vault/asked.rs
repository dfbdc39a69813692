//! What is read: a path, and behind it, as after `vault write`, the fields that an engine wants to be
//! sent, as in `pki/issue/web common_name=app.example.com`. It stays one text, which is what messages
//! show, and by which the same thing is known to be the same. A path holds no white space, and what
//! stands behind it begins with a space: the settings see to both.

use serde_json::{Map, Value};

/// The path, which a policy names and a lease begins with.
#[must_use]
pub fn path(asked: &str) -> &str {
    asked.split(' ').next().unwrap_or(asked)
}

/// What is sent to the path; nothing where it is only read.
#[must_use]
pub fn sent(asked: &str) -> Option<Value> {
    let mut fields = Map::new();
    for (name, value) in asked.split(' ').skip(1).filter_map(field) {
        fields.insert(name.to_owned(), value.into());
    }
    (!fields.is_empty()).then_some(Value::Object(fields))
}

/// The capability that a policy has to give.
#[must_use]
pub fn capability(asked: &str) -> &'static str {
    match sent(asked) {
        Some(_) => "update",
        None => "read",
    }
}

/// A field's name and value.
#[must_use]
pub fn field(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_behind_the_path_are_sent() {
        let asked = "pki/issue/web common_name=a.b ip_sans=1.2.3.4,::1 x=a=b";
        assert_eq!(path(asked), "pki/issue/web");
        assert_eq!(capability(asked), "update");
        let fields = json!({"common_name": "a.b", "ip_sans": "1.2.3.4,::1", "x": "a=b"});
        assert_eq!(sent(asked), Some(fields));
        let plain = "database/creds/app-role";
        assert_eq!(
            (path(plain), sent(plain), capability(plain)),
            (plain, None, "read")
        );
    }
}
