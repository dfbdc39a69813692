//! Files for the child: in a folder of the run's own, in memory, for its user alone.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};

use crate::environment::Environment;
use crate::error::Error;
use crate::render::File;

/// `RAMFS_MAGIC` of the kernel, which the library does not know.
const RAMFS: FsType = FsType(0x8584_58f6);

/// Where files that are only in memory can be, after the caller's own folder.
const PLACES: [&str; 2] = ["/dev/shm", "/run"];

/// A folder of files, which are gone when it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    made: bool,
}

impl Folder {
    /// Chooses where the folder will be; nothing is made yet, so that it can be told before what is to
    /// be removed.
    ///
    /// # Errors
    /// Where there is no place in memory that this user may write to.
    pub fn choose(environment: &dyn Environment) -> Result<Self, Error> {
        let own = environment.variable("XDG_RUNTIME_DIR");
        let own = own.and_then(|path| path.into_string().ok());
        let places = own.iter().map(String::as_str).chain(PLACES);
        let place = places
            .map(Path::new)
            .find(|place| is_in_memory(place) && is_writable(place));
        let Some(place) = place else {
            return Err(Error::System {
                doing: "make a folder for the command's files",
                reason: "there is none in memory that may be written to: XDG_RUNTIME_DIR, /dev/shm and /run were tried \
                         (a container gets one by --tmpfs /run)"
                    .to_owned(),
            });
        };
        let name = format!(
            "vaultexec-{}-{:016x}",
            std::process::id(),
            fastrand::u64(..)
        );
        Ok(Self {
            path: place.join(name),
            made: false,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes files, each in one step: whoever opens one has the old one or the new one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&mut self, files: &[File]) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let written = self
            .make()
            .and_then(|()| files.iter().try_for_each(|file| self.write_one(file)));
        written.map_err(|error| Error::system("write the command's files", &error))
    }

    fn make(&mut self) -> io::Result<()> {
        if self.made {
            return Ok(());
        }
        DirBuilder::new().mode(0o700).create(&self.path)?;
        self.made = true;
        // A umask may have taken away from it.
        fs::set_permissions(&self.path, Permissions::from_mode(0o700))
    }

    fn write_one(&self, file: &File) -> io::Result<()> {
        let new = self.path.join(NEW);
        let mut options = OpenOptions::new();
        let mut opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        opened.set_permissions(Permissions::from_mode(0o600))?;
        let written = opened
            .write_all(file.contents.expose().as_bytes())
            .and_then(|()| fs::rename(&new, self.path.join(file.name)));
        if written.is_err() {
            // What could not be written whole is not left there either.
            let _removed = fs::remove_file(&new);
        }
        written
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = remove(&self.path)
        {
            log::warn!(event = "left"; "cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The name of a file that is being written.
const NEW: &str = "new";

/// Removes such a folder, and nothing else that somebody may have put there in its place.
///
/// # Errors
/// When the system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    for name in [
        NEW,
        crate::render::passfile::NAME,
        crate::render::service::NAME,
    ] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_in_memory(place: &Path) -> bool {
    statfs(place).is_ok_and(|found| [TMPFS_MAGIC, RAMFS].contains(&found.filesystem_type()))
}

fn is_writable(place: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    access(place, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;
    use crate::sensitive::Sensitive;

    fn file(contents: &str) -> File {
        File {
            name: crate::render::service::NAME,
            contents: Sensitive::from(contents),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o7777
    }

    #[test]
    fn files_are_for_their_user_alone_are_replaced_whole_and_go_with_the_folder() {
        let mut folder = Folder::choose(&Given(vec![])).expect("a place in memory");
        let path = folder.path().to_owned();
        assert!(!path.exists(), "nothing is made before it is told of");
        folder.write(&[file("one")]).expect("written");
        let name = path.join(crate::render::service::NAME);
        assert_eq!((mode(&path), mode(&name)), (0o700, 0o600));
        let opened_before = fs::File::open(&name).expect("open");
        folder.write(&[file("two")]).expect("written");
        assert_eq!(fs::read_to_string(&name).expect("text"), "two");
        let before = io::read_to_string(opened_before).expect("text");
        assert_eq!(before, "one", "whoever has the old one keeps it whole");
        assert_eq!(fs::read_dir(&path).expect("entries").count(), 1);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_on_a_disk_is_not_taken() {
        let disk = env!("CARGO_MANIFEST_DIR");
        let folder = Folder::choose(&Given(vec![("XDG_RUNTIME_DIR", disk)])).expect("another");
        assert_eq!(
            folder.path().starts_with(disk),
            is_in_memory(Path::new(disk))
        );
        let folder = Folder::choose(&Given(vec![("XDG_RUNTIME_DIR", "/dev/shm")])).expect("it");
        assert!(folder.path().starts_with("/dev/shm"));
    }

    #[test]
    fn what_is_removed_is_our_own_and_may_be_gone() {
        let mut folder = Folder::choose(&Given(vec![])).expect("a place in memory");
        folder.write(&[file("one")]).expect("written");
        let other = folder.path().join("other");
        fs::write(&other, "x").expect("written");
        assert!(remove(folder.path()).is_err(), "somebody else's file stays");
        assert!(other.exists());
        fs::remove_file(&other).expect("removed");
        remove(folder.path()).expect("removed");
        remove(folder.path()).expect("gone already");
    }
}
