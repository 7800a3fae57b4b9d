//! Character sets to UTF-8.

/// Whether text in this charset can be converted. SEARCH CHARSET. RFC 9051 §6.4.4
pub fn charset_is_known(label: &[u8]) -> bool {
    encoding_rs::Encoding::for_label(label).is_some()
}

/// Text of a charset as UTF-8; of an unknown one, as UTF-8 or else Windows-1252.
pub fn to_utf8(label: &[u8], bytes: &[u8]) -> String {
    let encoding = encoding_rs::Encoding::for_label(label).unwrap_or(encoding_rs::UTF_8);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}
