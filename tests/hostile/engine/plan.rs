//! The random plan of a run: it hangs on the seed and the run's number alone.

use crate::support::RequestInfo;
use fastrand::Rng;

/// The endpoints that a run or a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    Login,
    WrappingLookup,
    Unwrap,
    Capabilities,
    Read,
    LeaseRenew,
    TokenRenew,
    LookupSelf,
    LeaseRevoke,
    RevokeSelf,
    SealStatus,
}

impl Endpoint {
    pub const ALL: [Self; 11] = [
        Self::Login,
        Self::WrappingLookup,
        Self::Unwrap,
        Self::Capabilities,
        Self::Read,
        Self::LeaseRenew,
        Self::TokenRenew,
        Self::LookupSelf,
        Self::LeaseRevoke,
        Self::RevokeSelf,
        Self::SealStatus,
    ];

    /// Whether this request asks it.
    pub fn is_asked_by(self, request: &RequestInfo) -> bool {
        match self {
            Self::Login => request.is_login(),
            Self::WrappingLookup => request.is_wrapping_lookup(),
            Self::Unwrap => request.is_unwrap(),
            Self::Capabilities => request.path == "/v1/sys/capabilities-self",
            Self::Read => request.is_creds(),
            Self::LeaseRenew => request.is_lease_renew(),
            Self::TokenRenew => request.is_token_renew(),
            Self::LookupSelf => request.path == "/v1/auth/token/lookup-self",
            Self::LeaseRevoke => request.is_lease_revoke(),
            Self::RevokeSelf => request.is_revoke_self(),
            Self::SealStatus => request.path == "/v1/sys/seal-status",
        }
    }
}

/// What a run is like, so that it asks an endpoint at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A secret id; the policy allows the revocation of leases.
    Plain,
    /// A wrapped secret id.
    Wrapped,
    /// A token that was handed in.
    Token,
    /// As `Plain`, with a lease or a token that is renewed while the command runs.
    Renewing,
    /// `vaultexec check`, with a wrapped secret id.
    Check,
    /// `vaultexec check`, with a token that was handed in.
    CheckToken,
}

/// What is done to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Status,
    StatusLine,
    Headers,
    Bytes,
    Json,
    Truncated,
    Huge,
    Encoding,
    Delayed,
    Repeating,
}

impl Kind {
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::StatusLine,
        Self::Headers,
        Self::Bytes,
        Self::Json,
        Self::Truncated,
        Self::Huge,
        Self::Encoding,
        Self::Delayed,
        Self::Repeating,
    ];
}

/// All that is decided beforehand about a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub endpoint: Endpoint,
    pub way: Way,
    pub kind: Kind,
    /// How many answers of the endpoint are harmed.
    pub times: usize,
    /// Where the details of the harm come from.
    pub seed: u64,
    /// Whether it says all that it has to say, and how.
    pub verbose: bool,
    pub json_log: bool,
}

impl Plan {
    /// The plan of that run: every endpoint and every kind of harm in turn, all else by chance.
    pub fn draw(seed: u64, index: u32) -> Self {
        // Neighbouring numbers must not give neighbouring sequences.
        let mut rng =
            Rng::with_seed(seed ^ u64::from(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let index = index as usize;
        let endpoint = Endpoint::ALL[index % Endpoint::ALL.len()];
        let kind = Kind::ALL[(index / Endpoint::ALL.len()) % Kind::ALL.len()];
        let ways: &[Way] = match endpoint {
            Endpoint::Login => &[Way::Plain, Way::Plain, Way::Wrapped],
            Endpoint::WrappingLookup => &[Way::Wrapped, Way::Wrapped, Way::Check],
            Endpoint::Unwrap => &[Way::Wrapped],
            Endpoint::Capabilities => &[Way::Plain, Way::Plain, Way::CheckToken],
            Endpoint::Read => &[Way::Plain, Way::Plain, Way::Wrapped, Way::Token],
            Endpoint::LeaseRenew | Endpoint::TokenRenew => &[Way::Renewing],
            Endpoint::LookupSelf => &[Way::Token, Way::Token, Way::CheckToken],
            Endpoint::LeaseRevoke => &[Way::Plain, Way::Plain, Way::Token],
            Endpoint::RevokeSelf => &[Way::Plain, Way::Plain, Way::Wrapped],
            Endpoint::SealStatus => &[Way::Check, Way::CheckToken],
        };
        let at_the_end = matches!(endpoint, Endpoint::LeaseRevoke | Endpoint::RevokeSelf);
        let times: &[usize] = if at_the_end {
            // Whoever goes on in the background must come to an end.
            &[1, 1, 2, 3]
        } else {
            &[1, 1, 2, usize::MAX]
        };
        Self {
            endpoint,
            way: ways[rng.usize(..ways.len())],
            kind,
            times: times[rng.usize(..times.len())],
            seed: rng.u64(..),
            verbose: rng.u8(..3) == 0,
            json_log: rng.u8(..4) == 0,
        }
    }
}
