//! Base64 of AUTHENTICATE: the standard alphabet with padding. RFC 9051 §9 (`base64`)

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Decodes; `None` if it is not base64 with its padding and with zero bits left over.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Encodes.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
