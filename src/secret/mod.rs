//! What the server gives out: how it is read, and its names and values, whatever the engine.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for --env and the shapes in render/")
)]
mod fields;
mod read;

pub use fields::Secret;
pub use read::{Issued, Read};
