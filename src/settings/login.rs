//! How to log in: the method, asked for or found, and what is given for another one.

use std::path::PathBuf;

use super::approle::approle;
use super::forms;
use super::jwt;
use super::lookup::{Layer, Lookup, Value};
use super::password::password;
use super::row::{Form, Setting};
use super::table::{
    ADDRESS, AUTH, AUTH_MOUNT, AUTH_ROLE, CLIENT_CERT, JWT, JWT_AUDIENCE, JWT_FILE, PASSWORD_FILE,
    REMOVE_SECRET_ID_FILE, ROLE_ID, ROLE_ID_FILE, SECRET_ID, SECRET_ID_FILE, TOKEN, TOKEN_FILE,
    USERNAME, WRAPPED_SECRET_ID, WRAPPED_SECRET_ID_FILE, WRAPPING_PATH,
};
use crate::login::{AuthSettings, Cert, Source};
use crate::redaction;

/// The methods, by the names of their settings.
const APPROLE: &str = "approle";
const TOKEN_METHOD: &str = "token";
const KUBERNETES: &str = "kubernetes";
const JWT_METHOD: &str = "jwt";
const CERT: &str = "cert";
const USERPASS: &str = "userpass";
const LDAP: &str = "ldap";

/// What belongs to some of the methods only.
static OWNED: &[(&Setting, &[&str])] = &[
    (&ROLE_ID, &[APPROLE]),
    (&ROLE_ID_FILE, &[APPROLE]),
    (&SECRET_ID, &[APPROLE]),
    (&SECRET_ID_FILE, &[APPROLE]),
    (&WRAPPED_SECRET_ID, &[APPROLE]),
    (&WRAPPED_SECRET_ID_FILE, &[APPROLE]),
    (&WRAPPING_PATH, &[APPROLE]),
    (&REMOVE_SECRET_ID_FILE, &[APPROLE]),
    (&TOKEN_FILE, &[TOKEN_METHOD]),
    (&AUTH_ROLE, &[KUBERNETES, JWT_METHOD, CERT]),
    (&JWT, &[JWT_METHOD]),
    (&JWT_FILE, &[KUBERNETES, JWT_METHOD]),
    (&JWT_AUDIENCE, &[JWT_METHOD]),
    (&USERNAME, &[USERPASS, LDAP]),
    (&PASSWORD_FILE, &[USERPASS, LDAP]),
];

