//! BODY and BODYSTRUCTURE. RFC 9051 §7.5.2

use mail_types::{BodyFields, BodyStructure, Disposition, ExtensionFields, Param};

use super::envelope::envelope;
use super::writer::Writer;

/// Whether extension data are told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// BODY: they may not be. RFC 9051 §7.5.2
    Plain,
    /// BODYSTRUCTURE: they are, in full: clients look for boundary and disposition.
    Extended,
}

/// `body`
pub fn structure(out: &mut Writer<'_>, body: &BodyStructure, form: Form) {
    out.text("(");
    match body {
        BodyStructure::Multipart { parts, subtype, params: parameters, extension } => {
            for part in parts {
                structure(out, part, form);
            }
            if parts.is_empty() {
                // A multipart has at least one part. RFC 9051 §9 (`body-type-mpart`)
                out.text("(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
            }
            out.space();
            out.string(subtype);
            if form == Form::Extended {
                out.space();
                params(out, parameters);
                extended(out, extension);
            }
        }
        BodyStructure::Text { subtype, fields, lines, md5, extension } => {
            start(out, b"TEXT", subtype, fields);
            out.space();
            out.number(*lines);
            finish(out, md5.as_deref(), extension, form);
        }
        BodyStructure::Message {
            subtype,
            fields,
            envelope: inner,
            body,
            lines,
            md5,
            extension,
        } => {
            start(out, b"MESSAGE", subtype, fields);
            out.space();
            envelope(out, inner);
            out.space();
            structure(out, body, form);
            out.space();
            out.number(*lines);
            finish(out, md5.as_deref(), extension, form);
        }
        BodyStructure::Basic { kind, subtype, fields, md5, extension } => {
            start(out, kind, subtype, fields);
            finish(out, md5.as_deref(), extension, form);
        }
    }
    out.text(")");
}

/// Type, subtype and `body-fields`.
fn start(out: &mut Writer<'_>, kind: &[u8], subtype: &[u8], fields: &BodyFields) {
    out.string(kind);
    out.space();
    out.string(subtype);
    out.space();
    params(out, &fields.params);
    out.space();
    out.nstring(fields.id.as_deref());
    out.space();
    out.nstring(fields.description.as_deref());
    out.space();
    // The encoding is no nstring, and defaults to 7BIT. RFC 9051 §9 (`body-fld-enc`)
    let encoding = if fields.encoding.is_empty() { b"7BIT" } else { fields.encoding.as_slice() };
    out.string(encoding);
    out.space();
    out.number(fields.octets);
}

fn finish(out: &mut Writer<'_>, md5: Option<&[u8]>, extension: &ExtensionFields, form: Form) {
    if form == Form::Extended {
        out.space();
        out.nstring(md5);
        extended(out, extension);
    }
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn extended(out: &mut Writer<'_>, extension: &ExtensionFields) {
    out.space();
    match &extension.disposition {
        None => out.text("NIL"),
        Some(Disposition { kind, params: parameters }) => {
            out.text("(");
            out.string(kind);
            out.space();
            params(out, parameters);
            out.text(")");
        }
    }
    out.space();
    if extension.language.is_empty() {
        out.text("NIL");
    } else {
        out.list(&extension.language, |out, tag| out.string(tag));
    }
    out.space();
    out.nstring(extension.location.as_deref());
}

/// `body-fld-param`: NIL if there is none.
fn params(out: &mut Writer<'_>, params: &[Param]) {
    if params.is_empty() {
        out.text("NIL");
        return;
    }
    out.list(params, |out, param| {
        out.string(&param.name);
        out.space();
        out.string(&param.value);
    });
}
