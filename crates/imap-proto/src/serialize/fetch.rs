//! FETCH, the command and its answers. RFC 9051 §6.4.5, §7.5.2

use mail_types::{BodyStructure, Envelope, Flags, InternalDate, ModSeq, SeqNum, Uid};

use super::annotate;
use super::envelope::envelope;
use super::flags::{each, flag_list};
use super::search::partial_range;
use super::section::{origin as write_origin, partial, section, section_binary};
use super::structure::{Form, structure};
use super::writer::Writer;
use crate::Sink;
use crate::types::{
    BodyData, Fetch, FetchAttribute, FetchItem, NameEncoding, Peek, Preview, Section,
};

/// `fetch = "FETCH" SP sequence-set SP "(" fetch-att *(SP fetch-att) ")" [fetch-modifiers]`
pub fn command(out: &mut Writer<'_>, fetch: &Fetch) {
    out.text("FETCH ");
    out.set(&fetch.set);
    out.space();
    out.list(&fetch.items, item);
    let mut before = " (";
    if let Some(mod_seq) = fetch.changed_since {
        out.text(std::mem::replace(&mut before, " "));
        out.text("CHANGEDSINCE ");
        out.number(mod_seq.get());
    }
    if fetch.vanished {
        out.text(std::mem::replace(&mut before, " "));
        out.text("VANISHED");
    }
    if let Some(range) = fetch.partial {
        out.text(std::mem::replace(&mut before, " "));
        out.text("PARTIAL ");
        partial_range(out, range);
    }
    if before == " " {
        out.text(")");
    }
}

pub fn item(out: &mut Writer<'_>, item: &FetchItem) {
    match item {
        FetchItem::Uid => out.text("UID"),
        FetchItem::Flags => out.text("FLAGS"),
        FetchItem::InternalDate => out.text("INTERNALDATE"),
        FetchItem::Rfc822Size => out.text("RFC822.SIZE"),
        FetchItem::Envelope => out.text("ENVELOPE"),
        FetchItem::Body => out.text("BODY"),
        FetchItem::BodyStructure => out.text("BODYSTRUCTURE"),
        FetchItem::Section { section: which, partial: window, peek } => {
            out.text(if *peek == Peek::Peek { "BODY.PEEK" } else { "BODY" });
            section(out, which);
            partial(out, *window);
        }
        FetchItem::Rfc822(Peek::SetSeen) => out.text("RFC822"),
        FetchItem::Rfc822(Peek::Peek) => out.text("RFC822.PEEK"),
        FetchItem::Rfc822Header => out.text("RFC822.HEADER"),
        FetchItem::Rfc822Text(Peek::SetSeen) => out.text("RFC822.TEXT"),
        FetchItem::Rfc822Text(Peek::Peek) => out.text("RFC822.TEXT.PEEK"),
        FetchItem::Binary { part, partial: window, peek } => {
            out.text(if *peek == Peek::Peek { "BINARY.PEEK" } else { "BINARY" });
            section_binary(out, part);
            partial(out, *window);
        }
        FetchItem::BinarySize { part } => {
            out.text("BINARY.SIZE");
            section_binary(out, part);
        }
        FetchItem::ModSeq => out.text("MODSEQ"),
        FetchItem::EmailId => out.text("EMAILID"),
        FetchItem::ThreadId => out.text("THREADID"),
        FetchItem::SaveDate => out.text("SAVEDATE"),
        FetchItem::Preview(Preview::Full) => out.text("PREVIEW"),
        FetchItem::Preview(Preview::Lazy) => out.text("PREVIEW (LAZY)"),
        FetchItem::Annotation(which) => annotate::item(out, which),
    }
}

/// `n FETCH (…)` without `* ` and line break.
pub fn reply(out: &mut Writer<'_>, seq: SeqNum, attributes: &[FetchAttribute]) {
    out.number(seq.get());
    out.text(" FETCH ");
    out.list(attributes, attribute);
}

