//! SORT. RFC 5256 §5, RFC 7162 §7

use mail_types::ModSeq;

use super::annotate;
use super::search;
use super::writer::Writer;
use crate::types::{Search, Sort, SortKey};

/// `sort = "SORT" [search-return-opts] SP sort-criteria SP search-criteria`
pub fn command(out: &mut Writer<'_>, sort: &Sort) {
    out.text("SORT");
    search::returns(out, &sort.search);
    out.space();
    out.list(&sort.criteria, |out, criterion| {
        if criterion.reverse {
            out.text("REVERSE ");
        }
        match &criterion.key {
            SortKey::Annotation(entry, scope) => annotate::sort_key(out, entry, *scope),
            key => out.text(key.as_str()),
        }
    });
    search_criteria(out, &sort.search);
}

/// `SP charset 1*(SP search-key)`: without a charset it is US-ASCII.
pub fn search_criteria(out: &mut Writer<'_>, search: &Search) {
    out.space();
    out.astring(search.charset.as_deref().unwrap_or("US-ASCII").as_bytes());
    search::keys(out, search);
}

/// `sort-data`
pub fn reply(out: &mut Writer<'_>, numbers: &[u32], mod_seq: Option<ModSeq>) {
    out.text("SORT");
    search::numbers(out, numbers, mod_seq);
}
