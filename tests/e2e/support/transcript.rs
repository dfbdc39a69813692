//! What a process has written so far, readable line by line with a deadline.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that a thread collects while others wait for them.
#[derive(Default)]
pub struct Transcript {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// How far the waiting has got: each wait looks only at what came after the last one's find.
    seen: usize,
    closed: bool,
}

impl Transcript {
    /// Collects all that `source` gives until its end.
    pub fn of(mut source: impl Read + Send + 'static) -> Arc<Self> {
        let transcript = Arc::new(Self::default());
        let writer = Arc::clone(&transcript);
        thread::spawn(move || {
            let mut chunk = [0; 65536];
            loop {
                match source.read(&mut chunk) {
                    Ok(count) if count > 0 => {
                        writer.lock().bytes.extend_from_slice(&chunk[..count])
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    // A terminal whose other side is gone says EIO: an end like any other.
                    _ => break,
                }
                writer.changed.notify_all();
            }
            writer.lock().closed = true;
            writer.changed.notify_all();
        });
        transcript
    }

    /// One that stays empty.
    pub fn none() -> Arc<Self> {
        let transcript = Self::default();
        transcript.lock().closed = true;
        Arc::new(transcript)
    }

    /// All so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// All so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits for a whole line that has `pattern`, after the last one found, and gives it without its line end.
    pub fn wait_for_line(&self, pattern: &str, limit: Duration) -> Option<String> {
        self.wait(limit, |fresh| {
            let mut start = 0;
            while let Some(length) = fresh[start..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&fresh[start..start + length])
                    .trim_end_matches('\r')
                    .to_owned();
                start += length + 1;
                if line.contains(pattern) {
                    return Some((start, line));
                }
            }
            None
        })
    }

    /// Waits for `pattern` anywhere after the last find (a prompt has no line end); gives the text up to and with it.
    pub fn wait_for(&self, pattern: &str, limit: Duration) -> Option<String> {
        self.wait(limit, |fresh| {
            let at = fresh
                .windows(pattern.len())
                .position(|window| window == pattern.as_bytes())?;
            let end = at + pattern.len();
            Some((end, String::from_utf8_lossy(&fresh[..end]).into_owned()))
        })
    }

    /// Waits for the end; false when it did not come.
    pub fn wait_closed(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !state.closed {
            let Some(rest) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(|poison| poison.into_inner())
                .0;
        }
        true
    }

    /// Waits for `mark` and takes it out again; false when it did not come.
    pub fn wait_and_strike(&self, mark: &[u8], deadline: Instant) -> bool {
        let mut state = self.lock();
        loop {
            let mut windows = state.bytes.windows(mark.len());
            if let Some(at) = windows.rposition(|window| window == mark) {
                state.bytes.drain(at..at + mark.len());
                state.seen = state.seen.min(at);
                return true;
            }
            let rest = deadline.checked_duration_since(Instant::now());
            let Some(rest) = rest.filter(|_| !state.closed) else {
                return state.closed;
            };
            state = self
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(|poison| poison.into_inner())
                .0;
        }
    }

    fn wait<T>(
        &self,
        limit: Duration,
        mut find: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if let Some((used, found)) = find(&state.bytes[state.seen..]) {
                state.seen += used;
                return Some(found);
            }
            if state.closed {
                return None;
            }
            let rest = deadline.checked_duration_since(Instant::now())?;
            state = self
                .changed
                .wait_timeout(state, rest)
                .unwrap_or_else(|poison| poison.into_inner())
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
