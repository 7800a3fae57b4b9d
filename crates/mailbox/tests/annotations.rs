//! Annotations of messages: what is allowed and what is refused, one sentence a test.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{ask, new_account, submit};
use mail_types::{AccountId, AnnotationName, Flags, InternalDate, MailboxId, ModSeq, Uid, UidSet};
use mailbox::{
    Account, AnnotationEdit, AnnotationValue, Annotations, Audience, Decision, Limit, NewMessage,
    Operation, Outcome, Quota, Refusal, Resource,
};

const INBOX: MailboxId = MailboxId(1);

fn edit(name: &str, audience: Audience, value: Option<&[u8]>) -> AnnotationEdit {
    let name = AnnotationName::new(name).unwrap();
    AnnotationEdit { name, audience, value: value.map(AnnotationValue::from) }
}

fn comment(value: &[u8]) -> AnnotationEdit {
    edit("/comment", Audience::Owner, Some(value))
}

fn annotate(edits: &[AnnotationEdit]) -> Operation {
    Operation::Annotate {
        mailbox: INBOX,
        uids: UidSet::range(Uid::MIN, Uid::MAX),
        edits: edits.to_vec(),
        unchanged_since: None,
    }
}

fn new(annotations: Annotations) -> NewMessage {
    NewMessage {
        message: None,
        thread: None,
        size: 1,
        internal_date: InternalDate::utc(0),
        flags: Flags::default(),
        annotations,
    }
}

/// An account with this many messages in INBOX.
fn account(messages: usize) -> Account {
    let mut account = new_account();
    let messages = vec![new(Annotations::default()); messages];
    submit(&mut account, &Operation::AddMessages { mailbox: INBOX, messages });
    account
}

fn over(limit: Limit) -> Result<Decision, Refusal> {
    Err(Refusal::Limit(limit))
}

fn bytes(account: &Account) -> u64 {
    account.mailbox(INBOX).unwrap().record().counts.annotation_bytes
}

#[test]
fn an_annotation_raises_the_modseq_and_the_same_one_again_does_not() {
    let mut account = account(2);
    let before = account.modseq();
    submit(&mut account, &annotate(&[comment(b"x")]));
    assert_eq!(Some(account.modseq()), before.next());
    let contents = account.mailbox(INBOX).unwrap().contents().unwrap();
    assert!(contents.iter().all(|entry| Some(entry.modseq()) == before.next()));
    assert_eq!(ask(&account, &annotate(&[comment(b"x")])).unwrap().entry, None);
}

#[test]
fn a_message_that_changed_since_is_left_alone() {
    let account = account(1);
    let mut operation = annotate(&[comment(b"x")]);
    let Operation::Annotate { unchanged_since, .. } = &mut operation else { unreachable!() };
    *unchanged_since = Some(ModSeq::ZERO);
    let decision = ask(&account, &operation).unwrap();
    let Outcome::Annotated(outcome) = decision.outcome else { unreachable!() };
    assert_eq!((decision.entry, outcome.modified.to_string()), (None, "1".to_owned()));
}

#[test]
fn a_value_may_have_as_many_octets_as_are_told_and_no_more() {
    let account = account(1);
    let longest = vec![0; Annotations::VALUE_BYTES_MAX];
    assert!(ask(&account, &annotate(&[comment(&longest)])).is_ok());
    let longer = annotate(&[comment(&[&longest[..], b"x"].concat())]);
    assert_eq!(ask(&account, &longer), over(Limit::AnnotationValue));
}

#[test]
fn a_message_has_a_limit_for_each_audience_and_removing_is_never_refused() {
    let mut account = account(1);
    let named = |n: usize, audience| edit(&format!("/vendor/k/{n}"), audience, Some(b""));
    let most = 0..Annotations::ENTRIES_MAX;
    for audience in [Audience::Owner, Audience::Everyone, Audience::Reader(AccountId(5))] {
        let all: Vec<_> = most.clone().map(|n| named(n, audience)).collect();
        submit(&mut account, &annotate(&all));
        let more = annotate(&[comment(b""), edit("/comment", audience, Some(b"x"))]);
        assert_eq!(ask(&account, &more), over(Limit::AnnotationsOfMessage));
    }
    let replaced = edit("/vendor/k/0", Audience::Owner, Some(b"other"));
    assert!(ask(&account, &annotate(&[replaced])).is_ok());
    let removed = edit("/vendor/k/0", Audience::Owner, None);
    submit(&mut account, &annotate(&[removed, comment(b"")]));
}

