//! Several services on one store, as several processes would be: nobody's change is lost, nothing
//! is given out twice, and whoever lost an answer learns the truth.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use mail_service::{AccountHandle, AuthError, Service, ServiceError, Sharing};
use mail_types::{Flags, Keyword, MailboxId, MessageId, ModSeq, SystemFlags, Uid, UidSet};
use mailbox::{FlagMode, Operation, Outcome};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{Store, StoreError};
use store_postgres::{Postgres, Settings};
use testkit::postgres::{Cluster, Durability};

use crate::common::{
    Dice, Setup, account_of, append, append_to, assert_clean, inbox, mail, name, secret, tell_fault,
};
use crate::histories::{assert_same, loaded, step};

/// Opens one store, each time as another process would.
type Opener<'a> = dyn Fn() -> Arc<dyn Store> + 'a;

const NODES: usize = 3;

/// Changes of one history: rounds, sessions, changes of each.
const STEPS: u64 = 4 * 6 * 20;

/// A node: its service and the faults of its own way to the store.
struct Node {
    service: Service,
    store: Arc<Faulty>,
    account: AccountHandle,
}

async fn nodes(store: &Mem) -> Vec<Node> {
    nodes_on(&|| Arc::new(store.clone())).await
}

/// Each node opens the store for itself.
async fn nodes_on(open: &Opener<'_>) -> Vec<Node> {
    let setup = Setup::new(Sharing::Shared);
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        let store = Arc::new(Faulty::new(open()));
        let service = setup.open(store.clone()).await;
        let account = account_of(&service, "dock").await;
        nodes.push(Node { service, store, account });
    }
    nodes
}

fn flags(mailbox: MailboxId, uids: &UidSet, mode: FlagMode, flags: Flags) -> Operation {
    Operation::SetFlags { mailbox, uids: uids.clone(), mode, flags, unchanged_since: None }
}

fn seen() -> Flags {
    Flags::system(SystemFlags::SEEN)
}

fn keyword(text: &str) -> Flags {
    Flags::new(SystemFlags::NONE, [Keyword::new(text).unwrap()])
}

async fn flags_of(account: &AccountHandle, mailbox: MailboxId, uids: &UidSet) -> Flags {
    let (state, _pin) = account.load(mailbox).await.unwrap();
    let contents = state.mailbox(mailbox).unwrap().contents().unwrap();
    contents.find(uids.first().unwrap()).unwrap().flags()
}

fn lost() -> StoreError {
    StoreError::OutcomeUnknown { reason: "connection lost".into() }
}

/// What was announced: no number may come twice.
#[derive(Default)]
struct Announced {
    uids: BTreeMap<(u32, Uid), MessageId>,
    modseqs: BTreeMap<ModSeq, String>,
}

impl Announced {
    fn note(&mut self, outcome: &Outcome, seed: u64) {
        let modseq = match outcome {
            Outcome::Added { uid_validity, uids, messages, modseq } => {
                for (uid, message) in uids.iter().zip(messages) {
                    let before = self.uids.insert((uid_validity.get(), uid), *message);
                    assert_eq!(before, None, "seed {seed}: UID {uid} given twice");
                }
                *modseq
            }
            Outcome::Replaced { uid_validity, uid, message, modseq } => {
                let before = self.uids.insert((uid_validity.get(), *uid), *message);
                assert_eq!(before, None, "seed {seed}: UID {uid} given twice");
                Some(*modseq)
            }
            Outcome::FlagsSet(outcome) => outcome.modseq,
            Outcome::Copied(outcome) | Outcome::Moved(outcome) => outcome.modseq,
            Outcome::Expunged { modseq, .. } => *modseq,
            _ => None,
        };
        if let Some(modseq) = modseq {
            let before = self.modseqs.insert(modseq, format!("{outcome:?}"));
            assert_eq!(before, None, "seed {seed}: modseq {modseq} given twice to {outcome:?}");
        }
    }
}

