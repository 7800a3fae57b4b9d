//! What each operation does and refuses, one sentence a test.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{ask, new_account, submit};
use mail_types::{
    Flags, InternalDate, Keyword, MailboxId, MailboxName, MessageId, ModSeq, SpecialUse,
    SystemFlags, ThreadId, Uid, UidSet, UidValidity,
};
use mailbox::{
    Account, Actor, Change, Context, CopyOutcome, Corruption, Counts, FlagMode, FlagsOutcome, Head,
    KeywordNames, Limit, LogEntry, Mailbox, MailboxRecord, MailboxSnapshotBuilder, MembershipRow,
    NewMessage, Operation, Outcome, Refusal, SpecialUses, Subscription, apply, decide, touched,
};

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn uids(numbers: &[u32]) -> UidSet {
    numbers.iter().map(|number| uid(*number)).collect()
}

fn keyword(text: &str) -> Keyword {
    Keyword::new(text).unwrap()
}

fn all() -> UidSet {
    UidSet::range(Uid::MIN, Uid::MAX)
}

fn refused(account: &Account, operation: &Operation) -> Refusal {
    ask(account, operation).unwrap_err()
}

fn create(account: &mut Account, text: &str) {
    submit(account, &Operation::CreateMailbox { name: name(text), special_use: Vec::new() });
}

fn delete(text: &str) -> Operation {
    Operation::DeleteMailbox { name: name(text) }
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::RenameMailbox { from: name(from), to: name(to) }
}

fn mailbox<'a>(account: &'a Account, text: &str) -> &'a Mailbox {
    account.by_name(&name(text)).unwrap()
}

fn id(account: &Account, text: &str) -> MailboxId {
    mailbox(account, text).record().id
}

fn message(flags: Flags) -> NewMessage {
    let internal_date = InternalDate::new(1_600_000_000, 60);
    NewMessage {
        message: None,
        thread: None,
        size: 100,
        internal_date,
        flags,
        annotations: mailbox::Annotations::default(),
    }
}

fn append(account: &mut Account, text: &str, flags: &[SystemFlags]) -> Outcome {
    let messages = flags.iter().map(|flags| message(Flags::system(*flags))).collect();
    let mailbox = id(account, text);
    submit(account, &Operation::AddMessages { mailbox, messages })
}

/// A STORE on all of INBOX, the first mailbox of an account.
fn store(mode: FlagMode, flags: SystemFlags) -> Operation {
    Operation::SetFlags {
        mailbox: MailboxId(1),
        uids: all(),
        mode,
        flags: Flags::system(flags),
        unchanged_since: None,
    }
}

