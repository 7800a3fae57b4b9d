//! ENVELOPE. RFC 9051 §7.5.2

use mail_types::{Address, Envelope};

use super::writer::Writer;

/// `envelope`
pub fn envelope(out: &mut Writer<'_>, envelope: &Envelope) {
    out.text("(");
    out.nstring(envelope.date.as_deref());
    out.space();
    out.nstring(envelope.subject.as_deref());
    let lists = [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ];
    for list in lists {
        out.space();
        addresses(out, list);
    }
    out.space();
    out.nstring(envelope.in_reply_to.as_deref());
    out.space();
    out.nstring(envelope.message_id.as_deref());
    out.text(")");
}

/// `"(" 1*address ")" / nil`: no space between addresses, and never `()`.
fn addresses(out: &mut Writer<'_>, addresses: &[Address]) {
    if addresses.is_empty() {
        out.text("NIL");
        return;
    }
    out.text("(");
    for address in addresses {
        out.text("(");
        out.nstring(address.name.as_deref());
        out.space();
        out.nstring(address.adl.as_deref());
        out.space();
        out.nstring(address.mailbox.as_deref());
        out.space();
        out.nstring(address.host.as_deref());
        out.text(")");
    }
    out.text(")");
}
