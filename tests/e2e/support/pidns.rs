//! Running something as PID 1 of a new PID namespace, as a container does.

use super::poll_until;
use super::procfs;
use super::run::Run;
use super::running::Running;
use nix::unistd::Uid;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// The command in front.
fn unshare() -> Vec<&'static str> {
    // --kill-child: what is inside does not outlive `unshare`. -r only where it is needed: root keeps its real privileges.
    let user = if Uid::effective().is_root() {
        None
    } else {
        Some("-Ur")
    };
    ["unshare"]
        .into_iter()
        .chain(user)
        .chain(["-p", "-f", "--mount-proc", "--kill-child", "--"])
        .collect()
}

/// Fails the test, with the remedy, where namespaces cannot be had.
#[track_caller]
pub fn require() {
    static PROBLEM: OnceLock<Option<String>> = OnceLock::new();
    let problem = PROBLEM.get_or_init(|| {
        let words = unshare();
        let output = Command::new(words[0])
            .args(&words[1..])
            .arg("true")
            .output();
        match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Some(error.to_string()),
        }
    });
    if let Some(problem) = problem {
        panic!(
            "the PID 1 tests need a PID namespace, and `{}` failed: {problem}\n\
             Run the tests as root, or allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1` (Debian), \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu); in a container add `--privileged`",
            unshare().join(" ")
        );
    }
}

/// `run` as PID 1. `Running::pid` is `unshare`'s, whose end is the program's (code or signal); see `pid_1`.
#[track_caller]
pub fn as_pid_1(run: Run) -> Run {
    require();
    run.under(unshare())
}

/// The pid, seen from outside, of the PID 1 inside, once it is the program itself: send signals there.
#[track_caller]
pub fn pid_1(running: &Running) -> i32 {
    let found = poll_until(Duration::from_secs(90), || {
        let child = *running.children().first()?;
        let name = procfs::arguments(child).into_iter().next()?;
        (name != b"unshare").then_some(child)
    });
    found.unwrap_or_else(|| panic!("nothing runs in the namespace: {}", running.stderr_so_far()))
}
