//! Targets: the file of settings and the forms that values have.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::Duration;

use reqwest::Url;

use super::address::{addresses, proxy};
use super::command_line::Flags;
use super::forms;
use super::lookup::Lookup;
use super::nearest::nearest;
use super::table::ALL;
use crate::environment::Given;
use crate::error::quotes;
use crate::fuzz::{CANARY, Target, lines, text};
use crate::vault::{Address, asked};

pub const TARGETS: &[Target] = &[
    Target::new("config", config),
    Target::new("address", address),
    Target::new("proxy", proxies),
    Target::new("duration", duration),
    Target::new("api-path", api_path),
    Target::new("url-password", url_password),
    Target::new("names", names),
];

/// A file of settings; what it holds is never told.
fn config(input: &[u8]) {
    let (file, problems) = super::file::parse("f.toml", &text(input));
    for problem in problems {
        // A key is told, which is no secret; the canary stands in values.
        assert!(problem.to_string().starts_with("f.toml, line "));
    }
    for setting in ALL {
        for (text, name) in file.values(setting) {
            assert!(name.starts_with("f.toml: "));
            let _read = (
                forms::duration(text, Duration::ZERO).is_ok(),
                forms::number(text).is_ok(),
                forms::switch(text),
                forms::signal(text).is_ok(),
                forms::stop_signal(text).is_ok(),
                forms::creds_path(text).is_ok(),
                forms::name_or_prefix(text).is_ok(),
                forms::no_choice(text, setting),
            );
        }
    }
}

/// The first line is the list of addresses; the two others stand around a user with a password.
fn address(input: &[u8]) {
    let [list, before, after] = lines(input);
    let (found, problems) = parsed(&list);
    for one in found {
        let shown = one.to_string();
        if matches!(&one, Address::Tcp(_)) {
            let (again, problems) = parsed(&shown);
            assert_eq!(problems, Vec::<String>::new(), "{shown}");
            assert_eq!(again.first().map(ToString::to_string), Some(shown));
        }
    }
    for problem in problems {
        assert!(problem.starts_with("VAULT_ADDR: "), "{problem}");
    }
    let (found, problems) = parsed(&format!("{before}://user:{CANARY}@{after}"));
    for problem in problems {
        assert!(!problem.contains(CANARY), "{problem}");
    }
    for one in found {
        let is_tcp = matches!(one, Address::Tcp(_));
        assert!(!is_tcp || !one.to_string().contains(CANARY), "{one}");
    }
}

fn parsed(list: &str) -> (Vec<Address>, Vec<String>) {
    let (flags, environment) = (Flags::default(), Given(vec![("VAULT_ADDR", list)]));
    let lookup = Lookup::new(&flags, &environment);
    let found = addresses(&lookup);
    let problems = lookup.into_problems();
    (found, problems.iter().map(ToString::to_string).collect())
}

/// The proxy, the hosts without one, and the addresses.
fn proxies(input: &[u8]) {
    let [url, except, list] = lines(input);
    let (found, _) = parsed(&list);
    for name in ["VAULT_PROXY_ADDR", "HTTPS_PROXY", "http_proxy"] {
        let (flags, environment) = (
            Flags::default(),
            Given(vec![(name, url.as_str()), ("NO_PROXY", except.as_str())]),
        );
        let lookup = Lookup::new(&flags, &environment);
        let proxy = proxy(&lookup, &found);
        for address in &found {
            let shown = proxy.before(address).unwrap_or_default();
            assert!(!shown.contains(CANARY), "a proxy's password is told");
        }
        for problem in lookup.into_problems() {
            assert!(!problem.to_string().contains(CANARY));
        }
    }
}

/// What is read is written, and read again as the same.
fn duration(input: &[u8]) {
    let text = text(input);
    if let Ok(time) = forms::duration(&text, Duration::ZERO) {
        let written = humantime::format_duration(time).to_string();
        assert_eq!(forms::duration(&written, Duration::ZERO), Ok(time));
    }
    let _least = forms::duration(&text, Duration::from_secs(5)).is_ok();
}

/// A path stays below the API's root, segment by segment.
fn api_path(input: &[u8]) {
    let text = text(input);
    let read = forms::creds_path(&text).map(|asked| {
        let _fields = asked::sent(&asked);
        asked::path(&asked).to_owned()
    });
    for path in [forms::api_path(&text), read] {
        let Ok(path) = path else { continue };
        let mut url = Url::parse("https://h").expect("a URL");
        url.set_path(&format!("/v1/{path}"));
        let rest = url.path().strip_prefix("/v1/").expect("below the root");
        assert_eq!(rest.split('/').count(), path.split('/').count(), "{path}");
        assert_eq!((url.query(), url.fragment()), (None, None));
    }
}

/// What stands before and behind a password in a URL.
fn url_password(input: &[u8]) {
    let [before, after] = lines(input);
    let shown = forms::without_password(&text(input));
    assert_eq!(forms::without_password(&shown), shown);
    if !before.contains("://") && !after.contains("://") && !before.contains(['?', '@']) {
        // Not the canary, which may stand where no password does.
        let url = format!("postgresql://{before}:Zq8-password@{after}");
        let shown = forms::without_password(&url);
        assert!(!shown.contains("Zq8-password"), "the password is told");
    }
}

/// Names that are almost right, and values in quotes.
fn names(input: &[u8]) {
    let [name, value] = lines(input);
    let known = ALL.iter().filter_map(|setting| setting.key());
    let _meant = nearest(&name, known);
    let _quoted = quotes(&value);
    // The name is told, the value never.
    let all = [(name.clone().into(), value.into())];
    for problem in forms::unknown_variables(&all) {
        assert!(!problem.to_string().contains(CANARY) || name.contains(CANARY));
    }
}
