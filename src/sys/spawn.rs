//! Starts the child so that it cannot tell vaultexec from a bare `exec`.
//!
//! The standard library's `Command` would reset the signal mask and SIGPIPE, and cannot set a
//! variable that depends on the child's own pid; so this forks and executes by itself. Between the
//! two only async-signal-safe calls are made, on memory that was laid out before.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::{ForkResult, fork, getpid, pipe2};

use super::pidfd::{Pidfd, signal_child};
use super::reap::Pid;
use super::signal::Signal;
use super::watched::Named;
use super::{inherited, mask, terminal};

/// Variables of systemd that hold the pid of the process they are for: socket activation, the
/// watchdog, and whether it was systemd that started it.
const NAMES_ITS_PROCESS: [&str; 3] = ["LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];

/// The same by the number of a descriptor, which the child's cannot be known before it is there.
const LISTEN_PIDFDID: &str = "LISTEN_PIDFDID";

/// What is to be started.
pub struct Program {
    path: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// For a script without a `#!` line, which `execvp(3)` gives to the shell.
    shell_arguments: Vec<CString>,
    /// Which of the variables named this process, and so have to name the child.
    names_its_process: Vec<&'static str>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Arguments are public, the environment is not.
        write!(formatter, "Program({:?})", self.arguments)
    }
}

/// A value with a NUL byte cannot be given to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasNul;

impl Program {
    /// `path` is what is executed, `arguments` start with the name it is called by.
    ///
    /// # Errors
    /// When a path, an argument or a variable holds a NUL byte.
    pub fn new(
        path: &Path,
        arguments: &[OsString],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, HasNul> {
        let path = c_string(path.as_os_str())?;
        let arguments = arguments
            .iter()
            .map(|argument| c_string(argument))
            .collect::<Result<Vec<_>, _>>()?;
        let mut shell_arguments = vec![c_string(OsStr::new("sh"))?, path.clone()];
        shell_arguments.extend(arguments.iter().skip(1).cloned());
        let ours = getpid().to_string();
        let mut names_its_process = Vec::new();
        let mut entries = Vec::new();
        for (name, value) in environment {
            let ours = NAMES_ITS_PROCESS
                .into_iter()
                .find(|known| name == *known && value == *ours);
            if let Some(known) = ours {
                names_its_process.push(known);
                continue;
            }
            if name == LISTEN_PIDFDID {
                continue;
            }
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend_from_slice(value.as_bytes());
            entries.push(CString::new(entry).map_err(|_| HasNul)?);
        }
        Ok(Self {
            path,
            arguments,
            environment: entries,
            shell_arguments,
            names_its_process,
        })
    }
}

fn c_string(text: &OsStr) -> Result<CString, HasNul> {
    CString::new(text.as_bytes()).map_err(|_| HasNul)
}

/// A child that has not been waited for yet.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    /// Absent where the kernel has no such descriptors.
    pidfd: Option<Pidfd>,
    /// Where it says why it could not execute the program.
    failure: OwnedFd,
}

impl Child {
    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// What another process has to know to watch it: this one has not been waited for yet, and is
    /// surely the one that is meant.
    #[must_use]
    pub fn named(&self) -> Named {
        Named::of(self.pid)
    }

    /// A descriptor that names it whatever becomes of its number.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(Pidfd::descriptor)
    }

    /// Why the program could not be executed, once the child has ended; nothing if it was.
    #[must_use]
    pub fn exec_failure(&self) -> Option<Errno> {
        let mut errno = [0u8; size_of::<i32>()];
        let read = nix::unistd::read(&self.failure, &mut errno);
        (read == Ok(errno.len())).then(|| Errno::from_raw(i32::from_ne_bytes(errno)))
    }

    /// Sends it a signal. One that comes too late is of no consequence.
    ///
    /// # Errors
    /// `EPERM` when it runs as another user, whom this process may not signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        signal_child(self.pid, self.pidfd.as_ref(), signal)
    }
}

/// Why there is no child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnError {
    /// The system had no process or descriptor to give.
    Fork(Errno),
    /// Signals have come that the child would not hear of: they have to be looked at first.
    SignalsWait,
}