fn flags_outcome(outcome: Outcome) -> FlagsOutcome {
    match outcome {
        Outcome::FlagsSet(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn copied(outcome: Outcome) -> CopyOutcome {
    match outcome {
        Outcome::Copied(outcome) | Outcome::Moved(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn names(account: &Account) -> Vec<String> {
    account.names().map(|(name, _)| name.to_string()).collect()
}

#[test]
fn a_new_account_has_six_subscribed_mailboxes_with_their_special_uses() {
    let account = new_account();
    assert_eq!(names(&account), ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
    for (name, _) in account.names() {
        assert!(account.is_subscribed(name), "{name}");
    }
    assert!(mailbox(&account, "Sent").record().special_use.contains(SpecialUse::Sent));
    assert!(mailbox(&account, "INBOX").record().special_use.is_empty());
    assert_eq!(account.modseq().get(), 1);
    assert_eq!(refused(&account, &Operation::CreateAccount), Refusal::AlreadyExists);
}

#[test]
fn create_makes_the_parents_and_subscribes_all() {
    let mut account = new_account();
    let operation = Operation::CreateMailbox { name: name("a/b/c"), special_use: Vec::new() };
    let outcome = submit(&mut account, &operation);
    let Outcome::Created { names, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(names, [name("a"), name("a/b"), name("a/b/c")]);
    for name in &names {
        assert!(account.by_name(name).is_some() && account.is_subscribed(name), "{name}");
    }
    assert_eq!(refused(&account, &operation), Refusal::AlreadyExists);
}

#[test]
fn inbox_is_neither_created_nor_deleted() {
    let account = new_account();
    let operation = Operation::CreateMailbox { name: name("inbox"), special_use: Vec::new() };
    assert_eq!(refused(&account, &operation), Refusal::AlreadyExists);
    assert_eq!(refused(&account, &delete("Inbox")), Refusal::InboxImmutable);
    assert_eq!(refused(&Account::empty(), &operation), Refusal::InboxImmutable);
}

#[test]
fn a_special_use_belongs_to_one_mailbox_until_that_is_deleted() {
    let mut account = new_account();
    let special_use = vec![SpecialUse::Sent];
    let operation = Operation::CreateMailbox { name: name("Sent Items"), special_use };
    assert_eq!(refused(&account, &operation), Refusal::SpecialUseTaken(SpecialUse::Sent));
    submit(&mut account, &delete("Sent"));
    submit(&mut account, &operation);
    let sent = mailbox(&account, "Sent Items").record();
    assert_eq!(sent.special_use, SpecialUses::new(&[SpecialUse::Sent]));
}

#[test]
fn a_deleted_and_recreated_mailbox_has_a_higher_uid_validity_whatever_the_clock() {
    let mut account = new_account();
    create(&mut account, "a");
    let old = mailbox(&account, "a").record().clone();
    submit(&mut account, &delete("a"));
    let operation = Operation::CreateMailbox { name: name("a"), special_use: Vec::new() };
    let decision = decide(&account, &Actor::Owner, &operation, &Context { now: -5 }).unwrap();
    let account = apply(&account, &decision.entry.unwrap()).unwrap();
    let new = mailbox(&account, "a").record();
    assert!(new.uid_validity > old.uid_validity);
    assert!(new.id > old.id);
}

#[test]
fn deleting_a_mailbox_leaves_those_below_it_and_its_name_cannot_be_deleted_again() {
    let mut account = new_account();
    create(&mut account, "a/b");
    submit(&mut account, &delete("a"));
    assert!(account.by_name(&name("a")).is_none());
    assert!(account.by_name(&name("a/b")).is_some());
    assert_eq!(refused(&account, &delete("a")), Refusal::HasChildren);
    assert_eq!(refused(&account, &delete("b")), Refusal::NonExistent);
    // Its owner does not want it back for being a parent.
    create(&mut account, "a/c");
    assert!(account.by_name(&name("a")).is_none());
    create(&mut account, "a");
    assert!(account.by_name(&name("a")).is_some());
}

#[test]
fn a_subscription_that_a_client_asked_for_outlives_its_mailbox() {
    let mut account = new_account();
    create(&mut account, "a");
    create(&mut account, "b");
    submit(&mut account, &Operation::Subscribe { name: name("a") });
    submit(&mut account, &delete("a"));
    submit(&mut account, &delete("b"));
    assert!(account.is_subscribed(&name("a")));
    assert!(!account.is_subscribed(&name("b")));
    submit(&mut account, &Operation::Unsubscribe { name: name("a") });
    assert!(!account.is_subscribed(&name("a")));
    let again = ask(&account, &Operation::Unsubscribe { name: name("a") }).unwrap();
    assert_eq!(again.entry, None);
}

#[test]
fn rename_moves_the_subtree_and_keeps_ids_and_uid_validity() {
    let mut account = new_account();
    create(&mut account, "a/b/c");
    create(&mut account, "ab");
    let before = mailbox(&account, "a/b").record().clone();
    let outcome = submit(&mut account, &rename("a", "x/y"));
    let Outcome::Renamed { created, renamed } = outcome else { panic!("{outcome:?}") };
    assert_eq!(created, [name("x")]);
    assert_eq!(renamed.len(), 3);
    let after = mailbox(&account, "x/y/b").record();
    assert_eq!((after.id, after.uid_validity), (before.id, before.uid_validity));
    assert_eq!(after.highest_modseq, before.highest_modseq);
    assert!(account.by_name(&name("a/b")).is_none());
    assert!(account.by_name(&name("ab")).is_some());
    assert!(account.is_subscribed(&name("x/y/b/c")));
}

#[test]
fn rename_does_not_bring_back_a_parent_that_its_owner_deleted() {
    let mut account = new_account();
    create(&mut account, "a/b");
    submit(&mut account, &delete("a"));
    submit(&mut account, &rename("a/b", "a/c"));
    assert!(account.by_name(&name("a")).is_none());
    assert!(account.by_name(&name("a/c")).is_some());
}

#[test]
fn rename_can_lift_a_subtree_over_names_that_it_leaves() {
    let mut account = new_account();
    for text in ["a/b", "a/b/c", "a/b/b", "a/b/b/c"] {
        create(&mut account, text);
    }
    submit(&mut account, &delete("a"));
    let ids: Vec<MailboxId> =
        ["a/b", "a/b/b", "a/b/b/c", "a/b/c"].iter().map(|text| id(&account, text)).collect();
    submit(&mut account, &rename("a/b", "a"));
    let moved: Vec<MailboxId> =
        ["a", "a/b", "a/b/c", "a/c"].iter().map(|text| id(&account, text)).collect();
    assert_eq!(ids, moved);
    let subscribed: Vec<String> =
        account.subscriptions().map(|(name, _)| name.to_string()).collect();
    assert!(["a", "a/b", "a/b/c", "a/c"].iter().all(|text| subscribed.contains(&(*text).into())));
    assert_eq!(subscribed.len(), 6 + 4);
}

#[test]
fn rename_refuses_what_has_no_place() {
    let mut account = new_account();
    create(&mut account, "a/b");
    create(&mut account, "c/b");
    submit(&mut account, &delete("c"));
    assert_eq!(refused(&account, &rename("none", "x")), Refusal::NonExistent);
    assert_eq!(refused(&account, &rename("a", "Sent")), Refusal::AlreadyExists);
    assert_eq!(refused(&account, &rename("a", "a")), Refusal::AlreadyExists);
    assert_eq!(refused(&account, &rename("a", "inbox")), Refusal::AlreadyExists);
    assert_eq!(refused(&account, &rename("a", "a/b/c")), Refusal::IntoItself);
    // The name "c" is free, but "c/b" below it is not.
    assert_eq!(refused(&account, &rename("a", "c")), Refusal::AlreadyExists);
    let deep = ["d"; 32].join("/");
    assert!(matches!(refused(&account, &rename("a", &deep)), Refusal::Name(_)));
}

#[test]
fn renaming_inbox_moves_its_messages_and_leaves_it_empty() {
    let mut account = new_account();
    create(&mut account, "INBOX/k");
    append(&mut account, "INBOX", &[SystemFlags::SEEN, SystemFlags::NONE]);
    let before = mailbox(&account, "INBOX").record().clone();
    submit(&mut account, &rename("INBOX", "old"));
    let inbox = mailbox(&account, "INBOX").record();
    assert_eq!((inbox.id, inbox.uid_validity), (before.id, before.uid_validity));
    assert_eq!((inbox.counts, inbox.uid_next), (Counts::default(), before.uid_next));
    assert_eq!(mailbox(&account, "old").record().counts, before.counts);
    assert!(account.by_name(&name("INBOX/k")).is_some());
    assert!(account.by_name(&name("old/k")).is_none());
}

#[test]
fn a_flag_that_is_set_already_raises_no_modseq() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::SEEN, SystemFlags::NONE]);
    let operation = store(FlagMode::Add, SystemFlags::SEEN);
    let outcome = flags_outcome(submit(&mut account, &operation));
    assert_eq!((outcome.changed, outcome.same), (uids(&[2]), uids(&[1])));
    let before = account.modseq();
    let again = ask(&account, &operation).unwrap();
    assert_eq!(again.entry, None);
    assert_eq!(flags_outcome(again.outcome).modseq, None);
    assert_eq!(account.modseq(), before);
}

#[test]
fn store_names_flags_and_leaves_the_others_alone() {
    let mut account = new_account();
    let work = Flags::new(SystemFlags::FLAGGED, [keyword("Work")]);
    let mailbox_id = id(&account, "INBOX");
    let operation = Operation::AddMessages { mailbox: mailbox_id, messages: vec![message(work)] };
    submit(&mut account, &operation);
    submit(&mut account, &store(FlagMode::Add, SystemFlags::SEEN));
    submit(&mut account, &store(FlagMode::Remove, SystemFlags::FLAGGED));
    let flags = |account: &Account| {
        mailbox(account, "INBOX").contents().unwrap().find(uid(1)).unwrap().flags()
    };
    assert_eq!(flags(&account), Flags::new(SystemFlags::SEEN, [keyword("work")]));
    submit(&mut account, &store(FlagMode::Replace, SystemFlags::DRAFT));
    assert_eq!(flags(&account), Flags::system(SystemFlags::DRAFT));
}

#[test]
fn of_two_racing_conditional_stores_one_wins() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE]);
    let since = account.modseq();
    let conditional = |flags| Operation::SetFlags {
        mailbox: MailboxId(1),
        uids: all(),
        mode: FlagMode::Add,
        flags: Flags::system(flags),
        unchanged_since: Some(since),
    };
    let first = flags_outcome(submit(&mut account, &conditional(SystemFlags::SEEN)));
    let second = flags_outcome(submit(&mut account, &conditional(SystemFlags::DRAFT)));
    assert_eq!((first.changed, first.modified), (uids(&[1]), uids(&[])));
    assert_eq!((second.changed, second.modified), (uids(&[]), uids(&[1])));
}

#[test]
fn wire_14_operations_on_vanished_uids_succeed_and_do_nothing() {
    let mut account = new_account();
    let inbox = id(&account, "INBOX");
    let to = id(&account, "Trash");
    let before = account.modseq();
    let gone = uids(&[112, 113]);
    let moved =
        copied(submit(&mut account, &Operation::Move { from: inbox, to, uids: gone.clone() }));
    assert!(moved.source.is_empty() && moved.target.is_empty());
    submit(&mut account, &Operation::Copy { from: inbox, to, uids: gone.clone() });
    submit(&mut account, &Operation::Expunge { mailbox: inbox, uids: gone });
    submit(&mut account, &store(FlagMode::Add, SystemFlags::SEEN));
    assert_eq!(account.modseq(), before);
}

#[test]
fn wire_19_copy_and_move_keep_keywords_and_the_targets_list_grows() {
    let mut account = new_account();
    let (inbox, to) = (id(&account, "INBOX"), id(&account, "Archive"));
    let flags = Flags::new(SystemFlags::FLAGGED, [keyword("Tax2024")]);
    submit(
        &mut account,
        &Operation::AddMessages { mailbox: inbox, messages: vec![message(flags.clone())] },
    );
    submit(&mut account, &Operation::Copy { from: inbox, to, uids: all() });
    submit(&mut account, &Operation::Move { from: inbox, to, uids: all() });
    let archive = mailbox(&account, "Archive");
    assert!(archive.record().keywords.number(&keyword("tax2024")).is_some());
    let contents = archive.contents().unwrap();
    assert_eq!(contents.len(), 2);
    for entry in contents.iter() {
        assert_eq!(entry.flags(), flags);
        assert_eq!(entry.message(), MessageId(1));
        assert_eq!(entry.thread(), ThreadId(1));
        assert_eq!(entry.internal_date(), InternalDate::new(1_600_000_000, 60));
        assert_eq!(entry.save_date(), 1_700_000_000);
    }
    assert!(mailbox(&account, "INBOX").contents().unwrap().is_empty());
}

#[test]
fn a_move_is_one_entry_so_that_no_one_sees_the_message_nowhere() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE; 3]);
    let (from, to) = (id(&account, "INBOX"), id(&account, "Trash"));
    let decision = ask(&account, &Operation::Move { from, to, uids: uids(&[2]) }).unwrap();
    let entry = decision.entry.unwrap();
    assert!(matches!(entry.changes[0], Change::Added { .. }));
    assert!(matches!(entry.changes[1], Change::Expunged { .. }));
    assert_eq!(entry.changes.len(), 2);
    let outcome = copied(decision.outcome);
    assert_eq!((outcome.source, outcome.target), (uids(&[2]), uids(&[1])));
}

