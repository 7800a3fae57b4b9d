//! The verifier finds every kind of damage that a test can plant.

use std::ops::ControlFlow;
use std::sync::Arc;

use mail_service::codec::message::StoredMessage;
use mail_service::codec::rows::{
    HeadRow, decode_mailbox, decode_membership, encode_mailbox, encode_membership,
};
use mail_service::keys::{self, AccountKey, AccountKeys};
use mail_service::{Sharing, check};
use mail_types::{AccountId, MailboxId, MessageId, ModSeq, ThreadId, Uid, UidSet};
use mailbox::Operation;
use store::mem::Mem;
use store::{BlobInfo, BlobKey, Commit, Deletion, Store, View, Write};

use crate::common::{Setup, account_of, append, assert_clean, inbox, mailbox_id, secret};

const ACCOUNT: AccountId = AccountId(1);

/// An account with two messages, a copy and an expunged one.
async fn store() -> Mem {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let (from, to) = (inbox(&account), mailbox_id(&account, "Archive"));
    append(&account, from, 1).await;
    append(&account, from, 2).await;
    let uids = UidSet::range(Uid::MIN, Uid::new(2).unwrap());
    account.submit(Operation::Copy { from, to, uids: uids.clone() }).await.unwrap();
    account.submit(Operation::Move { from, to, uids: UidSet::single(Uid::MIN) }).await.unwrap();
    service.create_account("office", secret("x")).await.unwrap();
    assert_clean(&store);
    store
}

fn put(store: &Mem, key: Vec<u8>, value: Vec<u8>) {
    store.commit_wait(Commit::new().write(Write::put(key, value))).unwrap();
}

fn delete(store: &Mem, key: Vec<u8>) {
    store.commit_wait(Commit::new().write(Write::delete(key))).unwrap();
}

fn get(store: &Mem, key: &[u8]) -> Vec<u8> {
    store.view().unwrap().get(key).unwrap().unwrap()
}

/// Plants damage in a fresh store and gives what the verifier says.
async fn findings(plant: impl FnOnce(&Mem, &AccountKeys)) -> String {
    let store = store().await;
    plant(&store, &AccountKeys::new(ACCOUNT));
    let report = check(&store).unwrap();
    assert!(!report.is_clean(), "nothing was found");
    report.findings.iter().map(|f| format!("{f}\n")).collect()
}

fn inbox_id(store: &Mem, keys: &AccountKeys) -> MailboxId {
    let mut found = None;
    let view: Box<dyn View> = store.view().unwrap();
    let page = store::scan_page(&*view, &keys.mailboxes(), 100).unwrap();
    for (key, value) in page.rows {
        let Some(AccountKey::Mailbox(id)) = keys.parse(&key) else { continue };
        if decode_mailbox(&key, &value, id).unwrap().name.is_inbox() {
            found = Some(id);
        }
    }
    found.unwrap()
}

#[tokio::test]
async fn a_lost_row_of_each_kind_is_found() {
    for (row, expected) in [
        (AccountKey::Head, "no such account"),
        (AccountKey::Credential, "no credential"),
        (AccountKey::Message(MessageId(2)), "has no row"),
        (AccountKey::Log(ModSeq::new(2).unwrap(), 0), "does not follow"),
    ] {
        let text = findings(|store, keys| delete(store, keys.key(&row))).await;
        assert!(text.contains(expected), "{row:?}: {text}");
    }
    let text = findings(|store, keys| {
        let mailbox = inbox_id(store, keys);
        delete(store, keys.key(&AccountKey::Membership(mailbox, Uid::new(2).unwrap())));
    });
    assert!(text.await.contains("not what its record counts"));
    let text = findings(|store, keys| {
        let mailbox = inbox_id(store, keys);
        delete(store, keys.key(&AccountKey::Mailbox(mailbox)));
    });
    assert!(text.await.contains("no INBOX"));
}

#[tokio::test]
async fn a_lost_end_of_the_log_is_found() {
    let text = findings(|store, keys| {
        let key = keys.key(&AccountKey::Head);
        let head = HeadRow::decode(&key, &get(store, &key)).unwrap().head;
        delete(store, keys.key(&AccountKey::Log(head.modseq, 0)));
    });
    assert!(text.await.contains("breaks off"));
}

