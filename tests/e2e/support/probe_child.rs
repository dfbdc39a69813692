//! The probe itself: a child that says exactly what it was given and what happened to it.
//!
//! It is this test binary called as `probe`. It runs from the list of initialisers, i.e. before `main` and before Rust's own
//! start-up code: nothing has touched the signals or the descriptors yet, and there is one thread.
//!
//! | command | what it does |
//! |---|---|
//! | `signals [NAME…]` | handles every catchable signal but those named, prints `ready PID`, then `NAME pid=SENDER code=SI_CODE` for each; obeys lines on stdin: `exit N`, `size` (prints `size ROWS COLS`), `ping` (prints `pong`) |
//! | `term-parent` | as `signals`; after `ready PID` it sends TERM to its parent and prints `sent` |
//! | `exit N` | exits |
//! | `die NAME` | default action, unblocked, no core, then kills itself; 99 when that did not help (PID 1) |
//! | `status` | JSON: masks, descriptors, cwd, umask, limits, nice, argv, environment (bytes as hex), ids |
//! | `stop-self NAME TIMES` | prints `ready PID`, stops itself, prints `resumed I` each time, exits 0 |
//! | `notify TEXT` | as `signals`; before `ready PID` it sends TEXT to the socket that NOTIFY_SOCKET names |
//! | `ignore-term` | ignores TERM, prints `ready PID`, waits for ever |
//! | `env NAME…` | `NAME=value` in raw bytes, or `NAME unset`, a line each |
//! | `spawn-orphans N` | makes N orphans that wait, prints `ready PID`; then on stdin: `go` lets them die (prints `gone`), `exit N`; at its own exit they die too |
//! | `work MS END [HOW]` | prints `ready PID`, works until CLOCK_BOOTTIME has MS milliseconds (a restart does not prolong it), then ends as END says: a code, or `die-NAME`. HOW: `heed N` exits with N on TERM; `deaf MS` ignores TERM, INT, HUP and USR1 for the first MS; `leave MS` leaves a grandchild that ends by itself after MS |
//! | `spawn-orphans N stay` | the same with orphans that never end by themselves |

use super::signals;
use serde_json::{Map, Value, json};
use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, Ordering};

/// glibc calls what this section lists before `main`, with main's arguments.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn(
    libc::c_int,
    *const *const libc::c_char,
    *const *const libc::c_char,
) = before_main;

extern "C" fn before_main(
    count: libc::c_int,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
) {
    // SAFETY: argv as the kernel gives it: `count` strings and a null; the environment ends with a null.
    let (args, env) = unsafe {
        let text = |pointer: &*const libc::c_char| CStr::from_ptr(*pointer).to_bytes().to_vec();
        let args: Vec<Vec<u8>> = std::slice::from_raw_parts(args, count as usize)
            .iter()
            .map(text)
            .collect();
        let mut variables = Vec::new();
        let mut at = env;
        while !(*at).is_null() {
            variables.push(text(&*at));
            at = at.add(1);
        }
        (args, variables)
    };
    let is_probe = args
        .first()
        .is_some_and(|name| name.rsplit(|byte| *byte == b'/').next() == Some(b"probe"));
    if is_probe {
        let code = run(&args, &env);
        // SAFETY: ends the process; there is nothing to flush.
        unsafe { libc::_exit(code) };
    }
}

fn run(args: &[Vec<u8>], env: &[Vec<u8>]) -> i32 {
    let words: Vec<String> = args
        .iter()
        .skip(1)
        .map(|arg| String::from_utf8_lossy(arg).into_owned())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["signals", but @ ..] => report_signals(but, false),
        ["term-parent"] => report_signals(&[], true),
        ["exit", code] => code.parse().unwrap_or(98),
        ["die", name] => die(signals::number(name).unwrap_or(0)),
        ["status", ..] => status(args, env),
        ["stop-self", name, times] => stop_self(
            signals::number(name).unwrap_or(0),
            times.parse().unwrap_or(0),
        ),
        ["ignore-term"] => ignore_term(),
        ["notify", text] => notify(text, env),
        ["work", until, end, how @ ..] => work(until.parse().unwrap_or(0), end, how),
        ["env", names @ ..] => print_env(names, env),
        ["spawn-orphans", count, rest @ ..] => {
            spawn_orphans(count.parse().unwrap_or(0), rest.contains(&"stay"))
        }
        _ => {
            say(&format!("probe: unknown command {words:?}"));
            98
        }
    }
}

