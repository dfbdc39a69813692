//! The server as its administrator sees it: calls with the root token (or another one), independent of the product.

use super::http;
use serde_json::Value;
use std::fmt;

/// A client of the HTTP API with one token.
#[derive(Clone)]
pub struct Admin {
    authority: String,
    token: String,
    namespace: Option<String>,
}

/// A call that was not answered by 2xx.
#[derive(Debug)]
pub struct Refused {
    /// 0 when there was no answer at all.
    pub status: u16,
    /// The server's own words.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.status)
    }
}

impl Admin {
    /// A client of the plain HTTP listener at `host:port`.
    pub fn new(authority: &str, token: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            token: token.to_owned(),
            namespace: None,
        }
    }

    /// The same server with another token, e.g. to do by hand what an application does.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The same server in a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: Some(namespace.to_owned()),
            ..self.clone()
        }
    }

    /// `POST /v1/<path>`; the answer's JSON, `Null` when it is empty.
    pub fn write(&self, path: &str, body: Value) -> Result<Value, Refused> {
        self.call("POST", path, Some(body), &[])
    }

    /// As `write`, with the answer wrapped for `ttl`.
    pub fn write_wrapped(&self, path: &str, body: Value, ttl: &str) -> Result<Value, Refused> {
        self.call("POST", path, Some(body), &[("X-Vault-Wrap-TTL", ttl)])
    }

    /// `GET /v1/<path>`.
    pub fn read(&self, path: &str) -> Result<Value, Refused> {
        self.call("GET", path, None, &[])
    }

    /// The keys below a path; none where the server says 404.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Refused> {
        match self.call("GET", &format!("{path}?list=true"), None, &[]) {
            Ok(answer) => {
                let keys = answer["data"]["keys"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                Ok(keys
                    .iter()
                    .filter_map(|key| key.as_str().map(str::to_owned))
                    .collect())
            }
            Err(refused) if refused.status == 404 => Ok(Vec::new()),
            Err(refused) => Err(refused),
        }
    }

    /// `DELETE /v1/<path>`.
    pub fn delete(&self, path: &str) -> Result<Value, Refused> {
        self.call("DELETE", path, None, &[])
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        extra: &[(&str, &str)],
    ) -> Result<Value, Refused> {
        let mut headers = vec![("X-Vault-Request".to_owned(), "true".to_owned())];
        if !self.token.is_empty() {
            headers.push(("X-Vault-Token".to_owned(), self.token.clone()));
        }
        if let Some(namespace) = &self.namespace {
            headers.push(("X-Vault-Namespace".to_owned(), namespace.clone()));
        }
        headers.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let body = body.map(|json| json.to_string()).unwrap_or_default();
        let answer = http::exchange(
            &self.authority,
            method,
            &format!("/v1/{path}"),
            &headers,
            body.as_bytes(),
        )
        .map_err(|error| Refused {
            status: 0,
            message: format!("{method} {path}: {error}"),
        })?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if (200..300).contains(&answer.status) {
            return Ok(json);
        }
        Err(Refused {
            status: answer.status,
            message: format!("{method} {path}: {}", json["errors"]),
        })
    }
}
