//! The one place that speaks HTTP: one request, its answer bounded in time and size, sent to the
//! addresses in turn until one has answered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, Url};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::answer::{bounded_body, classify, retry_after, seconds, speaks_https, words};
use super::document::Document;
use super::endpoint::{Endpoints, below};
use super::failure::{Failure, TlsFailure};
use super::redirect::Redirects;
use super::request::{Answer, Kind, Request};
use super::resolve::Known;
use super::settings::Settings;
use super::tls;

/// The state of the storage that an answer came from. Sent back, a node that is behind waits or
/// forwards the request (OpenBao's index headers; Vault Enterprise has the same).
const INDEX: HeaderName = HeaderName::from_static("x-vault-index");
/// A state that is longer, in bytes, is not kept.
const LONGEST_INDEX: usize = 1024;
/// Asks a node of Vault Enterprise that is behind to forward the request.
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
/// A value that no other request has. A caching proxy tells requests apart by their headers too:
/// without it two runs with the same role would share one token and one database user, and a run
/// would get the credentials again that it wants to replace.
const UNIQUE: HeaderName = HeaderName::from_static("x-vaultexec-request");

/// A client for one server, which may be a cluster with several addresses.
#[derive(Debug)]
pub struct Client {
    endpoints: RefCell<Rc<Endpoints>>,
    /// What new connections are made by.
    settings: Settings,
    tls: ClientConfig,
    /// Where they went to.
    known: Known,
    /// Which address is asked next.
    current: Cell<usize>,
    /// Which address was asked last.
    asked: Cell<usize>,
    /// The newest state of the storage that an answer has shown.
    index: RefCell<Option<HeaderValue>>,
    headers: HeaderMap,
    timeout: Duration,
    /// The bound on establishing one connection.
    pub connect_timeout: Duration,
    redirects: Redirects,
    /// Whether the user was told that there are redirects to another host.
    redirected: Cell<bool>,
}

