//! The calls of the API that vaultexec makes, and their answers, in the API's own words.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::document::Document;
use super::failure::Failure;
use super::request::{Answer, Request};
use crate::sensitive::Sensitive;

/// No mount, role and id together are longer.
const LONGEST_LEASE_ID: usize = 2048;

/// The answer to a login.
#[derive(Debug)]
pub struct LoginAnswer {
    /// The token.
    pub client_token: Sensitive<String>,
    /// How long the token lives; zero for one that does not expire.
    pub lease_duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whether it is a batch token, which can be neither renewed nor revoked.
    pub batch: bool,
    /// How many calls can be made with it, if they are counted. The last one ends it.
    pub num_uses: Option<u64>,
}

/// What a wrapping token says of itself without being opened.
#[derive(Debug)]
pub struct WrappingInfo {
    /// The API's path whose answer was wrapped.
    pub creation_path: String,
}

/// The answer to a read of credentials.
#[derive(Debug)]
pub struct SecretAnswer {
    /// The lease's id, if there is a lease.
    pub lease_id: Option<String>,
    /// The whole answer, whose `data` is the secret.
    pub document: Document,
}

impl SecretAnswer {
    /// How long the lease runs, and whether it can be renewed.
    ///
    /// # Errors
    /// [`Failure::Malformed`]; there is a lease all the same.
    pub fn terms(&self) -> Result<(Duration, bool), Failure> {
        Ok((
            self.document.seconds("lease_duration")?,
            self.document.flag("renewable")?,
        ))
    }
}

/// The answer to a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The duration granted, from now, which may be less than was asked for.
    pub granted: Duration,
    /// Whether there can be another renewal.
    pub renewable: bool,
}

/// The answer to a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is done.
    Done,
    /// The server has put it in its queue (202).
    Queued,
}