#[test]
fn a_message_can_be_copied_and_moved_within_its_mailbox() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::SEEN, SystemFlags::NONE]);
    let inbox = id(&account, "INBOX");
    submit(&mut account, &Operation::Move { from: inbox, to: inbox, uids: uids(&[1]) });
    let contents = mailbox(&account, "INBOX").contents().unwrap();
    assert_eq!(contents.uids(), uids(&[2, 3]));
    assert_eq!(contents.find(uid(3)).unwrap().message(), MessageId(1));
}

fn replace(from: MailboxId, number: u32, to: MailboxId) -> Operation {
    let message = message(Flags::system(SystemFlags::DRAFT));
    Operation::Replace { from, uid: uid(number), to, message }
}

#[test]
fn a_replacement_is_one_entry_and_inherits_nothing() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::SEEN, SystemFlags::FLAGGED, SystemFlags::NONE]);
    let inbox = id(&account, "INBOX");
    let before = account.modseq();
    let outcome = submit(&mut account, &replace(inbox, 2, inbox));
    let Outcome::Replaced { uid: new, message, modseq, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((new, message), (uid(4), MessageId(4)));
    assert_eq!(before.next(), Some(modseq));
    assert_eq!(account.modseq(), modseq);
    let contents = mailbox(&account, "INBOX").contents().unwrap();
    assert_eq!(contents.uids(), uids(&[1, 3, 4]));
    assert_eq!(contents.find(uid(4)).unwrap().flags(), Flags::system(SystemFlags::DRAFT));
    assert_eq!(contents.vanished_since(before).uids, uids(&[2]));
}

