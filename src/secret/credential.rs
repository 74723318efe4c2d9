//! Who the bridge is to Microsoft Entra: the kinds of credential that a configuration can name.

use std::path::PathBuf;

use super::SecretSource;

/// What the bridge shows to get a token.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A client secret of the app registration.
    Secret(SecretSource),
    /// A certificate of the app registration and its private key, PEM; both may stand in one file.
    Certificate {
        /// The certificate, the leaf first.
        certificate: PathBuf,
        /// The RSA private key.
        key: PathBuf,
    },
    /// A token of another issuer (Kubernetes) that the app registration or managed identity trusts.
    WorkloadIdentity {
        /// The file that the issuer keeps fresh.
        token_file: PathBuf,
    },
    /// The identity that Azure gives to the machine: the system's, or where a client id is known, that one.
    ManagedIdentity,
    /// Whoever `az login` logged in on this machine; a service principal, or it has no rights here.
    AzureCli,
}

impl Credential {
    /// As the configuration names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Credential::Secret(_) => "client-secret",
            Credential::Certificate { .. } => "certificate",
            Credential::WorkloadIdentity { .. } => "workload-identity",
            Credential::ManagedIdentity => "managed-identity",
            Credential::AzureCli => "azure-cli",
        }
    }
}