/// `n UIDFETCH (…)` without `* ` and line break. RFC 9586 §3
pub fn uid_reply(out: &mut Writer<'_>, uid: Uid, attributes: &[FetchAttribute]) {
    out.number(uid.get());
    out.text(" UIDFETCH ");
    out.list(attributes, attribute);
}

fn attribute(out: &mut Writer<'_>, attribute: &FetchAttribute) {
    match attribute {
        FetchAttribute::Uid(uid) => named_number(out, "UID ", uid.get().into()),
        FetchAttribute::Flags(flags) => {
            out.text("FLAGS ");
            flag_list(out, flags);
        }
        FetchAttribute::InternalDate(date) => named_date(out, "INTERNALDATE ", Some(*date)),
        FetchAttribute::Rfc822Size(size) => named_number(out, "RFC822.SIZE ", *size),
        FetchAttribute::Envelope(value) => {
            out.text("ENVELOPE ");
            envelope(out, value);
        }
        FetchAttribute::Body(body) => {
            out.text("BODY ");
            structure(out, body, Form::Plain);
        }
        FetchAttribute::BodyStructure(body) => {
            out.text("BODYSTRUCTURE ");
            structure(out, body, Form::Extended);
        }
        FetchAttribute::Section { section: which, origin, data } => {
            out.text("BODY");
            section(out, which);
            write_origin(out, *origin);
            out.space();
            body_data(out, data, "{");
        }
        FetchAttribute::Rfc822(data) => named_data(out, "RFC822 ", data),
        FetchAttribute::Rfc822Header(data) => named_data(out, "RFC822.HEADER ", data),
        FetchAttribute::Rfc822Text(data) => named_data(out, "RFC822.TEXT ", data),
        FetchAttribute::Binary { part, origin, data } => {
            out.text("BINARY");
            section_binary(out, part);
            write_origin(out, *origin);
            out.space();
            // Decoded octets may hold NUL, which only a literal8 may carry. RFC 3516 §4.2
            body_data(out, data, "~{");
        }
        FetchAttribute::BinarySize { part, size } => {
            out.text("BINARY.SIZE");
            section_binary(out, part);
            named_number(out, " ", *size);
        }
        FetchAttribute::ModSeq(mod_seq) => {
            named_number(out, "MODSEQ (", mod_seq.get());
            out.text(")");
        }
        FetchAttribute::EmailId(id) => named_id(out, "EMAILID ", Some(id)),
        FetchAttribute::ThreadId(id) => named_id(out, "THREADID ", id.as_deref()),
        FetchAttribute::SaveDate(date) => named_date(out, "SAVEDATE ", *date),
        FetchAttribute::Preview(text) => {
            out.text("PREVIEW ");
            out.nstring(text.as_deref().map(str::as_bytes));
        }
        FetchAttribute::Annotation(data) => annotate::data(out, data),
    }
}

fn named_number(out: &mut Writer<'_>, name: &str, number: u64) {
    out.text(name);
    out.number(number);
}

fn named_date(out: &mut Writer<'_>, name: &str, date: Option<InternalDate>) {
    out.text(name);
    match date {
        Some(date) => out.quoted(date.to_string().as_bytes()),
        None => out.text("NIL"),
    }
}

fn named_id(out: &mut Writer<'_>, name: &str, id: Option<&str>) {
    out.text(name);
    match id {
        Some(id) => {
            out.text("(");
            out.text(id);
            out.text(")");
        }
        None => out.text("NIL"),
    }
}

fn named_data(out: &mut Writer<'_>, name: &str, data: &BodyData) {
    out.text(name);
    body_data(out, data, "{");
}

/// Message data always go in a literal, also short ones: that is what clients are tested with.
pub fn body_data(out: &mut Writer<'_>, data: &BodyData, open: &str) {
    match data {
        BodyData::Nil => out.text("NIL"),
        BodyData::Bytes(bytes) => {
            out.literal_header(open, bytes.len() as u64);
            out.bytes(bytes);
        }
        BodyData::Blob(slice) => {
            out.literal_header(open, slice.length);
            out.blob(slice.clone());
        }
        // Whoever received these octets passed them on and has none to write.
        BodyData::Streamed { size, .. } => out.literal_header(open, *size),
    }
}

