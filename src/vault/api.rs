//! The calls of the API that vaultexec makes, and their answers, in the API's own words.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};

use super::asked;
use super::client::Client;
use super::document::Document;
use super::failure::Failure;
use super::request::{Answer, Kind, Request};
use crate::sensitive::Kept;

/// No mount, role and id together are longer, in bytes.
const LONGEST_LEASE_ID: usize = 2048;
/// No token is longer, in bytes: a batch token, the longest kind, has some hundreds.
const LONGEST_TOKEN: usize = 16 * 1024;
/// From here on, in seconds since 1970, a time has no form that people read: the year 10000.
const BEYOND_DATES: Duration = Duration::from_secs(253_402_300_800);

/// The answer to a login.
#[derive(Debug)]
pub struct LoginAnswer {
    /// The token.
    pub client_token: Kept,
    /// How long the token lives; zero for one that does not expire.
    pub lease_duration: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whether it is a batch token, which can be neither renewed nor revoked.
    pub batch: bool,
    /// How many calls can be made with it, if they are counted. The last one ends it.
    pub num_uses: Option<u64>,
    /// For whom it is and what it may do, in words, as far as the server says so.
    pub identity: String,
}

/// What a server says of itself to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealStatus {
    /// Whether it was ever initialised.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Its version; empty where it keeps that to itself.
    pub version: String,
}

/// What a token says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// How long it lives from now; zero for one that does not expire.
    pub ttl: Duration,
    /// For how long it was issued at first; zero where that is not known.
    pub creation_ttl: Duration,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Whether it is a batch token.
    pub batch: bool,
    /// How many calls can still be made with it, if they are counted.
    pub num_uses: Option<u64>,
    /// What it may do, in words.
    pub identity: String,
}

/// What a wrapping token says of itself without being opened.
#[derive(Debug)]
pub struct WrappingInfo {
    /// The API's path whose answer was wrapped.
    pub creation_path: String,
    /// When it ends, if the server says so.
    pub until: Option<SystemTime>,
}

/// The answer to a read of credentials.
#[derive(Debug)]
pub struct SecretAnswer {
    /// The lease's id, if there is a lease.
    pub lease_id: Option<String>,
    /// How long it runs and whether it can be renewed; a failure where that cannot be understood, and
    /// there may be a lease all the same.
    pub terms: Result<(Duration, bool), Failure>,
    /// The whole answer, whose `data` is the secret.
    pub document: Document,
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
    /// Asks every address, with its name, for its seal status.
    pub async fn seal_statuses(
        &self,
        limit: Duration,
    ) -> Vec<(String, Result<SealStatus, Failure>)> {
        let request = Request {
            method: Method::GET,
            path: "sys/seal-status",
            token: None,
            body: None,
            kind: Kind::Repeatable,
            limit,
        };
        let answers = self.ask_each(&request).await.into_iter();
        let status = |answer: Answer| {
            let document = &answer.document;
            Ok(SealStatus {
                initialized: document.flag("initialized")?,
                sealed: document.flag("sealed")?,
                version: document.text_or_empty("version")?.to_owned(),
            })
        };
        answers
            .map(|(name, answer)| (name, answer.and_then(status)))
            .collect()
    }

