//! Changes: durable before they are told, whole, in order, also when others write and disks fail.

use std::sync::Arc;

use mail_service::keys::{AccountKey, AccountKeys};
use mail_service::{AccountHandle, ServiceError, Sharing};
use mail_types::{Flags, Keyword, MailboxId, SystemFlags, UidSet};
use mailbox::{FlagMode, Operation, Outcome, Refusal};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{Commit, Store, StoreError, Write};

use crate::common::{Setup, account_of, append, assert_clean, inbox, mailbox_id, name};

fn set_flags(mailbox: MailboxId, uids: &UidSet, flags: Flags) -> Operation {
    let (uids, mode) = (uids.clone(), FlagMode::Add);
    Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since: None }
}

fn seen() -> Flags {
    Flags::system(SystemFlags::SEEN)
}

fn keyword(text: &str) -> Flags {
    Flags::new(SystemFlags::NONE, [Keyword::new(text).unwrap()])
}

async fn flags_of(account: &AccountHandle, mailbox: MailboxId, uids: &UidSet) -> Flags {
    let (state, _pin) = account.load(mailbox).await.unwrap();
    let contents = state.mailbox(mailbox).unwrap().contents().unwrap();
    contents.find(uids.first().unwrap()).unwrap().flags()
}

#[tokio::test]
async fn a_new_account_has_its_mailboxes_and_an_empty_history() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let names: Vec<_> = account.current().names().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
    assert!(account.current().is_subscribed(&name("Sent")));
    assert_clean(&store);
}

#[tokio::test]
async fn an_answer_means_that_a_crash_loses_nothing() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    account.submit(set_flags(inbox(&account), &uids, seen())).await.unwrap();
    let left = store.crash();
    let again = account_of(&setup.open(Arc::new(left.clone())).await, "dock").await;
    assert_eq!(flags_of(&again, inbox(&again), &uids).await, seen());
    assert_clean(&left);
}

