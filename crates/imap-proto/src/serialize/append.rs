//! APPEND. RFC 9051 §6.3.12, RFC 3502, RFC 6855 §4

use super::flags::flag_list;
use super::writer::{Mark, Writer};
use crate::types::{Append, AppendForm, AppendMessage, Literal};

/// `append = "APPEND" SP mailbox 1*append-message`
pub fn command(out: &mut Writer<'_>, append: &Append) {
    out.text("APPEND ");
    out.mailbox(&append.mailbox);
    for part in &append.messages {
        message(out, part);
    }
}

/// `append-message = [SP flag-list] [SP date-time] SP append-data`
pub fn message(out: &mut Writer<'_>, message: &AppendMessage) {
    if !message.flags.is_empty() {
        out.space();
        flag_list(out, &message.flags);
    }
    if let Some(date) = message.date {
        out.space();
        out.quoted(date.to_string().as_bytes());
    }
    out.text(match message.form {
        AppendForm::Plain | AppendForm::Binary => " ",
        AppendForm::Utf8 => " UTF8 (",
    });
    let open = match message.form {
        AppendForm::Plain => "{",
        AppendForm::Binary | AppendForm::Utf8 => "~{",
    };
    out.literal_header(open, message.data.size());
    match &message.data {
        Literal::Inline(octets) => out.bytes(octets),
        Literal::Streamed { index, size } => {
            out.mark(Mark::Message { index: *index, size: *size });
        }
    }
    if message.form == AppendForm::Utf8 {
        out.text(")");
    }
}
