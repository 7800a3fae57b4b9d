//! What is answered.

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status. RFC 9110 §15
    pub status: u16,
    /// The media type of the body.
    pub media_type: &'static str,
    /// Where to go instead.
    pub location: Option<String>,
    /// What may be done instead.
    pub allow: Option<&'static str>,
    /// The name under which a program should keep the body.
    pub file_name: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Page {
    /// A page with content.
    pub fn ok(media_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status: 200, media_type, location: None, allow: None, file_name: None, body }
    }

    /// Words for people. They never repeat what was asked.
    pub fn words(status: u16, words: &'static str) -> Self {
        Self { status, ..Self::ok(TEXT, words) }
    }

    /// The same for whatever is not here, so that nothing is learned from it.
    pub fn not_found() -> Self {
        Self::words(404, "There is nothing here.\n")
    }

    /// For a method that means nothing here. It must say which do. RFC 9110 §15.5.6
    pub fn not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::words(405, "Not in this way.\n") }
    }

    /// The same place with TLS. Outlook follows this status and no other. [MS-OXDISCO] §3.1.5
    pub fn moved(location: String) -> Self {
        Self { location: Some(location), ..Self::words(302, "Use https.\n") }
    }
}

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// XML.
pub const XML: &str = "text/xml; charset=utf-8";
/// A configuration profile of Apple's.
pub const APPLE_PROFILE: &str = "application/x-apple-aspen-config";
