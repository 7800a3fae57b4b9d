//! Accounts that move: between shards and between services, stopped anywhere and run again.

use std::sync::Arc;

use mail_service::keys::{self, AccountKey, AccountKeys};
use mail_service::{
    AccountHandle, AccountName, Moved, Service, ServiceError, Shards, Sharing, World,
    move_to_service, move_to_shard,
};
use mail_types::AccountId;
use mailbox::{Account, Operation};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::spread::Spread;
use store::{Store, StoreError};

use crate::common::{
    Dice, Setup, account_of, append, append_text, assert_clean, inbox, name, secret, tell_fault,
};
use crate::histories::{assert_same, loaded, step};
use crate::urls::{authorized, opens};

/// Two databases, and ways to them that may fail.
struct Site {
    home: Mem,
    shard: Mem,
    faulty: [Arc<Faulty>; 2],
}

impl Site {
    fn new() -> Self {
        let (home, shard) = (Mem::new(), Mem::new());
        let faulty = [&home, &shard].map(|mem| Arc::new(Faulty::new(Arc::new(mem.clone()))));
        Self { home, shard, faulty }
    }

    fn shards(&self) -> Shards {
        let [home, shard] = self.faulty.clone();
        Shards { home, others: vec![("one".to_owned(), shard)] }
    }

    /// What a node makes of the two.
    fn store(&self) -> Arc<Spread> {
        let shard: Arc<dyn Store> = Arc::new(self.shard.clone());
        let others = [("one".to_owned(), shard)];
        Arc::new(Spread::new(Arc::new(self.home.clone()), others, keys::LAYOUT))
    }

    async fn node(&self) -> Service {
        let mut setup = Setup::new(Sharing::Shared);
        setup.config.shards = Some(Vec::new());
        setup.open(self.store()).await
    }

    /// In how many databases somebody could change the account.
    fn live_copies(&self, id: AccountId) -> usize {
        let key = AccountKeys::new(id).key(&AccountKey::Head);
        let live = |mem: &&Mem| {
            let row = mem.view().unwrap().get(&key).unwrap();
            row.is_some_and(|row| {
                !mail_service::codec::rows::HeadRow::decode(&key, &row).unwrap().frozen
            })
        };
        [&self.home, &self.shard].iter().filter(|mem| live(mem)).count()
    }
}

fn dock() -> AccountName {
    AccountName::new("dock").unwrap()
}

fn world() -> World {
    World { random: Arc::new(Dice::new(77)), ..World::system() }
}

/// An account with history: flags, expunges, mailboxes that came and went, a long message.
async fn account_with_history(service: &Service, seed: u64) -> (AccountHandle, Account) {
    let account = account_of(service, "dock").await;
    let _pins = loaded(&account).await.1;
    let dice = Dice::new(seed);
    for _ in 0..60 {
        let _ = step(&account, &dice).await;
    }
    let long = ["Subject: long\r\n\r\n".to_owned(), "line\r\n".repeat(20_000)].concat();
    append_text(&account, inbox(&account), long.as_bytes()).await;
    let state = loaded(&account).await.0;
    (account, state)
}

async fn moved(site: &Site, to: &'static str) -> Result<Moved, ServiceError> {
    let shards = site.shards();
    let moving = tokio::task::spawn_blocking(move || move_to_shard(&shards, &dock(), to, &world()));
    moving.await.unwrap()
}

#[tokio::test]
async fn an_account_that_moved_to_a_shard_and_back_is_what_it_was_at_every_node() {
    let site = Site::new();
    let (here, there) = (site.node().await, site.node().await);
    let (account, before) = account_with_history(&here, 1).await;
    let other = account_of(&here, "other").await;
    append(&other, inbox(&other), 1).await;
    let elsewhere = account_of(&there, "dock").await;
    let _pins = loaded(&elsewhere).await.1;
    let stale = site.node().await;
    for to in ["one", ""] {
        assert!(stale.authenticate("dock", &secret("password")).await.is_ok());
        let report = moved(&site, to).await.unwrap();
        assert!(report.rows > 50 && report.blobs > 3, "{report:?}");
        // A node that has not heard of it lets its owner in.
        assert!(stale.authenticate("dock", &secret("password")).await.is_ok());
        // Sessions that were open go on, whatever they knew of its place; so do new ones.
        assert_same(&before, &loaded(&account).await.0, 1);
        assert_same(&before, &loaded(&elsewhere).await.0, 1);
        assert_same(&before, &loaded(&account_of(&site.node().await, "dock").await).await.0, 1);
        assert!(there.authenticate("dock", &secret("password")).await.is_ok());
        let left = if to.is_empty() { &site.shard } else { &site.home };
        let rows =
            store::scan_page(&*left.view().unwrap(), &AccountKeys::new(account.id()).all(), 9);
        assert_eq!(rows.unwrap().rows, []);
        assert_clean(&*site.store());
    }
    // It can be written again, and all see it.
    let uids = append(&elsewhere, inbox(&elsewhere), 5).await;
    let (state, _pin) = account.load(inbox(&account)).await.unwrap();
    let contents = state.mailbox(inbox(&account)).unwrap().contents().unwrap().clone();
    assert!(contents.find(uids.first().unwrap()).is_some());
    assert_eq!(moved(&site, "").await.unwrap(), Moved::default());
    assert_eq!(moved(&site, "two").await, Err(ServiceError::NoSuchShard));
}

