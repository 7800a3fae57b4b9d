//! Copies of what people send: kept once, whoever stores them.

use std::sync::Arc;

use mail_service::{AccountHandle, NewMail, SaveSent, SentKept, Service, ServiceError, Sharing};
use mail_types::{Flags, InternalDate, MailboxId, SystemFlags, UidSet};
use mailbox::{FlagMode, Operation, Outcome};
use store::Store;
use store::mem::Mem;

use crate::common::{
    START, Setup, account_of, append, assert_clean, inbox, mail, mailbox_id, name,
};

fn setup(sharing: Sharing) -> Setup {
    let mut setup = Setup::new(sharing);
    setup.config.save_sent = SaveSent::Yes;
    setup
}

async fn keep(service: &Service, account: &AccountHandle, number: u64) -> SentKept {
    try_keep(service, account, &mail(number)).await.unwrap()
}

async fn try_keep(
    service: &Service,
    account: &AccountHandle,
    text: &str,
) -> Result<SentKept, ServiceError> {
    let mut staging = service.stage_sent(account.id()).unwrap();
    staging.push(text.as_bytes()).await?;
    service.keep_sent(account.id(), staging.finish().await?).await
}

async fn count(account: &AccountHandle, mailbox: MailboxId) -> u64 {
    let (state, _pin) = account.load(mailbox).await.unwrap();
    u64::from(state.mailbox(mailbox).unwrap().record().counts.messages)
}

fn sent(account: &AccountHandle) -> MailboxId {
    mailbox_id(account, "Sent")
}

#[tokio::test]
async fn a_copy_is_kept_once_whether_the_client_or_submission_comes_first() {
    let store = Mem::new();
    let setup = setup(Sharing::Exclusive);
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let mailbox = sent(&account);
    assert_eq!(keep(&service, &account, 1).await, SentKept::Now);
    // The client is told the UID of the copy that is there.
    let told = append(&account, mailbox, 1).await;
    assert_eq!(told, UidSet::single(mail_types::Uid::MIN));
    assert_eq!(keep(&service, &account, 1).await, SentKept::Before);
    let stored = append(&account, mailbox, 2).await;
    assert_eq!(keep(&service, &account, 2).await, SentKept::Before);
    assert_eq!(append(&account, mailbox, 2).await, stored);
    assert_eq!(count(&account, mailbox).await, 2);
    let (state, _pin) = account.load(mailbox).await.unwrap();
    let first = state.mailbox(mailbox).unwrap().contents().unwrap().iter().next().unwrap();
    assert_eq!(first.flags(), Flags::system(SystemFlags::SEEN));
    // Elsewhere, and for somebody else, the same message is another one.
    append(&account, inbox(&account), 1).await;
    assert_eq!(count(&account, inbox(&account)).await, 1);
    let other = account_of(&service, "quay").await;
    assert_eq!(keep(&service, &other, 1).await, SentKept::Now);
    assert_clean(&store);
}

#[tokio::test]
async fn what_is_stored_later_or_after_an_expunge_is_stored() {
    let store = Mem::new();
    let setup = setup(Sharing::Exclusive);
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let mailbox = sent(&account);
    assert_eq!(keep(&service, &account, 1).await, SentKept::Now);
    setup.clock.advance(15 * 60 + 1);
    append(&account, mailbox, 1).await;
    assert_eq!(count(&account, mailbox).await, 2);
    // The newer copy has a mark of its own, and goes.
    let last = append(&account, mailbox, 1).await;
    assert_eq!(count(&account, mailbox).await, 2);
    let (mode, flags) = (FlagMode::Add, Flags::system(SystemFlags::DELETED));
    let (uids, unchanged_since) = (last.clone(), None);
    let delete = Operation::SetFlags { mailbox, uids, mode, flags, unchanged_since };
    account.submit(delete).await.unwrap();
    // What is about to go is not there for long.
    let third = append(&account, mailbox, 1).await;
    assert_ne!(third, last);
    account.submit(Operation::Expunge { mailbox, uids: last }).await.unwrap();
    assert_eq!(append(&account, mailbox, 1).await, third);
    assert_eq!(count(&account, mailbox).await, 2);
    // Without a Message-ID nobody can tell.
    for _ in 0..2 {
        let kept = try_keep(&service, &account, "Subject: x\r\n\r\nx\r\n").await;
        assert_eq!(kept, Ok(SentKept::Now));
    }
    assert_eq!(count(&account, mailbox).await, 4);
    // Marks go with time.
    setup.clock.advance(90_000);
    service.sweep().await.unwrap();
    let keys = mail_service::keys::AccountKeys::new(account.id());
    let marks = store::scan_page(&*store.view().unwrap(), &keys.sent(), 9).unwrap();
    assert!(marks.rows.is_empty());
    assert_clean(&store);
}

#[tokio::test]
async fn several_at_once_and_a_missing_mailbox_are_as_before() {
    let store = Mem::new();
    let service = setup(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    let mailbox = sent(&account);
    let mut mails = Vec::new();
    for _ in 0..2 {
        let mut staging = account.stage();
        staging.push(mail(1).as_bytes()).await.unwrap();
        mails.push(NewMail {
            staged: staging.finish().await.unwrap(),
            flags: Flags::default(),
            date: InternalDate::utc(START),
            annotations: mailbox::Annotations::default(),
        });
    }
    let added = account.append(mailbox, mails).await.unwrap().1;
    assert!(matches!(added, Outcome::Added { uids, .. } if uids.len() == 2));
    account.submit(Operation::DeleteMailbox { name: name("Sent") }).await.unwrap();
    assert_eq!(keep(&service, &account, 3).await, SentKept::Nowhere);
    let off = Setup::new(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let account = account_of(&off, "dock").await;
    assert!(off.stage_sent(account.id()).is_none());
    append(&account, sent(&account), 1).await;
    append(&account, sent(&account), 1).await;
    assert_eq!(count(&account, sent(&account)).await, 2);
    assert_clean(&store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_the_same_moment_on_several_nodes_one_is_stored() {
    let store = Mem::new();
    let setup = setup(Sharing::Shared);
    let (one, two) =
        (setup.open(Arc::new(store.clone())).await, setup.open(Arc::new(store.clone())).await);
    let here = account_of(&one, "dock").await;
    let there = two.account(here.id()).await.unwrap();
    let mailbox = sent(&here);
    for round in 0..20 {
        let mut tasks = Vec::new();
        for number in 0..8 {
            let (service, account) = match number % 2 {
                0 => (one.clone(), here.clone()),
                _ => (two.clone(), there.clone()),
            };
            tasks.push(tokio::spawn(async move {
                if number < 4 {
                    keep(&service, &account, round).await;
                    return;
                }
                append(&account, mailbox, round).await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
    assert_eq!(count(&here, mailbox).await, 20);
    assert_clean(&store);
}
