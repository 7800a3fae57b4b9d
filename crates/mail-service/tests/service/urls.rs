//! URLs that their owner authorized: who gets what they name, and when no longer.

use std::sync::Arc;

use mail_service::{
    AccountHandle, AuthorizedUrl, Rump, Service, ServiceError, Sharing, UrlAccess, UrlMessage,
};
use mail_types::Uid;
use mailbox::Operation;
use store::Store;
use store::mem::Mem;
use store_local::{Local, Options};

use crate::common::{START, Setup, account_of, append, assert_clean, inbox, mailbox_id, name};

/// An authorized URL of the first message.
pub async fn authorized(owner: &AccountHandle, user: &str, mailbox: &str) -> AuthorizedUrl {
    let rump = format!("imap://{user}@mail.example/{mailbox}/;UID=1;URLAUTH=anonymous");
    let id = mailbox_id(owner, mailbox);
    let to_sign = Rump { owner: user.to_owned(), mailbox: id, text: rump.clone() };
    let tokens = owner.authorize_urls(vec![to_sign]).await.unwrap().unwrap();
    AuthorizedUrl {
        owner: user.to_owned(),
        mailbox: mailbox.to_owned(),
        uid_validity: None,
        uid: Uid::MIN,
        access: UrlAccess::AnyUser,
        expire: None,
        rump,
        token: tokens.into_iter().next().unwrap(),
    }
}

/// Whether this account's sessions may have what the URL names.
pub async fn opens(service: &Service, who: &AccountHandle, url: &AuthorizedUrl) -> bool {
    open(service, who, url).await.is_some()
}

async fn open(service: &Service, who: &AccountHandle, url: &AuthorizedUrl) -> Option<UrlMessage> {
    service.open_url(who.id(), url).await.unwrap()
}

#[tokio::test]
async fn another_account_reads_what_its_owner_authorized() {
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let (owner, other) = (account_of(&service, "dock").await, account_of(&service, "quay").await);
    append(&owner, inbox(&owner), 7).await;
    let url = authorized(&owner, "dock", "INBOX").await;
    let found = open(&service, &other, &url).await.unwrap();
    assert_eq!(found.owner.id(), owner.id());
    let octets = found.owner.read(vec![(found.message, 0..u64::MAX)]).await.unwrap();
    assert_eq!(octets[0].as_deref(), Some(crate::common::mail(7).as_bytes()));
    assert_eq!(found.row.message.size, crate::common::mail(7).len() as u64);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_url_there_is_nothing() {
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let (owner, other) = (account_of(&service, "dock").await, account_of(&service, "quay").await);
    append(&owner, inbox(&owner), 7).await;
    let url = authorized(&owner, "dock", "INBOX").await;
    let validity = owner.current().by_name(&name("INBOX")).unwrap().record().uid_validity;
    let with = |change: &dyn Fn(&mut AuthorizedUrl)| {
        let mut url = url.clone();
        change(&mut url);
        url
    };
    assert!(opens(&service, &other, &with(&|url| url.uid_validity = Some(validity))).await);
    assert!(opens(&service, &other, &with(&|url| url.token.make_ascii_uppercase())).await);
    let wrong = [
        with(&|url| url.owner = "quay".to_owned()),
        with(&|url| url.owner = "nobody".to_owned()),
        with(&|url| url.owner = "\n".to_owned()),
        with(&|url| url.mailbox = "Sent".to_owned()),
        with(&|url| url.mailbox = "Nowhere".to_owned()),
        with(&|url| url.uid = Uid::new(2).unwrap()),
        with(&|url| url.uid_validity = mail_types::UidValidity::new(u32::MAX)),
        with(&|url| url.rump.push(' ')),
        with(&|url| url.token.truncate(65)),
        with(&|url| url.token = url.token.replacen("01", "02", 1)),
        with(&|url| url.token.clear()),
        with(&|url| url.expire = Some(START - 1)),
        with(&|url| url.access = UrlAccess::User("dock".to_owned())),
        with(&|url| url.access = UrlAccess::User("nobody".to_owned())),
        with(&|url| url.access = UrlAccess::Submit),
    ];
    for url in wrong {
        assert!(!opens(&service, &other, &url).await, "{url:?}");
    }
}

#[tokio::test]
async fn access_is_for_the_user_named_or_for_submission_until_it_expires() {
    let mut setup = Setup::new(Sharing::Exclusive);
    setup.config.submission_accounts = vec!["submit".to_owned(), "gone".to_owned()];
    let service = setup.open(Arc::new(Mem::new())).await;
    let owner = account_of(&service, "dock").await;
    let (other, submit) =
        (account_of(&service, "quay").await, account_of(&service, "submit").await);
    append(&owner, inbox(&owner), 7).await;
    let url = authorized(&owner, "dock", "INBOX").await;
    let user = AuthorizedUrl { access: UrlAccess::User("Quay".to_owned()), ..url.clone() };
    assert!(opens(&service, &other, &user).await);
    assert!(!opens(&service, &submit, &user).await);
    assert!(!opens(&service, &owner, &user).await);
    let submission = AuthorizedUrl { access: UrlAccess::Submit, ..url.clone() };
    assert!(opens(&service, &submit, &submission).await);
    assert!(!opens(&service, &other, &submission).await);
    let expiring = AuthorizedUrl { expire: Some(START + 5), ..url };
    setup.clock.set(START + 5);
    assert!(opens(&service, &other, &expiring).await);
    setup.clock.set(START + 6);
    assert!(!opens(&service, &other, &expiring).await);
}

#[tokio::test]
async fn a_new_key_ends_what_the_old_one_authorized() {
    let store = Mem::new();
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(store.clone())).await;
    let owner = account_of(&service, "dock").await;
    append(&owner, inbox(&owner), 7).await;
    append(&owner, mailbox_id(&owner, "Sent"), 8).await;
    let (url, sent) =
        (authorized(&owner, "dock", "INBOX").await, authorized(&owner, "dock", "Sent").await);
    assert_eq!(url, authorized(&owner, "dock", "INBOX").await, "a key stays");
    owner.reset_access_keys(Some(inbox(&owner))).await.unwrap();
    assert!(!opens(&service, &owner, &url).await);
    assert!(opens(&service, &owner, &sent).await);
    let again = authorized(&owner, "dock", "INBOX").await;
    assert!(opens(&service, &owner, &again).await);
    owner.reset_access_keys(None).await.unwrap();
    assert!(!opens(&service, &owner, &again).await);
    assert!(!opens(&service, &owner, &sent).await);
    owner.reset_access_keys(None).await.unwrap();
    assert_clean(&store);
}

