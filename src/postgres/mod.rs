//! From credentials to the variables that PostgreSQL's clients read. Pure: the environment is an
//! argument.

mod base;
mod credentials;
mod place;
mod variables;

pub use base::Base;
pub use credentials::Credentials;
pub use variables::variables;
