//! A CA for this run and a certificate by it, with what strict clients insist on.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;

/// Where a sandbox can always be found.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The listener's side, and the CA for its clients, PEM. `names` beside those of this machine.
pub(super) fn certificate(names: &[String]) -> Result<(TlsAcceptor, String), String> {
    let failed = |error: rcgen::Error| format!("no certificate for the sandbox: {error}");
    let ca_key = KeyPair::generate().map_err(failed)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(failed)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Python from 3.13 on refuses a CA that does not say this.
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "presence-bridge sandbox CA");
    let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().map_err(failed)?;
    let names = NAMES.into_iter().map(str::to_owned).chain(names.iter().cloned());
    let mut leaf = CertificateParams::new(names.collect::<Vec<_>>()).map_err(failed)?;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.distinguished_name.push(DnType::CommonName, "presence-bridge sandbox");
    let leaf = leaf.signed_by(&key, &issuer).map_err(failed)?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key))
        .map_err(|error| format!("no TLS for the sandbox: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), ca_certificate.pem()))
}