/// The method that was asked for, else the one that was found; nothing where what was asked for is none.
pub fn method(lookup: &Lookup<'_>) -> Option<&'static str> {
    let asked = lookup.parsed(&AUTH, |text| match AUTH.form {
        Form::Choice(_, choices) => {
            let known = choices.iter().find(|choice| **choice == text);
            known.copied().ok_or_else(|| forms::no_choice(text, &AUTH))
        }
        _ => Err(forms::no_choice(text, &AUTH)),
    });
    match asked {
        None if lookup.is_missing(&AUTH) => Some(found(lookup, token_source(lookup).is_some())),
        asked => asked,
    }
}

/// The settings of the login, if they are sound.
pub fn auth(lookup: &Lookup<'_>) -> Option<AuthSettings> {
    let method = method(lookup)?;
    if !is_all_for(lookup, method) && lookup.is_missing(&AUTH) {
        return None;
    }
    // A wrong mount is reported, and the checks go on.
    let mount = lookup.api_path(&AUTH_MOUNT);
    let mount = mount.unwrap_or_else(|| method.to_owned());
    let mount = mount.strip_prefix("auth/").unwrap_or(&mount).to_owned();
    match method {
        TOKEN_METHOD => token_settings(lookup, token_source(lookup)).map(AuthSettings::Token),
        KUBERNETES => jwt::kubernetes(lookup, mount)
            .map(Box::new)
            .map(AuthSettings::Jwt),
        JWT_METHOD => jwt::jwt(lookup, mount).map(Box::new).map(AuthSettings::Jwt),
        CERT => cert(lookup, mount).map(AuthSettings::Cert),
        USERPASS | LDAP => password(lookup, method, mount).map(AuthSettings::Password),
        _ => approle(lookup, mount).map(AuthSettings::AppRole),
    }
}

/// The method where none is asked for. Whoever gives a part of an AppRole login means that one, and is
/// not to get the rights of a token that happens to be there.
fn found(lookup: &Lookup<'_>, has_token: bool) -> &'static str {
    let of_approle = [
        &ROLE_ID,
        &ROLE_ID_FILE,
        &SECRET_ID,
        &SECRET_ID_FILE,
        &WRAPPED_SECRET_ID,
        &WRAPPED_SECRET_ID_FILE,
    ];
    let means_approle = of_approle.iter().any(|setting| !lookup.is_missing(setting));
    if has_token && !means_approle {
        TOKEN_METHOD
    } else {
        APPROLE
    }
}

/// Whether no option or key of the file is for another method; names those that are. Variables may be
/// there for somebody else.
fn is_all_for(lookup: &Lookup<'_>, method: &str) -> bool {
    let mut sound = true;
    for (setting, methods) in OWNED
        .iter()
        .filter(|(_, methods)| !methods.contains(&method))
    {
        let given = lookup.given(setting);
        if let Some(value) = given.filter(|value| value.layer != Layer::Variable) {
            let methods = methods.join(" or ");
            let message = format!(
                "it is for --auth {methods}, and this login is by {method}: give one of them"
            );
            lookup.wrong(value.name, message);
            sound = false;
        }
    }
    sound
}

/// Where a token is: as it is given, else where the official client keeps it.
fn token_source(lookup: &Lookup<'_>) -> Option<Source> {
    let given = lookup.strongest(&[&TOKEN_FILE, &TOKEN]);
    if let Some((setting, value)) = given {
        return Some(source(setting, value));
    }
    let home = lookup.environment().variable("HOME")?;
    let path = PathBuf::from(home).join(".vault-token");
    path.is_file().then(|| Source::File {
        setting: "~/.vault-token".to_owned(),
        path,
    })
}

fn token_settings(lookup: &Lookup<'_>, token: Option<Source>) -> Option<Source> {
    // Refuses two in one layer.
    lookup.one_of(&[&TOKEN_FILE, &TOKEN]);
    let mount = lookup.given(&AUTH_MOUNT);
    if let Some(value) = mount.filter(|value| value.layer != Layer::Variable) {
        lookup.wrong(
            value.name,
            "a token is used as it is, and logs in at no mount",
        );
    }
    let Some(token) = token else {
        lookup.wrong(
            "VAULT_TOKEN, --token-file (VAULTEXEC_TOKEN_FILE)",
            "the token is missing, and there is no ~/.vault-token",
        );
        return None;
    };
    check(lookup, &token);
    Some(token)
}

/// The settings of a login with the connection's certificate, if they are sound.
fn cert(lookup: &Lookup<'_>, mount: String) -> Option<Cert> {
    let missing = lookup.is_missing(&CLIENT_CERT);
    if missing {
        let message = "it is missing: the certificate to log in with";
        lookup.wrong(CLIENT_CERT.to_string(), message);
    }
    let addresses = lookup.list(&ADDRESS);
    let plain = addresses
        .iter()
        .find(|address| !address.text.starts_with("https://"));
    if let Some(address) = plain {
        let message = "--auth cert needs https://, since the certificate is shown by TLS";
        lookup.wrong(&address.name, message);
    }
    (!missing && plain.is_none()).then(|| Cert {
        mount,
        role: lookup.parsed(&AUTH_ROLE, |text| Ok(text.to_owned())),
    })
}

/// Says what is wrong with a source as far as that can be told without reading it.
pub fn check(lookup: &Lookup<'_>, source: &Source) {
    if let Err(problem) = source.check() {
        lookup.wrong(problem.setting, problem.words);
    }
}

/// Where a value is read from, later.
pub fn source(setting: &Setting, value: Value) -> Source {
    let Value { text, layer, name } = value;
    match setting.form {
        Form::File(_) if text == "-" => Source::StandardInput { setting: name },
        Form::File(_) => {
            if is_no_path(&text) {
                redaction::enter(&text);
            }
            Source::File {
                setting: name,
                path: PathBuf::from(text),
            }
        }
        _ if layer == Layer::Variable => Source::Variable(name),
        _ => Source::Flag {
            setting: name,
            value: text,
        },
    }
}

/// Whether it looks like a secret id or a token that was given in place of the file that holds one.
fn is_no_path(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let mut bytes = text.bytes();
    let hexadecimal = bytes.all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    let tokens = ["hvs.", "hvb.", "s.", "b."];
    let token = text.len() >= 24 && tokens.iter().any(|start| text.starts_with(start));
    (groups == [8, 4, 4, 4, 12] && hexadecimal) || (token && !text.contains('/'))
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
