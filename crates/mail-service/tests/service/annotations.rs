//! Annotations of messages: there after a crash and on other nodes, gone with their message, and
//! missed when they are lost.

use std::sync::Arc;

use mail_service::keys::{AccountKey, AccountKeys};
use mail_service::{AccountHandle, NewMail, ServiceError, Sharing, check};
use mail_types::{AccountId, AnnotationName, Flags, InternalDate, MailboxId, Uid, UidSet};
use mailbox::{
    Account, AnnotationEdit, Annotations, Audience, Operation, Quota, Refusal, Resource,
};
use store::mem::Mem;
use store::{Commit, Store, Write};
use store_local::{Local, Options};

use crate::common::{
    START, Setup, account_of, append, assert_clean, inbox, mail, mailbox_id, name,
};

const READER: Audience = Audience::Reader(AccountId(77));

fn edit(audience: Audience, value: Option<&[u8]>) -> AnnotationEdit {
    let name = AnnotationName::new("/comment").unwrap();
    AnnotationEdit { name, audience, value: value.map(Into::into) }
}

fn annotate(mailbox: MailboxId, uids: UidSet, edits: Vec<AnnotationEdit>) -> Operation {
    Operation::Annotate { mailbox, uids, edits, unchanged_since: None }
}

fn all() -> UidSet {
    UidSet::range(Uid::MIN, Uid::MAX)
}

/// Two messages in INBOX, each with a value for everybody there may be.
async fn fill(account: &AccountHandle) {
    append(account, inbox(account), 1).await;
    append(account, inbox(account), 2).await;
    let values: [(Audience, &[u8]); 3] =
        [(Audience::Owner, b"mine"), (Audience::Everyone, b"\0\xff"), (READER, b"theirs")];
    let edits = values.map(|(audience, value)| edit(audience, Some(value))).to_vec();
    account.submit(annotate(inbox(account), all(), edits)).await.unwrap();
}

async fn values(account: &AccountHandle, mailbox: MailboxId) -> Vec<Vec<(Audience, Vec<u8>)>> {
    let (state, _pin) = account.load(mailbox).await.unwrap();
    let contents = state.mailbox(mailbox).unwrap().contents().unwrap().clone();
    let of = |annotations: Annotations| {
        annotations.iter().map(|(_, audience, value)| (audience, value.to_vec())).collect()
    };
    contents.iter().map(|entry| of(entry.annotations())).collect()
}

fn filled() -> Vec<(Audience, Vec<u8>)> {
    vec![
        (Audience::Owner, b"mine".to_vec()),
        (READER, b"theirs".to_vec()),
        (Audience::Everyone, b"\0\xff".to_vec()),
    ]
}

fn bytes(account: &Account) -> u64 {
    account.usage().annotation_bytes
}

/// How many rows of annotations the account has in the store.
fn rows(store: &dyn Store, id: AccountId) -> usize {
    let mut count = 0;
    let range = AccountKeys::new(id).annotations_all();
    let each = &mut |_: &[u8], _: &[u8]| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    };
    store.view().unwrap().scan(&range, each).unwrap();
    count
}

#[tokio::test]
async fn what_was_set_is_there_after_a_crash_and_on_another_node() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    fill(&account).await;
    let other = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    assert_eq!(values(&other, inbox(&other)).await, [filled(), filled()]);
    let left = store.crash();
    let again = account_of(&setup.open(Arc::new(left.clone())).await, "dock").await;
    assert_eq!(values(&again, inbox(&again)).await, [filled(), filled()]);
    assert_clean(&left);
    // A node that has it loaded follows by the log.
    let gone = vec![edit(Audience::Owner, None), edit(READER, None)];
    account.submit(annotate(inbox(&account), UidSet::single(Uid::MIN), gone)).await.unwrap();
    let kept = vec![(Audience::Everyone, b"\0\xff".to_vec())];
    assert_eq!(values(&other, inbox(&other)).await, [kept, filled()]);
    assert_clean(&store);
}

#[tokio::test]
async fn what_was_set_is_there_when_the_local_store_is_opened_again() {
    let setup = Setup::new(Sharing::Exclusive);
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(Arc::clone(&store)).await;
    fill(&account_of(&service, "dock").await).await;
    service.close().await.unwrap();
    drop((service, store));
    let store: Arc<dyn Store> = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(Arc::clone(&store)).await;
    let account = account_of(&service, "dock").await;
    assert_eq!(values(&account, inbox(&account)).await, [filled(), filled()]);
    assert_clean(&*store);
}

