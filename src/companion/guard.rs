//! The companion's own life: listen, and clean up when there is nobody left to do it.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::message::Message;
use crate::handover;
use crate::ledger::Ledger;
use crate::logging;
use crate::revoke;
use crate::settings::Config;
use crate::sys::clock::Moment;
use crate::sys::passing::Receiver;
use crate::sys::process;
use crate::sys::signal::Signal;
use crate::sys::watched::{Named, Watched};
use crate::vault::{Backoff, Client};

/// How long the server is asked at most. By then a lease of the usual length would be over, or the
/// server is away for good.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// How long a read of credentials that was on its way is given to be done with. The server makes a
/// role for a token that is revoked meanwhile, and then nobody can revoke it.
const LAST_READ: Duration = Duration::from_millis(400);

/// How long the kernel may take to send the child its signal.
const SENT: Duration = Duration::from_millis(50);

/// How often to look at the child while vaultexec is stopped with it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Listens until vaultexec has ended.
pub fn watch(socket: UnixStream, config: &Config) {
    let vaultexec = process::parent();
    let mut socket = Receiver::new(socket);
    // There is nobody to tell.
    logging::silence();
    let mut ledger = Ledger::default();
    let mut child: Option<Watched> = None;
    // An error is an end too: what was told before it still holds.
    while let Ok(Some(message)) = Message::read(&mut socket) {
        match message {
            Message::Ledger(all) => ledger = all,
            Message::Child(pid, started) => {
                let named = Named { pid, started };
                child = Some(Watched::new(named, socket.take_descriptor()));
            }
            Message::Stopping => wake(&vaultexec, child.as_ref(), &socket),
            Message::GoingOn => {}
        }
    }
    if let Some(folder) = ledger.folder() {
        // There is nobody to be told of a failure.
        let _removed = handover::remove(Path::new(folder));
    }
    if ledger.is_settled() && child.as_ref().is_none_or(Watched::has_ended) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    LocalSet::new().block_on(&runtime, async {
        tokio::join!(clean_up(ledger, config), end(child, config));
    });
    runtime.shutdown_background();
}

/// Continues vaultexec when the child goes on without it, until vaultexec says something again.
/// Whoever continues the whole group continues it as well: so a child that goes on is looked at
/// twice.
fn wake(vaultexec: &Watched, child: Option<&Watched>, socket: &Receiver) {
    let mut seen_before = false;
    while !socket.has_more_within(LOOK_AGAIN) {
        let goes_on = child.is_some_and(Watched::goes_on) && vaultexec.is_stopped();
        if goes_on && seen_before {
            vaultexec.signal(Signal::CONT);
        }
        seen_before = goes_on;
    }
}

/// Revokes what was held.
async fn clean_up(mut ledger: Ledger, config: &Config) {
    if ledger.is_settled() {
        return;
    }
    let Ok(client) = Client::new(&config.vault) else {
        return;
    };
    if ledger.is_reading() {
        tokio::time::sleep(LAST_READ).await;
    }
    let now = Moment::now();
    let (client, until) = (Rc::new(client), now + LONGEST);
    let leases_until = now + config.revoke_timeout.mul_f64(revoke::LEASES_SHARE);
    let nobody = |_: &Ledger| {};
    revoke::everything(
        &client,
        &mut ledger,
        leases_until,
        until,
        Backoff::PATIENT,
        nobody,
    )
    .await;
}

/// Sees to it that the child ends. The kernel has sent it the stop signal at vaultexec's death,
/// unless the child has become another user; if it is stopped, it has to go on to hear of that.
async fn end(child: Option<Watched>, config: &Config) {
    let Some(child) = child else { return };
    // The kernel sends it after our socket has closed.
    tokio::time::sleep(SENT).await;
    if child.has_changed_user() {
        child.signal(config.stop_signal);
    }
    child.rouse();
    if tokio::time::timeout(config.stop_timeout, child.ended())
        .await
        .is_err()
    {
        child.signal(Signal::KILL);
    }
}
