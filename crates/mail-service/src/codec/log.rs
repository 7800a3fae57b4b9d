//! Log entries. One entry may be longer than a row may be (a COPY of 100,000 messages has some
//! 3 MB), so an entry is stored in pages.

use std::sync::Arc;

use mail_types::{Flags, MailboxId, MessageId, ModSeq, SystemFlags, ThreadId, UidSet, UidValidity};
use mailbox::{
    Added, AnnotationEdit, AnnotationValue, Change, FlagRun, LogEntry, MetadataValue, Subscription,
};

use super::rows::{
    ANNOTATED, annotation_name, date, entry_name, keyword, modseq, name, read_acl, read_counts,
    read_quota, read_subscription, special_uses, uid, version_of_counts, version_of_quota,
    write_acl, write_counts, write_quota,
};
use super::{CorruptRecord, Fault, Reader, Writer, decode_between};
use crate::keys::{audience, audience_number, target, target_number};

/// Longest page of a log entry, in bytes.
pub const PAGE_BYTES_MAX: usize = 32 * 1024;

/// An entry as stored, in pages: at least one. Its modseq is in the keys.
#[must_use]
pub fn encode_entry(entry: &LogEntry) -> Vec<Vec<u8>> {
    let mut w = Writer::new(entry.changes.iter().map(version_of).max().unwrap_or(VERSION));
    w.signed(entry.at);
    w.list(&entry.changes, write_change);
    let bytes = w.finish();
    // The first byte of a page says whether another one follows.
    let count = bytes.chunks(PAGE_BYTES_MAX).len();
    let pages = bytes.chunks(PAGE_BYTES_MAX).enumerate();
    pages.map(|(at, page)| [&[u8::from(at + 1 < count)], page].concat()).collect()
}

/// An entry from its pages, joined by [`join_page`].
///
/// # Errors
/// `CorruptRecord`.
pub fn decode_entry(key: &[u8], bytes: &[u8], at: ModSeq) -> Result<LogEntry, CorruptRecord> {
    decode_between(key, bytes, VERSION..=ANNOTATED, |r| {
        Ok(LogEntry { at: r.signed()?, modseq: at, changes: r.list(read_change)? })
    })
}

/// Whether a page ends its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageEnd {
    /// It does.
    Last,
    /// Another page follows.
    More,
}

/// Adds a page to those before it.
///
/// # Errors
/// `CorruptRecord`.
pub fn join_page(key: &[u8], page: &[u8], bytes: &mut Vec<u8>) -> Result<PageEnd, CorruptRecord> {
    let (end, rest) = match page.split_first() {
        Some((0, rest)) => (PageEnd::Last, rest),
        Some((1, rest)) => (PageEnd::More, rest),
        _ => return Err(CorruptRecord::new(key, "it is no page")),
    };
    bytes.extend_from_slice(rest);
    Ok(end)
}

fn write_change(w: &mut Writer, change: &Change) {
    match change {
        Change::MailboxCreated { id, name, uid_validity, special_use } => {
            w.byte(1);
            w.number(id.get());
            w.bytes(name.as_str().as_bytes());
            w.number(u64::from(uid_validity.get()));
            w.byte(special_use.bits());
        }
        Change::MailboxRemoved { id } => {
            w.byte(2);
            w.number(id.get());
        }
        Change::MailboxRenamed { id, name } => {
            w.byte(3);
            w.number(id.get());
            w.bytes(name.as_str().as_bytes());
        }
        Change::Subscribed { name, subscription } => {
            w.byte(4);
            w.bytes(name.as_str().as_bytes());
            w.byte(match subscription {
                Subscription::Automatic => 0,
                Subscription::Asked => 1,
            });
        }
        Change::Unsubscribed { name } => {
            w.byte(5);
            w.bytes(name.as_str().as_bytes());
        }
        Change::Added { mailbox, first_uid, messages } => {
            w.byte(6);
            w.number(mailbox.get());
            w.number(u64::from(first_uid.get()));
            w.list(messages, write_added);
        }
        Change::FlagsSet { mailbox, runs, counts } => {
            w.byte(7);
            w.number(mailbox.get());
            w.list(runs, |w, run| {
                write_uids(w, &run.uids);
                write_flags(w, &run.flags);
            });
            write_counts(w, counts);
        }
        Change::Expunged { mailbox, uids, counts } => {
            w.byte(8);
            w.number(mailbox.get());
            write_uids(w, uids);
            write_counts(w, counts);
        }
        Change::RecentClaimed { mailbox, mark } => {
            w.byte(9);
            w.number(mailbox.get());
            w.number(u64::from(mark.get()));
        }
        Change::Annotated { .. }
        | Change::HistoryForgotten { .. }
        | Change::SpecialUsesSet { .. }
        | Change::MetadataSet { .. }
        | Change::AclSet { .. }
        | Change::AccessKeyReset { .. }
        | Change::QuotaSet { .. } => write_account_change(w, change),
    }
}

