//! COPY and MOVE. RFC 9051 §6.4.7, §6.4.8

use super::writer::Writer;
use crate::types::CopyMove;

/// `sequence-set SP mailbox`
pub fn arguments(out: &mut Writer<'_>, copy: &CopyMove) {
    out.set(&copy.set);
    out.space();
    out.mailbox(&copy.mailbox);
}
