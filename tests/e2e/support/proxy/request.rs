//! A request as the proxy saw it, and which of vaultexec's requests it is.

use crate::support::http;
use std::time::Instant;

/// Tells requests of one kind from all others.
pub type Which = fn(&RequestInfo) -> bool;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub method: String,
    /// With `/v1/` and the query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// 0 for the first request of all.
    pub sequence: usize,
    /// How many requests with this method and path came before.
    pub nth: usize,
    /// When it was read whole.
    pub at: Instant,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl RequestInfo {
    /// The header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A login, with whatever method.
    pub fn is_login(&self) -> bool {
        let names_nobody = self.path.ends_with("/login");
        self.path.starts_with("/v1/auth/") && (names_nobody || self.path.contains("/login/"))
    }

    /// The read of dynamic credentials.
    pub fn is_creds(&self) -> bool {
        self.path.contains("/creds/") && !self.path.starts_with("/v1/sys/")
    }

    /// `sys/wrapping/lookup`.
    pub fn is_wrapping_lookup(&self) -> bool {
        self.path == "/v1/sys/wrapping/lookup"
    }

    /// `sys/wrapping/unwrap`.
    pub fn is_unwrap(&self) -> bool {
        self.path == "/v1/sys/wrapping/unwrap"
    }

    /// A renewal of a lease.
    pub fn is_lease_renew(&self) -> bool {
        self.path.starts_with("/v1/sys/leases/renew") || self.path.starts_with("/v1/sys/renew")
    }

    /// A renewal of the token.
    pub fn is_token_renew(&self) -> bool {
        self.path == "/v1/auth/token/renew-self"
    }

    /// A revocation of a lease.
    pub fn is_lease_revoke(&self) -> bool {
        self.path.starts_with("/v1/sys/leases/revoke") || self.path.starts_with("/v1/sys/revoke")
    }

    /// `auth/token/revoke-self`.
    pub fn is_revoke_self(&self) -> bool {
        self.path == "/v1/auth/token/revoke-self"
    }
}