/// A line on standard output, unbuffered.
fn say(line: &str) {
    write_all(format!("{line}\n").as_bytes());
}

fn write_all(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the slice is as long as said.
        let count = unsafe { libc::write(1, bytes.as_ptr().cast(), bytes.len()) };
        if count > 0 {
            bytes = &bytes[count as usize..];
        } else if std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return;
        }
    }
}

fn say_ready() {
    // SAFETY: no arguments.
    say(&format!("ready {}", unsafe { libc::getpid() }));
}

/// The writing end of the pipe from the handler to the loop.
static REPORT: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(number: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's siginfo is valid during the handler; write is async-signal-safe. 12 bytes into a pipe are atomic.
    unsafe {
        let sender = if (*info).si_code <= 0 {
            (*info).si_pid()
        } else {
            0
        };
        let record = [number, sender, (*info).si_code];
        libc::write(
            REPORT.load(Ordering::Relaxed),
            record.as_ptr().cast(),
            size_of_val(&record),
        );
    }
}

fn report_signals(but: &[&str], term_parent: bool) -> i32 {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) };
    REPORT.store(pipe[1], Ordering::Relaxed);
    let but: Vec<i32> = but
        .iter()
        .filter_map(|name| signals::number(name))
        .collect();
    let real_time = (libc::SIGRTMIN()..=libc::SIGRTMAX()).collect::<Vec<_>>();
    for number in signals::catchable()
        .map(|(number, _)| number)
        .chain(real_time)
    {
        if !but.contains(&number) {
            // SAFETY: a zeroed action is valid; the handler has the form SA_SIGINFO asks for.
            unsafe {
                let mut action = std::mem::zeroed::<libc::sigaction>();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
                // One handler at a time: nested ones would report the later signal first.
                libc::sigfillset(&mut action.sa_mask);
                libc::sigaction(number, &action, std::ptr::null_mut());
            }
        }
    }
    say_ready();
    if term_parent {
        // SAFETY: no arguments.
        signals::kill(unsafe { libc::getppid() }, libc::SIGTERM);
        say("sent");
    }
    let mut entries =
        [(pipe[0], libc::POLLIN), (0, libc::POLLIN)].map(|(fd, events)| libc::pollfd {
            fd,
            events,
            revents: 0,
        });
    let mut pending = Vec::new();
    loop {
        // SAFETY: as many entries as said. EINTR is another round.
        if unsafe { libc::poll(entries.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        // Signals first: what a test sent before its command is reported before the command is obeyed.
        if entries[0].revents != 0 {
            let mut record = [0i32; 3];
            // SAFETY: room for one record; records are written whole.
            unsafe { libc::read(pipe[0], record.as_mut_ptr().cast(), size_of_val(&record)) };
            say(&format!(
                "{} pid={} code={}",
                signals::name(record[0]),
                record[1],
                record[2]
            ));
            continue;
        }
        if entries[1].revents != 0 {
            match read_command(&mut pending) {
                Input::Line(line) => {
                    if let Some(code) = line.strip_prefix("exit ") {
                        return code.parse().unwrap_or(98);
                    }
                    match line.as_str() {
                        "size" => say_size(),
                        "ping" => say("pong"),
                        _ => {}
                    }
                }
                Input::Incomplete => {}
                Input::End => entries[1].fd = -1,
            }
        }
    }
}

enum Input {
    Line(String),
    Incomplete,
    End,
}

/// Reads one byte at a time, so that nothing is left in a buffer that poll does not know of.
fn read_command(pending: &mut Vec<u8>) -> Input {
    let mut byte = 0u8;
    // SAFETY: room for one byte.
    match unsafe { libc::read(0, (&raw mut byte).cast(), 1) } {
        1 if byte == b'\n' => {
            Input::Line(String::from_utf8_lossy(&std::mem::take(pending)).into_owned())
        }
        1 => {
            pending.push(byte);
            Input::Incomplete
        }
        -1 if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {
            Input::Incomplete
        }
        _ => Input::End,
    }
}

fn say_size() {
    // SAFETY: a plain struct out.
    let size = unsafe {
        let mut size = std::mem::zeroed::<libc::winsize>();
        libc::ioctl(0, libc::TIOCGWINSZ, &mut size);
        size
    };
    say(&format!("size {} {}", size.ws_row, size.ws_col));
}

fn notify(text: &str, env: &[Vec<u8>]) -> i32 {
    let path = env
        .iter()
        .find_map(|variable| variable.strip_prefix(b"NOTIFY_SOCKET="));
    let path = String::from_utf8_lossy(path.unwrap_or_default()).into_owned();
    let sent = std::os::unix::net::UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(text.as_bytes(), &path));
    match sent {
        Ok(_) => report_signals(&[], false),
        Err(error) => {
            say(&format!("probe: cannot notify {path:?}: {error}"));
            97
        }
    }
}

