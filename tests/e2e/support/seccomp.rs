//! A sandbox that refuses some system calls, as a container engine's profile does with those it does not know.

use super::fresh::check;
use super::run::Run;

/// The offset of the system call's number in what a filter is given.
const NUMBER: u32 = 0;

/// `run`, and all that comes of it, with these calls answered by that error.
pub fn refusing(run: Run, calls: &[libc::c_long], errno: i32) -> Run {
    let statement = |code: u32, value: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k: value,
    };
    let mut filter = vec![statement(
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        NUMBER,
    )];
    for call in calls {
        filter.push(libc::sock_filter {
            // The next statement is passed over by every other call.
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *call as u32)
        });
        filter.push(statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ));
    }
    filter.push(statement(
        libc::BPF_RET | libc::BPF_K,
        libc::SECCOMP_RET_ALLOW,
    ));
    run.before_exec(move || {
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the program points to as many statements as it says; the kernel copies them.
        unsafe {
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            check(libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ))
        }
    })
}