#[test]
fn a_replacement_may_go_to_another_mailbox() {
    let mut account = new_account();
    append(&mut account, "Drafts", &[SystemFlags::NONE; 2]);
    let (drafts, sent) = (id(&account, "Drafts"), id(&account, "Sent"));
    submit(&mut account, &replace(drafts, 1, sent));
    assert_eq!(mailbox(&account, "Drafts").contents().unwrap().uids(), uids(&[2]));
    assert_eq!(mailbox(&account, "Sent").contents().unwrap().uids(), uids(&[1]));
}

#[test]
fn a_message_that_is_gone_is_not_replaced() {
    let mut account = new_account();
    append(&mut account, "Drafts", &[SystemFlags::NONE]);
    let drafts = id(&account, "Drafts");
    submit(&mut account, &replace(drafts, 1, drafts));
    assert_eq!(refused(&account, &replace(drafts, 1, drafts)), Refusal::NoSuchMessage);
    assert_eq!(refused(&account, &replace(drafts, 2, MailboxId(99))), Refusal::NoTarget);
    assert_eq!(refused(&account, &replace(MailboxId(99), 2, drafts)), Refusal::NonExistent);
}

#[test]
fn messages_for_a_missing_mailbox_are_refused_with_try_create() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE]);
    let (from, to) = (id(&account, "INBOX"), MailboxId(99));
    for operation in [
        Operation::AddMessages { mailbox: to, messages: vec![message(Flags::default())] },
        Operation::Copy { from, to, uids: all() },
        Operation::Move { from, to, uids: all() },
    ] {
        assert_eq!(refused(&account, &operation), Refusal::NoTarget);
    }
    let operation = Operation::Expunge { mailbox: to, uids: all() };
    assert_eq!(refused(&account, &operation), Refusal::NonExistent);
}

