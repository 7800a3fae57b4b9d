//! The rows of the model: head, mailbox records, memberships, subscriptions.

use mail_types::{
    AnnotationName, EntryName, InternalDate, Keyword, MailboxId, MailboxName, MessageId, ModSeq,
    SystemFlags, ThreadId, Uid, UidValidity,
};
use mailbox::{
    Acl, AnnotationValue, Annotations, Audience, Counts, Head, Identifier, KeywordNames,
    MailboxRecord, MembershipRow, MetadataValue, Quota, Rights, SpecialUses, Subscription,
};

use super::{CorruptRecord, Fault, Reader, Writer, decode, decode_between};
use crate::limits::Sharing;

/// The head of an account with the mark of the commit that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// The counters.
    pub head: Head,
    /// No two commits write the same mark. Two writers that both took the next modseq make
    /// different heads, so that a commit prepared on top of one cannot succeed on the other.
    pub mark: u128,
    /// The marks of the commits before it, newest first; zero where there is none. By them a writer
    /// that lost its answer learns what became of its commit. Empty unless several processes share
    /// the store: alone, a writer knows what it wrote.
    pub past: Marks,
    /// Whether the account is being moved to another store: then nobody may change it.
    pub frozen: bool,
}

/// Marks of earlier commits.
pub type Marks = [u128; MARKS_MAX];

/// Earlier commits that a head remembers: more than two nodes make between a lost answer and the
/// look at what became of it. Each costs 16 bytes of every commit.
pub const MARKS_MAX: usize = 12;

impl HeadRow {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERSION);
        w.fixed(&self.mark.to_be_bytes());
        w.number(self.head.modseq.get());
        w.number(self.head.next_mailbox.get());
        w.number(self.head.next_message.get());
        w.number(u64::from(self.head.last_uid_validity));
        w.number(self.head.history_floor.get());
        let past = self.past.iter().filter(|mark| **mark != 0).count();
        // Without either it is what it was before there were several nodes.
        if past > 0 || self.frozen {
            let frozen = if self.frozen { FROZEN } else { 0 };
            w.byte(frozen | u8::try_from(past).unwrap_or_default());
            for mark in self.past.iter().take(past) {
                w.fixed(&mark.to_be_bytes());
            }
        }
        w.finish()
    }

    /// The row of the commit that comes after this one.
    #[must_use]
    pub fn next(&self, head: Head, mark: u128, sharing: Sharing) -> Self {
        let mut past = Marks::default();
        if sharing == Sharing::Shared {
            let earlier = std::iter::once(&self.mark).chain(&self.past);
            past.iter_mut().zip(earlier).for_each(|(to, from)| *to = *from);
        }
        Self { head, mark, past, frozen: self.frozen }
    }

    /// Whether the commit with this mark led to this row, as far back as it remembers.
    #[must_use]
    pub fn follows(&self, mark: u128) -> bool {
        self.mark == mark || self.past.contains(&mark)
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        decode(key, value, VERSION, |r| {
            let mark = u128::from_be_bytes(r.fixed()?);
            let head = Head {
                modseq: modseq(r)?,
                next_mailbox: MailboxId(r.number()?),
                next_message: MessageId(r.number()?),
                last_uid_validity: r.number_u32()?,
                history_floor: modseq(r)?,
            };
            let mut row = Self { head, mark, past: Marks::default(), frozen: false };
            if r.is_empty() {
                return Ok(row);
            }
            let more = r.byte()?;
            row.frozen = more & FROZEN != 0;
            let past = usize::from(more & !FROZEN);
            if more == 0 || past > MARKS_MAX {
                return Err("it cannot have so many marks");
            }
            for mark in row.past.iter_mut().take(past) {
                *mark = u128::from_be_bytes(r.fixed()?);
            }
            Ok(row)
        })
    }
}

/// The bit that says so, beside the number of marks.
const FROZEN: u8 = 0x80;

/// A mailbox record as stored. Its id is in the key.
#[must_use]
pub fn encode_mailbox(record: &MailboxRecord) -> Vec<u8> {
    let mut w = Writer::new(version_of_counts(&record.counts));
    write_mailbox(&mut w, record);
    w.finish()
}

