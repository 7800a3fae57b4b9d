//! APPEND. RFC 9051 §6.3.12, RFC 3502, RFC 4469, RFC 6855 §4

use super::annotate;
use super::flags::flag_list;
use super::writer::{Mark, Writer};
use crate::types::{Append, AppendForm, AppendMessage, AppendPayload, CatPart, Literal};

/// `append = "APPEND" SP mailbox 1*append-message`
pub fn command(out: &mut Writer<'_>, append: &Append) {
    out.text("APPEND ");
    out.mailbox(&append.mailbox);
    for part in &append.messages {
        message(out, part);
    }
}

/// `append-message = [SP flag-list] [SP date-time] [SP att-annotate] SP append-data`
pub fn message(out: &mut Writer<'_>, message: &AppendMessage) {
    if !message.flags.is_empty() {
        out.space();
        flag_list(out, &message.flags);
    }
    if let Some(date) = message.date {
        out.space();
        out.quoted(date.to_string().as_bytes());
    }
    if !message.annotations.is_empty() {
        out.space();
        annotate::settings(out, &message.annotations);
    }
    match &message.data {
        AppendPayload::Literal { form, data } => {
            out.space();
            literal(out, *form, data);
        }
        AppendPayload::Catenate(parts) => {
            out.text(" CATENATE ");
            out.list(parts, cat_part);
        }
    }
}

/// `cat-part = "TEXT" SP literal / "URL" SP astring / utf8-literal`
fn cat_part(out: &mut Writer<'_>, part: &CatPart) {
    match part {
        CatPart::Url(url) => {
            out.text("URL ");
            out.astring(url);
        }
        CatPart::Text { form, data } => {
            if *form != AppendForm::Utf8 {
                out.text("TEXT ");
            }
            literal(out, *form, data);
        }
    }
}

fn literal(out: &mut Writer<'_>, form: AppendForm, data: &Literal) {
    let open = match form {
        AppendForm::Plain => "{",
        AppendForm::Binary => "~{",
        AppendForm::Utf8 => "UTF8 (~{",
    };
    out.literal_header(open, data.size());
    match data {
        Literal::Inline(octets) => out.bytes(octets),
        Literal::Streamed { index, size } => {
            out.mark(Mark::Message { index: *index, size: *size });
        }
    }
    if form == AppendForm::Utf8 {
        out.text(")");
    }
}
