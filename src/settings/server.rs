//! How to reach and trust the server, by the settings of the official client.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::{addresses, proxy};
use super::forms;
use super::lookup::{Lookup, Value};
use super::table::{
    CA_CERT, CA_CERT_BYTES, CA_PATH, CLIENT_CERT, CLIENT_KEY, CLIENT_TIMEOUT, DISABLE_REDIRECTS,
    MAX_RETRIES, NAMESPACE, TLS_SERVER_NAME, TLS_SKIP_VERIFY,
};
use crate::error::cannot_read;
use crate::login;
use crate::sensitive::Sensitive;
use crate::vault::{Identity, Settings, TlsSettings, certificates, check_identity};

/// A connection that takes longer than this is given up, and another is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No file of certificates or keys is longer, in bytes; the system's own authorities are half a
/// mebibyte.
const LONGEST_PEM: u64 = 16 << 20;

/// The settings of the client.
pub fn vault(lookup: &Lookup<'_>, start_timeout: Duration) -> Settings {
    let timeout = lookup.duration(&CLIENT_TIMEOUT).unwrap_or_default();
    let namespace = lookup.parsed(&NAMESPACE, |text| {
        if text.chars().all(|character| character.is_ascii_graphic()) {
            Ok(text.to_owned())
        } else {
            Err("it holds a character that no namespace has".to_owned())
        }
    });
    let addresses = addresses(lookup);
    Settings {
        proxy: proxy(lookup, &addresses),
        addresses,
        namespace,
        tls: TlsSettings {
            authorities: authorities(lookup),
            identity: identity(lookup),
            server_name: server_name(lookup),
            skip_verify: lookup.switch(&TLS_SKIP_VERIFY),
        },
        timeout,
        connect_timeout: CONNECT_TIMEOUT.min(timeout / 2).min(start_timeout / 2),
        max_retries: lookup.parsed(&MAX_RETRIES, forms::number),
        follow_redirects: !lookup.switch(&DISABLE_REDIRECTS),
    }
}

/// The certificates to trust. A flag wins over every variable; else the order is the official
/// client's: the PEM itself, then the file, then the folder.
fn authorities(lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let (setting, value) = lookup.strongest(&[&CA_CERT_BYTES, &CA_CERT, &CA_PATH])?;
    let pem = if *setting == CA_CERT_BYTES {
        value.text.clone().into_bytes()
    } else if *setting == CA_CERT {
        read(&value, lookup)?
    } else {
        readable(certificates_below(Path::new(&value.text)), &value, lookup)?
    };
    checked(pem, &value, lookup)
}

/// The client's own certificate and key, if there is one.
fn identity(lookup: &Lookup<'_>) -> Option<Identity> {
    let (certificate, key) = (lookup.value(&CLIENT_CERT), lookup.value(&CLIENT_KEY));
    if certificate.is_some() && key.is_none() {
        let message = "it is missing, and a client certificate is given";
        lookup.wrong(CLIENT_KEY.to_string(), message);
    }
    if certificate.is_none() && key.is_some() {
        let message = "it is missing, and a client key is given";
        lookup.wrong(CLIENT_CERT.to_string(), message);
    }
    let certificate = certificate.and_then(|value| checked(read(&value, lookup)?, &value, lookup));
    let key = key.and_then(|value| Some((Sensitive::new(read_key(&value, lookup)?), value)));
    let (certificate, (key, keys)) = (certificate?, key?);
    let identity = Identity { certificate, key };
    if let Err(message) = check_identity(&identity) {
        lookup.wrong(keys.name, message);
    }
    Some(identity)
}

/// The name to check in place of the address's host.
fn server_name(lookup: &Lookup<'_>) -> Option<String> {
    lookup.parsed(&TLS_SERVER_NAME, |text| {
        match text.parse::<std::net::IpAddr>() {
            Ok(_) => Err("it has to be a name, not an IP address".to_owned()),
            Err(_) => Ok(text.to_owned()),
        }
    })
}

fn read(value: &Value, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    readable(read_bounded(Path::new(&value.text)), value, lookup)
}

/// A key is a secret, and that of a login by certificate is all there is to it.
fn read_key(value: &Value, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let opened = login::open_secret(Path::new(&value.text));
    let file = match opened {
        Ok(Err(refused)) => {
            lookup.wrong(&value.name, refused);
            return None;
        }
        Ok(Ok(file)) => Ok(file),
        Err(error) => Err(error),
    };
    readable(file.and_then(bounded), value, lookup)
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    bounded(File::open(path)?)
}

/// A file of any kind, a pipe too, which may turn out to be endless.
fn bounded(file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let longest = LONGEST_PEM;
    file.take(longest + 1).read_to_end(&mut bytes)?;
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
    let wrong = |error| lookup.wrong(&value.name, cannot_read(Path::new(&value.text), &error));
    read.map_err(wrong).ok()
}

/// The PEM text, if there are certificates in it.
fn checked(pem: Vec<u8>, value: &Value, lookup: &Lookup<'_>) -> Option<Vec<u8>> {
    let wrong = |message| lookup.wrong(&value.name, message);
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
