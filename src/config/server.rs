//! How to reach and trust the server, by the settings of the official client.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::{parse_addresses, proxy};
use super::bounds;
use super::value::{Lookup, Value};
use crate::cli::Cli;
use crate::sensitive::Sensitive;
use crate::vault::{Identity, Settings, TlsSettings, certificates, check_identity};

/// The settings of the client.
pub fn vault(cli: &Cli, lookup: &Lookup<'_>, start_timeout: Duration) -> Settings {
    let address = lookup
        .value("--address", cli.address.as_ref(), "VAULT_ADDR")
        .unwrap_or_else(|| Value {
            text: bounds::ADDRESS.to_owned(),
            setting: "VAULT_ADDR".to_owned(),
            by_flag: false,
        });
    let timeout = lookup.variable("VAULT_CLIENT_TIMEOUT");
    let timeout = lookup.duration(timeout, bounds::CLIENT_TIMEOUT, bounds::SHORTEST_TIMEOUT);
    let max_retries = lookup.variable("VAULT_MAX_RETRIES").and_then(|value| {
        let parsed = value.text.parse().ok();
        if parsed.is_none() {
            lookup.wrong(
                &value.setting,
                format!("{:?} is not a whole number", value.text),
            );
        }
        parsed
    });
    let namespace = lookup.value("--namespace", cli.namespace.as_ref(), "VAULT_NAMESPACE");
    let namespace = namespace.filter(|value| {
        let sound = value
            .text
            .chars()
            .all(|character| character.is_ascii_graphic());
        if !sound {
            lookup.wrong(&value.setting, "it holds a character that no namespace has");
        }
        sound
    });
    Settings {
        addresses: parse_addresses(&address, lookup),
        namespace: namespace.map(|value| value.text),
        tls: tls(cli, lookup),
        proxy: proxy(lookup),
        timeout,
        connect_timeout: bounds::CONNECT_TIMEOUT
            .min(timeout / 2)
            .min(start_timeout / 2),
        max_retries,
        follow_redirects: !lookup.switch(false, "VAULT_DISABLE_REDIRECTS"),
    }
}

fn tls(cli: &Cli, lookup: &Lookup<'_>) -> TlsSettings {
    let file = |flag: &str, given: Option<&OsString>, variable: &str| {
        lookup.value(flag, given, variable).and_then(|value| {
            let read = std::fs::read(&value.text);
            let wrong = |error| {
                lookup.wrong(
                    &value.setting,
                    format!("cannot read {}: {error}", value.text),
                );
            };
            Some((read.map_err(wrong).ok()?, value))
        })
    };
    let checked = |pem: Vec<u8>, setting: &str| match certificates(&pem) {
        Ok(_) => Some(pem),
        Err(words) => {
            lookup.wrong(setting, words);
            None
        }
    };
    // The official client's order: the PEM itself, then the file, then the folder.
    let bytes = cli
        .ca_cert
        .is_none()
        .then(|| lookup.variable("VAULT_CACERT_BYTES"))
        .flatten();
    let authorities = match bytes {
        Some(value) => checked(value.text.into_bytes(), &value.setting),
        None => match file("--ca-cert", cli.ca_cert.as_ref(), "VAULT_CACERT") {
            Some((pem, value)) => checked(pem, &value.setting),
            None => lookup
                .value("--ca-path", cli.ca_path.as_ref(), "VAULT_CAPATH")
                .and_then(|value| match certificates_below(Path::new(&value.text)) {
                    Ok(pem) => checked(pem, &value.setting),
                    Err(error) => {
                        lookup.wrong(
                            &value.setting,
                            format!("cannot read {}: {error}", value.text),
                        );
                        None
                    }
                }),
        },
    };
    let certificate = file(
        "--client-cert",
        cli.client_cert.as_ref(),
        "VAULT_CLIENT_CERT",
    );
    let key = file("--client-key", cli.client_key.as_ref(), "VAULT_CLIENT_KEY");
    let identity = match (certificate, key) {
        (Some((certificate, value)), Some((key, keys_value))) => {
            let identity = checked(certificate, &value.setting).map(|certificate| Identity {
                certificate,
                key: Sensitive::new(key),
            });
            if let Some(Err(words)) = identity.as_ref().map(check_identity) {
                lookup.wrong(&keys_value.setting, words);
            }
            identity
        }
        (None, None) => None,
        (Some(_), None) => {
            lookup.wrong(
                "--client-key (VAULT_CLIENT_KEY)",
                "it is missing, and a client certificate is given",
            );
            None
        }
        (None, Some(_)) => {
            lookup.wrong(
                "--client-cert (VAULT_CLIENT_CERT)",
                "it is missing, and a client key is given",
            );
            None
        }
    };
    let server_name = lookup.value(
        "--tls-server-name",
        cli.tls_server_name.as_ref(),
        "VAULT_TLS_SERVER_NAME",
    );
    let server_name = server_name.filter(|value| {
        let address = value.text.parse::<std::net::IpAddr>().is_ok();
        if address {
            lookup.wrong(&value.setting, "it has to be a name, not an IP address");
        }
        !address
    });
    TlsSettings {
        authorities,
        identity,
        server_name: server_name.map(|value| value.text),
        skip_verify: lookup.switch(cli.tls_skip_verify, "VAULT_SKIP_VERIFY"),
    }
}

/// All certificates of a folder, as one PEM text. Files that are something else are passed over.
fn certificates_below(folder: &Path) -> std::io::Result<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths.iter().filter(|path| path.is_file()) {
        let pem = std::fs::read(path)?;
        if certificates(&pem).is_ok() {
            all.extend_from_slice(&pem);
            all.push(b'\n');
        }
    }
    Ok(all)
}