/// A mailbox record from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_mailbox(
    key: &[u8],
    value: &[u8],
    id: MailboxId,
) -> Result<MailboxRecord, CorruptRecord> {
    decode_between(key, value, VERSION..=ANNOTATED, |r| read_mailbox(r, id))
}

/// The record of a removed mailbox, with the modseq and time of its removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedMailbox {
    /// As it was when it was removed.
    pub record: MailboxRecord,
    /// Modseq of the removal.
    pub modseq: ModSeq,
    /// Seconds since 1970.
    pub at: i64,
}

impl RemovedMailbox {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(version_of_counts(&self.record.counts));
        w.number(self.modseq.get());
        w.signed(self.at);
        write_mailbox(&mut w, &self.record);
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8], id: MailboxId) -> Result<Self, CorruptRecord> {
        decode_between(key, value, VERSION..=ANNOTATED, |r| {
            let modseq = modseq(r)?;
            let at = r.signed()?;
            Ok(Self { record: read_mailbox(r, id)?, modseq, at })
        })
    }
}

/// A membership as stored. Mailbox and UID are in the key.
#[must_use]
pub fn encode_membership(row: &MembershipRow) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.number(row.message.get());
    w.number(row.thread.get());
    w.number(row.modseq.get());
    w.signed(row.internal_date.seconds());
    w.signed(i64::from(row.internal_date.offset_minutes()));
    w.signed(row.save_date);
    w.number(u64::from(row.size));
    w.byte(row.system.bits());
    w.list(&row.keywords, |w, number| w.number(u64::from(*number)));
    w.finish()
}

/// A membership from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_membership(
    key: &[u8],
    value: &[u8],
    uid: Uid,
) -> Result<MembershipRow, CorruptRecord> {
    decode(key, value, VERSION, |r| {
        Ok(MembershipRow {
            uid,
            message: MessageId(r.number()?),
            thread: ThreadId(r.number()?),
            modseq: modseq(r)?,
            internal_date: date(r)?,
            save_date: r.signed()?,
            size: r.number_u32()?,
            system: SystemFlags::from_bits(r.byte()?).ok_or("a flag is not known")?,
            keywords: r.list(Reader::number_u16)?,
        })
    })
}

/// The message that a membership names, without reading the rest.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_membership_message(
    key: &[u8],
    value: &[u8],
) -> Result<(MessageId, ThreadId), CorruptRecord> {
    let mut reader = Reader { bytes: value, version: VERSION };
    let ids = (|| {
        if reader.byte()? != VERSION {
            return Err("its version is not known");
        }
        Ok((MessageId(reader.number()?), ThreadId(reader.number()?)))
    })();
    ids.map_err(|what| CorruptRecord::new(key, what))
}

/// A subscription as stored. The name is in the key.
#[must_use]
pub fn encode_subscription(subscription: Subscription) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.byte(match subscription {
        Subscription::Automatic => 0,
        Subscription::Asked => 1,
    });
    w.finish()
}

/// A subscription from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_subscription(key: &[u8], value: &[u8]) -> Result<Subscription, CorruptRecord> {
    decode(key, value, VERSION, read_subscription)
}

pub(super) fn read_subscription(r: &mut Reader<'_>) -> Result<Subscription, Fault> {
    match r.byte()? {
        0 => Ok(Subscription::Automatic),
        1 => Ok(Subscription::Asked),
        _ => Err("a subscription is not known"),
    }
}

/// The secret behind the URLs of a mailbox, as many octets as HMAC-SHA256 makes. RFC 4467 §2.2
pub type AccessKeyBytes = [u8; 32];

/// An access key as stored. The mailbox is in the key.
#[must_use]
pub fn encode_access_key(secret: &AccessKeyBytes) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.fixed(secret);
    w.finish()
}

/// An access key from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_access_key(key: &[u8], value: &[u8]) -> Result<AccessKeyBytes, CorruptRecord> {
    decode(key, value, VERSION, |r| r.fixed())
}