/// Sessions on three nodes do random things at the same time; each also marks a message that none
/// of them removes.
async fn history(seed: u64, has_faults: bool, open: &Opener<'_>) {
    let nodes = nodes_on(open).await;
    let first = &nodes[0].account;
    // Nobody's random steps name UIDs so high.
    let mailbox = {
        let create = Operation::CreateMailbox { name: name("kept"), special_use: Vec::new() };
        let state = first.submit(create).await.unwrap().0;
        state.by_name(&name("kept")).unwrap().record().id
    };
    for number in 0..30 {
        append(first, mailbox, number).await;
    }
    let kept = append(first, mailbox, 30).await;
    let announced = Arc::new(Mutex::new(Announced::default()));
    let mut marks = Vec::new();
    for round in 0..4 {
        let mut sessions = Vec::new();
        for session in 0..6 {
            let node = &nodes[session % NODES];
            if has_faults {
                let faults = node.store.faults();
                let at = seed + session as u64;
                faults.on(Call::Commit, 2 + at % 5, Fault::FailAfter(lost()));
                faults.on(Call::Commit, 7 + at % 3, Fault::Fail(lost()));
                faults.on(Call::Commit, 11, Fault::Fail(StoreError::Busy));
                faults.on(Call::Hint, 1 + at % 3, Fault::Fail(StoreError::Busy));
            }
            let (account, kept) = (node.account.clone(), kept.clone());
            let announced = Arc::clone(&announced);
            sessions.push(tokio::spawn(async move {
                let dice = Dice::new((seed << 16) + round * 100 + session as u64);
                let mut mine = Vec::new();
                for number in 0..10 {
                    match step(&account, &dice).await {
                        Ok((_, outcome)) => announced.lock().unwrap().note(&outcome, seed),
                        Err(ServiceError::Refused(_) | ServiceError::WriteRefused) => {}
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                    let mark = keyword(&format!("s{session}r{}", number % 3));
                    let add = flags(mailbox, &kept, FlagMode::Add, mark.clone());
                    match account.submit(add).await {
                        Ok((_, outcome)) => {
                            announced.lock().unwrap().note(&outcome, seed);
                            mine.push(mark);
                        }
                        // Its mailbox may have been renamed, never removed: its name is its own.
                        Err(ServiceError::WriteRefused) => {}
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
                mine
            }));
        }
        for session in sessions {
            marks.extend(session.await.unwrap());
        }
        for node in &nodes {
            node.store.faults().heal();
        }
        checkpoint(&nodes, open, seed).await;
    }
    let flags = flags_of(&nodes[1].account, mailbox, &kept).await;
    for mark in marks {
        assert!(flags.has(&mark.keywords()[0]), "seed {seed}: {mark:?} was lost");
    }
}

/// All nodes see what the store holds, and it is whole.
async fn checkpoint(nodes: &[Node], open: &Opener<'_>, seed: u64) {
    let store = open();
    let fresh = Setup::new(Sharing::Shared).open(Arc::clone(&store)).await;
    let (truth, _pins) = loaded(&account_of(&fresh, "dock").await).await;
    for node in nodes {
        assert_same(&truth, &loaded(&node.account).await.0, seed);
    }
    assert_clean(&*store);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_spread_over_three_nodes_lose_nothing_and_share_no_number() {
    for seed in 1..=8 {
        println!("seed {seed}");
        let store = Mem::new();
        history(seed, false, &|| Arc::new(store.clone())).await;
    }
    tell_fault("changes of one account by three nodes at once", 8 * STEPS);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_lost_hints_lose_nothing_and_do_nothing_twice() {
    for seed in 101..=108 {
        println!("seed {seed}");
        let store = Mem::new();
        history(seed, true, &|| Arc::new(store.clone())).await;
    }
    tell_fault("changes by three nodes with lost answers and hints", 8 * STEPS);
}

/// The same on a real PostgreSQL, each node with connections of its own.
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_on_postgresql_lose_nothing_and_share_no_number() {
    let cluster = Cluster::start(Durability::Fast, &[]).unwrap();
    for (seed, has_faults) in [(201, false), (202, true), (203, true)] {
        println!("seed {seed}");
        cluster.run_sql(&format!("CREATE DATABASE mail{seed}")).unwrap();
        let url = cluster.url().replace("/postgres", &format!("/mail{seed}"));
        let open = || -> Arc<dyn Store> {
            let mut settings = Settings::new(url.clone());
            settings.connections_max = 16;
            Arc::new(Postgres::open(settings).unwrap())
        };
        history(seed, has_faults, &open).await;
    }
    tell_fault("changes by three nodes on PostgreSQL, some with lost answers", 3 * STEPS);
}

#[tokio::test]
async fn a_flag_that_another_node_took_away_is_set_again_though_it_is_set_here() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    // Nothing is heard of other nodes: what this one knows is old.
    for node in &nodes {
        node.store.faults().always(Call::Hint, Fault::Fail(StoreError::Busy));
    }
    let (here, there) = (&nodes[0].account, &nodes[1].account);
    let uids = append(here, inbox(here), 1).await;
    here.submit(flags(inbox(here), &uids, FlagMode::Add, seen())).await.unwrap();
    there.submit(flags(inbox(there), &uids, FlagMode::Remove, seen())).await.unwrap();
    here.submit(flags(inbox(here), &uids, FlagMode::Add, seen())).await.unwrap();
    assert_eq!(flags_of(there, inbox(there), &uids).await, seen());
    // Nor is a mailbox refused as existing that was deleted there.
    let create = || Operation::CreateMailbox { name: name("x"), special_use: Vec::new() };
    here.submit(create()).await.unwrap();
    there.submit(Operation::DeleteMailbox { name: name("x") }).await.unwrap();
    here.submit(create()).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_acknowledged_if_it_happened() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    let account = &nodes[0].account;
    nodes[0].store.faults().on(Call::Commit, 1, Fault::FailAfter(lost()));
    let uids = append(account, inbox(account), 1).await;
    // And so it is when another node has written since.
    let other = nodes[1].account.clone();
    let uids_there = uids.clone();
    nodes[0].store.faults().on(Call::Commit, 1, Fault::FailAfter(lost()));
    let handle = tokio::runtime::Handle::current();
    let meanwhile = Arc::new(move || {
        let (other, uids) = (other.clone(), uids_there.clone());
        let change = flags(inbox(&other), &uids, FlagMode::Add, keyword("there"));
        handle.spawn(async move { other.submit(change).await });
    });
    nodes[0].store.faults().on(Call::View, 1, Fault::Before(meanwhile));
    let before = account.current().modseq();
    append(account, inbox(account), 2).await;
    let (state, _pin) = account.load(inbox(account)).await.unwrap();
    assert_eq!(state.mailbox(inbox(account)).unwrap().record().counts.messages, 2);
    assert!(state.modseq() > before);
    assert_clean(&store);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_decided_again_if_it_did_not_happen() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    let account = &nodes[0].account;
    nodes[0].store.faults().on(Call::Commit, 1, Fault::Fail(lost()));
    assert_eq!(append(account, inbox(account), 1).await.first(), Uid::new(1));
    assert_eq!(append(account, inbox(account), 2).await.first(), Uid::new(2));
    assert_clean(&store);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_found_out_is_not_told_as_a_failure() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    let account = &nodes[0].account;
    let uids = append(account, inbox(account), 1).await;
    let _pin = account.load(inbox(account)).await.unwrap();
    let faults = nodes[0].store.faults();
    faults.on(Call::Commit, 1, Fault::FailAfter(lost()));
    faults.always(Call::View, Fault::Fail(StoreError::read_failed("connection lost")));
    let change = flags(inbox(account), &uids, FlagMode::Add, seen());
    let told = account.submit(change).await.unwrap_err();
    assert_eq!(told, ServiceError::WriteRefused);
    // With the store back, the node goes on by itself.
    faults.heal();
    append(account, inbox(account), 2).await;
    assert_eq!(flags_of(account, inbox(account), &uids).await, seen());
    assert_clean(&store);
}

async fn append_to_inbox(account: &AccountHandle) -> Result<(), ServiceError> {
    append_to(account, inbox(account), mail(1).as_bytes()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_over_its_commit_cannot_write_with_what_it_knew() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    let (sleeper, other) = (nodes[0].account.clone(), nodes[1].account.clone());
    let (wake, woken) = mpsc::channel::<()>();
    let woken = Mutex::new(woken);
    // Decided, but on its way for as long as the node is stopped.
    let stopped = Arc::new(move || _ = woken.lock().unwrap().recv());
    nodes[0].store.faults().on(Call::Commit, 1, Fault::Before(stopped));
    let late = tokio::spawn(async move { append(&sleeper, inbox(&sleeper), 1).await });
    while nodes[0].store.faults().count(Call::Commit) == 0 {
        tokio::task::yield_now().await;
    }
    let mut given = Vec::new();
    for number in 2..6 {
        given.extend(append(&other, inbox(&other), number).await.iter());
    }
    wake.send(()).unwrap();
    given.extend(late.await.unwrap().iter());
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 5);
    checkpoint(&nodes, &|| Arc::new(store.clone()), 0).await;
}

#[tokio::test]
async fn bytes_that_another_nodes_sweep_took_fail_only_the_message_that_had_them() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    let account = &nodes[0].account;
    let id = store::BlobId::of(mail(1).as_bytes());
    nodes[0].store.faults().on(Call::Commit, 1, Fault::Fail(StoreError::BlobMissing { id }));
    let told = append_to_inbox(account).await.unwrap_err();
    assert_eq!(told, ServiceError::Store(StoreError::BlobMissing { id }));
    nodes[0].store.faults().on(Call::Commit, 1, Fault::Fail(StoreError::BlobMissing { id }));
    append(account, inbox(account), 2).await;
    assert_clean(&store);
}

#[tokio::test]
async fn passwords_and_removals_at_one_node_hold_at_every_other() {
    let store = Mem::new();
    let nodes = nodes(&store).await;
    let there = &nodes[1].service;
    there.authenticate("dock", &secret("password")).await.unwrap();
    nodes[0].service.set_password("dock", secret("another")).await.unwrap();
    let old = there.authenticate("dock", &secret("password")).await;
    assert_eq!(old.err(), Some(AuthError::Denied));
    let session = there.authenticate("dock", &secret("another")).await.unwrap();
    append(&session, inbox(&session), 1).await;
    nodes[0].service.remove_account("dock").await.unwrap();
    assert_eq!(session.state().await.err(), Some(ServiceError::NoSuchAccount));
    let gone = there.authenticate("dock", &secret("another")).await;
    assert_eq!(gone.err(), Some(AuthError::Denied));
    // The name comes back, with another account behind it.
    let again = account_of(&nodes[2].service, "dock").await;
    let here = there.authenticate("dock", &secret("password")).await.unwrap();
    assert_eq!(here.id(), again.id());
    assert_ne!(here.id(), session.id());
    assert_eq!(here.state().await.unwrap().modseq(), again.current().modseq());
    assert_eq!(session.state().await.err(), Some(ServiceError::NoSuchAccount));
    assert_clean(&store as &dyn Store);
}