#[tokio::test]
async fn damaged_bytes_in_each_kind_of_row_are_found() {
    let count = {
        let page = all_rows(&store().await);
        page.len()
    };
    for at in 0..count {
        let store = store().await;
        let (key, mut value) = all_rows(&store).swap_remove(at);
        if value.is_empty() {
            continue;
        }
        // The version of the record: always noticed, in whatever row.
        value[0] ^= 0x40;
        put(&store, key.clone(), value);
        let report = check(&store).unwrap();
        assert!(!report.is_clean(), "{}", key.escape_ascii());
    }
}

fn all_rows(store: &Mem) -> Vec<(Vec<u8>, Vec<u8>)> {
    let keys = AccountKeys::new(ACCOUNT);
    store::scan_page(&*store.view().unwrap(), &keys.all(), 1000).unwrap().rows
}

#[tokio::test]
async fn numbers_that_do_not_agree_are_found() {
    let text = findings(|store, keys| {
        let mailbox = inbox_id(store, keys);
        let uid = Uid::new(2).unwrap();
        let key = keys.key(&AccountKey::Membership(mailbox, uid));
        let mut row = decode_membership(&key, &get(store, &key), uid).unwrap();
        row.thread = ThreadId(99);
        put(store, key, encode_membership(&row));
    });
    assert!(text.await.contains("do not agree"));
    let text = findings(|store, keys| {
        let mailbox = inbox_id(store, keys);
        let key = keys.key(&AccountKey::Mailbox(mailbox));
        let mut record = decode_mailbox(&key, &get(store, &key), mailbox).unwrap();
        record.uid_next = Uid::new(2).unwrap();
        put(store, key, encode_mailbox(&record));
    });
    assert!(text.await.contains("does not fit"));
    let text = findings(|store, keys| {
        let mailbox = inbox_id(store, keys);
        let key = keys.key(&AccountKey::Mailbox(mailbox));
        let mut record = decode_mailbox(&key, &get(store, &key), mailbox).unwrap();
        record.recent += 1;
        put(store, key, encode_mailbox(&record));
    });
    assert!(text.await.contains("recent"));
    let text = findings(|store, keys| {
        let key = keys.key(&AccountKey::Head);
        let mut row = HeadRow::decode(&key, &get(store, &key)).unwrap();
        row.head.next_message = MessageId(2);
        put(store, key, row.encode());
    });
    assert!(text.await.contains("never given out"));
}

#[tokio::test]
async fn a_damaged_or_lost_blob_is_found() {
    let blob = |store: &Mem, keys: &AccountKeys| {
        let key = keys.key(&AccountKey::Message(MessageId(2)));
        StoredMessage::decode(&key, &get(store, &key)).unwrap().blob
    };
    let text = findings(|store, keys| {
        store.damage_blob(&BlobKey::new(keys.prefix(), blob(store, keys)));
    });
    assert!(text.await.contains("damaged"));
    let text = findings(|store, keys| {
        let key = BlobKey::new(keys.prefix(), blob(store, keys));
        let mut listed = None;
        let visit = &mut |blob: BlobInfo| {
            listed = (blob.key == key).then_some(blob.named_at);
            listed.map_or(ControlFlow::Continue(()), |_| ControlFlow::Break(()))
        };
        store.list_blobs(None, visit).unwrap();
        let deleted = store.delete_blobs(keys.prefix(), &[(key.id, listed.unwrap())]);
        assert_eq!(deleted, Ok(vec![Deletion::Deleted]));
    });
    assert!(text.await.contains("missing"));
}

#[tokio::test]
async fn names_that_lead_astray_are_found() {
    let other = |name: &str| [b"n", name.as_bytes()].concat();
    let id = |number: u64| number.to_be_bytes().to_vec();
    let text = findings(|store, _| put(store, other("twin"), id(1))).await;
    assert!(text.contains("two names"), "{text}");
    let text = findings(|store, _| put(store, other("ghost"), id(77))).await;
    assert!(text.contains("never given out"), "{text}");
    let text = findings(|store, _| delete(store, other("dock"))).await;
    assert!(text.contains("no name"), "{text}");
    let text = findings(|store, _| put(store, keys::removal(ACCOUNT), Vec::new())).await;
    assert!(text.contains("being removed"), "{text}");
    let text = findings(|store, keys| {
        put(store, [keys.prefix(), b"?"].concat(), Vec::new());
    });
    assert!(text.await.contains("no known layout"));
}
