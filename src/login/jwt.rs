//! A JWT that somebody else has signed: of a CI job, of a workload, of a Kubernetes pod.

use std::time::SystemTime;

use serde_json::json;

use super::ask::{self, Ask};
use super::claims;
use super::github::{GitHub, GitHubSettings};
use super::outlook::{CannotRepeat, Outlook};
use super::source::Source;
use super::supply::Supply;
use crate::error::{Error, Problem};
use crate::ledger::NewSession;
use crate::sensitive::{Kept, Sensitive};
use crate::sys::clock::Moment;
use crate::vault::{Client, Failure, Retry};

/// What may run out.
const WHAT: &str = "the JWT";

/// Where a JWT comes from, and what is asked for with it. Holds no secret.
#[derive(Clone, Debug)]
pub struct JwtSettings {
    /// Who has signed it, and so who vouches for it.
    pub method: JwtMethod,
    /// The auth mount.
    pub mount: String,
    /// The role; the mount may have a default one.
    pub role: Option<String>,
    /// Where the JWT is.
    pub jwt: JwtSource,
}

/// The two methods that take a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtMethod {
    /// Any issuer whose keys the server knows.
    Jwt,
    /// A cluster, which the server asks.
    Kubernetes,
}

/// Where a JWT comes from.
#[derive(Clone, Debug)]
pub enum JwtSource {
    /// It is there.
    Given(Source),
    /// GitHub makes one for the job.
    GitHub(Box<GitHubSettings>),
}

#[derive(Debug)]
enum Jwt {
    Given(Supply),
    GitHub(Box<GitHub>),
}

/// A login with a JWT.
#[derive(Debug)]
pub struct JwtLogin {
    method: JwtMethod,
    mount: String,
    role: Option<String>,
    jwt: Jwt,
    /// When the JWT ends that was read last.
    end: Option<Moment>,
    /// Whether there may be another login.
    again: bool,
}

impl JwtMethod {
    const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Kubernetes => "kubernetes",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::Jwt => {
                "is there such a role (--auth-role, VAULTEXEC_AUTH_ROLE), and do its bound_audiences, bound_subject and \
                 bound_claims fit the JWT?"
            }
            Self::Kubernetes => {
                "is there such a role (--auth-role, VAULTEXEC_AUTH_ROLE), and does it name this service account, its \
                 namespace and the token's audience (bound_service_account_names, bound_service_account_namespaces, \
                 audience)?"
            }
        }
    }
}

impl JwtLogin {
    /// Reads the JWT, if it is there.
    ///
    /// # Errors
    /// What is wrong with it: also that it has expired.
    pub fn read(settings: &JwtSettings, again: bool) -> Result<Self, Problem> {
        let jwt = match &settings.jwt {
            JwtSource::Given(source) => Jwt::Given(Supply::read(source, jwt)?),
            JwtSource::GitHub(settings) => Jwt::GitHub(Box::new(GitHub::read(settings)?)),
        };
        Ok(Self {
            method: settings.method,
            mount: settings.mount.clone(),
            role: settings.role.clone(),
            jwt,
            end: None,
            again,
        })
    }

    /// The auth mount.
    pub fn mount(&self) -> &str {
        &self.mount
    }

    /// Logs in with the JWT that is there now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn log_in(&mut self, client: &Client, retry: &Retry) -> Result<NewSession, Error> {
        let fetched;
        let jwt = match &mut self.jwt {
            Jwt::Given(supply) => {
                supply.look_again();
                supply.value()
            }
            Jwt::GitHub(github) => {
                fetched = Kept::from(github.fetch(client, retry).await?);
                Some(&fetched)
            }
        };
        let jwt = jwt.ok_or_else(|| {
            let reason = CannotRepeat::Gone(WHAT);
            Error::Irreplaceable(format!("another login is needed, and {reason}"))
        })?;
        self.end = end(jwt)
            .map_err(|words| Error::Irreplaceable(format!("the JWT cannot be used: {words}")))?;
        let mut body = json!({ "jwt": jwt.expose() });
        if let (Some(role), Some(fields)) = (&self.role, body.as_object_mut()) {
            fields.insert("role".to_owned(), role.as_str().into());
        }
        let path = format!("auth/{}/login", self.mount);
        let answer = Ask::new(&path, &body).carry_out(client, retry).await;
        let answer = answer.map_err(|failure| self.explain(failure))?;
        if let Jwt::Given(supply) = &mut self.jwt {
            if self.again {
                supply.forget_if_readable();
            } else {
                supply.forget();
            }
        }
        Ok(ask::session(answer))
    }

    /// A JWT of a cluster is rotated in its place, and GitHub makes another one.
    pub fn outlook(&self) -> Outlook {
        let known = Outlook {
            what: WHAT,
            ..Outlook::default()
        };
        match (&self.jwt, self.method) {
            (Jwt::Given(supply), JwtMethod::Jwt) => Outlook {
                cannot: (!supply.is_there()).then_some(CannotRepeat::Gone(WHAT)),
                until: self.end,
                source: supply.delivered_at(),
                ..known
            },
            _ => known,
        }
    }

    fn explain(&self, failure: Failure) -> Error {
        let refused = matches!(failure.status(), Some(400 | 403)) && failure.is_from_api();
        // What stands at the mount would say something else.
        let hint = refused && !failure.is_policy() && !failure.is_source_refused();
        let hint = hint.then(|| self.method.remedy().to_owned());
        ask::explain(self.method.name(), &self.mount, failure, hint)
    }
}

/// A JWT that can still be used.
fn jwt(source: &Source) -> Result<Sensitive<String>, Problem> {
    let text = source.read()?;
    match claims::end(text.expose(), SystemTime::now()) {
        Ok(_) => Ok(text),
        Err(words) => Err(Problem::new(source.setting(), words)),
    }
}

/// When it ends, on the clock that leases are measured by.
fn end(jwt: &Kept) -> Result<Option<Moment>, String> {
    let (now, wall) = (Moment::now(), SystemTime::now());
    let end = claims::end(jwt.expose(), wall)?;
    Ok(end.map(|end| now + end.duration_since(wall).unwrap_or_default()))
}
