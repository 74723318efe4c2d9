//! Everything that the model takes Graph, Entra and Azure to do, in one table. The code reads its values from here, so
//! that a capture of the real service replaces an assumption by changing one row: value, basis, source.
//!
//! Nothing is known of rows marked *assumed*; they are what seemed likely, and no client should lean on them.

use serde::Serialize;

/// How well a row is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Microsoft says so.
    Documented,
    /// Users saw it.
    Observed,
    /// Nobody told us.
    Assumed,
}

/// One row, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The constant.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its value.
    pub value: String,
    /// How well it is known.
    pub basis: Basis,
    /// Who says so.
    pub source: &'static str,
}

/// Status, code and message of a refusal by Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str, pub(super) &'static str);

/// Status, error, AADSTS number and text of a refusal by the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoToken(pub(super) u16, pub(super) &'static str, pub(super) u32, pub(super) &'static str);

/// What is asked of a call to presence that has a route and a good token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Are these too many?
    Throttle,
    /// Can the body be used?
    Body,
    /// May the application?
    Permission,
    /// Is there such a person?
    Person,
}

/// What is asked of a request for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenCheck {
    /// Is it a form?
    Form,
    /// For which grant?
    Grant,
    /// Is there such a tenant?
    Tenant,
    /// Does it know the application?
    Application,
    /// Is the secret or assertion good?
    Credential,
    /// May this resource be asked for?
    Scope,
}