#[tokio::test]
async fn refused_and_empty_changes_commit_nothing() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    account.submit(set_flags(inbox(&account), &uids, seen())).await.unwrap();
    let before = (account.current().modseq(), store.view().unwrap().at());
    let again = account.submit(set_flags(inbox(&account), &uids, seen())).await.unwrap();
    assert!(matches!(again.1, Outcome::FlagsSet(o) if o.same == uids && o.modseq.is_none()));
    let create = Operation::CreateMailbox { name: name("Sent"), special_use: Vec::new() };
    let refused = account.submit(create).await.unwrap_err();
    assert_eq!(refused, ServiceError::Refused(Refusal::AlreadyExists));
    assert_eq!((account.current().modseq(), store.view().unwrap().at()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_batched_and_none_is_lost() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let (account, uids) = (account.clone(), uids.clone());
            let flags = keyword(&format!("k{n}"));
            let mailbox = inbox(&account);
            tokio::spawn(async move { account.submit(set_flags(mailbox, &uids, flags)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(flags_of(&account, inbox(&account), &uids).await.keywords().len(), 40);
    assert_clean(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_on_one_store_lose_nothing_of_each_other() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let one = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let two = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let uids = append(&one, inbox(&one), 0).await;
    let mut tasks = Vec::new();
    for (side, account) in [one.clone(), two.clone()].into_iter().enumerate() {
        for task in 0..4 {
            let (account, uids) = (account.clone(), uids.clone());
            tasks.push(tokio::spawn(async move {
                for n in 0..5 {
                    let flags = keyword(&format!("s{side}t{task}n{n}"));
                    let mailbox = inbox(&account);
                    account.submit(set_flags(mailbox, &uids, flags)).await.unwrap();
                    append(&account, mailbox, n).await;
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    for account in [one, two] {
        assert_eq!(flags_of(&account, inbox(&account), &uids).await.keywords().len(), 40);
        let state = account.state().await.unwrap();
        assert_eq!(state.mailbox(inbox(&account)).unwrap().record().counts.messages, 41);
    }
    assert_clean(&store);
}

#[tokio::test]
async fn a_reader_of_another_service_sees_what_was_acknowledged() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let one = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let two = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let mut hints = two.watch();
    hints.mark_unchanged();
    let uids = append(&one, inbox(&one), 1).await;
    assert_eq!(two.state().await.unwrap().modseq(), one.current().modseq());
    let (state, _pin) = two.load(inbox(&two)).await.unwrap();
    let contents = state.mailbox(inbox(&two)).unwrap().contents().unwrap().clone();
    assert_eq!(contents.uids(), uids);
    // And a follower is woken without asking.
    hints.changed().await.unwrap();
    append(&one, inbox(&one), 2).await;
    hints.changed().await.unwrap();
}

#[tokio::test]
async fn a_watcher_is_woken_with_the_newest_state() {
    let setup = Setup::new(Sharing::Exclusive);
    let service = setup.open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let mut watch = account.watch();
    append(&account, inbox(&account), 1).await;
    append(&account, inbox(&account), 2).await;
    watch.changed().await.unwrap();
    assert_eq!(watch.borrow_and_update().modseq(), account.current().modseq());
    assert!(!watch.has_changed().unwrap());
}

async fn faulty() -> (Mem, Arc<Faulty>, AccountHandle, UidSet) {
    let mem = Mem::new();
    let store = Arc::new(Faulty::new(Arc::new(mem.clone())));
    let service = Setup::new(Sharing::Exclusive).open(store.clone()).await;
    let account = account_of(&service, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    (mem, store, account, uids)
}

#[tokio::test]
async fn a_full_disk_refuses_the_change_and_the_next_one_works() {
    let (mem, store, account, uids) = faulty().await;
    let before = account.current().modseq();
    store.faults().on(Call::Commit, 1, Fault::Fail(StoreError::StorageFull));
    let change = set_flags(inbox(&account), &uids, seen());
    let error = account.submit(change.clone()).await.unwrap_err();
    assert_eq!(error, ServiceError::StorageFull);
    assert_eq!(account.current().modseq(), before);
    account.submit(change).await.unwrap();
    assert_eq!(account.current().modseq(), before.next().unwrap());
    assert_clean(&mem);
}

#[tokio::test]
async fn a_busy_store_is_asked_again() {
    let (mem, store, account, uids) = faulty().await;
    store.faults().on(Call::Commit, 1, Fault::Fail(StoreError::Busy));
    store.faults().on(Call::Commit, 2, Fault::Fail(StoreError::Busy));
    account.submit(set_flags(inbox(&account), &uids, seen())).await.unwrap();
    assert_eq!(flags_of(&account, inbox(&account), &uids).await, seen());
    assert_clean(&mem);
}

#[tokio::test]
async fn an_outcome_that_is_not_known_is_told_and_never_done_twice() {
    let (mem, store, account, uids) = faulty().await;
    let refused = StoreError::WriteRefused { reason: "disk".into() };
    store.faults().on(Call::Commit, 1, Fault::FailAfter(refused));
    let before = account.current().modseq();
    let error = account.submit(set_flags(inbox(&account), &uids, keyword("a"))).await.unwrap_err();
    assert_eq!(error, ServiceError::WriteRefused);
    // It did happen: the next change is decided on top of it.
    account.submit(set_flags(inbox(&account), &uids, keyword("b"))).await.unwrap();
    assert_eq!(flags_of(&account, inbox(&account), &uids).await.keywords().len(), 2);
    assert_eq!(account.current().modseq().get(), before.get() + 2);
    assert_clean(&mem);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_the_middle_of_a_storm_leave_a_whole_account() {
    let (mem, store, account, uids) = faulty().await;
    let refused = StoreError::WriteRefused { reason: "disk".into() };
    for (nth, fault) in [
        (2, Fault::Fail(StoreError::Busy)),
        (4, Fault::FailAfter(refused)),
        (6, Fault::Fail(StoreError::StorageFull)),
    ] {
        store.faults().on(Call::Commit, nth, fault);
    }
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (account, uids, mailbox) = (account.clone(), uids.clone(), inbox(&account));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..7 {
                    let flags = keyword(&format!("t{task}r{round}"));
                    let change = set_flags(mailbox, &uids, flags.clone());
                    if account.submit(change).await.is_ok() {
                        acknowledged.push(flags);
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for task in tasks {
        acknowledged.extend(task.await.unwrap());
    }
    store.faults().heal();
    let flags = flags_of(&account, inbox(&account), &uids).await;
    // Two commits told of a failure; each task has one change in a commit at most.
    assert!(acknowledged.len() >= 40, "{}", acknowledged.len());
    for wanted in acknowledged {
        assert!(flags.has(&wanted.keywords()[0]), "{wanted:?}");
    }
    assert_clean(&mem);
}

#[tokio::test]
async fn an_account_that_cannot_be_read_says_so_and_recovers() {
    let (_mem, store, account, uids) = faulty().await;
    let failed = StoreError::read_failed("disk");
    let change = set_flags(inbox(&account), &uids, seen());
    store.faults().always(Call::View, Fault::Fail(failed.clone()));
    let error = account.submit(change.clone()).await.unwrap_err();
    assert_eq!(error, ServiceError::Store(failed));
    store.faults().heal();
    account.submit(change).await.unwrap();
}

#[tokio::test]
async fn moved_messages_are_in_one_place_and_their_expunge_is_remembered() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let (from, to) = (inbox(&account), mailbox_id(&account, "Archive"));
    let before = account.current().modseq();
    let uids = append(&account, from, 1).await;
    account.submit(Operation::Move { from, to, uids: uids.clone() }).await.unwrap();
    let again = account_of(&setup.open(Arc::new(store.crash())).await, "dock").await;
    let (state, _pin) = again.load(from).await.unwrap();
    let contents = state.mailbox(from).unwrap().contents().unwrap();
    assert!(contents.is_empty());
    assert_eq!(contents.vanished_since(before).uids, uids);
    assert_eq!(state.mailbox(to).unwrap().record().counts.messages, 1);
    assert_clean(&store);
}

#[tokio::test]
async fn uid_validity_rises_over_delete_and_create() {
    let setup = Setup::new(Sharing::Exclusive);
    let service = setup.open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let mut last = 0;
    for _ in 0..3 {
        let create = Operation::CreateMailbox { name: name("x"), special_use: Vec::new() };
        account.submit(create).await.unwrap();
        let state = account.current();
        let validity = state.by_name(&name("x")).unwrap().record().uid_validity.get();
        assert!(validity > last);
        last = validity;
        account.submit(Operation::DeleteMailbox { name: name("x") }).await.unwrap();
    }
}

#[tokio::test]
async fn contents_of_mailboxes_that_nobody_has_open_are_let_go() {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.cached_entries_max = 20;
    let service = setup.open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let (first, second) = (inbox(&account), mailbox_id(&account, "Archive"));
    append(&account, first, 1).await;
    let is_loaded =
        |mailbox| account.current().mailbox(mailbox).is_some_and(|m| m.contents().is_some());
    let (_, kept) = account.load(first).await.unwrap();
    let (_, pin) = account.load(second).await.unwrap();
    drop(pin);
    // A change in between gives the sequencer time to let go of something, if it would.
    append(&account, first, 2).await;
    assert!(is_loaded(first), "a pinned mailbox stays");
    drop(kept);
    drop(account.load(second).await.unwrap());
    append(&account, second, 3).await;
    assert!(!is_loaded(first), "one that nobody has open goes");
    assert!(account.load(first).await.is_ok());
}

#[tokio::test]
async fn one_damaged_mailbox_does_not_stop_the_others() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    let archive = mailbox_id(&account, "Archive");
    append(&account, archive, 2).await;
    let keys = AccountKeys::new(account.id());
    let key = keys.key(&AccountKey::Membership(inbox(&account), uids.first().unwrap()));
    store.commit_wait(Commit::new().write(Write::put(key.clone(), [1, 2, 3]))).unwrap();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let error = account.load(inbox(&account)).await.err().unwrap();
    assert!(matches!(&error, ServiceError::Corrupt(record) if *record.key == *key), "{error}");
    let error = account.submit(set_flags(inbox(&account), &uids, seen())).await.unwrap_err();
    assert!(matches!(error, ServiceError::Corrupt(_)), "{error}");
    account.submit(set_flags(archive, &uids, seen())).await.unwrap();
    // Mail still comes in: that needs no contents.
    append(&account, inbox(&account), 3).await;
}

#[tokio::test]
async fn lost_hints_delay_nothing_that_is_asked_for() {
    let setup = Setup::new(Sharing::Shared);
    let store = Arc::new(Faulty::new(Arc::new(Mem::new())));
    store.faults().always(Call::Hint, Fault::Fail(StoreError::Busy));
    let one = account_of(&setup.open(store.clone()).await, "dock").await;
    let two = account_of(&setup.open(store.clone()).await, "dock").await;
    for number in 0..3 {
        append(&one, inbox(&one), number).await;
        assert_eq!(two.state().await.unwrap().modseq(), one.current().modseq());
        append(&two, inbox(&two), number).await;
        assert_eq!(one.state().await.unwrap().modseq(), two.current().modseq());
    }
}

#[tokio::test]
async fn a_change_whose_caller_has_gone_away_is_done_all_the_same() {
    let setup = Setup::new(Sharing::Exclusive);
    let service = setup.open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    let mut watch = account.watch();
    let change = set_flags(inbox(&account), &uids, seen());
    {
        let mut asked = Box::pin(account.submit(change));
        // Polled once: it is in the queue now.
        tokio::select! {
            biased;
            _ = &mut asked => {}
            () = tokio::task::yield_now() => {}
        }
    }
    watch.changed().await.unwrap();
    assert_eq!(flags_of(&account, inbox(&account), &uids).await, seen());
}
