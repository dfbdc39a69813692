//! Targets: finding a secret in a text.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::{Known, REDACTED, SHORTEST, forms};
use crate::fuzz::{Target, lines};

pub const TARGETS: &[Target] = &[Target {
    name: "redaction",
    run: redaction,
    short: 500,
}];

/// A secret, and what stands before and behind it.
fn redaction(input: &[u8]) {
    let [secret, before, after] = lines(input);
    // What is like the word put in its place would be found in that.
    let is_like = secret.contains(|character| REDACTED.contains(character));
    if secret.len() < SHORTEST || secret.len() > 1024 || is_like {
        return;
    }
    let mut known = Known::default();
    let all = forms(&secret);
    for form in &all {
        known.enter(form.expose());
    }
    for form in &all {
        let form = form.expose();
        let text = known.redact(&format!("{before}{form}{after}"));
        assert!(text.contains(REDACTED));
        assert!(!text.contains(&secret), "it is still there");
    }
    // Nothing is lost of what it is not in.
    let without = format!("{before}{after}");
    if !all
        .iter()
        .any(|form| without.contains(form.expose().as_str()))
    {
        assert_eq!(known.redact(&without), without);
    }
}
