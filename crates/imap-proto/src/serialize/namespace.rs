//! The answer to NAMESPACE. RFC 9051 §7.3.2

use super::list::delimiter;
use super::writer::Writer;
use crate::types::{NamespaceEntry, NamespaceReply};

/// `"NAMESPACE" SP Namespace SP Namespace SP Namespace`
pub fn reply(out: &mut Writer<'_>, reply: &NamespaceReply) {
    out.text("NAMESPACE");
    for entries in [&reply.personal, &reply.other_users, &reply.shared] {
        out.space();
        namespace(out, entries);
    }
}

/// `nil / "(" 1*("(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil) [namespace-trans] ")") ")"`
fn namespace(out: &mut Writer<'_>, entries: &[NamespaceEntry]) {
    if entries.is_empty() {
        out.text("NIL");
        return;
    }
    out.text("(");
    for entry in entries {
        out.text("(");
        out.string(entry.prefix.raw());
        out.space();
        delimiter(out, entry.delimiter);
        if let Some(shown) = &entry.translation {
            out.text(" \"TRANSLATION\" (");
            out.string(shown.raw());
            out.text(")");
        }
        out.text(")");
    }
    out.text(")");
}