/// An annotation as stored. What it belongs to and its name are in the key.
#[must_use]
pub fn encode_metadata(value: &[u8]) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    w.bytes(value);
    w.finish()
}

/// An annotation from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_metadata(key: &[u8], value: &[u8]) -> Result<MetadataValue, CorruptRecord> {
    decode(key, value, VERSION, |r| r.bytes().map(MetadataValue::from))
}

/// An access control list as stored.
#[must_use]
pub fn encode_acl(acl: &Acl) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    write_acl(&mut w, acl);
    w.finish()
}

/// An access control list from storage.
///
/// # Errors
/// `CorruptRecord`; a list without entries has no row.
pub fn decode_acl(key: &[u8], value: &[u8]) -> Result<Acl, CorruptRecord> {
    decode(key, value, VERSION, |r| {
        let acl = read_acl(r)?;
        if acl.is_empty() { Err("the list is empty") } else { Ok(acl) }
    })
}

pub(super) fn write_acl(w: &mut Writer, acl: &Acl) {
    w.count(acl.len());
    for (identifier, rights) in acl.iter() {
        w.bytes(identifier.as_str().as_bytes());
        w.number(u64::from(rights.bits()));
    }
}

pub(super) fn read_acl(r: &mut Reader<'_>) -> Result<Acl, Fault> {
    let count = r.count()?;
    if count > Acl::ENTRIES_MAX {
        return Err("a list has too many entries");
    }
    let mut entries: Vec<(Identifier, Rights)> = Vec::with_capacity(count);
    for _ in 0..count {
        let identifier = Identifier::new(r.text()?).map_err(|_| "an identifier is not allowed")?;
        if entries.last().is_some_and(|(last, _)| *last >= identifier) {
            return Err("identifiers are not in order");
        }
        let bits = u16::try_from(r.number()?).ok().and_then(Rights::from_bits);
        let rights = bits.filter(|rights| !rights.is_empty()).ok_or("rights are not known")?;
        entries.push((identifier, rights));
    }
    Ok(Acl::new(entries))
}

/// What one audience has of annotations of a message, as stored. Whose they are is in the key.
#[must_use]
pub fn encode_annotations(annotations: &Annotations, audience: Audience) -> Vec<u8> {
    let mut w = Writer::new(VERSION);
    let all: Vec<_> = annotations.of(audience).collect();
    w.list(&all, |w, (name, value)| {
        w.bytes(name.as_str().as_bytes());
        w.bytes(value);
    });
    w.finish()
}

/// The same from storage, in the order of the names.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_annotations(
    key: &[u8],
    value: &[u8],
) -> Result<Vec<(AnnotationName, AnnotationValue)>, CorruptRecord> {
    decode(key, value, VERSION, |r| {
        let all = r.list(|r| Ok((annotation_name(r)?, AnnotationValue::from(r.bytes()?))))?;
        let is_sorted = all.is_sorted_by(|(a, _), (b, _)| a < b);
        if is_sorted && !all.is_empty() { Ok(all) } else { Err("annotations are out of order") }
    })
}

pub(super) fn annotation_name(r: &mut Reader<'_>) -> Result<AnnotationName, Fault> {
    AnnotationName::new(r.text()?).map_err(|_| "the name of an annotation is not allowed")
}

/// A record is written in the oldest version that can hold it: a store without annotations of
/// messages stays as it was.
pub(super) fn version_of_counts(counts: &Counts) -> u8 {
    if counts.annotation_bytes > 0 { ANNOTATED } else { VERSION }
}

pub(super) fn version_of_quota(quota: &Quota) -> u8 {
    if quota.annotation_kib.is_some() { ANNOTATED } else { VERSION }
}

/// The limits of an account as stored.
#[must_use]
pub fn encode_quota(quota: &Quota) -> Vec<u8> {
    let mut w = Writer::new(version_of_quota(quota));
    write_quota(&mut w, quota);
    w.finish()
}

/// The limits of an account from storage.
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_quota(key: &[u8], value: &[u8]) -> Result<Quota, CorruptRecord> {
    decode_between(key, value, VERSION..=ANNOTATED, read_quota)
}

