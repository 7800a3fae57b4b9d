//! SELECT and EXAMINE. RFC 9051 §6.3.2, RFC 7162 §3.2.5

use super::writer::Writer;
use crate::types::{Qresync, Select};

/// `mailbox [SP "(" select-param *(SP select-param) ")"]`
pub fn arguments(out: &mut Writer<'_>, select: &Select) {
    out.mailbox(&select.mailbox);
    let mut before = " (";
    for (word, _) in [("CONDSTORE", select.condstore), ("ANNOTATE", select.annotate)]
        .into_iter()
        .filter(|(_, is_given)| *is_given)
    {
        out.text(std::mem::replace(&mut before, " "));
        out.text(word);
    }
    if let Some(known) = &select.qresync {
        out.text(std::mem::replace(&mut before, " "));
        out.text("QRESYNC ");
        qresync(out, known);
    }
    if before == " " {
        out.text(")");
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
