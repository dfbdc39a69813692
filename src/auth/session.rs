//! What a login gives.

use std::cell::Cell;
use std::time::Duration;

use crate::sensitive::Sensitive;
use crate::sys::clock::Moment;
use crate::vault::{Failure, LoginAnswer};

/// A token, and what is known of its life.
#[derive(Debug)]
pub struct Session {
    /// The token.
    pub token: Sensitive<String>,
    /// For how long; zero for a token that does not expire.
    pub duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whether it is a batch token, which can be neither renewed nor revoked.
    pub batch: bool,
    /// How many calls are left, if they are counted.
    uses: Cell<Option<u64>>,
    /// When it ends by itself, as of the last renewal; never, if absent.
    expiry: Cell<Option<Moment>>,
}

impl Session {
    /// The session of a login that was answered now.
    #[must_use]
    pub fn new(answer: LoginAnswer, granted_at: Moment) -> Self {
        Self {
            token: answer.client_token,
            expiry: Cell::new(
                (!answer.lease_duration.is_zero()).then(|| granted_at + answer.lease_duration),
            ),
            duration: answer.lease_duration,
            renewable: answer.renewable && !answer.batch,
            batch: answer.batch,
            uses: Cell::new(answer.num_uses),
        }
    }

    /// A token that was obtained by another process.
    #[must_use]
    pub fn known(
        token: Sensitive<String>,
        batch: bool,
        uses: Option<u64>,
        expiry: Option<Moment>,
    ) -> Self {
        let granted_at = Moment::now();
        Self {
            token,
            duration: expiry
                .map(|expiry| expiry.since(granted_at))
                .unwrap_or_default(),
            renewable: false,
            batch,
            uses: Cell::new(uses),
            expiry: Cell::new(expiry),
        }
    }

    /// When the token ends by itself, as of the last renewal; never, if absent.
    #[must_use]
    pub const fn expiry(&self) -> Option<Moment> {
        self.expiry.get()
    }

    /// The token has been renewed until then.
    pub fn renewed_until(&self, expiry: Moment) {
        self.expiry.set(Some(expiry));
    }

    /// How many calls can still be made with the token, if they are counted.
    #[must_use]
    pub const fn uses(&self) -> Option<u64> {
        self.uses.get()
    }

    /// Makes a call with the token and counts it. Failing ones count too, if they were sent; the last
    /// one ends the token and all its leases.
    ///
    /// # Errors
    /// The call's.
    pub async fn count_use<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let uses = self.uses.get();
        // From before it is sent: nobody knows how far one that is given up has come.
        self.uses.set(uses.map(|uses| uses.saturating_sub(1)));
        let result = call.await;
        if result.as_ref().is_err_and(|failure| !failure.was_sent()) {
            self.uses.set(uses);
        }
        result
    }
}

/// Why there can be no other login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotRepeat {
    /// The secret id had a number of uses, and none is left.
    UsesSpent,
    /// The secret id's time is over.
    Expired,
    /// The server said no to a login like it.
    Refused,
}

impl std::fmt::Display for CannotRepeat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::UsesSpent => "the secret id has no use left",
            Self::Expired => "the secret id has expired",
            Self::Refused => "the server has refused the secret id",
        })
    }
}
