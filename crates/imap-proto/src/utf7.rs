//! Modified UTF-7, how IMAP4rev1 writes mailbox names. RFC 3501 §5.1.3
//!
//! Every text has exactly one encoding, and only that one is read back: `&AGE-` for `a`, two
//! shifts in a row, or bits left over are no names. Otherwise one mailbox could be spelt in many
//! ways, and what one layer refuses another would let pass.

/// Encodes: printable ASCII stands for itself, `&` is `&-`, all else is UTF-16 in base64.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut shifted: Vec<u16> = Vec::new();
    for c in text.chars() {
        if is_direct(c) {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend_from_slice(c.encode_utf16(&mut units));
        }
    }
    flush(&mut shifted, &mut out);
    out
}

/// Decodes; `None` unless `bytes` is what [`encode`] writes for some text.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut after_shift = false;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'&' {
            if !(0x20..=0x7e).contains(&byte) {
                return None;
            }
            text.push(char::from(byte));
            after_shift = false;
            continue;
        }
        let end = memchr::memchr(b'-', rest)?;
        let (inside, tail) = rest.split_at_checked(end)?;
        rest = tail.get(1..)?;
        if inside.is_empty() {
            text.push('&');
            after_shift = false;
        } else if after_shift {
            // Two shifts in a row are one shift written in another way. RFC 3501 §5.1.3
            return None;
        } else {
            text.push_str(&decode_shift(inside)?);
            after_shift = true;
        }
    }
    Some(text)
}

/// Whether a character stands for itself: printable US-ASCII. RFC 3501 §5.1.3
fn is_direct(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// Writes the pending UTF-16 units as one shift.
fn flush(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0_u32, 0_u32);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(digit(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(digit(bits << (6 - count)));
    }
    out.push('-');
}

/// Decodes what stands between `&` and `-`; `None` if it is not canonical.
fn decode_shift(inside: &[u8]) -> Option<String> {
    let mut units = Vec::with_capacity(inside.len() * 6 / 16 + 1);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for &byte in inside {
        bits = bits << 6 | value(byte)?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
            bits &= (1 << count) - 1;
        }
    }
    // Less than one more digit may be left over, and it must be zero.
    if count >= 6 || bits != 0 {
        return None;
    }
    let text = String::from_utf16(&units).ok()?;
    // What could have stood for itself must not be shifted; NUL never names anything.
    let canonical = !text.is_empty() && text.chars().all(|c| !is_direct(c) && c != '\0');
    canonical.then_some(text)
}

fn digit(value: u32) -> char {
    DIGITS.get((value & 63) as usize).map_or('A', |&b| char::from(b))
}

fn value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b',' => 63,
        _ => return None,
    })
}

/// Base64 with `,` for `/`, which is a separator. RFC 3501 §5.1.3
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_3501_reads_both_ways() {
        let (wire, text) = ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語");
        assert_eq!(decode(wire.as_bytes()).as_deref(), Some(text));
        assert_eq!(encode(text), wire);
        assert_eq!(encode("Jim & Joe"), "Jim &- Joe");
        assert_eq!(encode("\u{1f600}"), "&2D3eAA-");
        assert_eq!(encode("&\u{e4}&"), "&-&AOQ-&-");
    }

    #[test]
    fn only_the_one_right_spelling_is_read() {
        let bad: [&[u8]; 17] = [
            b"&AGE-", // 'a' could stand for itself
            b"&-&",   // unterminated
            b"&",
            b"&U,BTFw",
            b"&AC8-",              // an encoded separator
            b"&AAA-",              // NUL
            b"&2D0-",              // lone high surrogate
            b"&3gA-",              // lone low surrogate
            b"&U,BTFw-&ZeVnLIqe-", // two shifts in a row
            b"&AOR-",              // bits left over
            b"&AOQA-",             // a digit too many
            b"&A-",
            b"&AOQ=-",
            b"&AO/k-",
            b"a\x00b",
            b"caf\xc3\xa9",
            b"a\x7f",
        ];
        for wire in bad {
            assert_eq!(decode(wire), None, "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn every_short_shift_is_canonical_or_refused() {
        // All shifts of one to three digits: a decode that succeeds must encode to the same bytes.
        let mut read = 0;
        for a in DIGITS {
            for b in DIGITS {
                for c in DIGITS {
                    let wire = [b'&', *a, *b, *c, b'-'];
                    if let Some(text) = decode(&wire) {
                        assert_eq!(encode(&text).as_bytes(), wire);
                        read += 1;
                    }
                }
            }
        }
        // Every code unit but printable ASCII (95), NUL (1) and surrogates (2048).
        assert_eq!(read, 65536 - 95 - 1 - 2048);
    }
}
