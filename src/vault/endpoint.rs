//! Where requests go: an address with the HTTP client that reaches it, by way of a proxy, a socket, or
//! under another name.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{NoProxy, Url};
use rustls::ClientConfig;

use super::answer::reason;
use super::failure::Failure;
use super::resolve::{Known, Resolver};
use super::settings::{Address, Proxy, Settings};

/// Idle connections are closed after this time, before a load balancer does it unseen.
const IDLE: Duration = Duration::from_secs(10);

/// An address, and how it is reached.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// What the API's path lies below.
    pub base: Url,
    /// What reaches it.
    pub http: reqwest::Client,
    /// Sent as `Host` where the URL has the TLS server's name in place of the address's.
    pub host: Option<HeaderValue>,
    /// As people know it.
    pub shown: String,
    /// The proxy in front of it, as people know it.
    pub proxy: Option<String>,
    /// Whether it is a socket in the file system.
    pub is_socket: bool,
}

/// All addresses, and what reaches those that redirects lead to.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// In the order given.
    pub each: Vec<Endpoint>,
    /// For any other.
    pub tcp: reqwest::Client,
    /// Whether credentials come by their connections.
    pub carried: Cell<bool>,
}

impl Endpoints {
    /// Makes the HTTP clients. Nothing is sent yet.
    pub fn build(settings: &Settings, tls: &ClientConfig, known: &Known) -> Result<Self, String> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("vaultexec/", env!("CARGO_PKG_VERSION")))
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .http1_only()
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(1)
                .dns_resolver(Arc::new(Resolver::new(known)))
                .no_proxy()
        };
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| reason(&error));
        let tcp = build(with_proxy(builder(), &settings.proxy)?)?;
        let each = settings.addresses.iter().map(|address| {
            let (base, http, host) = match address {
                Address::Unix(path) => {
                    let base = Url::parse("http://localhost").map_err(|error| error.to_string())?;
                    (base, build(builder().unix_socket(path.clone()))?, None)
                }
                Address::Tcp(url) => match &settings.tls.server_name {
                    // By way of a proxy the URL stays, since that is what the proxy is told: the name
                    // is then not asked for, and only checked.
                    Some(name) if url.scheme() == "https" && !settings.proxy.stands_before(url) => {
                        let (base, host) = renamed(url, name)?;
                        let host_of_url = url.host_str().unwrap_or_default();
                        let resolver = Arc::new(Resolver::elsewhere(host_of_url, known));
                        (base, build(builder().dns_resolver(resolver))?, Some(host))
                    }
                    _ => (url.clone(), tcp.clone(), None),
                },
            };
            Ok(Endpoint {
                base,
                http,
                host,
                shown: address.to_string(),
                proxy: settings.proxy.before(address),
                is_socket: matches!(address, Address::Unix(_)),
            })
        });
        let each = each.collect::<Result<Vec<_>, String>>()?;
        Ok(Self {
            each,
            tcp,
            carried: Cell::new(false),
        })
    }
}

impl Endpoint {
    /// A failure to get there, with the way.
    pub fn failed(&self, failure: Failure) -> Failure {
        match (failure, &self.proxy) {
            (Failure::Proxy(_), Some(proxy)) => Failure::Proxy(proxy.clone()),
            (failure, Some(proxy)) => failure.at(&format!("{} by way of {proxy}", self.shown)),
            (failure, None) => failure.at(&self.shown),
        }
    }
}

/// The API's path below a base, which may have a path of its own.
pub(super) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/v1/{path}", base.path().trim_end_matches('/')));
    url
}

/// The URL with another name as its host, and the `Host` header that it would have had.
fn renamed(url: &Url, name: &str) -> Result<(Url, HeaderValue), String> {
    let mut base = url.clone();
    base.set_host(Some(name))
        .map_err(|_| "the TLS server name is not a host name".to_owned())?;
    let host = url.host_str().unwrap_or_default();
    let authority = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let header =
        HeaderValue::from_str(&authority).map_err(|_| "the address cannot be sent".to_owned())?;
    Ok((base, header))
}

/// By way of the proxy, if there is one.
pub(super) fn with_proxy(
    builder: reqwest::ClientBuilder,
    proxy: &Proxy,
) -> Result<reqwest::ClientBuilder, String> {
    let wrong = |error: reqwest::Error| reason(&error);
    match proxy {
        Proxy::Direct => Ok(builder),
        Proxy::Always(url) => Ok(builder.proxy(reqwest::Proxy::all(url.clone()).map_err(wrong)?)),
        Proxy::Environment {
            http,
            https,
            except,
        } => {
            let except = NoProxy::from_string(except);
            let mut builder = builder;
            if let Some(url) = http {
                let proxy = reqwest::Proxy::http(url.clone()).map_err(wrong)?;
                builder = builder.proxy(proxy.no_proxy(except.clone()));
            }
            if let Some(url) = https {
                let proxy = reqwest::Proxy::https(url.clone()).map_err(wrong)?;
                builder = builder.proxy(proxy.no_proxy(except));
            }
            Ok(builder)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_lies_below_a_path_of_the_address() {
        let base = Url::parse("https://host/vault/").expect("a URL");
        assert_eq!(
            below(&base, "sys/leases/renew").as_str(),
            "https://host/vault/v1/sys/leases/renew"
        );
        assert_eq!(
            below(&base, "a b/?c#d").as_str(),
            "https://host/vault/v1/a%20b/%3Fc%23d"
        );
    }
}
