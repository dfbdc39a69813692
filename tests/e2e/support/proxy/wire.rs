//! Bytes on a connection: the exchange with the server, answers to the client, and the ways in which a connection ends.

use super::request::RequestInfo;
use crate::support::http::{self, Answer, Head};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Sends the request to the server with the headers that are the client's, and reads the whole answer.
pub fn exchange(upstream: &str, request: &RequestInfo) -> io::Result<Answer> {
    let own = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "expect",
        "accept-encoding",
    ];
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.to_lowercase().as_str()))
        .cloned()
        .collect();
    http::exchange(
        upstream,
        &request.method,
        &request.path,
        &headers,
        &request.body,
    )
}

/// An answer that is no server's.
pub fn made_up(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Answer {
    let mut headers = headers;
    if http::header(&headers, "content-type").is_none() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    Answer {
        status,
        head: Head {
            first_line: format!("HTTP/1.1 {status} Made Up"),
            headers,
        },
        body,
    }
}

/// The status line and the headers, with the length of the body as it is here.
pub fn head_bytes(answer: &Answer) -> Vec<u8> {
    let mut out = format!("{}\r\n", answer.head.first_line);
    for (name, value) in &answer.head.headers {
        if !["connection", "content-length", "transfer-encoding"]
            .contains(&name.to_lowercase().as_str())
        {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    // RFC 9112: none with 204.
    if answer.status != 204 {
        out.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// Whether the client has closed the connection. One that waits for an answer never does.
fn is_gone(stream: &TcpStream) -> bool {
    let mut byte = 0u8;
    // SAFETY: room for one byte.
    let count = unsafe {
        libc::recv(
            stream.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    count == 0
}

/// Gives the client that answer, unless it is gone. The connection stays.
pub fn answer(mut stream: &TcpStream, answer: &Answer) -> io::Result<bool> {
    if is_gone(stream) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let mut out = head_bytes(answer);
    out.extend_from_slice(&answer.body);
    stream.write_all(&out)?;
    Ok(true)
}

/// A close that sends RST: what was written and not yet read by the peer is lost with it.
pub fn reset(stream: &TcpStream) -> io::Result<bool> {
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: a valid struct of the size said.
    let result = unsafe {
        let size = size_of_val(&at_once) as libc::socklen_t;
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const at_once).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(false)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// An orderly close: all that was written arrives.
pub fn end(mut stream: &TcpStream) -> io::Result<bool> {
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread input would send RST after all.
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let _ = stream.read(&mut [0; 1024]);
    Ok(false)
}
