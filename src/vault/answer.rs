//! What came back: a bounded body, the server's own words, and what a failure of the HTTP library means.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use reqwest::Response;
use reqwest::header::HeaderMap;
use rustls::CertificateError;
use zeroize::Zeroizing;

use super::document::Document;
use super::failure::{Failure, TlsFailure};
use super::request::Request;
use super::tls::AUTHORITYS_OWN;
use crate::sensitive::Kept;

/// No answer of the API comes near this. What is longer is not read to its end.
const LARGEST_ANSWER: usize = 1 << 20;
/// What the HTTP library says when a proxy answers 407 to the request for a tunnel.
const PROXY_WANTS_A_USER: &str = "proxy authorization required";
/// The server's own words are shown up to this many characters each.
const LONGEST_WORDS: usize = 300;

pub(super) async fn bounded_body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Failure> {
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
/// Nothing where it is not the API that has answered.
pub(super) fn words(body: &[u8], request: &Request<'_>) -> Option<Vec<String>> {
    let document = Document::parse(body)
        .ok()
        .filter(|document| document.has("errors"))?;
    let secrets: Vec<&str> = request
        .token
        .map(Kept::expose)
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
                        .filter(|(name, _)| !matches!(name.as_str(), "lease_id" | "role" | "name"))
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
    let errors = document.texts("errors").into_iter().take(5).map(clean);
    Some(errors.filter(|words| !words.is_empty()).collect())
}

/// Whether this is what the server says to whoever speaks http where it listens for https.
pub(super) fn speaks_https(body: &[u8]) -> bool {
    let words = b"HTTP request to an HTTPS server";
    body.windows(words.len()).any(|window| window == words)
}

/// `Retry-After` in seconds or as a date.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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

pub(super) fn classify(error: &reqwest::Error) -> Failure {
    // Whether our certificate is accepted is heard with the first answer. Anything else that comes
    // then comes after the request was sent.
    if let Some(tls) = tls_error(error)
        && (error.is_connect() || refuses_ours(tls))
    {
        let kind = kind(tls);
        let reason = match kind {
            TlsFailure::AuthoritysOwn => {
                "the server's certificate is an authority's own".to_owned()
            }
            TlsFailure::Algorithm => unchecked(tls),
            TlsFailure::NothingInCommon => {
                "the server finds no version, cipher or kind of certificate that both sides can use"
                    .to_owned()
            }
            _ => tls.to_string(),
        };
        return Failure::Tls { kind, reason };
    }
    if reason(error).ends_with(PROXY_WANTS_A_USER) {
        return Failure::Proxy(String::new());
    }
    if error.is_builder() {
        return Failure::NotSent("it is no request that HTTP knows");
    }
    if error.is_connect() {
        let silent = error.is_timeout();
        let reason = if silent {
            "no connection in time".to_owned()
        } else {
            reason(error)
        };
        return Failure::Unreachable { reason, silent };
    }
    Failure::Lost(reason(error))
}

/// Whether the server does not accept our certificate, or the lack of one.
fn refuses_ours(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        error,
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        )
    )
}

fn kind(error: &rustls::Error) -> TlsFailure {
    use rustls::AlertDescription;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            TlsFailure::UnknownIssuer
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => TlsFailure::WrongName,
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string() == AUTHORITYS_OWN =>
        {
            TlsFailure::AuthoritysOwn
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            TlsFailure::ClientCertificateWanted
        }
        rustls::Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => TlsFailure::Algorithm,
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        )
        | rustls::Error::PeerIncompatible(_) => TlsFailure::NothingInCommon,
        rustls::Error::InvalidMessage(_) => TlsFailure::NotTls,
        _ => TlsFailure::Other,
    }
}

/// Algorithms of certificates that the TLS library cannot check, by what their identifiers hold.
const ALGORITHMS: [(&[u8], &str); 6] = [
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", "ecdsa-with-SHA512"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x01", "ecdsa-with-SHA224"),
    (b"\x2a\x86\x48\xce\x3d\x04\x01", "ecdsa-with-SHA1"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", "RSA with SHA-1"),
    (b"\x2b\x65\x71", "Ed448"),
    (b"\x2b\x81\x04\x00\x23", "a key on P-521"),
];

/// How a certificate is signed that cannot be checked.
fn unchecked(error: &rustls::Error) -> String {
    let (signature, key): (&[u8], &[u8]) = match error {
        rustls::Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id,
                ..
            },
        ) => (signature_algorithm_id, &[]),
        rustls::Error::InvalidCertificate(
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id,
                public_key_algorithm_id,
            },
        ) => (signature_algorithm_id, public_key_algorithm_id),
        _ => (&[], &[]),
    };
    let names = [signature, key].into_iter().flat_map(|id| {
        let known = ALGORITHMS.iter();
        known.filter(move |(known, _)| id.windows(known.len()).any(|part| part == *known))
    });
    let names: Vec<_> = names.map(|(_, name)| *name).collect();
    let how = if names.is_empty() {
        "by an algorithm".to_owned()
    } else {
        format!("with {}", names.join(" and "))
    };
    format!("a certificate of the server is signed {how}, which cannot be checked here")
}

/// The error of the TLS library, if it is what failed.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
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
pub(super) fn reason(error: &reqwest::Error) -> String {
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

pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
        .trim_end_matches(".0")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::request::Kind;
    use reqwest::Method;
    use reqwest::header::HeaderValue;
    use serde_json::Value;

    fn request(token: &Kept, body: Value) -> Request<'_> {
        Request {
            method: Method::POST,
            path: "auth/approle/login",
            token: Some(token),
            body: Some(body),
            kind: Kind::Once,
            limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn words_are_capped_and_never_echo_the_requests_secrets() {
        let token = Kept::from("hvs.token");
        let request = request(&token, serde_json::json!({"secret_id": "hunter2"}));
        let body = format!(
            r#"{{"errors":["bad hunter2 and hvs.token\n\t* x","{}"]}}"#,
            "y".repeat(10_000)
        );
        let words = words(body.as_bytes(), &request).expect("the API's words");
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
}
