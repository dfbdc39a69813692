//! Why a file cannot be read, in words that say what to do about it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::sys::process;

/// The path and the system's reason. Where a right is missing, also whose the file is (or the
/// folder on the way to it), its mode, and as whom this process asks: in a container these are
/// rarely what they are on the host.
#[must_use]
pub fn cannot_read(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    if error.kind() != io::ErrorKind::PermissionDenied {
        return format!("cannot read {shown}: {error}");
    }
    // Of what cannot be looked at, some folder above can be.
    let looked_at = path
        .ancestors()
        .find_map(|part| part.metadata().ok().map(|metadata| (part, metadata)));
    let Some((part, metadata)) = looked_at else {
        return format!("cannot read {shown}: {error}");
    };
    let what = if part == path {
        "it".to_owned()
    } else {
        format!("{}", part.display())
    };
    let owner = format!("{}:{}", metadata.uid(), metadata.gid());
    let mode = metadata.mode() & 0o7777;
    let us = format!("{}:{}", process::user(), process::group());
    let remedy = if metadata.uid() == process::user() {
        "let its owner in"
    } else {
        "give it to that user"
    };
    format!(
        "cannot read {shown}: permission denied; {what} belongs to {owner} with mode {mode:04o}, \
         and vaultexec runs as {us}: {remedy}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> io::Error {
        io::ErrorKind::PermissionDenied.into()
    }

    #[test]
    fn owner_mode_and_user_are_told_of_the_file_or_of_the_folder_that_can_be_looked_at() {
        let file = cannot_read(Path::new("/etc/passwd"), &denied());
        let told = "/etc/passwd: permission denied; it belongs to 0:0 with mode 0644, and";
        assert!(file.contains(told), "{file}");
        let hidden = cannot_read(Path::new("/etc/passwd/x"), &denied());
        let told = "/etc/passwd/x: permission denied; /etc/passwd belongs to 0:0 with mode 0644";
        assert!(hidden.contains(told), "{hidden}");
        let us = format!("runs as {}:", process::user());
        assert!(file.contains(&us) && hidden.contains(&us), "{file}");
    }

    #[test]
    fn what_rights_have_nothing_to_do_with_is_the_systems_word() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(
            cannot_read(Path::new("/x"), &error),
            "cannot read /x: No such file or directory (os error 2)"
        );
    }
}
