//! Everything that exists on the server because of this run, and what has become of it: a plain value
//! without pointers, changed by [`Ledger::apply`] alone.
//!
//! What is in here when the run ends is revoked. A token or a lease is entered when its answer
//! arrives; a read of credentials, whose answer may be lost, before it is sent. The companion gets
//! the very same value at each change, so that it can clean up in our place.

mod fact;
mod left;
mod revocations;

pub use fact::{Fact, NewLease, NewSession};
pub use left::{Left, Verdict};
pub use revocations::{Call, Form};

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sys::clock::Moment;
use crate::vault::Token;

/// The number of a token in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionNo(u32);

/// The number of a lease in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseNo(u32);

/// What can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A token, with everything that hangs on it.
    Token(SessionNo),
    /// One lease.
    Lease(LeaseNo),
}

/// All that is held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    sessions: Vec<Session>,
    /// How many numbers were given out.
    numbers: u32,
    /// The folder with the child's files.
    folder: Option<String>,
}

/// A token and the leases that hang on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its number here.
    pub no: SessionNo,
    /// The token.
    #[serde(with = "handed_over")]
    pub token: Token,
    /// Whether it is a batch token, which can be neither renewed nor revoked.
    pub batch: bool,
    /// Whether somebody else handed it to us: it is not ours to revoke.
    pub foreign: bool,
    /// How many calls can still be made with it, if they are counted. The last one ends it and all
    /// its leases.
    pub uses: Option<u64>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// How long it was granted for; zero for a token that does not expire.
    pub duration: Duration,
    /// When it ends by itself, as of the last renewal; never, if absent.
    pub expiry: Option<Moment>,
    /// Which revocations its policy allows, as far as the server was asked.
    pub rights: Option<Rights>,
    /// Whether there may be a lease that nobody knows the id of: a read that is under way, or one
    /// whose answer was lost.
    pub unknown_lease: bool,
    /// What has become of it.
    pub state: TokenState,
    /// Set when it is to be revoked: until when its leases are tried by themselves.
    pub retired: Option<Moment>,
    /// How its revocation goes.
    pub revocation: Revocation,
    /// Its leases, those that are settled included.
    pub leases: Vec<Lease>,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number here.
    pub no: LeaseNo,
    /// Its id on the server.
    pub id: String,
    /// When it was granted at first.
    pub granted_at: Moment,
    /// For how long, at first.
    pub duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it ends by itself, as of the last renewal.
    pub expiry: Moment,
    /// What has become of it.
    pub state: LeaseState,
    /// Whether it is to be revoked although its token stays.
    pub retired: bool,
    /// How its revocation goes.
    pub revocation: Revocation,
}

/// What has become of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenState {
    /// It is good, and is revoked in the end.
    Held,
    /// It is good, and stays, as the user wants.
    Kept,
    /// It is revoked or has ended: nothing can be asked with it any more.
    Gone,
}

/// What has become of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseState {
    /// It runs.
    Held,
    /// It stays, as the user wants.
    Kept,
    /// It is revoked, and the server has said so.
    Revoked,
    /// The server has it in its queue, with its token or by itself: it does not say what comes of it.
    Queued,
}

/// Which revocations of leases a token's policy allows (`sys/capabilities-self`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// `sys/leases/revoke`, with the lease in the body.
    pub any: bool,
    /// The paths of credentials whose leases can be revoked at `sys/leases/revoke/<lease id>`.
    pub below: BTreeSet<String>,
}

/// How a revocation goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Revocation {
    /// Whether a request is under way.
    pub in_flight: bool,
    /// How many requests were sent. The server may have carried any of them out.
    pub sent: u32,
    /// No other request is made before this moment; none at all, if another would bring nothing.
    pub next: Next,
    /// Why the last one failed; of the engine's verdict and a later time-out, the verdict.
    pub refusal: Option<Refusal>,
}

/// When there is another request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// At once.
    #[default]
    Now,
    /// Not before this moment.
    At(Moment),
    /// Not any more.
    Never,
}

/// Why something could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The server's words, or what kept them from us.
    pub words: String,
    /// What that means.
    pub reason: Reason,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The token's policy forbids it.
    Policy,
    /// The engine, or the database behind it, would not: its token cannot take the lease along.
    Engine,
    /// There was no answer, or one that says nothing of the lease.
    Unclear,
}

