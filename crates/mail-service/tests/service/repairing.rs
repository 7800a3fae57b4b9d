//! Repair after a database lost commits: nothing that was announced is announced again, and
//! clients that were told what is lost learn what holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail_service::{AccountHandle, Repaired, Sharing, World, repair_after_loss};
use mail_types::ModSeq;
use mailbox::{Account, Operation};
use store::mem::Mem;

use crate::common::{
    Dice, Setup, account_of, append, assert_clean, inbox, name, secret, tell_fault,
};
use crate::histories::{loaded, step};

fn world(seed: u64) -> World {
    World { random: Arc::new(Dice::new(seed)), ..World::system() }
}

async fn repaired(store: &Mem, seed: u64) -> Repaired {
    let store = store.clone();
    let repair = move || repair_after_loss(&store, &world(seed)).unwrap();
    tokio::task::spawn_blocking(repair).await.unwrap()
}

/// What clients have been told of each (UIDVALIDITY, UID), and the highest modseq of each mailbox.
#[derive(Default)]
struct Told {
    messages: BTreeMap<(u32, u32), u64>,
    highest: BTreeMap<u32, ModSeq>,
}

impl Told {
    fn note(&mut self, account: &Account, seed: u64) {
        for mailbox in account.mailboxes() {
            let validity = mailbox.record().uid_validity.get();
            for entry in mailbox.contents().unwrap().iter() {
                let message = entry.message().get();
                let before = self.messages.insert((validity, entry.uid().get()), message);
                assert!(before.is_none_or(|it| it == message), "seed {seed}: UID given twice");
            }
            let highest = mailbox.record().highest_modseq;
            let before = self.highest.insert(validity, highest);
            assert!(before.is_none_or(|it| it <= highest), "seed {seed}: HIGHESTMODSEQ fell");
        }
    }
}

async fn work(account: &AccountHandle, dice: &Dice, told: &mut Told, seed: u64) {
    for _ in 0..25 {
        let _ = step(account, dice).await;
        told.note(&loaded(account).await.0, seed);
    }
}

#[tokio::test]
async fn after_lost_commits_and_a_repair_no_announced_number_comes_again() {
    let setup = Setup::new(Sharing::Shared);
    for seed in 1..=10 {
        println!("seed {seed}");
        let (store, dice) = (Mem::new(), Dice::new(seed));
        let service = setup.open(Arc::new(store.clone())).await;
        let account = account_of(&service, "dock").await;
        let mut told = Told::default();
        work(&account, &dice, &mut told, seed).await;
        // The standby, or the backup, has this; the rest was acknowledged and is lost.
        let copy = store.crash();
        work(&account, &dice, &mut told, seed).await;
        let lost = loaded(&account).await.0;
        let report = repaired(&copy, seed).await;
        assert_eq!((report.accounts, report.moving.len()), (1, 0));
        assert_clean(&copy);
        let again = account_of(&setup.open(Arc::new(copy.clone())).await, "dock").await;
        let now = loaded(&again).await.0;
        told.note(&now, seed);
        resynced(&lost, &now, seed);
        work(&again, &Dice::new(seed + 1000), &mut told, seed).await;
        // Run again by mistake, and while the server runs.
        repaired(&copy, seed + 1).await;
        work(&again, &Dice::new(seed + 2000), &mut told, seed).await;
        assert_clean(&copy);
        let service = setup.open(Arc::new(copy.clone())).await;
        service.sweep().await.unwrap();
        assert_clean(&copy);
    }
    tell_fault("changes after a repair of lost commits", 10 * 50);
}

/// A client that was told everything that is lost, and asks for what changed since (QRESYNC), has
/// what holds.
fn resynced(lost: &Account, now: &Account, seed: u64) {
    for mailbox in now.mailboxes() {
        let Some(before) = lost.mailbox(mailbox.record().id) else { continue };
        if before.record().uid_validity != mailbox.record().uid_validity {
            continue;
        }
        let since = before.record().highest_modseq;
        let now = mailbox.contents().unwrap();
        // What is told as vanished is whatever the client names that is not there: the history is
        // forgotten.
        assert!(now.vanished_since(since).complete_from > since, "seed {seed}");
        // And every message counts as changed, whatever became of the change that the client knows.
        assert!(now.iter().all(|entry| entry.row().modseq > since), "seed {seed}");
    }
}

#[tokio::test]
async fn an_account_that_was_made_again_shares_no_uidvalidity_with_the_one_that_was_lost() {
    let setup = Setup::new(Sharing::Shared);
    let store = Mem::new();
    let service = setup.open(Arc::new(store.clone())).await;
    account_of(&service, "first").await;
    let copy = store.crash();
    let lost = account_of(&service, "dock").await;
    let create = Operation::CreateMailbox { name: name("x"), special_use: Vec::new() };
    let last = lost.submit(create).await.unwrap().0.head().last_uid_validity;
    repaired(&copy, 1).await;
    let service = setup.open(Arc::new(copy.clone())).await;
    let id = service.create_account("dock", secret("password")).await.unwrap();
    assert!(id > lost.id());
    let again = service.account(id).await.unwrap();
    append(&again, inbox(&again), 1).await;
    let lowest = again.current().mailboxes().map(|m| m.record().uid_validity.get()).min();
    assert!(lowest.unwrap() > last);
    assert_clean(&copy);
}