/// Writes one FETCH response item by item, with no value made for it.
///
/// Nothing is written before the first item, and nothing at all if there is none.
pub struct FetchWriter<'a> {
    out: Writer<'a>,
    number: u32,
    name: &'static str,
    is_open: bool,
}

/// Whether `\Recent` is told with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recent {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl<'a> FetchWriter<'a> {
    /// Begins the response for the message at `seq`.
    pub fn new(sink: &'a mut dyn Sink, encoding: NameEncoding, seq: SeqNum) -> Self {
        let out = Writer::server(sink, encoding);
        Self { out, number: seq.get(), name: " FETCH (", is_open: false }
    }

    /// Begins a UIDFETCH response. RFC 9586 §3
    pub fn with_uid(sink: &'a mut dyn Sink, encoding: NameEncoding, uid: Uid) -> Self {
        let out = Writer::server(sink, encoding);
        Self { out, number: uid.get(), name: " UIDFETCH (", is_open: false }
    }

    /// Whether an item has been written.
    pub fn has_items(&self) -> bool {
        self.is_open
    }

    /// Any item.
    pub fn attribute(&mut self, value: &FetchAttribute) {
        self.next();
        attribute(&mut self.out, value);
    }

    /// `UID`
    pub fn uid(&mut self, uid: Uid) {
        self.next();
        named_number(&mut self.out, "UID ", uid.get().into());
    }

    /// `FLAGS`
    pub fn flags(&mut self, flags: &Flags, recent: Recent) {
        self.next();
        let out = &mut self.out;
        out.text("FLAGS (");
        let mut separator = "";
        each(flags, |name| {
            out.text(separator);
            out.text(name);
            separator = " ";
        });
        if recent == Recent::Yes {
            out.text(separator);
            out.text("\\Recent");
        }
        out.text(")");
    }

    /// `MODSEQ`
    pub fn mod_seq(&mut self, mod_seq: ModSeq) {
        self.next();
        named_number(&mut self.out, "MODSEQ (", mod_seq.get());
        self.out.text(")");
    }

    /// `INTERNALDATE`
    pub fn internal_date(&mut self, date: InternalDate) {
        self.next();
        named_date(&mut self.out, "INTERNALDATE ", Some(date));
    }

    /// `RFC822.SIZE`
    pub fn rfc822_size(&mut self, size: u64) {
        self.next();
        named_number(&mut self.out, "RFC822.SIZE ", size);
    }

    /// `ENVELOPE`
    pub fn envelope(&mut self, value: &Envelope) {
        self.next();
        self.out.text("ENVELOPE ");
        envelope(&mut self.out, value);
    }

    /// `BODY` without a section: no extension data.
    pub fn body(&mut self, value: &BodyStructure) {
        self.next();
        self.out.text("BODY ");
        structure(&mut self.out, value, Form::Plain);
    }

    /// `BODYSTRUCTURE`
    pub fn body_structure(&mut self, value: &BodyStructure) {
        self.next();
        self.out.text("BODYSTRUCTURE ");
        structure(&mut self.out, value, Form::Extended);
    }

    /// `BODY[…]<origin>`; `origin` if a window was asked for.
    pub fn section(&mut self, which: &Section, origin: Option<u64>, data: &BodyData) {
        self.next();
        self.out.text("BODY");
        section(&mut self.out, which);
        write_origin(&mut self.out, origin);
        self.out.space();
        body_data(&mut self.out, data, "{");
    }

    /// Ends the response.
    pub fn end(mut self) {
        if self.is_open {
            self.out.text(")\r\n");
        }
    }

    /// Writes what stands before an item.
    fn next(&mut self) {
        if self.is_open {
            self.out.space();
            return;
        }
        self.is_open = true;
        self.out.text("* ");
        self.out.number(self.number);
        self.out.text(self.name);
    }
}
