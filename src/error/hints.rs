//! What to do about a failure, where that does not depend on what was being done.

use crate::vault::Failure;

/// The remedy for a failure that can happen to any request.
#[must_use]
pub fn for_failure(failure: &Failure) -> Option<String> {
    let hint = match failure {
        Failure::Unreachable(_) => {
            "is the address right (--address, VAULT_ADDR) and the server up?"
        }
        Failure::Tls(reason) if reason.contains("UnknownIssuer") => {
            "name the certificate authority with --ca-cert (VAULT_CACERT)"
        }
        Failure::Tls(reason) if reason.contains("an authority's own") => {
            "if it is the right one, name that very certificate with --ca-cert (VAULT_CACERT)"
        }
        Failure::Tls(reason) if reason.contains("not valid for name") => {
            "the server's certificate is for another name: --tls-server-name (VAULT_TLS_SERVER_NAME)"
        }
        Failure::Tls(reason) if reason.contains("CertificateRequired") => {
            "the server asks for a client certificate: --client-cert (VAULT_CLIENT_CERT), --client-key (VAULT_CLIENT_KEY)"
        }
        Failure::Tls(reason) if reason.contains("corrupt message") => {
            "this address may speak plain http: then it begins with http://"
        }
        Failure::Tls(reason) if reason.contains("speaks https") => {
            "begin the address with https:// (--address, VAULT_ADDR)"
        }
        Failure::Refused {
            status: 503,
            errors,
            ..
        } if errors.iter().any(|words| words.contains("sealed")) => {
            "unseal the server, or allow more time with --start-timeout"
        }
        Failure::Refused { status: 501, .. } => "the server has to be initialised first",
        Failure::Redirect(_) => "give the address of the active server (--address, VAULT_ADDR)",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The line that a policy needs for `path`.
#[must_use]
pub fn policy(path: &str, capability: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}")
}

/// What a role's policy lacks.
#[must_use]
pub fn needed_line(path: &str, capability: &str) -> String {
    format!(
        "the role's policy needs this line: {}",
        policy(path, capability)
    )
}

/// What a policy needs so that a lease can be revoked by itself.
#[must_use]
pub fn revocation(lease_id: &str) -> String {
    let role = lease_id.rsplit_once('/').map_or(lease_id, |(role, _)| role);
    let one_role = policy(&format!("sys/leases/revoke/{role}/*"), "update");
    let line = needed_line("sys/leases/revoke", "update");
    format!("{line}, or for this role's leases alone: {one_role}")
}