#[tokio::test]
async fn a_copy_takes_what_is_its_owners_and_an_expunge_leaves_no_row() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    fill(&account).await;
    let (from, to) = (inbox(&account), mailbox_id(&account, "Archive"));
    let (uids, first) = (all(), UidSet::single(Uid::MIN));
    account.submit(Operation::Copy { from, to, uids: first }).await.unwrap();
    let copied: Vec<_> = filled().into_iter().filter(|(whose, _)| *whose != READER).collect();
    assert_eq!(values(&account, to).await, std::slice::from_ref(&copied));
    assert_eq!(rows(&store, account.id()), 3 + 3 + 2);
    account.submit(Operation::Move { from, to, uids }).await.unwrap();
    assert_eq!(values(&account, to).await, [copied.clone(), copied.clone(), copied]);
    assert_eq!(rows(&store, account.id()), 3 * 2);
    assert_clean(&store);
}

#[tokio::test]
async fn a_removed_mailbox_leaves_no_annotation_behind_after_its_retention() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    fill(&account).await;
    let (from, to) = (inbox(&account), mailbox_id(&account, "Archive"));
    account.submit(Operation::Copy { from, to, uids: all() }).await.unwrap();
    account.submit(Operation::DeleteMailbox { name: name("Archive") }).await.unwrap();
    assert_eq!(rows(&store, account.id()), 6 + 4);
    service.sweep().await.unwrap();
    assert_eq!(rows(&store, account.id()), 6 + 4);
    assert_clean(&store);
    setup.clock.advance(setup.config.retention_secs + 1);
    service.sweep().await.unwrap();
    assert_eq!(rows(&store, account.id()), 6);
    assert_clean(&store);
}

#[tokio::test]
async fn a_message_comes_with_annotations_of_parts_that_it_has() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let new = |part: &str| {
        let account = account.clone();
        let name = AnnotationName::new(&format!("/{part}/comment")).unwrap();
        async move {
            let mut staging = account.stage();
            staging.push(mail(1).as_bytes()).await.unwrap();
            let staged = staging.finish().await.unwrap();
            let value = Some(b"x".as_slice().into());
            let edits = [AnnotationEdit { name, audience: Audience::Owner, value }];
            let annotations = Annotations::default().with(&edits);
            let (flags, date) = (Flags::default(), InternalDate::utc(START));
            let mail = NewMail { staged, flags, date, annotations };
            account.append(inbox(&account), vec![mail]).await.map(drop)
        }
    };
    assert_eq!(new("2").await, Err(ServiceError::Refused(Refusal::NoSuchPart)));
    new("1").await.unwrap();
    assert_eq!(values(&account, inbox(&account)).await, [[(Audience::Owner, b"x".to_vec())]]);
    assert_clean(&store);
}

#[tokio::test]
async fn a_limit_counts_what_mailboxes_count() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    fill(&account).await;
    let used = 2 * (3 * (8 + 64) + 4 + 2 + 6);
    assert_eq!(bytes(&account.current()), used);
    let quota = Quota { annotation_kib: Some(1), ..Quota::default() };
    account.submit(Operation::SetQuota { quota }).await.unwrap();
    let long = edit(Audience::Everyone, Some(&[b'x'; 700]));
    let refused = account.submit(annotate(inbox(&account), all(), vec![long])).await;
    let full = ServiceError::Refused(Refusal::OverQuota(Resource::AnnotationStorage));
    assert_eq!(refused.map(drop), Err(full));
    let again = account_of(&setup.open(Arc::new(store.crash())).await, "dock").await;
    assert_eq!((bytes(&again.current()), again.current().quota()), (used, quota));
}

#[tokio::test]
async fn the_verifier_finds_annotations_that_are_lost_damaged_or_of_no_message() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let account = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    fill(&account).await;
    append(&account, mailbox_id(&account, "Archive"), 3).await;
    let keys = AccountKeys::new(account.id());
    let key = |mailbox, uid| {
        let uid = Uid::new(uid).unwrap();
        keys.key(&AccountKey::Annotations(mailbox, uid, Audience::Everyone))
    };
    let known = key(inbox(&account), 1);
    let value = store.view().unwrap().get(&known).unwrap().unwrap();
    store.commit_wait(Commit::new().write(Write::delete(known.clone()))).unwrap();
    assert!(!check(&store).unwrap().is_clean(), "a lost row was not noticed");
    store.commit_wait(Commit::new().write(Write::put(known.clone(), [9]))).unwrap();
    assert!(!check(&store).unwrap().is_clean(), "a damaged row was not noticed");
    store.commit_wait(Commit::new().write(Write::put(known, value.clone()))).unwrap();
    assert_clean(&store);
    let strays =
        [key(inbox(&account), 9), key(mailbox_id(&account, "Archive"), 1), key(MailboxId(99), 1)];
    for stray in strays {
        store.commit_wait(Commit::new().write(Write::put(stray.clone(), value.clone()))).unwrap();
        assert!(!check(&store).unwrap().is_clean(), "a stray row was not noticed");
        store.commit_wait(Commit::new().write(Write::delete(stray))).unwrap();
    }
    assert_clean(&store);
}