/// The companion has to know the tokens; everywhere else they have no way out but `expose`.
mod handed_over {
    use super::{Rc, Token};
    use crate::sensitive::{Kept, Sensitive};
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(token: &Token, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(token.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Token, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Rc::new(Kept::from(Sensitive::new(text))))
    }
}

impl Ledger {
    /// Whether there was no login yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The folder with the child's files, which are to be gone in the end.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// All tokens.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// A token.
    #[must_use]
    pub fn session(&self, no: SessionNo) -> Option<&Session> {
        self.sessions.iter().find(|session| session.no == no)
    }

    /// A lease, and the token it hangs on.
    #[must_use]
    pub fn lease(&self, no: LeaseNo) -> Option<(&Session, &Lease)> {
        self.sessions.iter().find_map(|session| {
            let lease = session.leases.iter().find(|lease| lease.no == no)?;
            Some((session, lease))
        })
    }

    /// Whether nothing needs to be done any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.sessions.iter().all(Session::is_settled)
    }

    /// Whether a request is under way whose answer may name something new.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        let mut sessions = self.sessions.iter();
        sessions.any(|session| session.unknown_lease && session.state == TokenState::Held)
    }
}

impl Session {
    /// Whether nothing needs to be done about it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let token = match self.state {
            // A batch token cannot be revoked, and nothing but its leases is left behind by it.
            TokenState::Held => (self.batch || self.foreign) && !self.unknown_lease,
            // A lease that nobody knows stays with its token.
            TokenState::Kept => !self.unknown_lease,
            TokenState::Gone => true,
        };
        token && self.leases.iter().all(Lease::is_settled)
    }

    /// Whether its token cannot be revoked, whenever that is tried.
    #[must_use]
    pub fn keeps_its_token(&self) -> bool {
        self.batch || self.foreign || self.revocation.was_refused(Reason::Policy)
    }

    /// Whether its time is over by our reckoning.
    #[must_use]
    pub fn is_over(&self, now: Moment) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= now)
    }

    /// Whether another request would not revoke this lease, which is still there.
    #[must_use]
    pub fn has_given_up(&self, lease: &Lease) -> bool {
        let hopeless = lease.revocation.next == Next::Never && self.keeps_its_token();
        let alone = lease.revocation.next == Next::Never && self.retired.is_none();
        !lease.is_settled() && (hopeless || alone || self.state == TokenState::Gone)
    }

    /// When a lease of it ends unless something is renewed: with the token at the latest.
    #[must_use]
    pub fn end_of(&self, lease: &Lease) -> Moment {
        self.expiry
            .map_or(lease.expiry, |token| token.min(lease.expiry))
    }

    /// Whether the token is gone or past its end, and its leases are revoked or have ended by
    /// themselves. What the engine has refused to end does not. A token that can be revoked is, even
    /// if its time is over by our reckoning: the answer to a renewal may have been lost.
    fn has_ended(&self, now: Moment) -> bool {
        let token_gone = self.state == TokenState::Gone;
        let given_up = self.keeps_its_token() || self.revocation.next == Next::Never;
        let token_over = self.is_over(now) && given_up;
        let ended = |lease: &Lease| {
            let given_up =
                token_gone || lease.revocation.next == Next::Never || self.forbids(lease);
            let over = token_over || (given_up && lease.expiry <= now);
            lease.is_settled() || (over && !lease.revocation.was_refused(Reason::Engine))
        };
        // Of a token that cannot be revoked nothing is left but its leases.
        let only_leases =
            (self.batch || self.foreign) && !self.unknown_lease && !self.leases.is_empty();
        (token_gone || token_over || only_leases) && self.leases.iter().all(ended)
    }
}

impl Lease {
    /// Whether nothing needs to be done about it any more.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        !matches!(self.state, LeaseState::Held)
    }

    /// The path of the credentials that it is for.
    #[must_use]
    pub fn path(&self) -> &str {
        let id = self.id.as_str();
        id.rsplit_once('/').map_or(id, |(path, _)| path)
    }
}

impl Revocation {
    /// Whether the last verdict was this.
    #[must_use]
    pub fn was_refused(&self, reason: Reason) -> bool {
        let refusal = self.refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.reason == reason)
    }
}

#[cfg(test)]
mod tests;
