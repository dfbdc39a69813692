//! Certificates for the TLS listeners: a good one, and each kind a client must refuse.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::fs;
use std::path::{Path, PathBuf};

/// The files in a folder, all PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them all in `folder`.
    pub fn make(folder: &Path) -> Result<Self, String> {
        let certificates = Self {
            folder: folder.to_owned(),
        };
        certificates
            .write_all()
            .map_err(|error| format!("cannot make test certificates: {error}"))?;
        Ok(certificates)
    }

    /// The authority that signed every certificate here.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca/ca.pem")
    }

    /// A folder with that authority as its only file, for `VAULT_CAPATH`.
    pub fn ca_folder(&self) -> PathBuf {
        self.folder.join("ca")
    }

    /// An authority that signed nothing here.
    pub fn other_ca(&self) -> PathBuf {
        self.folder.join("other-ca.pem")
    }

    /// The certificate the mTLS listener asks a client for.
    pub fn client_cert(&self) -> PathBuf {
        self.folder.join("client.pem")
    }

    /// Its key.
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }

    /// The certificate of a listener: `good`, `expired` or `wrong-host`.
    pub fn server_cert(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{kind}.pem"))
    }

    /// The key of a listener.
    pub fn server_key(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{kind}.key"))
    }

    fn write_all(&self) -> Result<(), Box<dyn std::error::Error>> {
        fs::create_dir_all(self.ca_folder())?;
        let ca_key = KeyPair::generate()?;
        let ca_params = authority("vaultexec test CA")?;
        fs::write(self.ca(), ca_params.self_signed(&ca_key)?.pem())?;
        fs::write(
            self.other_ca(),
            authority("some other CA")?
                .self_signed(&KeyPair::generate()?)?
                .pem(),
        )?;
        let issuer = Issuer::new(ca_params, ca_key);

        let here = ["127.0.0.1", "localhost"];
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        self.issue(&issuer, "good", leaf("good", &here, purpose.clone())?)?;
        self.issue(
            &issuer,
            "wrong-host",
            leaf("wrong-host", &["elsewhere.example"], purpose.clone())?,
        )?;
        let mut expired = leaf("expired", &here, purpose)?;
        expired.not_before = rcgen::date_time_ymd(2019, 1, 1);
        expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
        self.issue(&issuer, "expired", expired)?;
        self.issue(
            &issuer,
            "client",
            leaf("client", &["client"], ExtendedKeyUsagePurpose::ClientAuth)?,
        )
    }

    fn issue(
        &self,
        issuer: &Issuer<'_, KeyPair>,
        name: &str,
        params: CertificateParams,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, issuer)?;
        fs::write(self.folder.join(format!("{name}.pem")), certificate.pem())?;
        let file = self.folder.join(format!("{name}.key"));
        super::folder::write_secret(&file, key.serialize_pem());
        Ok(())
    }
}

fn authority(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf(
    name: &str,
    hosts: &[&str],
    purpose: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(
        hosts
            .iter()
            .map(|host| (*host).to_owned())
            .collect::<Vec<_>>(),
    )?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2120, 1, 1);
    Ok(params)
}
