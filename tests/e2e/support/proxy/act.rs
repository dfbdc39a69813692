//! Doing to a request what the script says.

use super::fault::Fault;
use super::issued::{Issued, IssuedKind, secrets_in};
use super::request::RequestInfo;
use super::wire::{answer, end, exchange, head_bytes, made_up, reset};
use super::{Shared, lock};
use crate::support::http::Answer;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

/// Does what the script says; true when the connection stays.
pub fn act(
    shared: &Shared,
    stream: &TcpStream,
    request: &RequestInfo,
    fault: Fault,
) -> io::Result<bool> {
    match fault {
        Fault::Pass => answer(stream, &forward(shared, request)?),
        Fault::PassWithHeader(name, value) => {
            let mut request = request.clone();
            request.headers.push((name.to_owned(), value));
            answer(stream, &forward(shared, &request)?)
        }
        Fault::PassWithAnswerHeader(name, value) => {
            let mut whole = forward(shared, request)?;
            whole.head.headers.push((name.to_owned(), value));
            answer(stream, &whole)
        }
        Fault::PassThenClose => {
            answer(stream, &forward(shared, request)?)?;
            stream.shutdown(Shutdown::Write)?;
            Ok(false)
        }
        Fault::ResetBefore => reset(stream),
        Fault::ResetAfter => {
            forward(shared, request)?;
            reset(stream)
        }
        Fault::Status(status, headers, body) => {
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            answer(stream, &made_up(status, headers, body.into_bytes()))
        }
        Fault::StatusAfter(status, body) => {
            forward(shared, request)?;
            answer(stream, &made_up(status, Vec::new(), body.into_bytes()))
        }
        Fault::Delay(pause) => {
            if sleep(shared, pause) {
                answer(stream, &forward(shared, request)?)
            } else {
                Ok(false)
            }
        }
        Fault::Hang => {
            hang(shared, stream);
            Ok(false)
        }
        Fault::HangAfter => {
            forward(shared, request)?;
            hang(shared, stream);
            Ok(false)
        }
        Fault::Raw(bytes) => {
            (&mut &*stream).write_all(&bytes)?;
            end(stream)
        }
        Fault::Drip(bytes, pause) => {
            for byte in bytes {
                (&mut &*stream).write_all(&[byte])?;
                if !sleep(shared, pause) {
                    return Ok(false);
                }
            }
            end(stream)
        }
        Fault::Flood(size) => flood(shared, stream, size),
        Fault::Truncate => {
            let whole = forward(shared, request)?;
            let mut out = head_bytes(&whole);
            out.extend_from_slice(&whole.body[..whole.body.len() / 2]);
            (&mut &*stream).write_all(&out)?;
            end(stream)
        }
        Fault::Alter(alter) => {
            let (bytes, pause) = alter(&forward(shared, request)?);
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            (&mut &*stream).write_all(first)?;
            if !pause.is_zero() && !sleep(shared, pause) {
                return Ok(false);
            }
            (&mut &*stream).write_all(rest)?;
            end(stream)
        }
        Fault::HoldRequest(hold) => {
            if !hold.pause(shared) {
                return Ok(false);
            }
            answer(stream, &forward(shared, request)?)
        }
        Fault::HoldAnswer(hold) => {
            let held = forward(shared, request)?;
            hold.pause(shared);
            answer(stream, &held)
        }
        Fault::Redirect(url) => answer(
            stream,
            &made_up(307, vec![("Location".to_owned(), url)], Vec::new()),
        ),
    }
}

/// Sends the request on to the server, reads the whole answer and notes what it gives out.
fn forward(shared: &Shared, request: &RequestInfo) -> io::Result<Answer> {
    let answer = exchange(&shared.upstream, request)?;
    if let Ok(json) = serde_json::from_slice(&answer.body) {
        lock(&shared.secrets).extend(secrets_in(&json));
        if let Some(what) = IssuedKind::in_answer(request, &json) {
            lock(&shared.issued).push(Issued {
                sequence: request.sequence,
                what,
                at: Instant::now(),
                lost: false,
            });
        }
    }
    Ok(answer)
}

/// A JSON body of that many bytes, in pieces.
fn flood(shared: &Shared, mut stream: &TcpStream, size: u64) -> io::Result<bool> {
    let (open, close) = ("{\"data\":{\"password\":\"", "\"}}");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n{open}"
    );
    stream.write_all(head.as_bytes())?;
    let mut rest = size.saturating_sub((open.len() + close.len()) as u64);
    let chunk = [b'A'; 65536];
    while rest > 0 && !shared.is_closing() {
        let count = rest.min(chunk.len() as u64);
        stream.write_all(&chunk[..count as usize])?;
        rest -= count;
    }
    stream.write_all(close.as_bytes())?;
    Ok(true)
}

/// Until the client has gone, or the proxy.
fn hang(shared: &Shared, stream: &TcpStream) {
    let has_gone = || {
        let mut entry = libc::pollfd {
            fd: stream.as_raw_fd(),
            events: libc::POLLRDHUP,
            revents: 0,
        };
        // SAFETY: one entry, as said.
        unsafe { libc::poll(&mut entry, 1, 0) > 0 }
    };
    while !has_gone() && sleep(shared, Duration::from_millis(50)) {}
}

/// False when the proxy ends meanwhile.
fn sleep(shared: &Shared, pause: Duration) -> bool {
    let end = Instant::now().checked_add(pause);
    loop {
        if shared.is_closing() {
            return false;
        }
        let rest = end.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        });
        if rest.is_zero() {
            return true;
        }
        thread::sleep(rest.min(Duration::from_millis(20)));
    }
}
