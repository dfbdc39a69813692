//! What was seen of a run: the records by which it is judged.

use super::harm::Harm;
use super::plan::Plan;
use crate::support::{Issued, RequestInfo};
use std::time::{Duration, Instant};

/// How a run can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// A signal that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub signal: i32,
    /// Whether there was a child by then.
    pub ready: bool,
    /// How many milliseconds before the child's own end.
    pub before_end: u64,
    pub at: Instant,
    /// vaultexec's children then: after a KILL they have to end too.
    pub family: Vec<i32>,
}

/// What a run did, and what was really done to it.
pub struct Observed {
    /// All that was asked of the server, each at the place of its `sequence`.
    pub requests: Vec<RequestInfo>,
    /// All that the server gave out.
    pub issued: Vec<Issued>,
    /// The token that was handed in.
    pub handed_in: Option<String>,
    /// The requests that met harm.
    pub applied: Vec<(RequestInfo, Harm)>,
    pub sent: Option<Sent>,
    pub exit: Exit,
    pub out: String,
    pub err: String,
    /// The run's end in words.
    pub shown: String,
    pub wall: Duration,
    pub ended: Instant,
    /// How many milliseconds after the child's own end.
    pub late: u64,
}

impl Observed {
    /// Whether there was a child.
    pub fn started(&self) -> bool {
        self.starts() > 0
    }

    /// How many children there were, one after the other.
    pub fn starts(&self) -> usize {
        let is_ready = |line: &&str| line.starts_with("ready");
        self.out.lines().filter(is_ready).count()
    }

    /// Whether vaultexec has named something that it could not revoke. What has ended by itself is not left.
    pub fn names_what_is_left(&self) -> bool {
        let left = |line: &str| {
            line.contains("could not be revoked") && !line.contains("its time was over")
                || line.contains("is not revoked yet")
        };
        self.err.lines().any(left)
    }

    /// When it was sent KILL.
    pub fn killed_at(&self) -> Option<Instant> {
        let sent = self.sent.as_ref()?;
        (sent.signal == libc::SIGKILL).then_some(sent.at)
    }

    /// All that is known of it, for whoever has to find out why.
    pub fn story(&self, plan: &Plan) -> String {
        let requests: Vec<String> = self
            .requests
            .iter()
            .map(|request| {
                let harm = self
                    .applied
                    .iter()
                    .find(|(harmed, _)| harmed.sequence == request.sequence);
                let harm = harm
                    .map(|(_, harm)| format!(" [{}]", harm.name()))
                    .unwrap_or_default();
                format!("{} {}{harm}", request.method, request.path)
            })
            .collect();
        format!(
            "{plan:?}\nsent: {:?}\n{}\n{}",
            self.sent,
            requests.join("\n"),
            self.shown
        )
    }
}