fn die(signal: i32) -> i32 {
    // SAFETY: plain system calls on structs of their own.
    unsafe {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &none);
        libc::signal(signal, libc::SIG_DFL);
        let mut empty = std::mem::zeroed();
        libc::sigemptyset(&mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &empty, std::ptr::null_mut());
        libc::kill(libc::getpid(), signal);
    }
    99
}

fn stop_self(signal: i32, times: u32) -> i32 {
    say_ready();
    for round in 1..=times {
        // SAFETY: no memory involved.
        unsafe { libc::kill(libc::getpid(), signal) };
        say(&format!("resumed {round}"));
    }
    0
}

fn ignore_term() -> i32 {
    // SAFETY: a valid disposition; pause has no arguments.
    unsafe {
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        say_ready();
        loop {
            libc::pause();
        }
    }
}

/// CLOCK_BOOTTIME in milliseconds: the same for every process, and never set.
pub fn boot_millis() -> u64 {
    // SAFETY: a plain struct out.
    let time = unsafe {
        let mut time = std::mem::zeroed::<libc::timespec>();
        libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time);
        time
    };
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

static HEED: AtomicI32 = AtomicI32::new(0);

extern "C" fn heed(_: libc::c_int) {
    // SAFETY: async-signal-safe, and the end.
    unsafe { libc::_exit(HEED.load(Ordering::Relaxed)) };
}

fn work(until: u64, end: &str, how: &[&str]) -> i32 {
    let deaf_to = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1];
    let set = |action: usize| {
        for signal in deaf_to {
            // SAFETY: SIG_IGN and SIG_DFL are valid dispositions.
            unsafe { libc::signal(signal, action) };
        }
    };
    let mut deaf_until = 0;
    match how {
        ["heed", code] => {
            HEED.store(code.parse().unwrap_or(98), Ordering::Relaxed);
            // SAFETY: the handler calls nothing but _exit.
            unsafe { libc::signal(libc::SIGTERM, heed as *const () as usize) };
        }
        ["deaf", millis] => {
            deaf_until = boot_millis() + millis.parse::<u64>().unwrap_or(0);
            set(libc::SIG_IGN);
        }
        ["leave", millis] => {
            let millis = millis.parse::<u32>().unwrap_or(0);
            // SAFETY: one thread; the grandchild only sleeps, and holds none of the test's pipes.
            unsafe {
                if libc::fork() == 0 {
                    (0..3).for_each(|descriptor| {
                        libc::close(descriptor);
                    });
                    libc::usleep(millis * 1000);
                    libc::_exit(0);
                }
            }
        }
        _ => {}
    }
    say_ready();
    loop {
        let now = boot_millis();
        if deaf_until != 0 && now >= deaf_until {
            deaf_until = 0;
            set(libc::SIG_DFL);
        }
        if now >= until {
            break;
        }
        let next = if deaf_until == 0 {
            until
        } else {
            until.min(deaf_until)
        };
        // SAFETY: no memory involved. A signal that is handled makes another round.
        unsafe { libc::usleep(((next - now).min(500) * 1000) as u32) };
    }
    match end.strip_prefix("die-") {
        Some(name) => die(signals::number(name).unwrap_or(0)),
        None => end.parse().unwrap_or(98),
    }
}

fn print_env(names: &[&str], env: &[Vec<u8>]) -> i32 {
    for name in names {
        let prefix = format!("{name}=").into_bytes();
        match env.iter().find(|variable| variable.starts_with(&prefix)) {
            Some(variable) => write_all(&[variable.as_slice(), b"\n"].concat()),
            None => say(&format!("{name} unset")),
        }
    }
    0
}

