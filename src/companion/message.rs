//! What vaultexec tells its companion: frames of a length and JSON.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ledger::Ledger;
use crate::sys::reap::Pid;

/// No message is longer; a length beyond this is no length.
const LONGEST: u32 = 16 << 20;

/// One message. The last of a kind counts.
#[derive(Serialize, Deserialize)]
pub enum Message {
    /// All that is held now.
    Ledger(Ledger),
    /// The child, by its number and the time it was started at. Its descriptor comes along, where
    /// the kernel has such.
    Child(Pid, Option<String>),
    /// vaultexec is about to stop, because the child has stopped.
    Stopping,
    /// vaultexec goes on.
    GoingOn,
}

/// A message as it is sent.
#[derive(Serialize)]
pub enum Outgoing<'a> {
    /// All that is held now.
    Ledger(&'a Ledger),
    /// The child, by its number and the time it was started at. Its descriptor comes along, where
    /// the kernel has such.
    Child(Pid, Option<String>),
    /// vaultexec is about to stop, because the child has stopped.
    Stopping,
    /// vaultexec goes on.
    GoingOn,
}

impl Outgoing<'_> {
    /// The bytes to send.
    pub fn to_frame(&self) -> Zeroizing<Vec<u8>> {
        // Numbers, texts and lists: this cannot fail.
        let json = Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        let length = u32::try_from(json.len()).unwrap_or(0);
        let mut frame = Zeroizing::new(Vec::with_capacity(json.len() + 4));
        frame.extend_from_slice(&length.to_ne_bytes());
        frame.extend_from_slice(&json);
        frame
    }
}

impl Message {
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
    use crate::ledger::{Fact, NewLease, NewSession};
    use crate::sensitive::Kept;
    use crate::sys::clock::Moment;
    use std::rc::Rc;
    use std::time::Duration;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.apply(Fact::LoggedIn(NewSession {
            token: Rc::new(Kept::from("hvs.token")),
            batch: false,
            foreign: false,
            uses: Some(7),
            renewable: true,
            duration: Duration::from_secs(100),
            granted_at: Moment::now(),
            identity: String::new(),
        }));
        let session = ledger.sessions()[0].no;
        for id in ["database/creds/x/1", "database/creds/x/2"] {
            ledger.apply(Fact::Reading(session));
            let lease = NewLease {
                id: id.to_owned(),
                duration: Duration::from_secs(50),
                renewable: true,
                granted_at: Moment::now(),
            };
            ledger.apply(Fact::Read(session, Some(lease)));
        }
        ledger
    }

    #[test]
    fn what_is_held_arrives_whole() {
        let sent = ledger();
        let frames = [
            Outgoing::Child(7, None).to_frame().to_vec(),
            Outgoing::Ledger(&sent).to_frame().to_vec(),
        ];
        let mut stream = io::Cursor::new(frames.concat());
        assert!(matches!(
            Message::read(&mut stream),
            Ok(Some(Message::Child(7, None)))
        ));
        let Ok(Some(Message::Ledger(received))) = Message::read(&mut stream) else {
            panic!("what is held")
        };
        assert_eq!(received, sent);
        assert!(matches!(Message::read(&mut stream), Ok(None)));
    }

    #[test]
    fn half_a_message_or_nonsense_is_an_error_and_no_panic() {
        let whole = Outgoing::Child(7, None).to_frame();
        for length in 5..whole.len() {
            assert!(Message::read(&mut io::Cursor::new(&whole[..length])).is_err());
        }
        assert!(Message::read(&mut io::Cursor::new([0xff; 64])).is_err());
        assert!(Message::read(&mut io::Cursor::new([0, 0, 0, 0])).is_err());
    }
}
