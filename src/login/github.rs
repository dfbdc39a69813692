//! The token that GitHub makes for a job of its Actions, anew for each login.

use reqwest::Url;

use super::source::{Secret, Source};
use crate::error::{Error, Problem, hints};
use crate::sensitive::Sensitive;
use crate::vault::{Client, Failure, Proxy, Retry, get};

/// Where GitHub's runner says that a token is to be had.
pub const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
/// What it is asked for with.
pub const BEARER: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Where to ask, and for whom. Holds no secret.
#[derive(Clone, Debug)]
pub struct GitHubSettings {
    /// The address, with the audience.
    pub url: Url,
    /// What stands before it.
    pub proxy: Proxy,
}

/// Ready to ask.
#[derive(Debug)]
pub struct GitHub {
    settings: GitHubSettings,
    bearer: Secret,
}

impl GitHub {
    /// Reads what the request needs.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(settings: &GitHubSettings) -> Result<Self, Problem> {
        Ok(Self {
            settings: settings.clone(),
            bearer: Source::Variable(BEARER.to_owned()).read()?,
        })
    }

    /// A token for this login.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn fetch(&self, client: &Client, retry: &Retry) -> Result<Sensitive<String>, Error> {
        let doing = "get a token from GitHub";
        let repeat =
            |failure: &Failure| failure.is_transient() || matches!(failure, Failure::Lost(_));
        let GitHubSettings { url, proxy } = &self.settings;
        let answer = retry
            .run(client, doing, repeat, async || {
                get(url, proxy, &self.bearer, retry.left())
                    .await?
                    .secret("value")
            })
            .await;
        answer.map_err(|failure| {
            let hint = match failure.status() {
                Some(401 | 403) => Some(
                    "the job's own right to ask is over or missing: `permissions: id-token: write`"
                        .to_owned(),
                ),
                _ => {
                    hints::for_failure(&failure).filter(|_| matches!(failure, Failure::Tls { .. }))
                }
            };
            Error::server(doing, URL, failure, hint)
        })
    }
}
