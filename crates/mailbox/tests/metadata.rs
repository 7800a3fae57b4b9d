//! What annotations do and refuse, one sentence a test.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{ask, new_account, submit};
use mail_types::{EntryName, MailboxId, MailboxName, SpecialUse};
use mailbox::{
    Account, Change, Corruption, Limit, LogEntry, Metadata, MetadataTarget, MetadataValue,
    Operation, Refusal, SpecialUses, apply,
};

const INBOX: MetadataTarget = MetadataTarget::Mailbox(MailboxId(1));

fn entry(text: &str) -> EntryName {
    EntryName::new(text).unwrap()
}

fn set(target: MetadataTarget, pairs: &[(&str, Option<&[u8]>)]) -> Operation {
    let entries = pairs.iter().map(|(name, value)| (entry(name), value.map(<[u8]>::to_vec)));
    Operation::SetMetadata { target, entries: entries.collect() }
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn id(account: &Account, text: &str) -> MailboxId {
    account.by_name(&name(text)).unwrap().record().id
}

fn value<'a>(account: &'a Account, target: MetadataTarget, text: &str) -> Option<&'a [u8]> {
    account.metadata().get(target, &entry(text)).map(AsRef::as_ref)
}

fn uses(account: &Account, text: &str) -> Vec<SpecialUse> {
    account.by_name(&name(text)).unwrap().record().special_use.iter().collect()
}

#[test]
fn what_is_set_is_there_in_any_letter_case_and_nil_takes_it_away() {
    let mut account = new_account();
    submit(
        &mut account,
        &set(INBOX, &[("/private/Comment", Some(b"a")), ("/shared/x", Some(b""))]),
    );
    assert_eq!(value(&account, INBOX, "/private/comment"), Some(&b"a"[..]));
    assert_eq!(value(&account, INBOX, "/shared/x"), Some(&b""[..]));
    submit(&mut account, &set(INBOX, &[("/PRIVATE/comment", None)]));
    assert_eq!(value(&account, INBOX, "/private/comment"), None);
    assert_eq!(account.metadata().count(INBOX), 1);
    assert_eq!(account.metadata().bytes(), "/shared/x".len() + Metadata::ENTRY_BYTES);
}

#[test]
fn setting_what_is_set_changes_nothing() {
    let mut account = new_account();
    submit(&mut account, &set(INBOX, &[("/private/a", Some(b"1"))]));
    let again = ask(&account, &set(INBOX, &[("/private/a", Some(b"1")), ("/private/b", None)]));
    assert_eq!(again.unwrap().entry, None);
}

#[test]
fn annotations_follow_a_renamed_mailbox_and_go_with_a_deleted_one() {
    let mut account = new_account();
    let sent = MetadataTarget::Mailbox(id(&account, "Sent"));
    submit(&mut account, &set(sent, &[("/private/a", Some(b"1"))]));
    let (from, to) = (name("Sent"), name("Gone"));
    submit(&mut account, &Operation::RenameMailbox { from, to: to.clone() });
    assert_eq!(
        value(&account, MetadataTarget::Mailbox(id(&account, "Gone")), "/private/a"),
        Some(&b"1"[..])
    );
    submit(&mut account, &Operation::DeleteMailbox { name: to.clone() });
    assert_eq!(account.metadata().bytes(), 0);
    submit(&mut account, &Operation::CreateMailbox { name: to, special_use: Vec::new() });
    let made = MetadataTarget::Mailbox(id(&account, "Gone"));
    assert_eq!(account.metadata().count(made), 0);
}

#[test]
fn inbox_keeps_its_annotations_and_gives_the_same_to_the_mailbox_that_gets_its_messages() {
    let mut account = new_account();
    submit(&mut account, &set(INBOX, &[("/private/a", Some(b"1"))]));
    let (from, to) = (MailboxName::inbox(), name("Old"));
    submit(&mut account, &Operation::RenameMailbox { from, to });
    let old = MetadataTarget::Mailbox(id(&account, "Old"));
    assert_eq!(value(&account, INBOX, "/private/a"), Some(&b"1"[..]));
    assert_eq!(value(&account, old, "/private/a"), Some(&b"1"[..]));
}

#[test]
fn one_that_is_refused_takes_the_others_with_it() {
    let account = new_account();
    let long = vec![b'x'; Metadata::VALUE_BYTES_MAX + 1];
    let both = set(INBOX, &[("/private/a", Some(b"1")), ("/private/b", Some(&long))]);
    assert_eq!(ask(&account, &both), Err(Refusal::Limit(Limit::MetadataValue)));
    let fits = set(INBOX, &[("/private/b", Some(&long[1..]))]);
    assert!(ask(&account, &fits).is_ok());
    let shared = set(MetadataTarget::Server, &[("/private/a", None), ("/shared/comment", None)]);
    assert_eq!(ask(&account, &shared), Err(Refusal::ReadOnlyEntry));
    let nowhere = set(MetadataTarget::Mailbox(MailboxId(99)), &[("/private/a", None)]);
    assert_eq!(ask(&account, &nowhere), Err(Refusal::NonExistent));
}

