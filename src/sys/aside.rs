//! Another program, run for a moment beside the child: what it says is all that is wanted of it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{getpid, getppid};
use tokio::net::unix::pipe;

use super::pidfd::{Pidfd, signal_child};
use super::reap::{self, Pid};
use super::signal::Signal;

/// No program is heard out longer, in bytes.
const LONGEST: usize = 64 * 1024;

/// What a program has said.
#[derive(Debug)]
pub struct Said {
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub error: String,
}

/// A file in memory with these contents, which its owner alone can read.
///
/// # Errors
/// When the system has no descriptor or no memory to give.
pub fn file_in_memory(contents: &[u8]) -> io::Result<OwnedFd> {
    let file = File::from(memfd_create(c"vaultexec", MFdFlags::MFD_CLOEXEC)?);
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    nix::unistd::write(&file, contents)?;
    Ok(file.into())
}

/// Runs a program with nothing but these arguments, variables and standard input, until it has closed
/// its output. Its exit code is not waited for: as PID 1 whoever watches the child may have taken it.
/// It is killed when this is dropped, and when this process dies.
///
/// # Errors
/// When it cannot be started.
pub async fn run(
    program: &Path,
    arguments: &[&str],
    environment: Vec<(OsString, OsString)>,
    input: OwnedFd,
) -> io::Result<Said> {
    let mut command = Command::new(program);
    let vaultexec = getpid();
    // SAFETY: it makes two system calls on numbers, and touches nothing of this process's.
    unsafe {
        command.pre_exec(move || {
            // It holds a password, and must not outlive whoever would kill it.
            Errno::result(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if getppid() == vaultexec {
                Ok(())
            } else {
                Err(Errno::ESRCH.into())
            }
        });
    }
    let mut child = command
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What the terminal's keys send is for the child.
        .process_group(0)
        .spawn()?;
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let _ended = KilledWhenDropped::new(&child);
    let (out, error) = tokio::join!(read(out.map(OwnedFd::from)), read(error.map(OwnedFd::from)));
    Ok(Said {
        out: out?,
        error: error?,
    })
}

async fn read(pipe: Option<OwnedFd>) -> io::Result<String> {
    let Some(pipe) = pipe else {
        return Ok(String::new());
    };
    let pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut all = Vec::new();
    while all.len() < LONGEST {
        pipe.readable().await?;
        let mut part = [0; 4096];
        match pipe.try_read(&mut part) {
            Ok(0) => break,
            Ok(count) => all.extend(part.iter().take(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// A process that must not outlive what it was started for.
struct KilledWhenDropped {
    pid: Pid,
    pidfd: Option<Pidfd>,
}

impl KilledWhenDropped {
    fn new(child: &Child) -> Self {
        let pid = Pid::try_from(child.id()).unwrap_or_default();
        Self {
            pid,
            pidfd: Pidfd::open(pid),
        }
    }
}

impl Drop for KilledWhenDropped {
    fn drop(&mut self) {
        // It may be ending by itself; that is what is wanted.
        let _sent = signal_child(self.pid, self.pidfd.as_ref(), Signal::KILL);
        reap::until_ended(self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(script: &str, input: OwnedFd, limit: Duration) -> Option<io::Result<Said>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let sh = Path::new("/bin/sh");
        let variables = vec![("A".into(), "b".into())];
        runtime.block_on(async {
            let arguments = ["-c", script];
            let said = run(sh, &arguments, variables, input);
            tokio::time::timeout(limit, said).await.ok()
        })
    }

    fn contents(text: &str) -> OwnedFd {
        file_in_memory(text.as_bytes()).expect("a file")
    }

    #[test]
    fn it_has_its_variables_and_its_input_and_is_heard_out() {
        let script = "cat /proc/self/fd/0; stat -Lc %a /proc/self/fd/0; echo $A >&2";
        let said = shell(script, contents("x\n"), Duration::from_secs(60));
        let said = said.expect("in time").expect("started");
        assert_eq!(
            (said.out.as_str(), said.error.as_str()),
            ("x\n600\n", "b\n")
        );
    }

    #[test]
    fn one_that_is_given_up_is_killed() {
        let begun = Instant::now();
        let said = shell("exec sleep 1000", contents(""), Duration::from_millis(100));
        assert!(said.is_none() && begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn one_that_talks_without_end_is_not_heard_out() {
        let said = shell("yes", contents(""), Duration::from_secs(60));
        let said = said.expect("in time").expect("started");
        assert!(said.out.len() < LONGEST + 4096);
    }
}
