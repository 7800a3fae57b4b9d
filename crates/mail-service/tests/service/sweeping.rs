//! The sweep takes out what is past its retention and nothing else.

use std::sync::Arc;

use mail_service::{NewMail, Sharing, check};
use mail_types::{Flags, InternalDate, MessageId, ModSeq, SystemFlags, Uid, UidSet};
use mailbox::{FlagMode, Operation};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{Commit, KeyRange, Store, Write};

use crate::common::{
    START, Setup, account_of, append, append_text, assert_clean, inbox, mail, mailbox_id, name,
};

const DAY: i64 = 86_400;

async fn expunge(account: &mail_service::AccountHandle, uids: &UidSet) {
    let mailbox = inbox(account);
    let (mode, flags) = (FlagMode::Add, Flags::system(SystemFlags::DELETED));
    let uids = uids.clone();
    let unchanged_since = None;
    let set = Operation::SetFlags { mailbox, uids: uids.clone(), mode, flags, unchanged_since };
    account.submit(set).await.unwrap();
    account.submit(Operation::Expunge { mailbox, uids }).await.unwrap();
}

#[tokio::test]
async fn expunged_mail_is_kept_through_its_retention_and_gone_after_it() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let (gone, kept) = (append(&account, inbox(&account), 1).await, 2);
    append(&account, inbox(&account), kept).await;
    expunge(&account, &gone).await;
    setup.clock.advance(29 * DAY);
    let report = service.sweep().await.unwrap();
    assert_eq!((report.accounts, report.messages, report.blobs), (1, 0, 0));
    assert!(account.read(vec![(MessageId(1), 0..9)]).await.unwrap()[0].is_some());
    setup.clock.advance(2 * DAY);
    let report = service.sweep().await.unwrap();
    assert_eq!((report.expunged, report.messages, report.blobs), (1, 1, 1));
    assert!(report.log_rows > 0);
    assert_eq!(account.read(vec![(MessageId(1), 0..9)]).await.unwrap(), [None]);
    let text = account.read(vec![(MessageId(2), 0..u64::MAX)]).await.unwrap().remove(0);
    assert_eq!(text.as_deref(), Some(mail(kept).as_bytes()));
    assert_clean(&store);
    // An account at rest is not given a new entry at each sweep.
    let modseq = account.current().modseq();
    setup.clock.advance(40 * DAY);
    service.sweep().await.unwrap();
    setup.clock.advance(40 * DAY);
    service.sweep().await.unwrap();
    assert_eq!(account.current().modseq(), modseq);
}

#[tokio::test]
async fn rows_that_are_missing_do_not_take_the_mail_they_name_with_them() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    for number in 1..=3 {
        append(&account, inbox(&account), number).await;
    }
    let rows =
        store::scan_page(&*store.view().unwrap(), &KeyRange::prefix(b""), 1000).unwrap().rows;
    // Every row that is mail in INBOX, a message, or the account's head, as if a page were lost.
    let mut tried = 0;
    for (key, value) in rows {
        let commit = Commit::new().write(Write::delete(key.clone()));
        store.commit_wait(commit).unwrap();
        let swept = service.sweep().await;
        store.commit_wait(Commit::new().write(Write::put(key.clone(), value))).unwrap();
        tried += u64::from(swept.is_err());
        for id in 1..=3 {
            let text = account.read(vec![(MessageId(id), 0..u64::MAX)]).await.unwrap().remove(0);
            let sent = mail(id);
            assert_eq!(text.as_deref(), Some(sent.as_bytes()), "without {:?}", key.escape_ascii());
        }
    }
    assert!(tried >= 6, "a sweep noticed only {tried} missing rows");
    assert_clean(&store);
}

#[tokio::test]
async fn a_copy_keeps_the_message_when_the_original_is_gone() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let (from, to) = (inbox(&account), mailbox_id(&account, "Archive"));
    let uids = append(&account, from, 1).await;
    account.submit(Operation::Copy { from, to, uids: uids.clone() }).await.unwrap();
    expunge(&account, &uids).await;
    setup.clock.advance(60 * DAY);
    let report = service.sweep().await.unwrap();
    assert_eq!((report.expunged, report.messages), (1, 0));
    assert!(account.read(vec![(MessageId(1), 0..9)]).await.unwrap()[0].is_some());
    assert_clean(&store);
}

#[tokio::test]
async fn a_deleted_mailbox_goes_with_its_mail_after_the_retention() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let create = Operation::CreateMailbox { name: name("x"), special_use: Vec::new() };
    account.submit(create).await.unwrap();
    append(&account, mailbox_id(&account, "x"), 1).await;
    account.submit(Operation::DeleteMailbox { name: name("x") }).await.unwrap();
    assert_clean(&store);
    assert_eq!(service.sweep().await.unwrap().messages, 0);
    setup.clock.advance(31 * DAY);
    let report = service.sweep().await.unwrap();
    assert_eq!((report.messages, report.blobs), (1, 1));
    assert_clean(&store);
    assert_eq!(check(&store).unwrap().memberships, 0);
}

#[tokio::test]
async fn a_history_that_was_forgotten_reloads_with_its_floor() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let uids = append(&account, inbox(&account), 1).await;
    expunge(&account, &uids).await;
    let floor = account.current().modseq();
    setup.clock.advance(31 * DAY);
    service.sweep().await.unwrap();
    assert_eq!(account.current().head().history_floor, floor);
    let again = account_of(&setup.open(Arc::new(store.crash())).await, "dock").await;
    let (state, _pin) = again.load(inbox(&again)).await.unwrap();
    let contents = state.mailbox(inbox(&again)).unwrap().contents().unwrap();
    assert_eq!(contents.history_floor(), floor);
    assert_clean(&store);
}

