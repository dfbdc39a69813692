//! A process that is somebody else's child, watched from outside.

use super::pidfd::Pidfd;
use super::reap::Pid;
use super::signal::Signal;

/// With whose rights a process runs, as its `status` in `/proc` has it.
#[derive(Debug)]
struct Identity {
    users_and_groups: Vec<String>,
    capabilities: u64,
}

impl Identity {
    fn of(process: &str) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    fn read(status: &str) -> Option<Self> {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            users_and_groups: vec![field("Uid:")?.to_owned(), field("Gid:")?.to_owned()],
            capabilities: u64::from_str_radix(field("CapPrm:")?.trim(), 16).ok()?,
        })
    }

    /// The kernel's rule for a process that was `before` and is this now.
    fn makes_the_kernel_forget(&self, before: &Self) -> bool {
        let gained = self.capabilities & !before.capabilities;
        self.users_and_groups != before.users_and_groups || gained != 0
    }
}

/// A process that is not ours to wait for.
#[derive(Debug)]
pub struct Watched {
    pid: Pid,
    pidfd: Pidfd,
}

impl Watched {
    /// Watches it, if there is such a process and the kernel has descriptors for processes.
    #[must_use]
    pub fn open(pid: Pid) -> Option<Self> {
        Pidfd::open(pid).map(|pidfd| Self { pid, pidfd })
    }

    /// Sends a signal. One that comes too late, or may not be sent, is of no consequence.
    pub fn signal(&self, signal: Signal) {
        self.pidfd.signal(signal);
    }

    /// Continues it if it is stopped, so that it hears of what it was sent.
    pub fn rouse(&self) {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name before the state stands in parentheses and may hold anything.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        if state == Some('T') {
            self.signal(Signal::CONT);
        }
    }

    /// Whether it has another user or group than this process, or a capability that this one lacks.
    /// With such a change the kernel forgets the signal for a parent's death.
    #[must_use]
    pub fn has_changed_user(&self) -> bool {
        let its = Identity::of(&self.pid.to_string());
        its.zip(Identity::of("self"))
            .is_some_and(|(its, ours)| its.makes_the_kernel_forget(&ours))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.pidfd.has_ended()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        self.pidfd.ended().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::reap;
    use std::process::{Child, Command};

    #[test]
    fn the_signal_is_forgotten_with_another_user_or_more_capabilities_but_not_with_fewer() {
        let identity = |user: u32, capabilities: &str| {
            let status =
                format!("Name:\tx\nUid:\t{user}\t{user}\nGid:\t0\t0\nCapPrm:\t{capabilities}\n");
            Identity::read(&status).expect("a status")
        };
        let before = identity(0, "0000000000000ff0");
        for (user, capabilities, forgotten) in [
            (0, "0000000000000ff0", false),
            (0, "0000000000000f00", false),
            (0, "0000000000000ff1", true),
            (1, "0000000000000ff0", true),
            (1, "0000000000000000", true),
        ] {
            let now = identity(user, capabilities);
            let found = now.makes_the_kernel_forget(&before);
            assert_eq!(found, forgotten, "{user} {capabilities}");
        }
    }

    fn sleeper() -> (Child, Pid) {
        let child = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let pid = Pid::try_from(child.id()).expect("a pid");
        (child, pid)
    }

    fn field(pid: Pid, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the field").trim().to_owned()
    }

    #[test]
    fn nobody_is_signalled_who_has_got_the_number_of_a_process_that_has_ended() {
        let ((mut first, first_pid), (mut other, other_pid)) = (sleeper(), sleeper());
        let watched = Watched {
            // As if the other one had got it afterwards.
            pid: other_pid,
            pidfd: Pidfd::open(first_pid).expect("a descriptor"),
        };
        first.kill().expect("killed");
        reap::until_ended(first_pid);
        assert!(watched.has_ended());
        let of_the_other = Watched::open(other_pid).expect("a process");
        of_the_other.signal(Signal::STOP);
        while !field(other_pid, "State:").starts_with('T') {
            std::thread::yield_now();
        }
        watched.signal(Signal::TERM);
        assert_eq!(field(other_pid, "ShdPnd:"), "0000000000000000");
        watched.rouse();
        assert!(field(other_pid, "State:").starts_with('T'));
        other.kill().expect("killed");
        reap::until_ended(other_pid);
    }
}
