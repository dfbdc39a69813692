//! The kinds of tenants that runs are drawn from.

use crate::support::TenantSpec;

/// A way in which credentials come and go.
pub struct Kind {
    pub name: &'static str,
    /// Whether a run can outlive its credentials.
    pub rotates: bool,
    /// Whether a token that nobody knows is still there when it is looked for.
    pub long_token: bool,
    /// What only its AppRole's tokens have, if anything.
    pub of_approle_alone: Option<&'static str>,
    pub change: fn(TenantSpec) -> TenantSpec,
}

/// One tenant each.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "tutorial",
        rotates: false,
        long_token: true,
        of_approle_alone: None,
        change: |spec| spec,
    },
    Kind {
        name: "may revoke leases",
        rotates: false,
        long_token: true,
        of_approle_alone: None,
        change: TenantSpec::may_revoke_leases,
    },
    Kind {
        name: "counted token",
        rotates: false,
        long_token: true,
        of_approle_alone: Some("token_num_uses"),
        change: |spec| spec.token_num_uses(30),
    },
    Kind {
        name: "short max_ttl",
        rotates: true,
        long_token: true,
        of_approle_alone: None,
        change: |spec| spec.default_ttl("3s").max_ttl("4s"),
    },
    Kind {
        name: "short max_ttl, may revoke leases",
        rotates: true,
        long_token: true,
        of_approle_alone: None,
        change: |spec| spec.default_ttl("3s").max_ttl("4s").may_revoke_leases(),
    },
    Kind {
        name: "short token",
        rotates: true,
        long_token: false,
        of_approle_alone: Some("token_ttl"),
        change: |spec| spec.token_ttl("3s").token_max_ttl("4s"),
    },
];
