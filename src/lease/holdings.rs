//! Everything that exists on the server because of this run, and what has become of it. What is in
//! here when the run ends is revoked. A token or a lease is entered when its answer arrives; a read of
//! credentials, whose answer may be lost, is entered before it is sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::auth::Session;
use crate::error::hints;
use crate::sys::clock::Moment;

/// A lease.
#[derive(Debug)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// When it was granted.
    pub granted_at: Moment,
    /// For how long, at first.
    pub duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it ends by itself, as of the last renewal.
    pub expiry: Cell<Moment>,
    /// What has become of it.
    pub state: RefCell<State>,
}

/// What has become of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Held,
    /// It is revoked, and the server has said so.
    Revoked,
    /// The server has it in its queue, with its token or by itself: it does not say what comes of it.
    Queued,
    /// It stays, as the user wants.
    Kept,
    /// The last try to revoke it failed.
    Failed(Refusal),
}

/// Why something could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The server's words, or what kept them from us.
    pub words: String,
    /// What that means.
    pub reason: Reason,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The token's policy forbids it.
    Policy,
    /// The engine, or the database behind it, would not: its token cannot take the lease along.
    Engine,
    /// There was no answer, or one that says nothing of the lease.
    Unclear,
}

impl Lease {
    /// A lease that was granted now.
    #[must_use]
    pub fn new(id: String, duration: Duration, renewable: bool) -> Self {
        let granted_at = Moment::now();
        Self {
            id,
            granted_at,
            duration,
            renewable,
            expiry: Cell::new(granted_at + duration),
            state: RefCell::new(State::Held),
        }
    }

    /// When it ends unless something is renewed: with its token at the latest, and sooner if the
    /// first renewal is to shorten it to `lease_ttl`.
    #[must_use]
    pub fn expiry_with(&self, session: &Session, lease_ttl: Option<Duration>) -> Moment {
        let shortened = lease_ttl
            .filter(|_| self.renewable)
            .map(|lease_ttl| self.granted_at + lease_ttl);
        [shortened, session.expiry()]
            .into_iter()
            .flatten()
            .fold(self.expiry.get(), Moment::min)
    }

    /// Whether nothing needs to be done about it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(
            *self.state.borrow(),
            State::Revoked | State::Queued | State::Kept
        )
    }

    /// Why it could not be revoked, if that was tried.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match &*self.state.borrow() {
            State::Failed(refusal) => Some(refusal.clone()),
            _ => None,
        }
    }

    /// Whether it could not be revoked for this reason.
    #[must_use]
    pub fn was_refused(&self, reason: Reason) -> bool {
        self.refusal()
            .is_some_and(|refusal| refusal.reason == reason)
    }
}

/// What has become of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It is good, and is revoked in the end.
    Held,
    /// It is good, and stays.
    Kept,
    /// It is revoked, or has ended: nothing can be asked with it any more.
    Gone,
}

/// A token and the leases that hang on it.
#[derive(Debug)]
pub struct Holding {
    /// The token.
    pub session: Rc<Session>,
    /// Its leases, those that are settled included.
    pub leases: RefCell<Vec<Rc<Lease>>>,
    /// Whether there may be a lease that nobody knows the id of: a read whose answer was lost.
    pub unknown_lease: Cell<bool>,
    /// What has become of the token.
    pub token: Cell<TokenState>,
    /// Whether the server was asked to revoke the token before: it may have done so.
    pub asked_for_token: Cell<bool>,
    /// Why the token could not be revoked, if that was tried.
    pub token_refusal: RefCell<Option<Refusal>>,
}

