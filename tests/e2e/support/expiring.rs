//! Credentials that cannot be extended for long.

use super::running::Running;
use super::tenant::{Tenant, TenantSpec};

/// The lease is renewed once, after some 8 s; the server then grants less, and it is replaced about 13 s after its start.
pub fn short(spec: TenantSpec) -> TenantSpec {
    spec.default_ttl("12s").max_ttl("16s")
}

/// The lease cannot be renewed for as long as it was granted even once: it is replaced after some 9 s.
pub fn shortest(spec: TenantSpec) -> TenantSpec {
    spec.default_ttl("12s").max_ttl("12s")
}

/// The token ends before the lease would, and is replaced some 9 s after its start.
pub fn short_token(spec: TenantSpec) -> TenantSpec {
    spec.token_ttl("12s").token_max_ttl("12s")
}

/// Has a run replace its lease now, without waiting: the CONT has it ask for a renewal a second after the lease was given out, and
/// it is granted what is left of `ttl`, less than it asked for. The lease is good for as long as that.
pub fn limit_lease(tenant: &Tenant, running: &Running, ttl: &str) {
    tenant.limit_leases(ttl);
    running.signal(libc::SIGCONT);
}

/// The same by way of the token.
pub fn limit_token(tenant: &Tenant, running: &Running, ttl: &str) {
    tenant.limit_tokens(ttl);
    running.signal(libc::SIGCONT);
}
