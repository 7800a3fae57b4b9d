//! A message as it is signed: its fields, and its body. RFC 6376 §3.4, §5.4.2

use std::sync::OnceLock;

use aws_lc_rs::digest::{Context, SHA256};
use mail_auth::common::headers::{Writable, Writer};
use mail_auth::dkim::Canonicalization;
use mime::header::{Field, fields};

/// A message, cut at its blank line.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    pub(crate) body: &'a [u8],
    /// Of the whole message.
    pub(crate) octets: usize,
    relaxed: OnceLock<Vec<u8>>,
    simple: OnceLock<Vec<u8>>,
}

/// A field as it is canonicalized: its name, and its value with the line end.
pub(crate) type Signed<'a> = (&'a [u8], &'a [u8]);

impl<'a> Message<'a> {
    /// Cuts the message. Of a header with too many fields only the beginning is kept: it is not
    /// verified at all, and must not take memory by the line.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let fields: Vec<Field<'a>> = fields(text).take(FIELDS_MAX + 1).collect();
        let header: usize = fields.iter().map(|field| field.raw.len()).sum();
        let rest = text.get(header..).unwrap_or_default();
        let body = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
        let (relaxed, simple) = (OnceLock::new(), OnceLock::new());
        Self { fields, body, octets: text.len(), relaxed, simple }
    }

    /// The fields of this name, in the order of the message.
    pub(crate) fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Field<'a>> {
        self.fields.iter().filter(move |field| field.is_named(name.as_bytes()))
    }

    /// Whether there are more fields than are looked at.
    pub(crate) fn has_too_many_fields(&self) -> bool {
        self.fields.len() > FIELDS_MAX
    }

    /// The hash of the whole body. It is computed once for each canonicalization, however many
    /// signatures and seals ask: there is one algorithm for hashes, SHA-256.
    ///
    /// No part of it is ever hashed: a signature with `l=` holds if it covers all that has come,
    /// and anybody may have added the rest of a longer one. RFC 6376 §8.2
    pub(crate) fn body_hash(&self, canonicalization: Canonicalization) -> &[u8] {
        let hash = match canonicalization {
            Canonicalization::Relaxed => &self.relaxed,
            Canonicalization::Simple => &self.simple,
        };
        hash.get_or_init(|| body_hash(self.body, canonicalization))
    }

    /// The fields that a list of names selects: each name takes the lowest that no name before it
    /// took, and a name for which none is left takes nothing. RFC 6376 §5.4.2
    pub(crate) fn select(&self, names: &[String]) -> Vec<Signed<'a>> {
        // Up to where each name has looked, counted from the bottom.
        let mut looked: Vec<(&str, usize)> = Vec::new();
        let mut selected = Vec::with_capacity(names.len());
        for name in names {
            let known = looked.iter_mut().position(|(other, _)| other.eq_ignore_ascii_case(name));
            let from = known.and_then(|at| looked.get(at)).map_or(0, |(_, from)| *from);
            let mut left = self.fields.iter().rev().enumerate().skip(from);
            let found = left.find(|(_, field)| field.is_named(name.as_bytes()));
            let next = found.map_or(self.fields.len(), |(at, _)| at + 1);
            match known.and_then(|at| looked.get_mut(at)) {
                Some((_, from)) => *from = next,
                None => looked.push((name, next)),
            }
            selected.extend(found.map(|(_, field)| (field.name, field.value)));
        }
        selected
    }
}

/// The hash of a body.
pub(crate) fn body_hash(body: &[u8], canonicalization: Canonicalization) -> Vec<u8> {
    struct Hasher(Context);
    impl Writer for Hasher {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = Hasher(Context::new(&SHA256));
    canonicalization.canonical_body(body, 0).write(&mut hasher);
    hasher.0.finish().as_ref().to_vec()
}

/// Most fields of a message. A signature may name each, and each name is looked for; the longest
/// headers that are seen, with a trace of each hop and the reports of filters, have about 200.
const FIELDS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"A: 1\r\nB: 2\r\nA: 3\r\n\r\nbody\r\n";

    fn selected(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let message = Message::new(TEXT);
        let show = |(name, value): &Signed<'_>| {
            let value = String::from_utf8_lossy(value).trim().to_owned();
            format!("{}:{value}", String::from_utf8_lossy(name))
        };
        message.select(&names).iter().map(show).collect()
    }

    #[test]
    fn fields_are_selected_from_the_bottom() {
        assert_eq!(selected(&["a", "b"]), ["A:3", "B:2"]);
        assert_eq!(selected(&["A", "a", "A", "x"]), ["A:3", "A:1"]);
        assert_eq!(Message::new(TEXT).body, b"body\r\n");
        assert_eq!(Message::new(b"A: 1\r\n").body, b"");
    }

    #[test]
    fn the_empty_bodies_of_rfc_6376_have_their_hashes() {
        use base64::prelude::{BASE64_STANDARD, Engine};
        // §3.4.3 and §3.4.4, the hashes for SHA-256.
        let hash = |canonicalization| BASE64_STANDARD.encode(body_hash(b"", canonicalization));
        assert_eq!(hash(Canonicalization::Simple), "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
        assert_eq!(hash(Canonicalization::Relaxed), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
