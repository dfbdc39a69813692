//! Finds the program that COMMAND names, before any credentials are asked for.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

/// Why a program cannot be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// There is none of that name.
    NotFound,
    /// There is one, and it cannot be run for this reason.
    CannotRun(Errno),
}

/// What the C library searches when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Finds `command` as `execvp(3)` would: as it stands if it has a slash, else along `path`.
///
/// # Errors
/// [`Unusable`], after all of `path` has been tried. A file that is there but may not be run is
/// remembered, as the shell does, so that 126 and 127 are told apart.
pub fn find(command: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Unusable> {
    if command.as_bytes().contains(&b'/') {
        return runnable(Path::new(command)).map(|()| PathBuf::from(command));
    }
    if command.is_empty() {
        return Err(Unusable::NotFound);
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut verdict = Unusable::NotFound;
    for folder in path.as_bytes().split(|&byte| byte == b':') {
        // An empty entry is the current directory.
        let folder = if folder.is_empty() {
            OsStr::new(".")
        } else {
            OsStr::from_bytes(folder)
        };
        let candidate = Path::new(folder).join(command);
        match runnable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Unusable::NotFound) => {}
            Err(other) => verdict = other,
        }
    }
    Err(verdict)
}

fn runnable(path: &Path) -> Result<(), Unusable> {
    let metadata = std::fs::metadata(path).map_err(|error| classify(&error))?;
    if metadata.is_dir() {
        return Err(Unusable::CannotRun(Errno::EISDIR));
    }
    if !metadata.is_file() {
        return Err(Unusable::CannotRun(Errno::EACCES));
    }
    access(path, AccessFlags::X_OK).map_err(Unusable::CannotRun)
}

fn classify(error: &io::Error) -> Unusable {
    match error.raw_os_error().map(Errno::from_raw) {
        // A path through something that is no folder names nothing either.
        Some(Errno::ENOENT | Errno::ENOTDIR) | None => Unusable::NotFound,
        Some(errno) => Unusable::CannotRun(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_along_the_path_and_as_it_stands() {
        assert_eq!(
            find(OsStr::new("sh"), Some(OsStr::new("/nowhere:/bin"))),
            Ok(PathBuf::from("/bin/sh"))
        );
        assert_eq!(
            find(OsStr::new("/bin/sh"), None),
            Ok(PathBuf::from("/bin/sh"))
        );
        assert_eq!(find(OsStr::new("sh"), None), Ok(PathBuf::from("/bin/sh")));
    }

    #[test]
    fn tells_missing_from_unusable() {
        assert_eq!(find(OsStr::new(""), None), Err(Unusable::NotFound));
        assert_eq!(
            find(OsStr::new("no-such-thing"), Some(OsStr::new("/bin"))),
            Err(Unusable::NotFound)
        );
        assert_eq!(
            find(OsStr::new("/etc/passwd/x"), None),
            Err(Unusable::NotFound)
        );
        assert_eq!(
            find(OsStr::new("/etc"), None),
            Err(Unusable::CannotRun(Errno::EISDIR))
        );
        assert_eq!(
            find(OsStr::new("/etc/passwd"), None),
            Err(Unusable::CannotRun(Errno::EACCES))
        );
        assert_eq!(
            find(OsStr::new("passwd"), Some(OsStr::new("/etc"))),
            Err(Unusable::CannotRun(Errno::EACCES))
        );
    }
}
