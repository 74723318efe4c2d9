//! The only reader of the environment.
#![allow(clippy::disallowed_methods, reason = "the one place that may")]

use secrecy::SecretString;

/// A secret from the environment variable `name`.
pub(super) fn secret(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
}

/// What is no secret, from the environment variable `name`.
pub(super) fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
