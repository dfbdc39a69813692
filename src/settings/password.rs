//! What a login with a password needs: the user, and where the password is.

use super::login::{check, source};
use super::lookup::Lookup;
use super::table::{PASSWORD_FILE, USERNAME};
use crate::login::PasswordSettings;

/// The names of the setting, for a password that was to be typed and was not.
pub const PASSWORD_FILE_NAMES: &str = "--password-file (VAULTEXEC_PASSWORD_FILE)";

/// The settings of a login with a password, if they are sound.
pub fn password(
    lookup: &Lookup<'_>,
    method: &'static str,
    mount: String,
) -> Option<PasswordSettings> {
    if lookup.is_missing(&USERNAME) {
        lookup.wrong(USERNAME.to_string(), "it is missing: who logs in");
    }
    let username = lookup.parsed(&USERNAME, |name| {
        if matches!(name, "." | "..") || name.contains('/') || name.contains(char::is_control) {
            return Err(format!("{name:?} is no user's name"));
        }
        Ok(name.to_owned())
    });
    let given = lookup.given(&PASSWORD_FILE);
    let password = given.map(|value| source(&PASSWORD_FILE, value));
    if let Some(source) = &password {
        check(lookup, source);
    }
    Some(PasswordSettings {
        method,
        mount,
        username: username?,
        password,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_row() {
        assert_eq!(PASSWORD_FILE.to_string(), PASSWORD_FILE_NAMES);
    }
}
