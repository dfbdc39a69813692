//! A file that holds a secret: opened once, judged by what was opened, and removed only if it is still
//! the file that was read.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::environment::{Environment as _, Inherited};
use crate::sys::process;

/// Whether others' rights on a file are an error; set once, by the settings.
static STRICT: AtomicBool = AtomicBool::new(false);

/// The files that secrets were read from, by the path they were opened by, as device and inode.
static READ: Mutex<Vec<(PathBuf, (u64, u64))>> = Mutex::new(Vec::new());

/// Refuses files that others may read or write, in place of warning of them.
pub fn refuse_weak_permissions() {
    STRICT.store(true, Ordering::Relaxed);
}

/// Opens a file that holds a secret. What others may do with it is told, once.
///
/// # Errors
/// When it cannot be opened, or in words why it is refused.
pub fn open_secret(path: &Path) -> io::Result<Result<File, String>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let identity = (metadata.dev(), metadata.ino());
    // A pipe with a name is whoever's may open it; one without has the mode and owner of its maker's.
    let weakness = if metadata.is_file() || metadata.file_type().is_fifo() {
        weakness(path, &metadata)
    } else {
        None
    };
    let strict = STRICT.load(Ordering::Relaxed);
    let is_new = remember(path, identity);
    match weakness {
        Some(words) if strict => return Ok(Err(format!("{words} (--strict-permissions)"))),
        Some(words) if is_new => log::warn!(event = "weak_permissions"; "{words}"),
        _ => {}
    }
    Ok(Ok(file))
}

/// Notes which file was read at a path; says whether it is another one than before.
fn remember(path: &Path, identity: (u64, u64)) -> bool {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = read.iter_mut().find(|(known, _)| known == path) {
        return std::mem::replace(known, identity) != identity;
    }
    read.push((path.to_owned(), identity));
    true
}

fn read_at(path: &Path) -> Option<(u64, u64)> {
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let found = read.iter().find(|(known, _)| known == path);
    found.map(|(_, identity)| *identity)
}

/// What others may do with a file, in words.
fn weakness(path: &Path, metadata: &Metadata) -> Option<String> {
    let facts = Facts {
        owner: metadata.uid(),
        mode: metadata.mode() & 0o7777,
        mounted: is_mounted_for_us(path),
        closed_folder: is_in_closed_folder(path),
    };
    let what = facts.judge(process::user())?;
    let shown = path.display();
    Some(format!(
        "{shown} holds a secret, and {what}: it should belong to the user that vaultexec runs as, with mode 0600"
    ))
}

/// What decides about a file.
#[derive(Clone, Copy, Debug)]
struct Facts {
    owner: u32,
    mode: u32,
    /// A container engine or systemd has put it there, with rights that nobody can choose.
    mounted: bool,
    /// Nobody but the owner gets into its folder.
    closed_folder: bool,
}

impl Facts {
    fn judge(self, us: u32) -> Option<String> {
        let Self { owner, mode, .. } = self;
        if owner != us && owner != 0 {
            return Some(format!("it belongs to user {owner}"));
        }
        if self.closed_folder {
            return None;
        }
        let readable = if self.mounted {
            0
        } else if owner == us {
            0o044
        } else {
            // Root's file is given to others by way of their group.
            0o004
        };
        match (mode & 0o022 != 0, mode & readable != 0) {
            (true, _) => Some(format!("others may write it (mode {mode:04o})")),
            (_, true) => Some(format!("others may read it (mode {mode:04o})")),
            _ => None,
        }
    }
}

/// Whether it is one of Kubernetes' projected files (a link by way of a folder `..data`), of Docker's
/// secrets or of systemd's credentials.
fn is_mounted_for_us(path: &Path) -> bool {
    let Ok(real) = path.canonicalize() else {
        return false;
    };
    let below = |folder: &Path| real.starts_with(folder);
    let projected = path.parent().is_some_and(|folder| {
        folder
            .join("..data")
            .canonicalize()
            .is_ok_and(|data| below(&data))
    });
    let credentials = Inherited
        .variable("CREDENTIALS_DIRECTORY")
        .is_some_and(|folder| {
            Path::new(&folder)
                .canonicalize()
                .is_ok_and(|folder| below(&folder))
        });
    projected
        || credentials
        || below(Path::new("/run/secrets"))
        || below(Path::new("/run/credentials"))
}

/// Whether the folder it lies in lets nobody in but its owner, who is root or us.
fn is_in_closed_folder(path: &Path) -> bool {
    let Some(folder) = path
        .canonicalize()
        .ok()
        .and_then(|real| real.parent()?.metadata().ok())
    else {
        return false;
    };
    folder.mode().trailing_zeros() >= 6 && [0, process::user()].contains(&folder.uid())
}

