//! What can happen to what is held, and what that makes of the ledger.

use std::time::Duration;

use super::{
    Lease, LeaseNo, LeaseState, Ledger, Next, Reason, Refusal, Revocation, Rights, Session,
    SessionNo, Target, TokenState,
};
use crate::sys::clock::Moment;
use crate::vault::Token;

/// A token that was granted or handed in.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The token.
    pub token: Token,
    /// Whether it is a batch token.
    pub batch: bool,
    /// Whether somebody else handed it to us.
    pub foreign: bool,
    /// How many calls can be made with it, if they are counted.
    pub uses: Option<u64>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// For how long it was granted; zero for one that does not expire.
    pub duration: Duration,
    /// When it was granted.
    pub granted_at: Moment,
    /// For whom it is and what it may do, in words, as far as the server says so.
    pub identity: String,
}

/// A lease that was granted.
#[derive(Clone, Debug)]
pub struct NewLease {
    /// Its id.
    pub id: String,
    /// For how long it was granted.
    pub duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it was granted.
    pub granted_at: Moment,
}

/// Something that has happened to what is held. Entered before a request whose answer may be lost.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A login has been answered.
    LoggedIn(NewSession),
    /// A call is made with a token. Failing ones count too.
    Used(SessionNo),
    /// That call was never sent.
    NotUsed(SessionNo),
    /// The server has said which revocations a token's policy allows.
    Rights(SessionNo, Rights),
    /// Credentials are being read: until there is an answer, there may be a lease.
    Reading(SessionNo),
    /// A read of credentials was answered.
    Read(SessionNo, Option<NewLease>),
    /// The answer to a read of credentials was lost, and what it may have made is not known.
    ReadLost(SessionNo),
    /// A token or a lease now ends at this moment.
    Extended(Target, Moment),
    /// It stays, as the user wants, unless it is claimed back.
    Kept(SessionNo),
    /// Everything that was kept is to be revoked after all.
    ClaimedBack,
    /// It is to be revoked. The leases of a token are tried by themselves until the moment, and go
    /// with it after that.
    Retired(Target, Moment),
    /// A revocation is asked for.
    RevocationSent(Target),
    /// A revocation is done.
    Revoked(Target),
    /// The server has put the revocation of a lease in its queue.
    Queued(LeaseNo),
    /// A revocation failed at `now`.
    Refused {
        /// Of what.
        target: Target,
        /// Why.
        refusal: Refusal,
        /// When it is tried again.
        next: Next,
    },
    /// A folder with files for the child is about to be made.
    Folder(String),
    /// No request is under way any more, whatever was sent.
    Abandoned,
}

