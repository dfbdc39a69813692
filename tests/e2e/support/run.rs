//! Starting vaultexec, or any other program, under exactly known circumstances.

use super::fresh::{check, start_fresh};
use super::postgres::Postgres;
use super::running::{Finished, Running};
use super::transcript::Transcript;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a run may take unless a test says otherwise. It is there for what hangs: a machine may be slow.
const DEADLINE: Duration = Duration::from_secs(240);

/// Where the new process stands among the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a new session, without a terminal: the same under every test runner, and all its descendants can be found.
    Session,
    /// In a new process group of the tests' session.
    Group,
    /// Among the tests.
    Inherit,
}

enum Input {
    Null,
    Bytes(Vec<u8>),
    Piped,
    From(Stdio),
}

/// A program that is about to run. The environment is clean: PATH, HOME (an empty folder) and LANG, and what is added.
pub struct Run {
    program: OsString,
    prefix: Vec<OsString>,
    args: Vec<OsString>,
    arg0: Option<OsString>,
    env: BTreeMap<OsString, OsString>,
    folder: Option<PathBuf>,
    input: Input,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
    hooks: Vec<Hook>,
    place: Place,
    deadline: Duration,
    canaries: Vec<Arc<Mutex<Vec<String>>>>,
    may_leave_processes: bool,
}

type Hook = Box<dyn FnMut() -> io::Result<()> + Send + Sync>;

impl Run {
    /// The product.
    pub fn vaultexec() -> Self {
        Self::of(Self::binary())
    }

    /// The path of the product: cargo's own build, unless VAULTEXEC_TEST_BINARY names another one.
    pub fn binary() -> String {
        let Ok(named) = std::env::var("VAULTEXEC_TEST_BINARY") else {
            return env!("CARGO_BIN_EXE_vaultexec").to_owned();
        };
        // Tests change the folder they run in.
        let path = fs::canonicalize(&named)
            .unwrap_or_else(|error| panic!("VAULTEXEC_TEST_BINARY={named}: {error}"));
        path.into_os_string().into_string().unwrap()
    }

    /// Any program, e.g. the child alone, to compare.
    pub fn of(program: impl AsRef<OsStr>) -> Self {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
        fs::create_dir_all(&home).unwrap();
        let run = Self {
            program: program.as_ref().to_owned(),
            prefix: Vec::new(),
            args: Vec::new(),
            arg0: None,
            env: BTreeMap::new(),
            folder: None,
            input: Input::Null,
            stdout: None,
            stderr: None,
            hooks: Vec::new(),
            place: Place::Session,
            deadline: DEADLINE,
            canaries: Vec::new(),
            may_leave_processes: false,
        };
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        // Children find psql where only PostgreSQL's own folder has it.
        let folders = Postgres::programs_folder();
        let known: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let folders = folders.into_iter().filter(|folder| !known.contains(folder));
        let folders = folders.chain(known.iter().cloned());
        let path = std::env::join_paths(folders).unwrap_or(path);
        run.env("PATH", path)
            .env("HOME", home)
            .env("LANG", "C.UTF-8")
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// `--` and the child's command line.
    pub fn child<A: AsRef<OsStr>>(self, command: impl IntoIterator<Item = A>) -> Self {
        self.arg("--").args(command)
    }

    /// What the program is called in its own argv; not together with `under`.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Runs the whole under another program: `under(["unshare", "-pf"])`.
    pub fn under<A: AsRef<OsStr>>(mut self, prefix: impl IntoIterator<Item = A>) -> Self {
        let outer: Vec<OsString> = prefix
            .into_iter()
            .map(|part| part.as_ref().to_owned())
            .collect();
        self.prefix.splice(0..0, outer);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Sets a variable whose name and value need not be UTF-8.
    pub fn env_bytes(mut self, name: &[u8], value: &[u8]) -> Self {
        self.env.insert(
            OsString::from_vec(name.to_vec()),
            OsString::from_vec(value.to_vec()),
        );
        self
    }

    /// Takes a variable away.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.env.remove(OsStr::new(name));
        self
    }

    /// The variables as they are now.
    pub fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.env
    }

