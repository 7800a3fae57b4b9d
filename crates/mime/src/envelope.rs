//! ENVELOPE of a header block. RFC 9051 §7.5.2

use mail_types::Envelope;

use crate::header::value;
use crate::parse_addresses;

/// The envelope that a header block tells.
pub fn envelope(header: &[u8]) -> Envelope {
    let list = |name| parse_addresses(&value(header, name).unwrap_or_default());
    Envelope {
        date: value(header, "date"),
        subject: value(header, "subject"),
        from: list("from"),
        sender: list("sender"),
        reply_to: list("reply-to"),
        to: list("to"),
        cc: list("cc"),
        bcc: list("bcc"),
        in_reply_to: value(header, "in-reply-to"),
        message_id: value(header, "message-id"),
    }
}