impl Holding {
    /// Whether nothing needs to be done about it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let token = match self.token.get() {
            TokenState::Held => false,
            // A lease that nobody knows stays with its token.
            TokenState::Kept => !self.unknown_lease.get(),
            TokenState::Gone => true,
        };
        token && self.leases.borrow().iter().all(|lease| lease.is_settled())
    }

    /// Whether its token cannot be revoked, whenever that is tried.
    fn keeps_its_token(&self) -> bool {
        let refusal = self.token_refusal.borrow();
        let refused = refusal.as_ref();
        self.session.batch || refused.is_some_and(|refusal| refusal.reason == Reason::Policy)
    }

    /// Whether another try would bring nothing: there is no token to ask the server with, or it may
    /// neither be revoked nor revoke.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        let forbidden = |lease: &Rc<Lease>| lease.is_settled() || lease.was_refused(Reason::Policy);
        let all_forbidden = self.leases.borrow().iter().all(forbidden);
        self.is_beyond_reach() || (self.keeps_its_token() && all_forbidden)
    }

    /// Whether there is nothing left to ask the server with, though the engine has refused to revoke
    /// a lease.
    #[must_use]
    pub fn is_beyond_reach(&self) -> bool {
        self.token.get() == TokenState::Gone && !self.is_settled()
    }

    /// Whether the token is gone, and its leases are revoked or have ended by themselves. What the
    /// engine has refused to end does not. A token that can be revoked is, even if its time is over by
    /// our reckoning: the answer to a renewal may have been lost.
    fn has_ended(&self, now: Moment) -> bool {
        let over = self.session.expiry().is_some_and(|expiry| expiry <= now);
        let token_over = over && self.keeps_its_token();
        let token_gone = self.token.get() == TokenState::Gone;
        let leases = self.leases.borrow();
        // Of a batch token nothing is left but its leases.
        let only_leases = self.session.batch && !self.unknown_lease.get() && !leases.is_empty();
        let ended = |lease: &Rc<Lease>| {
            let forbidden = token_gone || lease.was_refused(Reason::Policy);
            let over = token_over || (forbidden && lease.expiry.get() <= now);
            lease.is_settled() || (over && !lease.was_refused(Reason::Engine))
        };
        (token_gone || token_over || only_leases) && leases.iter().all(ended)
    }

    fn left(&self) -> Vec<Left> {
        let token_ends = self.session.expiry();
        let leases = self.leases.borrow();
        let mut left: Vec<Left> = leases
            .iter()
            .filter(|lease| !lease.is_settled())
            .map(|lease| {
                let refusal = lease.refusal();
                let policy = lease.was_refused(Reason::Policy);
                let ends = lease.expiry.get();
                Left {
                    what: format!("the lease {}", lease.id),
                    words: refusal.map_or_else(no_time, |refusal| refusal.words),
                    hint: policy.then(|| hints::revocation(&lease.id)),
                    expiry: Some(token_ends.map_or(ends, |token| token.min(ends))),
                }
            })
            .collect();
        if self.token.get() == TokenState::Gone {
            return left;
        }
        let kept = self.token.get() == TokenState::Kept;
        let refusal = self.token_refusal.borrow().clone();
        let policy = refusal
            .as_ref()
            .is_some_and(|refusal| refusal.reason == Reason::Policy);
        let words = refusal.map_or_else(no_time, |refusal| refusal.words);
        let hint = policy.then(|| hints::needed_line("auth/token/revoke-self", "update"));
        if self.unknown_lease.get() {
            let token = if kept {
                "the answer with it was lost, and its token stays".to_owned()
            } else if self.session.batch {
                "the answer with it was lost, and its token is a batch token".to_owned()
            } else {
                format!("the answer with it was lost, and its token could not be revoked: {words}")
            };
            left.push(Left {
                what: "a lease whose id is not known".to_owned(),
                words: token,
                hint,
                expiry: token_ends,
            });
        } else if left.is_empty() && !kept {
            left.push(Left {
                what: "the token".to_owned(),
                words,
                hint,
                expiry: token_ends,
            });
        }
        left
    }
}

fn no_time() -> String {
    "there was no time left".to_owned()
}

/// Something that could not be revoked.
#[derive(Debug)]
pub struct Left {
    /// What it is, by its id.
    pub what: String,
    /// Why.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// When it ends by itself, if it does.
    pub expiry: Option<Moment>,
}

/// Told of every change, so that somebody else can clean up if this process cannot.
pub trait Witness: std::fmt::Debug {
    /// Everything that is held now.
    fn changed(&self, holdings: &[Rc<Holding>]);
}

