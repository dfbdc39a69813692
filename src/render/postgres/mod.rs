//! From credentials to the variables that PostgreSQL's clients read.

mod base;
mod credentials;
pub mod jdbc;
mod parameters;
mod place;
mod variables;

pub use base::{Base, split_user};
pub use credentials::Credentials;
pub use place::{Place, misleading_variable};
pub use variables::{parameters, url, variables};
