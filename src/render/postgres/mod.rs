//! From credentials to the variables that PostgreSQL's clients read.

mod base;
mod credentials;
mod parameters;
mod place;
mod variables;

pub use base::Base;
pub use credentials::Credentials;
pub use place::misleading_variable;
pub use variables::variables;
