//! Rows of the outbound queue.

use mail_queue::{
    Body, Claim, Entry, Hold, Notify, Origin, OriginalRecipient, Progress, QueuedRecipient,
    Recipient, Release, Reply, Ret, Terms,
};
use store::BlobId;

use super::{CorruptRecord, Fault, Reader, Writer, decode};

/// An entry with the name of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// The message, in the scope of the queue.
    pub blob: BlobId,
    /// All else.
    pub entry: Entry,
}

/// The value of a row that stands where an entry must not come to be any more: whether its commit
/// happened was not known, and the client was told that it did not.
pub const NEVER: &[u8] = &[0];

impl StoredEntry {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { blob, entry } = self;
        let mut w = Writer::new(VERSION);
        w.fixed(blob.as_bytes());
        write_terms(&mut w, &entry.terms);
        w.number(entry.size);
        w.signed(entry.arrived);
        match entry.hold {
            Hold::No => w.byte(0),
            Hold::Until(until) => {
                w.byte(1);
                w.signed(until);
            }
            Hold::Operator => w.byte(2),
        }
        w.option(entry.claim.as_ref(), |w, claim| {
            w.fixed(&claim.node.to_be_bytes());
            w.fixed(&claim.token.to_be_bytes());
            w.signed(claim.until);
        });
        w.list(&entry.recipients, write_recipient);
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        decode(key, value, VERSION, |r| {
            let blob = BlobId::from(r.fixed::<32>()?);
            let (terms, size, arrived) = (read_terms(r)?, r.number()?, r.signed()?);
            let hold = match r.byte()? {
                0 => Hold::No,
                1 => Hold::Until(r.signed()?),
                2 => Hold::Operator,
                _ => return Err("it is held in no known way"),
            };
            let claim = r.option(|r| {
                let (node, token) =
                    (u64::from_be_bytes(r.fixed()?), u64::from_be_bytes(r.fixed()?));
                Ok(Claim { node, token, until: r.signed()? })
            })?;
            let recipients = r.list(read_recipient)?;
            Ok(Self { blob, entry: Entry { terms, size, arrived, recipients, hold, claim } })
        })
    }
}

fn write_terms(w: &mut Writer, terms: &Terms) {
    let text = |w: &mut Writer, text: &String| w.bytes(text.as_bytes());
    w.option(terms.sender.as_ref(), text);
    match &terms.origin {
        Origin::Account(name) => {
            w.byte(0);
            w.bytes(name.as_bytes());
        }
        Origin::Server => w.byte(1),
        Origin::Stranger => w.byte(2),
        Origin::Vouched => w.byte(3),
    }
    w.option(terms.envid.as_ref(), text);
    w.byte(match terms.ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Headers) => 2,
    });
    w.byte(match terms.body {
        Body::SevenBit => 0,
        Body::EightBitMime => 1,
        Body::BinaryMime => 2,
    });
    let release = match terms.release {
        None => 0,
        Some(Release::For(_)) => RELEASE_FOR,
        Some(Release::Until(_)) => RELEASE_UNTIL,
    };
    let marks = [
        (terms.smtputf8, SMTPUTF8),
        (terms.require_tls, REQUIRE_TLS),
        (terms.tls_optional, TLS_OPTIONAL),
        (terms.forwarded_as.is_some(), FORWARDED),
    ];
    let set = marks.iter().filter(|(is_set, _)| *is_set);
    w.byte(set.fold(release, |marks, (_, mark)| marks | mark));
    match terms.release {
        None => {}
        Some(Release::For(secs)) => w.number(u64::from(secs)),
        Some(Release::Until(at)) => w.signed(at),
    }
    if let Some(path) = &terms.forwarded_as {
        text(w, path);
    }
}

fn read_terms(r: &mut Reader<'_>) -> Result<Terms, Fault> {
    let sender = r.option(Reader::string)?;
    let origin = match r.byte()? {
        0 => Origin::Account(r.string()?),
        1 => Origin::Server,
        2 => Origin::Stranger,
        3 => Origin::Vouched,
        _ => return Err("its origin is not known"),
    };
    let envid = r.option(Reader::string)?;
    let ret = match r.byte()? {
        0 => None,
        1 => Some(Ret::Full),
        2 => Some(Ret::Headers),
        _ => return Err("what it returns is not known"),
    };
    let body = match r.byte()? {
        0 => Body::SevenBit,
        1 => Body::EightBitMime,
        2 => Body::BinaryMime,
        _ => return Err("its kind of body is not known"),
    };
    let marks = r.byte()?;
    let has = |mark| marks & mark != 0;
    let release = match marks & (RELEASE_FOR | RELEASE_UNTIL) {
        0 => None,
        RELEASE_FOR => Some(Release::For(r.number_u32()?)),
        RELEASE_UNTIL => Some(Release::Until(r.signed()?)),
        _ => return Err("it is released in two ways"),
    };
    if marks > MARKS_MAX {
        return Err("its marks are not known");
    }
    let forwarded_as = if has(FORWARDED) { Some(r.string()?) } else { None };
    Ok(Terms {
        sender,
        forwarded_as,
        origin,
        envid,
        ret,
        body,
        smtputf8: has(SMTPUTF8),
        require_tls: has(REQUIRE_TLS),
        tls_optional: has(TLS_OPTIONAL),
        release,
    })
}

