//! What vaultexec tells its companion: frames of a length and JSON.

use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::auth::Session;
use crate::lease::{Holding, Holdings, Lease, TokenState};
use crate::sensitive::Sensitive;
use crate::sys::clock::Moment;
use crate::sys::reap::Pid;

/// No message is longer; a length beyond this is no length.
const LONGEST: u32 = 16 << 20;

/// One message. The last of a kind counts.
#[derive(Serialize, Deserialize)]
pub enum Message {
    /// All that is held now.
    Held(Vec<Held>),
    /// The child, by its number and the time it was started at. Its descriptor comes along, where
    /// the kernel has such.
    Child(Pid, Option<String>),
    /// vaultexec is about to stop, because the child has stopped.
    Stopping,
    /// vaultexec goes on.
    GoingOn,
}

/// A token and its leases.
#[derive(Serialize, Deserialize)]
pub struct Held {
    token: String,
    batch: bool,
    /// Whether the token stays, and only its leases are revoked.
    keeps_token: bool,
    uses: Option<u64>,
    /// Seconds until the token, and everything that hangs on it, ends by itself.
    seconds: Option<u64>,
    /// Whether credentials are being read with it, or were and the answer was lost.
    reading: bool,
    leases: Vec<HeldLease>,
}

/// A lease.
#[derive(Serialize, Deserialize)]
struct HeldLease {
    id: String,
    seconds: u64,
}

impl Held {
    /// What a companion has to know of a holding.
    pub fn of(holding: &Holding) -> Self {
        let session = &holding.session;
        let now = Moment::now();
        let leases = holding.leases.borrow();
        let leases = leases.iter().filter(|lease| !lease.is_settled());
        Self {
            token: session.token.expose().clone(),
            batch: session.batch,
            keeps_token: holding.token.get() == TokenState::Kept,
            uses: session.uses(),
            seconds: session.expiry().map(|expiry| expiry.since(now).as_secs()),
            reading: holding.unknown_lease.get(),
            leases: leases
                .map(|lease| HeldLease {
                    id: lease.id.clone(),
                    seconds: lease.expiry.get().since(now).as_secs(),
                })
                .collect(),
        }
    }

    /// Whether there may be a read of credentials on its way.
    pub const fn is_reading(&self) -> bool {
        self.reading
    }

    /// Enters it into the companion's own holdings.
    pub fn enter(mut self, holdings: &Holdings) {
        let now = Moment::now();
        let session = Session::known(
            Sensitive::new(std::mem::take(&mut self.token)),
            self.batch,
            self.uses,
            self.seconds
                .map(|seconds| now + Duration::from_secs(seconds)),
        );
        let holding = holdings.add_session(Rc::new(session));
        if self.keeps_token {
            holding.token.set(TokenState::Kept);
        }
        for lease in &self.leases {
            let duration = Duration::from_secs(lease.seconds);
            let lease = Lease::new(lease.id.clone(), duration, false);
            holdings.add_lease(&holding, Rc::new(lease));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Message {
    /// The message as it is sent.
    pub fn to_frame(&self) -> Vec<u8> {
        // Numbers, texts and lists: this cannot fail.
        let json = Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        let length = u32::try_from(json.len()).unwrap_or(0);
        let mut frame = Vec::with_capacity(json.len() + 4);
        frame.extend_from_slice(&length.to_ne_bytes());
        frame.extend_from_slice(&json);
        frame
    }

    /// Reads the next message; nothing when the other end is closed.
    ///
    /// # Errors
    /// When what comes is no message.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut length = [0u8; 4];
        match stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let length = u32::from_ne_bytes(length);
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut json = Zeroizing::new(vec![0u8; usize::try_from(length).unwrap_or(0)]);
        stream.read_exact(&mut json)?;
        serde_json::from_slice(&json)
            .map(Some)
            .map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holdings() -> Holdings {
        let holdings = Holdings::default();
        let token = Sensitive::from("hvs.token");
        let session = Session::known(
            token,
            false,
            Some(7),
            Some(Moment::now() + Duration::from_secs(100)),
        );
        let holding = holdings.add_session(Rc::new(session));
        for id in ["database/creds/x/1", "database/creds/x/2"] {
            let lease = Lease::new(id.to_owned(), Duration::from_secs(50), true);
            holdings.add_lease(&holding, Rc::new(lease));
        }
        holdings
    }

    #[test]
    fn what_is_held_arrives_whole() {
        let sent = holdings();
        let held = sent
            .unsettled()
            .iter()
            .map(|holding| Held::of(holding))
            .collect();
        let mut stream = io::Cursor::new(
            [
                Message::Child(7, None).to_frame(),
                Message::Held(held).to_frame(),
            ]
            .concat(),
        );
        assert!(matches!(
            Message::read(&mut stream),
            Ok(Some(Message::Child(7, None)))
        ));
        let Ok(Some(Message::Held(held))) = Message::read(&mut stream) else {
            panic!("what is held")
        };
        let received = Holdings::default();
        for held in held {
            held.enter(&received);
        }
        let all = received.unsettled();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].session.token.expose(), "hvs.token");
        assert_eq!(all[0].session.uses(), Some(7));
        let ids: Vec<_> = all[0]
            .leases
            .borrow()
            .iter()
            .map(|lease| lease.id.clone())
            .collect();
        assert_eq!(ids, ["database/creds/x/1", "database/creds/x/2"]);
        assert!(matches!(Message::read(&mut stream), Ok(None)));
    }

    #[test]
    fn half_a_message_or_nonsense_is_an_error_and_no_panic() {
        let whole = Message::Child(7, None).to_frame();
        for length in 5..whole.len() {
            assert!(Message::read(&mut io::Cursor::new(&whole[..length])).is_err());
        }
        assert!(Message::read(&mut io::Cursor::new([0xff; 64])).is_err());
        assert!(Message::read(&mut io::Cursor::new([0, 0, 0, 0])).is_err());
    }
}
