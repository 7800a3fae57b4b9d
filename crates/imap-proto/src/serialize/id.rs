//! ID. RFC 2971 §3

use super::writer::Writer;
use crate::types::IdParams;

/// `id-params-list = "(" #(string SP nstring) ")" / nil`
pub fn params(out: &mut Writer<'_>, params: Option<&IdParams>) {
    match params {
        None => out.text("NIL"),
        Some(pairs) => out.list(pairs, |out, (field, value)| {
            out.string(field);
            out.space();
            out.nstring(value.as_deref());
        }),
    }
}