fn write_recipient(w: &mut Writer, recipient: &QueuedRecipient) {
    w.bytes(recipient.to.address.as_bytes());
    w.byte(match recipient.to.notify {
        Notify::Unasked => 0,
        Notify::Never => 1,
        Notify::On { success, failure, delay } => {
            NOTIFY_ON | u8::from(success) | u8::from(failure) << 1 | u8::from(delay) << 2
        }
    });
    w.option(recipient.to.original.as_ref(), |w, original| {
        w.bytes(original.kind.as_bytes());
        w.bytes(original.address.as_bytes());
    });
    write_progress(w, recipient.progress);
    w.number(u64::from(recipient.attempts));
    w.signed(recipient.since);
    w.signed(recipient.next);
    w.signed(recipient.waited_secs);
    w.byte(u8::from(recipient.warned));
    w.option(recipient.reply.as_ref(), |w, reply| {
        for part in reply.status {
            w.number(u64::from(part));
        }
        w.option(reply.smtp.as_ref(), |w, text| w.bytes(text.as_bytes()));
        w.option(reply.remote.as_ref(), |w, text| w.bytes(text.as_bytes()));
        w.bytes(reply.text.as_bytes());
    });
}

fn read_recipient(r: &mut Reader<'_>) -> Result<QueuedRecipient, Fault> {
    let address = r.string()?;
    let notify = match r.byte()? {
        0 => Notify::Unasked,
        1 => Notify::Never,
        on if on & !7 == NOTIFY_ON => {
            Notify::On { success: on & 1 != 0, failure: on & 2 != 0, delay: on & 4 != 0 }
        }
        _ => return Err("what is to be told is not known"),
    };
    let original =
        r.option(|r| Ok(OriginalRecipient { kind: r.string()?, address: r.string()? }))?;
    let progress = read_progress(r)?;
    let (attempts, since, next) = (r.number_u32()?, r.signed()?, r.signed()?);
    let waited_secs = r.signed()?;
    let warned = match r.byte()? {
        0 => false,
        1 => true,
        _ => return Err("whether the sender was warned is not known"),
    };
    let reply = r.option(|r| {
        let status = [r.number_u16()?, r.number_u16()?, r.number_u16()?];
        Ok(Reply {
            status,
            smtp: r.option(Reader::string)?,
            remote: r.option(Reader::string)?,
            text: r.string()?,
        })
    })?;
    let to = Recipient { address, notify, original };
    Ok(QueuedRecipient { to, progress, attempts, since, next, waited_secs, warned, reply })
}

pub(super) fn write_progress(w: &mut Writer, progress: Progress) {
    w.byte(match progress {
        Progress::Waiting => 0,
        Progress::InProgress => 1,
        Progress::Delivered => 2,
        Progress::Failed => 3,
        Progress::Expired => 4,
    });
}

pub(super) fn read_progress(r: &mut Reader<'_>) -> Result<Progress, Fault> {
    match r.byte()? {
        0 => Ok(Progress::Waiting),
        1 => Ok(Progress::InProgress),
        2 => Ok(Progress::Delivered),
        3 => Ok(Progress::Failed),
        4 => Ok(Progress::Expired),
        _ => Err("how far a recipient is is not known"),
    }
}

/// The mark that an entry was delivered: when, so that the sweep knows when it is old.
#[must_use]
pub fn encode_delivered(at: i64) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.signed(at);
    w.finish()
}

/// When it was delivered.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_delivered(key: &[u8], value: &[u8]) -> Result<i64, CorruptRecord> {
    decode(key, value, VERSION, |r| r.signed())
}

const NOTIFY_ON: u8 = 8;

