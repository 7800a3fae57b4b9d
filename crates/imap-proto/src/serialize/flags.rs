//! Flags.

use mail_types::Flags;

use super::writer::Writer;
use crate::types::FlagList;

/// `"(" [flag *(SP flag)] ")"`
pub fn flag_list(out: &mut Writer<'_>, list: &FlagList) {
    out.text("(");
    let mut first = true;
    each(&list.flags, |name| word(out, &mut first, name));
    if list.recent {
        word(out, &mut first, "\\Recent");
    }
    for name in &list.other {
        word(out, &mut first, name);
    }
    if list.wildcard {
        word(out, &mut first, "\\*");
    }
    out.text(")");
}

/// Each flag by its name: system flags first, then keywords.
pub fn each(flags: &Flags, mut write: impl FnMut(&str)) {
    flags.system.names().for_each(&mut write);
    flags.keywords().iter().for_each(|keyword| write(keyword.as_str()));
}

fn word(out: &mut Writer<'_>, first: &mut bool, name: &str) {
    if !std::mem::replace(first, false) {
        out.space();
    }
    out.text(name);
}
