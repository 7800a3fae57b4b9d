//! Random histories: what is in memory is what the rows say and what the log leads to.

use std::sync::Arc;

use mail_service::{AccountHandle, MailboxPin, NewMail, Service, ServiceError, Sharing};
use mail_types::{
    AccountId, AnnotationName, EntryName, Flags, InternalDate, Keyword, MailboxId, ModSeq,
    SystemFlags, Uid, UidSet,
};
use mailbox::{
    Account, AnnotationEdit, Annotations, Audience, FlagMode, MailboxSnapshot, MetadataTarget,
    Operation, Outcome, Quota, Rights, RightsChange,
};
use store::Store;
use store::mem::Mem;

use crate::common::{Dice, START, Setup, account_of, append_to, assert_clean, mail, name};

const NAMES: [&str; 7] = ["INBOX", "Archive", "a", "a/b", "a/b/c", "z", "Trash"];

/// One random step, and what it came to. Refusals are part of the history.
pub async fn step(
    account: &AccountHandle,
    dice: &Dice,
) -> Result<(Account, Outcome), ServiceError> {
    let current = account.current();
    let ids: Vec<_> = current.mailboxes().map(|m| m.record().id).collect();
    let pick = || ids[usize::try_from(dice.below(ids.len() as u64)).unwrap()];
    let any_name = || name(NAMES[usize::try_from(dice.below(NAMES.len() as u64)).unwrap()]);
    let uids = {
        let first = u32::try_from(dice.below(20)).unwrap() + 1;
        let last = first + u32::try_from(dice.below(5)).unwrap();
        UidSet::range(Uid::new(first).unwrap(), Uid::new(last).unwrap())
    };
    let flags = {
        let bits = u8::try_from(dice.below(32)).unwrap();
        let keyword = Keyword::new(&format!("k{}", dice.below(6))).unwrap();
        Flags::new(SystemFlags::from_bits(bits).unwrap(), (dice.below(2) == 0).then_some(keyword))
    };
    let operation = match dice.below(21) {
        0..=2 => {
            return append_to(account, pick(), mail(dice.below(12)).as_bytes()).await;
        }
        3 => {
            let text = mail(dice.below(12));
            let mut staging = account.stage();
            staging.push(text.as_bytes()).await?;
            let staged = staging.finish().await?;
            let date = InternalDate::utc(START);
            let edits: Vec<_> = random_edits(dice);
            let annotations = Annotations::default().with(&edits).copied();
            let gone = (pick(), uids.first().unwrap());
            return account
                .replace(gone, pick(), NewMail { staged, flags, date, annotations })
                .await;
        }
        4..=7 => {
            let modes = [FlagMode::Add, FlagMode::Remove, FlagMode::Replace];
            let mode = modes[usize::try_from(dice.below(3)).unwrap()];
            let since = ModSeq::new(dice.below(current.modseq().get() + 2));
            let unchanged_since = since.filter(|_| dice.below(4) == 0);
            Operation::SetFlags { mailbox: pick(), uids, mode, flags, unchanged_since }
        }
        8 => Operation::Copy { from: pick(), to: pick(), uids },
        9 => Operation::Move { from: pick(), to: pick(), uids },
        10 => Operation::Expunge { mailbox: pick(), uids },
        11 => Operation::CreateMailbox { name: any_name(), special_use: Vec::new() },
        12 => Operation::DeleteMailbox { name: any_name() },
        13 => Operation::RenameMailbox { from: any_name(), to: any_name() },
        14 if dice.below(2) == 0 => Operation::Subscribe { name: any_name() },
        14 => Operation::Unsubscribe { name: any_name() },
        15 => annotate(pick(), dice),
        16 => limit(dice),
        17 => return share(account, pick(), dice).await,
        18 | 19 => {
            let edits = random_edits(dice);
            Operation::Annotate { mailbox: pick(), uids, edits, unchanged_since: None }
        }
        _ => Operation::ClaimRecent { mailbox: pick() },
    };
    account.submit(operation).await
}

/// Sets or removes an annotation or a special use, of the mailbox or of the server.
fn annotate(mailbox: MailboxId, dice: &Dice) -> Operation {
    let target = match dice.below(4) {
        0 => MetadataTarget::Server,
        _ => MetadataTarget::Mailbox(mailbox),
    };
    let names = ["/private/a", "/private/a/b", "/private/specialuse"];
    let name = EntryName::new(names[usize::try_from(dice.below(3)).unwrap()]).unwrap();
    let value = (dice.below(3) > 0).then(|| match name == EntryName::special_use() {
        true => b"\\Junk".to_vec(),
        false => dice.next().to_be_bytes().to_vec(),
    });
    Operation::SetMetadata { target, entries: vec![(name, value)] }
}

/// Sets or removes annotations of messages, for the owner, for all, or for somebody else.
fn random_edits(dice: &Dice) -> Vec<AnnotationEdit> {
    let one = |_| {
        let names = ["/comment", "/altsubject", "/1/comment"];
        let audiences = [Audience::Owner, Audience::Everyone, Audience::Reader(AccountId(77))];
        AnnotationEdit {
            name: AnnotationName::new(names[usize::try_from(dice.below(3)).unwrap()]).unwrap(),
            audience: audiences[usize::try_from(dice.below(3)).unwrap()],
            value: (dice.below(3) > 0).then(|| dice.next().to_be_bytes().as_slice().into()),
        }
    };
    (0..=dice.below(2)).map(one).collect()
}

