//! STATUS. RFC 9051 §6.3.11, §7.3.4

use super::writer::Writer;
use crate::types::{StatusCommand, StatusItem, StatusReply, StatusValue};

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
pub fn command(out: &mut Writer<'_>, status: &StatusCommand) {
    out.text("STATUS ");
    out.mailbox(&status.mailbox);
    out.space();
    items(out, &status.items);
}

/// `"(" status-att *(SP status-att) ")"`
pub fn items(out: &mut Writer<'_>, items: &[StatusItem]) {
    out.list(items, |out, item| out.text(item.name()));
}

/// `"STATUS" SP mailbox SP "(" [status-att-list] ")"`
pub fn reply(out: &mut Writer<'_>, reply: &StatusReply) {
    out.text("STATUS ");
    out.mailbox(&reply.mailbox);
    out.space();
    out.list(&reply.values, value);
}

fn value(out: &mut Writer<'_>, value: &StatusValue) {
    let (item, number) = match value {
        StatusValue::Messages(n) => (StatusItem::Messages, u64::from(*n)),
        StatusValue::Recent(n) => (StatusItem::Recent, u64::from(*n)),
        StatusValue::UidNext(uid) => (StatusItem::UidNext, u64::from(uid.get())),
        StatusValue::UidValidity(v) => (StatusItem::UidValidity, u64::from(v.get())),
        StatusValue::Unseen(n) => (StatusItem::Unseen, u64::from(*n)),
        StatusValue::Deleted(n) => (StatusItem::Deleted, u64::from(*n)),
        StatusValue::Size(n) => (StatusItem::Size, *n),
        StatusValue::HighestModSeq(mod_seq) => (StatusItem::HighestModSeq, mod_seq.get()),
        StatusValue::DeletedStorage(n) => (StatusItem::DeletedStorage, *n),
        StatusValue::AppendLimit(Some(n)) => (StatusItem::AppendLimit, *n),
        StatusValue::AppendLimit(None) => return out.text("APPENDLIMIT NIL"),
        StatusValue::MailboxId(id) => {
            out.text("MAILBOXID (");
            out.text(id);
            return out.text(")");
        }
        StatusValue::Other(name, raw) => {
            out.text(name);
            out.space();
            return out.bytes(raw);
        }
    };
    out.text(item.name());
    out.space();
    out.number(number);
}
