//! How to reach and trust the server, by the settings of the official client.

use std::fs::File;
use std::io::Read as _;
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
    let addresses = parse_addresses(&address, lookup);
    Settings {
        proxy: proxy(lookup, &addresses),
        addresses,
        namespace: namespace.map(|value| value.text),
        tls: tls(cli, lookup),
        timeout,
        connect_timeout: bounds::CONNECT_TIMEOUT
            .min(timeout / 2)
            .min(start_timeout / 2),
        max_retries,
        follow_redirects: !lookup.switch(false, "VAULT_DISABLE_REDIRECTS"),
    }
}

fn tls(cli: &Cli, lookup: &Lookup<'_>) -> TlsSettings {
    TlsSettings {
        authorities: authorities(cli, lookup),
        identity: identity(cli, lookup),
        server_name: server_name(cli, lookup),
        skip_verify: lookup.switch(cli.tls_skip_verify, "VAULT_SKIP_VERIFY"),
    }
}

/// The certificates to trust. A flag wins over every variable; else the order is the official
/// client's: the PEM itself, then the file, then the folder.
fn authorities(cli: &Cli, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let file = |value: Value| Some((read(&value, lookup)?, value));
    let folder = |value: Value| {
        let pem = certificates_below(Path::new(&value.text));
        Some((readable(pem, &value, lookup)?, value))
    };
    let (pem, value) = if cli.ca_cert.is_some() {
        lookup
            .value("--ca-cert", cli.ca_cert.as_ref(), "")
            .and_then(file)
    } else if cli.ca_path.is_some() {
        lookup
            .value("--ca-path", cli.ca_path.as_ref(), "")
            .and_then(folder)
    } else if let Some(value) = lookup.variable("VAULT_CACERT_BYTES") {
        Some((value.text.clone().into_bytes(), value))
    } else if let Some(value) = lookup.variable("VAULT_CACERT") {
        file(value)
    } else {
        lookup.variable("VAULT_CAPATH").and_then(folder)
    }?;
    checked(pem, &value, lookup)
}

/// The client's own certificate and key, if there is one.
fn identity(cli: &Cli, lookup: &Lookup<'_>) -> Option<Identity> {
    let certificate = lookup.value(
        "--client-cert",
        cli.client_cert.as_ref(),
        "VAULT_CLIENT_CERT",
    );
    let key = lookup.value("--client-key", cli.client_key.as_ref(), "VAULT_CLIENT_KEY");
    if certificate.is_some() && key.is_none() {
        lookup.wrong(
            "--client-key (VAULT_CLIENT_KEY)",
            "it is missing, and a client certificate is given",
        );
    }
    if certificate.is_none() && key.is_some() {
        lookup.wrong(
            "--client-cert (VAULT_CLIENT_CERT)",
            "it is missing, and a client key is given",
        );
    }
    let certificate = certificate.and_then(|value| checked(read(&value, lookup)?, &value, lookup));
    let key = key.and_then(|value| Some((Sensitive::new(read(&value, lookup)?), value)));
    let (certificate, (key, keys)) = (certificate?, key?);
    let identity = Identity { certificate, key };
    if let Err(words) = check_identity(&identity) {
        lookup.wrong(&keys.setting, words);
    }
    Some(identity)
}

/// The name to check in place of the address's host.
fn server_name(cli: &Cli, lookup: &Lookup<'_>) -> Option<String> {
    let value = lookup.value(
        "--tls-server-name",
        cli.tls_server_name.as_ref(),
        "VAULT_TLS_SERVER_NAME",
    )?;
    if value.text.parse::<std::net::IpAddr>().is_ok() {
        lookup.wrong(&value.setting, "it has to be a name, not an IP address");
        return None;
    }
    Some(value.text)
}

fn read(value: &Value, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    readable(read_bounded(Path::new(&value.text)), value, lookup)
}

/// A file of any kind, a pipe too, which may turn out to be endless.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let longest = bounds::LONGEST_PEM;
    File::open(path)?
        .take(longest + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= longest) {
        return Ok(bytes);
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::FileTooLarge,
        "it is longer than 16 MiB",
    ))
}

/// What was read from the path that the value names.
fn readable(read: std::io::Result<Vec<u8>>, value: &Value, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let wrong = |error| {
        let words = format!("cannot read {}: {error}", value.text);
        lookup.wrong(&value.setting, words);
    };
    read.map_err(wrong).ok()
}

/// The PEM text, if there are certificates in it.
fn checked(pem: Vec<u8>, value: &Value, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let wrong = |words| lookup.wrong(&value.setting, words);
    certificates(&pem).map_err(wrong).ok()?;
    Some(pem)
}

/// All certificates of a folder and of those in it, as one PEM text. Files that are something else
/// are passed over, and so are links to folders, as the official client does.
fn certificates_below(folder: &Path) -> std::io::Result<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            all.extend(certificates_below(&path)?);
        } else if path.is_file() {
            let pem = read_bounded(&path)?;
            if certificates(&pem).is_ok() {
                all.extend_from_slice(&pem);
                all.push(b'\n');
            }
        }
    }
    Ok(all)
}