/// Marks of an entry. A program that is older than one of them refuses an entry that has it.
const SMTPUTF8: u8 = 1;
const REQUIRE_TLS: u8 = 2;
const TLS_OPTIONAL: u8 = 4;
const RELEASE_FOR: u8 = 8;
const RELEASE_UNTIL: u8 = 16;
const FORWARDED: u8 = 32;
const MARKS_MAX: u8 = 63;

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::super::tests::assert_damage_is_noticed;
    use super::*;

    fn full() -> StoredEntry {
        let mut terms =
            Terms::new(Some("dock@mail.example".into()), Origin::Account("dock".into()));
        (terms.envid, terms.ret) = (Some("QQ314159".into()), Some(Ret::Headers));
        (terms.body, terms.smtputf8) = (Body::EightBitMime, true);
        let original = OriginalRecipient { kind: "rfc822".into(), address: "B@x.example".into() };
        let notify = Notify::On { success: true, failure: false, delay: true };
        let to = vec![
            Recipient { address: "b@x.example".into(), notify, original: Some(original) },
            Recipient::new("c@y.example"),
        ];
        let mut entry = Entry::new(terms, to, 1234, 1_800_000_000, Some(1_800_000_300));
        entry.claim = Some(Claim { node: 1, token: u64::MAX, until: 1_800_000_600 });
        let last = &mut entry.recipients[1];
        (last.progress, last.attempts, last.warned) = (Progress::InProgress, 3, true);
        last.reply = Some(Reply {
            status: [4, 7, 1],
            smtp: Some("451 4.7.1 come again".into()),
            remote: Some("mx.y.example".into()),
            text: "come again".into(),
        });
        StoredEntry { blob: BlobId::of(b"x"), entry }
    }

    #[test]
    fn entries_read_back_and_damage_is_noticed() {
        let mut small = full();
        small.entry.terms = Terms::new(None, Origin::Stranger);
        (small.entry.claim, small.entry.hold) = (None, Hold::Operator);
        small.entry.recipients.truncate(1);
        let mut held = full();
        (held.entry.terms.require_tls, held.entry.terms.release) = (true, Some(Release::For(600)));
        let mut plain = small.clone();
        plain.entry.terms.tls_optional = true;
        plain.entry.terms.release = Some(Release::Until(1_800_000_300));
        let mut forwarded = plain.clone();
        forwarded.entry.terms.forwarded_as = Some("SRS0=t=d=x.example=a@mail.example".into());
        let mut vouched = full();
        vouched.entry.terms.origin = Origin::Vouched;
        for entry in [full(), small, held, plain, forwarded, vouched] {
            let bytes = entry.encode();
            assert_eq!(StoredEntry::decode(b"k", &bytes), Ok(entry));
            assert_damage_is_noticed(&bytes, |bytes| StoredEntry::decode(b"k", bytes));
        }
        assert!(StoredEntry::decode(b"k", NEVER).is_err());
    }

    /// What is stored must keep its meaning from one version of the program to the next.
    #[test]
    fn each_origin_has_its_tag_and_no_other_tag_is_read() {
        let of = |origin| {
            let mut w = Writer::new(VERSION);
            write_terms(&mut w, &Terms::new(None, origin));
            w.finish()
        };
        let read = |bytes: &[u8]| decode(b"k", bytes, VERSION, read_terms).map(|it| it.origin);
        let origins = [Origin::Server, Origin::Stranger, Origin::Vouched];
        let mut bytes = of(Origin::Server);
        let at = 2; // behind the version and "no sender"
        for (tag, origin) in (1..).zip(origins) {
            bytes[at] = tag;
            assert_eq!(bytes, of(origin.clone()));
            assert_eq!(read(&bytes), Ok(origin));
        }
        bytes[at] = 4;
        assert!(read(&bytes).is_err());
    }

    #[test]
    fn the_longest_entry_fits_in_a_row() {
        let mut stored = full();
        let text = |length: usize| "x".repeat(length);
        let reply = Reply {
            status: [u16::MAX; 3],
            smtp: Some(text(mail_queue::REPLY_BYTES_MAX)),
            remote: Some(text(mail_queue::REPLY_BYTES_MAX)),
            text: text(mail_queue::REPLY_BYTES_MAX),
        };
        let recipient = &mut stored.entry.recipients[0];
        (recipient.since, recipient.next, recipient.waited_secs) = (i64::MIN, i64::MIN, i64::MAX);
        recipient.attempts = u32::MAX;
        recipient.to.address = text(320);
        recipient.to.original = Some(OriginalRecipient { kind: text(32), address: text(500) });
        recipient.reply = Some(reply);
        let recipient = recipient.clone();
        stored.entry.recipients = vec![recipient; mail_queue::ENTRY_RECIPIENTS_MAX];
        stored.entry.terms.sender = Some(text(320));
        stored.entry.terms.forwarded_as = Some(text(320));
        stored.entry.terms.origin = Origin::Account(text(320));
        let envelope = mail_queue::Envelope {
            terms: stored.entry.terms.clone(),
            recipients: stored.entry.recipients.iter().map(|r| r.to.clone()).collect(),
            hold_until: None,
        };
        assert_eq!(envelope.check(), Ok(()), "these are the maxima");
        let bytes = stored.encode().len();
        assert!(bytes <= store::limits::VALUE_BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn marks_read_back_and_damage_is_noticed() {
        let bytes = encode_delivered(1_800_000_000);
        assert_damage_is_noticed(&bytes, |bytes| decode_delivered(b"k", bytes));
    }
}