/// All that is held.
#[derive(Debug, Default)]
pub struct Holdings {
    all: RefCell<Vec<Rc<Holding>>>,
    witness: Option<Box<dyn Witness>>,
}

impl Holdings {
    /// Nothing yet; `witness` is told of everything that comes.
    #[must_use]
    pub fn new(witness: Option<Box<dyn Witness>>) -> Self {
        Self {
            all: RefCell::default(),
            witness,
        }
    }

    /// Enters a token.
    pub fn add_session(&self, session: Rc<Session>) -> Rc<Holding> {
        let holding = Rc::new(Holding {
            session,
            leases: RefCell::default(),
            unknown_lease: Cell::new(false),
            token: Cell::new(TokenState::Held),
            asked_for_token: Cell::new(false),
            token_refusal: RefCell::default(),
        });
        self.all.borrow_mut().push(Rc::clone(&holding));
        self.tell();
        holding
    }

    /// Enters a lease that hangs on the holding's token.
    pub fn add_lease(&self, holding: &Holding, lease: Rc<Lease>) {
        holding.leases.borrow_mut().push(lease);
        self.tell();
    }

    /// Whether there was no login yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// A read of credentials begins, whose answer may be lost with this process.
    pub fn begin_read(&self, holding: &Holding) {
        holding.unknown_lease.set(true);
        self.tell();
    }

