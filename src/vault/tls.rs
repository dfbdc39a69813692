//! Whom to trust: the settings of the official client, as a configuration of rustls.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::settings::{Identity, Proxy, TlsSettings};

/// The TLS library's word for a server's certificate that is an authority's.
pub const AUTHORITYS_OWN: &str = "CaUsedAsEndEntity";

/// The configuration for these settings.
///
/// # Errors
/// What is wrong with the certificates or the key.
pub fn configure(settings: &TlsSettings, proxy: &Proxy) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let trust = match &settings.authorities {
        _ if settings.skip_verify => Trust::Anybody,
        Some(pem) => Trust::given(certificates(pem)?, &provider)?,
        None => Trust::System(OnceLock::new()),
    };
    let verifier = Verifier {
        trust,
        expected: expected(settings, proxy)?,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(identity) = &settings.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let certified = certified_key(identity, &provider)?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

/// The name that the server's certificate must have in place of its address's.
fn expected(settings: &TlsSettings, proxy: &Proxy) -> Result<Option<Expected>, String> {
    let Some(name) = &settings.server_name else {
        return Ok(None);
    };
    let server = ServerName::try_from(name.clone())
        .map_err(|_| "the TLS server name is not a host name".to_owned())?;
    let proxies = match proxy {
        Proxy::Direct => Vec::new(),
        Proxy::Always(url) => vec![url],
        Proxy::Environment { http, https, .. } => http.iter().chain(https).collect(),
    };
    let speaking_tls = proxies.into_iter().filter(|url| url.scheme() == "https");
    let names = speaking_tls.filter_map(|url| {
        let host = url.host_str()?.trim_matches(['[', ']']);
        ServerName::try_from(host.to_owned()).ok()
    });
    Ok(Some(Expected {
        server,
        proxies: names.collect(),
    }))
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

/// Who may have signed a server's certificate.
#[derive(Debug)]
enum Trust {
    /// For `VAULT_SKIP_VERIFY`: whoever answers is taken for the server.
    Anybody,
    /// The authorities that were given, and nobody else.
    Given {
        certificates: Vec<CertificateDer<'static>>,
        check: Arc<WebPkiServerVerifier>,
    },
    /// The system's authorities. They are read when the first certificate is to be checked: an
    /// address of another kind may redirect to https, and most never do, while reading them costs
    /// more than the whole run. Nothing in it means that there are none.
    System(OnceLock<Option<Arc<WebPkiServerVerifier>>>),
}

impl Trust {
    fn given(
        certificates: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for certificate in &certificates {
            store
                .add(certificate.clone())
                .map_err(|error| error.to_string())?;
        }
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
        Ok(Self::Given {
            certificates,
            check: builder.build().map_err(|error| error.to_string())?,
        })
    }
}

/// The system's authorities. What cannot be read is passed over, as by other programs.
fn systems(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .ok()
}

/// Whether this is what the TLS library says, once it has found the dates right, of a certificate
/// that no authority stands behind: it is an authority's own, or nobody known has signed it.
fn stands_alone(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.to_string() == AUTHORITYS_OWN
        }
        _ => false,
    }
}

/// What certificates are for, where the server's is not for its address.
#[derive(Debug)]
struct Expected {
    server: ServerName<'static>,
    /// A proxy that speaks TLS has a certificate of its own.
    proxies: Vec<ServerName<'static>>,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    expected: Option<Expected>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let server_name = match &self.expected {
            Some(expected) if !expected.proxies.contains(&server_name.to_owned()) => {
                &expected.server
            }
            _ => server_name,
        };
        let check = match &self.trust {
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
            Trust::Given { check, .. } => Some(check),
            Trust::System(read) => read.get_or_init(|| systems(&self.provider)).as_ref(),
        };
        let Some(check) = check else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verdict =
            check.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match (verdict, &self.trust) {
            // A certificate that was itself given needs nobody behind it, as for the official client.
            (Err(error), Trust::Given { certificates, .. })
                if stands_alone(&error) && certificates.iter().any(|given| given == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            (verdict, _) => verdict,
        }
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
            &self.provider.signature_verification_algorithms,
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
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    /// What a certificate is for: another's signature, or nothing but the server itself.
    const KINDS: [IsCa; 3] = [
        IsCa::Ca(BasicConstraints::Unconstrained),
        IsCa::ExplicitNoCa,
        IsCa::NoCa,
    ];

    fn params(kind: IsCa, from: i32, to: i32) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["vault.example".to_owned()]).expect("a name");
        params.is_ca = kind;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
    }

    fn self_signed(kind: IsCa, from: i32, to: i32) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("a key");
        let made = params(kind, from, to).self_signed(&key);
        made.expect("a certificate").into()
    }

    fn verdict(
        given: &CertificateDer<'static>,
        shown: &CertificateDer<'_>,
        name: &str,
    ) -> Result<(), String> {
        let provider = Arc::new(ring::default_provider());
        let trust = Trust::given(vec![given.clone()], &provider).expect("an authority");
        let verifier = Verifier {
            trust,
            expected: None,
            provider,
        };
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let verdict = verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now());
        verdict.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_that_is_itself_given_is_accepted_for_its_name_and_in_its_time() {
        for kind in KINDS {
            let good = self_signed(kind, 2020, 2120);
            assert_eq!(verdict(&good, &good, "vault.example"), Ok(()), "{kind:?}");
            let refused = |given, shown, name| verdict(given, shown, name).expect_err("refused");
            let words = refused(&good, &good, "other.example");
            assert!(words.contains("not valid for name"), "{kind:?}: {words}");
            let old = self_signed(kind, 2019, 2020);
            let words = refused(&old, &old, "vault.example");
            assert!(words.contains("certificate expired"), "{kind:?}: {words}");
            let early = self_signed(kind, 2119, 2120);
            let words = refused(&early, &early, "vault.example");
            assert!(words.contains("not valid yet"), "{kind:?}: {words}");
            // The same names and dates, and another key.
            let other = self_signed(kind, 2020, 2120);
            refused(&good, &other, "vault.example");
        }
    }

    #[test]
    fn a_certificate_of_an_authority_that_is_not_given_may_be_given_itself() {
        let key = KeyPair::generate().expect("a key");
        let mut authority = params(KINDS[0], 2020, 2120);
        authority
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an authority");
        let issuer = Issuer::new(authority, key);
        let leaf = |to| -> CertificateDer<'static> {
            let key = KeyPair::generate().expect("a key");
            let made = params(IsCa::NoCa, 2019, to).signed_by(&key, &issuer);
            made.expect("a certificate").into()
        };
        let (good, old) = (leaf(2120), leaf(2020));
        assert_eq!(verdict(&good, &good, "vault.example"), Ok(()));
        assert!(verdict(&good, &good, "other.example").is_err());
        assert!(verdict(&good, &leaf(2120), "vault.example").is_err());
        assert!(verdict(&old, &old, "vault.example").is_err());
    }
}
