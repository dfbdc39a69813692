//! What to do about a failure, where that does not depend on what was being done.

use crate::vault::{Failure, TlsFailure};

/// The remedy for a failure that can happen to any request.
#[must_use]
pub fn for_failure(failure: &Failure) -> Option<String> {
    let hint = match failure {
        Failure::Unreachable { .. } => {
            "is the address right (--address, VAULT_ADDR) and the server up?"
        }
        Failure::Tls { kind, .. } => return for_tls(*kind).map(str::to_owned),
        Failure::Proxy(_) => {
            "put them into the proxy's URL (VAULT_PROXY_ADDR, VAULT_HTTP_PROXY, HTTPS_PROXY, HTTP_PROXY), as in \
             http://user:password@proxy:3128, or name the server in NO_PROXY"
        }
        failure if failure.is_sealed() => {
            "unseal the server, or allow more time with --start-timeout"
        }
        Failure::Refused { status: 501, .. } if failure.is_from_api() => {
            "the server has to be initialised first"
        }
        Failure::Refused { .. } if !failure.is_from_api() => {
            "is this the address of a Vault or an OpenBao, and not of something in front of it (--address, VAULT_ADDR)?"
        }
        Failure::Malformed { .. } => {
            "is this the address of a Vault or an OpenBao (--address, VAULT_ADDR)?"
        }
        Failure::Redirect(_) => "give the address of the active server (--address, VAULT_ADDR)",
        _ => return None,
    };
    Some(hint.to_owned())
}

const fn for_tls(kind: TlsFailure) -> Option<&'static str> {
    Some(match kind {
        TlsFailure::UnknownIssuer => "name the certificate authority with --ca-cert (VAULT_CACERT)",
        TlsFailure::AuthoritysOwn => {
            "if it is the right one, name that very certificate with --ca-cert (VAULT_CACERT)"
        }
        TlsFailure::WrongName => {
            "the server's certificate is for another name: --tls-server-name (VAULT_TLS_SERVER_NAME)"
        }
        TlsFailure::ClientCertificateWanted => {
            "the server asks for a client certificate: --client-cert (VAULT_CLIENT_CERT), --client-key (VAULT_CLIENT_KEY)"
        }
        TlsFailure::NotTls => "this address may speak plain http: then it begins with http://",
        TlsFailure::TlsWanted => "begin the address with https:// (--address, VAULT_ADDR)",
        TlsFailure::Algorithm => {
            "vaultexec checks RSA, ECDSA on P-256 and P-384 with SHA-256 and SHA-384, and Ed25519: have the certificate \
             signed with one of them"
        }
        TlsFailure::NothingInCommon => {
            "vaultexec speaks TLS 1.2 and 1.3, and checks certificates with a key of RSA, ECDSA on P-256 or P-384, or \
             Ed25519: has the server one on P-521, or Ed448?"
        }
        TlsFailure::Other => return None,
    })
}

/// The line that a policy needs for `path`.
#[must_use]
pub fn policy(path: &str, capability: &str) -> String {
    format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}")
}

/// What the policies of a login lack.
#[must_use]
pub fn needed_line(path: &str, capability: &str) -> String {
    format!(
        "a policy of this login needs this line: {}",
        policy(path, capability)
    )
}

/// What to do about a role that the database would not drop.
pub const OWNED_OBJECTS: &str = "give the engine's role revocation_statements that begin with REASSIGN OWNED BY \"{{name}}\" TO \
     some_owner; DROP OWNED BY \"{{name}}\", or let the command change to an owner that stays (--set-role OWNER)";

/// What a policy needs so that a lease can be revoked by itself.
#[must_use]
pub fn revocation(lease_id: &str) -> String {
    let role = lease_id.rsplit_once('/').map_or(lease_id, |(role, _)| role);
    let one_role = policy(&format!("sys/leases/revoke/{role}/*"), "update");
    let line = needed_line("sys/leases/revoke", "update");
    format!("{line}, or for this role's leases alone: {one_role}")
}
