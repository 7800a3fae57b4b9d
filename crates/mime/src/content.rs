//! The Content-* fields of a part's header. RFC 2045, RFC 2183, RFC 3282, RFC 2557

use mail_types::{Disposition, Param};

use crate::header::{Field, fields, unfold};
use crate::params::parse_params;

/// What a header says about the body below it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContentFields {
    /// Type, subtype and parameters, if the header names a type.
    pub media: Option<Media>,
    pub id: Option<Vec<u8>>,
    pub description: Option<Vec<u8>>,
    pub encoding: Option<Vec<u8>>,
    pub md5: Option<Vec<u8>>,
    pub disposition: Option<Disposition>,
    pub language: Vec<Vec<u8>>,
    pub location: Option<Vec<u8>>,
}

/// Content-Type.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub kind: Vec<u8>,
    pub subtype: Vec<u8>,
    pub params: Vec<Param>,
}

impl ContentFields {
    /// Reads a header block. Of a field that is there twice the first counts.
    pub(crate) fn read(header: &[u8]) -> Self {
        let mut found = Self::default();
        for field in fields(header) {
            let is_content =
                field.name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-"));
            if is_content {
                found.take(&field);
            }
        }
        found
    }

    fn take(&mut self, field: &Field<'_>) {
        let name = field.name.get(8..).unwrap_or_default().to_ascii_lowercase();
        let value = || Some(unfold(field.value)).filter(|value| !value.is_empty());
        match name.as_slice() {
            b"type" if self.media.is_none() => self.media = value().and_then(|v| parse_media(&v)),
            b"transfer-encoding" if self.encoding.is_none() => {
                self.encoding =
                    value().map(|v| first_token(&v).0.to_vec()).filter(|v| !v.is_empty());
            }
            b"disposition" if self.disposition.is_none() => {
                self.disposition = value().and_then(|v| parse_disposition(&v));
            }
            b"id" if self.id.is_none() => self.id = value(),
            b"description" if self.description.is_none() => self.description = value(),
            b"md5" if self.md5.is_none() => self.md5 = value(),
            b"language" if self.language.is_empty() => {
                self.language = value().map(|v| parse_languages(&v)).unwrap_or_default();
            }
            b"location" if self.location.is_none() => {
                // Space in a URI is there only because the line was folded. RFC 2557 §4.4.1
                self.location = value().map(|v| v.into_iter().filter(|b| *b > b' ').collect());
            }
            _ => {}
        }
    }

    /// Bytes of text that are kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        let params = |params: &[Param]| {
            params.iter().map(|p| p.name.len() + p.value.len() + PARAM_BYTES).sum::<usize>()
        };
        let texts = [&self.id, &self.description, &self.encoding, &self.md5, &self.location];
        let texts: usize = texts.into_iter().flatten().map(Vec::len).sum();
        let media = self.media.as_ref();
        let media = media.map_or(0, |m| m.kind.len() + m.subtype.len() + params(&m.params));
        let disposition = self.disposition.as_ref();
        let disposition = disposition.map_or(0, |d| d.kind.len() + params(&d.params));
        texts
            + media
            + disposition
            + self.language.iter().map(|l| l.len() + PARAM_BYTES).sum::<usize>()
    }
}

/// `type "/" subtype *(";" parameter)`. `None` if that cannot be read: the part is then the default
/// type. RFC 2045 §5.2
fn parse_media(value: &[u8]) -> Option<Media> {
    let (kind, rest) = first_token(value);
    let rest = rest.trim_ascii_start();
    let (subtype, rest) = match rest.strip_prefix(b"/") {
        Some(rest) => first_token(rest),
        // `Content-Type: text` is RFC 1049 style and still sent.
        None if kind.eq_ignore_ascii_case(b"text") => (&b"plain"[..], rest),
        None => return None,
    };
    if kind.is_empty() || subtype.is_empty() || kind.len().max(subtype.len()) > TYPE_BYTES_MAX {
        return None;
    }
    Some(Media { kind: kind.to_vec(), subtype: subtype.to_vec(), params: params_after(rest) })
}

fn parse_disposition(value: &[u8]) -> Option<Disposition> {
    let (kind, rest) = first_token(value);
    if kind.is_empty() {
        return None;
    }
    // `Content-Disposition: filename="x"` names no kind. RFC 2183 §2.8 makes of an unknown kind an
    // attachment.
    if rest.trim_ascii_start().starts_with(b"=") {
        return Some(Disposition { kind: b"attachment".to_vec(), params: parse_params(value) });
    }
    Some(Disposition { kind: kind.to_vec(), params: params_after(rest) })
}

