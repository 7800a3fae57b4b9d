//! What the text of a message says about the way that it goes.

use mime::header::fields;

use crate::header::HeaderBlock;

/// Looks at a message on its way into the queue.
#[derive(Debug)]
pub(super) struct Noted {
    /// The header as far as it has come; `None` once it was looked at.
    header: Option<HeaderBlock>,
    traits: Traits,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// It has octets beyond ASCII.
    pub(super) has_8bit: bool,
    /// It goes out even where TLS cannot be had. RFC 8689 §3
    pub(super) is_tls_optional: bool,
}

impl Default for Noted {
    fn default() -> Self {
        Self { header: Some(HeaderBlock::default()), traits: Traits::default() }
    }
}

impl Noted {
    /// Looks at the next octets.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.traits.has_8bit |= !bytes.is_ascii();
        if let Some(split) = self.header.as_mut().and_then(|header| header.push(bytes)) {
            self.header = None;
            self.traits.is_tls_optional = is_tls_optional(&split.header);
        }
    }

    /// What was found in the whole message.
    pub(super) fn finish(self) -> Traits {
        let Self { header, mut traits } = self;
        if let Some(header) = header {
            traits.is_tls_optional = is_tls_optional(&header.finish().header);
        }
        traits
    }
}

/// `TLS-Required: No`, and only once: a field that stands there twice says nothing. RFC 8689 §3
fn is_tls_optional(header: &[u8]) -> bool {
    let mut found = fields(header).filter(|field| field.is_named(b"TLS-Required"));
    let is_no =
        found.next().is_some_and(|field| field.value.trim_ascii().eq_ignore_ascii_case(b"no"));
    is_no && found.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(message: &str) -> Traits {
        let message = message.replace('\n', "\r\n").into_bytes();
        let whole = {
            let mut noted = Noted::default();
            noted.push(&message);
            noted.finish()
        };
        let mut noted = Noted::default();
        message.iter().for_each(|byte| noted.push(&[*byte]));
        assert_eq!(noted.finish(), whole);
        whole
    }

    #[test]
    fn rfc8689_3_the_field_is_found_in_the_header_and_nowhere_else() {
        for (message, is_optional) in [
            ("From: a\nTLS-Required: No\n\nx\n", true),
            ("tls-required:\n no\nFrom: a\n\nx\n", true),
            ("TLS-Required: No", true),
            ("TLS-Required: Yes\n\nx\n", false),
            ("TLS-Required: No\nTLS-Required: No\n\nx\n", false),
            ("From: a\n\nTLS-Required: No\n\nx\n", false),
            ("X-TLS-Required: No\n\nx\n", false),
        ] {
            let found = traits(message);
            assert_eq!(
                found,
                Traits { has_8bit: false, is_tls_optional: is_optional },
                "{message}"
            );
        }
        assert!(traits("From: a\n\n\u{e4}\n").has_8bit);
    }
}
