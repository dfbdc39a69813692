//! Leases: taking one, keeping it and the token it hangs on alive, and giving both back.

mod acquire;
mod holdings;
mod keeper;
mod revoke;
mod schedule;

pub use acquire::{Acquisition, acquire};
pub use holdings::{Holding, Holdings, Lease, Left, Reason, TokenState, Witness};
pub use keeper::{Command, Event, Keeper, OnServer, wall};
pub use revoke::{can_revoke_alone, give_back_patiently, revoke, revoke_all, revoke_lease};
pub use schedule::{Cause, Deadline, growing};
