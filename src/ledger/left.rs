//! What is left behind, and what is known of it.

use super::{Lease, LeaseState, Ledger, Reason, Session, TokenState};
use crate::error::hints;
use crate::sys::clock::Moment;

/// Something that could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it is, by its id.
    pub what: String,
    /// Its id on the server, if it is a lease that is known.
    pub lease_id: Option<String>,
    /// What is known of its revocation.
    pub verdict: Verdict,
    /// What to do about it.
    pub hint: Option<String>,
    /// When it ends by itself, if it does.
    pub expiry: Option<Moment>,
    /// Whether the database keeps the role after that: only its password ends.
    pub role_stays: bool,
}

/// What is known of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was asked for, and there is no answer.
    NoAnswer(String),
    /// There was no time to ask for it.
    NotAsked,
    /// The server, or the policy, has refused it, in these words.
    Refused(String),
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoAnswer(words) => formatter.write_str(words),
            Self::NotAsked => formatter.write_str("there was no time left"),
            Self::Refused(words) => formatter.write_str(words),
        }
    }
}

impl Ledger {
    /// What is left behind: nothing if all is well.
    #[must_use]
    pub fn left(&self, now: Moment) -> Vec<Left> {
        let unsettled = |session: &&Session| !session.is_settled() && !session.has_ended(now);
        self.sessions
            .iter()
            .filter(unsettled)
            .flat_map(|session| session.left(now))
            .collect()
    }
}

impl Session {
    fn left(&self, now: Moment) -> Vec<Left> {
        let ended = |lease: &&Lease| {
            let over = self.end_of(lease) <= now && !lease.revocation.was_refused(Reason::Engine);
            lease.is_settled() || (over && self.state == TokenState::Gone)
        };
        let mut left: Vec<Left> = self
            .leases
            .iter()
            .filter(|lease| !ended(lease))
            .map(|lease| self.left_lease(lease))
            .collect();
        if self.state == TokenState::Gone {
            return left;
        }
        let kept = self.state == TokenState::Kept;
        let policy = self.revocation.was_refused(Reason::Policy);
        let hint = policy.then(|| hints::needed_line("auth/token/revoke-self", "update"));
        let verdict = self.revocation.verdict();
        let token = |what: &str, verdict| Left {
            what: what.to_owned(),
            lease_id: None,
            verdict,
            hint: hint.clone(),
            expiry: self.expiry,
            role_stays: false,
        };
        if self.unknown_lease {
            let words = if kept {
                "the answer with it was lost, and its token stays".to_owned()
            } else if self.batch {
                "the answer with it was lost, and its token is a batch token".to_owned()
            } else if self.foreign {
                "the answer with it was lost, and its token was handed in".to_owned()
            } else {
                format!(
                    "the answer with it was lost, and its token could not be revoked: {verdict}"
                )
            };
            left.push(token(
                "a lease whose id is not known",
                Verdict::NoAnswer(words),
            ));
        } else if left.is_empty() && !kept && !self.batch && !self.foreign {
            left.push(token("the token", verdict));
        }
        left
    }

    /// What is known of a lease that is left.
    #[must_use]
    pub fn left_lease(&self, lease: &Lease) -> Left {
        let policy = lease.revocation.was_refused(Reason::Policy) || self.forbids(lease);
        let owner = lease.revocation.refusal.as_ref().is_some_and(owns_objects);
        // Where the policy forbids the one, it would have gone with its token.
        let with_token = policy && !self.keeps_its_token() && self.state == TokenState::Held;
        let verdict = match &lease.revocation.refusal {
            _ if with_token => self.revocation.verdict(),
            None if policy => Verdict::Refused("the policy forbids it".to_owned()),
            _ => lease.revocation.verdict(),
        };
        let hint = if owner {
            Some(hints::OWNED_OBJECTS.to_owned())
        } else {
            (policy && !with_token).then(|| hints::revocation(&lease.id))
        };
        debug_assert_eq!(lease.state, LeaseState::Held);
        Left {
            what: format!("the lease {}", lease.id),
            lease_id: Some(lease.id.clone()),
            verdict,
            hint,
            expiry: Some(self.end_of(lease)),
            role_stays: owner,
        }
    }
}

/// Whether the database would not drop a role because something hangs on it
/// (`dependent_objects_still_exist`).
fn owns_objects(refusal: &super::Refusal) -> bool {
    let words = refusal.words.as_str();
    words.contains("2BP01") || words.contains("cannot be dropped because some objects depend on it")
}

impl super::Revocation {
    fn verdict(&self) -> Verdict {
        match &self.refusal {
            Some(refusal) if refusal.reason == Reason::Unclear => {
                Verdict::NoAnswer(refusal.words.clone())
            }
            Some(refusal) => Verdict::Refused(refusal.words.clone()),
            None if self.sent > 0 => {
                Verdict::NoAnswer("it was asked for and is not answered yet".to_owned())
            }
            None => Verdict::NotAsked,
        }
    }
}
