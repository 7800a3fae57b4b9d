//! UIDBATCHES. RFC 10022

use super::writer::Writer;
use crate::types::{UidBatches, UidBatchesReply};

/// `message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]`
pub fn command(out: &mut Writer<'_>, batches: &UidBatches) {
    out.text("UIDBATCHES ");
    out.number(batches.size);
    if let Some((first, last)) = batches.range {
        out.space();
        out.number(first);
        out.text(":");
        out.number(last);
    }
}

/// `"UIDBATCHES" SP "(" "TAG" SP tag-string ")" [SP uid-range *("," uid-range)]`
pub fn reply(out: &mut Writer<'_>, reply: &UidBatchesReply) {
    out.text("UIDBATCHES (TAG ");
    out.quoted(reply.tag.as_bytes());
    out.text(")");
    for (index, (high, low)) in reply.batches.iter().enumerate() {
        out.text(if index == 0 { " " } else { "," });
        out.number(high.get());
        out.text(":");
        out.number(low.get());
    }
}