impl Client {
    /// A client for these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let tls = tls::configure(&settings.tls, &settings.proxy)?;
        let known = Known::default();
        let endpoints = Endpoints::build(settings, &tls, &known)?;
        let mut headers = HeaderMap::new();
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &settings.namespace {
            let value = HeaderValue::from_str(namespace)
                .map_err(|_| "the namespace cannot be sent".to_owned())?;
            headers.insert("x-vault-namespace", value);
        }
        Ok(Self {
            endpoints: RefCell::new(Rc::new(endpoints)),
            settings: settings.without_identity(),
            tls,
            known,
            current: Cell::new(0),
            asked: Cell::new(0),
            index: RefCell::new(None),
            headers,
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            redirects: Redirects::new(settings),
            redirected: Cell::new(false),
        })
    }

    /// How many addresses there are; at least one.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.settings.addresses.len()
    }

    /// Closes the connections that credentials have come by, or will, when their answers are there: the HTTP
    /// library keeps in memory what was read for as long as one is open. Later requests go by others.
    pub fn close_connections(&self) {
        if !self.endpoints().carried.get() {
            return;
        }
        // What could be built once can be again; else they are closed when they have been idle.
        if let Ok(endpoints) = Endpoints::build(&self.settings, &self.tls, &self.known) {
            self.endpoints.replace(Rc::new(endpoints));
        }
    }

    /// Sends a request whose answer has credentials.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(super) async fn send_for_credentials(
        &self,
        request: &Request<'_>,
    ) -> Result<Answer, Failure> {
        self.endpoints().carried.set(true);
        self.send(request).await
    }

    fn endpoints(&self) -> Rc<Endpoints> {
        Rc::clone(&self.endpoints.borrow())
    }

    /// Sends a request: to the address that answered last, and to the others in turn where the
    /// server cannot have acted on it, or acting twice is the same as acting once.
    ///
    /// # Errors
    /// [`Failure`]; within the request's limit and the client's own, whatever the server does. A
    /// certificate that is not accepted says more than that the other addresses are away.
    pub async fn send(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let deadline = Instant::now() + request.limit;
        let (first, count) = (self.current.get(), self.addresses());
        let endpoints = self.endpoints();
        let mut untrusted = None;
        let mut failure = Failure::NotSent("there is no address");
        for turn in 0..count {
            let index = (first + turn) % count;
            self.asked.set(index);
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = match request.kind {
                // One that hangs leaves time for the others.
                Kind::Repeatable => left / u32::try_from(count - turn).unwrap_or(1),
                Kind::Once => left,
            };
            let limit = limit.min(self.timeout);
            match self.ask(&endpoints, index, request, limit).await {
                Ok(answer) => {
                    self.current.set(index);
                    return Ok(answer);
                }
                Err(refused) => failure = refused,
            }
            // Whoever asks again begins with another address.
            self.current.set((index + 1) % count);
            if matches!(failure, Failure::Tls { .. }) {
                untrusted.get_or_insert_with(|| failure.clone());
            } else if !goes_on(request.kind, &failure) {
                return Err(failure);
            }
        }
        Err(untrusted.unwrap_or(failure))
    }

    /// Sends a request to every address once, each by itself; with the addresses' names.
    pub(super) async fn ask_each(
        &self,
        request: &Request<'_>,
    ) -> Vec<(String, Result<Answer, Failure>)> {
        let mut answers = Vec::new();
        let all = self.endpoints();
        for (index, endpoint) in all.each.iter().enumerate() {
            let limit = request.limit.min(self.timeout);
            let answer = self.ask(&all, index, request, limit).await;
            answers.push((endpoint.shown.clone(), answer));
        }
        answers
    }

    /// Whether the node that was asked last serves requests from its own, perhaps late, copy of the
    /// storage; also where that cannot be found out.
    pub async fn may_be_behind(&self, limit: Duration) -> bool {
        let request = Request {
            method: reqwest::Method::GET,
            path: "sys/health",
            token: None,
            body: None,
            kind: Kind::Repeatable,
            limit,
        };
        let (endpoints, index) = (self.endpoints(), self.asked.get());
        // A standby answers with 429, 472 or 473.
        let limit = limit.min(self.timeout);
        let answer = self.ask(&endpoints, index, &request, limit).await;
        answer.is_err()
    }

    /// One exchange with one address; a second one where a repeatable request has lost its
    /// connection before the answer, as with one that was closed while it was idle.
    async fn ask(
        &self,
        endpoints: &Endpoints,
        index: usize,
        request: &Request<'_>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let exchange = async {
            match self.exchange(endpoints, index, request).await {
                Err(Failure::Lost(reason)) if request.kind == Kind::Repeatable => {
                    log::debug!("{}: {reason}; asking again", request.path);
                    self.exchange(endpoints, index, request).await
                }
                other => other,
            }
        };
        let result = tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(Failure::Lost(format!("none within {} s", seconds(limit))))
            });
        let (Request { method, path, .. }, took) = (request, started.elapsed().as_millis());
        match &result {
            Ok(answer) => log::trace!("{method} {path}: {} in {took} ms", answer.status),
            Err(failure) => log::trace!("{method} {path}: {failure} after {took} ms"),
        }
        result
    }

    async fn exchange(
        &self,
        all: &Endpoints,
        index: usize,
        request: &Request<'_>,
    ) -> Result<Answer, Failure> {
        let Some(endpoint) = all.each.get(index) else {
            return Err(Failure::NotSent("there is no such address"));
        };
        let url = below(&endpoint.base, request.path);
        let mut response = self
            .once(&endpoint.http, url.clone(), endpoint.host.as_ref(), request)
            .await
            .map_err(|failure| endpoint.failed(failure))?;
        if let Some(target) = self.redirects.target(endpoint, &url, &response)? {
            let shown = target.url.origin().ascii_serialization();
            log::debug!("redirected to {shown}");
            let (http, host) = if target.same_server {
                (&endpoint.http, endpoint.host.as_ref())
            } else {
                if !self.redirected.replace(true) {
                    log::info!(event = "redirected"; "{} redirects to {shown}", endpoint.shown);
                }
                (&all.tcp, None)
            };
            response = self
                .once(http, target.url, host, request)
                .await
                .map_err(|failure| failure.at(&shown))?;
            if response.status().is_redirection() {
                return Err(Failure::Redirect("more than one in a row".to_owned()));
            }
        }
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let success = response.status().is_success();
        let from_cache = is_cached(response.headers());
        let index = response.headers().get(INDEX);
        // A longer one would only make every later request too long, at the other addresses too.
        let index = index.filter(|index| success && index.len() <= LONGEST_INDEX);
        if let Some(index) = index {
            self.index.replace(Some(index.clone()));
        }
        let body = match bounded_body(response).await {
            // An error's status says enough, whatever becomes of its body.
            Err(_) if !success => Zeroizing::new(Vec::new()),
            other => other?,
        };
        if success {
            return Ok(Answer {
                status,
                document: Document::parse(&body)?,
                from_cache,
            });
        }
        if status == 400 && speaks_https(&body) {
            return Err(Failure::Tls {
                kind: TlsFailure::TlsWanted,
                reason: "this address speaks https, not http".to_owned(),
            });
        }
        if status == 407 && endpoint.proxy.is_some() {
            return Err(endpoint.failed(Failure::Proxy(String::new())));
        }
        let errors = words(&body, request);
        Err(Failure::Refused {
            status,
            from_api: errors.is_some(),
            errors: errors.unwrap_or_default(),
            retry_after,
        })
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
            .headers(self.headers.clone())
            .header(UNIQUE, fastrand::u64(..));
        if let Some(host) = host {
            builder = builder.header("host", host);
        }
        if let Some(index) = self.index.borrow().as_ref() {
            builder = builder
                .header(INDEX, index)
                .header(INCONSISTENT, "forward-active-node");
        }
        if let Some(token) = request.token {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|_| Failure::NotSent("the token holds what a header may not"))?;
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

/// Whether another address may be asked after this failure.
fn goes_on(kind: Kind, failure: &Failure) -> bool {
    match (kind, failure) {
        (_, Failure::NotSent(_)) => false,
        (Kind::Repeatable, Failure::Lost(_)) => true,
        (Kind::Once, failure) if failure.may_have_acted() => false,
        (_, failure) => !failure.was_sent() || failure.is_transient(),
    }
}

/// `X-Cache: HIT`, as Vault's and OpenBao's own agents and proxies have it.
fn is_cached(headers: &HeaderMap) -> bool {
    let value = headers.get("x-cache").and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.eq_ignore_ascii_case("hit"))
}
