//! What a session is told, what a returning client is told, and what LIST shows.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use mail_types::{
    Flags, InternalDate, MailboxId, MailboxName, ModSeq, SeqNum, SeqSet, SystemFlags, Uid, UidSet,
};
use mailbox::qresync::{Known, resync};
use mailbox::tree::{Children, Pattern, matching, nodes};
use mailbox::{
    Account, Actor, Bound, Context, Expunges, FlagMode, MailboxSnapshot, NewMessage, News,
    NoSuchSeqNum, Operation, OwnStore, View, apply, decide,
};

const INBOX: MailboxId = MailboxId(1);

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn seq(number: u32) -> SeqNum {
    SeqNum::new(number).unwrap()
}

fn uids(numbers: &[u32]) -> UidSet {
    numbers.iter().map(|number| uid(*number)).collect()
}

fn submit(account: &mut Account, operation: &Operation) -> Option<ModSeq> {
    let entry = decide(account, &Actor::Owner, operation, &Context { now: 0 }).unwrap().entry?;
    *account = apply(account, &entry).unwrap();
    Some(entry.modseq)
}

fn add(account: &mut Account, count: usize) {
    let message = NewMessage {
        message: None,
        thread: None,
        size: 1,
        internal_date: InternalDate::utc(0),
        flags: Flags::default(),
        annotations: mailbox::Annotations::default(),
    };
    let messages = vec![message; count];
    submit(account, &Operation::AddMessages { mailbox: INBOX, messages });
}

fn store(account: &mut Account, numbers: &[u32], mode: FlagMode, flags: SystemFlags) -> ModSeq {
    let flags = Flags::system(flags);
    let uids = uids(numbers);
    let operation =
        Operation::SetFlags { mailbox: INBOX, uids, mode, flags, unchanged_since: None };
    submit(account, &operation).unwrap()
}

fn expunge(account: &mut Account, numbers: &[u32]) {
    store(account, numbers, FlagMode::Add, SystemFlags::DELETED);
    submit(account, &Operation::Expunge { mailbox: INBOX, uids: uids(numbers) });
}

fn snapshot(account: &Account) -> MailboxSnapshot {
    account.mailbox(INBOX).unwrap().contents().unwrap().clone()
}

/// An account whose INBOX has the UIDs from 1 on.
fn account(count: usize) -> Account {
    let mut account = Account::empty();
    submit(&mut account, &Operation::CreateAccount);
    add(&mut account, count);
    account
}

fn number<T>(value: T) -> Bound<T> {
    Bound::Number(value)
}

#[test]
fn withheld_expunges_keep_their_numbers_and_hold_back_settled() {
    let mut account = account(4);
    let mut view = View::open(snapshot(&account));
    let before = view.settled();
    expunge(&mut account, &[2]);
    add(&mut account, 1);
    let delta = view.advance(&snapshot(&account), Expunges::Withhold, None);
    assert!(delta.expunged.is_empty());
    assert_eq!(delta.exists, Some(5));
    assert_eq!((view.exists(), view.settled()), (5, before));
    assert_eq!(view.withheld(), uids(&[2]));
    assert_eq!(view.uid(seq(2)), Some(uid(2)));
    assert_eq!(view.uid(seq(5)), Some(uid(5)));
    assert_eq!(view.entry(uid(2)).unwrap().uid(), uid(2));
    let delta = view.advance(&snapshot(&account), Expunges::Tell, None);
    assert_eq!((delta.expunged, delta.vanished), (vec![seq(2)], uids(&[2])));
    assert!(view.withheld().is_empty());
    assert_eq!(delta.exists, None);
    assert_eq!(view.settled(), account.modseq());
    assert_eq!(view.entry(uid(2)).map(|entry| entry.uid()), None);
    assert_eq!(view.uid(seq(2)), Some(uid(3)));
}

#[test]
fn expunges_are_sent_from_the_last_to_the_first() {
    let mut account = account(5);
    let mut view = View::open(snapshot(&account));
    expunge(&mut account, &[1, 3, 5]);
    let delta = view.advance(&snapshot(&account), Expunges::Tell, None);
    assert_eq!(delta.expunged, [seq(5), seq(3), seq(1)]);
    assert!(delta.changed.is_empty());
}

#[test]
fn a_message_that_came_and_went_between_two_looks_is_never_mentioned() {
    let mut account = account(1);
    let mut view = View::open(snapshot(&account));
    add(&mut account, 1);
    expunge(&mut account, &[2]);
    let delta = view.advance(&snapshot(&account), Expunges::Tell, None);
    assert!(delta.is_empty(), "{delta:?}");
    assert_eq!(view.settled(), account.modseq());
}