#[tokio::test]
async fn mail_that_was_staged_and_never_appended_goes_and_mail_in_staging_stays() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let mut staging = account.stage();
    staging.push(mail(1).as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    append(&account, inbox(&account), 2).await;
    assert_eq!(service.sweep().await.unwrap().blobs, 0, "it is leased");
    drop(staged);
    assert_eq!(service.sweep().await.unwrap().blobs, 1);
    assert_clean(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_beside_deliveries_of_the_same_bytes_never_takes_a_named_blob() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let sweeper = {
        let (service, setup) = (service.clone(), Arc::clone(&setup.clock));
        tokio::spawn(async move {
            for _ in 0..40 {
                setup.advance(31 * DAY);
                service.sweep().await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    // The same three texts come and go, so that a blob is garbage one moment and named the next.
    for round in 0..60 {
        let text = mail(round % 3);
        let uids = append_text(&account, inbox(&account), text.as_bytes()).await;
        let id = MessageId(round + 1);
        let read = account.read(vec![(id, 0..u64::MAX)]).await.unwrap().remove(0);
        assert_eq!(read.as_deref(), Some(text.as_bytes()), "round {round}");
        if round % 2 == 0 {
            expunge(&account, &uids).await;
        }
    }
    sweeper.await.unwrap();
    assert_clean(&store);
    let (state, _pin) = account.load(inbox(&account)).await.unwrap();
    let contents = state.mailbox(inbox(&account)).unwrap().contents().unwrap().clone();
    assert_eq!(contents.len(), 30);
    for entry in contents.iter() {
        let read = account.read(vec![(entry.message(), 0..u64::MAX)]).await.unwrap().remove(0);
        assert!(read.is_some(), "{}", entry.uid());
    }
    assert!(contents.find(Uid::MIN).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_that_is_named_again_while_it_is_being_swept_stays() {
    let (setup, mem) = (Setup::new(Sharing::Exclusive), Mem::new());
    let store = Arc::new(Faulty::new(Arc::new(mem.clone())));
    let service = setup.open(store.clone()).await;
    let account = account_of(&service, "dock").await;
    let mut staging = account.stage();
    staging.push(mail(1).as_bytes()).await.unwrap();
    drop(staging.finish().await.unwrap());
    append(&account, inbox(&account), 2).await;
    // The sweep has read all rows and is about to delete; now the same bytes are delivered.
    let runtime = tokio::runtime::Handle::current();
    let late = account.clone();
    let deliver = move || {
        runtime.block_on(append(&late, inbox(&late), 1));
    };
    store.faults().on(Call::DeleteBlobs, 1, Fault::Before(Arc::new(deliver)));
    assert_eq!(service.sweep().await.unwrap().blobs, 0);
    assert_eq!(store.faults().count(Call::DeleteBlobs), 1);
    let text = account.read(vec![(MessageId(2), 0..u64::MAX)]).await.unwrap().remove(0);
    assert_eq!(text.as_deref(), Some(mail(1).as_bytes()));
    assert_clean(&mem);
}

#[tokio::test]
async fn a_removal_that_was_interrupted_is_finished_by_the_sweep() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let mut staging = account.stage();
    staging.push(mail(1).as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    append(&account, inbox(&account), 2).await;
    // The staged blob is leased, so the removal cannot finish.
    service.remove_account("dock").await.unwrap();
    assert_clean(&store);
    drop(staged);
    service.sweep().await.unwrap();
    let mut blobs = 0;
    store
        .list_blobs(None, &mut |_| {
            blobs += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(blobs, 0);
    assert_clean(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_messages_are_added_copied_and_swept_in_steps() {
    let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let (from, to) = (inbox(&account), mailbox_id(&account, "Archive"));
    let mut staging = account.stage();
    staging.push(mail(1).as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    let new = || NewMail {
        staged: staged.clone(),
        flags: Flags::default(),
        date: InternalDate::utc(START),
        annotations: mailbox::Annotations::default(),
    };
    account.append(from, (0..MANY).map(|_| new()).collect()).await.unwrap();
    let uids = UidSet::range(Uid::MIN, Uid::new(MANY).unwrap());
    account.submit(Operation::Copy { from, to, uids: uids.clone() }).await.unwrap();
    expunge(&account, &uids).await;
    assert_clean(&store);
    // Reopened from rows and from a log whose entries have several pages each.
    let again = account_of(&setup.open(Arc::new(store.crash())).await, "dock").await;
    let (state, _pin) = again.load(from).await.unwrap();
    let contents = state.mailbox(from).unwrap().contents().unwrap();
    assert!(contents.is_empty());
    assert_eq!(contents.vanished_since(ModSeq::ZERO).uids, uids);
    setup.clock.advance(31 * DAY);
    let report = service.sweep().await.unwrap();
    assert_eq!((report.expunged, report.messages), (u64::from(MANY), 0));
    let mailbox = account.current().mailbox(to).unwrap().record().clone();
    assert_eq!(mailbox.counts.messages, MANY);
    account.submit(Operation::DeleteMailbox { name: mailbox.name }).await.unwrap();
    drop(staged);
    setup.clock.advance(31 * DAY);
    let report = service.sweep().await.unwrap();
    assert_eq!((report.messages, report.blobs), (u64::from(MANY), 1));
    assert_clean(&store);
}

/// More than one step of a sweep.
const MANY: u32 = 2500;
