//! Which revocations are to be asked for now, read from the ledger.
//!
//! A lease is revoked by `sys/leases/revoke` with `sync`, whose answer is the database's own. Where
//! the policy forbids that, it goes with its token: the server then only puts it in its queue, and
//! says yes whatever the database says later.

use super::{Lease, Ledger, Next, Reason, Session, Target, TokenState};
use crate::sys::clock::Moment;
use crate::vault::Token;

/// One revocation to ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Of what.
    pub target: Target,
    /// With this token.
    pub token: Token,
    /// How it is asked for.
    pub form: Form,
    /// How many requests for it were sent before.
    pub sent: u32,
    /// No answer is waited for after this moment: others need time too.
    pub until: Option<Moment>,
}

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `auth/token/revoke-self`.
    Token,
    /// `sys/leases/revoke`, the lease's id in the body.
    Body(String),
    /// `sys/leases/revoke/<lease id>`, which a policy can allow for one role's leases alone.
    Path(String),
}

impl Ledger {
    /// The revocations that can be asked for now, and when to look again if there are others. What
    /// is under way is neither.
    #[must_use]
    pub fn revocations(&self, now: Moment) -> (Vec<Call>, Option<Moment>) {
        let mut due = Due::default();
        for session in &self.sessions {
            session.revocations(now, &mut due);
        }
        (due.calls, due.later)
    }

    /// Whether something is to be revoked that another request may bring about.
    #[must_use]
    pub fn is_revoking(&self, now: Moment) -> bool {
        let (calls, later) = self.revocations(now);
        let mut sessions = self.sessions.iter();
        !calls.is_empty()
            || later.is_some()
            || sessions.any(|session| {
                let mut leases = session.leases.iter();
                session.revocation.in_flight || leases.any(|lease| lease.revocation.in_flight)
            })
    }
}

#[derive(Default)]
struct Due {
    calls: Vec<Call>,
    later: Option<Moment>,
}

impl Due {
    fn later(&mut self, moment: Moment) {
        self.later = Some(self.later.map_or(moment, |known| known.min(moment)));
    }
}

impl Session {
    fn revocations(&self, now: Moment, due: &mut Due) {
        if self.state != TokenState::Held {
            return;
        }
        let leases_until = self.retired.filter(|_| !self.keeps_its_token());
        let leases_have_time = leases_until.is_none_or(|until| now < until);
        // Whether a lease may still be revoked by itself: then its token waits for it.
        let mut pending = false;
        for lease in &self.leases {
            let wanted = lease.retired || self.retired.is_some();
            if !wanted || lease.is_settled() || !leases_have_time {
                continue;
            }
            if lease.revocation.in_flight {
                pending = true;
                continue;
            }
            let Some(form) = self.form_for(lease) else {
                continue;
            };
            match lease.revocation.next {
                Next::Never => continue,
                Next::At(moment) if moment > now => due.later(moment),
                Next::At(_) | Next::Now => due.calls.push(Call {
                    target: Target::Lease(lease.no),
                    token: Token::clone(&self.token),
                    form,
                    sent: lease.revocation.sent,
                    until: leases_until,
                }),
            }
            pending = true;
        }
        if self.retired.is_none() || self.keeps_its_token() || self.revocation.in_flight {
            return;
        }
        if let Some(until) = leases_until.filter(|_| pending) {
            due.later(until);
            return;
        }
        match self.revocation.next {
            Next::Never => {}
            Next::At(moment) if moment > now => due.later(moment),
            Next::At(_) | Next::Now => due.calls.push(Call {
                target: Target::Token(self.no),
                token: Token::clone(&self.token),
                form: Form::Token,
                sent: self.revocation.sent,
                until: None,
            }),
        }
    }

    /// How a lease can be revoked by itself, if it can.
    fn form_for(&self, lease: &Lease) -> Option<Form> {
        // The very last use ends the token, and with it the lease: that is revoking the token.
        if self.uses.is_some_and(|uses| uses < 2) {
            return None;
        }
        let (by_body, by_path) = match &self.rights {
            Some(rights) => (rights.any, rights.below.contains(lease.path())),
            // The form with the path is tried once the other one was refused.
            None => (!lease.revocation.was_refused(Reason::Policy), true),
        };
        if by_body {
            Some(Form::Body(lease.id.clone()))
        } else if by_path {
            Some(Form::Path(lease.id.clone()))
        } else {
            None
        }
    }

    /// Whether its policy is known to forbid the revocation of a lease by itself.
    #[must_use]
    pub fn forbids(&self, lease: &Lease) -> bool {
        let rights = self.rights.as_ref();
        rights.is_some_and(|rights| !rights.any && !rights.below.contains(lease.path()))
    }
}