fn spawn_orphans(count: u32, stay: bool) -> i32 {
    let (mut leash, mut born) = ([0; 2], [0; 2]);
    // SAFETY: pipes into arrays of two; one thread, so that fork copies a sound process.
    unsafe {
        libc::pipe(leash.as_mut_ptr());
        libc::pipe(born.as_mut_ptr());
        for _ in 0..count {
            let middle = libc::fork();
            if middle == 0 {
                if libc::fork() == 0 {
                    libc::close(leash[1]);
                    // Not to keep the test's pipes open.
                    for descriptor in 0..3 {
                        libc::close(descriptor);
                    }
                    let mut byte = 0u8;
                    libc::write(born[1], (&raw const byte).cast(), 1);
                    if stay {
                        loop {
                            libc::pause();
                        }
                    }
                    libc::read(leash[0], (&raw mut byte).cast(), 1);
                    libc::_exit(0);
                }
                libc::_exit(0);
            }
            libc::waitpid(middle, std::ptr::null_mut(), 0);
        }
        let mut byte = 0u8;
        for _ in 0..count {
            libc::read(born[0], (&raw mut byte).cast(), 1);
        }
    }
    say_ready();
    let mut pending = Vec::new();
    loop {
        match read_command(&mut pending) {
            Input::Line(line) if line == "go" => {
                // SAFETY: ours, and the last writing end: the orphans read the end of the pipe.
                unsafe { libc::close(leash[1]) };
                say("gone");
            }
            Input::Line(line) => {
                return line
                    .strip_prefix("exit ")
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(98);
            }
            Input::Incomplete => {}
            Input::End => return 0,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn status(args: &[Vec<u8>], env: &[Vec<u8>]) -> i32 {
    // Before anything else is opened.
    let mut descriptors = Map::new();
    for descriptor in 0..4096 {
        // SAFETY: a query by number.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } >= 0 {
            let target =
                std::fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap_or_default();
            descriptors.insert(
                descriptor.to_string(),
                target.to_string_lossy().into_owned().into(),
            );
        }
    }
    let mut report = Map::new();
    report.insert("fds".to_owned(), Value::Object(descriptors));
    let proc_status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in proc_status.lines() {
        if let Some((name, value)) = line.split_once(':')
            && [
                "SigBlk",
                "SigIgn",
                "SigCgt",
                "SigPnd",
                "ShdPnd",
                "NoNewPrivs",
                "CapEff",
                "Umask",
                "Seccomp",
            ]
            .contains(&name)
        {
            report.insert(name.to_owned(), value.trim().into());
        }
    }
    let read = |path: &str| Value::from(std::fs::read_to_string(path).unwrap_or_default());
    // SAFETY: queries without memory.
    let ids = unsafe {
        json!({
            "pid": libc::getpid(), "ppid": libc::getppid(), "pgrp": libc::getpgrp(), "sid": libc::getsid(0),
            "nice": libc::getpriority(libc::PRIO_PROCESS as _, 0), "foreground": libc::tcgetpgrp(0),
            "dumpable": libc::prctl(libc::PR_GET_DUMPABLE), "death_signal": death_signal(),
            "child_subreaper": subreaper(),
        })
    };
    report.extend(ids.as_object().cloned().unwrap_or_default());
    let cwd = std::env::current_dir().unwrap_or_default();
    report.insert("cwd".to_owned(), cwd.to_string_lossy().into_owned().into());
    report.insert("limits".to_owned(), read("/proc/self/limits"));
    report.insert("oom_score_adj".to_owned(), read("/proc/self/oom_score_adj"));
    report.insert("argv".to_owned(), args.iter().map(|arg| hex(arg)).collect());
    report.insert(
        "env".to_owned(),
        env.iter().map(|variable| hex(variable)).collect(),
    );
    say(&Value::Object(report).to_string());
    0
}

fn death_signal() -> i32 {
    let mut signal = 0;
    // SAFETY: room for one int.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
    signal
}

fn subreaper() -> i32 {
    let mut is_one = 0;
    // SAFETY: room for one int.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut is_one) };
    is_one
}
