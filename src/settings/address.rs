//! Where the server is: addresses and proxies.

use std::path::PathBuf;

use reqwest::Url;

use super::lookup::Lookup;
use super::row::Setting;
use super::table::{ADDRESS, HTTP_PROXY, HTTPS_PROXY, NO_PROXY, PROXY_ADDR, VAULT_HTTP_PROXY};
use crate::vault::{Address, Proxy, is_exempt};

const EXAMPLE: &str = "as in https://vault.example.com:8200";

/// One or several addresses.
pub fn addresses(lookup: &Lookup<'_>) -> Vec<Address> {
    let given = lookup.list(&ADDRESS);
    let named = given.iter().filter(|value| !value.text.is_empty());
    let parsed: Vec<_> = named
        .map(|value| {
            parse_address(&value.text).map_err(|message| lookup.wrong(&value.name, message))
        })
        .collect();
    if let (true, Some(value)) = (parsed.is_empty(), given.first()) {
        lookup.wrong(&value.name, "it names no address");
    }
    parsed.into_iter().filter_map(Result::ok).collect()
}

fn parse_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(Address::Unix(PathBuf::from(path)))
        } else {
            Err("a unix:// address needs an absolute path, as in unix:///run/vault.sock".to_owned())
        };
    }
    if !text.contains("://") {
        // What stands before an @ may be a password.
        let host = if text.contains('@') {
            "HOST:PORT"
        } else {
            text
        };
        return Err(format!(
            "it has no scheme: https://{host}, or http://{host} where the server has no TLS"
        ));
    }
    if !text.is_ascii() {
        return Err(
            "there is a character in it that is not ASCII: the name of such a host is written xn--…"
                .to_owned(),
        );
    }
    let mut url =
        Url::parse(text).map_err(|error| format!("it is not a URL, {EXAMPLE}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "{:?} is not http, https or unix, {EXAMPLE}",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "it has a user or a password in it, which the server does not take, {EXAMPLE}"
        ));
    }
    trim_copied(&mut url);
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("it has a query or a fragment, {EXAMPLE}"));
    }
    Ok(Address::Tcp(url))
}

/// Removes the end of an address that was copied from elsewhere: `/v1` of the API, `/ui/…` of the user
/// interface.
fn trim_copied(url: &mut Url) {
    let path = url.path().trim_end_matches('/').to_owned();
    if let Some(path) = path.strip_suffix("/v1") {
        url.set_path(path);
    } else if let Some((path, _)) = format!("{path}/")
        .split_once("/ui/")
        .filter(|(_, page)| page.is_empty() || page.starts_with("vault/"))
    {
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
    }
}

/// What a setting has to be that names a proxy.
const NOT_A_PROXY: &str = "it is not the URL of a proxy, as in http://proxy.example.com:3128";

/// The proxy: Vault's own settings first, then the environment's as every program reads it. One of
/// the environment's that cannot be used is wrong only if an address needs it.
pub fn proxy(lookup: &Lookup<'_>, addresses: &[Address]) -> Proxy {
    let always = lookup
        .value(&PROXY_ADDR)
        .or_else(|| lookup.value(&VAULT_HTTP_PROXY));
    if let Some(value) = always {
        let url = parse_proxy(&value.text);
        if url.is_none() {
            lookup.wrong(&value.name, NOT_A_PROXY);
        }
        return url.map_or(Proxy::Direct, Proxy::Always);
    }
    environments_proxy(lookup, addresses)
}

/// The environment's proxy as every program reads it.
pub fn environments_proxy(lookup: &Lookup<'_>, addresses: &[Address]) -> Proxy {
    let except = lookup.value(&NO_PROXY).map(|value| value.text);
    let except = exemptions(&except.unwrap_or_default(), addresses);
    let of_scheme = |scheme: &str, setting: &Setting| {
        let value = lookup.value(setting)?;
        let url = parse_proxy(&value.text);
        let mut needing = addresses
            .iter()
            .filter(|address| needs_proxy(address, scheme, &except));
        if let (None, Some(address)) = (&url, needing.next()) {
            lookup.wrong(&value.name, format!("{NOT_A_PROXY}; {address} needs one"));
        }
        url
    };
    let http = of_scheme("http", &HTTP_PROXY);
    let https = of_scheme("https", &HTTPS_PROXY);
    if http.is_none() && https.is_none() {
        return Proxy::Direct;
    }
    Proxy::Environment {
        http,
        https,
        except,
    }
}

/// The hosts that are reached without a proxy, by the HTTP client's rules: it knows neither the
/// official client's `*.domain` nor its `host:port`.
fn exemptions(list: &str, addresses: &[Address]) -> String {
    let has_port = |wanted: u16| {
        addresses.iter().any(|address| match address {
            Address::Tcp(url) => url.port_or_known_default() == Some(wanted),
            Address::Unix(_) => false,
        })
    };
    let given = list.split(',').map(str::trim).map(|item| {
        let item = item
            .strip_prefix('*')
            .filter(|domain| domain.starts_with('.'))
            .unwrap_or(item);
        let port = item.rsplit_once(':').and_then(|(host, port)| {
            let whole = !host.contains(':') || host.ends_with(']');
            let host = host.trim_matches(['[', ']']);
            Some((host, port.parse().ok()?)).filter(|_| whole)
        });
        match port {
            Some((host, port)) if has_port(port) => host,
            _ => item,
        }
    });
    // As the official client: what is on this host is never asked for by way of a proxy.
    let here = ["localhost", "127.0.0.0/8", "::1"];
    let all = here
        .into_iter()
        .chain(given.filter(|item| !item.is_empty()));
    all.collect::<Vec<_>>().join(",")
}

