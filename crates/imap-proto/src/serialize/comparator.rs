//! COMPARATOR. RFC 5255 §4.10

use super::writer::Writer;
use crate::types::ComparatorReply;

/// `comparator-cmd = "COMPARATOR" *(SP comp-order-quoted)`
pub fn command(out: &mut Writer<'_>, orders: &[String]) {
    out.text("COMPARATOR");
    for order in orders {
        out.space();
        out.astring(order.as_bytes());
    }
}

/// `comparator-data`
pub fn reply(out: &mut Writer<'_>, reply: &ComparatorReply) {
    out.text("COMPARATOR ");
    out.astring(reply.active.as_bytes());
    if !reply.matching.is_empty() {
        out.space();
        out.list(&reply.matching, |out, name| out.astring(name.as_bytes()));
    }
}
