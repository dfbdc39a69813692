//! A proxy in front of the real server that does harm by script: it sees every request and decides what becomes of it.

mod act;
mod fault;
mod hold;
mod issued;
mod request;
mod wire;

pub use fault::Fault;
pub use hold::Hold;
pub use issued::{Issued, IssuedKind};
pub use request::{RequestInfo, Which};

use super::http::{self, Head};
use act::act;
use std::io::BufReader;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

type Script = dyn Fn(&RequestInfo) -> Fault + Send + Sync;

struct Shared {
    upstream: String,
    script: Box<Script>,
    requests: Mutex<Vec<RequestInfo>>,
    arrived: Condvar,
    secrets: Mutex<Vec<String>>,
    issued: Mutex<Vec<Issued>>,
    connections: Mutex<Vec<Weak<TcpStream>>>,
    serving: AtomicUsize,
    closing: AtomicBool,
    refusing: AtomicBool,
}

impl Shared {
    /// Whether the proxy ends: nobody is made to wait any longer.
    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// A running proxy; a drop ends it and every connection.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Mutex<Option<thread::JoinHandle<()>>>,
}

impl FaultProxy {
    /// Starts one in front of `upstream` (`http://host:port`, e.g. `servers.vault.url()`).
    pub fn start(
        upstream: &str,
        script: impl Fn(&RequestInfo) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .to_owned(),
            script: Box::new(script),
            requests: Mutex::default(),
            arrived: Condvar::new(),
            secrets: Mutex::default(),
            issued: Mutex::default(),
            connections: Mutex::default(),
            serving: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
        });
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            shared,
            accepting: Mutex::new(None),
        };
        proxy.accept_on(listener);
        proxy
    }

    /// `http://127.0.0.1:PORT`, for `VAULT_ADDR`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far, in the order in which they were read whole.
    pub fn requests(&self) -> Vec<RequestInfo> {
        lock(&self.shared.requests).clone()
    }

    /// How many requests so far are such.
    pub fn count(&self, which: impl Fn(&RequestInfo) -> bool) -> usize {
        lock(&self.shared.requests)
            .iter()
            .filter(|request| which(request))
            .count()
    }

    /// Waits until `count` requests are such, and gives the last of them.
    #[track_caller]
    pub fn wait_for(&self, count: usize, which: impl Fn(&RequestInfo) -> bool) -> RequestInfo {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut requests = lock(&self.shared.requests);
        loop {
            if let Some(found) = count
                .checked_sub(1)
                .and_then(|nth| requests.iter().filter(|request| which(request)).nth(nth))
            {
                return found.clone();
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            let paths: Vec<&str> = requests
                .iter()
                .map(|request| request.path.as_str())
                .collect();
            assert!(
                !rest.is_zero(),
                "{count} such requests did not come; there were {paths:?}"
            );
            requests = self
                .shared
                .arrived
                .wait_timeout(requests, rest)
                .unwrap_or_else(|poison| poison.into_inner())
                .0;
        }
    }

    /// The secrets in the server's answers so far: tokens, passwords, secret ids. For `Finished::assert_no_secret`.
    pub fn secrets(&self) -> Vec<String> {
        lock(&self.shared.secrets).clone()
    }

    /// All tokens and leases that the server gave out through the proxy so far.
    pub fn issued(&self) -> Vec<Issued> {
        lock(&self.shared.issued).clone()
    }

    /// Waits until no connection is served any more, which is soon after the last client's end: only then is what became of
    /// each answer known. False when that did not come in time.
    pub fn settle(&self, limit: Duration) -> bool {
        let settled = || (self.shared.serving.load(Ordering::SeqCst) == 0).then_some(());
        super::poll_until(limit, settled).is_some()
    }

    /// Closes all connections of clients now, unannounced; new ones are taken.
    pub fn close_connections(&self) {
        for stream in lock(&self.shared.connections)
            .drain(..)
            .filter_map(|stream| stream.upgrade())
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connections are refused from now on, and the present ones closed.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::SeqCst);
        // Wakes the accept up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = lock(&self.accepting).take() {
            let _ = thread.join();
        }
        self.close_connections();
    }

    /// Takes connections again after `refuse`, on the same port.
    pub fn accept(&self) {
        self.shared.refusing.store(false, Ordering::SeqCst);
        self.accept_on(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
    }

    fn accept_on(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.refusing.load(Ordering::SeqCst) || shared.closing.load(Ordering::SeqCst) {
                    // A close alone is not enough: a process that another test forks just now holds the socket
                    // too, until its exec.
                    // SAFETY: the descriptor is the listener's.
                    unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
                    return;
                }
                let Ok(stream) = stream.map(Arc::new) else {
                    continue;
                };
                let number = {
                    let mut connections = lock(&shared.connections);
                    connections.push(Arc::downgrade(&stream));
                    connections.len() - 1
                };
                let shared = Arc::clone(&shared);
                shared.serving.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let _served = Served(&shared);
                    serve(&shared, &stream, number);
                });
            }
        });
        *lock(&self.accepting) = Some(thread);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.refuse();
    }
}

/// Counts a connection out, however its thread ends.
struct Served<'a>(&'a Shared);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One connection: request after request until a fault ends it or either side is gone.
fn serve(shared: &Shared, stream: &TcpStream, connection: usize) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut answered = None;
    loop {
        let head = match http::read_head(&mut reader) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(_) => {
                // RST in place of an orderly end: the client closed without having read the last answer.
                if let Some(sequence) = answered {
                    lose(shared, sequence);
                }
                return;
            }
        };
        let Ok(body) = http::read_body(&mut reader, &head) else {
            return;
        };
        let request = record(shared, head, body, connection);
        let fault = (shared.script)(&request);
        let gives_the_answer = fault.gives_the_answer();
        let result = act(shared, stream, &request, fault);
        if !gives_the_answer || result.is_err() {
            lose(shared, request.sequence);
        }
        if !result.unwrap_or(false) {
            return;
        }
        answered = Some(request.sequence);
    }
}

/// The answer to that request did not reach the client.
fn lose(shared: &Shared, sequence: usize) {
    for issued in lock(&shared.issued).iter_mut() {
        if issued.sequence == sequence {
            issued.lost = true;
        }
    }
}

fn record(shared: &Shared, head: Head, body: Vec<u8>, connection: usize) -> RequestInfo {
    let mut words = head.first_line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let mut requests = lock(&shared.requests);
    let nth = requests
        .iter()
        .filter(|earlier| earlier.method == method && earlier.path == path)
        .count();
    let (sequence, at) = (requests.len(), Instant::now());
    let request = RequestInfo {
        method,
        path,
        headers: head.headers,
        body,
        sequence,
        nth,
        at,
        connection,
    };
    requests.push(request.clone());
    shared.arrived.notify_all();
    request
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
