//! Where a redirect may lead. A request carries the login's secrets or the token, so that it goes
//! only where they are as safe as at the address that was given.

use reqwest::{Response, Url};

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::settings::{Address, Settings};

/// The rules for redirects.
#[derive(Debug)]
pub(super) struct Redirects {
    follow: bool,
    /// The addresses that were given: plain http to one of them was the user's own wish.
    given: Vec<Url>,
}

/// Where a redirect leads.
#[derive(Debug)]
pub(super) struct Target {
    /// The whole URL.
    pub url: Url,
    /// Whether it is the address that was asked.
    pub same_server: bool,
}

impl Redirects {
    pub fn new(settings: &Settings) -> Self {
        let given = settings
            .addresses
            .iter()
            .filter_map(|address| match address {
                Address::Tcp(url) => Some(url.clone()),
                Address::Unix(_) => None,
            });
        Self {
            follow: settings.follow_redirects,
            given: given.collect(),
        }
    }

    /// Where an answer from `endpoint` leads, if it is a redirect. One is followed, as by the
    /// official client: 301, 302 and 307, with the same method and body.
    ///
    /// # Errors
    /// [`Failure::Redirect`] where it must not be followed.
    pub fn target(
        &self,
        endpoint: &Endpoint,
        asked: &Url,
        response: &Response,
    ) -> Result<Option<Target>, Failure> {
        let refused = |reason: &str| Err(Failure::Redirect(reason.to_owned()));
        match response.status().as_u16() {
            301 | 302 | 307 => {}
            status @ (303 | 308) => {
                return refused(&format!("{status} is not one that a server sends"));
            }
            _ => return Ok(None),
        }
        if !self.follow {
            return refused("VAULT_DISABLE_REDIRECTS is set");
        }
        let location = response.headers().get("location");
        let Some(location) = location.and_then(|value| value.to_str().ok()) else {
            return refused("it has no target");
        };
        let Ok(mut url) = asked.join(location) else {
            return refused("its target is not a URL");
        };
        // A standby sends the request on as it is; whatever else stands at that host is not the API.
        if call_of(&url) != call_of(asked) {
            return refused("its target is another call than the one that was made");
        }
        if endpoint.is_socket {
            // The socket is dialled again, wherever the server believes itself to be.
            let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
            url = asked.clone();
            url.set_path(&path);
            url.set_query(query.as_deref());
            return Ok(Some(Target {
                url,
                same_server: true,
            }));
        }
        let same_server = is_same_server(&url, asked);
        match (asked.scheme(), url.scheme()) {
            (_, "https") => {}
            ("https", "http") => return refused("from https down to http"),
            (_, "http") if url.host() == asked.host() || self.is_given(&url) => {}
            (_, "http") => {
                return refused("over plain http to a host that VAULT_ADDR does not name");
            }
            _ => return refused("its target is not http or https"),
        }
        Ok(Some(Target { url, same_server }))
    }

    fn is_given(&self, url: &Url) -> bool {
        self.given.iter().any(|given| is_same_server(given, url))
    }
}

/// The call below `/v1/`, with its query: the path before it is the host's or a gateway's own.
fn call_of(url: &Url) -> (Option<&str>, Option<&str>) {
    let call = url.path().split_once("/v1/").map(|(_, call)| call);
    (call, url.query())
}

fn is_same_server(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}
