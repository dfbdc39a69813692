//! A way to a server that can be turned to another one: what is behind an address changes, and the address does not.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Passes bytes on, without a look at them.
pub struct Switch {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    target: String,
    open: Vec<TcpStream>,
    /// How many connections to the present target have come to their end.
    ended: usize,
    turns: usize,
}

impl Switch {
    /// Listens on a free port, until the tests end, and leads to `target` (`https://host:port`).
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let switch = Self {
            port,
            shared: Arc::clone(&shared),
        };
        switch.turn_to(target);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.pass_on(&client));
            }
        });
        switch
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Leads elsewhere from now on. Connections that are open are cut.
    pub fn turn_to(&self, target: &str) {
        let mut state = self.shared.lock();
        state.target = target.trim_start_matches("https://").to_owned();
        state.ended = 0;
        state.turns += 1;
        for stream in state.open.drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until `count` connections that were made since the last turn have ended: a client looked at the certificate and left.
    #[track_caller]
    pub fn wait_ended(&self, count: usize) {
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), Duration::from_secs(90), |state| {
                state.ended < count
            })
            .unwrap();
        drop(state);
        assert!(!timeout.timed_out(), "nobody came, or nobody left");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn pass_on(&self, client: &TcpStream) -> io::Result<()> {
        let (server, turn) = {
            let mut state = self.lock();
            let server = TcpStream::connect(&state.target)?;
            state.open.push(client.try_clone()?);
            state.open.push(server.try_clone()?);
            (server, state.turns)
        };
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        let back = std::thread::spawn(move || {
            let _copied = io::copy(&mut from, &mut to);
            to.shutdown(Shutdown::Both)
        });
        let _copied = io::copy(&mut &*client, &mut &server);
        let _gone = server.shutdown(Shutdown::Both);
        let _joined = back.join();
        let mut state = self.lock();
        if state.turns == turn {
            state.ended += 1;
            self.changed.notify_all();
        }
        Ok(())
    }
}
