//! GENURLAUTH, URLFETCH, RESETKEY and what they are answered. RFC 4467, RFC 5524

use mail_types::BodyStructure;

use super::{BodyData, MailboxArg};

/// A URL that is to be authorized, and by which mechanism. RFC 4467 §7
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlRump {
    /// As it was sent.
    pub url: Vec<u8>,
    /// In capitals.
    pub mechanism: String,
}

/// Arguments of RESETKEY; without a mailbox it is for all. RFC 4467 §7
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetKey {
    /// Whose key.
    pub mailbox: Option<MailboxArg>,
    /// Mechanisms in capitals; none without a mailbox.
    pub mechanisms: Vec<String>,
}

/// A URL that is to be fetched. RFC 4467 §7
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlFetch {
    /// As it was sent.
    pub url: Vec<u8>,
    /// What is asked of it; nothing in particular is the octets as they are. RFC 5524 §3.1
    pub params: UrlParams,
}

/// What is asked of a URL. RFC 5524 §3.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlParams {
    /// `BODYPARTSTRUCTURE`
    pub structure: bool,
    /// `BINARY` or `BODY`, never both.
    pub content: Option<UrlForm>,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlForm {
    /// `BODY`: as it is stored.
    Body,
    /// `BINARY`: without its transfer encoding.
    Binary,
}

impl UrlFetch {
    /// Most URLs in one command.
    pub const URLS_MAX: usize = 1000;
}

/// One URL and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlData {
    /// As it was sent.
    pub url: Vec<u8>,
    /// What it names.
    pub content: UrlContent,
}

/// What a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlContent {
    /// The octets as they are; NIL if the URL is not valid, whatever is wrong with it.
    Plain(BodyData),
    /// What was asked for. RFC 5524 §3.2
    Metadata {
        /// `BODYPARTSTRUCTURE`
        structure: Option<Box<BodyStructure>>,
        /// `BODY` or `BINARY`.
        content: Option<(UrlForm, BodyData)>,
        /// Whether the content holds a NUL: then it is a literal8. RFC 5524 §3.1
        has_nul: bool,
    },
}
