//! The system calls of a program from its first one on.

use super::fresh::check;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A system call's number and its first two arguments.
pub type Call = (i64, u64, u64);

/// All system calls that `program` makes in its first thread, until it ends.
pub fn calls(program: &str, args: &[&str]) -> Vec<Call> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: a plain system call; the tests' thread becomes the tracer.
    unsafe {
        command.pre_exec(|| check(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) as i32));
    }
    #[expect(clippy::zombie_processes, reason = "it is waited for as a tracer does")]
    let child = command.spawn().unwrap();
    let pid = child.id() as i32;
    let mut calls = Vec::new();
    let mut is_set_up = false;
    loop {
        let mut status = 0;
        // SAFETY: room for one int.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        if !libc::WIFSTOPPED(status) {
            return calls;
        }
        let mut signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80 {
            signal = 0;
            // SAFETY: a plain struct out, of the size that is said.
            let info = unsafe {
                let mut info = std::mem::zeroed::<libc::ptrace_syscall_info>();
                let size = size_of_val(&info);
                let got = libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info);
                assert!(got > 0, "{}", std::io::Error::last_os_error());
                info
            };
            if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY {
                // SAFETY: the kind of stop says which it is.
                let entry = unsafe { info.u.entry };
                calls.push((entry.nr as i64, entry.args[0], entry.args[1]));
            }
        } else if signal == libc::SIGTRAP {
            signal = 0;
        }
        // SAFETY: plain system calls on numbers.
        unsafe {
            if !is_set_up {
                libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, libc::PTRACE_O_TRACESYSGOOD);
                is_set_up = true;
            }
            libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, signal);
        }
    }
}