/// The rest: mostly of no message and no name.
fn write_account_change(w: &mut Writer, change: &Change) {
    match change {
        Change::HistoryForgotten { floor } => {
            w.byte(10);
            w.number(floor.get());
        }
        Change::SpecialUsesSet { mailbox, special_use } => {
            w.byte(11);
            w.number(mailbox.get());
            w.byte(special_use.bits());
        }
        Change::AccessKeyReset { mailbox } => {
            w.byte(16);
            w.number(mailbox.get());
        }
        Change::QuotaSet { quota } => {
            w.byte(13);
            write_quota(w, quota);
        }
        Change::MetadataSet { target, entries } => {
            w.byte(12);
            w.number(target_number(*target));
            w.list(entries, |w, (name, value)| {
                w.bytes(name.as_str().as_bytes());
                w.option(value.as_ref(), |w, value| w.bytes(value));
            });
        }
        Change::AclSet { mailbox, acl } => {
            w.byte(14);
            w.number(mailbox.get());
            write_acl(w, acl);
        }
        Change::Annotated { mailbox, uids, edits, counts } => {
            w.byte(15);
            w.number(mailbox.get());
            write_uids(w, uids);
            w.list(edits, |w, edit| {
                w.bytes(edit.name.as_str().as_bytes());
                w.number(audience_number(edit.audience));
                w.option(edit.value.as_ref(), |w, value| w.bytes(value));
            });
            write_counts(w, counts);
        }
        // Every other change is written by the caller.
        _ => {}
    }
}

fn read_change(r: &mut Reader<'_>) -> Result<Change, Fault> {
    Ok(match r.byte()? {
        1 => Change::MailboxCreated {
            id: MailboxId(r.number()?),
            name: name(r)?,
            uid_validity: UidValidity::new(r.number_u32()?).ok_or("a UIDVALIDITY is zero")?,
            special_use: special_uses(r)?,
        },
        2 => Change::MailboxRemoved { id: MailboxId(r.number()?) },
        3 => Change::MailboxRenamed { id: MailboxId(r.number()?), name: name(r)? },
        4 => Change::Subscribed { name: name(r)?, subscription: read_subscription(r)? },
        5 => Change::Unsubscribed { name: name(r)? },
        6 => Change::Added {
            mailbox: MailboxId(r.number()?),
            first_uid: uid(r)?,
            messages: r.list(read_added)?,
        },
        7 => Change::FlagsSet {
            mailbox: MailboxId(r.number()?),
            runs: r.list(|r| Ok(FlagRun { uids: read_uids(r)?, flags: read_flags(r)? }))?,
            counts: read_counts(r)?,
        },
        8 => Change::Expunged {
            mailbox: MailboxId(r.number()?),
            uids: read_uids(r)?,
            counts: read_counts(r)?,
        },
        9 => Change::RecentClaimed { mailbox: MailboxId(r.number()?), mark: uid(r)? },
        10 => Change::HistoryForgotten { floor: modseq(r)? },
        11 => Change::SpecialUsesSet {
            mailbox: MailboxId(r.number()?),
            special_use: special_uses(r)?,
        },
        12 => Change::MetadataSet {
            target: target(r.number()?),
            entries: r.list(|r| {
                let name = entry_name(r)?;
                Ok((name, r.option(|r| r.bytes().map(MetadataValue::from))?))
            })?,
        },
        13 => Change::QuotaSet { quota: read_quota(r)? },
        14 => Change::AclSet { mailbox: MailboxId(r.number()?), acl: Arc::new(read_acl(r)?) },
        15 => Change::Annotated {
            mailbox: MailboxId(r.number()?),
            uids: read_uids(r)?,
            edits: r.list(|r| {
                let (name, audience) = (annotation_name(r)?, audience(r.number()?));
                let value = r.option(|r| r.bytes().map(AnnotationValue::from))?;
                Ok(AnnotationEdit { name, audience, value })
            })?,
            counts: read_counts(r)?,
        },
        16 => Change::AccessKeyReset { mailbox: MailboxId(r.number()?) },
        _ => return Err("a change is not known"),
    })
}

fn write_added(w: &mut Writer, added: &Added) {
    w.number(added.message.get());
    w.number(added.thread.get());
    w.number(u64::from(added.size));
    w.signed(added.internal_date.seconds());
    w.signed(i64::from(added.internal_date.offset_minutes()));
    w.signed(added.save_date);
    write_flags(w, &added.flags);
    if w.version() >= ANNOTATED {
        let all: Vec<_> = added.annotations.iter().collect();
        w.list(&all, |w, (name, audience, value)| {
            w.bytes(name.as_str().as_bytes());
            w.number(audience_number(*audience));
            w.bytes(value);
        });
    }
}