    /// Everything that is not settled yet.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Rc<Holding>> {
        self.all
            .borrow()
            .iter()
            .filter(|holding| !holding.is_settled())
            .map(Rc::clone)
            .collect()
    }

    /// Everything that something can still be done about.
    #[must_use]
    pub fn revocable(&self) -> Vec<Rc<Holding>> {
        let mut revocable = self.unsettled();
        revocable.retain(|holding| !holding.is_beyond_reach());
        revocable
    }

    /// Leaves a token and its lease to end by themselves, unless they are claimed back.
    pub fn leave(&self, holding: &Holding, lease: Option<&Lease>) {
        holding.token.set(TokenState::Kept);
        if let Some(lease) = lease {
            lease.state.replace(State::Kept);
        }
        self.tell();
    }

    /// Everything that was left is to be revoked after all.
    pub fn claim_back(&self) {
        for holding in self.all.borrow().iter() {
            if holding.token.get() == TokenState::Kept {
                holding.token.set(TokenState::Held);
            }
            for lease in holding.leases.borrow().iter() {
                let kept = *lease.state.borrow() == State::Kept;
                if kept {
                    lease.state.replace(State::Held);
                }
            }
        }
        self.tell();
    }

    /// Forgets what is settled or has ended by itself, and tells the witness.
    pub fn forget_settled(&self) {
        let now = Moment::now();
        let mut all = self.all.borrow_mut();
        all.retain(|holding| !holding.has_ended(now));
        for holding in all.iter() {
            let settled =
                |lease: &Rc<Lease>| matches!(*lease.state.borrow(), State::Revoked | State::Queued);
            holding.leases.borrow_mut().retain(|lease| !settled(lease));
        }
        drop(all);
        self.tell();
    }

    /// What is left behind, in words: nothing if all is well.
    #[must_use]
    pub fn left(&self) -> Vec<Left> {
        let now = Moment::now();
        self.unsettled()
            .iter()
            .filter(|holding| !holding.has_ended(now))
            .flat_map(|holding| holding.left())
            .collect()
    }

    fn tell(&self) {
        if let Some(witness) = &self.witness {
            witness.changed(&self.all.borrow());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensitive::Sensitive;
    use crate::vault::LoginAnswer;

    fn session(seconds: u64) -> Session {
        let answer = LoginAnswer {
            client_token: Sensitive::from("hvs.token"),
            lease_duration: Duration::from_secs(seconds),
            renewable: true,
            batch: false,
            num_uses: None,
        };
        Session::new(answer, Moment::now())
    }

    #[test]
    fn what_is_held_ends_with_whatever_ends_first() {
        /// The seconds of the lease, of the token (none: it does not expire) and of `--lease-ttl`, whether the lease can be
        /// renewed, and after how many seconds all is over.
        type Case = (u64, Option<u64>, Option<u64>, bool, u64);
        let cases: [Case; 14] = [
            (3600, Some(600), None, true, 600),
            (600, Some(3600), None, true, 600),
            (600, None, None, true, 600),
            (3600, Some(600), None, false, 600),
            (600, Some(3600), None, false, 600),
            (3600, Some(600), Some(60), true, 60),
            (600, Some(3600), Some(60), true, 60),
            (3600, None, Some(60), true, 60),
            (3600, Some(60), Some(600), true, 60),
            (60, Some(3600), Some(600), true, 60),
            // What cannot be renewed cannot be shortened.
            (3600, Some(600), Some(60), false, 600),
            (600, Some(3600), Some(60), false, 600),
            (600, None, Some(60), false, 600),
            (60, Some(600), Some(600), false, 60),
        ];
        for case in cases {
            let (lease, token, lease_ttl, renewable, ends) = case;
            let session = session(token.unwrap_or(0));
            let lease = Lease::new("x".to_owned(), Duration::from_secs(lease), renewable);
            let expiry = lease.expiry_with(&session, lease_ttl.map(Duration::from_secs));
            // The two were made at the same moment but for what the test itself took.
            let off = expiry.since(lease.granted_at).as_secs_f64()
                - f64::from(u32::try_from(ends).expect("small"));
            assert!(off.abs() < 30.0, "{case:?}: {off}");
        }
    }

    #[test]
    fn what_has_ended_is_forgotten_and_nothing_else_is() {
        let policy = Some(Reason::Policy);
        let engine = Some(Reason::Engine);
        // Whether it is a batch token, whether the token's and the lease's time is over, why the lease could not be revoked,
        // and whether nothing is left.
        for (batch, token_over, lease_over, refused, ended) in [
            (true, false, false, policy, false),
            (true, false, true, policy, true),
            (true, false, true, None, false),
            (true, true, true, policy, true),
            (true, true, true, engine, false),
            // One that can be revoked is: it may have been renewed for longer than we know.
            (false, true, true, policy, false),
            (false, false, true, None, false),
        ] {
            let now = Moment::now();
            let holdings = Holdings::default();
            let session = Session::known(
                Sensitive::from("hvs.token"),
                batch,
                None,
                Some(now + Duration::from_secs(60)),
            );
            let holding = holdings.add_session(Rc::new(session));
            holdings.forget_settled();
            assert!(!holdings.is_empty(), "a token that has no lease yet");
            let lease = Rc::new(Lease::new("x".to_owned(), Duration::from_secs(60), true));
            holdings.add_lease(&holding, Rc::clone(&lease));
            if let Some(reason) = refused {
                let words = "no".to_owned();
                lease
                    .state
                    .replace(State::Failed(Refusal { words, reason }));
            }
            let when = |over| {
                if over {
                    now
                } else {
                    now + Duration::from_secs(60)
                }
            };
            holding.session.renewed_until(when(token_over));
            lease.expiry.set(when(lease_over));
            let case = (batch, token_over, lease_over, refused);
            assert_eq!(holdings.left().is_empty(), ended, "{case:?}");
            holdings.forget_settled();
            assert_eq!(holdings.is_empty(), ended, "{case:?}");
        }
    }

    #[test]
    fn a_renewal_moves_the_end_and_what_is_left_is_told_with_the_earlier_one() {
        let ends = |lease: u64, token: u64| {
            let holdings = Holdings::default();
            let now = Moment::now();
            let holding = holdings.add_session(Rc::new(session(60)));
            let entered = Rc::new(Lease::new("x".to_owned(), Duration::from_secs(60), true));
            holdings.add_lease(&holding, Rc::clone(&entered));
            entered.expiry.set(now + Duration::from_secs(lease));
            holding
                .session
                .renewed_until(now + Duration::from_secs(token));
            let expected = now + Duration::from_secs(lease.min(token));
            assert_eq!(entered.expiry_with(&holding.session, None), expected);
            let left = holdings.left();
            assert_eq!(left.len(), 1, "{left:?}");
            assert_eq!(left.first().and_then(|left| left.expiry), Some(expected));
        };
        ends(7200, 3600);
        ends(3600, 7200);
    }
}
