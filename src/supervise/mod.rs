//! What becomes of the child: signals, stops, its end, and the replacement of its credentials.
//!
//! [`watch()`] turns sources into events and carries out actions; what to do is decided in
//! [`Machine`] and `policy::reaches_child`, which are pure. Nothing in here knows Vault.

mod cleanup;
mod event;
mod machine;
mod on_expiry;
mod policy;
mod slow;
mod startup;
mod watch;

pub use cleanup::bounded;
pub use event::{Event, Refusal, Saying};
pub use machine::{Machine, Rules};
pub use on_expiry::OnExpiry;
pub use policy::Childless;
pub use slow::{SLOW, when_slow};
pub use startup::{Startup, interruptible, look_without_child, matters_without_child};
pub use watch::{Operations, Stop, watch};
