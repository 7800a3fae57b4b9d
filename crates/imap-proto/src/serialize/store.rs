//! STORE. RFC 9051 §6.4.6, RFC 7162 §3.1.3

use super::flags::flag_list;
use super::writer::Writer;
use crate::types::{Store, StoreAction, StoreReply};

/// `store = "STORE" SP sequence-set [store-modifiers] SP store-att-flags`
pub fn command(out: &mut Writer<'_>, store: &Store) {
    out.text("STORE ");
    out.set(&store.set);
    if let Some(mod_seq) = store.unchanged_since {
        out.text(" (UNCHANGEDSINCE ");
        out.number(mod_seq.get());
        out.text(")");
    }
    out.text(match store.action {
        StoreAction::Replace => " FLAGS",
        StoreAction::Add => " +FLAGS",
        StoreAction::Remove => " -FLAGS",
    });
    out.text(match store.reply {
        StoreReply::Flags => " ",
        StoreReply::Silent => ".SILENT ",
    });
    flag_list(out, &store.flags);
}