#[tokio::test]
async fn urls_that_were_authorized_hold_after_a_move() {
    let site = Site::new();
    let (node, stale) = (site.node().await, site.node().await);
    let account = account_of(&node, "dock").await;
    append(&account, inbox(&account), 1).await;
    let url = authorized(&account, "dock", "INBOX").await;
    assert!(opens(&stale, &account, &url).await);
    moved(&site, "one").await.unwrap();
    let fresh = site.node().await;
    let account = account_of(&fresh, "dock").await;
    assert!(opens(&fresh, &account, &url).await);
    assert_eq!(authorized(&account, "dock", "INBOX").await, url, "the key is the same");
    assert!(opens(&stale, &account, &url).await);
    assert_clean(&*site.store());
}

#[tokio::test]
async fn a_move_that_is_stopped_anywhere_leaves_one_account_and_goes_on() {
    let mut stops = 0;
    for call in [Call::Commit, Call::View, Call::FinishBlob, Call::ReadBlob, Call::DeleteBlobs] {
        for which in 0..2 {
            for after in [false, true] {
                for nth in 1.. {
                    let site = Site::new();
                    let node = site.node().await;
                    let (account, before) = account_with_history(&node, 2).await;
                    let lost = StoreError::Unavailable { reason: "stopped".into() };
                    let fault = if after { Fault::FailAfter(lost) } else { Fault::Fail(lost) };
                    site.faulty[which].faults().on(call, nth, fault);
                    let stopped = moved(&site, "one").await;
                    site.faulty[which].faults().heal();
                    assert!(site.live_copies(account.id()) <= 1);
                    if stopped.is_ok() {
                        break;
                    }
                    stops += 1;
                    moved(&site, "one").await.unwrap();
                    assert_eq!(site.live_copies(account.id()), 1);
                    assert_same(&before, &loaded(&account).await.0, nth);
                    assert_clean(&*site.store());
                }
            }
        }
    }
    println!("{stops} places to stop");
    assert!(stops > 40, "{stops}");
    tell_fault("move of an account to another shard stopped at a step", stops);
}

#[tokio::test]
async fn nobody_can_change_an_account_while_it_moves() {
    let site = Site::new();
    let node = site.node().await;
    let (account, _) = account_with_history(&node, 3).await;
    // Stopped after it was frozen: the copy is not written.
    let lost = StoreError::Unavailable { reason: "stopped".into() };
    site.faulty[1].faults().always(Call::Commit, Fault::Fail(lost));
    moved(&site, "one").await.unwrap_err();
    let create = Operation::CreateMailbox { name: name("new"), special_use: Vec::new() };
    assert_eq!(account.submit(create.clone()).await.err(), Some(ServiceError::Moving));
    assert_eq!(account.state().await.err(), Some(ServiceError::Moving));
    let late = site.node().await;
    let login = late.authenticate("dock", &secret("password")).await.err();
    assert_eq!(login, Some(mail_service::AuthError::Failed(ServiceError::Moving)));
    assert_eq!(late.remove_account("dock").await, Err(ServiceError::Moving));
    // Nor is it swept away, and other accounts know nothing of it.
    late.sweep().await.unwrap();
    let other = account_of(&node, "other").await;
    append(&other, inbox(&other), 1).await;
    site.faulty[1].faults().heal();
    moved(&site, "one").await.unwrap();
    account.submit(create).await.unwrap();
    assert_clean(&*site.store());
}

#[tokio::test]
async fn new_accounts_are_spread_over_the_shards_and_removed_from_them() {
    let site = Site::new();
    let mut setup = Setup::new(Sharing::Shared);
    setup.config.shards = Some(vec!["one".to_owned(), String::new()]);
    let service = setup.open(site.store()).await;
    for n in 0..4 {
        let account = account_of(&service, &format!("user{n}")).await;
        append(&account, inbox(&account), n).await;
    }
    let heads = |mem: &Mem| {
        let page = store::scan_page(&*mem.view().unwrap(), &store::KeyRange::prefix(b"a"), 9999);
        page.unwrap().rows.iter().filter(|(key, _)| key.len() == 10 && key[9] == b'h').count()
    };
    assert_eq!((heads(&site.home), heads(&site.shard)), (2, 2));
    assert_clean(&*site.store());
    let twice = service.create_account("user1", secret("x")).await;
    assert_eq!(twice.err(), Some(ServiceError::AccountExists));
    let validity = |account: &AccountHandle| {
        account.current().mailboxes().map(|m| m.record().uid_validity.get()).max().unwrap()
    };
    let before = validity(&account_of(&service, "user1").await);
    for n in 0..4 {
        service.remove_account(&format!("user{n}")).await.unwrap();
    }
    assert_eq!((heads(&site.home), heads(&site.shard)), (0, 0));
    let again = account_of(&service, "user1").await;
    let lowest = again.current().mailboxes().map(|m| m.record().uid_validity.get()).min();
    assert!(lowest.unwrap() > before);
    assert_clean(&*site.store());
}

