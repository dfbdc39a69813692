//! Whom to trust: the settings of the official client, as a configuration of rustls.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::settings::{Identity, TlsSettings};

/// The configuration for these settings. Without `needed` (no address speaks TLS) the system's
/// certificates are not read, which would cost more than the whole run.
///
/// # Errors
/// What is wrong with the certificates or the key.
pub fn configure(settings: &TlsSettings, needed: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if settings.skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAnybody(Arc::clone(&provider))))
    } else {
        builder.with_root_certificates(if needed {
            authorities(settings)?
        } else {
            RootCertStore::empty()
        })
    };
    let Some(identity) = &settings.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let certified = certified_key(identity, &provider)?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

/// Whether a client certificate and its key can be used together.
///
/// # Errors
/// What is wrong with the key.
pub fn check_identity(identity: &Identity) -> Result<(), String> {
    certified_key(identity, &ring::default_provider()).map(drop)
}

fn certified_key(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose())
        .map_err(|_| "no PEM private key in it".to_owned())?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            "it does not belong to the client certificate".to_owned()
        }
        other => other.to_string(),
    })
}

fn authorities(settings: &TlsSettings) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    if let Some(pem) = &settings.authorities {
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|error| error.to_string())?;
        }
    } else {
        // What cannot be read is passed over, as by other programs; an empty store then says so
        // when the server's certificate is checked.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(store)
}

/// The certificates of a PEM text; at least one.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err("no PEM certificate in it".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err("a PEM certificate in it cannot be read".to_owned()),
    }
}

/// For `VAULT_SKIP_VERIFY`: whoever answers is taken for the server.
#[derive(Debug)]
struct TrustAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