pub(super) fn write_quota(w: &mut Writer, quota: &Quota) {
    for limit in [quota.storage_kib, quota.messages, quota.mailboxes] {
        w.option(limit, Writer::number);
    }
    if w.version() >= ANNOTATED {
        w.option(quota.annotation_kib, Writer::number);
    }
}

pub(super) fn read_quota(r: &mut Reader<'_>) -> Result<Quota, Fault> {
    Ok(Quota {
        storage_kib: r.option(Reader::number)?,
        messages: r.option(Reader::number)?,
        mailboxes: r.option(Reader::number)?,
        annotation_kib: match r.version() {
            ANNOTATED.. => r.option(Reader::number)?,
            _ => None,
        },
    })
}

pub(super) fn entry_name(r: &mut Reader<'_>) -> Result<EntryName, Fault> {
    let text = r.text()?;
    let name = EntryName::new(text).map_err(|_| "the name of an annotation is not allowed")?;
    // A name has one spelling; another one is damage.
    if name.as_str() == text { Ok(name) } else { Err("a name is not in its one spelling") }
}

fn write_mailbox(w: &mut Writer, record: &MailboxRecord) {
    w.bytes(record.name.as_str().as_bytes());
    w.number(u64::from(record.uid_validity.get()));
    w.number(u64::from(record.uid_next.get()));
    w.number(record.highest_modseq.get());
    w.number(record.created.get());
    w.byte(record.special_use.bits());
    w.number(u64::from(record.recent_mark.get()));
    w.number(u64::from(record.recent));
    write_counts(w, &record.counts);
    w.list(record.keywords.all(), |w, keyword| w.bytes(keyword.as_str().as_bytes()));
}

fn read_mailbox(r: &mut Reader<'_>, id: MailboxId) -> Result<MailboxRecord, Fault> {
    Ok(MailboxRecord {
        id,
        name: name(r)?,
        uid_validity: UidValidity::new(r.number_u32()?).ok_or("its UIDVALIDITY is zero")?,
        uid_next: uid(r)?,
        highest_modseq: modseq(r)?,
        created: modseq(r)?,
        special_use: special_uses(r)?,
        recent_mark: uid(r)?,
        recent: r.number_u32()?,
        counts: read_counts(r)?,
        keywords: KeywordNames::new(r.list(keyword)?),
    })
}

pub(super) fn write_counts(w: &mut Writer, counts: &Counts) {
    w.number(u64::from(counts.messages));
    w.number(u64::from(counts.unseen));
    w.number(u64::from(counts.deleted));
    w.number(counts.size_bytes);
    w.number(counts.deleted_bytes);
    if w.version() >= ANNOTATED {
        w.number(counts.annotation_bytes);
    }
}

pub(super) fn read_counts(r: &mut Reader<'_>) -> Result<Counts, Fault> {
    Ok(Counts {
        messages: r.number_u32()?,
        unseen: r.number_u32()?,
        deleted: r.number_u32()?,
        size_bytes: r.number()?,
        deleted_bytes: r.number()?,
        annotation_bytes: if r.version() >= ANNOTATED { r.number()? } else { 0 },
    })
}

pub(super) fn name(r: &mut Reader<'_>) -> Result<MailboxName, Fault> {
    let text = r.text()?;
    let name = MailboxName::new(text).map_err(|_| "a name is not allowed")?;
    // A name has one spelling; another one is damage.
    if name.as_str() == text { Ok(name) } else { Err("a name is not in its one spelling") }
}

pub(super) fn keyword(r: &mut Reader<'_>) -> Result<Keyword, Fault> {
    Keyword::new(r.text()?).map_err(|_| "a keyword is not allowed")
}

pub(super) fn modseq(r: &mut Reader<'_>) -> Result<ModSeq, Fault> {
    ModSeq::new(r.number()?).ok_or("a modseq is too large")
}

pub(super) fn uid(r: &mut Reader<'_>) -> Result<Uid, Fault> {
    Uid::new(r.number_u32()?).ok_or("a UID is zero")
}