/// What has become of a file that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, at least by this name.
    Removed {
        /// Where it was, behind links.
        place: PathBuf,
        /// Whether there are hard links, by which it can still be read.
        other_names: bool,
    },
    /// It is still there, for this reason.
    Kept(String),
}

/// Removes the file that was read by this path, wherever a link leads; nothing that has taken its
/// place since, and nothing that is no regular file.
pub fn remove(path: &Path) -> Removal {
    let kept = |words: &str| Removal::Kept(words.to_owned());
    let (Some(read), Ok(place)) = (read_at(path), path.canonicalize()) else {
        return kept("it is not there any more");
    };
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
        return kept("it is no regular file");
    };
    let failed = |errno: nix::errno::Errno| Removal::Kept(errno.desc().to_owned());
    // The folder stays the same one, whatever its path comes to mean.
    let folder = match open(
        folder,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    ) {
        Ok(folder) => folder,
        Err(errno) => return failed(errno),
    };
    let found: FileStat = match fstatat(folder.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(errno) => return failed(errno),
    };
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return kept("it is no regular file");
    }
    if (found.st_dev, found.st_ino) != read {
        return kept("another file has taken its place since it was read");
    }
    match unlinkat(folder.as_fd(), name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) => Removal::Removed {
            place,
            other_names: found.st_nlink > 1,
        },
        Err(errno) => failed(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn who_may_read_or_write_it_beside_us_and_root_is_told() {
        let facts = |owner, mode| Facts {
            owner,
            mode,
            mounted: false,
            closed_folder: false,
        };
        let (us, other) = (1000, 1001);
        for (facts, told) in [
            (facts(us, 0o600), None),
            (facts(us, 0o400), None),
            (facts(us, 0o640), Some("read")),
            (facts(us, 0o604), Some("read")),
            (facts(us, 0o620), Some("write")),
            (facts(us, 0o666), Some("write")),
            // Given to a group by root.
            (facts(0, 0o640), None),
            (facts(0, 0o644), Some("read")),
            (facts(0, 0o660), Some("write")),
            (facts(other, 0o600), Some("belongs to user 1001")),
            (facts(other, 0o644), Some("belongs to user 1001")),
        ] {
            let judged = facts.judge(us);
            let as_told = match (&judged, told) {
                (Some(words), Some(told)) => words.contains(told),
                (None, None) => true,
                _ => false,
            };
            assert!(as_told, "{facts:?}: {judged:?}");
        }
        // As Kubernetes, Docker and systemd put them there.
        for mode in [0o644, 0o444, 0o440] {
            let mounted = Facts {
                mounted: true,
                ..facts(0, mode)
            };
            assert_eq!(mounted.judge(us), None, "{mode:o}");
        }
        let mounted = Facts {
            mounted: true,
            ..facts(0, 0o666)
        };
        assert!(mounted.judge(us).is_some());
        let hidden = Facts {
            closed_folder: true,
            ..facts(us, 0o644)
        };
        assert_eq!(hidden.judge(us), None);
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("vaultexec-{name}-{}", std::process::id()));
        let _before = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn what_was_read_is_removed_behind_a_link_and_other_names_are_told() {
        let folder = folder("removed");
        let (file, link, hard) = (
            folder.join("file"),
            folder.join("link"),
            folder.join("hard"),
        );
        fs::write(&file, "secret").expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        fs::hard_link(&file, &hard).expect("a link");
        let opened = open_secret(&link).expect("opened");
        assert!(opened.is_ok());
        let removed = Removal::Removed {
            place: file.canonicalize().expect("a path"),
            other_names: true,
        };
        assert_eq!(remove(&link), removed);
        assert!(!file.exists() && hard.exists());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_was_not_read_is_left_alone() {
        let folder = folder("left");
        let (file, other) = (folder.join("file"), folder.join("other"));
        fs::write(&file, "secret").expect("a file");
        fs::write(&other, "precious").expect("a file");
        assert!(matches!(remove(&file), Removal::Kept(_)), "never read");
        let _opened = open_secret(&file).expect("opened");
        fs::rename(&other, &file).expect("another in its place");
        let Removal::Kept(words) = remove(&file) else {
            panic!("removed")
        };
        assert!(words.contains("another file"), "{words}");
        assert_eq!(fs::read_to_string(&file).expect("there"), "precious");
        // A folder with such a file in the place of that with what was read.
        let pipe = folder.join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
        let stat = pipe.metadata().expect("there");
        remember(&pipe, (stat.dev(), stat.ino()));
        assert_eq!(
            remove(&pipe),
            Removal::Kept("it is no regular file".to_owned())
        );
        assert!(pipe.exists());
        fs::remove_dir_all(folder).expect("removed");
    }
}
