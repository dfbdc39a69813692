//! The probe child's other side: where it is, and how to read what it says.

use super::running::Running;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The commands of the probe, as command lines for `Run::child`. What each does is in `probe_child`.
pub struct Probe;

impl Probe {
    /// The program: this very test binary under the name `probe`, by which it knows its role. So it is always built, and it runs
    /// before Rust's own start, which would ignore SIGPIPE and reopen closed descriptors.
    pub fn path() -> &'static Path {
        static PATH: OnceLock<PathBuf> = OnceLock::new();
        PATH.get_or_init(|| {
            let program = std::env::current_exe().unwrap();
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program.file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            let link = folder.join("probe");
            // Two test processes of the same build make the same link: either's will do.
            if let Err(error) = symlink(&program, &link) {
                assert!(
                    fs::read_link(&link).is_ok_and(|target| target == program),
                    "{}: {error}",
                    link.display()
                );
            }
            link
        })
    }

    /// The command line with these words.
    pub fn command(words: &[&str]) -> Vec<String> {
        let program = Self::path()
            .to_str()
            .expect("the target folder's name is not UTF-8")
            .to_owned();
        std::iter::once(program)
            .chain(words.iter().map(|word| (*word).to_owned()))
            .collect()
    }

    /// Reports every catchable signal; see `probe_child`.
    pub fn signals() -> Vec<String> {
        Self::command(&["signals"])
    }

    /// As `signals`, with the default action left to those of the names given.
    pub fn signals_but(names: &[&str]) -> Vec<String> {
        Self::command(&[&["signals"], names].concat())
    }

    /// Exits at once.
    pub fn exit(code: i32) -> Vec<String> {
        Self::command(&["exit", &code.to_string()])
    }

    /// Kills itself by a signal, without a core file.
    pub fn die(signal: &str) -> Vec<String> {
        Self::command(&["die", signal])
    }

    /// Says what it was started with, as JSON; read it by `Probe::parse_status`.
    pub fn status() -> Vec<String> {
        Self::command(&["status"])
    }

    /// Stops itself by a signal, several times.
    pub fn stop_self(signal: &str, times: u32) -> Vec<String> {
        Self::command(&["stop-self", signal, &times.to_string()])
    }

    /// Ignores TERM.
    pub fn ignore_term() -> Vec<String> {
        Self::command(&["ignore-term"])
    }

    /// Sends TERM to its parent, then reports signals.
    pub fn term_parent() -> Vec<String> {
        Self::command(&["term-parent"])
    }

    /// Prints variables.
    pub fn env(names: &[&str]) -> Vec<String> {
        Self::command(&[&["env"], names].concat())
    }

    /// Makes orphans.
    pub fn spawn_orphans(count: u32) -> Vec<String> {
        Self::command(&["spawn-orphans", &count.to_string()])
    }

    /// What `Probe::status` printed.
    #[track_caller]
    pub fn parse_status(output: &[u8]) -> Value {
        serde_json::from_slice(output)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(output)))
    }

    /// Waits for the next signal that a `signals` probe reports: its name and the pid of the sender (0 is the kernel).
    #[track_caller]
    pub fn next_signal(running: &Running) -> (String, i32) {
        let line = running.wait_for_line("pid=");
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let pid = words
            .next()
            .and_then(|word| word.strip_prefix("pid="))
            .and_then(|pid| pid.parse().ok());
        (
            name,
            pid.unwrap_or_else(|| panic!("not a probe's line: {line:?}")),
        )
    }
}
