//! Annotations and limits: there after a crash and on other nodes, gone with their mailbox.

use std::sync::Arc;

use mail_service::keys::{AccountKey, AccountKeys};
use mail_service::{AccountHandle, DeliverError, ServiceError, Sharing, check};
use mail_types::{EntryName, MailboxId, SpecialUse};
use mailbox::{Account, MetadataTarget, Operation, Quota, Refusal, Resource, SpecialUses};
use store::mem::Mem;
use store::{Commit, Store, Write};
use store_local::{Local, Options};

use crate::common::{
    Setup, account_of, append, append_to, assert_clean, inbox, mail, mailbox_id, name,
};

fn entry(text: &str) -> EntryName {
    EntryName::new(text).unwrap()
}

fn set(target: MetadataTarget, text: &str, value: Option<&[u8]>) -> Operation {
    let entries = vec![(entry(text), value.map(<[u8]>::to_vec))];
    Operation::SetMetadata { target, entries }
}

fn value(account: &Account, target: MetadataTarget, text: &str) -> Option<Vec<u8>> {
    account.metadata().get(target, &entry(text)).map(|value| value.to_vec())
}

/// Sets one of everything that these tests look for afterwards.
async fn fill(account: &AccountHandle) -> MailboxId {
    let sent = mailbox_id(account, "Sent");
    let target = MetadataTarget::Mailbox(sent);
    for operation in [
        set(MetadataTarget::Server, "/private/comment", Some(b"server")),
        set(target, "/private/gone", Some(b"1")),
        set(target, "/private/comment", Some(b"\0\xff")),
        set(target, "/private/gone", None),
        set(MetadataTarget::Mailbox(inbox(account)), "/private/specialuse", Some(b"\\Trash")),
        Operation::SetQuota { quota: quota() },
    ] {
        account.submit(operation).await.unwrap();
    }
    sent
}

fn quota() -> Quota {
    Quota { storage_kib: Some(100), messages: Some(2), ..Quota::default() }
}

fn assert_filled(account: &Account, sent: MailboxId) {
    let target = MetadataTarget::Mailbox(sent);
    let server = value(account, MetadataTarget::Server, "/private/comment");
    assert_eq!(server.as_deref(), Some(&b"server"[..]));
    assert_eq!(value(account, target, "/private/comment").as_deref(), Some(&b"\0\xff"[..]));
    assert_eq!(account.metadata().count(target), 1);
    let uses = |text| account.by_name(&name(text)).unwrap().record().special_use;
    assert_eq!(uses("INBOX"), SpecialUses::new(&[SpecialUse::Trash]));
    assert!(uses("Trash").is_empty());
    assert_eq!(account.quota(), quota());
}

#[tokio::test]
async fn what_was_set_is_there_after_a_crash() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let sent = fill(&account).await;
    assert_filled(&account.current(), sent);
    let left = store.crash();
    let again = account_of(&setup.open(Arc::new(left.clone())).await, "dock").await;
    assert_filled(&again.current(), sent);
    assert_clean(&left);
}

#[tokio::test]
async fn what_was_set_is_there_when_the_local_store_is_opened_again() {
    let setup = Setup::new(Sharing::Exclusive);
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(Arc::clone(&store)).await;
    let sent = fill(&account_of(&service, "dock").await).await;
    service.close().await.unwrap();
    drop((service, store));
    let store: Arc<dyn Store> = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(Arc::clone(&store)).await;
    assert_filled(&account_of(&service, "dock").await.current(), sent);
    assert_clean(&*store);
}

#[tokio::test]
async fn another_node_sees_what_was_set_and_keeps_to_the_limits() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let one = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    let two = account_of(&setup.open(Arc::new(store.clone())).await, "dock").await;
    assert_eq!(two.state().await.unwrap().quota(), Quota::default());
    let sent = fill(&one).await;
    assert_filled(&two.state().await.unwrap(), sent);
    append(&one, inbox(&one), 1).await;
    append(&two, inbox(&two), 2).await;
    let refused = append_to(&one, inbox(&one), mail(3).as_bytes()).await;
    let full = ServiceError::Refused(Refusal::OverQuota(Resource::Messages));
    assert_eq!(refused.unwrap_err(), full);
    assert_clean(&store);
}

#[tokio::test]
async fn a_delivery_that_would_go_above_a_limit_is_refused_for_that_account_alone() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let (dock, office) = (account_of(&service, "dock").await, account_of(&service, "office").await);
    let quota = Quota { messages: Some(1), ..Quota::default() };
    dock.submit(Operation::SetQuota { quota }).await.unwrap();
    append(&dock, inbox(&dock), 1).await;
    let routes = [service.route("dock").await.unwrap(), service.route("office").await.unwrap()];
    let mut staging = service.stage_delivery(&routes);
    staging.push(mail(2).as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    assert_eq!(service.deliver(&routes[0], &staged).await, Err(DeliverError::MailboxFull));
    service.deliver(&routes[1], &staged).await.unwrap();
    assert_eq!((dock.current().usage().messages, office.current().usage().messages), (1, 1));
    assert_clean(&store);
}

#[tokio::test]
async fn a_removed_mailbox_leaves_no_annotation_behind() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let target = MetadataTarget::Mailbox(fill(&account).await);
    account.submit(Operation::DeleteMailbox { name: name("Sent") }).await.unwrap();
    let keys = AccountKeys::new(account.id());
    let row = keys.key(&AccountKey::Metadata(target, entry("/private/comment")));
    assert_eq!(store.view().unwrap().get(&row).unwrap(), None);
    let server = AccountKey::Metadata(MetadataTarget::Server, entry("/private/comment"));
    assert!(store.view().unwrap().get(&keys.key(&server)).unwrap().is_some());
    assert_clean(&store);
}

#[tokio::test]
async fn the_verifier_finds_annotations_and_limits_that_the_log_does_not_know() {
    let setup = Setup::new(Sharing::Exclusive);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let sent = fill(&account).await;
    let keys = AccountKeys::new(account.id());
    let target = MetadataTarget::Mailbox(sent);
    for key in [AccountKey::Metadata(target, entry("/private/comment")), AccountKey::Quota] {
        let key = keys.key(&key);
        let value = store.view().unwrap().get(&key).unwrap().unwrap();
        store.commit_wait(Commit::new().write(Write::delete(key.clone()))).unwrap();
        assert!(!check(&store).unwrap().is_clean(), "a lost row was not noticed");
        store.commit_wait(Commit::new().write(Write::put(key.clone(), [9]))).unwrap();
        assert!(!check(&store).unwrap().is_clean(), "a damaged row was not noticed");
        store.commit_wait(Commit::new().write(Write::put(key, value))).unwrap();
        assert_clean(&store);
    }
    let nowhere = AccountKey::Metadata(MetadataTarget::Mailbox(MailboxId(99)), entry("/private/a"));
    let stray = Write::put(keys.key(&nowhere), [1, 0]);
    store.commit_wait(Commit::new().write(stray)).unwrap();
    assert!(!check(&store).unwrap().is_clean(), "an annotation of no mailbox was not noticed");
}