#[test]
fn an_own_store_is_no_news_unless_someone_else_changed_the_message_too() {
    let mut account = account(3);
    let mut view = View::open(snapshot(&account));
    store(&mut account, &[2], FlagMode::Add, SystemFlags::FLAGGED);
    let modseq = store(&mut account, &[1, 2], FlagMode::Add, SystemFlags::SEEN);
    let own = OwnStore { modseq, mode: FlagMode::Add, flags: Flags::system(SystemFlags::SEEN) };
    let delta = view.advance(&snapshot(&account), Expunges::Withhold, Some(&own));
    let news: Vec<(u32, News)> =
        delta.changed.iter().map(|changed| (changed.uid.get(), changed.news)).collect();
    assert_eq!(news, [(1, News::Own), (2, News::Flags)]);
}

#[test]
fn flags_that_changed_and_changed_back_are_news_for_the_modseq_only() {
    let mut account = account(1);
    let mut view = View::open(snapshot(&account));
    store(&mut account, &[1], FlagMode::Add, SystemFlags::SEEN);
    store(&mut account, &[1], FlagMode::Remove, SystemFlags::SEEN);
    let delta = view.advance(&snapshot(&account), Expunges::Tell, None);
    assert_eq!(delta.changed.len(), 1);
    assert_eq!(delta.changed[0].news, News::ModSeq);
}

#[test]
fn a_stale_snapshot_tells_nothing() {
    let mut account = account(2);
    let old = snapshot(&account);
    add(&mut account, 1);
    let mut view = View::open(snapshot(&account));
    assert!(view.advance(&old, Expunges::Tell, None).is_empty());
    assert_eq!(view.exists(), 3);
}

#[test]
fn wire_15_star_is_the_last_message_on_either_side_of_the_colon() {
    let mut account = account(4);
    expunge(&mut account, &[2]);
    let view = View::open(snapshot(&account));
    let seqs = |a, b| view.resolve_seqs([(a, b)]).unwrap();
    assert_eq!(seqs(Bound::Last, Bound::Last), uids(&[4]));
    assert_eq!(seqs(Bound::Last, number(seq(2))), uids(&[3, 4]));
    assert_eq!(seqs(number(seq(3)), number(seq(1))).first(), Some(uid(1)));
    let named = |a, b| view.resolve_uids([(a, b)]);
    assert_eq!(named(Bound::Last, Bound::Last), uids(&[4]));
    assert_eq!(named(Bound::Last, number(uid(3))), uids(&[3, 4]));
    // Above the last message `n:*` still names the last one.
    assert_eq!(named(number(uid(559)), Bound::Last), uids(&[4]));
    assert_eq!(named(number(uid(559)), number(uid(600))), uids(&[]));
}

#[test]
fn sequence_numbers_that_no_message_has_are_an_error_and_such_uids_are_not() {
    let full = account(2);
    let view = View::open(snapshot(&full));
    assert_eq!(view.resolve_seqs([(number(seq(1)), number(seq(3)))]), Err(NoSuchSeqNum));
    assert_eq!(view.resolve_uids([(number(uid(7)), number(uid(9)))]), uids(&[]));
    let empty = View::open(snapshot(&account(0)));
    assert_eq!(empty.resolve_seqs([(number(seq(1)), Bound::Last)]), Err(NoSuchSeqNum));
    assert_eq!(empty.resolve_seqs([(Bound::Last, Bound::Last)]), Err(NoSuchSeqNum));
    assert_eq!(empty.resolve_uids([(number(uid(1)), Bound::Last)]), uids(&[]));
    assert_eq!((empty.exists(), empty.last_uid()), (0, None));
}

#[test]
fn a_set_does_not_name_messages_that_the_client_was_not_told_of() {
    let mut account = account(2);
    let view = View::open(snapshot(&account));
    add(&mut account, 3);
    assert_eq!(view.resolve_uids([(number(uid(1)), number(uid(100)))]).last(), Some(uid(2)));
    assert_eq!(view.resolve_uids([(number(uid(1)), Bound::Last)]).last(), Some(uid(2)));
}

#[test]
fn recent_messages_are_counted_while_they_are_there() {
    let mut account = account(4);
    let mut view = View::open(snapshot(&account));
    view.add_recent(&uids(&[2, 3]));
    view.add_recent(&uids(&[]));
    assert_eq!(view.recent_count(), 2);
    expunge(&mut account, &[3]);
    view.advance(&snapshot(&account), Expunges::Withhold, None);
    assert_eq!(view.recent_count(), 2);
    view.advance(&snapshot(&account), Expunges::Tell, None);
    assert_eq!(view.recent_count(), 1);
    assert!(view.is_recent(uid(2)) && !view.is_recent(uid(4)));
}

/// INBOX of the RFC's example: only every third UID up to `last` is left, and nothing is known of
/// the expunges.
fn every_third(last: u32) -> MailboxSnapshot {
    let mut account = account(usize::try_from(last).unwrap());
    let gone: Vec<u32> = (1..=last).filter(|number| !number.is_multiple_of(3)).collect();
    expunge(&mut account, &gone);
    let floor = account.modseq();
    submit(&mut account, &Operation::Prune { floor });
    snapshot(&account)
}

