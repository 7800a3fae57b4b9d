//! The body structure of a message, as BODYSTRUCTURE tells it. RFC 9051 §7.5.2

use crate::Envelope;

/// One attribute and its value, both raw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Attribute, as spelt in the message.
    pub name: Vec<u8>,
    /// Value without quotes; RFC 2231 and 2047 encodings are left as they are.
    pub value: Vec<u8>,
}

/// Content-Disposition. RFC 2183
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment`, or another word.
    pub kind: Vec<u8>,
    /// Its parameters.
    pub params: Vec<Param>,
}

/// What every kind of part tells at its end (`body-ext-1part`, `body-ext-mpart`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ExtensionFields {
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub language: Vec<Vec<u8>>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
}

/// What every single part tells at its beginning (`body-fields`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BodyFields {
    /// Parameters of Content-Type.
    pub params: Vec<Param>,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description.
    pub description: Option<Vec<u8>>,
    /// Content-Transfer-Encoding; `7BIT` if the header is missing.
    pub encoding: Vec<u8>,
    /// Size of the body in octets, still transfer-encoded.
    pub octets: u64,
}

/// BODYSTRUCTURE in its extended form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyStructure {
    /// `multipart/*`
    Multipart {
        /// The parts. Never empty on the wire: a multipart without parts is sent as text.
        parts: Vec<BodyStructure>,
        /// Subtype.
        subtype: Vec<u8>,
        /// Parameters of Content-Type, the boundary among them.
        params: Vec<Param>,
        /// Disposition, language, location.
        extension: ExtensionFields,
    },
    /// `text/*`
    Text {
        /// Subtype.
        subtype: Vec<u8>,
        /// Fields.
        fields: BodyFields,
        /// Size in lines.
        lines: u64,
        /// Content-MD5.
        md5: Option<Vec<u8>>,
        /// Disposition, language, location.
        extension: ExtensionFields,
    },
    /// `message/rfc822` and `message/global`
    Message {
        /// Subtype.
        subtype: Vec<u8>,
        /// Fields.
        fields: BodyFields,
        /// Envelope of the message inside.
        envelope: Box<Envelope>,
        /// Structure of the message inside.
        body: Box<BodyStructure>,
        /// Size in lines.
        lines: u64,
        /// Content-MD5.
        md5: Option<Vec<u8>>,
        /// Disposition, language, location.
        extension: ExtensionFields,
    },
    /// Any other type.
    Basic {
        /// Type.
        kind: Vec<u8>,
        /// Subtype.
        subtype: Vec<u8>,
        /// Fields.
        fields: BodyFields,
        /// Content-MD5.
        md5: Option<Vec<u8>>,
        /// Disposition, language, location.
        extension: ExtensionFields,
    },
}
