//! A password file as libpq reads it.

use crate::sensitive::Sensitive;

/// The file's name.
pub const NAME: &str = "pgpass";

/// One line: this user's password, for whatever host the command asks.
///
/// # Errors
/// What a line cannot hold.
pub fn line(user: &str, password: &Sensitive<String>) -> Result<Sensitive<String>, &'static str> {
    let is_line = |text: &str| !text.contains(['\n', '\r', '\0']);
    if !is_line(user) || !is_line(password.expose()) {
        return Err("a password file cannot hold a user or a password with a line break in it");
    }
    let user = escaped(user);
    let password = Sensitive::new(escaped(password.expose()));
    let password = password.expose();
    Ok(Sensitive::new(format!("*:*:*:{user}:{password}\n")))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(2 * text.len());
    for character in text.chars() {
        if matches!(character, '\\' | ':') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let line = line("v:x", &Sensitive::from(r"a\b:c d#é")).expect("a line");
        assert_eq!(line.expose(), "*:*:*:v\\:x:a\\\\b\\:c d#é\n");
    }

    #[test]
    fn what_a_line_cannot_hold_is_refused() {
        for password in ["a\nb", "a\r", "\0"] {
            let message = line("u", &Sensitive::from(password)).expect_err("no line");
            assert!(message.contains("line break"));
        }
    }
}
