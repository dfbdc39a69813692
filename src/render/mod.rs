//! From secrets and the caller's environment to what the child gets: variables to set and to drop,
//! files to write, notes. Pure: the environment is an argument.

pub mod environment;
pub mod postgres;