/// Starts `program`. With `when_orphaned` the kernel sends the child that signal if vaultexec dies
/// before it. Must be called from the main thread, whose death is what the kernel watches.
///
/// Whether the program could be executed is not waited for, since the child can be stopped before
/// it is: [`Child::exec_failure`] tells when the child has ended.
///
/// Nothing is started if `signal_waits` says that a signal which has come, but has not been looked at, is
/// one that matters: what the terminal's keys sent before there was a child, the child has not had.
///
/// The program does not begin before `announce` has come back: whoever is to end the child when
/// vaultexec is killed knows of it by then. If vaultexec is killed earlier, the program never runs.
///
/// # Errors
/// [`SpawnError`]; nothing of the attempt remains.
pub fn spawn(
    program: &Program,
    when_orphaned: Option<Signal>,
    signal_waits: impl FnOnce() -> bool,
    announce: impl FnOnce(&Child),
) -> Result<Child, SpawnError> {
    let (failure_reader, failure_writer) =
        pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(SpawnError::Fork)?;
    let no_socket = |error: io::Error| {
        SpawnError::Fork(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    let (ours, theirs) = UnixStream::pair().map_err(no_socket)?;
    let mut image = Image::of(program);
    let birth = Birth {
        parent: getpid().as_raw(),
        when_orphaned,
        own_group: !terminal::is_there(),
        gate: theirs.as_raw_fd(),
        parents_end: ours.as_raw_fd(),
    };
    // A signal that comes between fork and exec must not run our handler in the child, where it
    // would look like one of ours: it stays pending until the child's own state is in place.
    let blocked = mask::AllBlocked::new();
    if signal_waits() {
        return Err(SpawnError::SignalsWait);
    }
    // SAFETY: the child only makes async-signal-safe calls until it executes or exits.
    let forked = unsafe { fork() }.map_err(SpawnError::Fork)?;
    let ForkResult::Parent { child } = forked else {
        let errno = become_program(&mut image, birth);
        give_up(failure_writer.as_raw_fd(), errno);
    };
    drop(failure_writer);
    drop(theirs);
    let pid = child.as_raw();
    let child = Child {
        pid,
        pidfd: Pidfd::open(pid),
        failure: failure_reader,
    };
    announce(&child);
    if birth.own_group {
        until_ready(&ours);
    }
    let_go(&ours);
    drop(blocked);
    Ok(child)
}

/// Waits until the child has left the group and discarded what it got there: a signal that is passed on
/// before would be discarded with it. That is a matter of microseconds, unless somebody stops it.
fn until_ready(gate: &UnixStream) {
    let longest = PollTimeout::from(1000u16);
    // Its byte, or its end.
    let _heard = poll(&mut [PollFd::new(gate.as_fd(), PollFlags::POLLIN)], longest);
}

/// Lets the child go on to its program. One that has been killed meanwhile does not hear it.
fn let_go(gate: &UnixStream) {
    let _sent = send(gate.as_raw_fd(), b"\0", MsgFlags::MSG_NOSIGNAL);
}

/// The program laid out as `execve(2)` takes it.
struct Image<'a> {
    path: &'a CString,
    arguments: Vec<*const c_char>,
    shell_arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// Variables that name the process, with room for the pid that only the child knows.
    names_its_process: Vec<Box<[u8]>>,
}

impl<'a> Image<'a> {
    fn of(program: &'a Program) -> Self {
        let names = program.names_its_process.iter();
        let entries = names.map(|name| {
            format!("{name}={:\0<PID_ROOM$}", "")
                .into_bytes()
                .into_boxed_slice()
        });
        let names_its_process: Vec<_> = entries.collect();
        let mut environment = pointers(&program.environment);
        // Room for them, so that nothing is allocated in the child.
        environment.extend(names_its_process.iter().map(|_| std::ptr::null()));
        Self {
            path: &program.path,
            arguments: pointers(&program.arguments),
            shell_arguments: pointers(&program.shell_arguments),
            environment,
            names_its_process,
        }
    }

    /// Runs in the child: gives the variables that name the process their value and their place in
    /// the environment.
    fn fill_in_pid(&mut self) {
        // SAFETY: a plain system call.
        let mut rest = unsafe { libc::getpid() };
        let mut digits = [0u8; PID_ROOM];
        let mut count = 0;
        for digit in &mut digits {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        // The environment ends with a null for each of them, and one more.
        let mut places = self
            .environment
            .iter_mut()
            .filter(|pointer| pointer.is_null());
        for entry in &mut self.names_its_process {
            let value = entry.iter_mut().skip_while(|byte| **byte != b'=').skip(1);
            for (place, digit) in value.zip(digits.iter().take(count).rev()) {
                *place = *digit;
            }
            if let Some(place) = places.next() {
                *place = entry.as_ptr().cast();
            }
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Room for any pid of Linux (at most 4,194,304) and the NUL that ends it.
const PID_ROOM: usize = 8;

/// What a child has to know of the process that it comes from.
#[derive(Clone, Copy)]
struct Birth {
    parent: Pid,
    when_orphaned: Option<Signal>,
    /// Without a terminal the child leaves the group: a signal that somebody sends to the whole
    /// group is passed on to it, and would reach it twice. At a terminal it stays, for the keys and
    /// the shell know of one group only.
    own_group: bool,
    /// Where the child says that it has left the group, and hears that it may go on.
    gate: RawFd,
    /// The other end, which the child has got too, and must not hold open.
    parents_end: RawFd,
}

/// Runs in the child. Comes back only with the reason why there is no new program.
fn become_program(image: &mut Image<'_>, birth: Birth) -> Errno {
    let Birth { parent, .. } = birth;
    if birth.own_group {
        // SAFETY: a plain system call on numbers.
        unsafe { libc::setpgid(0, 0) };
        // What was sent to the group before, vaultexec has got as well, and will pass on: to ignore
        // a signal discards it where it is pending.
        mask::ignore_all();
        // SAFETY: one byte of a constant.
        unsafe { libc::write(birth.gate, c"".as_ptr().cast(), 1) };
    }
    if let Some(signal) = birth.when_orphaned {
        // SAFETY: plain system calls on numbers.
        let orphaned = unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, signal.number());
            libc::getppid() != parent
        };
        if orphaned {
            // vaultexec died before the kernel was told to watch it.
            // SAFETY: ends this process.
            unsafe { libc::_exit(1) };
        }
    }
    image.fill_in_pid();
    if !may_go_on(birth) {
        // SAFETY: ends this process.
        unsafe { libc::_exit(1) };
    }
    for descriptor in 0..3 {
        if usize::try_from(descriptor).is_ok_and(inherited::closed) {
            // SAFETY: the runtime opened it for itself; the child is to find it closed.
            unsafe { libc::close(descriptor) };
        }
    }
    mask::restore_inherited();
    let environment = image.environment.as_ptr();
    // SAFETY: all arrays end with a null pointer and point to strings that outlive the call.
    unsafe {
        libc::execve(image.path.as_ptr(), image.arguments.as_ptr(), environment);
        if Errno::last() == Errno::ENOEXEC {
            libc::execve(
                c"/bin/sh".as_ptr(),
                image.shell_arguments.as_ptr(),
                environment,
            );
        }
    }
    Errno::last()
}

/// Runs in the child: waits until vaultexec has made it known; says no when vaultexec died before.
fn may_go_on(birth: Birth) -> bool {
    let mut byte = 0u8;
    // SAFETY: both descriptors are this process's own, and `byte` has room for what is read. All
    // signals are blocked, so that nothing interrupts the call for good.
    unsafe {
        libc::close(birth.parents_end);
        libc::read(birth.gate, (&raw mut byte).cast(), 1) == 1
    }
}

/// Runs in the child: tells the parent why, and ends.
fn give_up(pipe: RawFd, errno: Errno) -> ! {
    let bytes = (errno as i32).to_ne_bytes();
    // SAFETY: `bytes` is valid for reading; `_exit` runs no destructors of the parent's.
    unsafe {
        libc::write(pipe, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::reap;

    #[test]
    fn the_program_does_not_begin_before_the_child_is_known() {
        let (reader, writer) = nix::unistd::pipe().expect("a pipe");
        // By its path, because a shell takes only one digit after `>&`.
        let says = format!("echo >/dev/fd/{}", writer.as_raw_fd());
        let arguments = ["sh", "-c", &says].map(OsString::from);
        let program = Program::new(Path::new("/bin/sh"), &arguments, []).expect("no NUL");
        let begun = |within_ms: u16| {
            let mut pipe = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            poll(&mut pipe, PollTimeout::from(within_ms)) == Ok(1)
        };
        let announce = |_: &Child| assert!(!begun(200), "it has begun");
        let child = spawn(&program, None, || false, announce).expect("a child");
        assert!(begun(60_000));
        reap::until_ended(child.pid());
    }

    #[test]
    fn the_program_never_begins_when_vaultexec_has_died_before() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let birth = Birth {
            parent: 0,
            when_orphaned: None,
            own_group: false,
            gate: theirs.as_raw_fd(),
            // The child closes its copy of it, and then nobody has one.
            parents_end: std::os::fd::IntoRawFd::into_raw_fd(ours),
        };
        assert!(!may_go_on(birth));
    }
}
