//! The only builder of TLS configurations, for MQTT and for Graph alike: rustls with ring, TLS 1.2 and 1.3.

pub(crate) mod der;
mod seen;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

pub use self::seen::{Seen, look};

/// A client configuration that trusts the certificates of `ca_file` and no others, or the system's where there is none.
///
/// # Errors
/// The file cannot be read or holds no usable certificate; the system's trust store cannot be loaded.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    client_config_as(ca_file, None)
}

/// As [`client_config`], and shows a certificate (chain) of our own with its key, both PEM.
///
/// # Errors
/// As there, and where these two cannot be read or do not fit.
pub fn client_config_as(ca_file: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let builder = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder
            .with_platform_verifier()
            .map_err(|error| format!("the system's trusted certificates cannot be loaded: {error}"))?,
    };
    let Some((chain, key)) = own else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(chain)?;
    let shown = key.display();
    // Never with the library's words: they may repeat a line of the key.
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| format!("{shown} cannot be read or holds no private key: unencrypted PEM is wanted"))?;
    builder.with_client_auth_cert(chain, key).map_err(|_| format!("the key in {shown} does not fit the certificate"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| format!("{shown} is not PEM: {error}"))?;
    if found.is_empty() {
        return Err(format!("{shown} holds no certificate"));
    }
    Ok(found)
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{shown} holds a certificate that cannot be used: {error}"))?;
    }
    Ok(roots)
}