#[tokio::test]
async fn a_key_goes_with_its_mailbox_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(Sharing::Exclusive);
    let store = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(Arc::clone(&store) as Arc<dyn Store>).await;
    let owner = account_of(&service, "dock").await;
    append(&owner, inbox(&owner), 7).await;
    append(&owner, mailbox_id(&owner, "Sent"), 8).await;
    let kept = authorized(&owner, "dock", "INBOX").await;
    let lost = authorized(&owner, "dock", "Sent").await;
    let gone = mailbox_id(&owner, "Sent");
    owner.submit(Operation::DeleteMailbox { name: name("Sent") }).await.unwrap();
    assert!(!opens(&service, &owner, &lost).await);
    assert_eq!(owner.reset_access_keys(Some(gone)).await, Err(ServiceError::NoSuchMailbox));
    assert_clean(&*store);
    drop(owner);
    service.close().await.unwrap();
    drop((service, store));
    let store = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
    let service = setup.open(Arc::clone(&store) as Arc<dyn Store>).await;
    let owner = account_of(&service, "dock").await;
    assert!(opens(&service, &owner, &kept).await);
    assert!(!opens(&service, &owner, &lost).await);
    assert_clean(&*store);
}

#[tokio::test]
async fn urls_on_another_accounts_mailboxes_are_not_authorized() {
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let (owner, other) = (account_of(&service, "dock").await, account_of(&service, "quay").await);
    for user in ["dock", "nobody"] {
        let rump = Rump { owner: user.to_owned(), mailbox: inbox(&owner), text: String::new() };
        assert_eq!(other.authorize_urls(vec![rump]).await, Ok(None));
    }
}

/// Several nodes may need the first key of a mailbox at one time: all get the same.
#[tokio::test]
async fn nodes_agree_on_the_key_of_a_mailbox() {
    let store = Mem::new();
    let setup = Setup::new(Sharing::Shared);
    let one = setup.open(Arc::new(store.clone())).await;
    let two = setup.open(Arc::new(store.clone())).await;
    let here = account_of(&one, "dock").await;
    let there = account_of(&two, "dock").await;
    append(&here, inbox(&here), 7).await;
    let (a, b) =
        tokio::join!(authorized(&here, "dock", "INBOX"), authorized(&there, "dock", "INBOX"));
    assert_eq!(a, b);
    assert!(opens(&one, &here, &b).await && opens(&two, &there, &a).await);
    assert_clean(&store);
}
