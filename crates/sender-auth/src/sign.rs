//! Our own signatures: each message gets one by every key of its author's domain, so that who
//! verifies can take the strongest it knows. RFC 6376 §3.5, §5; RFC 8463
//!
//! Fields that are not there are signed as absent, and those that are there once more than they
//! occur, so that nobody can add one afterwards. There is no `l=`: the whole body is signed.

use std::collections::HashMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use mail_auth::dkim::Canonicalization;
use mail_types::Secret;

use crate::domain;
use crate::keys::{Key, KeyError};
use crate::message::{Message, Signed, body_hash};

/// A key, and where its public part is published.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// The domain that it signs for.
    pub domain: String,
    /// Its name within the domain.
    pub selector: String,
    /// A PEM text (PKCS #8).
    pub key: Secret,
}

/// Signs messages.
#[derive(Debug, Default)]
pub struct Signer {
    /// By their names in normal form.
    pub(crate) domains: HashMap<String, Vec<Ready>>,
}

/// A key that is ready for use.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) selector: String,
    pub(crate) key: Key,
}

/// Why there is no [`Signer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerError {
    /// This is no domain.
    Domain(String),
    /// This is no selector.
    Selector(String),
    /// The key of this selector and domain cannot be used.
    Key {
        /// The selector.
        selector: String,
        /// The domain.
        domain: String,
        /// Why.
        problem: KeyError,
    },
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => write!(f, "{name:?} is no domain"),
            Self::Selector(name) => write!(f, "{name:?} is no selector"),
            Self::Key { selector, domain, problem } => {
                write!(f, "the key of {selector}._domainkey.{domain} cannot be used: {problem}")
            }
        }
    }
}

impl std::error::Error for SignerError {}

impl Signer {
    /// Reads the keys.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, SignerError> {
        let mut domains: HashMap<String, Vec<Ready>> = HashMap::new();
        for SigningKey { domain, selector, key } in keys {
            let name = domain::normal(&domain).ok_or(SignerError::Domain(domain))?;
            let selector = domain::normal(&selector).ok_or(SignerError::Selector(selector))?;
            let key = Key::from_pem(key.expose()).map_err(|problem| SignerError::Key {
                selector: selector.clone(),
                domain: name.clone(),
                problem,
            })?;
            domains.entry(name).or_default().push(Ready { selector, key });
        }
        Ok(Self { domains })
    }

    /// Whether there is a key for this domain.
    pub fn signs_for(&self, from_domain: &str) -> bool {
        domain::normal(from_domain).is_some_and(|domain| self.domains.contains_key(&domain))
    }

    /// Whether there is a key for this domain that may seal: [`Signer::seal`].
    pub fn seals_for(&self, domain: &str) -> bool {
        domain::normal(domain).is_some_and(|domain| self.sealing(&domain).is_some())
    }

    /// The key that seals for this domain, whose name is in normal form.
    pub(crate) fn sealing(&self, domain: &str) -> Option<&Ready> {
        self.domains.get(domain)?.iter().find(|ready| ready.key.is_rsa())
    }

    /// The DKIM-Signature fields for a message from this domain, each ended by CRLF, to be put
    /// before it; `None` if the domain has no key, or the header has more fields than anybody
    /// verifies. `now` is in seconds since 1970.
    ///
    /// The message must be as it will be sent: with CRLF at each line's end, and with the fields
    /// that a submission is given.
    pub fn sign(&self, from_domain: &str, message: &[u8], now: i64) -> Option<Vec<u8>> {
        let domain = domain::normal(from_domain)?;
        let keys = self.domains.get(&domain)?;
        let message = Message::new(message);
        if message.has_too_many_fields() {
            return None;
        }
        let content = Content::new(&message, domain, now, Purpose::Origin);
        let mut fields = Vec::new();
        for ready in keys {
            fields.extend_from_slice(&content.field("DKIM-Signature", "v=1", ready)?);
        }
        Some(fields)
    }
}

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The message begins here, and has all fields that it needs.
    Origin,
    /// It is sent on as it came. RFC 8617 §4.1.2
    Seal,
}

/// What signatures of a message's content have in common, by whatever key.
pub(crate) struct Content<'m> {
    message: &'m Message<'m>,
    /// Of the domain that signs, in normal form.
    pub(crate) domain: String,
    pub(crate) now: i64,
    names: Vec<String>,
    /// `bh=`
    hash: String,
}

