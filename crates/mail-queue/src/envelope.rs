//! What MAIL and RCPT said of a message, as far as whoever carries it on must know.

use std::fmt;

/// A message's envelope as it is handed to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What holds for all recipients.
    pub terms: Terms,
    /// To whom, at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<Recipient>,
    /// Not before this moment, in seconds since 1970: FUTURERELEASE, RFC 4865. `None` is at once.
    pub hold_until: Option<i64>,
}

/// What MAIL said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The reverse-path without its brackets; `None` for `<>`: then nobody is told of anything.
    /// RFC 5321 §6.1
    pub sender: Option<String>,
    /// Who vouches for the sender's address.
    pub origin: Origin,
    /// ENVID, without its xtext coding. RFC 3461 §4.4
    pub envid: Option<String>,
    /// RET. RFC 3461 §4.3
    pub ret: Option<Ret>,
    /// BODY. RFC 6152, RFC 3030
    pub body: Body,
    /// Whether SMTPUTF8 was asked for. RFC 6531 §3.4
    pub smtputf8: bool,
    /// Whether REQUIRETLS was asked for. RFC 8689 §2
    pub require_tls: bool,
    /// Whether its header says `TLS-Required: No`: then it goes out even where TLS cannot be had,
    /// whatever the recipient's domain asks for. Never with `require_tls`. RFC 8689 §3, §4.1
    pub tls_optional: bool,
    /// HOLDFOR or HOLDUNTIL as it was asked for: a notice repeats it. RFC 4865
    pub release: Option<Release>,
}

/// How a moment to leave at was asked for. RFC 4865
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// HOLDFOR: after so many seconds.
    For(u32),
    /// HOLDUNTIL: at this moment, in seconds since 1970.
    Until(i64),
}

/// Who vouches for the address of a message's sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An account of this server that had logged in; its name.
    Account(String),
    /// This server: a notice or another automatic reply.
    Server,
    /// A stranger whose reverse-path is proved to be of those who may use it: SPF passed for the
    /// domain of MAIL FROM itself (RFC 7208 §2.4, §2.6.3), and not only for EHLO. A signature
    /// (DKIM) proves nothing here: it does not cover the envelope.
    Vouched,
    /// Nobody. A notice to such an address may hit whoever the mail only claims to be from, so none
    /// is sent; what is wrong with a recipient has to be said while the message is taken.
    Stranger,
}

/// How much of a message a failed delivery returns. RFC 3461 §4.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// All.
    Full,
    /// Its header.
    Headers,
}

/// What octets a message may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// US-ASCII in lines.
    #[default]
    SevenBit,
    /// Octets in lines.
    EightBitMime,
    /// Any octets.
    BinaryMime,
}

/// What RCPT said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path without its brackets.
    pub address: String,
    /// NOTIFY.
    pub notify: Notify,
    /// ORCPT.
    pub original: Option<OriginalRecipient>,
}

/// ORCPT, without its xtext coding. RFC 3461 §4.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822`, `utf-8`, or another registered type.
    pub kind: String,
    /// The address.
    pub address: String,
}

/// NOTIFY. RFC 3461 §4.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    /// Not given: failures are told, and delays may be.
    #[default]
    Unasked,
    /// NEVER.
    Never,
    /// These and no others.
    On {
        /// SUCCESS
        success: bool,
        /// FAILURE
        failure: bool,
        /// DELAY
        delay: bool,
    },
}

impl Notify {
    /// Whether a failure is to be told. RFC 3461 §5.2.6
    #[must_use]
    pub fn wants_failure(self) -> bool {
        matches!(self, Self::Unasked | Self::On { failure: true, .. })
    }

    /// Whether a delay is to be told. RFC 3461 §4.1
    #[must_use]
    pub fn wants_delay(self) -> bool {
        matches!(self, Self::Unasked | Self::On { delay: true, .. })
    }

    /// Whether a delivery is to be told.
    #[must_use]
    pub fn wants_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}

impl Recipient {
    /// A recipient of whom nothing else was said.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), notify: Notify::Unasked, original: None }
    }
}

impl Terms {
    /// The terms of a message of which nothing else was said.
    #[must_use]
    pub fn new(sender: Option<String>, origin: Origin) -> Self {
        Self {
            sender,
            origin,
            envid: None,
            ret: None,
            body: Body::SevenBit,
            smtputf8: false,
            require_tls: false,
            tls_optional: false,
            release: None,
        }
    }

    /// Whom to tell what became of the message; `None` if nobody may be told.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        match self.origin {
            Origin::Account(_) | Origin::Vouched => self.sender.as_deref(),
            Origin::Server | Origin::Stranger => None,
        }
    }
}

/// Why something is no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeFault {
    /// It has no recipient.
    NoRecipient,
    /// It has more than [`RECIPIENTS_MAX`].
    TooManyRecipients,
    /// An address, ENVID or name is too long.
    TooLong,
    /// One of them has a control character, which could write a field of its own, or is empty.
    Character,
}

