//! Message rows: all that is kept of a message besides its bytes. Immutable.

use mail_types::{Address, Disposition, Envelope, InternalDate, Param, ThreadId};
use mime::{Content, Embedded, HeaderSummary, Message, Part};
use store::BlobId;

use super::{CorruptRecord, Fault, Reader, Writer, decode};

/// A message row as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message's bytes.
    pub blob: BlobId,
    /// Its conversation.
    pub thread: ThreadId,
    /// The parsed message, here or in a blob of its own.
    pub parsed: Parsed,
}

/// Where the parsed message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// In the row, as [`encode_parsed`] wrote it.
    Inline(Vec<u8>),
    /// In a blob that holds what [`encode_parsed`] wrote: it is too long for a row.
    Blob(BlobId),
}

impl StoredMessage {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERSION);
        w.fixed(self.blob.as_bytes());
        w.number(self.thread.get());
        match &self.parsed {
            Parsed::Inline(bytes) => {
                w.byte(0);
                w.bytes(bytes);
            }
            Parsed::Blob(id) => {
                w.byte(1);
                w.fixed(id.as_bytes());
            }
        }
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        decode(key, value, VERSION, |r| {
            Ok(Self {
                blob: BlobId::from(r.fixed::<32>()?),
                thread: ThreadId(r.number()?),
                parsed: match r.byte()? {
                    0 => Parsed::Inline(r.vec()?),
                    1 => Parsed::Blob(BlobId::from(r.fixed::<32>()?)),
                    _ => return Err("its structure is neither here nor elsewhere"),
                },
            })
        })
    }

    /// The blobs that the row names.
    pub fn blobs(&self) -> impl Iterator<Item = BlobId> {
        let other = match &self.parsed {
            Parsed::Inline(_) => None,
            Parsed::Blob(id) => Some(*id),
        };
        std::iter::once(self.blob).chain(other)
    }
}

/// A parsed message as stored.
#[must_use]
pub fn encode_parsed(message: &Message) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.number(message.size);
    write_envelope(&mut w, &message.header.envelope);
    w.option(message.header.date, write_date);
    write_opt(&mut w, message.header.message_id.as_deref());
    w.list(&message.header.references, |w, id| w.bytes(id));
    w.bytes(message.preview.as_bytes());
    write_part(&mut w, &message.root);
    w.finish()
}

/// A parsed message from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_parsed(key: &[u8], value: &[u8]) -> Result<Message, CorruptRecord> {
    decode(key, value, VERSION, |r| {
        Ok(Message {
            size: r.number()?,
            header: HeaderSummary {
                envelope: read_envelope(r)?,
                date: r.option(super::rows::date)?,
                message_id: r.option(Reader::vec)?,
                references: r.list(Reader::vec)?,
            },
            preview: r.text()?.to_owned(),
            root: read_part(r, 0)?,
        })
    })
}

fn write_date(w: &mut Writer, date: InternalDate) {
    w.signed(date.seconds());
    w.signed(i64::from(date.offset_minutes()));
}

fn write_opt(w: &mut Writer, value: Option<&[u8]>) {
    w.option(value, |w, bytes| w.bytes(bytes));
}

fn write_envelope(w: &mut Writer, envelope: &Envelope) {
    write_opt(w, envelope.date.as_deref());
    write_opt(w, envelope.subject.as_deref());
    let lists = [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ];
    for (at, list) in lists.into_iter().enumerate() {
        // Sender and Reply-To are mostly From again.
        if (1..=2).contains(&at) {
            let differs = *list != envelope.from;
            w.byte(u8::from(differs));
            if !differs {
                continue;
            }
        }
        w.list(list, write_address);
    }
    write_opt(w, envelope.in_reply_to.as_deref());
    write_opt(w, envelope.message_id.as_deref());
}

fn read_envelope(r: &mut Reader<'_>) -> Result<Envelope, Fault> {
    let date = r.option(Reader::vec)?;
    let subject = r.option(Reader::vec)?;
    let from = r.list(read_address)?;
    let sender = read_unless_from(r, &from)?;
    let reply_to = read_unless_from(r, &from)?;
    Ok(Envelope {
        date,
        subject,
        sender,
        reply_to,
        from,
        to: r.list(read_address)?,
        cc: r.list(read_address)?,
        bcc: r.list(read_address)?,
        in_reply_to: r.option(Reader::vec)?,
        message_id: r.option(Reader::vec)?,
    })
}

fn read_unless_from(r: &mut Reader<'_>, from: &[Address]) -> Result<Vec<Address>, Fault> {
    match r.byte()? {
        0 => Ok(from.to_vec()),
        1 => r.list(read_address),
        _ => Err("an address list is neither From nor another"),
    }
}

fn write_address(w: &mut Writer, address: &Address) {
    write_opt(w, address.name.as_deref());
    write_opt(w, address.adl.as_deref());
    write_opt(w, address.mailbox.as_deref());
    write_opt(w, address.host.as_deref());
}

fn read_address(r: &mut Reader<'_>) -> Result<Address, Fault> {
    Ok(Address {
        name: r.option(Reader::vec)?,
        adl: r.option(Reader::vec)?,
        mailbox: r.option(Reader::vec)?,
        host: r.option(Reader::vec)?,
    })
}

fn write_params(w: &mut Writer, params: &[Param]) {
    w.list(params, |w, param| {
        w.bytes(&param.name);
        w.bytes(&param.value);
    });
}

fn read_params(r: &mut Reader<'_>) -> Result<Vec<Param>, Fault> {
    r.list(|r| Ok(Param { name: r.vec()?, value: r.vec()? }))
}

