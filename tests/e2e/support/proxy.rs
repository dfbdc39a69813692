//! A proxy in front of the real server that does harm by script: it sees every request and decides what becomes of it.

use super::http::{self, Answer, Head};
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// What becomes of a request.
#[derive(Clone)]
pub enum Fault {
    /// None: forward it, give the answer, keep the connection.
    Pass,
    /// Forward it with one more header.
    PassWithHeader(&'static str, String),
    /// Forward it, give the answer, then close the connection unannounced, as a load balancer does with an idle one.
    PassThenClose,
    /// RST, and the server never hears of it.
    ResetBefore,
    /// The server acts on it; in place of the answer comes RST.
    ResetAfter,
    /// This answer (status, headers, body); the server never hears of it.
    Status(u16, Vec<(&'static str, String)>, String),
    /// The server acts on it, and this status and body come in place of its answer.
    StatusAfter(u16, String),
    /// Pass, this much later.
    Delay(Duration),
    /// No answer for as long as the proxy lives; the server never hears of it.
    Hang,
    /// The server acts on it; no answer for as long as the proxy lives.
    HangAfter,
    /// These bytes in place of an HTTP answer, then a close; the server never hears of it.
    Raw(Vec<u8>),
    /// These bytes, one at a time, with that pause between them.
    Drip(Vec<u8>, Duration),
    /// 200 with a JSON body of that many bytes.
    Flood(u64),
    /// The server acts on it; the answer's body is cut in the middle, then the connection closed.
    Truncate,
    /// Forwarded when the test releases it; the server has not heard of it before.
    HoldRequest(Hold),
    /// The server acts on it; the answer is given when the test releases it.
    HoldAnswer(Hold),
    /// 307 to that URL.
    Redirect(String),
}

impl Fault {
    /// A status with the server's way to say why.
    pub fn error(status: u16, message: &str) -> Self {
        Self::Status(
            status,
            Vec::new(),
            serde_json::json!({"errors": [message]}).to_string(),
        )
    }

    /// 200 with that body.
    pub fn body(body: &str) -> Self {
        Self::Status(200, Vec::new(), body.to_owned())
    }
}

/// A handle on a request that waits: the test sees it come and lets it go on.
#[derive(Clone, Default)]
pub struct Hold {
    shared: Arc<(Mutex<HoldState>, Condvar)>,
}

#[derive(Default)]
struct HoldState {
    arrived: usize,
    released: bool,
}

impl Hold {
    /// A new one; it may hold several requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until a request is held: with `HoldAnswer` the server has acted by then.
    #[track_caller]
    pub fn wait_arrived(&self) {
        let (state, changed) = &*self.shared;
        let (state, timeout) = changed
            .wait_timeout_while(state.lock().unwrap(), Duration::from_secs(30), |state| {
                state.arrived == 0
            })
            .unwrap();
        drop(state);
        assert!(!timeout.timed_out(), "the request to hold never came");
    }

    /// Lets it go on, and all later ones.
    pub fn release(&self) {
        self.shared.0.lock().unwrap().released = true;
        self.shared.1.notify_all();
    }

    /// False when the proxy ends meanwhile.
    fn pause(&self, proxy: &Shared) -> bool {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap();
        state.arrived += 1;
        changed.notify_all();
        while !state.released && !proxy.closing.load(Ordering::Relaxed) {
            state = changed
                .wait_timeout(state, Duration::from_millis(50))
                .unwrap()
                .0;
        }
        state.released
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub method: String,
    /// With `/v1/` and the query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// 0 for the first request of all.
    pub sequence: usize,
    /// How many requests with this method and path came before.
    pub nth: usize,
    /// When it was read whole.
    pub at: Instant,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl RequestInfo {
    /// The header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A login, with whatever method.
    pub fn is_login(&self) -> bool {
        self.path.starts_with("/v1/auth/") && self.path.ends_with("/login")
    }

    /// The read of dynamic credentials.
    pub fn is_creds(&self) -> bool {
        self.path.contains("/creds/") && !self.path.starts_with("/v1/sys/")
    }

    /// `sys/wrapping/lookup`.
    pub fn is_wrapping_lookup(&self) -> bool {
        self.path == "/v1/sys/wrapping/lookup"
    }

    /// `sys/wrapping/unwrap`.
    pub fn is_unwrap(&self) -> bool {
        self.path == "/v1/sys/wrapping/unwrap"
    }

    /// A renewal of a lease.
    pub fn is_lease_renew(&self) -> bool {
        self.path.starts_with("/v1/sys/leases/renew") || self.path.starts_with("/v1/sys/renew")
    }

    /// A renewal of the token.
    pub fn is_token_renew(&self) -> bool {
        self.path == "/v1/auth/token/renew-self"
    }

    /// A revocation of a lease.
    pub fn is_lease_revoke(&self) -> bool {
        self.path.starts_with("/v1/sys/leases/revoke") || self.path.starts_with("/v1/sys/revoke")
    }

    /// `auth/token/revoke-self`.
    pub fn is_revoke_self(&self) -> bool {
        self.path == "/v1/auth/token/revoke-self"
    }
}

/// Something that the server gave out in an answer that went through the proxy.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The request's `sequence`.
    pub sequence: usize,
    /// What it is.
    pub what: IssuedKind,
    /// When the server had answered.
    pub at: Instant,
    /// Whether the client never got the answer: the proxy dropped or garbled it, or the client was gone by then.
    pub lost: bool,
}

/// What a server gives out that outlives the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedKind {
    /// A token and its accessor.
    Token { accessor: String, token: String },
    /// A lease and the database's role that came with it.
    Lease { lease_id: String, username: String },
}

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
        let deadline = Instant::now() + Duration::from_secs(30);
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
        let gives_the_answer = matches!(
            fault,
            Fault::Pass
                | Fault::PassWithHeader(..)
                | Fault::PassThenClose
                | Fault::Delay(_)
                | Fault::HoldRequest(_)
                | Fault::HoldAnswer(_)
        );
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

/// Does what the script says; true when the connection stays.
fn act(
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
            sleep(shared, Duration::MAX);
            Ok(false)
        }
        Fault::HangAfter => {
            forward(shared, request)?;
            sleep(shared, Duration::MAX);
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

/// Sends the request on to the server and reads the whole answer.
fn forward(shared: &Shared, request: &RequestInfo) -> io::Result<Answer> {
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
    let answer = http::exchange(
        &shared.upstream,
        &request.method,
        &request.path,
        &headers,
        &request.body,
    )?;
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(&answer.body) {
        let places = [
            "/auth/client_token",
            "/data/password",
            "/data/secret_id",
            "/wrap_info/token",
        ];
        let found = places
            .iter()
            .filter_map(|place| json.pointer(place)?.as_str().map(str::to_owned));
        lock(&shared.secrets).extend(found);
        let text = |place: &str| Some(json.pointer(place)?.as_str()?.to_owned());
        // A renewal names what is known already.
        let what = if request.is_login() {
            text("/auth/accessor")
                .zip(text("/auth/client_token"))
                .map(|(accessor, token)| IssuedKind::Token { accessor, token })
        } else if request.is_creds() {
            text("/lease_id")
                .zip(text("/data/username"))
                .map(|(lease_id, username)| IssuedKind::Lease { lease_id, username })
        } else {
            None
        };
        if let Some(what) = what {
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

fn made_up(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Answer {
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

fn head_bytes(answer: &Answer) -> Vec<u8> {
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

fn answer(mut stream: &TcpStream, answer: &Answer) -> io::Result<bool> {
    if is_gone(stream) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let mut out = head_bytes(answer);
    out.extend_from_slice(&answer.body);
    stream.write_all(&out)?;
    Ok(true)
}

fn flood(shared: &Shared, mut stream: &TcpStream, size: u64) -> io::Result<bool> {
    let (open, close) = ("{\"data\":{\"password\":\"", "\"}}");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n{open}"
    );
    stream.write_all(head.as_bytes())?;
    let mut rest = size.saturating_sub((open.len() + close.len()) as u64);
    let chunk = [b'A'; 65536];
    while rest > 0 && !shared.closing.load(Ordering::Relaxed) {
        let count = rest.min(chunk.len() as u64);
        stream.write_all(&chunk[..count as usize])?;
        rest -= count;
    }
    stream.write_all(close.as_bytes())?;
    Ok(true)
}

/// A close that sends RST: what was written and not yet read by the peer is lost with it.
fn reset(stream: &TcpStream) -> io::Result<bool> {
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
fn end(mut stream: &TcpStream) -> io::Result<bool> {
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread input would send RST after all.
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let _ = stream.read(&mut [0; 1024]);
    Ok(false)
}

/// False when the proxy ends meanwhile.
fn sleep(shared: &Shared, pause: Duration) -> bool {
    let end = Instant::now().checked_add(pause);
    loop {
        if shared.closing.load(Ordering::Relaxed) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
