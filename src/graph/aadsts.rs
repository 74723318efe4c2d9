//! Entra's error numbers that people meet, with what they mean and what to do, from Microsoft's reference of error codes and
//! from what users report. For hints only: Microsoft may change them, so nothing else depends on them.

/// What a number means, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The number, as `error_codes` gives it.
    pub(super) code: u32,
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
}

/// For a number that is not in the table.
pub(super) const UNKNOWN: Meaning = Meaning {
    code: 0,
    meaning: "refused",
    remedy: "look the number up at https://login.microsoftonline.com/error, and give the trace id to Microsoft's support",
};

const fn row(code: u32, meaning: &'static str, remedy: &'static str) -> Meaning {
    Meaning { code, meaning, remedy }
}

/// By subject: the secret, the certificate, the federated token, the application, the tenant, the scope, policy, load.
pub(super) const TABLE: &[Meaning] = &[
    row(
        7_000_215,
        "the client secret is wrong",
        "put the secret's value, not its ID, into the file or variable that [graph] names",
    ),
    row(
        7_000_222,
        "the client secret has expired",
        "create a new secret in the app registration and put its value in the place of the old one",
    ),
    row(
        7_000_216,
        "a client secret or assertion is missing",
        "check credential in [graph], and that the file it names holds the secret, certificate or token",
    ),
    row(
        7_000_218,
        "a client secret or assertion is missing",
        "check credential in [graph], and that the file it names holds the secret, certificate or token",
    ),
    row(
        700_027,
        "the certificate is not one of the app registration, or its signature does not fit",
        "upload the certificate (without its key) to the app registration, and check client_id in [graph]",
    ),
    row(
        700_024,
        "the signed assertion is not within its time",
        "set this machine's clock (timedatectl set-ntp true); a federated token may also have expired in its file",
    ),
    row(
        700_023,
        "the signed assertion is for another tenant or cloud",
        "check tenant_id and cloud in [graph]: login host and tenant must belong together",
    ),
    row(
        50_027,
        "the assertion or federated token cannot be read",
        "check that the file holds one token and nothing else, without a line break at its end",
    ),
    row(
        700_213,
        "no federated credential of the application fits the token's subject",
        "compare the subject of the federated credential with system:serviceaccount:NAMESPACE:NAME",
    ),
    row(
        700_211,
        "no federated credential of the application fits the token's issuer",
        "compare the issuer of the federated credential with the cluster's OIDC issuer address, to the last slash",
    ),
    row(
        700_212,
        "no federated credential of the application fits the token's audience",
        "the audience must be api://AzureADTokenExchange (AzureADTokenExchangeUSGov in US Government clouds) on both sides",
    ),
    row(
        70_021,
        "no federated credential of the application fits the token",
        "add a federated credential with the token's issuer, subject and audience; a new one takes some minutes",
    ),
    row(700_016, "the tenant does not know the application", "check client_id and tenant_id in [graph], and the cloud"),
    row(
        7_000_229,
        "the application has no service principal in this tenant",
        "create it: az ad sp create --id CLIENT_ID, or grant admin consent in this tenant",
    ),
    row(
        7_000_112,
        "the application is disabled",
        "enable it in Entra: Enterprise applications, Properties, Enabled for users to sign in",
    ),
    row(
        65_001,
        "nobody has consented to the application's permissions",
        "grant admin consent for Presence.ReadWrite.All in the app registration",
    ),
    row(90_002, "there is no such tenant", "check tenant_id in [graph], and the cloud"),
    row(900_023, "the tenant id is not one", "check tenant_id in [graph]: the Directory (tenant) ID, a GUID"),
    row(
        900_382,
        "the application belongs to another cloud",
        "check cloud in [graph]: an application works only with the login host of its own cloud",
    ),
    row(
        900_432,
        "the application belongs to another cloud",
        "check cloud in [graph]: an application works only with the login host of its own cloud",
    ),
    row(
        1_002_012,
        "the scope is not valid",
        "check the cloud in [graph]: login_url and graph_url must belong together",
    ),
    row(70_011, "the scope is not valid", "check the cloud in [graph]: login_url and graph_url must belong together"),
    row(
        500_011,
        "the tenant does not know Graph under this address",
        "check the cloud in [graph]: login_url and graph_url must belong together",
    ),
    row(
        50_001,
        "the tenant does not know Graph under this address",
        "check the cloud in [graph]: login_url and graph_url must belong together",
    ),
    row(
        53_003,
        "a Conditional Access policy blocks the application",
        "allow the bridge's address, or exclude its workload identity from the policy",
    ),
    row(50_196, "too many requests for tokens", "look for other programs that use the same application in a loop"),
    row(90_055, "too many requests in the tenant", "wait; it is tried again by itself"),
    row(90_033, "Entra is not available at present", "wait; it is tried again by itself"),
];

/// What the first known of these numbers means.
pub(super) fn explain(codes: &[u32]) -> Meaning {
    let known = |code: &u32| TABLE.iter().find(|row| row.code == *code).copied();
    codes.iter().find_map(known).unwrap_or(UNKNOWN)
}