/// Offsets as distances: each is at or after the one before it.
fn write_part(w: &mut Writer, part: &Part) {
    w.number(part.header_start);
    w.number(part.body_start.saturating_sub(part.header_start));
    w.number(part.end.saturating_sub(part.body_start));
    w.number(part.lines);
    w.bytes(&part.kind);
    w.bytes(&part.subtype);
    write_params(w, &part.params);
    write_opt(w, part.id.as_deref());
    write_opt(w, part.description.as_deref());
    write_opt(w, part.encoding.as_deref());
    write_opt(w, part.md5.as_deref());
    w.option(part.disposition.as_ref(), |w, disposition| {
        w.bytes(&disposition.kind);
        write_params(w, &disposition.params);
    });
    w.list(&part.language, |w, language| w.bytes(language));
    write_opt(w, part.location.as_deref());
    match &part.content {
        Content::Leaf => w.byte(0),
        Content::Multipart(parts) => {
            w.byte(1);
            w.list(parts, write_part);
        }
        Content::Message(inner) => {
            w.byte(2);
            write_envelope(w, &inner.envelope);
            write_part(w, &inner.root);
        }
    }
}

fn read_part(r: &mut Reader<'_>, depth: usize) -> Result<Part, Fault> {
    if depth > DEPTH_MAX {
        return Err("its parts are nested too deeply");
    }
    let header_start = r.number()?;
    let body_start = header_start.checked_add(r.number()?).ok_or(OFFSET)?;
    let end = body_start.checked_add(r.number()?).ok_or(OFFSET)?;
    Ok(Part {
        header_start,
        body_start,
        end,
        lines: r.number()?,
        kind: r.vec()?,
        subtype: r.vec()?,
        params: read_params(r)?,
        id: r.option(Reader::vec)?,
        description: r.option(Reader::vec)?,
        encoding: r.option(Reader::vec)?,
        md5: r.option(Reader::vec)?,
        disposition: r.option(|r| Ok(Disposition { kind: r.vec()?, params: read_params(r)? }))?,
        language: r.list(Reader::vec)?,
        location: r.option(Reader::vec)?,
        content: match r.byte()? {
            0 => Content::Leaf,
            1 => Content::Multipart(r.list(|r| read_part(r, depth + 1))?),
            2 => {
                let envelope = read_envelope(r)?;
                Content::Message(Box::new(Embedded { envelope, root: read_part(r, depth + 1)? }))
            }
            _ => return Err("its content is not known"),
        },
    })
}

const VERSION: u8 = 1;
/// Deeper than the parser ever nests: twice its limit, because a message inside a part counts as
/// one level here and as two there.
const DEPTH_MAX: usize = 256;
const OFFSET: Fault = "an offset is out of range";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::assert_damage_is_noticed;

    fn leaf(start: u64) -> Part {
        Part {
            header_start: start,
            body_start: start + 20,
            end: start + 50,
            lines: 3,
            kind: b"text".to_vec(),
            subtype: b"plain".to_vec(),
            params: vec![Param { name: b"charset".to_vec(), value: b"utf-8".to_vec() }],
            id: Some(b"<i@x>".to_vec()),
            description: None,
            encoding: Some(b"8bit".to_vec()),
            md5: None,
            disposition: Some(Disposition { kind: b"inline".to_vec(), params: Vec::new() }),
            language: vec![b"de".to_vec()],
            location: None,
            content: Content::Leaf,
        }
    }

    fn message() -> Message {
        let address = Address {
            name: Some(b"Office".to_vec()),
            adl: None,
            mailbox: Some(b"office".to_vec()),
            host: Some(b"harbour.example".to_vec()),
        };
        let envelope = Envelope {
            subject: Some(b"Tide".to_vec()),
            from: vec![address.clone()],
            sender: vec![address.clone()],
            reply_to: vec![address.clone(), address],
            ..Envelope::default()
        };
        let inner = Embedded { envelope: envelope.clone(), root: leaf(100) };
        let carrier = Part { content: Content::Message(Box::new(inner)), ..leaf(60) };
        let root = Part { content: Content::Multipart(vec![leaf(30), carrier]), ..leaf(0) };
        let header = HeaderSummary {
            envelope,
            date: Some(InternalDate::new(7, -60)),
            message_id: Some(b"a@b".to_vec()),
            references: vec![b"c@d".to_vec()],
        };
        Message { size: 200, header, root, preview: "Low water\u{2026}".to_owned() }
    }

    #[test]
    fn parsed_messages_read_back_and_damage_is_noticed() {
        let bytes = encode_parsed(&message());
        assert_eq!(decode_parsed(b"k", &bytes), Ok(message()));
        assert_damage_is_noticed(&bytes, |bytes| decode_parsed(b"k", bytes));
    }

    #[test]
    fn rows_read_back_and_name_their_blobs() {
        let (blob, thread) = (BlobId::of(b"1"), ThreadId(5));
        let inline = StoredMessage { blob, thread, parsed: Parsed::Inline(vec![1, 2]) };
        let far = StoredMessage { blob, thread, parsed: Parsed::Blob(BlobId::of(b"2")) };
        for row in [inline, far.clone()] {
            assert_damage_is_noticed(&row.encode(), |bytes| StoredMessage::decode(b"k", bytes));
        }
        assert_eq!(far.blobs().collect::<Vec<_>>(), [BlobId::of(b"1"), BlobId::of(b"2")]);
    }

    #[test]
    fn a_tree_nested_without_end_is_refused() {
        let mut part = leaf(0);
        for _ in 0..300 {
            part = Part { content: Content::Multipart(vec![part]), ..leaf(0) };
        }
        let bytes = encode_parsed(&Message { root: part, ..message() });
        assert!(decode_parsed(b"k", &bytes).is_err());
    }
}
