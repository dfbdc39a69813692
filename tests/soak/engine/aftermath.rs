//! After a run: waiting for the servers to settle, looking for what it may have left, and sweeping up what nobody else can.

use super::Soak;
use super::kinds::KINDS;
use super::observed::Observed;
use super::oracle::{Fate, fate};
use super::plan::Plan;
use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// What the server does in the background may take so long: where the database has refused it, it is done again after 10 to 30
/// seconds, and after twice as many once more.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is still to be looked for after a run: tokens by their accessors, leases with their roles, sorted by their `Fate`.
pub struct Pending {
    index: u32,
    plan: Plan,
    story: String,
    ended: Instant,
    tokens: Vec<String>,
    leases: Vec<(String, String)>,
    lost: Vec<String>,
    slow: Vec<(String, String)>,
    in_flight: Vec<String>,
    /// The token that was handed in, which has to be there still.
    handed_in: Option<String>,
    /// Processes that have to end after a KILL.
    family: Vec<i32>,
    /// What vaultexec has said, if it has named something that it could not revoke, with good reason.
    named: Option<String>,
    /// After a KILL somebody else still asks through it.
    _proxy: Option<FaultProxy>,
}

impl Pending {
    /// All that the server gave out in this run, sorted by what is to become of it.
    pub fn new(index: u32, plan: &Plan, observed: &Observed, proxy: FaultProxy) -> Self {
        let was_killed = observed.killed_at().is_some();
        let family = observed.sent.as_ref().filter(|_| was_killed);
        let mut pending = Self {
            index,
            plan: plan.clone(),
            story: observed.story(plan),
            ended: observed.ended,
            tokens: Vec::new(),
            leases: Vec::new(),
            lost: Vec::new(),
            slow: Vec::new(),
            in_flight: Vec::new(),
            handed_in: observed.handed_in.clone(),
            family: family.map_or_else(Vec::new, |sent| sent.family.clone()),
            named: observed.names_what_is_left().then(|| observed.err.clone()),
            _proxy: was_killed.then_some(proxy),
        };
        for issued in &observed.issued {
            match (fate(issued, observed), issued.what.clone()) {
                (Fate::Lost, IssuedKind::Token { accessor, .. }) => pending.lost.push(accessor),
                (Fate::InFlight, IssuedKind::Token { accessor, .. }) => {
                    pending.in_flight.push(accessor);
                }
                (_, IssuedKind::Token { accessor, .. }) => pending.tokens.push(accessor),
                (Fate::Slow, IssuedKind::Lease { lease_id, username }) => {
                    pending.slow.push((lease_id, username));
                }
                (_, IssuedKind::Lease { lease_id, username }) => {
                    pending.leases.push((lease_id, username));
                }
            }
        }
        pending
    }

    fn forget_what_is_gone(&mut self, tenant: &Tenant, roles: &BTreeSet<&str>) {
        self.tokens
            .retain(|accessor| token_is_there(tenant, accessor));
        self.leases.retain(|(lease_id, username)| {
            roles.contains(username.as_str()) || lease_is_there(tenant, lease_id)
        });
        self.family
            .retain(|pid| !matches!(procfs::state(*pid), None | Some('Z')));
    }

    fn is_clean(&self) -> bool {
        self.tokens.is_empty() && self.leases.is_empty() && self.family.is_empty()
    }

    /// Whether what is left is what it has named, a token by no name, and nothing else.
    fn is_named(&self) -> bool {
        self.named.as_ref().is_some_and(|said| {
            let all = self
                .leases
                .iter()
                .all(|(lease_id, _)| said.contains(lease_id));
            all && self.tokens.len() <= 1 && self.family.is_empty()
        })
    }
}

