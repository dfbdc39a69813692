//! What the server gives out: how it is read, and its names and values, whatever the engine.

mod fields;
mod read;
mod rotation;

pub use fields::Fields;
pub use read::{Issued, Read, no_login};
pub use rotation::Rotation;
