//! Where the server is: addresses and proxies.

use std::path::PathBuf;

use reqwest::Url;

use super::value::{Lookup, Value};
use crate::vault::{Address, Proxy};

/// Reads one or several addresses, separated by commas.
pub fn parse_addresses(value: &Value, lookup: &Lookup<'_>) -> Vec<Address> {
    let mut addresses = Vec::new();
    for text in value
        .text
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        match parse_address(text) {
            Ok(address) => addresses.push(address),
            Err(words) => lookup.wrong(&value.setting, words),
        }
    }
    if addresses.is_empty() {
        lookup.wrong(&value.setting, "it names no address");
    }
    addresses
}

fn parse_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(Address::Unix(PathBuf::from(path)))
        } else {
            Err("a unix:// address needs an absolute path, as in unix:///run/vault.sock".to_owned())
        };
    }
    let example = "as in https://vault.example.com:8200";
    // What cannot be read is not shown: a password may be in it.
    let url = Url::parse(text).map_err(|error| format!("it is not a URL, {example}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "{:?} is not http, https or unix, {example}",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "it has a user or a password in it, which the server does not take, {example}"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("it has a query or a fragment, {example}"));
    }
    Ok(Address::Tcp(url))
}

/// The proxy: Vault's own settings first, then the environment's as every program reads it.
pub fn proxy(lookup: &Lookup<'_>) -> Proxy {
    let always = lookup
        .variable("VAULT_PROXY_ADDR")
        .or_else(|| lookup.variable("VAULT_HTTP_PROXY"));
    if let Some(value) = always {
        return parse_proxy(&value, lookup).map_or(Proxy::Direct, Proxy::Always);
    }
    let either =
        |upper: &str, lower: &str| lookup.variable(upper).or_else(|| lookup.variable(lower));
    let url = |upper, lower| either(upper, lower).and_then(|value| parse_proxy(&value, lookup));
    let http = url("HTTP_PROXY", "http_proxy");
    let https = url("HTTPS_PROXY", "https_proxy");
    if http.is_none() && https.is_none() {
        return Proxy::Direct;
    }
    let except = either("NO_PROXY", "no_proxy")
        .map(|value| value.text)
        .unwrap_or_default();
    // As the official client: what is on this host is never asked for by way of a proxy.
    let except = format!("localhost,127.0.0.0/8,::1,{except}");
    Proxy::Environment {
        http,
        https,
        except: except.trim_end_matches(',').to_owned(),
    }
}

fn parse_proxy(value: &Value, lookup: &Lookup<'_>) -> Option<Url> {
    let text = &value.text;
    let full = if text.contains("://") {
        text.clone()
    } else {
        format!("http://{text}")
    };
    match Url::parse(&full) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(url),
        _ => {
            lookup.wrong(
                &value.setting,
                "it is not the URL of a proxy, as in http://proxy.example.com:3128",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Given;

    fn parsed(text: &str) -> (Vec<Address>, Vec<String>) {
        let environment = Given(vec![]);
        let lookup = Lookup::new(&environment);
        let value = Value {
            text: text.to_owned(),
            setting: "VAULT_ADDR".to_owned(),
            by_flag: false,
        };
        let addresses = parse_addresses(&value, &lookup);
        (
            addresses,
            lookup
                .into_problems()
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    }

    #[test]
    fn several_addresses_and_sockets_are_read() {
        let (addresses, problems) = parsed("https://a:8200, http://b,unix:///run/v.sock");
        assert!(problems.is_empty(), "{problems:?}");
        let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["https://a:8200", "http://b", "unix:///run/v.sock"]);
    }

    #[test]
    fn wrong_addresses_are_named_without_their_passwords() {
        for text in [
            "",
            ",",
            "vault:8200",
            "ftp://x",
            "https://",
            "unix://relative",
            "https://u:hunter2@h",
            "http://h/?a",
        ] {
            let (_, problems) = parsed(text);
            assert!(!problems.is_empty(), "{text}");
            assert!(!problems.join("").contains("hunter2"), "{problems:?}");
        }
    }

    #[test]
    fn vaults_own_proxy_wins_and_this_host_needs_none() {
        let environment = Given(vec![
            ("HTTPS_PROXY", "http://p:1"),
            ("VAULT_HTTP_PROXY", "http://v:2"),
        ]);
        assert_eq!(
            proxy(&Lookup::new(&environment)),
            Proxy::Always(Url::parse("http://v:2").expect("a URL"))
        );
        let environment = Given(vec![("https_proxy", "p:1"), ("NO_PROXY", "example.com")]);
        let Proxy::Environment {
            http,
            https,
            except,
        } = proxy(&Lookup::new(&environment))
        else {
            panic!("the environment's");
        };
        assert_eq!(
            (http, https.map(|url| url.to_string())),
            (None, Some("http://p:1/".to_owned()))
        );
        assert_eq!(except, "localhost,127.0.0.0/8,::1,example.com");
    }
}
