//! What a message itself says of its way.

/// Whether a message that begins so shall arrive even where TLS cannot be had as policies want it:
/// `TLS-Required: No`. RFC 8689 §5
pub(super) fn wants_no_tls(start: &[u8]) -> bool {
    for line in start.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return false;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let is_named = name.trim_ascii_end().eq_ignore_ascii_case(b"TLS-Required");
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if is_named && value.eq_ignore_ascii_case(b"No") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_field_itself_says_that_arriving_is_more_important() {
        for yes in ["TLS-Required: No\r\n\r\n", "From: a\r\ntls-required:no\r\nTo: b\r\n\r\n"] {
            assert!(wants_no_tls(yes.as_bytes()), "{yes}");
        }
        for no in [
            "From: a\r\n\r\nTLS-Required: No\r\n",
            "TLS-Required: Yes\r\n\r\n",
            "X-TLS-Required: No\r\n\r\n",
            "Subject: a\r\n TLS-Required: No\r\n\r\n",
            "",
        ] {
            assert!(!wants_no_tls(no.as_bytes()), "{no}");
        }
    }
}