impl Ledger {
    /// Enters what has happened. What it is about and no longer here is no news.
    pub fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::LoggedIn(new) => self.add_session(new),
            Fact::Used(no) => self.with_session(no, |session| {
                session.uses = session.uses.map(|uses| uses.saturating_sub(1));
            }),
            Fact::NotUsed(no) => self.with_session(no, |session| {
                session.uses = session.uses.map(|uses| uses + 1);
            }),
            Fact::Rights(no, rights) => {
                self.with_session(no, |session| session.rights = Some(rights));
            }
            Fact::Reading(no) | Fact::ReadLost(no) => {
                self.with_session(no, |session| session.unknown_lease = true);
            }
            Fact::Read(no, lease) => self.add_lease(no, lease),
            Fact::Extended(Target::Token(no), expiry) => {
                self.with_session(no, |session| session.expiry = Some(expiry));
            }
            Fact::Extended(Target::Lease(no), expiry) => {
                self.with_lease(no, |lease| lease.expiry = expiry);
            }
            Fact::Kept(no) => self.with_session(no, |session| {
                session.state = TokenState::Kept;
                change(&mut session.leases, LeaseState::Held, LeaseState::Kept);
            }),
            Fact::ClaimedBack => {
                for session in &mut self.sessions {
                    if session.state == TokenState::Kept {
                        session.state = TokenState::Held;
                    }
                    change(&mut session.leases, LeaseState::Kept, LeaseState::Held);
                }
            }
            Fact::Retired(Target::Token(no), leases_until) => self.with_session(no, |session| {
                session.retired = Some(leases_until);
            }),
            Fact::Retired(Target::Lease(no), _) => {
                self.with_lease(no, |lease| lease.retired = true);
            }
            Fact::RevocationSent(target) => self.with_revocation(target, |revocation| {
                revocation.in_flight = true;
                revocation.sent += 1;
            }),
            Fact::Revoked(Target::Token(no)) => self.with_session(no, token_gone),
            Fact::Revoked(Target::Lease(no)) => {
                self.with_lease(no, |lease| settle(lease, LeaseState::Revoked));
            }
            Fact::Queued(no) => self.with_lease(no, |lease| settle(lease, LeaseState::Queued)),
            Fact::Refused {
                target,
                refusal,
                next,
            } => self.with_revocation(target, |revocation| {
                revocation.in_flight = false;
                revocation.next = next;
                // Keep the engine's verdict: a later time-out says less.
                if !revocation.was_refused(Reason::Engine) || refusal.reason != Reason::Unclear {
                    revocation.refusal = Some(refusal);
                }
            }),
            Fact::Folder(path) => self.folder = Some(path),
            Fact::Abandoned => {
                for session in &mut self.sessions {
                    session.revocation.in_flight = false;
                    session.revocation.hurry();
                    for lease in &mut session.leases {
                        lease.revocation.in_flight = false;
                        lease.revocation.hurry();
                    }
                }
            }
        }
    }

    /// Forgets what is settled or has ended by itself.
    pub fn forget_settled(&mut self, now: Moment) {
        self.sessions
            .retain(|session| !session.has_ended(now) && !session.is_forgettable());
        for session in &mut self.sessions {
            let gone =
                |lease: &Lease| matches!(lease.state, LeaseState::Revoked | LeaseState::Queued);
            session.leases.retain(|lease| !gone(lease));
        }
    }

    fn add_session(&mut self, new: NewSession) {
        let expiry = (!new.duration.is_zero()).then(|| new.granted_at + new.duration);
        let no = SessionNo(self.number());
        self.sessions.push(Session {
            no,
            token: new.token,
            batch: new.batch,
            foreign: new.foreign,
            uses: new.uses,
            renewable: new.renewable && !new.batch,
            duration: new.duration,
            expiry,
            rights: None,
            unknown_lease: false,
            state: TokenState::Held,
            retired: None,
            revocation: Revocation::default(),
            leases: Vec::new(),
        });
    }

    fn add_lease(&mut self, no: SessionNo, lease: Option<NewLease>) {
        let number = LeaseNo(self.number());
        self.with_session(no, |session| {
            session.unknown_lease = false;
            session.leases.extend(lease.map(|new| Lease {
                no: number,
                expiry: new.granted_at + new.duration,
                id: new.id,
                granted_at: new.granted_at,
                duration: new.duration,
                renewable: new.renewable,
                state: LeaseState::Held,
                retired: false,
                revocation: Revocation::default(),
            }));
        });
    }

    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn with_session(&mut self, no: SessionNo, change: impl FnOnce(&mut Session)) {
        let mut sessions = self.sessions.iter_mut();
        if let Some(session) = sessions.find(|session| session.no == no) {
            change(session);
        }
    }

    fn with_lease(&mut self, no: LeaseNo, change: impl FnOnce(&mut Lease)) {
        let sessions = self.sessions.iter_mut();
        let mut leases = sessions.flat_map(|session| &mut session.leases);
        if let Some(lease) = leases.find(|lease| lease.no == no) {
            change(lease);
        }
    }

    fn with_revocation(&mut self, target: Target, change: impl FnOnce(&mut Revocation)) {
        match target {
            Target::Token(no) => self.with_session(no, |session| change(&mut session.revocation)),
            Target::Lease(no) => self.with_lease(no, |lease| change(&mut lease.revocation)),
        }
    }
}

impl Session {
    /// Whether it can leave the ledger because all that was wanted of it is done.
    fn is_forgettable(&self) -> bool {
        self.state == TokenState::Gone && self.is_settled()
    }
}

impl Revocation {
    /// What was to be waited for is not.
    fn hurry(&mut self) {
        if matches!(self.next, Next::At(_)) {
            self.next = Next::Now;
        }
    }
}

/// What could not be revoked by itself went with its token, unless the engine has refused.
fn token_gone(session: &mut Session) {
    session.state = TokenState::Gone;
    session.unknown_lease = false;
    session.revocation.in_flight = false;
    for lease in &mut session.leases {
        if !lease.is_settled() && !lease.revocation.was_refused(Reason::Engine) {
            settle(lease, LeaseState::Queued);
        }
    }
}

fn settle(lease: &mut Lease, state: LeaseState) {
    lease.revocation.in_flight = false;
    lease.state = state;
}

fn change(leases: &mut [Lease], from: LeaseState, to: LeaseState) {
    for lease in leases.iter_mut().filter(|lease| lease.state == from) {
        lease.state = to;
    }
}
