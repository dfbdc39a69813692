//! A wait that a person notices.

use std::pin::pin;
use std::time::Duration;

/// A shorter wait is not worth a word.
pub const SLOW: Duration = Duration::from_secs(1);

/// Does the work; when that takes long, says once what is waited for.
pub async fn when_slow<T>(say: impl FnOnce(), work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(SLOW) => say(),
    }
    work.await
}
