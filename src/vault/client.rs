//! The one place that speaks HTTP: one attempt at one request, its answer bounded in time and size.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, NoProxy, Response, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use super::document::Document;
use super::failure::{Failure, NOT_THE_API};
use super::settings::{Address, Proxy, Settings};
use super::tls;
use crate::report::Reporter;
use crate::sensitive::Sensitive;

/// No answer of the API comes near this. What is longer is not read to its end.
const LARGEST_ANSWER: usize = 1 << 20;
/// The server's own words are shown up to this many characters each.
const LONGEST_WORDS: usize = 300;
/// Idle connections are closed after this time, before a load balancer does it unseen.
const IDLE: Duration = Duration::from_secs(10);

/// What is said of an address that does not even refuse.
pub const NO_CONNECTION: &str = "no connection in time";

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: Method,
    /// The path below `/v1/`.
    pub path: &'a str,
    /// The token to show, if any.
    pub token: Option<&'a Sensitive<String>>,
    /// The JSON to send, if any.
    pub body: Option<Value>,
    /// Whether asking twice is the same as asking once: then a connection that breaks before the
    /// answer (a load balancer closed it while it was idle) is replaced once, silently.
    pub repeatable: bool,
    /// The most time this may take; the client's own bound holds as well.
    pub limit: Duration,
}

/// The answer to a request that succeeded.
#[derive(Debug)]
pub struct Answer {
    /// A status from 200 to 299.
    pub status: u16,
    /// The JSON, `null` where there is none.
    pub document: Document,
}

/// A client for one server, which may be a cluster with several addresses.
#[derive(Debug)]
pub struct Client {
    endpoints: Vec<Endpoint>,
    /// For addresses that redirects lead to.
    tcp: reqwest::Client,
    current: AtomicU32,
    headers: HeaderMap,
    timeout: Duration,
    /// The bound on establishing one connection.
    pub connect_timeout: Duration,
    follow_redirects: bool,
    report: Reporter,
}

#[derive(Debug)]
struct Endpoint {
    base: Url,
    http: reqwest::Client,
    /// Sent as `Host` where the URL has the TLS server's name in place of the address's.
    host: Option<HeaderValue>,
    shown: String,
}

