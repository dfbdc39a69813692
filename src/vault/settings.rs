//! How to reach the server, checked and ready for use.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://` or `https://`, perhaps with a path that the API lies below.
    Tcp(Url),
    /// `unix://`, a socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without a user and password, should somebody have put them there.
            Self::Tcp(url) => write!(formatter, "{}", url.origin().ascii_serialization()),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

/// How to trust the server, and to be trusted by it. As in the official client.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificates to trust in place of the system's, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The client's own certificate chain and private key, as PEM.
    pub identity: Option<Identity>,
    /// The name to ask for and to check in place of the address's host.
    pub server_name: Option<String>,
    /// Trust whoever answers.
    pub skip_verify: bool,
}

/// A client certificate.
#[derive(Clone)]
pub struct Identity {
    /// The chain, as PEM.
    pub certificate: Vec<u8>,
    /// The private key, as PEM.
    pub key: crate::sensitive::Sensitive<Vec<u8>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Which proxy stands before the server.
#[derive(Clone, PartialEq, Eq)]
pub enum Proxy {
    /// None.
    Direct,
    /// This one, for every request (`VAULT_PROXY_ADDR`, `VAULT_HTTP_PROXY`).
    Always(Url),
    /// The environment's, by the scheme of the address, with the hosts that need none.
    Environment {
        /// For `http://` addresses.
        http: Option<Url>,
        /// For `https://` addresses.
        https: Option<Url>,
        /// A list of hosts, domains and networks, separated by commas.
        except: String,
    },
}

impl Proxy {
    /// The proxy in front of an address, without a user and password.
    #[must_use]
    pub fn before(&self, address: &Address) -> Option<String> {
        let Address::Tcp(url) = address else {
            return None;
        };
        let proxy = self.of(url)?;
        Some(match proxy.origin() {
            origin if origin.is_tuple() => origin.ascii_serialization(),
            _ => proxy.host_str().unwrap_or_default().to_owned(),
        })
    }

    /// Whether requests to this URL go by way of it.
    #[must_use]
    pub fn stands_before(&self, url: &Url) -> bool {
        self.of(url).is_some()
    }

    fn of(&self, url: &Url) -> Option<&Url> {
        match self {
            Self::Direct => None,
            Self::Always(proxy) => Some(proxy),
            Self::Environment {
                http,
                https,
                except,
            } => {
                let proxy = match url.scheme() {
                    "https" => https,
                    _ => http,
                };
                proxy.as_ref().filter(|_| !is_exempt(url, except))
            }
        }
    }
}

/// Whether a list of hosts, domains and networks, separated by commas, has the URL's host. The rules
/// are those of the HTTP client, which does not tell what it makes of them.
#[must_use]
pub fn is_exempt(url: &Url, except: &str) -> bool {
    let rules = Matcher::builder().all("http://any").no(except).build();
    let target = url.as_str().parse();
    !target.is_ok_and(|target| rules.intercept(&target).is_some())
}

/// A proxy's URL may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Direct => "Direct",
            Self::Always(_) => "Always(REDACTED)",
            Self::Environment { .. } => "Environment(REDACTED)",
        })
    }
}

/// Everything the client needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// At least one; tried in turn.
    pub addresses: Vec<Address>,
    /// Sent with every request, if there is one.
    pub namespace: Option<String>,
    /// Trust.
    pub tls: TlsSettings,
    /// What stands in between.
    pub proxy: Proxy,
    /// The bound on one request.
    pub timeout: Duration,
    /// The bound on establishing one connection, below `timeout`.
    pub connect_timeout: Duration,
    /// A bound on the number of times a request is tried again before the child starts, beside the
    /// bound on the time.
    pub max_retries: Option<u32>,
    /// Whether a standby's redirect is followed.
    pub follow_redirects: bool,
}

impl Settings {
    /// The same without the client's certificate and key.
    #[must_use]
    pub fn without_identity(&self) -> Self {
        let mut settings = self.clone();
        settings.tls.identity = None;
        settings
    }
}