/// `Language-tag *("," Language-tag)` with comments. RFC 3282 §2
fn parse_languages(value: &[u8]) -> Vec<Vec<u8>> {
    let tags = value.split(|b| *b == b',').map(|tag| first_token(tag).0);
    tags.filter(|tag| !tag.is_empty()).take(LANGUAGES_MAX).map(<[u8]>::to_vec).collect()
}

/// The parameters behind the next `;`.
fn params_after(rest: &[u8]) -> Vec<Param> {
    let start = memchr::memchr(b';', rest).map_or(rest.len(), |at| at + 1);
    parse_params(rest.get(start..).unwrap_or_default())
}

/// The token that begins the text behind space and comments, and what follows it. RFC 2045 §5.1
fn first_token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = skip_comments(text);
    let is_token = |b: &u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(b);
    let end = text.iter().position(|b| !is_token(b)).unwrap_or(text.len());
    text.split_at(end)
}

/// Skips space and comments, which may nest. RFC 5322 §3.2.2
pub(crate) fn skip_comments(text: &[u8]) -> &[u8] {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'\\' if depth > 0 => {
                rest = after.get(1..).unwrap_or_default();
                continue;
            }
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            _ if depth > 0 || byte.is_ascii_whitespace() => {}
            _ => return rest,
        }
        rest = after;
    }
    rest
}

/// Longest media type or subtype. RFC 6838 §4.2
const TYPE_BYTES_MAX: usize = 127;
/// Most languages of a part. The longest real lists name the official languages of a union.
const LANGUAGES_MAX: usize = 64;
/// Bookkeeping of a list element that is counted as kept text.
const PARAM_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn media(value: &str) -> Option<String> {
        let header = format!("content-type: {value}\r\n\r\n");
        let media = ContentFields::read(header.as_bytes()).media?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let params: Vec<String> =
            media.params.iter().map(|p| format!("{}={}", text(&p.name), text(&p.value))).collect();
        Some(format!("{}/{} {}", text(&media.kind), text(&media.subtype), params.join(" ")))
    }

    #[test]
    fn content_types_are_read_leniently() {
        assert_eq!(media("Text/Plain; charset=x").as_deref(), Some("Text/Plain charset=x"));
        assert_eq!(media("text / html ;charset=x").as_deref(), Some("text/html charset=x"));
        assert_eq!(media("(a (b)) text/(c)html; x=y").as_deref(), Some("text/html x=y"));
        assert_eq!(media("text; charset=x").as_deref(), Some("text/plain charset=x"));
        assert_eq!(
            media("multipart/mixed;\r\n\tboundary=\"a\r\n b\"").as_deref(),
            Some("multipart/mixed boundary=a b")
        );
        assert_eq!(media("image"), None);
        assert_eq!(media("/plain"), None);
        assert_eq!(media(""), None);
        assert_eq!(media(&format!("text/{}", "x".repeat(128))), None);
    }

    #[test]
    fn a_disposition_without_a_kind_is_an_attachment() {
        let read = |value: &str| {
            ContentFields::read(format!("Content-Disposition: {value}\n").as_bytes()).disposition
        };
        assert_eq!(read("inline").unwrap().kind, b"inline");
        let named = read("filename=\"a.txt\"").unwrap();
        assert_eq!((named.kind.as_slice(), named.params.len()), (&b"attachment"[..], 1));
        assert_eq!(read(";filename=x"), None);
    }

    #[test]
    fn the_other_fields_are_unfolded_and_trimmed() {
        let found = ContentFields::read(
            b"Content-ID:  <a@b> \r\nCONTENT-Description: a\r\n b\r\ncontent-language: en (x), de\r\n\
              Content-Location: http://x/\r\n y\r\nContent-MD5: Q2h==\r\n\
              Content-Transfer-Encoding: (c) Base64 (d)\r\nContent-ID: <second>\r\n",
        );
        assert_eq!(found.id.unwrap(), b"<a@b>");
        assert_eq!(found.description.unwrap(), b"a b");
        assert_eq!(found.language, [b"en".to_vec(), b"de".to_vec()]);
        assert_eq!(found.location.unwrap(), b"http://x/y");
        assert_eq!(found.md5.unwrap(), b"Q2h==");
        assert_eq!(found.encoding.unwrap(), b"Base64");
    }

    #[test]
    fn a_comment_that_ends_in_a_backslash_ends_with_the_text() {
        assert_eq!(skip_comments(b"(never closed \\"), b"");
        assert_eq!(skip_comments(b"((((((((a"), b"");
        assert_eq!(skip_comments(b" (a\\)b) c"), b"c");
        assert_eq!(skip_comments(b") c"), b") c");
    }
}
