//! What GitHub's runner is told so that it hides passwords in a job's log. Pure.

use super::encode;
use crate::secret::Fields;
use crate::sensitive::Sensitive;

/// A shorter value would hide parts of other words, and is no secret that holds.
const SHORTEST: usize = 6;

/// One line for each value: of credentials the password, also as URLs have it; of any other secret every
/// field.
#[must_use]
pub fn lines(answers: &[Fields]) -> Sensitive<String> {
    let mut lines = Vec::new();
    for fields in answers {
        let is_login = fields.get("username").is_some() && fields.get("password").is_some();
        for name in fields
            .names()
            .filter(|name| !is_login || *name == "password")
        {
            let Some(value) = fields.get(name) else {
                continue;
            };
            let value = value.expose();
            if value.len() < SHORTEST {
                continue;
            }
            lines.push(line(value));
            let encoded = Sensitive::new(encode(value));
            if encoded.expose() != value {
                lines.push(line(encoded.expose()));
            }
        }
    }
    // Made in one piece: a text that grows leaves copies of itself behind.
    let length = lines.iter().map(|line| line.expose().len()).sum();
    let mut text = String::with_capacity(length);
    for line in &lines {
        text.push_str(line.expose());
    }
    Sensitive::new(text)
}

/// The command, with what the runner decodes in its data.
fn line(value: &str) -> Sensitive<String> {
    let mut text = String::with_capacity(value.len() * 3 + 16);
    text.push_str("::add-mask::");
    for character in value.chars() {
        match character {
            '%' => text.push_str("%25"),
            '\r' => text.push_str("%0D"),
            '\n' => text.push_str("%0A"),
            other => text.push(other),
        }
    }
    text.push('\n');
    Sensitive::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_announced_in_both_forms_and_users_are_not() {
        let login = Fields::from([("username", "v-user-x"), ("password", "a%b@c\nd")]);
        let other = Fields::from([("api-key", "key-key"), ("port", "8080")]);
        assert_eq!(
            lines(&[login, other]).expose(),
            "::add-mask::a%25b@c%0Ad\n::add-mask::a%2525b%2540c%250Ad\n::add-mask::key-key\n"
        );
    }
}
