//! CREATE. RFC 9051 §6.3.4, RFC 6154 §3

use super::writer::Writer;
use crate::types::Create;

/// `create = "CREATE" SP mailbox [SP "(" "USE" SP "(" … ")" ")"]`
pub fn command(out: &mut Writer<'_>, create: &Create) {
    out.text("CREATE ");
    out.mailbox(&create.mailbox);
    if !create.special_use.is_empty() {
        out.text(" (USE ");
        out.list(&create.special_use, |out, special_use| out.text(special_use.as_str()));
        out.text(")");
    }
}
