//! Forms, percent signs, base64, and the middle of a JWT: some dozen lines instead of dependencies of the pure model.

use serde_json::Value;

/// A field of a form; one that is not there is empty.
pub(super) fn field<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

/// `a=b&c=d`, percent-decoded.
pub(super) fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(&key.replace('+', " ")), decode(&value.replace('+', " ")))).collect()
}

/// Percent-decoded.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Client id and secret from `Basic`, each percent-encoded (RFC 6749, 2.3.1).
pub(super) fn basic(authorization: &str) -> Option<(String, String)> {
    let text = String::from_utf8(base64(authorization.strip_prefix("Basic ")?.trim())?).ok()?;
    let (client, secret) = text.split_once(':')?;
    let decoded = |text: &str| decode(&text.replace('+', " "));
    Some((decoded(client), decoded(secret)))
}

/// One of the first two parts of a JWT: 0 is the header, 1 the claims.
pub(super) fn jwt(token: &str, part: usize) -> Option<Value> {
    if token.split('.').count() != 3 {
        return None;
    }
    serde_json::from_slice(&base64(token.split('.').nth(part)?)?).ok()
}

/// Decoded base64 of either alphabet.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0u32;
        for byte in chunk {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let [_, decoded @ ..] = (bits << (6 * (4 - chunk.len()))).to_be_bytes();
        bytes.extend_from_slice(&decoded[..chunk.len() - 1]);
    }
    Some(bytes)
}

/// Base64 with the alphabet for URLs, without padding.
pub(super) fn base64url(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            encoded.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    encoded
}
