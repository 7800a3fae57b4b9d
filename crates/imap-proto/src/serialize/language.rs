//! LANGUAGE. RFC 5255 §3.5

use super::writer::Writer;

/// `language-cmd = "LANGUAGE" *(SP lang-range-quoted)`
pub fn command(out: &mut Writer<'_>, ranges: &[String]) {
    out.text("LANGUAGE");
    for range in ranges {
        out.space();
        out.astring(range.as_bytes());
    }
}

/// `language-data = "LANGUAGE" SP "(" lang-tag-quoted *(SP lang-tag-quoted) ")"`
pub fn reply(out: &mut Writer<'_>, tags: &[String]) {
    out.text("LANGUAGE ");
    out.list(tags, |out, tag| out.astring(tag.as_bytes()));
}