impl Client {
    /// A client for these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Settings, report: Reporter) -> Result<Self, String> {
        let needs_tls = settings
            .addresses
            .iter()
            .any(|address| matches!(address, Address::Tcp(url) if url.scheme() == "https"));
        let tls = tls::configure(&settings.tls, needs_tls)?;
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("vaultexec/", env!("CARGO_PKG_VERSION")))
                .tls_backend_preconfigured(tls.clone())
                .redirect(reqwest::redirect::Policy::none())
                .http1_only()
                .connect_timeout(settings.connect_timeout)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(1)
                .no_proxy()
        };
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| reason(&error));
        let tcp = build(with_proxy(builder(), &settings.proxy)?)?;
        let endpoints = settings.addresses.iter().map(|address| {
            let (base, http, host) = match address {
                Address::Unix(path) => {
                    let base = Url::parse("http://localhost").map_err(|error| error.to_string())?;
                    (base, build(builder().unix_socket(path.clone()))?, None)
                }
                Address::Tcp(url) => match &settings.tls.server_name {
                    Some(name) if url.scheme() == "https" => {
                        let (base, host) = renamed(url, name)?;
                        let resolver =
                            Arc::new(Elsewhere(url.host_str().unwrap_or_default().to_owned()));
                        let builder =
                            with_proxy(builder().dns_resolver(resolver), &settings.proxy)?;
                        (base, build(builder)?, Some(host))
                    }
                    _ => (url.clone(), tcp.clone(), None),
                },
            };
            Ok(Endpoint {
                base,
                http,
                host,
                shown: address.to_string(),
            })
        });
        let endpoints = endpoints.collect::<Result<Vec<_>, String>>()?;
        let mut headers = HeaderMap::new();
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &settings.namespace {
            let value = HeaderValue::from_str(namespace)
                .map_err(|_| "the namespace cannot be sent".to_owned())?;
            headers.insert("x-vault-namespace", value);
        }
        Ok(Self {
            endpoints,
            tcp,
            current: AtomicU32::new(0),
            headers,
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            follow_redirects: settings.follow_redirects,
            report,
        })
    }

    /// How many addresses there are; at least one.
    #[must_use]
    pub fn addresses(&self) -> u32 {
        u32::try_from(self.endpoints.len()).unwrap_or(1).max(1)
    }

    /// Turns to the next address, after the last to the first.
    pub fn use_next_address(&self) {
        let next = self.current.load(Ordering::Relaxed).wrapping_add(1) % self.addresses();
        self.current.store(next, Ordering::Relaxed);
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        let index = usize::try_from(self.current.load(Ordering::Relaxed)).unwrap_or(0);
        self.endpoints.get(index).or_else(|| self.endpoints.first())
    }

    /// Makes one attempt at a request.
    ///
    /// # Errors
    /// [`Failure`]; within the request's limit and the client's own, whatever the server does.
    pub async fn send(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let limit = request.limit.min(self.timeout);
        let started = std::time::Instant::now();
        let exchange = async {
            match self.exchange(request).await {
                Err(Failure::Lost(reason)) if request.repeatable => {
                    self.report
                        .debug(format_args!("{}: {reason}; asking again", request.path));
                    self.exchange(request).await
                }
                other => other,
            }
        };
        let result = tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Failure::Lost(format!("none within {} s", seconds(limit))))
            });
        let took = started.elapsed().as_millis();
        match &result {
            Ok(answer) => {
                self.report.trace(format_args!(
                    "{} {}: {} in {took} ms",
                    request.method, request.path, answer.status
                ));
            }
            Err(failure) => {
                self.report.trace(format_args!(
                    "{} {}: {failure} after {took} ms",
                    request.method, request.path
                ));
            }
        }
        result
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let Some(endpoint) = self.endpoint() else {
            return Err(Failure::Unreachable("no address".to_owned()));
        };
        let url = below(&endpoint.base, request.path);
        let mut response = self
            .once(&endpoint.http, url.clone(), endpoint.host.as_ref(), request)
            .await
            .map_err(|failure| match failure {
                Failure::Unreachable(reason) => {
                    Failure::Unreachable(format!("{}: {reason}", endpoint.shown))
                }
                other => other,
            })?;
        if let Some(location) = redirect(&response) {
            let target = self.redirected(&url, &location?)?;
            self.report.debug(format_args!(
                "redirected to {}",
                target.origin().ascii_serialization()
            ));
            let same = target.host() == url.host()
                && target.port_or_known_default() == url.port_or_known_default();
            response = if same {
                self.once(&endpoint.http, target, endpoint.host.as_ref(), request)
                    .await?
            } else {
                self.once(&self.tcp, target, None, request).await?
            };
            if redirect(&response).is_some() {
                return Err(Failure::Redirect("more than one in a row".to_owned()));
            }
        }
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let success = response.status().is_success();
        let body = match bounded_body(response).await {
            // An error's status says enough, whatever becomes of its body.
            Err(_) if !success => Zeroizing::new(Vec::new()),
            other => other?,
        };
        if success {
            return Ok(Answer {
                status,
                document: Document::parse(&body)?,
            });
        }
        if status == 400 && speaks_https(&body) {
            return Err(Failure::Tls(
                "this address speaks https, not http".to_owned(),
            ));
        }
        Err(Failure::Refused {
            status,
            errors: words(&body, request),
            retry_after,
        })
    }

    fn redirected(&self, from: &Url, location: &str) -> Result<Url, Failure> {
        if !self.follow_redirects {
            return Err(Failure::Redirect(
                "VAULT_DISABLE_REDIRECTS is set".to_owned(),
            ));
        }
        let target = from
            .join(location)
            .map_err(|_| Failure::Redirect("its target is not a URL".to_owned()))?;
        match (from.scheme(), target.scheme()) {
            ("https", "http") => Err(Failure::Redirect("from https down to http".to_owned())),
            (_, "http" | "https") => Ok(target),
            _ => Err(Failure::Redirect(
                "its target is not http or https".to_owned(),
            )),
        }
    }

    async fn once(
        &self,
        http: &reqwest::Client,
        url: Url,
        host: Option<&HeaderValue>,
        request: &Request<'_>,
    ) -> Result<Response, Failure> {
        let mut builder = http
            .request(request.method.clone(), url)
            .headers(self.headers.clone());
        if let Some(host) = host {
            builder = builder.header("host", host);
        }
        if let Some(token) = request.token {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|_| Failure::malformed("a token", "that cannot be sent"))?;
            value.set_sensitive(true);
            builder = builder.header("x-vault-token", value);
        }
        if let Some(body) = &request.body {
            builder = builder
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        builder.send().await.map_err(|error| classify(&error))
    }
}

