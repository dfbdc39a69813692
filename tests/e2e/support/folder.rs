//! A temporary folder that goes, with every server started in it, however the test process ends.

use nix::unistd::Uid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// Waits for the end of its standard input, whose only writer is the test process, and then cleans up: every `*.pid` file names
/// the leader of a process group. QUIT is PostgreSQL's immediate shutdown and ends a Go program too; KILL if that did not help.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP QUIT TSTP
read -r never
for file in "$1"/*.pid; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill -CONT "-$pid" 2>/dev/null
    kill -QUIT "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 30 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -KILL "-$pid" 2>/dev/null
done
rm -rf "$1"
"#;

/// A socket's path has 107 bytes, of which some are for the folder's and the socket's own names.
const LONGEST: usize = 60;

/// A folder of its own under the system's temporary folder.
pub struct Folder {
    path: PathBuf,
    // Both are there until the drop.
    watchdog: Mutex<Option<(Child, ChildStdin)>>,
}

impl Folder {
    /// Makes the folder and starts its watchdog.
    pub fn new() -> Result<Self, String> {
        Self::under(base())
    }

    fn under(base: &Path) -> Result<Self, String> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("vaultexec-e2e-{}-{number}", std::process::id());
        let path = base.join(name);
        let failed = |what: &str, error: std::io::Error| {
            format!("cannot {what} {}: {error}", path.display())
        };
        fs::create_dir(&path).map_err(|error| failed("create", error))?;
        // PostgreSQL runs as another user where the tests run as root, and has to get to its own folder in here.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711))
            .map_err(|error| failed("open up", error))?;
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", WATCHDOG, "watchdog"]).arg(&path);
        command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map_err(|error| failed("start the watchdog (setsid, sh) of", error))?;
        let stdin = child.stdin.take().ok_or("the watchdog has no pipe")?;
        Ok(Self {
            path,
            watchdog: Mutex::new(Some((child, stdin))),
        })
    }

    /// One from which programs can be run, which the system's temporary folder may not allow: under cargo's own.
    pub fn for_programs() -> Result<Self, String> {
        Self::under(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The system's temporary folder, unless the servers could not work there: root's PostgreSQL is another user's, who may have no way
/// into it, and a socket's path is short.
fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let folder = std::env::temp_dir();
        let fits = folder.as_os_str().len() <= LONGEST;
        if fits && (!Uid::effective().is_root() || is_open_to_all(&folder)) {
            folder
        } else {
            PathBuf::from("/tmp")
        }
    })
}

/// Whether every user can get to what is in there.
fn is_open_to_all(folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else {
        return false;
    };
    folder.ancestors().all(|part| {
        let passable = |data: fs::Metadata| data.permissions().mode() & 0o001 != 0;
        fs::metadata(part).is_ok_and(passable)
    })
}

/// Writes a file that only its owner may read.
pub fn write_secret(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, "").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, text).unwrap();
}

impl Drop for Folder {
    fn drop(&mut self) {
        let watchdog = self.watchdog.lock().map(|mut slot| slot.take());
        if let Ok(Some((mut child, stdin))) = watchdog {
            drop(stdin);
            let _ = child.wait();
        }
    }
}
