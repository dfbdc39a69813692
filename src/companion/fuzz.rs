//! Targets: what the companion is told over its socket.

// A target says what is wrong by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::Cursor;
use std::time::Duration;

use super::message::{Message, Outgoing};
use crate::fuzz::Target;
use crate::sys::clock::Moment;

pub const TARGETS: &[Target] = &[Target {
    name: "companion-frame",
    run: frames,
    short: 800,
}];

/// The input as frames, and as what is in one.
fn frames(input: &[u8]) {
    let mut stream = Cursor::new(input);
    while let Ok(Some(message)) = Message::read(&mut stream) {
        act(message);
    }
    let length = u32::try_from(input.len()).unwrap_or(0).to_ne_bytes();
    if let Ok(Some(message)) = Message::read(&mut Cursor::new([&length, input].concat())) {
        act(message);
    }
}

/// What the companion does with it.
fn act(message: Message) {
    let Message::Ledger(mut ledger) = message else {
        return;
    };
    let frame = Outgoing::Ledger(&ledger).to_frame();
    let again = Message::read(&mut Cursor::new(&*frame));
    assert!(matches!(again, Ok(Some(Message::Ledger(again))) if again == ledger));
    for seconds in [0, 1000, u64::MAX] {
        let now = Moment::since_boot(Duration::from_secs(seconds));
        let (_, later) = ledger.revocations(now);
        assert!(later.is_none_or(|later| later > now));
        let _left = (ledger.left(now), ledger.is_settled(), ledger.is_reading());
    }
    ledger.forget_settled(Moment::now());
}