macro_rules! table {
    ($($about:literal $name:ident: $type:ty = $value:expr, $basis:ident, $source:literal;)*) => {
        $(#[doc = $about] pub(super) const $name: $type = $value;)*

        /// The whole table, to be shown.
        #[must_use]
        pub fn assumptions() -> Vec<Row> {
            vec![$(Row {
                name: stringify!($name), about: $about, value: format!("{:?}", $name), basis: Basis::$basis,
                source: $source,
            }),*]
        }
    };
}

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// How many calls, in how many milliseconds.
pub(super) type Limit = (u32, u64);

table! {
    // --- sessions ---
    "Available fades to AvailableInactive after this, and to Away after twice this, milliseconds."
    FADE_MS: u64 = 5 * MINUTE_MS, Documented, "Graph: manage presence state";
    "The shortest expirationDuration, milliseconds."
    EXPIRATION_LEAST_MS: u64 = 5 * MINUTE_MS, Documented, "Graph: presence-setpresence";
    "The longest expirationDuration, milliseconds."
    EXPIRATION_MOST_MS: u64 = 240 * MINUTE_MS, Documented, "Graph: presence-setpresence";
    "Without an expirationDuration, milliseconds."
    EXPIRATION_DEFAULT_MS: u64 = 5 * MINUTE_MS, Documented, "Graph: presence-setpresence";
    "The pairs that an application may set."
    PAIRS: [(&str, &str); 5] = [
        ("Available", "Available"), ("Busy", "InACall"), ("Busy", "InAConferenceCall"), ("Away", "Away"),
        ("DoNotDisturb", "Presenting"),
    ], Documented, "Graph: presence-setpresence";
    "Pairs are told apart by letter case."
    CASE_MATTERS: bool = false, Assumed, "none";
    "What ends at an instant is over at it; so where fade and expiry fall together, expiry wins."
    HALF_OPEN: bool = true, Assumed, "none";
    "A session that has expired is none to clearPresence, which then answers 404."
    EXPIRED_IS_NONE: bool = true, Assumed, "none";
    "Of two sessions of equal rank the one set last is shown."
    NEWEST_OF_EQUALS: bool = true, Assumed, "none";
    "The order of availabilities, strongest first."
    RANKS: [&str; 4] = ["DoNotDisturb", "Busy", "Available", "Away"], Documented, "Graph: manage presence state";
    "BeRightBack ranks as this."
    RANK_OF_BE_RIGHT_BACK: &str = "Away", Assumed, "none";
    "A faded Available ranks below a fresh one, above Away."
    FADED_BELOW_FRESH: bool = true, Assumed, "none";
    "How a faded session is named: availability, activity."
    FADED: (&str, &str) = ("Available", "AvailableInactive"), Documented, "Graph: manage presence state";
    "The same by the older list of labels, with the switch legacy_names."
    FADED_LEGACY: (&str, &str) = ("AvailableIdle", "Inactive"), Assumed, "the lists of labels disagree";
    "The activities by turns of somebody in a call, with the switch activity_noise."
    NOISE: [&str; 2] = ["Busy", "InACall"], Observed, "learn answers 2014289";
    "What somebody out of office shows is replaced by the activity below where it would be this."
    OUT_OF_OFFICE_OVER: (&str, &str) = ("Offline", "Offline"), Assumed, "none";
    "The activity of somebody out of office whom nothing stronger shows."
    OUT_OF_OFFICE: &str = "OutOfOffice", Assumed, "the label is listed, the rule is not";
    "Without any session somebody is offline, a preferred presence or not."
    OFFLINE: (&str, &str) = ("Offline", "Offline"), Documented, "Graph: presence-setuserpreferredpresence";
    "What is shown of somebody whom presence does not know."
    PRESENCE_UNKNOWN: &str = "PresenceUnknown", Observed, "techcommunity 3987552, a moderator";
    "A Teams client looks at presence this often, milliseconds."
    TEAMS_POLL_MS: u64 = 4 * MINUTE_MS, Observed, "learn answers 1305763";

    // --- preferred presence, status message ---
    "The pairs that can be preferred."
    PREFERRED_PAIRS: [(&str, &str); 6] = [
        ("Available", "Available"), ("Busy", "Busy"), ("DoNotDisturb", "DoNotDisturb"),
        ("BeRightBack", "BeRightBack"), ("Away", "Away"), ("Offline", "OffWork"),
    ], Documented, "Graph: presence-setuserpreferredpresence";
    "A preferred Busy or DoNotDisturb without a duration, milliseconds."
    PREFERRED_BUSY_MS: u64 = DAY_MS, Documented, "Graph: presence-setuserpreferredpresence";
    "Any other preferred presence without a duration, milliseconds."
    PREFERRED_OTHER_MS: u64 = 7 * DAY_MS, Documented, "Graph: presence-setuserpreferredpresence";
    "The duration of a preferred presence has a range."
    PREFERRED_HAS_RANGE: bool = false, Assumed, "none is documented";
    "The only contentType of a status message."
    STATUS_CONTENT_TYPE: &str = "text", Documented, "Graph: presence-setstatusmessage";
    "An application sees when a status message expires and was published."
    STATUS_TIMES_SHOWN: bool = false, Assumed, "documented for reading another user";

    // --- limits ---
    "Calls to presence of one application in one tenant, as the method pages print it: calls, milliseconds. That the windows are fixed is assumed."
    PRESENCE_LIMIT: Limit = (1_500, 30_000), Documented, "Graph: presence-get";
    "The same as the page of limits prints it since 2026."
    PRESENCE_LIMIT_2026: Limit = (10_000, 30_000), Documented, "Graph: throttling-limits (2026-02-06)";
    "All calls of one application: calls, milliseconds."
    GLOBAL_LIMIT: Limit = (130_000, 10_000), Documented, "Graph: throttling-limits (2026-02-06)";
    "Throttled calls count as well."
    THROTTLED_COUNT: bool = true, Documented, "Graph: throttling";
    "The shortest Retry-After; else it is the rest of the window, in seconds."
    RETRY_AFTER_LEAST: u64 = 1, Assumed, "the header is documented, its size is not";
    "With the switch early_repeat_doubles a call inside Retry-After makes it this many times as long."
    EARLY_REPEAT_FACTOR: u64 = 2, Assumed, "41, then 315 seconds: learn answers 648796";
    "Codes and messages of other 429s that were seen; with the switch chaos one of them answers."
    OTHER_THROTTLES: [(&str, &str); 2] = [
        ("activityLimitReached", "The request has been throttled"), ("UnknownError", ""),
    ], Observed, "learn answers 648796";
    "Ids in one getPresencesByUserId."
    BULK_MOST: usize = 650, Documented, "Graph: cloudcommunications-getpresencesbyuserid";
    "Requests in one $batch."
    BATCH_MOST: usize = 20, Documented, "Graph: json-batching";
    "The answers of a $batch come in another order."
    BATCH_SHUFFLES: bool = true, Documented, "Graph: json-batching, may differ";

    // --- the front door ---
    "In which order a call to presence is judged, once its route is known and its token good."
    DOOR: [Door; 4] = [Door::Throttle, Door::Body, Door::Permission, Door::Person], Assumed,
        "that the body comes before the permission: ms-teams-cli#71, for clearPresence";
    "The status of a write that is accepted; its body is empty."
    WRITTEN: u16 = 200, Documented, "Graph: presence-setpresence, presence-clearpresence";
    "Properties of a body that Graph does not know are ignored."
    UNKNOWN_PROPERTIES_IGNORED: bool = true, Assumed, "none";
    "Without a client-request-id of the client's, the request-id stands in its place."
    REQUEST_ID_ECHOED: bool = true, Observed, "many an answer";
    "An application without the role."
    FORBIDDEN: Refusal = Refusal(403, "Forbidden", ""), Observed, "ms-teams-cli#70, a delegated token";
    "An unknown segment of a path; {} is the segment."
    ROUTE: Refusal = Refusal(400, "BadRequest", "Resource not found for the segment '{}'."), Observed,
        "msgraph-sdk-javascript#1178; the code is assumed";
    "The wrong method."
    METHOD: Refusal = Refusal(405, "MethodNotAllowed", "The method is not allowed for this resource."), Assumed, "none";
    "No token."
    NO_TOKEN: Refusal = Refusal(401, "InvalidAuthenticationToken", "Access token is empty."), Assumed, "the code is observed";
    "A token that is over, or nobody's."
    BAD_TOKEN: Refusal = Refusal(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
        Observed, "tdi#24, Microsoft365DSC#4427";
    "A token for somebody else."
    AUDIENCE: Refusal = Refusal(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience."),
        Assumed, "none";
    "A token of another tenant."
    OTHER_TENANT: Refusal = Refusal(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid tenant."),
        Assumed, "none";
    "Graph's own application id, in WWW-Authenticate."
    GRAPH_APP: &str = "00000003-0000-0000-c000-000000000000", Observed, "many a 401";
    "/me with an application's token."
    ME: Refusal = Refusal(400, "BadRequest", "/me request is only valid with delegated authentication flow."), Assumed,
        "the rule is documented: presence-get";
    "A body that does not say that it is JSON."
    MEDIA_TYPE: Refusal = Refusal(415, "UnsupportedMediaType", "The Content-Type of the request is not supported."),
        Assumed, "none";
    "A body that is not JSON."
    NOT_JSON: Refusal = Refusal(400, "BadRequest", "Unable to read JSON request payload."), Assumed, "none";
    "Too many calls."
    THROTTLED: Refusal = Refusal(429, "TooManyRequests", "Please retry again later."), Documented, "Graph: throttling";
    "Presence in the cloud of 21Vianet."
    NOT_IN_CLOUD: Refusal = Refusal(404, "NotFound", "The API is not available in this cloud."), Assumed,
        "the rule is documented: presence-setpresence";
    "Presence of /beta in a national cloud."
    NO_BETA: Refusal = Refusal(404, "NotFound", "The beta API is not available in this cloud."), Assumed,
        "the rule is documented: presence-setpresence, beta";
    "x-ms-ags-diagnostic."
    DIAGNOSTIC: &str = r#"{"ServerInfo":{"DataCenter":"Sandbox","Slice":"E","Ring":"0","ScaleUnit":"000","RoleInstance":"SANDBOX00"}}"#,
        Observed, "its keys: best-practices-concept";

    // --- presence ---
    "No sessionId."
    SESSION_ID: Refusal = Refusal(400, "InvalidArgument", "[SessionId]: The SessionId field is required."), Observed,
        "ms-teams-cli#71";
    "A sessionId that is not the application's, with the switch strict_session_id."
    OTHER_SESSION_ID: Refusal = Refusal(400, "InvalidArgument", "The provided [SessionId] is invalid."), Assumed,
        "sources disagree: blog.thoughtstuff.co.uk 2021, ms-teams-cli#72";
    "No availability."
    AVAILABILITY: Refusal = Refusal(400, "InvalidArgument", "[Availability]: The Availability field is required."), Assumed,
        "in the words of SESSION_ID";
    "No activity."
    ACTIVITY: Refusal = Refusal(400, "InvalidArgument", "[Activity]: The Activity field is required."), Assumed,
        "in the words of SESSION_ID";
    "A pair that cannot be set."
    PAIR: Refusal = Refusal(400, "InvalidArgument", "The provided [Availability, Activity] combination is not supported."),
        Assumed, "that it is refused: O365-HomeAssistant#208";
    "An expirationDuration out of range."
    DURATION: Refusal = Refusal(400, "InvalidArgument", "The provided [ExpirationDuration] is out of range."), Observed,
        "msgraph-sdk-dotnet#1186";
    "An expirationDuration that is no ISO 8601 duration."
    NOT_A_DURATION: Refusal = Refusal(400, "InvalidArgument", "The provided [ExpirationDuration] is not valid."), Assumed,
        "that it is 400: ms-teams-cli#81";
    "Somebody whom the directory does not know, or who is named by UPN in a write."
    USER: Refusal = Refusal(404, "NotFound", "The user was not found."), Assumed, "none";
    "A write for somebody without Teams, and for a guest; 200 is an answer without effect."
    NO_TEAMS: u16 = 200, Assumed, "none";
    "clearPresence without a session."
    NO_SESSION: Refusal = Refusal(404, "NotFound", "The presence session was not found."), Documented,
        "Graph: presence-clearpresence; the text is assumed";
    "A status message that is not text, or whose time has an offset."
    STATUS_MESSAGE: Refusal = Refusal(400, "InvalidArgument", "The provided [StatusMessage] is invalid."), Assumed,
        "the rules are documented: presence-setstatusmessage";
    "Work locations with an application's token."
    NOT_FOR_APPS: Refusal = Refusal(403, "Forbidden", "Application is not supported."), Assumed,
        "the rule is documented: presence-setmanuallocation";
    "The people of a getPresencesByUserId come in another order."
    BULK_SHUFFLES: bool = true, Assumed, "none";
    "Whom presence does not know is in the answer of getPresencesByUserId as PresenceUnknown; else left out."
    BULK_SHOWS_UNKNOWN: bool = true, Assumed, "none";
    "A read by user principal name answers PresenceUnknown; else as for somebody unknown."
    UPN_READS_UNKNOWN: bool = true, Observed, "techcommunity 3986118";
    "sequenceNumber grows with each change of what is shown."
    SEQUENCE_GROWS: bool = true, Assumed, "that it sorts: the resource's page";
    "The time of a status message counts as UTC, whatever its zone is called."
    STATUS_TIME_IS_UTC: bool = true, Assumed, "a shortcut of ours: zones go by the names of Windows";
    "No ids, or too many."
    IDS: Refusal = Refusal(400, "InvalidArgument", "The provided [Ids] must hold 1 to 650 ids."), Assumed,
        "the limit is documented: cloudcommunications-getpresencesbyuserid";

    // --- people ---
    "Somebody whom /users does not know; {} is who."
    RESOURCE_NOT_FOUND: Refusal = Refusal(404, "Request_ResourceNotFound",
        "Resource '{}' does not exist or one of its queried reference-property objects are not present."), Observed,
        "many a 404 of /users";
    "/users without the role."
    AUTHORIZATION: Refusal = Refusal(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
        Observed, "many a 403 of /users";
    "The roles that may read /users."
    USER_ROLES: [&str; 4] = ["User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All"], Documented,
        "Graph: user-get";

    // --- $batch ---
    "A batch that cannot be read, with too many requests, or with an id twice."
    BATCH: Refusal = Refusal(400, "BadRequest", "The batch request is not valid."), Assumed,
        "the rules are documented: json-batching";
    "dependsOn names no earlier request; {} is the request."
    DEPENDENCY: Refusal = Refusal(400, "BadRequest", "Invalid dependency for request Id {}."), Observed,
        "msgraph-sdk-dotnet-core#891";
    "A part whose parent failed."
    FAILED_DEPENDENCY: Refusal = Refusal(424, "FailedDependency", "The request that this one depends on failed."),
        Documented, "Graph: json-batching; the text is assumed";
    "A part with a body and no Content-Type."
    PART_MEDIA_TYPE: Refusal = Refusal(400, "BadRequest", "The Content-Type header of a request with a body is required."),
        Assumed, "the rule is documented: json-batching";

    // --- tokens ---
    "Lifetime of a token, seconds."
    TOKEN_TTL: u64 = 3_599, Documented, "Entra: client credentials flow";
    "What each resource is called by login and Graph of a cloud: login, Graph, presence in v1.0."
    GLOBAL: (&str, &str, bool) = ("https://login.microsoftonline.com", "https://graph.microsoft.com", true), Documented,
        "Graph: deployments";
    "GCC High."
    GCC_HIGH: (&str, &str, bool) = ("https://login.microsoftonline.us", "https://graph.microsoft.us", true), Documented,
        "Graph: deployments";
    "DoD."
    DOD: (&str, &str, bool) = ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us", true), Documented,
        "Graph: deployments";
    "China, by 21Vianet."
    CHINA: (&str, &str, bool) = ("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn", false),
        Documented, "Graph: deployments";
    "In which order a request for a token is judged; the first failure answers."
    TOKEN_ORDER: [TokenCheck; 6] = [TokenCheck::Form, TokenCheck::Grant, TokenCheck::Tenant, TokenCheck::Application,
        TokenCheck::Credential, TokenCheck::Scope], Assumed, "none";
    "A token has the roles of the moment at which it was issued; else those of now."
    ROLES_STAY_IN_TOKEN: bool = true, Assumed, "roles are claims, and claims are signed";
    "How far a clock may be off before an assertion is not yet good, seconds."
    ASSERTION_GRACE_S: i64 = 300, Assumed, "usual for JWTs";
    "Not a form."
    NOT_A_FORM: NoToken = NoToken(400, "invalid_request", 900_144, "The request body must be form-encoded."), Assumed, "none";
    "No grant_type."
    NO_GRANT: NoToken = NoToken(400, "invalid_request", 900_144,
        "The request body must contain the following parameter: 'grant_type'."), Assumed, "none";
    "Another grant_type."
    GRANT: NoToken = NoToken(400, "unsupported_grant_type", 70003, "The grant type is not supported."), Assumed, "none";
    "No such tenant."
    TENANT: NoToken = NoToken(400, "invalid_request", 90002, "Tenant was not found."), Assumed, "the shape is documented";
    "No such application in the tenant."
    CLIENT: NoToken = NoToken(400, "unauthorized_client", 700_016, "Application was not found in the directory."), Observed,
        "msgraph-sdk-powershell#2439";
    "A secret that has expired."
    EXPIRED: NoToken = NoToken(401, "invalid_client", 7_000_222, "The provided client secret keys are expired."), Observed,
        "botframework-sdk#6221";
    "A secret that is wrong."
    SECRET: NoToken = NoToken(401, "invalid_client", 7_000_215, "Invalid client secret provided."), Observed,
        "MMM-MicrosoftToDo#33; the status is assumed";
    "Neither secret nor assertion."
    NO_CREDENTIAL: NoToken = NoToken(401, "invalid_client", 7_000_218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."), Observed,
        "many a question about confidential clients";
    "An assertion of another type, or none that can be read."
    ASSERTION: NoToken = NoToken(401, "invalid_client", 50_027, "The client assertion is not a valid JWT."), Assumed, "none";
    "An assertion whose issuer no federated credential names."
    ASSERTION_ISSUER: NoToken = NoToken(401, "invalid_client", 700_211,
        "No matching federated identity record found for presented assertion issuer."), Assumed, "Entra: error codes";
    "An assertion for another audience."
    ASSERTION_AUDIENCE: NoToken = NoToken(401, "invalid_client", 700_212,
        "No matching federated identity record found for presented assertion audience."), Assumed, "Entra: error codes";
    "An assertion about somebody else."
    ASSERTION_SUBJECT: NoToken = NoToken(401, "invalid_client", 700_213,
        "No matching federated identity record found for presented assertion subject."), Assumed, "Entra: error codes";
    "An assertion that is over, or not yet good."
    ASSERTION_TIME: NoToken = NoToken(401, "invalid_client", 700_024, "The client assertion is not within its valid time range."),
        Assumed, "Entra: error codes; the status may be 400";
    "An assertion by a certificate that the application does not have."
    CERTIFICATE: NoToken = NoToken(401, "invalid_client", 700_027,
        "The certificate with the identifier used to sign the client assertion is not registered on the application."),
        Assumed, "Entra: error codes";
    "The audience of a federated token."
    FEDERATED_AUDIENCE: &str = "api://AzureADTokenExchange", Documented, "Entra: workload identity federation";
    "The only client_assertion_type."
    ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", Documented,
        "Entra: client credentials flow";
    "A scope that is not RESOURCE/.default."
    SCOPE: NoToken = NoToken(400, "invalid_scope", 1_002_012, "The provided value for scope is not valid."), Observed,
        "phantom-artist/ms-email-reader#1";
    "Not a resource of this cloud."
    RESOURCE: NoToken = NoToken(400, "invalid_scope", 70_011,
        "The provided value for scope is not valid: not a resource of this cloud."), Documented,
        "Entra: client credentials flow";
    "More than one resource."
    RESOURCES: NoToken = NoToken(400, "invalid_scope", 28_000,
        "The provided value for scope asks for more than one resource."), Assumed, "the rule is documented";

    // --- managed identity ---
    "A virtual machine's endpoint without `Metadata: true`: status, error, text."
    NO_METADATA: (u16, &str, &str) = (400, "bad_request_102", "Required metadata header not specified"), Documented,
        "Entra: how-to-use-vm-token";
    "No resource in the request for a token."
    NO_RESOURCE: (u16, &str, &str) = (400, "invalid_request", "'resource' is not specified"), Assumed, "none";
    "A resource that is not this cloud's Graph."
    MANAGED_RESOURCE: (u16, &str, &str) = (400, "invalid_resource", "AADSTS500011: The resource was not found in the tenant."),
        Documented, "Entra: how-to-use-vm-token; the number is assumed";
    "An identity that the machine does not have."
    NO_IDENTITY: (u16, &str, &str) = (400, "invalid_request", "Identity not found"), Observed, "many a first deployment";
    "App Service without, or with another, X-IDENTITY-HEADER."
    IDENTITY_HEADER: (u16, &str, &str) = (401, "unauthorized", "The X-IDENTITY-HEADER is missing or wrong."), Assumed, "none";
    "An api-version that the endpoint does not have."
    API_VERSION: (u16, &str, &str) = (400, "bad_request", "The api-version is missing or not supported."), Assumed, "none";
    "The api-version of a virtual machine's endpoint."
    IMDS_VERSION: &str = "2018-02-01", Documented, "Entra: how-to-use-vm-token";
    "The api-version of App Service's endpoint."
    APP_SERVICE_VERSION: &str = "2019-08-01", Documented, "App Service: managed identity";
}
