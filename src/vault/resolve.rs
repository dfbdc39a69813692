//! Looking up the names of servers and proxies.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::sys::helper::on_a_thread;

/// The addresses that names had when they were last looked up.
pub(super) type Known = Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>;

/// Asks the system, on a thread of its own. Where there can be no thread, because the command has
/// taken every process that a container may have, a name has the addresses that it had before: the
/// lease still wants to be renewed and revoked.
#[derive(Default)]
pub(super) struct Resolver {
    /// The name that is looked up in place of every other.
    instead: Option<String>,
    known: Known,
}

impl Resolver {
    /// Every name to its own addresses, which are kept in `known` and outlive this value there.
    pub fn new(known: &Known) -> Self {
        Self {
            instead: None,
            known: Arc::clone(known),
        }
    }

    /// Every name to the addresses of this one: TLS then asks for and checks the name in the URL,
    /// and the connection goes where the address says.
    pub fn elsewhere(host: &str, known: &Known) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Self {
            instead: Some(host.to_owned()),
            ..Self::new(known)
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
async fn look_up(host: String, known: &Known) -> io::Result<Vec<SocketAddr>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_still_known_when_the_connections_are_new_ones() {
        let known = Known::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("an event loop");
        for resolver in [
            Resolver::new(&known),
            Resolver::elsewhere("localhost", &known),
        ] {
            let name = "localhost".parse().expect("a name");
            let found = runtime.block_on(resolver.resolve(name));
            let found: Vec<_> = found.expect("it is in every /etc/hosts").collect();
            drop(resolver);
            let mut known = known.lock().expect("nobody has it");
            assert_eq!(known.remove("localhost"), Some(found));
        }
    }
}