impl Soak<'_> {
    /// Has somebody look for what that run may have left.
    pub fn hand_over(&self, pending: Pending) {
        let tokens = pending.tokens.len() + pending.lost.len() + pending.in_flight.len();
        self.count("tokens", tokens as u64);
        self.count("leases", pending.leases.len() as u64);
        self.pending.lock().unwrap().push(pending);
    }

    /// Looks for what the finished runs may have left, until there are no more.
    pub fn check_all(&self) {
        let mut waiting: Vec<Pending> = Vec::new();
        loop {
            let done = self.done.load(Ordering::SeqCst);
            waiting.append(&mut self.pending.lock().unwrap());
            if !waiting.is_empty() {
                let roles = self
                    .servers
                    .postgres
                    .sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'");
                let roles: BTreeSet<&str> = roles.lines().collect();
                waiting.retain_mut(|pending| !self.is_settled(pending, &roles));
            } else if done {
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Looks whether anything of this run is still there; once all is gone, or overdue, judges that and sweeps up.
    fn is_settled(&self, pending: &mut Pending, roles: &BTreeSet<&str>) -> bool {
        let tenant = &self.tenants[pending.plan.tenant];
        pending.forget_what_is_gone(tenant, roles);
        let late = pending.ended.elapsed() > PATIENCE;
        if !(pending.is_clean() || late) {
            return false;
        }
        // It may be known to the companion, which needs a moment.
        pending
            .in_flight
            .retain(|accessor| token_is_there(tenant, accessor));
        if !pending.in_flight.is_empty() && pending.ended.elapsed() < Duration::from_secs(10) {
            return false;
        }
        if late && !pending.is_named() {
            self.tell_what_is_left(pending);
        }
        self.check_the_lost(tenant, pending);
        self.check_what_was_handed_in(tenant, pending);
        self.note_aftermath(pending);
        sweep(tenant, pending);
        true
    }

    fn tell_what_is_left(&self, pending: &Pending) {
        let Pending {
            index,
            tokens,
            leases,
            family,
            story,
            ..
        } = pending;
        self.violation(format!(
            "run {index}: left the tokens {tokens:?}, the leases {leases:?}, the processes {family:?}\n{story}"
        ));
    }

    /// Inherent: a login whose answer never arrived leaves a token that nobody can know, and nothing but that.
    fn check_the_lost(&self, tenant: &Tenant, pending: &Pending) {
        for accessor in &pending.lost {
            let there = token_is_there(tenant, accessor);
            if !there && KINDS[pending.plan.tenant].long_token {
                self.violation(format!(
                    "run {}: the token {accessor} was to be lost, and is gone\n{}",
                    pending.index, pending.story
                ));
            }
        }
    }

    /// A token that somebody has handed in is not the run's to revoke.
    fn check_what_was_handed_in(&self, tenant: &Tenant, pending: &Pending) {
        let Some(token) = &pending.handed_in else {
            return;
        };
        let body = json!({"token": token});
        if !is_there(tenant, "auth/token/lookup", body.clone()) {
            self.violation(format!(
                "run {}: the token that was handed in is gone\n{}",
                pending.index, pending.story
            ));
        }
        let _ = tenant.admin().write("auth/token/revoke", body);
    }

    fn note_aftermath(&self, pending: &Pending) {
        for _ in &pending.lost {
            self.count("tokens of logins whose answer was lost", 1);
        }
        for _ in &pending.in_flight {
            self.count(
                "tokens of logins whose answer came as vaultexec was killed, never used",
                1,
            );
        }
        if pending.named.is_some() {
            self.count(
                "runs that were hurried while cleaning up and said what they left",
                1,
            );
        }
        self.count(
            "leases that came too late to be waited for",
            pending.slow.len() as u64,
        );
    }

    /// Looks at last for what no run has left by any name.
    pub fn check_tenants(&self) {
        for (tenant, kind) in self.tenants.iter().zip(KINDS) {
            let mut left = Vec::new();
            let clean = poll_until(PATIENCE, || {
                left = tenant.leftovers();
                left.is_empty().then_some(())
            });
            if clean.is_none() {
                self.violation(format!(
                    "left at the end, of the tenant {:?}: {}",
                    kind.name,
                    left.join(", ")
                ));
            }
        }
    }
}

/// Revokes what is left and what nobody else can.
fn sweep(tenant: &Tenant, pending: &Pending) {
    for accessor in pending.lost.iter().chain(&pending.in_flight) {
        revoke_accessor(tenant, accessor);
    }
    for (lease_id, _) in pending.leases.iter().chain(&pending.slow) {
        let body = json!({"lease_id": lease_id, "sync": true});
        let revoked = || tenant.admin().write("sys/leases/revoke", body.clone());
        let _ = tenant::undisturbed(revoked);
    }
    for accessor in &pending.tokens {
        revoke_accessor(tenant, accessor);
    }
}

/// Revokes the token, if it is still there.
fn revoke_accessor(tenant: &Tenant, accessor: &str) {
    let body = json!({"accessor": accessor});
    let _ = tenant.admin().write("auth/token/revoke-accessor", body);
}

fn token_is_there(tenant: &Tenant, accessor: &str) -> bool {
    let body = json!({"accessor": accessor});
    is_there(tenant, "auth/token/lookup-accessor", body)
}

fn lease_is_there(tenant: &Tenant, lease_id: &str) -> bool {
    let body = json!({"lease_id": lease_id});
    is_there(tenant, "sys/leases/lookup", body)
}

fn is_there(tenant: &Tenant, lookup: &str, body: Value) -> bool {
    let looked = tenant.admin().write(lookup, body);
    !looked.is_err_and(|refused| matches!(refused.status, 400 | 403 | 404))
}