/// Whether the address is reached by way of the environment's proxy for `scheme`.
fn needs_proxy(address: &Address, scheme: &str, except: &str) -> bool {
    let Address::Tcp(url) = address else {
        return false;
    };
    url.scheme() == scheme && !is_exempt(url, except)
}

fn parse_proxy(text: &str) -> Option<Url> {
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    Url::parse(&full)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Given;
    use crate::settings::command_line::Flags;

    fn parsed(text: &str) -> (Vec<Address>, Vec<String>) {
        let (flags, environment) = (Flags::default(), Given(vec![("VAULT_ADDR", text)]));
        let lookup = Lookup::new(&flags, &environment);
        let addresses = addresses(&lookup);
        let problems = lookup.into_problems();
        let problems = problems.iter().map(ToString::to_string).collect();
        (addresses, problems)
    }

    fn proxied(environment: &[(&str, &str)]) -> Proxy {
        let (flags, environment) = (Flags::default(), Given(environment.to_vec()));
        proxy(&Lookup::new(&flags, &environment), &[])
    }

    #[test]
    fn several_addresses_and_sockets_are_read() {
        let (addresses, problems) = parsed("https://a:8200, http://b,unix:///run/v.sock");
        assert!(problems.is_empty(), "{problems:?}");
        let names: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["https://a:8200", "http://b", "unix:///run/v.sock"]);
    }

    #[test]
    fn wrong_addresses_are_named_without_their_passwords() {
        for text in [
            ",",
            "vault:8200",
            "u:hunter2@vault:8200",
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
    fn a_host_that_is_not_ascii_is_refused_whatever_stands_beside_it() {
        for host in ["ZÄ", "Z%C3%84"] {
            let (_, problems) = parsed(&format!("http://{host}:8200"));
            assert_eq!(problems.len(), 1, "{host}");
            assert_eq!(parse_proxy(&format!("{host}:3128")), None, "{host}");
        }
    }

    #[test]
    fn vaults_own_proxy_wins_and_this_host_needs_none() {
        let both = [
            ("HTTPS_PROXY", "http://p:1"),
            ("VAULT_HTTP_PROXY", "http://v:2"),
        ];
        assert_eq!(
            proxied(&both),
            Proxy::Always(Url::parse("http://v:2").expect("a URL"))
        );
        let Proxy::Environment {
            http,
            https,
            except,
        } = proxied(&[("https_proxy", "p:1"), ("NO_PROXY", "example.com")])
        else {
            panic!("the environment's");
        };
        assert_eq!(
            (http, https.map(|url| url.to_string())),
            (None, Some("http://p:1/".to_owned()))
        );
        assert_eq!(except, "localhost,127.0.0.0/8,::1,example.com");
    }

    #[test]
    fn a_proxy_of_the_environment_that_cannot_be_used_is_wrong_where_it_is_needed() {
        let reported = |addresses: &str, environment: &[(&str, &str)]| {
            let (flags, environment) = (Flags::default(), Given(environment.to_vec()));
            let lookup = Lookup::new(&flags, &environment);
            let found = proxy(&lookup, &parsed(addresses).0);
            let problems: Vec<_> = lookup.into_problems();
            (
                problems.iter().map(ToString::to_string).collect::<String>(),
                found == Proxy::Direct,
            )
        };
        let socks = ("HTTPS_PROXY", "socks5://p:1080");
        for (addresses, exempt) in [
            ("http://vault:8200", ""),
            ("unix:///run/vault.sock", ""),
            ("https://127.0.0.1:8200,https://localhost", ""),
            ("https://vault.example.com", "EXAMPLE.com"),
            ("https://10.1.2.3:8200", "10.0.0.0/8"),
            ("https://vault", "*"),
            ("https://vault.corp.test", "x,*.corp.test"),
            ("https://vault:8200", "vault:8200"),
            ("https://[fd00::1]:8200", "[fd00::1]:8200"),
            ("https://[fd00::1]:8200", "fd00::1"),
        ] {
            let (problems, direct) = reported(addresses, &[socks, ("NO_PROXY", exempt)]);
            assert_eq!(problems, "", "{addresses} {exempt}");
            assert!(direct, "{addresses}");
        }
        let (problems, _) = reported(
            "https://localhost,http://x,https://vault:8200",
            &[socks, ("no_proxy", "example.com,vault:8201")],
        );
        assert_eq!(
            problems,
            format!("HTTPS_PROXY: {NOT_A_PROXY}; https://vault:8200 needs one")
        );
        let (problems, _) = reported("http://vault", &[("http_proxy", "::")]);
        assert!(problems.starts_with("http_proxy: "), "{problems}");
        // The client's own setting is for every address.
        let (problems, _) = reported("http://localhost", &[("VAULT_PROXY_ADDR", "socks5://p")]);
        assert_eq!(problems, format!("VAULT_PROXY_ADDR: {NOT_A_PROXY}"));
    }
}
