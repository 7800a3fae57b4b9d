//! What is done with mail of strangers: junk goes to its mailbox, and who is not known comes again.

use std::sync::Arc;

use mail_service::{
    AccountHandle, GreylistTerms, Greylisting, Route, Service, Sharing, Verdict, Visit, check,
};
use mail_types::{Keyword, MailboxId, MailboxName, SpecialUse};
use mailbox::{MailboxRecord, Operation};
use store::Store;
use store::mem::Mem;

use crate::common::{Setup, account_of, inbox, mail, mailbox_id};

async fn deliver(service: &Service, route: &Route, verdict: Verdict) {
    let mut staging = service.stage_delivery(std::slice::from_ref(route));
    staging.push(mail(1).as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    service.deliver_as(verdict, route, &staged).await.unwrap();
}

#[tokio::test]
async fn junk_goes_to_the_mailbox_for_it_or_to_inbox_and_is_marked() {
    let service = Setup::new(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let account = account_of(&service, "dock").await;
    let lists = MailboxName::new("lists").unwrap();
    let special_use = Vec::new();
    account.submit(Operation::CreateMailbox { name: lists, special_use }).await.unwrap();
    let route = service.route("dock+lists").await.unwrap();
    deliver(&service, &route, Verdict::Junk).await;
    deliver(&service, &route, Verdict::Wanted).await;
    let is_for_junk = |record: &MailboxRecord| record.special_use.contains(SpecialUse::Junk);
    let state = account.current();
    let record = state.mailboxes().map(|it| it.record()).find(|it| is_for_junk(it)).unwrap();
    assert_eq!(are_junk(&account, record.id).await, [true]);
    assert_eq!(are_junk(&account, mailbox_id(&account, "lists")).await, [false]);
    // Who keeps no mailbox for junk finds it in INBOX.
    account.submit(Operation::DeleteMailbox { name: record.name.clone() }).await.unwrap();
    deliver(&service, &route, Verdict::Junk).await;
    assert_eq!(are_junk(&account, inbox(&account)).await, [true]);
}

/// Whether each message of a mailbox is marked as junk.
async fn are_junk(account: &AccountHandle, id: MailboxId) -> Vec<bool> {
    let junk = Keyword::new("$Junk").unwrap();
    let (state, _pin) = account.load(id).await.unwrap();
    let contents = state.mailbox(id).unwrap().contents().unwrap();
    contents.iter().map(|entry| entry.flags().has(&junk)).collect()
}

#[tokio::test]
async fn s099_a_stranger_is_greylisted_for_himself_and_known_when_he_came_again() {
    let setup = Setup::new(Sharing::Exclusive);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup.open(Arc::clone(&store)).await;
    let terms = GreylistTerms { delay_secs: 60, window_secs: 3600, lifetime_secs: 36 * 86_400 };
    let ask = async |client: &str, sender: &str| {
        let visit = Visit { client: client.parse().unwrap(), sender, recipient: "c@d.example" };
        service.greylist(terms, visit).await.unwrap()
    };
    assert_eq!(ask("192.0.2.1", "a@b.example").await, Greylisting::ComeAgain);
    setup.clock.advance(30);
    assert_eq!(ask("192.0.2.1", "a@b.example").await, Greylisting::ComeAgain);
    // Somebody else's time begins with him.
    assert_eq!(ask("198.51.100.1", "a@b.example").await, Greylisting::ComeAgain);
    setup.clock.advance(30);
    assert_eq!(ask("198.51.100.1", "a@b.example").await, Greylisting::ComeAgain);
    assert_eq!(ask("192.0.2.77", "a@b.example").await, Greylisting::Passes);
    // The network is known, whoever writes; another one is not.
    assert_eq!(ask("192.0.2.1", "x@y.example").await, Greylisting::Passes);
    assert_eq!(ask("203.0.113.1", "x@y.example").await, Greylisting::ComeAgain);
    service.sweep().await.unwrap();
    assert_eq!(check(&*store).unwrap().findings.len(), 0);
    assert_eq!(ask("192.0.2.1", "x@y.example").await, Greylisting::Passes);
    // Nothing is kept for ever.
    setup.clock.advance(101 * 86_400);
    service.sweep().await.unwrap();
    let range = store::KeyRange::prefix(b"y");
    let rows = store::scan_page(&*store.view().unwrap(), &range, 10).unwrap().rows;
    assert!(rows.is_empty(), "{rows:?}");
    assert_eq!(ask("192.0.2.1", "x@y.example").await, Greylisting::ComeAgain);
}
