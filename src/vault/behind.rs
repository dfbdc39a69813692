//! A node of a cluster that is behind the others: a standby answers reads by itself, from a copy of
//! the storage that is a moment late, and does not know what was just made.

use std::time::Duration;

use super::client::Client;
use super::failure::Failure;
use super::retry::Retry;

/// How long such a node is given each time it does not know something. There are few tries: five
/// refused logins would lock the role out for a quarter of an hour.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

impl Retry {
    /// Makes the attempt; and again, at the next address or a moment later, while it is `refused` by
    /// a node that may be behind.
    ///
    /// # Errors
    /// The last attempt's, or [`Failure::Interrupted`].
    pub async fn until_known<T>(
        &self,
        client: &Client,
        refused: impl Fn(&Failure) -> bool,
        mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        for wait in WAITS {
            let failure = match attempt().await {
                Err(failure) if refused(&failure) => failure,
                other => return other,
            };
            let late = client.addresses() > 1 || client.may_be_behind(self.left()).await;
            if !late || self.left() <= wait {
                return Err(failure);
            }
            log::debug!("{failure}: this node may be behind the others; asking again");
            self.sleep(wait).await?;
        }
        attempt().await
    }
}
