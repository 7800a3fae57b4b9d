//! SELECT and EXAMINE. RFC 9051 §6.3.2, RFC 7162 §3.2.5

use super::writer::Writer;
use crate::types::{Qresync, Select};

/// `mailbox [SP "(" select-param *(SP select-param) ")"]`
pub fn arguments(out: &mut Writer<'_>, select: &Select) {
    out.mailbox(&select.mailbox);
    match (&select.qresync, select.condstore) {
        (None, false) => {}
        (None, true) => out.text(" (CONDSTORE)"),
        (Some(known), condstore) => {
            out.text(if condstore { " (CONDSTORE QRESYNC " } else { " (QRESYNC " });
            qresync(out, known);
            out.text(")");
        }
    }
}

fn qresync(out: &mut Writer<'_>, qresync: &Qresync) {
    out.text("(");
    out.number(qresync.uid_validity.get());
    out.space();
    out.number(qresync.mod_seq.get());
    if let Some(uids) = &qresync.known_uids {
        out.space();
        out.set(uids);
    }
    if let Some((numbers, uids)) = &qresync.match_data {
        out.text(" (");
        out.set(numbers);
        out.space();
        out.set(uids);
        out.text(")");
    }
    out.text(")");
}
