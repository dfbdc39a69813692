//! Work that would hold up the event loop, on a thread of its own.

use std::io;
use std::thread;

use tokio::sync::oneshot;

use super::mask;

/// Does `work` on a new thread, which ends with it.
///
/// # Errors
/// When the system has no thread to give, as in a container whose processes are counted. The event
/// loop's own pool of threads panics then.
pub async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, done) = oneshot::channel();
    {
        // It starts with what is blocked here, so that it takes no signal before it leaves them all.
        let _blocked = mask::AllBlocked::new();
        thread::Builder::new().spawn(move || {
            mask::leave_signals_to_others();
            // Nobody may be waiting any more.
            let _unwanted = sender.send(work());
        })?;
    }
    done.await
        .map_err(|_| io::Error::other("the thread has ended before its work"))
}
