//! Everything that exists on the server because of this run, and what has become of it. What is in
//! here when the run ends is revoked; nothing is asked for without being entered first.

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
    /// Its token is revoked, and the server has it in its queue.
    ThroughToken,
    /// The last try to revoke it failed with these words.
    Failed {
        /// The server's, or what kept them from us.
        words: String,
        /// What to do about it.
        hint: Option<String>,
        /// Whether it was the engine that refused: then its token's revocation will not help.
        by_engine: bool,
    },
}

impl Lease {
    /// Whether nothing needs to be done about it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(*self.state.borrow(), State::Revoked | State::ThroughToken)
    }
}

impl Lease {
    /// Why it could not be revoked, after a colon; nothing if it was not tried.
    #[must_use]
    pub fn words(&self) -> String {
        match &*self.state.borrow() {
            State::Failed { words, .. } => format!(": {words}"),
            _ => String::new(),
        }
    }

    /// Whether the engine itself would not revoke it, so that its token cannot take it along.
    #[must_use]
    pub fn is_refused_by_engine(&self) -> bool {
        matches!(
            *self.state.borrow(),
            State::Failed {
                by_engine: true,
                ..
            }
        )
    }

    /// Whether the policy forbids revoking it by itself.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed { hint: Some(_), .. })
    }
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
    /// Whether the token is revoked, or gone.
    pub token_settled: Cell<bool>,
    /// Whether the policy forbids revoking the token.
    pub may_not_revoke: Cell<bool>,
}

impl Holding {
    /// Whether nothing needs to be done about it any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.token_settled.get() && self.leases.borrow().iter().all(|lease| lease.is_settled())
    }
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
    /// When it ends by itself.
    pub expiry: Moment,
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
        let ours = session.ours;
        let holding = Rc::new(Holding {
            session,
            leases: RefCell::default(),
            unknown_lease: Cell::new(false),
            token_settled: Cell::new(!ours),
            may_not_revoke: Cell::new(false),
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

    /// Forgets what is settled, and tells the witness.
    pub fn tidy(&self) {
        self.all
            .borrow_mut()
            .retain(|holding| !holding.is_settled());
        self.tell();
    }

    /// What is left behind, in words: nothing if all is well.
    #[must_use]
    pub fn left(&self, now: Moment) -> Vec<Left> {
        let mut left = Vec::new();
        for holding in self.unsettled() {
            for lease in holding
                .leases
                .borrow()
                .iter()
                .filter(|lease| !lease.is_settled())
            {
                let (words, hint) = match &*lease.state.borrow() {
                    State::Failed { words, hint, .. } => (words.clone(), hint.clone()),
                    _ => ("there was no time left".to_owned(), None),
                };
                let expiry = lease.expiry.get().min(
                    holding
                        .session
                        .expiry()
                        .unwrap_or_else(|| lease.expiry.get()),
                );
                left.push(Left {
                    what: format!("the lease {}", lease.id),
                    words,
                    hint,
                    expiry,
                });
            }
            if holding.unknown_lease.get() && !holding.token_settled.get() {
                left.push(Left {
                    what: "a lease whose id is not known".to_owned(),
                    words: if holding.session.batch {
                        "the answer with its id was lost, and its token is a batch token"
                    } else {
                        "the answer with its id was lost, and its token could not be revoked"
                    }
                    .to_owned(),
                    hint: None,
                    expiry: holding.session.expiry().unwrap_or(now),
                });
            } else if left.is_empty() && !holding.token_settled.get() {
                let denied = holding.may_not_revoke.get();
                let words = if denied {
                    "the policy forbids it"
                } else {
                    "the server could not be asked"
                };
                left.push(Left {
                    what: "the token".to_owned(),
                    words: words.to_owned(),
                    hint: denied.then(|| {
                        let line = hints::policy("auth/token/revoke-self", "update");
                        format!("the role's policy needs this line: {line}")
                    }),
                    expiry: holding.session.expiry().unwrap_or(now),
                });
            }
        }
        left
    }

    fn tell(&self) {
        if let Some(witness) = &self.witness {
            witness.changed(&self.all.borrow());
        }
    }
}