impl Envelope {
    /// Checks everything that is written into messages or rows later.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn check(&self) -> Result<(), EnvelopeFault> {
        match self.recipients.len() {
            0 => return Err(EnvelopeFault::NoRecipient),
            count if count > RECIPIENTS_MAX => return Err(EnvelopeFault::TooManyRecipients),
            _ => {}
        }
        let terms = &self.terms;
        if let Some(sender) = &terms.sender {
            check_text(sender, ADDRESS_BYTES_MAX)?;
        }
        if let Origin::Account(name) = &terms.origin {
            check_text(name, ADDRESS_BYTES_MAX)?;
        }
        if let Some(envid) = &terms.envid {
            check_text(envid, ENVID_BYTES_MAX)?;
        }
        for recipient in &self.recipients {
            check_text(&recipient.address, ADDRESS_BYTES_MAX)?;
            if let Some(original) = &recipient.original {
                check_text(&original.kind, KIND_BYTES_MAX)?;
                check_text(&original.address, ORIGINAL_BYTES_MAX)?;
            }
        }
        Ok(())
    }
}

fn check_text(text: &str, bytes_max: usize) -> Result<(), EnvelopeFault> {
    if text.len() > bytes_max {
        return Err(EnvelopeFault::TooLong);
    }
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(EnvelopeFault::Character);
    }
    Ok(())
}

impl fmt::Display for EnvelopeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRecipient => "it has no recipient",
            Self::TooManyRecipients => "it has too many recipients",
            Self::TooLong => "an address or identifier is too long",
            Self::Character => "an address or identifier is empty or has a control character",
        })
    }
}

/// Most recipients of one envelope: ten times what must be taken. RFC 5321 §4.5.3.1.8
pub const RECIPIENTS_MAX: usize = 1000;

/// Most recipients of one entry: a row of the store that is written at each attempt. An envelope
/// with more becomes several entries that share its body.
pub const ENTRY_RECIPIENTS_MAX: usize = 100;

/// A local part, an `@` and a domain. RFC 5321 §4.5.3.1
const ADDRESS_BYTES_MAX: usize = 320;

/// RFC 3461 §4.4
const ENVID_BYTES_MAX: usize = 100;

/// RFC 3461 §4.2
const ORIGINAL_BYTES_MAX: usize = 500;

/// Registered address types have at most 6 letters.
const KIND_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(address: &str) -> Envelope {
        let terms = Terms::new(Some("dock@mail.example".into()), Origin::Account("dock".into()));
        Envelope { terms, recipients: vec![Recipient::new(address)], hold_until: None }
    }

    #[test]
    fn what_could_write_a_field_of_its_own_is_refused() {
        assert_eq!(envelope("a@b.example").check(), Ok(()));
        assert_eq!(envelope("\u{f6}@b.example").check(), Ok(()));
        for bad in ["a@b.example\r\nBcc: c", "", "a\0b", "a\u{85}b"] {
            assert_eq!(envelope(bad).check(), Err(EnvelopeFault::Character), "{bad:?}");
        }
        assert_eq!(envelope(&"a".repeat(321)).check(), Err(EnvelopeFault::TooLong));
        let mut none = envelope("a");
        none.terms.envid = Some("x\n".into());
        assert_eq!(none.check(), Err(EnvelopeFault::Character));
        none.recipients.clear();
        assert_eq!(none.check(), Err(EnvelopeFault::NoRecipient));
        none.recipients = vec![Recipient::new("a"); RECIPIENTS_MAX + 1];
        assert_eq!(none.check(), Err(EnvelopeFault::TooManyRecipients));
    }

    #[test]
    fn nobody_is_told_of_mail_that_nobody_vouches_for() {
        let sender = Some("dock@mail.example".to_owned());
        assert_eq!(Terms::new(sender.clone(), Origin::Stranger).told(), None);
        assert_eq!(Terms::new(sender.clone(), Origin::Server).told(), None);
        assert_eq!(Terms::new(None, Origin::Account("dock".into())).told(), None);
        assert_eq!(Terms::new(None, Origin::Vouched).told(), None);
        assert!(Terms::new(sender.clone(), Origin::Account("dock".into())).told().is_some());
        assert_eq!(Terms::new(sender, Origin::Vouched).told(), Some("dock@mail.example"));
    }

    #[test]
    fn notify_says_what_is_wanted() {
        let on = |success, failure, delay| Notify::On { success, failure, delay };
        let wants = |n: Notify| (n.wants_success(), n.wants_failure(), n.wants_delay());
        assert_eq!(wants(Notify::Unasked), (false, true, true));
        assert_eq!(wants(Notify::Never), (false, false, false));
        assert_eq!(wants(on(true, false, false)), (true, false, false));
        assert_eq!(wants(on(false, true, false)), (false, true, false));
    }
}