    /// Logs in at a path of an auth mount. Spends a use of a counted secret id before the answer is written.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn login(
        &self,
        path: &str,
        body: Value,
        limit: Duration,
    ) -> Result<LoginAnswer, Failure> {
        let answer = self.post(path, None, Some(body), Kind::Once, limit).await?;
        let document = &answer.document;
        if document.has("auth.mfa_requirement")
            && document.text_or_empty("auth.client_token") == Ok("")
        {
            return Err(Failure::SecondFactor);
        }
        let client_token = Kept::from(document.secret("auth.client_token")?);
        let token = client_token.expose();
        if token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::malformed(
                "a `auth.client_token`",
                "that cannot be sent",
            ));
        }
        if answer.from_cache {
            return Err(Failure::malformed(
                "a token",
                "of a cache, which others use as well",
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
                identity: identity(document),
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
        token: &Kept,
        limit: Duration,
    ) -> Result<WrappingInfo, Failure> {
        let body = json!({ "token": token.expose() });
        let answer = self
            .post(
                "sys/wrapping/lookup",
                None,
                Some(body),
                Kind::Repeatable,
                limit,
            )
            .await?;
        let document = &answer.document;
        let created = document.text_or_empty("data.creation_time").ok();
        let lives = document.seconds("data.creation_ttl").ok();
        Ok(WrappingInfo {
            creation_path: document.text("data.creation_path")?.to_owned(),
            until: created
                .zip(lives)
                .and_then(|(created, lives)| end(created, lives)),
        })
    }

    /// Opens a wrapping token. It is spent before the answer is written.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn unwrap_response(
        &self,
        token: &Kept,
        limit: Duration,
    ) -> Result<Document, Failure> {
        Ok(self
            .post("sys/wrapping/unwrap", Some(token), None, Kind::Once, limit)
            .await?
            .document)
    }

    /// Reads credentials, of what [`asked`] is. With a dynamic engine that makes a role, before the answer is written.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn read(
        &self,
        asked: &str,
        token: &Kept,
        limit: Duration,
    ) -> Result<SecretAnswer, Failure> {
        let body = asked::sent(asked);
        let request = Request {
            method: body.as_ref().map_or(Method::GET, |_| Method::POST),
            path: asked::path(asked),
            token: Some(token),
            body,
            kind: Kind::Once,
            limit,
        };
        let answer = self.send_for_credentials(&request).await?;
        let document = answer.document;
        if answer.from_cache {
            return Err(Failure::malformed(
                "a secret",
                "of a cache, which others use as well",
            ));
        }
        let id = document.text_or_empty("lease_id")?.to_owned();
        if !id.is_empty() && !is_lease_id(&id) {
            return Err(Failure::malformed("a `lease_id`", "that is none"));
        }
        let terms = || {
            Ok((
                document.seconds("lease_duration")?,
                document.flag("renewable")?,
            ))
        };
        Ok(SecretAnswer {
            lease_id: (!id.is_empty()).then_some(id),
            terms: terms(),
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
        token: &Kept,
        limit: Duration,
    ) -> Result<Renewed, Failure> {
        let body = json!({ "lease_id": lease_id, "increment": increment.as_secs() });
        let answer = self
            .post(
                "sys/leases/renew",
                Some(token),
                Some(body),
                Kind::Repeatable,
                limit,
            )
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
        token: &Kept,
        limit: Duration,
    ) -> Result<Renewed, Failure> {
        let body = json!({ "increment": increment.as_secs() });
        let answer = self
            .post(
                "auth/token/renew-self",
                Some(token),
                Some(body),
                Kind::Repeatable,
                limit,
            )
            .await?;
        renewed(&answer.document, "auth.lease_duration", "auth.renewable")
    }

    /// Asks what the token is, which changes nothing but the count of its uses.
    ///
    /// # Errors
    /// [`Failure`]; 403 when it is none, or not any more.
    pub async fn lookup_self(&self, token: &Kept, limit: Duration) -> Result<TokenInfo, Failure> {
        let path = "auth/token/lookup-self";
        let request = Request {
            method: Method::GET,
            path,
            token: Some(token),
            body: None,
            kind: Kind::Repeatable,
            limit,
        };
        let answer = self.send(&request).await?;
        let document = &answer.document;
        // The call itself may have been the last one, which is told by a negative number.
        let num_uses = match document.number("data.num_uses") {
            Ok(0) => None,
            Ok(uses) => Some(uses),
            Err(_) => Some(0),
        };
        Ok(TokenInfo {
            ttl: document.seconds("data.ttl")?,
            creation_ttl: document.seconds("data.creation_ttl")?,
            renewable: document.flag("data.renewable")?,
            batch: document.text_or_empty("data.type")? == "batch",
            num_uses,
            identity: with_policies(&document.texts("data.policies")),
        })
    }

    /// For each path, whether the token may change it (`update`).
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn may_update(
        &self,
        paths: &[String],
        token: &Kept,
        limit: Duration,
    ) -> Result<Vec<bool>, Failure> {
        let all = self.capabilities(paths, token, limit).await?;
        Ok(all
            .iter()
            .map(|capabilities| allow(capabilities, "update"))
            .collect())
    }

    /// For each path, what the token may do there.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn capabilities(
        &self,
        paths: &[String],
        token: &Kept,
        limit: Duration,
    ) -> Result<Vec<Vec<String>>, Failure> {
        let path = "sys/capabilities-self";
        let body = Some(json!({ "paths": paths }));
        let answer = self
            .post(path, Some(token), body, Kind::Repeatable, limit)
            .await?;
        let of = |path: &String| {
            let capabilities = answer.document.capabilities(path)?;
            Ok(capabilities.into_iter().map(str::to_owned).collect())
        };
        paths.iter().map(of).collect()
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
        token: &Kept,
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
        let answer = self
            .post(path, Some(token), Some(body), Kind::Repeatable, limit)
            .await;
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
    pub async fn revoke_self(&self, token: &Kept, limit: Duration) -> Result<(), Failure> {
        match self
            .post(
                "auth/token/revoke-self",
                Some(token),
                None,
                Kind::Once,
                limit,
            )
            .await
        {
            Ok(_) | Err(Failure::Malformed { .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn post(
        &self,
        path: &str,
        token: Option<&Kept>,
        body: Option<Value>,
        kind: Kind,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        self.send(&Request {
            method: Method::POST,
            path,
            token,
            body,
            kind,
            limit,
        })
        .await
    }
}

/// Whether capabilities have this one in them.
#[must_use]
pub fn allow(capabilities: &[String], wanted: &str) -> bool {
    capabilities
        .iter()
        .any(|capability| capability == wanted || capability == "root")
}

/// When something ends that was made at a time in the server's words, if that can be told.
fn end(made: &str, lives: Duration) -> Option<SystemTime> {
    let end = humantime::parse_rfc3339_weak(made)
        .ok()?
        .checked_add(lives)?;
    let since = end.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since < BEYOND_DATES).then_some(end)
}

/// For whom a token is, in words.
fn identity(document: &Document) -> String {
    let role = [
        "auth.metadata.role_name",
        "auth.metadata.role",
        "auth.metadata.username",
    ]
    .into_iter()
    .find_map(|field| document.text(field).ok());
    let role = role.map_or_else(String::new, |role| format!(" as {role}"));
    role + &with_policies(&document.texts("auth.policies"))
}

fn with_policies(policies: &[String]) -> String {
    if policies.is_empty() {
        return String::new();
    }
    format!(" with the policies {}", policies.join(", "))
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

/// Whether this can be a lease's id: it becomes a part of paths that are asked for with the token.
pub(super) fn is_lease_id(id: &str) -> bool {
    let sound = |part: &str| !matches!(part, "" | "." | "..");
    let odd = |character: char| character.is_control() || "?#%\\".contains(character);
    id.len() <= LONGEST_LEASE_ID && id.split('/').all(sound) && !id.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_has_no_date_is_none() {
        let shown = |made: &str, seconds| {
            let end = end(made, Duration::from_secs(seconds))?;
            Some(humantime::format_rfc3339_seconds(end).to_string())
        };
        let last = "9999-12-31T23:59:59Z";
        assert_eq!(shown(last, 0).as_deref(), Some(last));
        assert_eq!(shown(last, 1), None);
        assert_eq!(shown("9950-01-01T00:00:00Z", 3_153_600_000), None);
        assert_eq!(shown("soon", 1), None);
    }

    #[test]
    fn a_lease_id_that_would_lead_elsewhere_is_none() {
        assert!(is_lease_id("database/creds/app-role/2f6a614c-4aa2"));
        for id in [
            "../../../x",
            "a//b",
            "a/./b",
            "/a",
            "a/",
            "a?b",
            "a#b",
            "a%2e",
            "a\\b",
            "a\nb",
        ] {
            assert!(!is_lease_id(id), "{id}");
        }
        assert!(!is_lease_id(&"x".repeat(LONGEST_LEASE_ID + 1)));
    }
}
