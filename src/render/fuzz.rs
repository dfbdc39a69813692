//! Targets: templates, references and URLs, and what credentials become in each.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use percent_encoding::percent_decode_str;

use super::other_url::OtherUrl;
use super::postgres::{Base, Credentials, Place, jdbc, misleading_variable, split_user, url};
use super::postgres::{parameters, variables};
use super::reference::Reference;
use super::template::{Source, Template};
use super::{mask, passfile, service};
use crate::environment::Given;
use crate::fuzz::{CANARY, Target, lines, text};
use crate::secret::Fields;
use crate::sensitive::Sensitive;

pub const TARGETS: &[Target] = &[
    Target::new("template", template),
    Target::new("reference", reference),
    Target::new("database-url", database_url),
    Target::new("other-url", other_url),
    Target::new("files", files),
];

/// The template, a user and a password.
fn template(input: &[u8]) {
    let [user, password, text] = lines(input);
    let Ok(template) = Template::parse(&text, &["rw", "ro"]) else {
        return;
    };
    assert!(template.secrets().all(|place| place < 2));
    let source = || Source {
        fields: [("username", user.as_str()), ("password", &password)].into(),
        derived: vec![("jdbc_url", Err("there is none"))],
    };
    match template.render(&[source(), source()]) {
        Ok(value) if !text.contains("{{") => assert_eq!(*value.expose(), text),
        Ok(_) => {}
        Err(message) => assert!(!message.contains(CANARY) || text.contains(CANARY)),
    }
    // What a filter has made can be read back.
    let parts = Template::parse("{{password|url}} {{password|json}}", &["rw"]);
    let made = parts.expect("sound").render(&[source()]).expect("a value");
    let (url, json) = made.expose().split_once(' ').expect("two parts");
    assert_eq!(percent_decode_str(url).decode_utf8_lossy(), password);
    assert_eq!(
        serde_json::from_str::<String>(json).ok().as_ref(),
        Some(&password)
    );
}

fn reference(input: &[u8]) {
    let text = text(input);
    let Some(Ok(found)) = Reference::parse(&text) else {
        return;
    };
    assert!(found.path.split('/').all(|part| part != ".."), "{text}");
    let version = found.version.map(|version| format!("#{version}"));
    let written = format!(
        "vault:{}#{}{}",
        found.path,
        found.field,
        version.unwrap_or_default()
    );
    assert_eq!(Reference::parse(&written), Some(Ok(found.clone())));
    let _newest = found.of_the_newest();
}

/// A base URL, a user, a password, what the environment says of the place, and a role.
fn database_url(input: &[u8]) {
    let [base, user, password, host, port, database, role] = lines(input);
    let base = match Base::parse(&base) {
        Ok(base) => Some(base),
        Err(_) if base.is_empty() => None,
        Err(_) => return,
    };
    let environment = Given(vec![
        ("PGHOST", &host),
        ("PGPORT", &port),
        ("PGDATABASE", &database),
    ]);
    let credentials = Credentials {
        username: user.clone(),
        password: Sensitive::from(password.as_str()),
    };
    let base = base.as_ref();
    // What the caller itself says of the place is taken as it is.
    let odd = [&host, &port, &database, &role].into_iter();
    let odd = odd.flat_map(|text| text.chars()).any(char::is_control);
    if odd || misleading_variable(base, &environment).is_some() {
        return;
    }
    let role = (!role.is_empty()).then_some(role.as_str());
    let _each = Place::find(base, &environment).each();
    let rendered = url(&credentials, base, role, &environment);
    let rendered = rendered.expose();
    let (_, rest) = rendered.split_once("://").expect("a scheme");
    assert_login(rest, &user, &password);
    assert!(!rendered.contains(char::is_control), "{rendered:?}");
    let again = Base::parse(rendered).expect("a URL of its own making");
    assert!(again.had_credentials || (user.is_empty() && password.is_empty()));
    let made = variables(&credentials, base, role, &environment);
    let names: std::collections::BTreeSet<_> = made.set.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), made.set.len(), "a variable twice");
    let _service = service::section("x", &parameters(&credentials, base, role, &environment));
    if let Ok(made) = jdbc::jdbc_url(&credentials, base, &environment) {
        assert_parameters(made.expose(), &user, &password);
    }
}

/// User and password stand before the hosts, and decode to what they were.
#[track_caller]
fn assert_login(rest: &str, user: &str, password: &str) {
    let (login, _) = split_user(rest).expect("a user");
    let login = login.expect("a user");
    let (found, word) = login.split_once(':').unwrap_or((login, ""));
    assert_eq!(percent_decode_str(found).decode_utf8_lossy(), user);
    assert_eq!(percent_decode_str(word).decode_utf8_lossy(), password);
}

/// User and password stand among the parameters, and decode to what they were.
#[track_caller]
fn assert_parameters(url: &str, user: &str, password: &str) {
    let (_, query) = url.split_once('?').expect("parameters");
    for (wanted, expected) in [("user", user), ("password", password)] {
        let found = query
            .split('&')
            .filter_map(|one| one.split_once('='))
            .find(|(name, _)| *name == wanted);
        let (_, value) = found.expect("it is there");
        assert_eq!(percent_decode_str(value).decode_utf8_lossy(), expected);
    }
}

/// A URL of another database, a user and a password.
fn other_url(input: &[u8]) {
    let [given, user, password] = lines(input);
    let Some(Ok(url)) = OtherUrl::parse(&given) else {
        return;
    };
    let password = Sensitive::from(password.as_str());
    let made = url.with(&user, &password);
    let (_, rest) = made.expose().split_once("://").expect("a scheme");
    assert_login(rest, &user, password.expose());
    assert!(!made.expose().contains(char::is_control));
    if let Ok(made) = url.jdbc(&user, &password) {
        assert_parameters(made.expose(), &user, password.expose());
    }
}

/// A user and a password in the files of libpq and in what GitHub's runner is told.
fn files(input: &[u8]) {
    let [user, password] = lines(input);
    let secret = Sensitive::from(password.as_str());
    if let Ok(line) = passfile::line(&user, &secret) {
        let line = line.expose().strip_suffix('\n').expect("a line");
        assert!(!line.contains('\n'));
        let (mut fields, mut rest) = (vec![String::new()], line.chars());
        while let Some(character) = rest.next() {
            let last = fields.len() - 1;
            match character {
                '\\' => fields[last].extend(rest.next()),
                ':' => fields.push(String::new()),
                other => fields[last].push(other),
            }
        }
        assert_eq!(fields, ["*", "*", "*", user.as_str(), password.as_str()]);
    }
    let both = [
        ("user", Sensitive::from(user.as_str())),
        ("password", secret),
    ];
    if let Ok(section) = service::section("x", &both) {
        let expected = format!("[x]\nuser={user}\npassword={password}\n");
        assert_eq!(*section.expose(), expected);
        assert_eq!(section.expose().lines().count(), 3);
    }
    let answer = Fields::from([("username", user.as_str()), ("password", &password)]);
    let lines = mask::lines(&[answer]);
    for line in lines.expose().lines() {
        assert!(line.starts_with("::add-mask::"), "{line:?}");
    }
}
