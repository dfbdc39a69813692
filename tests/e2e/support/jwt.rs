//! Somebody who signs JWTs (ES256), for servers that are told his public key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A key of its own.
pub struct Issuer {
    key: KeyPair,
}

impl Issuer {
    /// A new one.
    pub fn new() -> Self {
        Self {
            key: KeyPair::generate().unwrap(),
        }
    }

    /// For `jwt_validation_pubkeys`.
    pub fn public_key(&self) -> String {
        let der = self.key.subject_public_key_info();
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// A JWT that is good for so many seconds from now, which may be over.
    pub fn jwt(&self, seconds: i64, mut claims: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        claims["exp"] = (now + seconds).into();
        claims["iat"] = (now + seconds.min(0) - 1).into();
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!(
            "{}.{}",
            part(json!({"alg": "ES256", "typ": "JWT"})),
            part(claims)
        );
        let signature = plain(&self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The two numbers of a signature, 32 bytes each, out of their ASN.1.
fn plain(der: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        plain.extend(std::iter::repeat_n(0, 32 - number.len()));
        plain.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    plain
}