#[test]
fn expunge_takes_only_the_deleted_ones_of_the_set() {
    let mut account = new_account();
    let deleted = SystemFlags::DELETED;
    append(&mut account, "INBOX", &[deleted, SystemFlags::NONE, deleted, deleted]);
    let inbox = id(&account, "INBOX");
    let operation = Operation::Expunge { mailbox: inbox, uids: uids(&[1, 2, 3, 77]) };
    let outcome = submit(&mut account, &operation);
    let Outcome::Expunged { uids: gone, modseq } = outcome else { panic!("{outcome:?}") };
    assert_eq!(gone, uids(&[1, 3]));
    assert_eq!(modseq, Some(account.modseq()));
    let record = mailbox(&account, "INBOX").record();
    assert_eq!(record.highest_modseq, account.modseq());
    assert_eq!((record.counts.messages, record.counts.deleted_bytes), (2, 100));
}

#[test]
fn the_first_session_to_claim_takes_the_recent_messages() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE; 2]);
    assert_eq!(mailbox(&account, "INBOX").record().recent, 2);
    let claim = Operation::ClaimRecent { mailbox: id(&account, "INBOX") };
    let before = mailbox(&account, "INBOX").record().highest_modseq;
    assert_eq!(submit(&mut account, &claim), Outcome::RecentClaimed { uids: uids(&[1, 2]) });
    assert_eq!(submit(&mut account, &claim), Outcome::RecentClaimed { uids: uids(&[]) });
    let record = mailbox(&account, "INBOX").record();
    assert_eq!((record.recent, record.highest_modseq), (0, before));
}

/// The record of a mailbox, as a store may hold it.
fn record(uid_next: u32, messages: u32) -> MailboxRecord {
    MailboxRecord {
        id: MailboxId(1),
        name: MailboxName::inbox(),
        uid_validity: UidValidity::MIN,
        uid_next: uid(uid_next),
        highest_modseq: ModSeq::new(1).unwrap(),
        created: ModSeq::new(1).unwrap(),
        special_use: SpecialUses::NONE,
        recent_mark: uid(uid_next),
        recent: 0,
        counts: Counts { messages, ..Counts::default() },
        keywords: KeywordNames::well_known(),
    }
}

