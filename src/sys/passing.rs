//! Bytes over a socket, and a descriptor along with them.

use std::io::{self, IoSlice, IoSliceMut, Read, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// Sends all of `bytes`, the descriptor with the first of them.
///
/// # Errors
/// When the other end is closed, or has not read for long. A descriptor that a sandbox does not
/// let pass is left out.
pub fn send(
    mut socket: &UnixStream,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut sent = 0;
    if let Some(descriptor) = descriptor {
        let descriptors = [descriptor.as_raw_fd()];
        let along = [ControlMessage::ScmRights(&descriptors)];
        let pieces = [IoSlice::new(bytes)];
        let passed = sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &pieces,
            &along,
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        sent = passed.unwrap_or_default();
    }
    socket.write_all(bytes.get(sent..).unwrap_or_default())
}

/// The end of a socket that is read from.
#[derive(Debug)]
pub struct Receiver {
    socket: UnixStream,
    /// The last descriptor that came.
    descriptor: Option<OwnedFd>,
}

impl Receiver {
    /// Reads from this end.
    #[must_use]
    pub const fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            descriptor: None,
        }
    }

    /// Waits for something to read, or for the end, at most this long.
    #[must_use]
    pub fn has_more_within(&self, time: Duration) -> bool {
        let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::ZERO);
        let mut entries = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // An error is for the next read to find.
        poll(&mut entries, time) != Ok(0)
    }

    /// The descriptor that came with what was read last.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut room = nix::cmsg_space!([RawFd; 1]);
        let mut pieces = [IoSliceMut::new(buffer)];
        let received = recvmsg::<UnixAddr>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut room),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        for along in received.cmsgs()? {
            let ControlMessageOwned::ScmRights(descriptors) = along else {
                continue;
            };
            for descriptor in descriptors {
                // SAFETY: the kernel has made it for this process, and nobody else knows it.
                self.descriptor = Some(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_whole_and_the_descriptor_with_them() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut receiver = Receiver::new(theirs);
        assert!(!receiver.has_more_within(Duration::from_millis(1)));
        let (reader, mut writer) = io::pipe().expect("a pipe");
        send(&ours, b"with", Some(reader.as_fd())).expect("sent");
        send(&ours, b"without", None).expect("sent");
        drop((ours, reader));
        assert!(receiver.has_more_within(Duration::from_secs(60)));

        let mut text = [0u8; 4];
        receiver.read_exact(&mut text).expect("four bytes");
        assert_eq!(&text, b"with");
        let descriptor = receiver.take_descriptor().expect("a descriptor");
        writer.write_all(b"through").expect("somebody reads");
        drop(writer);
        let mut through = String::new();
        let mut pipe = std::fs::File::from(descriptor);
        pipe.read_to_string(&mut through).expect("a text");
        assert_eq!(through, "through");

        let mut rest = String::new();
        receiver.read_to_string(&mut rest).expect("the rest");
        assert_eq!(rest, "without");
        assert!(receiver.take_descriptor().is_none());
    }
}