#[test]
fn the_octets_of_a_message_are_limited() {
    let account = account(1);
    let half = vec![b'x'; Annotations::BYTES_MAX / 2];
    let second = edit("/altsubject", Audience::Owner, Some(&half));
    let both = annotate(&[comment(&half), second]);
    assert_eq!(ask(&account, &both), over(Limit::AnnotationsOfMessage));
    let shared = edit("/altsubject", Audience::Everyone, Some(&half));
    assert!(ask(&account, &annotate(&[comment(&half), shared])).is_ok());
}

#[test]
fn the_octets_of_a_mailbox_are_limited() {
    let value = vec![b'x'; Annotations::VALUE_BYTES_MAX];
    let each = u64::try_from(value.len() + 8 + Annotations::ENTRY_BYTES).unwrap();
    let fit = usize::try_from(Annotations::MAILBOX_BYTES_MAX / each).unwrap();
    assert!(ask(&account(fit), &annotate(&[comment(&value)])).is_ok());
    let refused = ask(&account(fit + 1), &annotate(&[comment(&value)]));
    assert_eq!(refused, over(Limit::AnnotationsOfMailbox));
    let mut full = account(fit);
    submit(&mut full, &annotate(&[comment(&value)]));
    let messages = vec![new([comment(&value)].into_iter().filter_map(kept).collect())];
    let more = Operation::AddMessages { mailbox: INBOX, messages };
    assert_eq!(ask(&full, &more), over(Limit::AnnotationsOfMailbox));
}

fn kept(edit: AnnotationEdit) -> Option<(AnnotationName, Audience, AnnotationValue)> {
    Some((edit.name, edit.audience, edit.value?))
}

#[test]
fn names_that_are_not_registered_and_values_that_are_no_flags_are_refused() {
    let account = account(1);
    for (name, value) in [
        ("/flags", &b"1"[..]),
        ("/flags/seen", b"1"),
        ("/other", b"1"),
        ("/vendor", b"1"),
        ("/1/flags/seen", b"yes"),
    ] {
        let operation = annotate(&[edit(name, Audience::Everyone, Some(value))]);
        assert_eq!(ask(&account, &operation), Err(Refusal::Annotation), "{name}");
    }
}

#[test]
fn annotations_have_a_quota_that_messages_without_any_do_not_meet() {
    let mut account = account(1);
    let quota = Quota { annotation_kib: Some(1), ..Quota::default() };
    submit(&mut account, &Operation::SetQuota { quota });
    let full = Err(Refusal::OverQuota(Resource::AnnotationStorage));
    let most = vec![b'x'; 1024 - 8 - Annotations::ENTRY_BYTES];
    let more = [&most[..], b"x"].concat();
    assert_eq!(ask(&account, &annotate(&[comment(&more)])), full);
    submit(&mut account, &annotate(&[comment(&most)]));
    assert_eq!(account.usage().of(Resource::AnnotationStorage), 1);
    let uids = UidSet::single(Uid::MIN);
    assert_eq!(ask(&account, &Operation::Copy { from: INBOX, to: INBOX, uids }), full);
    let quota = Quota { annotation_kib: Some(0), ..quota };
    submit(&mut account, &Operation::SetQuota { quota });
    let messages = vec![new(Annotations::default())];
    submit(&mut account, &Operation::AddMessages { mailbox: INBOX, messages });
    submit(&mut account, &annotate(&[edit("/comment", Audience::Owner, None)]));
    assert_eq!(bytes(&account), 0);
}

#[test]
fn a_replacement_inherits_no_annotations_and_only_the_difference_counts() {
    let mut account = account(1);
    submit(&mut account, &annotate(&[comment(&[b'x'; 900])]));
    let quota = Quota { annotation_kib: Some(1), ..Quota::default() };
    submit(&mut account, &Operation::SetQuota { quota });
    let annotations = [comment(&[b'y'; 950])].into_iter().filter_map(kept).collect();
    let message = new(annotations);
    let replace = Operation::Replace { from: INBOX, uid: Uid::MIN, to: INBOX, message };
    submit(&mut account, &replace);
    assert_eq!(bytes(&account), 950 + 8 + 64);
}

#[test]
fn an_edit_of_a_value_that_comes_twice_counts_last() {
    let mut account = account(1);
    submit(&mut account, &annotate(&[comment(b"first"), comment(b"last")]));
    let contents = account.mailbox(INBOX).unwrap().contents().unwrap();
    let annotations = contents.find(Uid::MIN).unwrap().annotations();
    let name = AnnotationName::new("/comment").unwrap();
    assert_eq!(annotations.get(&name, Audience::Owner).unwrap().as_ref(), b"last");
}
