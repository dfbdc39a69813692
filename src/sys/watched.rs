//! A process that is somebody else's child, watched from outside.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;

use super::pidfd::{Pidfd, signal_number};
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

/// A process by its number and the time it was started at, which another one of that number does
/// not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its number.
    pub pid: Pid,
    /// In ticks since the host booted; unknown where there is no `/proc`.
    pub started: Option<String>,
}

impl Named {
    /// The process that has this number now.
    #[must_use]
    pub fn of(pid: Pid) -> Self {
        Self {
            pid,
            started: Stat::of(pid).map(|stat| stat.started),
        }
    }

    /// What `/proc` says of it, unless it has ended.
    fn stat(&self) -> Option<Stat> {
        let stat = Stat::of(self.pid).filter(|stat| !matches!(stat.state, 'Z' | 'X'))?;
        (Some(&stat.started) == self.started.as_ref()).then_some(stat)
    }
}

/// A process that is not ours to wait for.
///
/// It is known by its descriptor. Where the kernel or a sandbox has none, it is known by its number
/// and the time it was started at; and where there is no `/proc` either, it is taken to have ended:
/// nobody else may be signalled for it.
#[derive(Debug)]
pub struct Watched {
    named: Named,
    pidfd: Option<Pidfd>,
}

/// How often to look at a process whose end the system cannot tell of.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Watched {
    /// Watches a process: by the descriptor that came with its name, else by one of our own, which
    /// is the right one if the name still holds once it is open.
    #[must_use]
    pub fn new(named: Named, passed: Option<OwnedFd>) -> Self {
        let own = || Pidfd::open(named.pid).filter(|_| named.stat().is_some());
        let pidfd = passed.map(Pidfd::passed).or_else(own);
        Self { named, pidfd }
    }

    /// Sends a signal. One that comes too late, or may not be sent, is of no consequence.
    pub fn signal(&self, signal: Signal) {
        let sent = self.pidfd.as_ref().map(|pidfd| pidfd.signal(signal));
        let refused = !matches!(sent, Some(Ok(()) | Err(Errno::ESRCH)));
        // A sandbox may let a number through where it refuses a descriptor.
        if refused && !self.has_ended() {
            let _sent = signal_number(self.named.pid, signal);
        }
    }

    /// Continues it if it is stopped, so that it hears of what it was sent.
    pub fn rouse(&self) {
        if self.state() == Some('T') {
            self.signal(Signal::CONT);
        }
    }

    /// Whether it is stopped, by a signal or a tracer.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state().is_some_and(|state| "Tt".contains(state))
    }

    /// Whether it goes on, or has ended: it is not stopped, for all that is known.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        // Of one whose first thread has ended, only the descriptor tells the rest.
        self.has_ended() || self.state().is_some_and(|state| !"Tt".contains(state))
    }

    fn state(&self) -> Option<char> {
        let stat = self.named.stat()?;
        Some(stat.state)
    }

    /// Whether it has another user or group than this process, or a capability that this one lacks.
    /// With such a change the kernel forgets the signal for a parent's death.
    #[must_use]
    pub fn has_changed_user(&self) -> bool {
        let its = Identity::of(&self.named.pid.to_string());
        its.zip(Identity::of("self"))
            .is_some_and(|(its, ours)| its.makes_the_kernel_forget(&ours))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        if let Some(pidfd) = &self.pidfd {
            return pidfd.has_ended();
        }
        self.named.stat().is_none()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) {
        if let Some(pidfd) = &self.pidfd
            && pidfd.ended().await.is_ok()
        {
            return;
        }
        while !self.has_ended() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// What `/proc` says of a process.
#[derive(Debug)]
struct Stat {
    state: char,
    started: String,
}

impl Stat {
    fn of(pid: Pid) -> Option<Self> {
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(stat: &str) -> Option<Self> {
        // The name before the state stands in parentheses and may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        // The state is the third field, the time of the start the twenty-second.
        let started = fields.nth(18)?.to_owned();
        Some(Self { state, started })
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

    #[test]
    fn without_a_descriptor_a_process_is_signalled_and_awaited_all_the_same() {
        let (mut child, pid) = sleeper();
        let watched = Watched {
            pidfd: None,
            ..watched(pid)
        };
        assert!(!watched.has_ended());
        watched.signal(Signal::KILL);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // It stays a zombie until it is waited for, and has ended by then.
        runtime.expect("a runtime").block_on(watched.ended());
        assert!(watched.has_ended());
        child.kill().expect("gone");
        reap::until_ended(pid);
    }

    #[test]
    fn a_name_with_anything_in_it_does_not_hide_the_fields() {
        let stat = "7 (a) R 1 (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let stat = Stat::read(stat).expect("fields");
        assert_eq!((stat.state, stat.started.as_str()), ('S', "4711"));
        assert!(Stat::read("7 (sh) S 1").is_none());
    }

    fn field(pid: Pid, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the field").trim().to_owned()
    }

    fn watched(pid: Pid) -> Watched {
        Watched::new(Named::of(pid), None)
    }

    #[test]
    fn a_number_that_came_too_late_names_nobody() {
        let (mut child, pid) = sleeper();
        let late = Named {
            started: Some("1".to_owned()),
            ..Named::of(pid)
        };
        let late = Watched::new(late, None);
        assert!(late.pidfd.is_none() && late.has_ended());
        late.signal(Signal::KILL);
        assert!(!watched(pid).has_ended());
        child.kill().expect("killed");
        reap::until_ended(pid);
    }

    #[test]
    fn nobody_is_signalled_who_has_got_the_number_of_a_process_that_has_ended() {
        for has_descriptor in [true, false] {
            nobody_else_is_signalled(has_descriptor);
        }
    }

    fn nobody_else_is_signalled(has_descriptor: bool) {
        let (mut first, first_pid) = sleeper();
        let Watched { named, pidfd } = watched(first_pid);
        let pidfd = pidfd.filter(|_| has_descriptor);
        // The time of a start is counted in hundredths of a second.
        std::thread::sleep(Duration::from_millis(20));
        let (mut other, other_pid) = sleeper();
        let stranger = Watched {
            // As if the other one had got it afterwards.
            named: Named {
                pid: other_pid,
                ..named.clone()
            },
            pidfd,
        };
        first.kill().expect("killed");
        reap::until_ended(first_pid);
        assert!(stranger.has_ended());
        let of_the_other = watched(other_pid);
        of_the_other.signal(Signal::STOP);
        while !field(other_pid, "State:").starts_with('T') {
            std::thread::yield_now();
        }
        stranger.signal(Signal::TERM);
        assert_eq!(field(other_pid, "ShdPnd:"), "0000000000000000");
        stranger.rouse();
        assert!(field(other_pid, "State:").starts_with('T'));
        other.kill().expect("killed");
        reap::until_ended(other_pid);
    }
}