fn head() -> Head {
    Head {
        modseq: ModSeq::new(5).unwrap(),
        next_mailbox: MailboxId(2),
        next_message: MessageId(1),
        last_uid_validity: 1,
        history_floor: ModSeq::ZERO,
    }
}

fn add(count: usize) -> Operation {
    let messages = vec![message(Flags::default()); count];
    Operation::AddMessages { mailbox: MailboxId(1), messages }
}

#[test]
fn at_the_last_uid_nothing_is_added_and_nothing_wraps() {
    let restored = Account::restore(head(), vec![record(u32::MAX - 2, 0)], Vec::new());
    let mut account = restored.unwrap();
    assert_eq!(refused(&account, &add(3)), Refusal::UidsExhausted);
    submit(&mut account, &add(2));
    assert_eq!(mailbox(&account, "INBOX").record().uid_next, Uid::MAX);
    assert_eq!(refused(&account, &add(1)), Refusal::UidsExhausted);
    assert_eq!(ask(&account, &add(0)).unwrap().entry, None);
}

#[test]
fn the_last_modseq_and_the_last_uid_validity_refuse_what_needs_another() {
    let head = Head { modseq: ModSeq::MAX, last_uid_validity: u32::MAX, ..head() };
    let account = Account::restore(head, vec![record(1, 0)], Vec::new()).unwrap();
    assert_eq!(refused(&account, &add(1)), Refusal::ModSeqsExhausted);
    let head = Head { modseq: ModSeq::new(5).unwrap(), ..head };
    let account = Account::restore(head, vec![record(1, 0)], Vec::new()).unwrap();
    let operation = Operation::CreateMailbox { name: name("a"), special_use: Vec::new() };
    assert_eq!(refused(&account, &operation), Refusal::UidValiditiesExhausted);
}

#[test]
fn a_full_mailbox_refuses_messages() {
    let full = record(u32::MAX / 2, Account::MESSAGES_MAX - 1);
    let account = Account::restore(head(), vec![full], Vec::new()).unwrap();
    assert!(ask(&account, &add(1)).is_ok());
    assert_eq!(refused(&account, &add(2)), Refusal::Limit(Limit::Messages));
}

#[test]
fn keywords_are_limited_for_a_mailbox_and_for_a_message() {
    let mut account = new_account();
    let inbox = id(&account, "INBOX");
    append(&mut account, "INBOX", &[SystemFlags::NONE]);
    let store = |from: usize, count: usize| Operation::SetFlags {
        mailbox: inbox,
        uids: all(),
        mode: FlagMode::Add,
        flags: Flags::new(
            SystemFlags::NONE,
            (from..from + count).map(|n| keyword(&format!("k{n}"))),
        ),
        unchanged_since: None,
    };
    assert_eq!(refused(&account, &store(0, 65)), Refusal::Limit(Limit::KeywordsOnMessage));
    let room = KeywordNames::KEYWORDS_MAX - KeywordNames::WELL_KNOWN.len();
    let clear = Operation::SetFlags {
        mailbox: inbox,
        uids: all(),
        mode: FlagMode::Replace,
        flags: Flags::default(),
        unchanged_since: None,
    };
    let mut at = 0;
    while at < room {
        let count = (room - at).min(Flags::KEYWORDS_MAX);
        submit(&mut account, &store(at, count));
        submit(&mut account, &clear);
        at += count;
    }
    assert_eq!(refused(&account, &store(room, 1)), Refusal::Limit(Limit::KeywordsInMailbox));
    assert!(ask(&account, &store(room - 1, 1)).is_ok());
}

