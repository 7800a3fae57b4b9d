//! REPLACE. RFC 8508 §5

use super::append;
use super::writer::Writer;
use crate::types::{Replace, SeqBound};

/// `replace = "REPLACE" SP seq-number SP mailbox append-message`
pub fn command(out: &mut Writer<'_>, replace: &Replace) {
    out.text("REPLACE ");
    match replace.target {
        SeqBound::Number(number) => out.number(number),
        SeqBound::Last => out.text("*"),
    }
    out.space();
    out.mailbox(&replace.mailbox);
    append::message(out, &replace.message);
}
