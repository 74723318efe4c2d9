//! Every refusal that the model knows, in one table, each marked: D documented, O observed by users, A assumed.

/// Status, code and message of a refusal by Graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str, pub(super) &'static str);

/// Unknown route (status and text O, code A).
pub(super) const ROUTE: Refusal = Refusal(400, "BadRequest", "Resource not found for the segment.");
/// Wrong method (A).
pub(super) const METHOD: Refusal = Refusal(405, "MethodNotAllowed", "The method is not allowed for this resource.");
/// No token (code O, text A).
pub(super) const NO_TOKEN: Refusal = Refusal(401, "InvalidAuthenticationToken", "Access token is empty.");
/// A token that is not, or no longer, good (O).
pub(super) const BAD_TOKEN: Refusal =
    Refusal(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.");
/// No application permission: the message is empty (O).
pub(super) const FORBIDDEN: Refusal = Refusal(403, "Forbidden", "");
/// A body that does not say that it is JSON (A).
pub(super) const MEDIA_TYPE: Refusal =
    Refusal(415, "UnsupportedMediaType", "The Content-Type of the request is not supported.");
/// Too many calls (D).
pub(super) const THROTTLED: Refusal = Refusal(429, "TooManyRequests", "Please retry again later.");
/// Not JSON (A).
pub(super) const NOT_JSON: Refusal = Refusal(400, "BadRequest", "Unable to read JSON request payload.");
/// (O)
pub(super) const SESSION_ID: Refusal = Refusal(400, "InvalidArgument", "[SessionId]: The SessionId field is required.");
/// The session id is not the application's (A).
pub(super) const OTHER_SESSION_ID: Refusal = Refusal(400, "InvalidArgument", "The provided [SessionId] is invalid.");
/// (A, in the words of the one above)
pub(super) const AVAILABILITY: Refusal =
    Refusal(400, "InvalidArgument", "[Availability]: The Availability field is required.");
/// (A)
pub(super) const ACTIVITY: Refusal = Refusal(400, "InvalidArgument", "[Activity]: The Activity field is required.");
/// A pair that cannot be set (rejection O, text A).
pub(super) const PAIR: Refusal =
    Refusal(400, "InvalidArgument", "The provided [Availability, Activity] combination is not supported.");
/// (O)
pub(super) const DURATION: Refusal =
    Refusal(400, "InvalidArgument", "The provided [ExpirationDuration] is out of range.");
/// Unknown person (A).
pub(super) const USER: Refusal = Refusal(404, "NotFound", "The user was not found.");
/// `clearPresence` without a session (status D, text A).
pub(super) const NO_SESSION: Refusal = Refusal(404, "NotFound", "The presence session was not found.");

/// Status, error, AADSTS number and text of a refusal by the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoToken(pub(super) u16, pub(super) &'static str, pub(super) u32, pub(super) &'static str);

/// Not a form (A).
pub(super) const NOT_A_FORM: NoToken =
    NoToken(400, "invalid_request", 900_144, "The request body must be form-encoded.");
/// (A)
pub(super) const NO_GRANT: NoToken =
    NoToken(400, "invalid_request", 900_144, "The request body must contain the following parameter: 'grant_type'.");
/// (A)
pub(super) const GRANT: NoToken = NoToken(400, "unsupported_grant_type", 70003, "The grant type is not supported.");
/// (shape D, status A)
pub(super) const TENANT: NoToken = NoToken(400, "invalid_request", 90002, "Tenant was not found.");
/// (O)
pub(super) const CLIENT: NoToken =
    NoToken(400, "unauthorized_client", 700_016, "Application was not found in the directory.");
/// (body O, status A)
pub(super) const SECRET: NoToken = NoToken(401, "invalid_client", 7_000_215, "Invalid client secret provided.");
/// (O)
pub(super) const EXPIRED: NoToken =
    NoToken(401, "invalid_client", 7_000_222, "The provided client secret keys are expired.");
/// (O)
pub(super) const SCOPE: NoToken =
    NoToken(400, "invalid_scope", 1_002_012, "The provided value for scope is not valid.");
/// Not a resource of this cloud (D).
pub(super) const RESOURCE: NoToken =
    NoToken(400, "invalid_scope", 70011, "The provided value for scope is not valid: not a resource of this cloud.");
/// (rule D, code A)
pub(super) const RESOURCES: NoToken =
    NoToken(400, "invalid_scope", 28000, "The provided value for scope asks for more than one resource.");