/// The oldest version that can hold a change.
fn version_of(change: &Change) -> u8 {
    let has_annotations = match change {
        Change::Annotated { .. } => true,
        Change::Added { messages, .. } => messages.iter().any(|it| !it.annotations.is_empty()),
        _ => false,
    };
    match change {
        _ if has_annotations => ANNOTATED,
        Change::FlagsSet { counts, .. } | Change::Expunged { counts, .. } => {
            version_of_counts(counts)
        }
        Change::QuotaSet { quota } => version_of_quota(quota),
        _ => VERSION,
    }
}

fn read_added(r: &mut Reader<'_>) -> Result<Added, Fault> {
    Ok(Added {
        message: MessageId(r.number()?),
        thread: ThreadId(r.number()?),
        size: r.number_u32()?,
        internal_date: date(r)?,
        save_date: r.signed()?,
        flags: read_flags(r)?,
        annotations: match r.version() {
            ANNOTATED.. => r.list(read_annotation)?.into_iter().collect(),
            _ => mailbox::Annotations::default(),
        },
    })
}

type Annotation = (mail_types::AnnotationName, mailbox::Audience, AnnotationValue);

fn read_annotation(r: &mut Reader<'_>) -> Result<Annotation, Fault> {
    Ok((annotation_name(r)?, audience(r.number()?), AnnotationValue::from(r.bytes()?)))
}

fn write_flags(w: &mut Writer, flags: &Flags) {
    w.byte(flags.system.bits());
    w.list(flags.keywords(), |w, keyword| w.bytes(keyword.as_str().as_bytes()));
}

fn read_flags(r: &mut Reader<'_>) -> Result<Flags, Fault> {
    let system = SystemFlags::from_bits(r.byte()?).ok_or("a flag is not known")?;
    Ok(Flags::new(system, r.list(keyword)?))
}

/// Ranges as the gap before each and its length less one: mostly two bytes a range.
fn write_uids(w: &mut Writer, uids: &UidSet) {
    w.count(uids.range_count());
    let mut at = 0;
    for range in uids.ranges() {
        w.number(u64::from(range.start().get() - at));
        w.number(u64::from(range.end().get() - range.start().get()));
        at = range.end().get();
    }
}