/// Every stop in the making and the removing of an account that shares no commit with its name.
#[tokio::test]
async fn what_a_crash_leaves_of_making_or_removing_is_finished_by_the_sweep() {
    for removes in [false, true] {
        for nth in 1.. {
            let mem = Mem::new();
            let faulty = Arc::new(Faulty::new(Arc::new(mem.clone())));
            let mut setup = Setup::new(Sharing::Shared);
            setup.config.shards = Some(Vec::new());
            let service = setup.open(faulty.clone()).await;
            if removes {
                account_of(&service, "dock").await;
            }
            let lost = StoreError::Unavailable { reason: "stopped".into() };
            faulty.faults().on(Call::Commit, nth, Fault::Fail(lost));
            let result = if removes {
                service.remove_account("dock").await
            } else {
                service.create_account("dock", secret("password")).await.map(drop)
            };
            if result.is_ok() {
                assert!(nth > 3);
                break;
            }
            setup.clock.advance(4000);
            let service = setup.open(Arc::new(mem.clone())).await;
            service.sweep().await.unwrap();
            assert_clean(&mem);
            // It is there whole or not at all; either way its name can be used.
            let account = account_of(&service, "dock").await;
            append(&account, inbox(&account), 1).await;
            assert_clean(&mem);
        }
    }
}

async fn moved_over(source: &Arc<Faulty>, target: &Arc<Faulty>) -> Result<Moved, ServiceError> {
    let (source, target) = (Arc::clone(source), Arc::clone(target));
    let moving = move || move_to_service(&*source, &*target, &dock(), None, &world());
    tokio::task::spawn_blocking(moving).await.unwrap()
}

#[tokio::test]
async fn a_move_to_another_service_that_is_stopped_anywhere_goes_on_and_keeps_everything() {
    let mut stops = 0;
    for call in [Call::Commit, Call::View, Call::FinishBlob, Call::DeleteBlobs] {
        for which in 0..2 {
            for nth in 1.. {
                let mems = [Mem::new(), Mem::new()];
                let [source, target] =
                    [0, 1].map(|n| Arc::new(Faulty::new(Arc::new(mems[n].clone()))));
                let (before, last) = {
                    let alone = Setup::new(Sharing::Exclusive).open(source.clone()).await;
                    account_of(&alone, "other").await;
                    let (account, before) = account_with_history(&alone, 4).await;
                    (before, account.current().head().last_uid_validity)
                };
                let many = Setup::new(Sharing::Shared).open(target.clone()).await;
                for n in 0..3 {
                    account_of(&many, &format!("user{n}")).await;
                }
                let lost = StoreError::Unavailable { reason: "stopped".into() };
                let fault = Fault::FailAfter(lost);
                [&source, &target][which].faults().on(call, nth, fault);
                let stopped = moved_over(&source, &target).await;
                [&source, &target][which].faults().heal();
                if stopped.is_err() {
                    stops += 1;
                    many.sweep().await.unwrap();
                    match moved_over(&source, &target).await {
                        Ok(_) => {}
                        // It was all done but for what the sweep does.
                        Err(ServiceError::NoSuchAccount) => {
                            assert!(many.find_account("dock").await.unwrap().is_some());
                        }
                        Err(error) => panic!("{call:?} {nth}: {error}"),
                    }
                }
                let login = many.authenticate("dock", &secret("password")).await.unwrap();
                assert_same(&before, &loaded(&login).await.0, nth);
                let old = Setup::new(Sharing::Exclusive).open(source.clone()).await;
                assert_eq!(old.find_account("dock").await.unwrap(), None);
                old.sweep().await.unwrap();
                assert_clean(&mems[0]);
                assert_clean(&mems[1]);
                let again = account_of(&old, "dock").await;
                let lowest =
                    again.current().mailboxes().map(|m| m.record().uid_validity.get()).min();
                assert!(lowest.unwrap() > last);
                if stopped.is_ok() {
                    break;
                }
            }
        }
    }
    println!("{stops} places to stop");
    assert!(stops > 20, "{stops}");
    tell_fault("move of an account to another service stopped at a step", stops);
}

#[tokio::test]
async fn a_name_that_is_used_elsewhere_cannot_move_there() {
    let [source, target] = [(); 2].map(|()| Arc::new(Faulty::new(Arc::new(Mem::new()))));
    for store in [&source, &target] {
        account_of(&Setup::new(Sharing::Exclusive).open(store.clone()).await, "dock").await;
    }
    let refused = moved_over(&source, &target).await;
    assert_eq!(refused, Err(ServiceError::AccountExists));
    let alone = Setup::new(Sharing::Exclusive).open(source.clone()).await;
    let account = account_of(&alone, "dock").await;
    append(&account, inbox(&account), 1).await;
}