#[test]
fn without_history_every_missing_uid_vanished() {
    let snapshot = every_third(30);
    let since = ModSeq::new(2).unwrap();
    let known = Known { modseq: since, uids: Some(UidSet::range(uid(1), uid(28))), sample: None };
    let expected = "1:2,4:5,7:8,10:11,13:14,16:17,19:20,22:23,25:26,28";
    assert_eq!(resync(&snapshot, &known).vanished.to_string(), expected);
    // Without a list all UIDs that were ever given are meant, and none above.
    let known = Known { uids: None, ..known };
    assert_eq!(resync(&snapshot, &known).vanished.last(), Some(uid(29)));
}

#[test]
fn a_matching_sample_shortens_what_vanished() {
    // RFC 7162 §3.2.5.2: the client knows UIDs that are multiples of three.
    let snapshot = every_third(30);
    let sample = |seqs: &[u32], numbers: &[u32]| {
        let seqs: SeqSet = seqs.iter().map(|number| seq(*number)).collect();
        let known = Known {
            modseq: ModSeq::new(2).unwrap(),
            uids: Some(UidSet::range(uid(1), uid(28))),
            sample: Some((seqs, uids(numbers))),
        };
        resync(&snapshot, &known).vanished.to_string()
    };
    assert_eq!(sample(&[5, 8], &[15, 24]), "25:26,28");
    // The second pair does not match: it and what comes after say nothing.
    assert_eq!(sample(&[5, 8, 9], &[15, 25, 27]), "16:17,19:20,22:23,25:26,28");
    assert_eq!(sample(&[5], &[14]).len(), sample(&[], &[]).len());
    // More numbers than UIDs: the rest has no partner.
    assert_eq!(sample(&[5, 6, 7], &[15]), "16:17,19:20,22:23,25:26,28");
}

#[test]
fn a_client_that_is_up_to_date_is_told_nothing() {
    let mut account = account(5);
    expunge(&mut account, &[2]);
    let known = Known { modseq: account.modseq(), uids: None, sample: None };
    let resync = resync(&snapshot(&account), &known);
    assert!(resync.vanished.is_empty() && resync.changed.is_empty());
}

#[test]
fn only_known_messages_are_reported() {
    let mut account = account(6);
    let modseq = account.modseq();
    store(&mut account, &[1, 2, 3], FlagMode::Add, SystemFlags::SEEN);
    expunge(&mut account, &[4, 5]);
    let known = Known { modseq, uids: Some(uids(&[2, 3, 4])), sample: None };
    let resync = resync(&snapshot(&account), &known);
    assert_eq!(resync.vanished, uids(&[4]));
    assert_eq!(resync.changed, [(seq(2), uid(2)), (seq(3), uid(3))]);
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn shown(account: &Account, pattern: &str) -> Vec<String> {
    let pattern = Pattern::new(pattern).unwrap();
    let show = |node: mailbox::tree::Node| {
        let mut text = node.name.to_string();
        text.push_str(if node.mailbox.is_some() { "" } else { " \\NonExistent" });
        text.push_str(if node.children.exist() { " +" } else { "" });
        text.push_str(if node.is_subscribed() { " *" } else { "" });
        text
    };
    matching(account, &[pattern]).into_iter().map(show).collect()
}

#[test]
fn a_name_without_a_mailbox_is_shown_for_its_children_or_its_subscription() {
    let mut account = account(0);
    let create = Operation::CreateMailbox { name: name("a/b/c"), special_use: Vec::new() };
    submit(&mut account, &create);
    submit(&mut account, &Operation::DeleteMailbox { name: name("a") });
    submit(&mut account, &Operation::DeleteMailbox { name: name("a/b") });
    submit(&mut account, &Operation::Subscribe { name: name("x/y") });
    assert_eq!(shown(&account, "a%"), ["a \\NonExistent +"]);
    assert_eq!(shown(&account, "a/*"), ["a/b \\NonExistent +", "a/b/c *"]);
    assert_eq!(shown(&account, "x*"), ["x \\NonExistent", "x/y \\NonExistent *"]);
    assert_eq!(shown(&account, "inb%"), ["INBOX *"]);
}

#[test]
fn wire_08_an_existing_subscribed_mailbox_is_never_shown_as_nonexistent() {
    let mut account = account(0);
    for text in ["a/b", "INBOX/k"] {
        let operation = Operation::CreateMailbox { name: name(text), special_use: Vec::new() };
        submit(&mut account, &operation);
    }
    submit(&mut account, &Operation::Subscribe { name: name("a") });
    let rename = Operation::RenameMailbox { from: name("a"), to: name("c") };
    submit(&mut account, &rename);
    for node in nodes(&account) {
        assert_eq!(node.mailbox.is_some(), account.by_name(&node.name).is_some());
        if node.mailbox.is_none() {
            assert_eq!(node.name, name("a"), "only the name that a client subscribed");
        }
    }
    let parent = nodes(&account).into_iter().find(|node| node.name == name("c")).unwrap();
    assert_eq!((parent.children, parent.subscribed_children), (Children::Some, Children::Some));
    assert!(parent.is_subscribed());
}