fn read_uids(r: &mut Reader<'_>) -> Result<UidSet, Fault> {
    let mut uids = UidSet::new();
    let mut at = 0u32;
    for index in 0..r.count()? {
        let gap = r.number_u32()?;
        // Ranges that touch are one range.
        if gap < 2 && index > 0 {
            return Err("ranges of UIDs touch");
        }
        let first = at.checked_add(gap).and_then(mail_types::Uid::new);
        let first = first.ok_or("a UID is out of range")?;
        let last = first.get().checked_add(r.number_u32()?).and_then(mail_types::Uid::new);
        let last = last.ok_or("a UID is out of range")?;
        uids.insert_range(first, last);
        at = last.get();
    }
    Ok(uids)
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::{EntryName, InternalDate, Keyword, MailboxName, SpecialUse, Uid};
    use mailbox::{Acl, Audience, Counts, Identifier, MetadataTarget, Quota, Rights, SpecialUses};

    fn entry() -> LogEntry {
        let mailbox = MailboxId(200);
        let flags = Flags::new(SystemFlags::SEEN, [Keyword::new("$0").unwrap()]);
        let name = MailboxName::new("a/b").unwrap();
        let uids = UidSet::from_ranges([(Uid::MIN, Uid::new(5).unwrap()), (Uid::MAX, Uid::MAX)]);
        let counts = Counts {
            messages: 3,
            unseen: 1,
            deleted: 1,
            size_bytes: 9,
            deleted_bytes: 2,
            annotation_bytes: 0,
        };
        let added = Added {
            message: MessageId(1),
            thread: ThreadId(2),
            size: 3,
            internal_date: InternalDate::new(4, 60),
            save_date: 5,
            flags: flags.clone(),
            annotations: mailbox::Annotations::default(),
        };
        let special_use = SpecialUses::new(&[SpecialUse::Sent]);
        let uid_validity = UidValidity::new(7).unwrap();
        let subscription = Subscription::Asked;
        let entry_name = EntryName::new("/private/a").unwrap();
        let quota = Quota { messages: Some(300), ..Quota::default() };
        let removed = vec![(entry_name.clone(), None)];
        let list = ["anyone", "-dock"].map(|name| (Identifier::new(name).unwrap(), Rights::ALL));
        LogEntry {
            modseq: ModSeq::new(42).unwrap(),
            at: 1_700_000_000,
            changes: vec![
                Change::MailboxCreated {
                    id: mailbox,
                    name: name.clone(),
                    uid_validity,
                    special_use,
                },
                Change::MailboxRemoved { id: mailbox },
                Change::MailboxRenamed { id: mailbox, name: name.clone() },
                Change::Subscribed { name: name.clone(), subscription },
                Change::Unsubscribed { name },
                Change::Added { mailbox, first_uid: Uid::MIN, messages: vec![added] },
                Change::FlagsSet {
                    mailbox,
                    runs: vec![FlagRun { uids: uids.clone(), flags }],
                    counts,
                },
                Change::Expunged { mailbox, uids, counts },
                Change::RecentClaimed { mailbox, mark: Uid::MAX },
                Change::HistoryForgotten { floor: ModSeq::new(40).unwrap() },
                Change::SpecialUsesSet { mailbox, special_use },
                Change::QuotaSet { quota },
                Change::AclSet { mailbox, acl: Arc::new(Acl::new(list)) },
                Change::AclSet { mailbox, acl: Arc::default() },
                Change::AccessKeyReset { mailbox },
                Change::MetadataSet {
                    target: MetadataTarget::Mailbox(mailbox),
                    entries: vec![(entry_name, Some(MetadataValue::from(&b"\0"[..])))],
                },
                Change::MetadataSet { target: MetadataTarget::Server, entries: removed },
            ],
        }
    }

    fn read(pages: &[Vec<u8>], at: ModSeq) -> Result<LogEntry, CorruptRecord> {
        let mut bytes = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            let end = join_page(b"k", page, &mut bytes)?;
            assert_eq!(end == PageEnd::Last, index + 1 == pages.len());
        }
        decode_entry(b"k", &bytes, at)
    }

    #[test]
    fn every_kind_of_change_reads_back_and_damage_is_noticed() {
        let entry = entry();
        let pages = encode_entry(&entry);
        assert_eq!(pages.len(), 1);
        assert_eq!(read(&pages, entry.modseq), Ok(entry.clone()));
        let body = pages[0].get(1..).unwrap();
        crate::codec::tests::assert_damage_is_noticed(body, |bytes| {
            decode_entry(b"k", bytes, entry.modseq)
        });
    }

    /// The same as it was written before there were annotations of messages, and with them.
    #[test]
    fn annotations_of_messages_read_back_and_change_nothing_for_others() {
        let mut entry = entry();
        assert_eq!(encode_entry(&entry)[0].get(1), Some(&1));
        let edit = |audience, value: Option<&[u8]>| AnnotationEdit {
            name: mail_types::AnnotationName::new("/comment").unwrap(),
            audience,
            value: value.map(AnnotationValue::from),
        };
        let edits = vec![
            edit(Audience::Owner, None),
            edit(Audience::Reader(mail_types::AccountId(7)), Some(b"\0")),
            edit(Audience::Everyone, Some(b"")),
        ];
        let mailbox = MailboxId(5);
        let counts = Counts { annotation_bytes: 400, ..Counts::default() };
        for change in &mut entry.changes {
            if let Change::Added { messages, .. } = change {
                messages[0].annotations = mailbox::Annotations::default().with(&edits);
            }
        }
        let uids = UidSet::single(Uid::MIN);
        entry.changes.push(Change::Annotated { mailbox, uids, edits, counts });
        let quota = Quota { annotation_kib: Some(9), ..Quota::default() };
        entry.changes.push(Change::QuotaSet { quota });
        let pages = encode_entry(&entry);
        assert_eq!(pages[0].get(1), Some(&2));
        assert_eq!(read(&pages, entry.modseq), Ok(entry.clone()));
        crate::codec::tests::assert_damage_is_noticed(pages[0].get(1..).unwrap(), |bytes| {
            decode_entry(b"k", bytes, entry.modseq)
        });
    }

    #[test]
    fn an_entry_longer_than_a_row_is_stored_in_pages() {
        let mut entry = entry();
        for change in &mut entry.changes {
            if let Change::Added { messages, .. } = change {
                *messages = vec![messages[0].clone(); 10_000];
            }
        }
        let pages = encode_entry(&entry);
        assert!(pages.len() > 3);
        assert!(pages.iter().all(|page| page.len() <= PAGE_BYTES_MAX + 1));
        assert_eq!(read(&pages, entry.modseq), Ok(entry));
        assert!(join_page(b"k", &[2], &mut Vec::new()).is_err());
        assert!(join_page(b"k", &[], &mut Vec::new()).is_err());
    }
}
