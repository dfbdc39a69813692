//! A request to somebody else than the server: whoever makes the tokens that a login takes.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::answer::{bounded_body, classify, reason, retry_after};
use super::document::Document;
use super::endpoint::with_proxy;
use super::failure::Failure;
use super::resolve::Resolver;
use super::settings::{Proxy, TlsSettings};
use super::tls;
use crate::sensitive::Sensitive;

/// No exchange takes longer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for a JSON document with a bearer token. The system's authorities are trusted, and no redirect
/// is followed.
///
/// # Errors
/// [`Failure`].
pub async fn get(
    url: &Url,
    proxy: &Proxy,
    bearer: &Sensitive<String>,
    limit: Duration,
) -> Result<Document, Failure> {
    let cannot =
        |_words: String| Failure::NotSent("its proxy or the system's certificates cannot be used");
    let tls = tls::configure(&TlsSettings::default(), proxy).map_err(cannot)?;
    let builder = reqwest::Client::builder()
        .user_agent(concat!("vaultexec/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .timeout(limit.min(TIMEOUT))
        .dns_resolver(Arc::new(Resolver::default()))
        .no_proxy();
    let http = with_proxy(builder, proxy).map_err(cannot)?;
    let http = http.build().map_err(|error| cannot(reason(&error)))?;
    let mut value = HeaderValue::from_str(&format!("bearer {}", bearer.expose()))
        .map_err(|_| Failure::NotSent("its token holds what a header may not"))?;
    value.set_sensitive(true);
    let request = http
        .get(url.clone())
        .header("authorization", value)
        .header("accept", "application/json");
    let response = request.send().await.map_err(|error| classify(&error))?;
    let status = response.status();
    if status.is_success() {
        return Document::parse(&bounded_body(response).await?);
    }
    Err(Failure::Refused {
        status: status.as_u16(),
        errors: Vec::new(),
        from_api: true,
        retry_after: retry_after(response.headers()),
    })
}