impl<'m> Content<'m> {
    /// Of this message, as it is.
    pub(crate) fn new(
        message: &'m Message<'m>,
        domain: String,
        now: i64,
        purpose: Purpose,
    ) -> Self {
        let names = names(message, purpose);
        let hash = BASE64_STANDARD.encode(body_hash(message.body, Canonicalization::Relaxed));
        Self { message, domain, now, names, hash }
    }

    /// A signature as a field of this name, which begins with this tag, ended by CRLF; `None` if
    /// the key fails.
    pub(crate) fn field(&self, name: &str, tag: &str, ready: &Ready) -> Option<Vec<u8>> {
        let value = format!(
            " {tag}; a={}; c=relaxed/relaxed;\r\n\td={};\r\n\ts={}; t={};\
             \r\n\th={};\r\n\tbh={};\r\n\tb=",
            ready.key.algorithm(),
            self.domain,
            ready.selector,
            self.now,
            folded_names(&self.names),
            self.hash,
        );
        let mut signed = self.message.select(&self.names);
        signed.push((name.as_bytes(), value.as_bytes()));
        ready.key.field(&signed)
    }
}

impl Key {
    /// The last of these fields with its signature over them all put behind it, ended by CRLF.
    /// RFC 6376 §3.7
    pub(crate) fn field(&self, fields: &[Signed<'_>]) -> Option<Vec<u8>> {
        let (name, value) = *fields.last()?;
        let mut text = Vec::new();
        Canonicalization::Relaxed.canonicalize_headers(fields.iter().copied(), &mut text);
        let signature = folded(&BASE64_STANDARD.encode(self.sign(&text)?));
        Some([name, b":", value, signature.as_bytes(), b"\r\n"].concat())
    }
}

/// The names of `h=`: what is there, and each once more. RFC 6376 §5.4, §8.15
fn names(message: &Message<'_>, purpose: Purpose) -> Vec<String> {
    let mut names = Vec::new();
    for name in SIGNED {
        let count = message.named(name).count();
        if count == 0 && purpose == Purpose::Seal && MENDED_ON_THE_WAY.contains(name) {
            continue;
        }
        names.extend(std::iter::repeat_n((*name).to_owned(), count.min(SAME_MAX) + 1));
    }
    let also = (purpose == Purpose::Seal).then_some(&"DKIM-Signature");
    for name in SIGNED_IF_THERE.iter().chain(also) {
        let count = message.named(name).count();
        names.extend(std::iter::repeat_n((*name).to_owned(), count.min(SAME_MAX)));
    }
    names
}

fn folded_names(names: &[String]) -> String {
    let mut text = String::new();
    let mut column = LINE_START;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push(':');
            column += 1;
        }
        if column + name.len() > LINE_CHARS_MAX {
            text.push_str("\r\n\t ");
            column = LINE_START;
        }
        text.push_str(name);
        column += name.len();
    }
    text
}

fn folded(signature: &str) -> String {
    let mut text = String::with_capacity(signature.len() + 40);
    let mut rest = signature;
    let mut room = LINE_CHARS_MAX - LINE_START;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(room));
        text.push_str(line);
        rest = after;
        if !rest.is_empty() {
            text.push_str("\r\n\t ");
        }
        room = LINE_CHARS_MAX - LINE_START;
    }
    text
}

/// Fields that say what a message is: nobody may add one, or another one. RFC 6376 §5.4.1
const SIGNED: &[&str] = &[
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "Sender",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

/// Fields that servers on the way add where they are missing (RFC 6409 §8.2, §8.3), as Postfix does
/// for clients of its own machine: a seal that says that they are missing would not survive that.
const MENDED_ON_THE_WAY: &[&str] = &["Date", "Message-ID"];

/// Fields that lists and forwarders may add; what is there already is signed.
const SIGNED_IF_THERE: &[&str] = &[
    "Content-Disposition",
    "Content-ID",
    "Resent-From",
    "Resent-To",
    "Resent-Date",
    "Resent-Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Post",
    "Autocrypt",
    "TLS-Required",
];

/// Fields of one name that are signed.
const SAME_MAX: usize = 10;

/// RFC 5322 §2.1.1: lines of at most 78 characters.
const LINE_CHARS_MAX: usize = 76;

/// A tab, and the tag that begins a line.
const LINE_START: usize = 10;