#[test]
fn mailboxes_and_subscriptions_are_limited() {
    let mut records = Vec::new();
    for n in 1..=u32::try_from(Account::MAILBOXES_MAX).unwrap() {
        let mut one = record(1, 0);
        one.id = MailboxId(u64::from(n));
        one.uid_validity = UidValidity::new(n).unwrap();
        one.name = if n == 1 { MailboxName::inbox() } else { name(&format!("m{n}")) };
        records.push(one);
    }
    let next_mailbox = MailboxId(records.len() as u64 + 1);
    let head = Head { next_mailbox, last_uid_validity: 1 << 20, ..head() };
    let subscriptions: Vec<_> = (0..Account::SUBSCRIPTIONS_MAX)
        .map(|n| (name(&format!("s{n}")), Subscription::Asked))
        .collect();
    let mut account = Account::restore(head, records, subscriptions).unwrap();
    let operation = Operation::CreateMailbox { name: name("new"), special_use: Vec::new() };
    assert_eq!(refused(&account, &operation), Refusal::Limit(Limit::Mailboxes));
    let subscribe = |text| Operation::Subscribe { name: name(text) };
    assert_eq!(refused(&account, &subscribe("s")), Refusal::Limit(Limit::Subscriptions));
    assert!(ask(&account, &subscribe("s7")).is_ok());
    // A full list of subscriptions does not keep a mailbox from being made.
    submit(&mut account, &delete("m5"));
    submit(&mut account, &operation);
    assert!(!account.is_subscribed(&name("new")));
}

#[test]
fn a_message_id_that_was_never_given_is_refused() {
    let mut account = new_account();
    let mut known = message(Flags::default());
    known.message = Some(MessageId(1));
    let mailbox = id(&account, "INBOX");
    let operation = Operation::AddMessages { mailbox, messages: vec![known] };
    assert_eq!(refused(&account, &operation), Refusal::UnknownMessage(MessageId(1)));
    append(&mut account, "INBOX", &[SystemFlags::NONE]);
    let outcome = submit(&mut account, &operation);
    assert!(matches!(outcome, Outcome::Added { messages, .. } if messages == [MessageId(1)]));
}

#[test]
fn an_operation_without_its_contents_is_refused_and_says_what_it_needs() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE]);
    let account = account.without_contents(MailboxId(1));
    let operation = store(FlagMode::Add, SystemFlags::SEEN);
    assert_eq!(operation.contents_needed(&account), [MailboxId(1)]);
    assert_eq!(refused(&account, &operation), Refusal::NotLoaded(MailboxId(1)));
    // Delivery does not need them.
    assert!(add(1).contents_needed(&account).is_empty());
    assert!(ask(&account, &add(1)).is_ok());
}

#[test]
fn an_entry_that_does_not_fit_is_corruption_and_never_a_panic() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE]);
    let modseq = account.modseq().next().unwrap();
    let try_change = |change: Change| {
        apply(&account, &LogEntry { modseq, at: 0, changes: vec![change] }).unwrap_err()
    };
    let inbox = MailboxId(1);
    let counts = Counts::default();
    let gone = Change::Expunged { mailbox: inbox, uids: uids(&[9]), counts };
    assert_eq!(try_change(gone), Corruption::ContentsDisagree(inbox));
    let miscounted = Change::Expunged {
        mailbox: inbox,
        uids: uids(&[1]),
        counts: Counts { messages: 7, ..counts },
    };
    assert_eq!(try_change(miscounted), Corruption::ContentsDisagree(inbox));
    let runs = vec![mailbox::FlagRun { uids: uids(&[9]), flags: Flags::default() }];
    let unknown = Change::FlagsSet { mailbox: inbox, runs, counts };
    assert_eq!(try_change(unknown), Corruption::Row { mailbox: inbox, uid: uid(9) });
    let reused = Change::Added { mailbox: inbox, first_uid: uid(1), messages: Vec::new() };
    assert_eq!(try_change(reused), Corruption::Row { mailbox: inbox, uid: uid(1) });
    let missing = Change::MailboxRemoved { id: MailboxId(99) };
    assert_eq!(try_change(missing), Corruption::NoSuchMailbox(MailboxId(99)));
    let taken = Change::MailboxRenamed { id: MailboxId(2), name: name("INBOX") };
    assert!(matches!(try_change(taken), Corruption::NameTwice(_)));
    let twice = Change::MailboxCreated {
        id: inbox,
        name: name("n"),
        uid_validity: UidValidity::MAX,
        special_use: SpecialUses::NONE,
    };
    assert_eq!(try_change(twice), Corruption::IdTwice(inbox));
    let old = Change::MailboxCreated {
        id: MailboxId(50),
        name: name("n"),
        uid_validity: UidValidity::MIN,
        special_use: SpecialUses::NONE,
    };
    assert_eq!(try_change(old), Corruption::UidValidityTwice(MailboxId(50)));
    let late = LogEntry { modseq: modseq.next().unwrap(), at: 0, changes: Vec::new() };
    assert!(matches!(apply(&account, &late), Err(Corruption::ModSeqGap { .. })));
}

