//! What a login with a JWT needs: the role, and where the JWT comes from.

use std::path::PathBuf;

use reqwest::Url;

use super::address::environments_proxy;
use super::login::{check, source};
use super::lookup::Lookup;
use super::table::{AUTH_ROLE, JWT, JWT_AUDIENCE, JWT_FILE};
use crate::login::{BEARER, GitHubSettings, JwtMethod, JwtSettings, JwtSource, Source, URL};
use crate::vault::Address;

/// Where a pod finds its own token.
const OF_THE_POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The settings of a pod's login, if they are sound.
pub fn kubernetes(lookup: &Lookup<'_>, mount: String) -> Option<JwtSettings> {
    let role = role(lookup);
    if role.is_none() && lookup.is_missing(&AUTH_ROLE) {
        let message = "it is missing: the role of the auth method that names this service account";
        lookup.wrong(AUTH_ROLE.to_string(), message);
    }
    let jwt = lookup.given(&JWT_FILE).map_or_else(
        || Source::File {
            setting: JWT_FILE.to_string(),
            path: PathBuf::from(OF_THE_POD),
        },
        |value| source(&JWT_FILE, value),
    );
    check(lookup, &jwt);
    Some(JwtSettings {
        method: JwtMethod::Kubernetes,
        mount,
        role: Some(role?),
        jwt: JwtSource::Given(jwt),
    })
}

/// The settings of a login with any other JWT, if they are sound.
pub fn jwt(lookup: &Lookup<'_>, mount: String) -> Option<JwtSettings> {
    let role = role(lookup);
    let jwt = match lookup.one_of(&[&JWT_FILE, &JWT]) {
        Some((setting, value)) => {
            if let Some(audience) = lookup.given(&JWT_AUDIENCE) {
                let both = format!("{} and {}", value.name, audience.name);
                let message = "a JWT that is given has its audience: give only one of them";
                lookup.wrong(both, message);
            }
            let jwt = source(setting, value);
            check(lookup, &jwt);
            JwtSource::Given(jwt)
        }
        None => JwtSource::GitHub(Box::new(github(lookup)?)),
    };
    Some(JwtSettings {
        method: JwtMethod::Jwt,
        mount,
        role,
        jwt,
    })
}

fn role(lookup: &Lookup<'_>) -> Option<String> {
    lookup.parsed(&AUTH_ROLE, |text| Ok(text.to_owned()))
}

/// Where GitHub makes a token, if this is a job that may have one.
fn github(lookup: &Lookup<'_>) -> Option<GitHubSettings> {
    let variable = |name| {
        let value = lookup.environment().variable(name);
        value.filter(|value| !value.is_empty())
    };
    let (Some(url), Some(_bearer)) = (variable(URL), variable(BEARER)) else {
        let in_actions =
            variable("GITHUB_ACTIONS").is_some() || lookup.given(&JWT_AUDIENCE).is_some();
        let message = if in_actions {
            format!(
                "the JWT is missing, and {URL} and {BEARER} are not set: the job needs `permissions: id-token: write`"
            )
        } else {
            "the JWT is missing".to_owned()
        };
        lookup.wrong("VAULTEXEC_JWT, --jwt-file (VAULTEXEC_JWT_FILE)", message);
        return None;
    };
    let parsed = url.to_str().and_then(|url| Url::parse(url).ok());
    let Some(mut url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        lookup.wrong(URL, "it is not a URL");
        return None;
    };
    let is_local = || matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "http" && !is_local() {
        lookup.wrong(
            URL,
            "it is not https, and the job's own token would go there in clear",
        );
        return None;
    }
    let proxy = environments_proxy(lookup, &[Address::Tcp(url.clone())]);
    if let Some(audience) = lookup.given(&JWT_AUDIENCE) {
        url.query_pairs_mut()
            .append_pair("audience", &audience.text);
    }
    Some(GitHubSettings { url, proxy })
}