/// The API's path below a base, which may have a path of its own.
fn below(base: &Url, path: &str) -> Url {
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

/// Resolves every name to the addresses of another: TLS then asks for and checks the name in the
/// URL, and the connection goes where the address says.
struct Elsewhere(String);

impl Resolve for Elsewhere {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self
            .0
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Box::pin(async move {
            // The port is the URL's; this one is not used.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn with_proxy(
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

/// The target of a redirect, if this is one.
fn redirect(response: &Response) -> Option<Result<String, Failure>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response
        .headers()
        .get("location")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    Some(location.ok_or_else(|| Failure::Redirect("it has no target".to_owned())))
}

async fn bounded_body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Failure::Lost(reason(&error)))?
    {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(Failure::malformed("a body", "of more than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The server's own words, capped, and without the secrets of the request should it echo them.
fn words(body: &[u8], request: &Request<'_>) -> Vec<String> {
    let Ok(document) = Document::parse(body) else {
        return vec![NOT_THE_API.to_owned()];
    };
    let secrets: Vec<&str> = request
        .token
        .map(|token| token.expose().as_str())
        .into_iter()
        .chain(
            request
                .body
                .iter()
                .filter_map(|body| body.as_object())
                .flat_map(|fields| {
                    // What is named in the request by way of an address is no secret.
                    fields
                        .iter()
                        .filter(|(name, _)| *name != "lease_id")
                        .filter_map(|(_, value)| value.as_str())
                }),
        )
        .filter(|secret| secret.len() >= 4)
        .collect();
    let clean = |words: String| {
        let words = secrets
            .iter()
            .fold(words, |words, secret| words.replace(secret, "REDACTED"));
        let capped: String = words.trim().chars().take(LONGEST_WORDS).collect();
        // A backend's error is a list of its own, over several lines.
        capped.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    document
        .texts("errors")
        .into_iter()
        .take(5)
        .map(clean)
        .filter(|words| !words.is_empty())
        .collect()
}

/// Whether this is what the server says to whoever speaks http where it listens for https.
fn speaks_https(body: &[u8]) -> bool {
    let words = b"HTTP request to an HTTPS server";
    body.windows(words.len()).any(|window| window == words)
}

/// `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    http_date(value)?.duration_since(SystemTime::now()).ok()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the one form of a date that HTTP still allows to be sent.
fn http_date(value: &str) -> Option<SystemTime> {
    let mut parts = value.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|known| *known == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{time}Z")).ok()
}

fn classify(error: &reqwest::Error) -> Failure {
    if let Some(tls) = tls_error(error) {
        return Failure::Tls(tls);
    }
    if error.is_builder() {
        return Failure::malformed("a path", "that makes no request");
    }
    if error.is_connect() {
        let reason = if error.is_timeout() {
            NO_CONNECTION.to_owned()
        } else {
            reason(error)
        };
        return Failure::Unreachable(reason);
    }
    Failure::Lost(reason(error))
}

/// The words of the TLS library, if it is what failed.
fn tls_error(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls.to_string());
    }
    // An error of the system's that holds another one does not call it its source.
    let held = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    if let Some(held) = held {
        return tls_error(held);
    }
    tls_error(error.source()?)
}

/// The innermost reason, which names no URL.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn std::error::Error> = error.source();
    while let Some(inner) = innermost.and_then(std::error::Error::source) {
        innermost = Some(inner);
    }
    let words = innermost.map_or_else(|| "the request failed".to_owned(), ToString::to_string);
    if words.contains("close_notify") {
        // The TLS library's words for it lead to its manual.
        return "the connection was closed".to_owned();
    }
    words
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
        .trim_end_matches(".0")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(token: &Sensitive<String>, body: Value) -> Request<'_> {
        Request {
            method: Method::POST,
            path: "auth/approle/login",
            token: Some(token),
            body: Some(body),
            repeatable: false,
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn words_are_capped_and_never_echo_the_requests_secrets() {
        let token = Sensitive::from("hvs.token");
        let request = request(&token, serde_json::json!({"secret_id": "hunter2"}));
        let body = format!(
            r#"{{"errors":["bad hunter2 and hvs.token\n\t* x","{}"]}}"#,
            "y".repeat(10_000)
        );
        let words = words(body.as_bytes(), &request);
        assert_eq!(
            words.first().map(String::as_str),
            Some("bad REDACTED and REDACTED * x")
        );
        assert_eq!(words.get(1).map(String::len), Some(LONGEST_WORDS));
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let header = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                "retry-after",
                HeaderValue::from_str(value).expect("a header"),
            );
            retry_after(&headers)
        };
        assert_eq!(header("7"), Some(Duration::from_secs(7)));
        assert_eq!(header("soon"), None);
        assert_eq!(header("Sun, 06 Nov 1994 08:49:37 GMT"), None, "in the past");
        assert!(header("Fri, 06 Nov 2195 08:49:37 GMT").is_some());
        let parsed = http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        assert_eq!(
            humantime::format_rfc3339_seconds(parsed).to_string(),
            "1994-11-06T08:49:37Z"
        );
    }

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