#[test]
fn rows_that_contradict_their_record_are_corruption() {
    let row = |number: u32| MembershipRow {
        uid: uid(number),
        message: MessageId(1),
        thread: ThreadId(1),
        modseq: ModSeq::new(1).unwrap(),
        internal_date: InternalDate::utc(0),
        save_date: 0,
        size: 0,
        system: SystemFlags::SEEN,
        keywords: Vec::new(),
    };
    let build = |rows: &[MembershipRow]| {
        let mut builder = MailboxSnapshotBuilder::new(&record(10, 2), ModSeq::ZERO);
        for row in rows {
            builder.push(row)?;
        }
        builder.finish()
    };
    assert!(build(&[row(1), row(2)]).is_ok());
    assert!(build(&[row(1)]).is_err(), "a row is missing");
    assert!(build(&[row(2), row(1)]).is_err(), "out of order");
    assert!(build(&[row(1), row(1)]).is_err(), "twice");
    assert!(build(&[row(1), row(10)]).is_err(), "a UID that was not given");
    let late = MembershipRow { modseq: ModSeq::new(2).unwrap(), ..row(2) };
    assert!(build(&[row(1), late]).is_err(), "a modseq above HIGHESTMODSEQ");
    let never = MembershipRow { modseq: ModSeq::ZERO, ..row(2) };
    assert!(build(&[row(1), never]).is_err(), "a message without a modseq");
    let keyword = MembershipRow { keywords: vec![99], ..row(2) };
    assert!(build(&[row(1), keyword]).is_err(), "a keyword without a name");
    let unsorted = MembershipRow { keywords: vec![2, 1], ..row(2) };
    assert!(build(&[row(1), unsorted]).is_err(), "keywords out of order");
}

#[test]
fn stored_records_that_contradict_each_other_are_corruption() {
    let other = |id, text| MailboxRecord { id: MailboxId(id), name: name(text), ..record(1, 0) };
    let restore = |records: Vec<MailboxRecord>| {
        let head = Head { next_mailbox: MailboxId(9), ..head() };
        Account::restore(head, records, Vec::new())
    };
    assert!(restore(vec![other(2, "a"), other(1, "b")]).is_ok());
    assert!(restore(vec![other(1, "a"), other(1, "b")]).is_err());
    assert!(restore(vec![other(1, "a"), other(2, "a")]).is_err());
    assert!(restore(vec![other(9, "a")]).is_err());
    let late = MailboxRecord { highest_modseq: ModSeq::MAX, ..record(1, 0) };
    assert!(restore(vec![late]).is_err());
}

#[test]
fn the_rows_of_a_flag_change_need_the_contents() {
    let mut account = new_account();
    append(&mut account, "INBOX", &[SystemFlags::NONE; 2]);
    let operation = store(FlagMode::Add, SystemFlags::SEEN);
    let entry = ask(&account, &operation).unwrap().entry.unwrap();
    let after = apply(&account, &entry).unwrap();
    let rows = touched(&after, &entry).unwrap();
    assert_eq!(rows.rows_put.len(), 2);
    assert!(rows.rows_put.iter().all(|(_, row)| row.system == SystemFlags::SEEN));
    assert_eq!(rows.mailboxes_put, [MailboxId(1)]);
    let unloaded = after.without_contents(MailboxId(1));
    assert_eq!(touched(&unloaded, &entry), Err(Corruption::ContentsMissing(MailboxId(1))));
}

#[test]
fn a_new_access_key_is_seen_by_all_and_changes_nothing_that_is_stored() {
    let account = new_account();
    let reset = |mailbox| Operation::NoteKeyReset { mailbox };
    let entry = ask(&account, &reset(MailboxId(2))).unwrap().entry.unwrap();
    let after = apply(&account, &entry).unwrap();
    let resets = |account: &Account, id| account.mailbox(MailboxId(id)).unwrap().key_resets();
    assert_eq!((resets(&account, 2), resets(&after, 2), resets(&after, 1)), (0, 1, 0));
    assert_eq!(touched(&after, &entry).unwrap(), mailbox::Touched::default());
    let record = |account: &Account| account.mailbox(MailboxId(2)).unwrap().record().clone();
    assert_eq!(record(&account), record(&after));
    assert_eq!(refused(&account, &reset(MailboxId(99))), Refusal::NonExistent);
}