pub(super) fn date(r: &mut Reader<'_>) -> Result<InternalDate, Fault> {
    let seconds = r.signed()?;
    let offset = i16::try_from(r.signed()?).map_err(|_| "an offset is too large")?;
    let date = InternalDate::new(seconds, offset);
    let is_same = date.seconds() == seconds && date.offset_minutes() == offset;
    if is_same { Ok(date) } else { Err("a date is out of range") }
}

pub(super) fn special_uses(r: &mut Reader<'_>) -> Result<SpecialUses, Fault> {
    SpecialUses::from_bits(r.byte()?).ok_or("a special use is not known")
}

const VERSION: u8 = 1;
/// Counts and limits have annotations of messages.
pub(super) const ANNOTATED: u8 = 2;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::codec::tests::assert_damage_is_noticed;
    use mail_types::SpecialUse;

    pub(crate) fn record() -> MailboxRecord {
        MailboxRecord {
            id: MailboxId(300),
            name: MailboxName::new("Lists/R\u{fc}st").unwrap(),
            uid_validity: UidValidity::new(9).unwrap(),
            uid_next: Uid::new(70_000).unwrap(),
            highest_modseq: ModSeq::new(1 << 40).unwrap(),
            created: ModSeq::new(3).unwrap(),
            special_use: SpecialUses::new(&[SpecialUse::Junk]),
            recent_mark: Uid::new(69_000).unwrap(),
            recent: 12,
            counts: Counts {
                messages: 5,
                unseen: 2,
                deleted: 1,
                size_bytes: 1 << 33,
                deleted_bytes: 77,
                annotation_bytes: 0,
            },
            keywords: KeywordNames::well_known(),
        }
    }

    pub(crate) fn membership() -> MembershipRow {
        MembershipRow {
            uid: Uid::new(7).unwrap(),
            message: MessageId(1000),
            thread: ThreadId(999),
            modseq: ModSeq::new(12_345).unwrap(),
            internal_date: InternalDate::new(-5, -420),
            save_date: 1_700_000_000,
            size: 4_000_000_000,
            system: SystemFlags::SEEN,
            keywords: vec![0, 300],
        }
    }

    #[test]
    fn heads_read_back_and_damage_is_noticed() {
        let head = Head { modseq: ModSeq::new(600).unwrap(), ..Head::default() };
        let row = HeadRow { head, mark: 1 << 99, past: Marks::default(), frozen: false };
        assert_eq!(HeadRow::decode(b"k", &row.encode()), Ok(row));
        assert_damage_is_noticed(&row.encode(), |bytes| HeadRow::decode(b"k", bytes));
        let shared = row.next(head, 7, Sharing::Shared).next(head, 8, Sharing::Shared);
        for row in [shared, HeadRow { frozen: true, ..shared }, HeadRow { frozen: true, ..row }] {
            assert_eq!(HeadRow::decode(b"k", &row.encode()), Ok(row));
        }
    }

    #[test]
    fn a_head_remembers_the_marks_before_it_and_forgets_the_oldest() {
        let mut row =
            HeadRow { head: Head::default(), mark: 1, past: Marks::default(), frozen: false };
        for mark in 2..=20 {
            row = row.next(Head::default(), mark, Sharing::Shared);
        }
        let known: Vec<u128> = (1..=20).filter(|mark| row.follows(*mark)).collect();
        assert_eq!(known, (8..=20).collect::<Vec<_>>());
        assert_eq!(row.next(Head::default(), 21, Sharing::Exclusive).past, Marks::default());
    }

    #[test]
    fn mailbox_records_read_back_and_damage_is_noticed() {
        let bytes = encode_mailbox(&record());
        let read = |bytes: &[u8]| decode_mailbox(b"k", bytes, MailboxId(300));
        assert_eq!(read(&bytes), Ok(record()));
        // Keywords compare without letter case, so a flipped case bit makes an equal record.
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err());
        }
        let removed = RemovedMailbox { record: record(), modseq: ModSeq::MAX, at: -1 };
        let bytes = removed.encode();
        assert_eq!(RemovedMailbox::decode(b"k", &bytes, MailboxId(300)), Ok(removed));
    }

    #[test]
    fn memberships_read_back_and_damage_is_noticed() {
        let row = membership();
        let bytes = encode_membership(&row);
        let ids = decode_membership_message(b"k", &bytes);
        assert_eq!(ids, Ok((MessageId(1000), ThreadId(999))));
        assert_damage_is_noticed(&bytes, |bytes| decode_membership(b"k", bytes, row.uid));
    }

    #[test]
    fn annotations_of_messages_read_back_and_damage_is_noticed() {
        let name = |text| AnnotationName::new(text).unwrap();
        let values: [(&str, &[u8]); 2] = [("/altsubject", b""), ("/comment", b"\0\xff")];
        let all = values.map(|(text, value)| (name(text), value.into()));
        let annotations = all.clone().map(|(name, value)| (name, Audience::Owner, value));
        let other = (name("/comment"), Audience::Everyone, b"not this".as_slice().into());
        let annotations: Annotations = annotations.into_iter().chain([other]).collect();
        let bytes = encode_annotations(&annotations, Audience::Owner);
        assert_eq!(decode_annotations(b"k", &bytes), Ok(all.to_vec()));
        assert_damage_is_noticed(&bytes, |bytes| decode_annotations(b"k", bytes));
    }

    #[test]
    fn a_record_without_annotations_is_what_it_was_before_there_were_any() {
        let mut annotated = record();
        annotated.counts.annotation_bytes = 300;
        let bytes = encode_mailbox(&annotated);
        assert_eq!(decode_mailbox(b"k", &bytes, annotated.id), Ok(annotated));
        assert_eq!((bytes.first(), encode_mailbox(&record()).first()), (Some(&2), Some(&1)));
        // As it was written before version 2.
        let old = b"\x01\x01\x05\x00\x00";
        assert_eq!(decode_quota(b"k", old).map(|quota| quota.storage_kib), Ok(Some(5)));
    }

    #[test]
    fn access_keys_read_back_and_damage_is_noticed() {
        let bytes = encode_access_key(&[7; 32]);
        assert_damage_is_noticed(&bytes, |bytes| decode_access_key(b"k", bytes));
    }

    #[test]
    fn annotations_read_back_and_damage_is_noticed() {
        for value in [&b""[..], b"text", &[0; 300]] {
            let bytes = encode_metadata(value);
            assert_eq!(decode_metadata(b"k", &bytes).unwrap().as_ref(), value);
            assert_damage_is_noticed(&bytes, |bytes| decode_metadata(b"k", bytes));
        }
    }

    #[test]
    fn access_control_lists_read_back_and_damage_is_noticed() {
        let entries = ["anyone", "-dock", "dock@mail.example"];
        let entries = entries.map(|name| (Identifier::new(name).unwrap(), Rights::ALL));
        for acl in [Acl::new(entries.clone()), Acl::new(entries.into_iter().take(1))] {
            let bytes = encode_acl(&acl);
            assert_eq!(decode_acl(b"k", &bytes), Ok(acl));
            assert_damage_is_noticed(&bytes, |bytes| decode_acl(b"k", bytes));
        }
        assert!(decode_acl(b"k", &encode_acl(&Acl::default())).is_err());
    }

    #[test]
    fn limits_read_back_and_damage_is_noticed() {
        let quota = Quota { storage_kib: Some(1 << 20), mailboxes: Some(0), ..Quota::default() };
        let annotated = Quota { annotation_kib: Some(3), ..quota };
        for quota in [quota, annotated, Quota::default()] {
            let bytes = encode_quota(&quota);
            assert_eq!(decode_quota(b"k", &bytes), Ok(quota));
            assert_damage_is_noticed(&bytes, |bytes| decode_quota(b"k", bytes));
        }
    }

    #[test]
    fn subscriptions_read_back_and_damage_is_noticed() {
        for subscription in [Subscription::Automatic, Subscription::Asked] {
            let bytes = encode_subscription(subscription);
            assert_damage_is_noticed(&bytes, |bytes| decode_subscription(b"k", bytes));
        }
    }
}
