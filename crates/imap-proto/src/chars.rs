//! The character classes of the formal syntax. RFC 9051 §9

/// `ATOM-CHAR`: any CHAR but `( ) { SP CTL % * " \ ]`.
pub fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR`: `ATOM-CHAR` or `]`.
pub fn is_astring_char(byte: u8) -> bool {
    byte == b']' || is_atom_char(byte)
}

/// `list-char`: `ASTRING-CHAR` or a wildcard.
pub fn is_list_char(byte: u8) -> bool {
    matches!(byte, b'%' | b'*') || is_astring_char(byte)
}
