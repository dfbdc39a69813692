//! From secrets and the caller's environment to what the child gets: variables to set and to drop,
//! files to write, notes. Pure: the environment is an argument.

pub mod environment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod mask;
pub mod names;
pub mod other_url;
pub mod passfile;
pub mod postgres;
pub mod recipe;
pub mod reference;
pub mod service;
pub mod template;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::sensitive::Sensitive;

/// All but the characters that RFC 3986 calls unreserved: valid in every part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A file for the child, to be written with mode 0600.
#[derive(Debug)]
pub struct File {
    /// Its name in a folder of the run's own.
    pub name: &'static str,
    /// What is in it.
    pub contents: Sensitive<String>,
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
