//! BODYSTRUCTURE of a part. RFC 9051 §7.5.2

use mail_types::{BodyFields, BodyStructure, ExtensionFields, Param};

use crate::{Content, Part};

impl Part {
    /// BODYSTRUCTURE in its extended form.
    ///
    /// The grammar knows no multipart without parts and no `message/rfc822` without an envelope,
    /// so a multipart in which nothing was found is told as `text/plain`, and a message that could
    /// not be looked into (transfer-encoded, too deep) as `application/octet-stream`: a client can
    /// then show the one and save the other.
    pub fn structure(&self) -> BodyStructure {
        let extension = ExtensionFields {
            disposition: self.disposition.clone(),
            language: self.language.clone(),
            location: self.location.clone(),
        };
        let md5 = self.md5.clone();
        match &self.content {
            Content::Multipart(parts) => BodyStructure::Multipart {
                parts: parts.iter().map(Self::structure).collect(),
                subtype: self.subtype.clone(),
                params: self.params.clone(),
                extension,
            },
            Content::Message(inner) => BodyStructure::Message {
                subtype: self.subtype.clone(),
                fields: self.fields(self.params.clone()),
                envelope: Box::new(inner.envelope.clone()),
                body: Box::new(inner.root.structure()),
                lines: self.lines,
                md5,
                extension,
            },
            Content::Leaf if self.is_kind("multipart") => BodyStructure::Text {
                subtype: b"plain".to_vec(),
                fields: self.fields(with_charset(Vec::new())),
                lines: self.lines,
                md5,
                extension,
            },
            Content::Leaf if self.is_kind("text") => BodyStructure::Text {
                subtype: self.subtype.clone(),
                fields: self.fields(with_charset(self.params.clone())),
                lines: self.lines,
                md5,
                extension,
            },
            Content::Leaf
                if self.is_type("message", "rfc822") || self.is_type("message", "global") =>
            {
                BodyStructure::Basic {
                    kind: b"application".to_vec(),
                    subtype: b"octet-stream".to_vec(),
                    fields: self.fields(self.params.clone()),
                    md5,
                    extension,
                }
            }
            Content::Leaf => BodyStructure::Basic {
                kind: self.kind.clone(),
                subtype: self.subtype.clone(),
                fields: self.fields(self.params.clone()),
                md5,
                extension,
            },
        }
    }

    fn fields(&self, params: Vec<Param>) -> BodyFields {
        BodyFields {
            params,
            id: self.id.clone(),
            description: self.description.clone(),
            encoding: self.encoding.clone().unwrap_or_else(|| b"7bit".to_vec()),
            octets: self.octets(),
        }
    }
}

/// Text without a charset is US-ASCII, and is told so. RFC 2045 §5.2
fn with_charset(mut params: Vec<Param>) -> Vec<Param> {
    if !params.iter().any(|p| p.name.eq_ignore_ascii_case(b"charset")) {
        params.push(Param { name: b"charset".to_vec(), value: b"us-ascii".to_vec() });
    }
    params
}
