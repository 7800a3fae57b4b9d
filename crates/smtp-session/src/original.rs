//! ORCPT: the recipient as the sender first knew him. RFC 3461 §4.2, §5; RFC 6533 §3
//!
//! ```text
//! orcpt-parameter = "ORCPT=" addr-type ";" xtext
//! xtext           = *( xchar / hexchar )
//! hexchar         = "+" 2(%x30-39 / %x41-46)
//! ```
//!
//! `smtp-proto` knows the type `rfc822` and 256 octets only, and refuses the recipient else.

use crate::Reply;

/// The recipient as the sender first knew him, without its coding as xtext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8`, or another type.
    pub kind: String,
    /// The address. Of `utf-8` perhaps with `\x{...}` for what is not ASCII, which is as good
    /// where only ASCII may stand.
    pub address: String,
}

impl OriginalRecipient {
    /// An address of mail.
    #[must_use]
    pub fn mailbox(address: String) -> Self {
        let kind = if address.is_ascii() { "rfc822" } else { UTF_8 };
        Self { kind: kind.to_owned(), address }
    }
}

/// Whether a parameter is an ORCPT.
pub(crate) fn is_orcpt(parameter: &str) -> bool {
    let start = parameter.get(..ORCPT.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(ORCPT))
}

/// The ORCPT among parameters, if there is one. `utf8` says whether SMTPUTF8 was declared.
pub(crate) fn original(parameters: &str, utf8: bool) -> Result<Option<OriginalRecipient>, Reply> {
    let mut all = parameters.split_ascii_whitespace().filter(|it| is_orcpt(it));
    let Some(parameter) = all.next() else { return Ok(None) };
    if all.next().is_some() || parameter.len() > ORCPT.len() + VALUE_BYTES_MAX {
        return Err(NOT_AN_ORIGINAL);
    }
    let value = parameter.get(ORCPT.len()..).unwrap_or_default();
    let (kind, xtext) = value.split_once(';').ok_or(NOT_AN_ORIGINAL)?;
    let is_kind = (1..=KIND_BYTES_MAX).contains(&kind.len())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let kind = kind.to_ascii_lowercase();
    let address = decode(xtext).filter(|address| is_kind && !address.is_empty());
    let address = address.ok_or(NOT_AN_ORIGINAL)?;
    // It stands in a field of a notice.
    let fits = !address.chars().any(char::is_control) && (address.is_ascii() || kind == UTF_8);
    if !fits || (!utf8 && !xtext.is_ascii()) {
        return Err(NOT_AN_ORIGINAL);
    }
    Ok(Some(OriginalRecipient { kind, address }))
}

fn decode(xtext: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(xtext.len());
    let mut rest = xtext.bytes();
    while let Some(byte) = rest.next() {
        octets.push(match byte {
            b'=' => return None,
            b'+' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(octets).ok()
}

const ORCPT: &str = "ORCPT=";

/// The type of addresses in UTF-8. RFC 6533 §3
const UTF_8: &str = "utf-8";

const NOT_AN_ORIGINAL: Reply = Reply::new(501, "5.5.4", "ORCPT is a type, a semicolon and xtext");

/// RFC 3461 §4.2, §5.4
const VALUE_BYTES_MAX: usize = 500;

/// Registered types have at most 6 letters.
const KIND_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &str, utf8: bool) -> Option<Option<(String, String)>> {
        let found = original(parameters, utf8).ok()?;
        Some(found.map(|it| (it.kind, it.address)))
    }

    #[test]
    fn every_type_is_read_and_its_xtext_decoded() {
        for (value, utf8, kind, address) in [
            ("rfc822;Bob+40z.example", false, "rfc822", "Bob@z.example"),
            ("RFC822;a+2Bb@z.example", false, "rfc822", "a+b@z.example"),
            ("rfc822;a;b+20c", false, "rfc822", "a;b c"),
            ("x400;/S=".replace('=', "+3D").as_str(), false, "x400", "/S="),
            ("utf-8;\\x{E4}@z.example", false, "utf-8", "\\x{E4}@z.example"),
            ("utf-8;\u{e4}@z.example", true, "utf-8", "\u{e4}@z.example"),
        ] {
            let parameters = format!(" NOTIFY=SUCCESS oRcPt={value} X=y");
            let expected = Some(Some((kind.to_owned(), address.to_owned())));
            assert_eq!(read(&parameters, utf8), expected, "{value}");
        }
        assert_eq!(read(" NOTIFY=NEVER", true), Some(None));
        let longest = format!("ORCPT=rfc822;{}", "x".repeat(VALUE_BYTES_MAX - 7));
        assert!(read(&longest, false).is_some());
        assert_eq!(read(&format!("{longest}x"), false), None);
    }

    #[test]
    fn what_is_no_original_recipient_or_could_write_a_field_is_refused() {
        for value in [
            "",
            "a@b.example",
            ";a@b.example",
            "rfc822;",
            "rfc822;a=b",
            "rfc822;a+0D+0AX:b",
            "rfc822;a+",
            "rfc822;a+4",
            "rfc822;a+4G",
            "rfc822;+E4",
            "rfc822;+C3+A4",
            "rfc822;\u{e4}@z.example",
            "r f;a",
            "rf\u{e4};a",
        ] {
            assert_eq!(read(&format!("ORCPT={value}"), true), None, "{value}");
        }
        assert_eq!(read("ORCPT=utf-8;\u{e4}@z.example", false), None);
        assert_eq!(read("ORCPT=rfc822;a ORCPT=rfc822;a", false), None);
    }
}
