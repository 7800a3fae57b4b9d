//! What stands in the brackets of BODY and BINARY. RFC 9051 §9

use super::writer::Writer;
use crate::types::{HeaderFields, Partial, Section, SectionText};

/// `section = "[" [section-spec] "]"`
pub fn section(out: &mut Writer<'_>, section: &Section) {
    out.text("[");
    part_numbers(out, &section.part);
    if let Some(text) = &section.text {
        if !section.part.is_empty() {
            out.text(".");
        }
        match text {
            SectionText::Header => out.text("HEADER"),
            SectionText::Text => out.text("TEXT"),
            SectionText::Mime => out.text("MIME"),
            SectionText::HeaderFields(HeaderFields(names)) => {
                out.text("HEADER.FIELDS ");
                out.list(names, |out, name| out.astring(name));
            }
            SectionText::HeaderFieldsNot(HeaderFields(names)) => {
                out.text("HEADER.FIELDS.NOT ");
                out.list(names, |out, name| out.astring(name));
            }
        }
    }
    out.text("]");
}

/// `section-binary = "[" [section-part] "]"`
pub fn section_binary(out: &mut Writer<'_>, part: &[u32]) {
    out.text("[");
    part_numbers(out, part);
    out.text("]");
}

fn part_numbers(out: &mut Writer<'_>, part: &[u32]) {
    for (index, number) in part.iter().enumerate() {
        if index > 0 {
            out.text(".");
        }
        out.number(*number);
    }
}

/// `partial = "<" number64 "." nz-number64 ">"`
pub fn partial(out: &mut Writer<'_>, partial: Option<Partial>) {
    if let Some(Partial { offset, length }) = partial {
        out.text("<");
        out.number(offset);
        out.text(".");
        out.number(length);
        out.text(">");
    }
}

/// `"<" number64 ">"` of a response.
pub fn origin(out: &mut Writer<'_>, origin: Option<u64>) {
    if let Some(origin) = origin {
        out.text("<");
        out.number(origin);
        out.text(">");
    }
}
