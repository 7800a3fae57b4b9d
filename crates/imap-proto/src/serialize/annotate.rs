//! Annotations of messages. RFC 5257 §5

use mail_types::{AnnotationName, AnnotationScope};

use super::writer::Writer;
use crate::types::{
    AnnotationData, AnnotationItem, AnnotationKey, AnnotationPart, AnnotationSetting,
    AnnotationSupport, StoreAnnotation,
};

/// `"ANNOTATION" SP "(" entries SP attribs ")"`
pub fn item(out: &mut Writer<'_>, item: &AnnotationItem) {
    out.text("ANNOTATION (");
    out.list(&item.entries, |out, entry| entry_match(out, entry));
    out.space();
    out.list(&item.attributes, |out, (part, scope)| out.text(attribute(*part, *scope)));
    out.text(")");
}

/// Wildcards may stand in quotes, too, and some servers do not take them otherwise.
fn entry_match(out: &mut Writer<'_>, entry: &str) {
    out.string(entry.as_bytes());
}

fn attribute(part: AnnotationPart, scope: Option<AnnotationScope>) -> &'static str {
    use AnnotationPart::{Size, Value};
    use AnnotationScope::{Private, Shared};
    match (part, scope) {
        (Value, None) => "value",
        (Value, Some(Private)) => "value.priv",
        (Value, Some(Shared)) => "value.shared",
        (Size, None) => "size",
        (Size, Some(Private)) => "size.priv",
        (Size, Some(Shared)) => "size.shared",
    }
}

fn name(out: &mut Writer<'_>, name: &AnnotationName) {
    out.astring(name.as_str().as_bytes());
}

/// `att-annotate = "ANNOTATION" SP "(" entry-att *(SP entry-att) ")"`; each value has an entry-att
/// of its own.
pub fn settings(out: &mut Writer<'_>, settings: &[AnnotationSetting]) {
    out.text("ANNOTATION ");
    out.list(settings, |out, setting| {
        name(out, &setting.entry);
        out.text(" (");
        out.text(attribute(AnnotationPart::Value, Some(setting.scope)));
        out.space();
        value(out, setting.value.as_deref());
        out.text(")");
    });
}

/// `value = nstring / literal8`: only a literal8 may hold a NUL.
fn value(out: &mut Writer<'_>, value: Option<&[u8]>) {
    match value {
        Some(bytes) if bytes.contains(&0) => {
            out.literal_header("~{", bytes.len() as u64);
            out.bytes(bytes);
        }
        value => out.nstring(value),
    }
}

/// `store = "STORE" SP sequence-set [store-modifiers] SP att-annotate`
pub fn store(out: &mut Writer<'_>, store: &StoreAnnotation) {
    out.text("STORE ");
    out.set(&store.set);
    if let Some(mod_seq) = store.unchanged_since {
        out.text(" (UNCHANGEDSINCE ");
        out.number(mod_seq.get());
        out.text(")");
    }
    out.space();
    settings(out, &store.settings);
}

/// `"ANNOTATION" SP entry-match SP att-search SP value`
pub fn key(out: &mut Writer<'_>, key: &AnnotationKey) {
    out.text("ANNOTATION ");
    entry_match(out, &key.entry);
    out.space();
    out.text(attribute(AnnotationPart::Value, key.scope));
    out.space();
    value(out, key.text.as_deref());
}

/// `"ANNOTATION" SP entry SP att-sort`
pub fn sort_key(out: &mut Writer<'_>, entry: &AnnotationName, scope: AnnotationScope) {
    out.text("ANNOTATION ");
    name(out, entry);
    out.space();
    out.text(attribute(AnnotationPart::Value, Some(scope)));
}

/// `"ANNOTATION" SP "(" … ")"` of a FETCH response.
pub fn data(out: &mut Writer<'_>, data: &AnnotationData) {
    out.text("ANNOTATION ");
    match data {
        AnnotationData::Changed(names) => out.list(names, name),
        AnnotationData::Values(entries) => out.list(entries, |out, entry| {
            name(out, &entry.name);
            out.space();
            out.list(&entry.attributes, |out, (part, scope, bytes)| {
                out.text(attribute(*part, Some(*scope)));
                out.space();
                value(out, bytes.as_deref());
            });
        }),
    }
}

/// `"ANNOTATIONS" SP ann-size`
pub fn support(out: &mut Writer<'_>, support: AnnotationSupport) {
    out.text("ANNOTATIONS ");
    let no_private = match support {
        AnnotationSupport::None => {
            out.text("NONE");
            false
        }
        AnnotationSupport::ReadOnly { no_private } => {
            out.text("READ-ONLY");
            no_private
        }
        AnnotationSupport::Writable { value_bytes_max, no_private } => {
            out.number(value_bytes_max);
            no_private
        }
    };
    if no_private {
        out.text(" NOPRIVATE");
    }
}
