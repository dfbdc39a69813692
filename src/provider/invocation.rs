//! What is to be run.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::environment::Environment;
use crate::error::Error;
use crate::sys::program;

/// The command, found and ready to be started.
#[derive(Debug)]
pub struct Invocation {
    /// What is executed.
    pub path: PathBuf,
    /// As it was given, the name it is called by first.
    pub arguments: Vec<OsString>,
}

impl Invocation {
    /// Looks for the program as a shell does, along `PATH`.
    ///
    /// # Errors
    /// [`Error::Program`] when it is not there or cannot be run.
    pub fn find(arguments: Vec<OsString>, environment: &dyn Environment) -> Result<Self, Error> {
        let command = arguments.first().cloned().unwrap_or_default();
        let path = environment.variable("PATH");
        match program::find(&command, path.as_deref()) {
            Ok(path) => Ok(Self { path, arguments }),
            Err(reason) => Err(Error::Program {
                command: command.into(),
                reason,
            }),
        }
    }
}
