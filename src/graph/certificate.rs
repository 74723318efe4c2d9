//! A client certificate without OpenSSL: azure_identity 1.0.0 has a credential for one only with OpenSSL, PKCS#12 and a
//! SHA-1 thumbprint. It takes a signed assertion from anybody, and rustls, which is here for TLS, signs.
//!
//! Entra takes RSA keys only, and asks for PS256 and the certificate's SHA-256 thumbprint.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, SignatureScheme};
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::presence::Timestamp;
use crate::tls::der::{element, time};

/// Short, as Entra asks; each is used once, at once.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// A certificate with its private key, as they are on disk now.
pub(super) struct Certificate {
    thumbprint: String,
    key: Arc<dyn SigningKey>,
    /// Its last moment.
    pub(super) ends: Timestamp,
}

impl Certificate {
    /// Reads both files anew, so that a rotation is noticed at the next assertion.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Certificate, String> {
        let shown = certificate.display();
        let mut chain =
            CertificateDer::pem_file_iter(certificate).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let leaf = chain.next().ok_or_else(|| format!("{shown} holds no certificate"))?;
        let leaf = leaf.map_err(|error| format!("{shown} is not PEM: {error}"))?;
        let ends = not_after(&leaf).ok_or_else(|| format!("{shown} holds a certificate that cannot be read"))?;
        let signer = signer(key)?;
        if signer.algorithm() != rustls::SignatureAlgorithm::RSA {
            return Err(format!("{} holds a key that is not RSA; Entra takes no other", key.display()));
        }
        let pair = CertifiedKey::new(vec![leaf.clone()], Arc::clone(&signer));
        if pair.keys_match() == Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
            return Err(format!("the key in {} does not belong to the first certificate in {shown}", key.display()));
        }
        Ok(Certificate { thumbprint: URL_SAFE_NO_PAD.encode(Sha256::digest(&leaf)), key: signer, ends })
    }

    /// What proves to `audience` that we are `client_id`, from `now` on.
    pub(super) fn assertion(&self, client_id: &str, audience: &str, now: Timestamp) -> Result<SecretString, String> {
        let seconds = |at: Timestamp| at.as_millis() / 1000;
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": audience, "iss": client_id, "sub": client_id, "jti": uuid::Uuid::new_v4().to_string(),
            "iat": seconds(now), "nbf": seconds(now), "exp": seconds(now + LIFE),
        });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]);
        let signature = signer.ok_or("the key cannot sign with PS256")?.sign(signed.as_bytes());
        let signature = signature.map_err(|error| format!("the assertion cannot be signed: {error}"))?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn signer(path: &Path) -> Result<Arc<dyn SigningKey>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = secrecy::SecretSlice::from(text);
    let bytes = secrecy::ExposeSecret::expose_secret(&text);
    let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        let encrypted = bytes.windows(9).any(|part| part == b"ENCRYPTED");
        let why = if encrypted { "is encrypted: openssl pkey -in OLD -out NEW" } else { "is not in it" };
        format!("the private key of {shown} {why}")
    })?;
    // Never with the library's words: they are about the key.
    rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| format!("the private key of {shown} cannot be used: RSA of 2048 bits or more, unencrypted PEM"))
}

/// The end of a certificate's validity. X.509 has it at a fixed place: the second time in the fifth field of the body, or
/// the fourth where version 1 has no version. Everything else of it is Entra's to judge.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, body, _) = element(certificate)?;
    let mut rest = body;
    if *rest.first()? == VERSION {
        (_, _, rest) = element(rest)?;
    }
    for _ in ["serial number", "algorithm", "issuer"] {
        (_, _, rest) = element(rest)?;
    }
    let (tag, validity, _) = element(rest)?;
    let (_, _, second) = element(validity)?;
    let (kind, text, _) = element(second)?;
    (tag == SEQUENCE).then_some(())?;
    let seconds = time(kind, std::str::from_utf8(text).ok()?)?;
    Some(Timestamp::from_millis(seconds * 1000))
}
