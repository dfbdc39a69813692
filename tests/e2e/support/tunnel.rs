//! A proxy as companies have it: it opens a tunnel for whoever asks with CONNECT.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy that remembers where its tunnels led to.
pub struct Tunnel {
    url: String,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Listens on a free port, until the tests end.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(client, &seen));
            }
        });
        Self { url, targets }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `host:port` of every tunnel so far.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    // The rest of the head: up to an empty line.
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    seen.lock().unwrap().push(target.clone());
    // Names are the proxy's business, and for this one they all mean this host.
    let port: u16 = target.rsplit(':').next()?.parse().ok()?;
    let server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from, mut to) = (server.try_clone().ok()?, client);
    std::thread::spawn(move || {
        let _copied = std::io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Both)
    });
    // What the client sends first comes after the answer.
    std::io::copy(&mut reader, &mut (&server)).ok()?;
    server.shutdown(Shutdown::Both).ok()
}
