//! Tokens and leases for tests.

use std::rc::Rc;
use std::time::Duration;

use crate::ledger::NewSession;
use crate::sensitive::Sensitive;
use crate::sys::clock::Moment;

/// A service token that was granted now for so many minutes.
pub fn service_token(minutes: u64) -> NewSession {
    NewSession {
        token: Rc::new(Sensitive::from("hvs.token")),
        batch: false,
        foreign: false,
        uses: None,
        renewable: true,
        duration: Duration::from_secs(60 * minutes),
        granted_at: Moment::now(),
        identity: String::new(),
    }
}
