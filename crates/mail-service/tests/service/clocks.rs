//! Clocks that jump: nothing that was announced comes back, and no live mail is lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail_service::{AccountHandle, Sharing};
use mail_types::{Flags, MailboxName, SystemFlags, Uid, UidSet};
use mailbox::{FlagMode, Operation};
use store::mem::Mem;

use crate::common::{
    Dice, START, Setup, account_of, append, append_text, assert_clean, inbox, mail, mailbox_id,
    name,
};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 86_400;
/// The last second that 32 bits with a sign can count, and the last without one.
const END_OF_2038: i64 = i32::MAX as i64;
const END_OF_2106: i64 = u32::MAX as i64;

/// Where the clock is put.
const MOMENTS: &[i64] = &[
    START,
    START - 10 * YEAR,
    START + 10 * YEAR,
    START - HOUR,
    START + HOUR,
    END_OF_2038,
    END_OF_2038 + 1,
    END_OF_2106,
    END_OF_2106 + 1,
    0,
    -YEAR,
];

/// What was announced of an account, and may never come back.
#[derive(Default)]
struct Announced {
    uid_validities: BTreeMap<String, u32>,
    last_uids: BTreeMap<u32, u32>,
    modseq: u64,
}

impl Announced {
    fn note(&mut self, account: &AccountHandle) {
        let state = account.current();
        assert!(state.modseq().get() >= self.modseq, "the modseq went back");
        self.modseq = state.modseq().get();
        for mailbox in state.mailboxes() {
            let record = mailbox.record();
            let (shown, validity) = (record.name.to_string(), record.uid_validity.get());
            let before = self.uid_validities.insert(shown.clone(), validity).unwrap_or(0);
            assert!(validity >= before, "UIDVALIDITY of {shown} went back: {before}, {validity}");
            let next = record.uid_next.get();
            let last = self.last_uids.insert(validity, next).unwrap_or(1);
            assert!(next >= last, "UIDNEXT of {shown} went back: {last}, {next}");
        }
    }
}

#[tokio::test]
async fn whatever_the_clock_does_nothing_that_was_announced_comes_back() {
    for seed in 1..=8 {
        println!("seed {seed}");
        let dice = Dice::new(seed);
        let (setup, mut store) = (Setup::new(Sharing::Exclusive), Mem::new());
        let mut service = setup.open(Arc::new(store.clone())).await;
        let mut account = account_of(&service, "dock").await;
        let mut announced = Announced::default();
        let mut sent = 0;
        for _ in 0..60 {
            setup.clock.set(MOMENTS[dice.below(MOMENTS.len() as u64) as usize]);
            match dice.below(4) {
                0 => {
                    drop(account);
                    service.close().await.unwrap();
                    store = store.crash();
                    service = setup.open(Arc::new(store.clone())).await;
                    account = account_of(&service, "dock").await;
                }
                1 => drop(service.sweep().await.unwrap()),
                _ => {}
            }
            announced.note(&account);
            step(&account, &dice, &mut sent).await;
            announced.note(&account);
        }
        drop(account);
        service.close().await.unwrap();
        assert_clean(&store.crash());
    }
}

/// One change, of any kind. A mailbox is removed and made again as often as can be.
async fn step(account: &AccountHandle, dice: &Dice, sent: &mut u64) {
    let tides = name("Tides");
    let exists = account.current().by_name(&tides).is_some();
    let at = if exists { mailbox_id(account, "Tides") } else { inbox(account) };
    match dice.below(6) {
        0 if exists => change(account, Operation::DeleteMailbox { name: tides }).await,
        0 | 1 if !exists => create(account, tides).await,
        1 => {
            let (from, to) = (tides, name(&format!("Old/{}", dice.next())));
            change(account, Operation::RenameMailbox { from, to }).await;
        }
        2 => {
            let uids = UidSet::range(Uid::MIN, Uid::MAX);
            let flags = Flags::system(SystemFlags::DELETED);
            let (mode, unchanged_since) = (FlagMode::Add, None);
            let set = Operation::SetFlags {
                mailbox: at,
                uids: uids.clone(),
                mode,
                flags,
                unchanged_since,
            };
            account.load(at).await.unwrap();
            change(account, set).await;
            change(account, Operation::Expunge { mailbox: at, uids }).await;
        }
        _ => {
            *sent += 1;
            append(account, at, *sent).await;
        }
    }
}

async fn create(account: &AccountHandle, name: MailboxName) {
    change(account, Operation::CreateMailbox { name, special_use: Vec::new() }).await;
}

async fn change(account: &AccountHandle, operation: Operation) {
    account.submit(operation).await.unwrap();
}

async fn expunge_all(account: &AccountHandle, uids: UidSet) {
    let mailbox = inbox(account);
    let flags = Flags::system(SystemFlags::DELETED);
    let (mode, unchanged_since) = (FlagMode::Add, None);
    let set = Operation::SetFlags { mailbox, uids: uids.clone(), mode, flags, unchanged_since };
    change(account, set).await;
    change(account, Operation::Expunge { mailbox, uids }).await;
}

#[tokio::test]
async fn a_clock_that_ran_ahead_costs_history_and_no_live_mail() {
    for moment in [START + 10 * YEAR, END_OF_2038 + 1, END_OF_2106 + 1] {
        let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
        let service = setup.open(Arc::new(store.clone())).await;
        let account = account_of(&service, "dock").await;
        let gone = append(&account, inbox(&account), 1).await;
        for number in 2..10 {
            append_text(&account, inbox(&account), mail(number).as_bytes()).await;
        }
        expunge_all(&account, gone).await;
        setup.clock.set(moment);
        let report = service.sweep().await.unwrap();
        // By this clock the expunged message is past its retention: nothing else could tell.
        assert_eq!((report.expunged, report.messages), (1, 1));
        setup.clock.set(START);
        for _ in 0..2 {
            let report = service.sweep().await.unwrap();
            assert_eq!((report.expunged, report.messages, report.blobs), (0, 0, 0));
            setup.clock.advance(60 * 86_400);
        }
        for number in 2..10 {
            let parts = vec![(mail_types::MessageId(number), 0..u64::MAX)];
            let text = account.read(parts).await.unwrap().remove(0);
            assert_eq!(text.as_deref(), Some(mail(number).as_bytes()));
        }
        assert_clean(&store);
    }
}

#[tokio::test]
async fn a_clock_that_was_behind_for_a_while_forgets_nothing_early() {
    for moment in [START - 10 * YEAR, START - HOUR, 0, -YEAR] {
        let (setup, store) = (Setup::new(Sharing::Exclusive), Mem::new());
        let service = setup.open(Arc::new(store.clone())).await;
        let account = account_of(&service, "dock").await;
        let (first, second) = (
            append(&account, inbox(&account), 1).await,
            append(&account, inbox(&account), 2).await,
        );
        expunge_all(&account, first).await;
        setup.clock.set(moment);
        expunge_all(&account, second).await;
        assert_eq!(service.sweep().await.unwrap().messages, 0);
        setup.clock.set(START + 86_400);
        let report = service.sweep().await.unwrap();
        assert_eq!((report.expunged, report.messages), (0, 0), "at {moment}");
        setup.clock.set(START + 40 * 86_400);
        let report = service.sweep().await.unwrap();
        assert_eq!((report.expunged, report.messages), (2, 2), "at {moment}");
        assert_clean(&store);
    }
}
