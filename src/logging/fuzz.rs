//! Targets: what is said of a text that came from outside.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::time::SystemTime;

use log::Level;

use super::{Fields, escape, is_hostile, json, text};
use crate::fuzz::{self, Target};

pub const TARGETS: &[Target] = &[Target::new("log-line", log_line)];

/// A message and its hint.
fn log_line(input: &[u8]) {
    let [hint, message] = fuzz::lines(input);
    let line = text(&message, Some(&hint), None);
    assert!(!line.replace('\n', "").contains(is_hostile), "{line:?}");
    assert_eq!(line.matches('\n').count(), 2, "{line:?}");
    assert!(!escape(&message).contains(is_hostile));
    let fields = Fields(vec![("hint".to_owned(), hint.clone())]);
    let line = json(Level::Warn, &message, fields, SystemTime::UNIX_EPOCH);
    let line = line.strip_suffix('\n').expect("a line");
    assert!(!line.contains(is_hostile), "{line:?}");
    let object: serde_json::Value = serde_json::from_str(line).expect("one object");
    assert_eq!(object["message"], message.as_str());
    assert_eq!(object["hint"], hint.as_str());
}
