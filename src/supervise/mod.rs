//! What becomes of the child: signals, stops, its end, and the replacement of its credentials.
//!
//! [`watch()`] turns sources into events and carries out actions; what to do is decided in
//! [`Machine`] and [`reaches_child`], which are pure. Nothing in here knows Vault.

mod cleanup;
mod event;
mod machine;
mod policy;
mod startup;
mod watch;

pub use cleanup::bounded;
pub use event::{Action, Event, Saying};
pub use machine::{Machine, Rules};
pub use policy::{BeforeChild, Topology, before_child, reaches_child};
pub use startup::{Startup, interruptible, look_before_child, matters_before_child};
pub use watch::{Stop, Supply, watch};