#[test]
fn entries_are_limited_and_replacing_one_is_not_one_more() {
    let mut account = new_account();
    for n in 0..Metadata::ENTRIES_MAX {
        submit(&mut account, &set(INBOX, &[(&format!("/private/{n}"), Some(b"1"))]));
    }
    let more = set(INBOX, &[("/private/more", Some(b"1"))]);
    assert_eq!(ask(&account, &more), Err(Refusal::Limit(Limit::MetadataEntries)));
    assert!(ask(&account, &set(INBOX, &[("/private/7", Some(b"2"))])).is_ok());
    let swap = set(INBOX, &[("/private/7", None), ("/private/more", Some(b"1"))]);
    assert!(ask(&account, &swap).is_ok());
    assert!(ask(&account, &set(MetadataTarget::Server, &[("/private/a", Some(b"1"))])).is_ok());
}

#[test]
fn the_octets_of_an_account_are_limited() {
    let mut account = new_account();
    let long = vec![b'x'; Metadata::VALUE_BYTES_MAX];
    let mut n = 0;
    let refusal = loop {
        n += 1;
        let operation = set(INBOX, &[(&format!("/private/{n}"), Some(&long))]);
        match ask(&account, &operation) {
            Ok(_) => _ = submit(&mut account, &operation),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, Refusal::Limit(Limit::MetadataBytes));
    assert!(account.metadata().bytes() <= Metadata::BYTES_MAX);
    assert!(ask(&account, &set(INBOX, &[("/private/1", Some(b"short"))])).is_ok());
}

#[test]
fn special_uses_are_set_taken_from_others_and_removed() {
    let mut account = new_account();
    submit(&mut account, &Operation::CreateMailbox { name: name("Saved"), special_use: vec![] });
    let saved = MetadataTarget::Mailbox(id(&account, "Saved"));
    let both = set(saved, &[("/private/specialuse", Some(b"\\Drafts \\archive"))]);
    submit(&mut account, &both);
    assert_eq!(uses(&account, "Saved"), [SpecialUse::Archive, SpecialUse::Drafts]);
    assert!(uses(&account, "Drafts").is_empty() && uses(&account, "Archive").is_empty());
    // It is no annotation beside what the mailbox is for.
    assert_eq!(account.metadata().count(saved), 0);
    submit(&mut account, &set(saved, &[("/private/specialuse", None)]));
    assert!(uses(&account, "Saved").is_empty());
    for wrong in [&b"\\Nonsense"[..], b"Drafts", b"\\Sent,\\Junk", b"\xff"] {
        let operation = set(saved, &[("/private/specialuse", Some(wrong))]);
        assert_eq!(ask(&account, &operation), Err(Refusal::SpecialUseUnknown));
    }
}

#[test]
fn what_changed_between_two_states_is_named_once() {
    let mut account = new_account();
    let all =
        [("/private/a", Some(&b"1"[..])), ("/private/b", Some(b"2")), ("/private/c", Some(b"3"))];
    submit(&mut account, &set(INBOX, &all));
    let before = account.clone();
    assert!(account.metadata().changed_since(before.metadata()).is_empty());
    let some = [("/private/a", None), ("/private/b", Some(&b"4"[..])), ("/private/d", Some(b"5"))];
    submit(&mut account, &set(INBOX, &some));
    submit(&mut account, &set(MetadataTarget::Server, &[("/private/s", Some(b"6"))]));
    let mut changed = account.metadata().changed_since(before.metadata());
    changed.sort();
    let inbox = ["/private/a", "/private/b", "/private/d"].map(|name| (INBOX, entry(name)));
    let expected = [vec![(MetadataTarget::Server, entry("/private/s"))], inbox.to_vec()].concat();
    assert_eq!(changed, expected);
}

#[test]
fn an_annotation_of_no_mailbox_is_corruption() {
    let account = new_account();
    let nowhere = MetadataTarget::Mailbox(MailboxId(99));
    let value = MetadataValue::from(&b"1"[..]);
    let entries = vec![(entry("/private/a"), Some(value.clone()))];
    let change = Change::MetadataSet { target: nowhere, entries };
    let modseq = account.modseq().next().unwrap();
    let result = apply(&account, &LogEntry { modseq, at: 0, changes: vec![change] });
    assert_eq!(result.unwrap_err(), Corruption::NoSuchMailbox(MailboxId(99)));
    let rows = vec![(nowhere, entry("/private/a"), value)];
    assert_eq!(account.with_metadata(rows).unwrap_err(), Corruption::NoSuchMailbox(MailboxId(99)));
}

#[test]
fn uses_without_others_are_what_is_left() {
    let both = SpecialUses::new(&[SpecialUse::Junk, SpecialUse::Sent]);
    let left = both.without(SpecialUses::new(&[SpecialUse::Sent, SpecialUse::Trash]));
    assert_eq!(left, SpecialUses::new(&[SpecialUse::Junk]));
}