impl Client {
    /// Logs in at an auth mount. Spends a use of a counted secret id before the answer is written.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn login(
        &self,
        mount: &str,
        body: Value,
        limit: Duration,
    ) -> Result<LoginAnswer, Failure> {
        let path = format!("auth/{mount}/login");
        let answer = self.post(&path, None, Some(body), false, limit).await?;
        let document = &answer.document;
        let client_token = document.secret("auth.client_token")?;
        if !client_token
            .expose()
            .bytes()
            .all(|byte| byte.is_ascii_graphic())
        {
            return Err(Failure::malformed(
                "a `auth.client_token`",
                "that cannot be sent",
            ));
        }
        let rest = || {
            Ok::<_, Failure>((
                document.seconds("auth.lease_duration")?,
                document.flag("auth.renewable")?,
                document.text_or_empty("auth.token_type")? == "batch",
                document.number("auth.num_uses")?,
            ))
        };
        match rest() {
            Ok((lease_duration, renewable, batch, num_uses)) => Ok(LoginAnswer {
                client_token,
                lease_duration,
                renewable,
                batch,
                num_uses: (num_uses > 0).then_some(num_uses),
            }),
            Err(failure) => {
                // A token exists: what is wrong with the rest must not lose it.
                let _revoked = self.revoke_self(&client_token, limit).await;
                Err(failure)
            }
        }
    }

    /// Looks a wrapping token up, without spending it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn wrapping_lookup(
        &self,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<WrappingInfo, Failure> {
        let body = json!({ "token": token.expose() });
        let answer = self
            .post("sys/wrapping/lookup", None, Some(body), true, limit)
            .await?;
        Ok(WrappingInfo {
            creation_path: answer.document.text("data.creation_path")?.to_owned(),
        })
    }

    /// Opens a wrapping token. It is spent before the answer is written.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn unwrap_response(
        &self,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<Document, Failure> {
        Ok(self
            .post("sys/wrapping/unwrap", Some(token), None, false, limit)
            .await?
            .document)
    }

    /// Reads credentials. With a dynamic engine that makes a role, before the answer is written.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn read(
        &self,
        path: &str,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<SecretAnswer, Failure> {
        let request = Request {
            method: Method::GET,
            path,
            token: Some(token),
            body: None,
            repeatable: false,
            limit,
        };
        let document = self.send(&request).await?.document;
        let lease_id = document.text_or_empty("lease_id")?;
        if lease_id.len() > LONGEST_LEASE_ID {
            return Err(Failure::malformed(
                "a `lease_id`",
                "that is longer than any",
            ));
        }
        Ok(SecretAnswer {
            lease_id: (!lease_id.is_empty()).then(|| lease_id.to_owned()),
            document,
        })
    }

    /// Renews a lease for `increment` from now.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn renew_lease(
        &self,
        lease_id: &str,
        increment: Duration,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<Renewed, Failure> {
        let body = json!({ "lease_id": lease_id, "increment": increment.as_secs() });
        let answer = self
            .post("sys/leases/renew", Some(token), Some(body), true, limit)
            .await?;
        renewed(&answer.document, "lease_duration", "renewable")
    }

    /// Renews the token itself for `increment` from now.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn renew_self(
        &self,
        increment: Duration,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<Renewed, Failure> {
        let body = json!({ "increment": increment.as_secs() });
        let answer = self
            .post(
                "auth/token/renew-self",
                Some(token),
                Some(body),
                true,
                limit,
            )
            .await?;
        renewed(&answer.document, "auth.lease_duration", "auth.renewable")
    }

    /// Asks whether the token is still good, without changing anything.
    ///
    /// # Errors
    /// [`Failure`]; 403 when it is not.
    pub async fn lookup_self(
        &self,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let path = "auth/token/lookup-self";
        let request = Request {
            method: Method::GET,
            path,
            token: Some(token),
            body: None,
            repeatable: true,
            limit,
        };
        self.send(&request).await.map(drop)
    }

    /// Whether the token may change (`update`) a path.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn may_update(
        &self,
        paths: &[&str],
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let body = json!({ "paths": paths });
        let answer = self
            .post(
                "sys/capabilities-self",
                Some(token),
                Some(body),
                true,
                limit,
            )
            .await?;
        let allowed = |path: &&&str| {
            let capabilities = answer.document.capabilities(path);
            capabilities
                .iter()
                .any(|capability| capability == "update" || capability == "root")
        };
        Ok(paths.iter().any(|path| allowed(&path)))
    }

    /// Revokes a lease and waits for the engine to have done it, which tells whether it worked.
    /// `by_path` names the lease in the path, which a policy can allow for one role's leases only.
    ///
    /// # Errors
    /// [`Failure`]; 400 with the engine's own words.
    pub async fn revoke_lease(
        &self,
        lease_id: &str,
        by_path: bool,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<Revoked, Failure> {
        let named = format!("sys/leases/revoke/{lease_id}");
        let (path, body) = if by_path {
            (named.as_str(), json!({ "sync": true }))
        } else {
            (
                "sys/leases/revoke",
                json!({ "lease_id": lease_id, "sync": true }),
            )
        };
        // The status alone decides: what the answer says besides is of no use.
        let answer = self.post(path, Some(token), Some(body), true, limit).await;
        match answer {
            Ok(answer) if answer.status == 202 => Ok(Revoked::Queued),
            Ok(_) | Err(Failure::Malformed { .. }) => Ok(Revoked::Done),
            Err(failure) => Err(failure),
        }
    }

    /// Revokes the token itself; the server puts its leases in its queue. One try: whether it is the
    /// first one tells what it means that the server does not know the token.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn revoke_self(
        &self,
        token: &Sensitive<String>,
        limit: Duration,
    ) -> Result<(), Failure> {
        match self
            .post("auth/token/revoke-self", Some(token), None, false, limit)
            .await
        {
            Ok(_) | Err(Failure::Malformed { .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn post(
        &self,
        path: &str,
        token: Option<&Sensitive<String>>,
        body: Option<Value>,
        repeatable: bool,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        self.send(&Request {
            method: Method::POST,
            path,
            token,
            body,
            repeatable,
            limit,
        })
        .await
    }
}

fn renewed(document: &Document, duration: &str, renewable: &str) -> Result<Renewed, Failure> {
    if !document.has(duration) {
        return Err(Failure::malformed(format!("no `{duration}`"), "in it"));
    }
    Ok(Renewed {
        granted: document.seconds(duration)?,
        renewable: document.flag(renewable)?,
    })
}
