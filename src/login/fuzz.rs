//! Targets: what a login is made of, as somebody else has delivered it.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::approle::wrapping_token;
use super::claims;
use super::creation_path::CreationPath;
use super::source::Source;
use crate::fuzz::{CANARY, Target, text};

pub const TARGETS: &[Target] = &[
    Target::new("wrapping-token", wrapping),
    Target::new("secret-text", secret_text),
    Target::new("jwt", jwt),
    Target::new("creation-path", creation_path),
];

fn source(value: String) -> Source {
    Source::Flag {
        setting: "VAULT_WRAPPED_SECRET_ID".to_owned(),
        value,
    }
}

/// A wrapping token, bare or in the JSON of the official client.
fn wrapping(input: &[u8]) {
    match wrapping_token(&source(text(input))) {
        Ok(token) => {
            let token = token.expose();
            assert!(!token.is_empty() && !token.contains('\0'));
        }
        Err(problem) => assert!(!problem.to_string().contains(CANARY), "it is told"),
    }
}

/// The bytes of any file with a secret.
fn secret_text(input: &[u8]) {
    match source(String::new()).word(input) {
        Ok(secret) => assert!(!secret.expose().trim().is_empty()),
        Err(problem) => assert!(!problem.to_string().contains(CANARY), "it is told"),
    }
    let exactly = source(text(input)).read_exactly();
    if let Ok(secret) = exactly {
        assert!(!secret.expose().contains(char::is_control));
    }
}

/// The input as a JWT, and as the claims of one.
fn jwt(input: &[u8]) {
    let claims = URL_SAFE_NO_PAD.encode(input);
    for jwt in [text(input), format!("e30.{claims}.c2ln")] {
        for seconds in [0, 1 << 31, 1 << 40] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            match claims::end(&jwt, now) {
                Ok(None) => {}
                Ok(Some(end)) => {
                    // As it is told.
                    let _shown = humantime::format_rfc3339_seconds(end).to_string();
                }
                Err(words) => assert!(words.contains("JWT") && !words.contains(CANARY)),
            }
        }
    }
}

fn creation_path(input: &[u8]) {
    let path = text(input);
    let any = CreationPath::AnyRoleOf {
        mount: "approle".to_owned(),
    };
    if any.allows(&path) {
        let parts: Vec<_> = path.split('/').collect();
        assert_eq!(parts.len(), 5, "{path}");
        assert_eq!((parts[1], parts[4]), ("approle", "secret-id"));
    }
    assert!(CreationPath::Exactly(path.clone()).allows(&path));
}
