//! Tenants whose credentials cannot be extended for long.

use super::tenant::TenantSpec;

/// The lease is renewed once, after some 4 s; the server then grants less, and it is replaced about 6 s after its start.
pub fn short(spec: TenantSpec) -> TenantSpec {
    spec.default_ttl("6s").max_ttl("8s")
}

/// The lease cannot be renewed for as long as it was granted even once: it is replaced after some 3 s.
pub fn shortest(spec: TenantSpec) -> TenantSpec {
    spec.default_ttl("4s").max_ttl("4s")
}

/// The token ends before the lease would, and is replaced some 3 s after its start.
pub fn short_token(spec: TenantSpec) -> TenantSpec {
    spec.token_ttl("4s").token_max_ttl("4s")
}
