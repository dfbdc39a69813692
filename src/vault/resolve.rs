//! Looking up the names of servers and proxies.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::sys::helper::on_a_thread;

/// Asks the system, on a thread of its own. Where there can be no thread, because the command has
/// taken every process that a container may have, a name has the addresses that it had before: the
/// lease still wants to be renewed and revoked.
#[derive(Default)]
pub(super) struct Resolver {
    /// The name that is looked up in place of every other.
    instead: Option<String>,
    known: Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>,
}

impl Resolver {
    /// Every name to the addresses of this one: TLS then asks for and checks the name in the URL,
    /// and the connection goes where the address says.
    pub fn elsewhere(host: &str) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self {
            instead: Some(host.to_owned()),
            ..Self::default()
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = self.instead.clone();
        let host = host.unwrap_or_else(|| name.as_str().to_owned());
        let known = Arc::clone(&self.known);
        Box::pin(async move { Ok(Box::new(look_up(host, &known).await?.into_iter()) as Addrs) })
    }
}

/// The ports are the URL's; these are not used.
async fn look_up(
    host: String,
    known: &Mutex<HashMap<String, Vec<SocketAddr>>>,
) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, 0)]);
    }
    let name = host.clone();
    let found = on_a_thread(move || (name.as_str(), 0).to_socket_addrs().map(Iterator::collect));
    let found: io::Result<Vec<SocketAddr>> = match found.await {
        Ok(found) => found,
        Err(error) => {
            let before = known
                .lock()
                .ok()
                .and_then(|known| known.get(&host).cloned());
            let none = || {
                io::Error::other(format!(
                    "no thread to look up the name with: {error}; the processes of this container \
                     or user are at their limit"
                ))
            };
            return before.ok_or_else(none);
        }
    };
    if let (Ok(found), Ok(mut known)) = (&found, known.lock()) {
        known.insert(host, found.clone());
    }
    found
}
