//! From the configured kind to azure_identity's credential. It is made anew for each request of a token: so files are read
//! again, and azure_identity's own cache, which keeps nobody waiting but us, is empty.
//!
//! Two things azure_identity 1.0.0 does not do, and are done here: a certificate without OpenSSL ([`Certificate`]), and
//! a federated token that is read for each request (its own re-reads every ten minutes; a new one reads at once).

use std::ffi::OsStr;
use std::process::{Output, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, Executor,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use secrecy::{ExposeSecret, SecretString};

use super::certificate::Certificate;
use super::login::Login;
use super::{Config, NoToken};
use crate::presence::Timestamp;
use crate::secret::{Credential, SecretSource};

/// What asks for one token.
pub(super) struct Prepared {
    pub(super) credential: Arc<dyn TokenCredential>,
    /// What it shows: to be kept out of the log.
    pub(super) secret: SecretString,
    /// When what it shows ends, where one can know.
    pub(super) ends: Option<Timestamp>,
}

/// Reads what the credential needs, as it is at `now`.
pub(super) fn prepare(config: &Config, login: &Login, now: Timestamp) -> Result<Prepared, NoToken> {
    let client_options = ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud(login)))),
        transport: Some(Transport::new(Arc::new(login.clone()))),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    };
    let tenant = config.tenant_id.to_string();
    let client = config.client_id.map(|id| id.to_string());
    match &config.credential {
        Credential::Secret(source) => secret(config, source, &tenant, client_id(client)?, client_options),
        Credential::Certificate { certificate, key } => {
            let client = client_id(client)?;
            let certificate = Certificate::read(certificate, key).map_err(|error| unreadable(error, CERTIFICATE))?;
            let base = login.base.as_str().trim_end_matches('/');
            let audience = format!("{base}/{tenant}/oauth2/v2.0/token");
            let assertion = certificate.assertion(&client, &audience, now);
            let assertion = assertion.map_err(|error| unreadable(error, CERTIFICATE))?;
            let options = ClientAssertionCredentialOptions { client_options };
            let credential =
                ClientAssertionCredential::new(tenant, client, Assertion(assertion.clone()), Some(options));
            Ok(Prepared { credential: credential.map_err(cannot)?, secret: assertion, ends: Some(certificate.ends) })
        }
        Credential::WorkloadIdentity { token_file } => {
            let secret = SecretSource::File(token_file.clone()).read();
            let secret = secret.map_err(|error| unreadable(error, FEDERATED))?;
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(client_id(client)?),
                tenant_id: Some(tenant),
                token_file_path: Some(token_file.clone()),
            };
            let credential = WorkloadIdentityCredential::new(Some(options)).map_err(cannot)?;
            Ok(Prepared { credential, secret, ends: None })
        }
        Credential::ManagedIdentity => {
            let user_assigned_id = client.map(UserAssignedId::ClientId);
            let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
            let credential = ManagedIdentityCredential::new(Some(options)).map_err(cannot)?;
            Ok(Prepared { credential, secret: SecretString::default(), ends: None })
        }
        Credential::AzureCli => {
            let executor: Arc<dyn Executor> = Arc::new(Az);
            let options =
                AzureCliCredentialOptions { tenant_id: Some(tenant), subscription: None, executor: Some(executor) };
            let credential = AzureCliCredential::new(Some(options)).map_err(cannot)?;
            Ok(Prepared { credential, secret: SecretString::default(), ends: None })
        }
    }
}

fn secret(
    config: &Config,
    source: &SecretSource,
    tenant: &str,
    client: String,
    client_options: ClientOptions,
) -> Result<Prepared, NoToken> {
    const REMEDY: &str = "make the file named in [graph] client_secret_file readable for the bridge";
    let secret = source.read().map_err(|error| unreadable(error, REMEDY))?;
    let value = secret.expose_secret().to_owned().into();
    let options = ClientSecretCredentialOptions { client_options };
    let credential = ClientSecretCredential::new(tenant, client, value, Some(options)).map_err(cannot)?;
    Ok(Prepared { credential, secret, ends: config.secret_expires })
}

const CERTIFICATE: &str = "make certificate_file in [graph] an RSA certificate with its unencrypted private key, PEM, \
                           readable for the bridge; docs/credentials.md has the commands";
const FEDERATED: &str = "make federated_token_file in [graph] the file that the platform keeps the token in; in Kubernetes \
                         label the pod azure.workload.identity/use: \"true\"";

/// The place may be mended at any moment, and looking costs nothing: not permanent.
fn unreadable(error: String, remedy: &'static str) -> NoToken {
    NoToken { error, remedy, permanent: false, code: None }
}

/// What azure_identity refuses before it asks anybody: settings.
fn cannot(error: azure_core::Error) -> NoToken {
    let remedy = "check credential, tenant_id and client_id in [graph]";
    NoToken { error: super::shown(&super::chain(&error), &[]), remedy, permanent: true, code: None }
}

/// Known by the configuration, which insists on it for these kinds.
fn client_id(client: Option<String>) -> Result<String, NoToken> {
    client.ok_or_else(|| NoToken {
        error: "there is no client_id".to_owned(),
        remedy: "give client_id in [graph]: the Application (client) ID of the app registration",
        permanent: true,
        code: None,
    })
}

fn cloud(login: &Login) -> CustomConfiguration {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = login.authority();
    cloud
}

/// An assertion that is ready.
#[derive(Debug)]
struct Assertion(SecretString);

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose_secret().to_owned())
    }
}

/// Runs `az` without a terminal, and ends it when nobody waits any more; azure_identity's own leaves it running.
#[derive(Debug)]
struct Az;

#[async_trait]
impl Executor for Az {
    async fn run(&self, program: &OsStr, args: &[&OsStr]) -> std::io::Result<Output> {
        tokio::process::Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output().await
    }
}