/// Limits so that some changes are refused, and mostly none.
fn limit(dice: &Dice) -> Operation {
    let messages = (dice.below(3) == 0).then(|| dice.below(30));
    Operation::SetQuota { quota: Quota { messages, ..Quota::default() } }
}

/// Changes a list, so that most mailboxes have one.
async fn share(
    account: &AccountHandle,
    mailbox: MailboxId,
    dice: &Dice,
) -> Result<(Account, Outcome), ServiceError> {
    let pick = |bound| usize::try_from(dice.below(bound)).unwrap();
    let identifier = ["anyone", "Lee", "-lee", "dock", "nobody"][pick(5)];
    let rights = ["", "lr", "lrs", "lrswipkxtea"].map(|letters| Rights::parse(letters).unwrap());
    let rights = rights[pick(4)];
    let changes =
        [RightsChange::Set(rights), RightsChange::Add(rights), RightsChange::Remove(rights)];
    account.set_acl(mailbox, identifier, changes[pick(3)]).await
}

/// A step of one writer alone: only the rules of mail can refuse it. A refusal changes nothing;
/// what matters here is that the rows agree afterwards.
async fn one_step(account: &AccountHandle, dice: &Dice) {
    let result = step(account, dice).await;
    assert!(matches!(result, Ok(_) | Err(ServiceError::Refused(_))), "{result:?}");
}

/// All mailboxes loaded.
pub async fn loaded(account: &AccountHandle) -> (Account, Vec<MailboxPin>) {
    let mut pins = Vec::new();
    for mailbox in account.state().await.unwrap().mailboxes() {
        pins.push(account.load(mailbox.record().id).await.unwrap().1);
    }
    (account.state().await.unwrap(), pins)
}

pub fn assert_same(one: &Account, other: &Account, seed: u64) {
    assert_eq!(one.head(), other.head(), "seed {seed}");
    let records = |a: &Account| a.mailboxes().map(|m| m.record().clone()).collect::<Vec<_>>();
    assert_eq!(records(one), records(other), "seed {seed}");
    assert!(one.subscriptions().eq(other.subscriptions()), "seed {seed}");
    assert_eq!(one.metadata(), other.metadata(), "seed {seed}");
    assert_eq!(one.quota(), other.quota(), "seed {seed}");
    assert!(one.acls().eq(other.acls()), "seed {seed}");
    for (a, b) in one.mailboxes().zip(other.mailboxes()) {
        let (a, b) = (a.contents().unwrap(), b.contents().unwrap());
        let rows = |s: &MailboxSnapshot| s.iter().map(|e| e.row()).collect::<Vec<_>>();
        assert_eq!(rows(a), rows(b), "seed {seed}");
        let notes = |s: &MailboxSnapshot| s.iter().map(|e| e.annotations()).collect::<Vec<_>>();
        assert_eq!(notes(a), notes(b), "seed {seed}");
        for since in 0..one.modseq().get() {
            let since = ModSeq::new(since).unwrap();
            let (gone, told) = (a.vanished_since(since).uids, b.vanished_since(since).uids);
            assert_eq!(gone, told, "seed {seed}, since {since}");
        }
    }
}

async fn reopened(setup: &Setup, store: &Mem) -> (Service, AccountHandle) {
    let service = setup.open(Arc::new(store.clone())).await;
    let account = account_of(&service, "dock").await;
    (service, account)
}

#[tokio::test]
async fn every_random_history_reloads_from_its_rows_as_it_was_in_memory() {
    let setup = Setup::new(Sharing::Exclusive);
    for seed in 1..=12 {
        let dice = Dice::new(seed);
        let store = Mem::new();
        let (_service, account) = reopened(&setup, &store).await;
        let mut pins = loaded(&account).await.1;
        for round in 0..6 {
            for _ in 0..12 {
                one_step(&account, &dice).await;
            }
            let (in_memory, more) = loaded(&account).await;
            pins.extend(more);
            // Every other time what a crash leaves.
            let copy = if round % 2 == 0 { store.clone() } else { store.crash() };
            let (_other, again) = reopened(&setup, &copy).await;
            assert_same(&in_memory, &loaded(&again).await.0, seed);
            assert_clean(&store);
        }
    }
}

#[tokio::test]
async fn a_follower_reaches_the_same_state_by_the_log() {
    let setup = Setup::new(Sharing::Shared);
    for seed in 100..=106 {
        let dice = Dice::new(seed);
        let store = Mem::new();
        let (_one, writer) = reopened(&setup, &store).await;
        let (_two, reader) = reopened(&setup, &store).await;
        let _pins = (loaded(&writer).await.1, loaded(&reader).await.1);
        for _ in 0..5 {
            for _ in 0..8 {
                one_step(&writer, &dice).await;
            }
            let (theirs, _kept) = loaded(&reader).await;
            assert_same(&loaded(&writer).await.0, &theirs, seed);
        }
        assert_clean(&store as &dyn Store);
    }
}
