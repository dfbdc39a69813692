//! The one place that speaks HTTP: one attempt at one request, its answer bounded in time and size.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, Url};
use zeroize::Zeroizing;

use super::answer::{bounded_body, classify, redirect, retry_after, seconds, speaks_https, words};
use super::document::Document;
use super::endpoint::{Endpoint, Endpoints, below};
use super::failure::{Failure, TlsFailure};
use super::request::{Answer, Request};
use super::settings::Settings;
use crate::report::Reporter;

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

impl Client {
    /// A client for these settings. Nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Settings, report: Reporter) -> Result<Self, String> {
        let Endpoints { endpoints, tcp } = Endpoints::build(settings)?;
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
            return Err(Failure::NotSent("there is no address"));
        };
        let url = below(&endpoint.base, request.path);
        let mut response = self
            .once(&endpoint.http, url.clone(), endpoint.host.as_ref(), request)
            .await
            .map_err(|failure| failure.at(&endpoint.shown))?;
        if let Some(location) = redirect(&response) {
            let target = self.redirected(&url, &location?)?;
            let shown = target.origin().ascii_serialization();
            self.report.debug(format_args!("redirected to {shown}"));
            let same = target.host() == url.host()
                && target.port_or_known_default() == url.port_or_known_default();
            let (http, host) = if same {
                (&endpoint.http, endpoint.host.as_ref())
            } else {
                (&self.tcp, None)
            };
            response = self
                .once(http, target, host, request)
                .await
                .map_err(|failure| failure.at(&shown))?;
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
            return Err(Failure::Tls {
                kind: TlsFailure::TlsWanted,
                reason: "this address speaks https, not http".to_owned(),
            });
        }
        let errors = words(&body, request);
        Err(Failure::Refused {
            status,
            from_api: errors.is_some(),
            errors: errors.unwrap_or_default(),
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