    /// Runs in that folder.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Standard input gives these bytes and ends; without it, it is /dev/null.
    pub fn stdin_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Standard input is a pipe that the test writes to: `Running::say`.
    pub fn stdin_piped(mut self) -> Self {
        self.input = Input::Piped;
        self
    }

    /// Standard input is that file or pipe.
    pub fn stdin(mut self, input: impl Into<Stdio>) -> Self {
        self.input = Input::From(input.into());
        self
    }

    /// Standard output goes there and is not looked at.
    pub fn stdout(mut self, output: impl Into<Stdio>) -> Self {
        self.stdout = Some(output.into());
        self
    }

    /// Standard error goes there (e.g. /dev/full) and is not looked at.
    pub fn stderr(mut self, output: impl Into<Stdio>) -> Self {
        self.stderr = Some(output.into());
        self
    }

    /// Something to do in the new process just before the exec, in the order given. Async-signal-safe calls only.
    pub fn before_exec(
        mut self,
        hook: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// The program starts with that signal ignored.
    pub fn ignoring(self, signal: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: signal() is async-signal-safe and SIG_IGN a valid disposition.
            let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
            check(if before == libc::SIG_ERR { -1 } else { 0 })
        })
    }

    /// The program starts with that signal blocked.
    pub fn blocking(self, signal: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: a zeroed set is a valid argument of sigemptyset; all three are async-signal-safe.
            check(unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigaddset(&mut set, signal);
                libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
            })
        })
    }

    /// The program starts with that descriptor closed.
    pub fn closing(self, descriptor: i32) -> Self {
        self.before_exec(move || {
            // SAFETY: the new process is about to exec; nothing of ours uses the descriptor any more.
            unsafe { libc::close(descriptor) };
            Ok(())
        })
    }

    /// The program gets that descriptor of the tests under the same number; without it, only 0, 1 and 2.
    pub fn inheriting(self, descriptor: i32) -> Self {
        // SAFETY: clears the close-on-exec flag, in the new process only.
        self.before_exec(move || check(unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) }))
    }

    /// The program starts with that soft limit, e.g. `libc::RLIMIT_NOFILE`, or the hard one where that is lower.
    pub fn limited(self, resource: u32, soft: u64) -> Self {
        self.before_exec(move || {
            // SAFETY: a plain struct out and in.
            check(unsafe {
                let mut limit = std::mem::zeroed::<libc::rlimit>();
                libc::getrlimit(resource as _, &mut limit);
                limit.rlim_cur = limit.rlim_max.min(soft);
                libc::setrlimit(resource as _, &limit)
            })
        })
    }

    /// Where the process stands; a session of its own by default.
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// How long it may take, in place of four minutes.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Secrets that may not occur in its output; a tenant's command has the tenant's already.
    pub fn canaries(mut self, secrets: &Arc<Mutex<Vec<String>>>) -> Self {
        self.canaries.push(Arc::clone(secrets));
        self
    }

    /// One more secret that may not occur.
    pub fn canary(self, secret: &str) -> Self {
        self.canaries(&Arc::new(Mutex::new(vec![secret.to_owned()])))
    }

    /// The child prints its secrets itself: do not look for them.
    pub fn may_print_secrets(mut self) -> Self {
        self.canaries.clear();
        self
    }

    /// Do not insist that no process of the session is left at the end.
    pub fn may_leave_processes(mut self) -> Self {
        self.may_leave_processes = true;
        self
    }

    /// Runs it to its end. Past the deadline everything is killed and the test fails with all that was written.
    #[track_caller]
    pub fn output(self) -> Finished {
        self.spawn().wait()
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(self) -> Running {
        self.start(None)
    }

    /// Starts it on a terminal, as the leader of the terminal's session.
    #[track_caller]
    pub(super) fn spawn_on(self, terminal: OwnedFd, screen: Arc<Transcript>) -> Running {
        self.start(Some((terminal, screen)))
    }

    /// The whole as a line for a POSIX shell, without the environment.
    pub fn shell_line(&self) -> String {
        let quote =
            |part: &OsString| format!("'{}'", part.to_str().expect("UTF-8").replace('\'', r"'\''"));
        self.words().iter().map(quote).collect::<Vec<_>>().join(" ")
    }

    /// The same environment and secrets for another program: e.g. a shell that is to run `shell_line`.
    pub fn replaced_by(mut self, program: impl AsRef<OsStr>) -> Self {
        self.program = program.as_ref().to_owned();
        self.args.clear();
        self.prefix.clear();
        self
    }

    fn words(&self) -> Vec<OsString> {
        let program = std::iter::once(&self.program);
        self.prefix
            .iter()
            .chain(program)
            .chain(&self.args)
            .cloned()
            .collect()
    }

    #[track_caller]
    fn start(mut self, terminal: Option<(OwnedFd, Arc<Transcript>)>) -> Running {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(&self.env);
        if let Some(name) = &self.arg0 {
            command.arg0(name);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut bytes = None;
        let controlling = terminal.as_ref().map(|(slave, _)| slave.as_raw_fd());
        let on_terminal = terminal
            .as_ref()
            .map(|(slave, _)| slave.try_clone().unwrap());
        if let Some((slave, _)) = &terminal {
            let end = || Stdio::from(slave.try_clone().unwrap());
            command.stdin(end());
            command
                .stdout(self.stdout.take().unwrap_or_else(end))
                .stderr(self.stderr.take().unwrap_or_else(end));
        } else {
            match std::mem::replace(&mut self.input, Input::Null) {
                Input::Null => command.stdin(Stdio::null()),
                Input::From(input) => command.stdin(input),
                Input::Piped => command.stdin(Stdio::piped()),
                Input::Bytes(all) => {
                    bytes = Some(all);
                    command.stdin(Stdio::piped())
                }
            };
            command.stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
            command.stderr(self.stderr.take().unwrap_or_else(Stdio::piped));
        }
        let (place, mut hooks) = (self.place, std::mem::take(&mut self.hooks));
        let prepare = move || {
            start_fresh()?;
            // SAFETY: plain system calls; the terminal's descriptor is open until the exec.
            unsafe {
                match (controlling, place) {
                    (Some(slave), _) => {
                        check(libc::setsid())?;
                        check(libc::ioctl(slave, libc::TIOCSCTTY as _, 0))?;
                    }
                    (None, Place::Session) => check(libc::setsid())?,
                    (None, Place::Group) => check(libc::setpgid(0, 0))?,
                    (None, Place::Inherit) => {}
                }
            }
            hooks.iter_mut().try_for_each(|hook| hook())
        };
        // SAFETY: system calls only; the hooks are the tests' own and bound to the same rule.
        unsafe { command.pre_exec(prepare) };
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {words:?}: {error}"));
        let mut stdin = child.stdin.take();
        if let Some(all) = bytes
            && let Some(mut pipe) = stdin.take()
        {
            // A program that does not read to the end gives EPIPE here, which is its good right.
            thread::spawn(move || pipe.write_all(&all));
        }
        let (stdout, stderr) = match terminal {
            Some((_, screen)) => (screen, Transcript::none()),
            None => (
                child
                    .stdout
                    .take()
                    .map_or_else(Transcript::none, Transcript::of),
                child
                    .stderr
                    .take()
                    .map_or_else(Transcript::none, Transcript::of),
            ),
        };
        let started = Instant::now();
        Running {
            description: words
                .iter()
                .map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned())
                .collect::<Vec<_>>()
                .join(" "),
            child,
            stdin,
            stdout,
            stderr,
            started,
            deadline: started + self.deadline,
            on_terminal,
            own_session: controlling.is_some() || place == Place::Session,
            canaries: std::mem::take(&mut self.canaries),
            may_leave_processes: self.may_leave_processes,
            ended: false,
        }
    }
}
