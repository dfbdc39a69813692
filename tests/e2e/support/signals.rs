//! Signals by number and by name; sending them.

/// Every standard signal of Linux with its name, in the order of the numbers on x86-64.
pub const ALL: &[(i32, &str)] = &[
    (libc::SIGHUP, "HUP"),
    (libc::SIGINT, "INT"),
    (libc::SIGQUIT, "QUIT"),
    (libc::SIGILL, "ILL"),
    (libc::SIGTRAP, "TRAP"),
    (libc::SIGABRT, "ABRT"),
    (libc::SIGBUS, "BUS"),
    (libc::SIGFPE, "FPE"),
    (libc::SIGKILL, "KILL"),
    (libc::SIGUSR1, "USR1"),
    (libc::SIGSEGV, "SEGV"),
    (libc::SIGUSR2, "USR2"),
    (libc::SIGPIPE, "PIPE"),
    (libc::SIGALRM, "ALRM"),
    (libc::SIGTERM, "TERM"),
    (libc::SIGSTKFLT, "STKFLT"),
    (libc::SIGCHLD, "CHLD"),
    (libc::SIGCONT, "CONT"),
    (libc::SIGSTOP, "STOP"),
    (libc::SIGTSTP, "TSTP"),
    (libc::SIGTTIN, "TTIN"),
    (libc::SIGTTOU, "TTOU"),
    (libc::SIGURG, "URG"),
    (libc::SIGXCPU, "XCPU"),
    (libc::SIGXFSZ, "XFSZ"),
    (libc::SIGVTALRM, "VTALRM"),
    (libc::SIGPROF, "PROF"),
    (libc::SIGWINCH, "WINCH"),
    (libc::SIGIO, "IO"),
    (libc::SIGPWR, "PWR"),
    (libc::SIGSYS, "SYS"),
];

/// The signals a process can have a handler for: all but KILL and STOP.
pub fn catchable() -> impl Iterator<Item = (i32, &'static str)> {
    ALL.iter()
        .copied()
        .filter(|(number, _)| ![libc::SIGKILL, libc::SIGSTOP].contains(number))
}

/// `TERM` for 15; `RT<n>` above the standard ones.
pub fn name(number: i32) -> String {
    match ALL.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("RT{number}"),
    }
}

/// 15 for `TERM` and `SIGTERM`, and for `15`.
pub fn number(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    ALL.iter()
        .find(|(_, known)| *known == short)
        .map(|(number, _)| *number)
        .or_else(|| short.parse().ok())
}

/// `kill(2)`; false when there is no such process.
pub fn kill(pid: i32, signal: i32) -> bool {
    // SAFETY: kill takes two numbers and touches no memory.
    unsafe { libc::kill(pid, signal) == 0 }
}
