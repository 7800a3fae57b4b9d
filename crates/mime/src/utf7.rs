//! UTF-7, which encoding_rs leaves out and old mail still uses. RFC 2152
//!
//! ```text
//! "+" *base64-digit ["-"]      UTF-16, big-endian
//! "+-"                         a plus sign
//! ```

/// Decodes UTF-7. Wrong input becomes U+FFFD or stays as it is.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'+' {
            out.push(if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER });
            rest = after;
            continue;
        }
        let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let end = after.iter().position(|b| !is_digit(b)).unwrap_or(after.len());
        let (digits, tail) = after.split_at(end);
        let dash = tail.strip_prefix(b"-");
        match (digits, dash) {
            ([], Some(_)) => out.push('+'),
            ([], None) => out.push('+'),
            _ => decode_shifted(digits, &mut out),
        }
        rest = dash.unwrap_or(tail);
    }
    out
}

fn decode_shifted(digits: &[u8], out: &mut String) {
    let mut bytes = Vec::new();
    let mut decoder = crate::Decoder::new(crate::Encoding::Base64, crate::LineEnds::Keep);
    decoder.push(digits, &mut bytes);
    decoder.finish(&mut bytes);
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0xfffd,
    });
    out.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_decode() {
        assert_eq!(decode(b"A+ImIDkQ."), "A\u{2262}\u{0391}.");
        assert_eq!(decode(b"Hi Mom -+Jjo--!"), "Hi Mom -\u{263a}-!");
        assert_eq!(decode(b"+ZeVnLIqe-"), "\u{65e5}\u{672c}\u{8a9e}");
        assert_eq!(decode(b"Item 3 is +AKM-1."), "Item 3 is \u{a3}1.");
        assert_eq!(decode(b"1 +- 1 = 2"), "1 + 1 = 2");
    }

    #[test]
    fn broken_input_does_not_fail() {
        assert_eq!(decode(b"+"), "+");
        assert_eq!(decode(b"+2AA-"), "\u{fffd}");
        assert_eq!(decode(b"\xff+A"), "\u{fffd}");
    }
}
