//! A connection service file as libpq reads it.

use crate::sensitive::Sensitive;

/// The file's name.
pub const NAME: &str = "pg_service.conf";

/// The name of the default credentials' service, which is `PGSERVICE`.
pub const SERVICE: &str = "vaultexec";

/// libpq refuses a line that fills its buffer of 1,024 bytes, the line break included.
const LONGEST_LINE: usize = 1022;

/// One service with these parameters, named as in a URL.
///
/// # Errors
/// What a line cannot hold.
pub fn section(
    service: &str,
    parameters: &[(&str, Sensitive<String>)],
) -> Result<Sensitive<String>, &'static str> {
    let mut length = service.len() + 3;
    for (name, value) in parameters {
        let value = value.expose();
        if value.contains(['\n', '\r', '\0']) {
            return Err("a service file cannot hold a value with a line break in it");
        }
        // As isspace() in C: libpq cuts them off.
        if value.ends_with([' ', '\t', '\u{b}', '\u{c}']) {
            return Err("a service file cannot hold a value that ends with a blank");
        }
        let line = name.len() + value.len() + 2;
        if line > LONGEST_LINE {
            return Err("a service file cannot hold a value of more than about a thousand bytes");
        }
        length += line;
    }
    // Made in one piece: a text that grows leaves copies of itself behind.
    let mut contents = String::with_capacity(length);
    contents.push('[');
    contents.push_str(service);
    contents.push_str("]\n");
    for (name, value) in parameters {
        contents.push_str(name);
        contents.push('=');
        contents.push_str(value.expose());
        contents.push('\n');
    }
    Ok(Sensitive::new(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(value: &str) -> Result<String, &'static str> {
        let (user, value) = (Sensitive::from("v-x"), Sensitive::from(value));
        let section = section(SERVICE, &[("user", user), ("password", value)])?;
        Ok(section.expose().clone())
    }

    #[test]
    fn values_stand_as_they_are() {
        for value in [r"a\b:c # = [x]é", " leading", "=", ""] {
            let expected = format!("[vaultexec]\nuser=v-x\npassword={value}\n");
            assert_eq!(made(value), Ok(expected));
        }
    }

    #[test]
    fn what_a_line_cannot_hold_is_refused() {
        let longest = "x".repeat(LONGEST_LINE - "password=\n".len());
        assert!(made(&longest).is_ok());
        for value in ["a\nb", "a\r", "a ", "a\t", "a\u{b}", &format!("{longest}x")] {
            assert!(made(value).is_err(), "{value:?}");
        }
    }
}
