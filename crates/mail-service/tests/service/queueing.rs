//! The outbound queue: nobody who was accepted is forgotten, whatever fails when.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use mail_service::queue::{
    Attempt, Claimed, Envelope, Handover, Hold, Job, LocalDelivery, Notify, Origin, Outcomes,
    QueueError, QueueRunner, Recipient, Reply, Ret, RunnerSettings, Terms, Transport,
};
use mail_service::{DeliverError, Service, ServiceError, Sharing, check};
use mail_types::MessageId;
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{KeyRange, Store, StoreError};
use store_local::{Local, Options};
use store_postgres::{Postgres, Settings};
use testkit::postgres::{Cluster, Durability};
use tokio::sync::Semaphore;

use crate::common::{Dice, START, Setup, account_of, assert_clean, inbox, tell_fault};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Another server in memory: takes what it is told to take, and remembers it.
#[derive(Default)]
struct Sink {
    inner: Mutex<SinkState>,
}

#[derive(Default)]
struct SinkState {
    /// Text and recipient of all that was taken.
    taken: Vec<(String, String)>,
    /// Recipients that are answered otherwise.
    answers: BTreeMap<String, Attempt>,
    /// Null senders that were seen.
    notices: usize,
}

impl Sink {
    fn lock(&self) -> MutexGuard<'_, SinkState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, address: &str, attempt: Attempt) {
        self.lock().answers.insert(address.to_owned(), attempt);
    }

    fn taken_by(&self, address: &str) -> Vec<String> {
        let inner = self.lock();
        let taken = inner.taken.iter().filter(|(_, to)| to == address);
        taken.map(|(text, _)| text.clone()).collect()
    }
}

impl Transport for Sink {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        Box::pin(async move {
            let mut text = Vec::new();
            while (text.len() as u64) < job.body.size() {
                let at = text.len() as u64;
                match job.body.read(at..job.body.size()).await {
                    Ok(piece) => text.extend(piece),
                    // A transport that cannot read the message breaks off.
                    Err(_) => return Vec::new(),
                }
            }
            let text = String::from_utf8(text).unwrap();
            let mut inner = self.lock();
            inner.notices += usize::from(job.terms.sender.is_none());
            let mut outcomes = Vec::new();
            for (index, recipient) in &job.recipients {
                assert!(recipient.address.to_lowercase().ends_with(&job.domain));
                let answer = inner.answers.get(&recipient.address).cloned();
                let answer =
                    answer.unwrap_or(Attempt::Delivered { to: Handover::Relay, reply: None });
                if matches!(answer, Attempt::Delivered { .. }) {
                    inner.taken.push((text.clone(), recipient.address.clone()));
                }
                outcomes.push((*index, answer));
            }
            outcomes
        })
    }
}

fn setup(sharing: Sharing) -> Setup {
    let mut setup = Setup::new(sharing);
    setup.config.queue.hostname = "mail.example".to_owned();
    setup
}

fn terms() -> Terms {
    Terms::new(Some("dock@mail.example".to_owned()), Origin::Account("dock".to_owned()))
}

fn envelope(to: &[&str]) -> Envelope {
    let recipients = to.iter().map(|address| Recipient::new(*address)).collect();
    Envelope { terms: terms(), recipients, hold_until: None }
}

fn text(number: u64) -> String {
    format!("Message-ID: <q{number}@mail.example>\r\nSubject: Tide {number}\r\n\r\nHigh water.\r\n")
}

async fn enqueue(
    service: &Service,
    number: u64,
    envelope: Envelope,
) -> Result<Vec<mail_queue::QueueId>, QueueError> {
    let mut staging = service.stage_outgoing();
    staging.push(text(number).as_bytes()).await?;
    let staged = staging.finish().await?;
    service.enqueue(&staged, envelope).await
}

fn runner(service: &Service, sink: &Arc<Sink>) -> QueueRunner {
    let transport = Arc::clone(sink) as Arc<dyn Transport>;
    QueueRunner::new(service.clone(), transport, RunnerSettings::default()).unwrap()
}

/// Works on what is due, and on what was under way at nodes that are gone; how many entries.
async fn run_and_take_over(setup: &Setup, service: &Service, sink: &Arc<Sink>) -> usize {
    let mut count = 0;
    for _ in 0..4 {
        count += runner(service, sink).run_due().await.unwrap();
        setup.clock.advance(11);
    }
    count
}

fn deferred() -> Attempt {
    let smtp = Some("451 4.7.1 come again".to_owned());
    let remote = Some("mx.x.example".to_owned());
    Attempt::Deferred(Reply { status: [4, 7, 1], smtp, remote, text: "come again".into() })
}

fn failed() -> Attempt {
    let smtp = Some("550 5.1.1 nobody".to_owned());
    let remote = Some("mx.x.example".to_owned());
    Attempt::Failed(Reply { status: [5, 1, 1], smtp, remote, text: "nobody".into() })
}

fn queue_rows(store: &dyn Store) -> usize {
    store::scan_page(&*store.view().unwrap(), &KeyRange::prefix(b"q"), 10_000).unwrap().rows.len()
}

/// All mail of an account, in order.
async fn mail_of(service: &Service, user: &str) -> Vec<String> {
    let account = account_of(service, user).await;
    let (state, _pin) = account.load(inbox(&account)).await.unwrap();
    let contents = state.mailbox(inbox(&account)).unwrap().contents().unwrap();
    let ids: Vec<MessageId> = contents.iter().map(|entry| entry.message()).collect();
    let mut texts = Vec::new();
    for id in ids {
        let read = account.read(vec![(id, 0..u64::MAX)]).await.unwrap().remove(0).unwrap();
        texts.push(String::from_utf8(read).unwrap());
    }
    texts
}

#[tokio::test]
async fn mail_goes_to_accounts_and_to_other_servers_and_leaves_nothing_behind() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    account_of(&service, "quay").await;
    let to = ["quay@mail.example", "b@x.example", "c@X.example", "d@y.example"];
    let ids = enqueue(&service, 1, envelope(&to)).await.unwrap();
    assert_eq!(ids.len(), 1);
    assert_clean(&store);
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    for remote in &to[1..] {
        assert_eq!(sink.taken_by(remote), [text(1)], "{remote}");
    }
    let fields = "Return-Path: <dock@mail.example>\r\nDelivered-To: quay@mail.example\r\n";
    assert_eq!(mail_of(&service, "quay").await, [format!("{fields}{}", text(1))]);
    assert_eq!(queue_rows(&store), 0);
    assert_eq!(service.sweep().await.unwrap().blobs, 1);
    assert_clean(&store);
    assert_eq!(service.show_queued(ids[0]).await, Err(QueueError::NoSuchEntry));
}

#[tokio::test]
async fn a_body_is_kept_for_as_long_as_an_entry_names_it() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    sink.answer("b@x.example", deferred());
    // Two entries with the same octets share one body.
    for to in ["b@x.example", "c@x.example"] {
        enqueue(&service, 1, envelope(&[to])).await.unwrap();
    }
    runner(&service, &sink).run_due().await.unwrap();
    assert_eq!(service.sweep().await.unwrap().blobs, 0);
    sink.lock().answers.clear();
    setup.clock.advance(HOUR);
    runner(&service, &sink).run_due().await.unwrap();
    assert_eq!(sink.taken_by("b@x.example"), [text(1)]);
    assert_eq!(service.sweep().await.unwrap().blobs, 1);
    // Staged and not named yet.
    let mut staging = service.stage_outgoing();
    staging.push(b"x").await.unwrap();
    let staged = staging.finish().await.unwrap();
    enqueue(&service, 2, envelope(&["c@x.example"])).await.unwrap();
    assert_eq!(service.sweep().await.unwrap().blobs, 0);
    drop(staged);
    assert_eq!(service.sweep().await.unwrap().blobs, 1);
    assert_clean(&store);
}

#[tokio::test]
async fn attempts_are_spread_over_days_and_then_the_sender_gets_his_mail_back() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    account_of(&service, "dock").await;
    sink.answer("b@x.example", deferred());
    let mut envelope = envelope(&["b@x.example"]);
    envelope.terms.ret = Some(Ret::Full);
    let id = enqueue(&service, 1, envelope).await.unwrap()[0];
    let mut attempts: u32 = 0;
    let start = mail_service::Clock::now_secs(&*setup.clock);
    while let Ok(entry) = service.show_queued(id).await {
        setup.clock.set(entry.next().unwrap());
        attempts += 1;
        assert!(runner(&service, &sink).run_due().await.unwrap() >= 1);
        assert!(attempts < 100);
    }
    let days = (mail_service::Clock::now_secs(&*setup.clock) - start) as f64 / DAY as f64;
    assert!((5.0..5.3).contains(&days), "{days} days");
    assert!((25..40).contains(&attempts), "{attempts} attempts");
    let told = mail_of(&service, "dock").await;
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("Action: delayed\r\n") && !told[0].contains("High water"));
    assert!(told[0].starts_with("Return-Path: <>\r\n"));
    assert!(told[1].contains("Action: failed\r\nStatus: 5.4.7\r\n"));
    assert!(told[1].contains("High water") && told[1].contains("message/rfc822"));
    assert!(told[1].contains("Diagnostic-Code: smtp; 451 4.7.1 come again\r\n"));
    assert_eq!(queue_rows(&store), 0);
    assert_clean(&store);
}

#[tokio::test]
async fn a_clock_that_jumps_neither_gives_up_nor_stops() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    sink.answer("b@x.example", deferred());
    let id = enqueue(&service, 1, envelope(&["b@x.example"])).await.unwrap()[0];
    let run = || async { runner(&service, &sink).run_due().await.unwrap() };
    run().await;
    // A year ahead: one attempt, and it waits on.
    setup.clock.advance(365 * DAY);
    assert_eq!(run().await, 1);
    assert_eq!(run().await, 0);
    let entry = service.show_queued(id).await.unwrap();
    assert!(entry.recipients[0].waited_secs < 2 * HOUR, "{entry:?}");
    // And back: it is not left until next year.
    setup.clock.advance(-365 * DAY);
    assert_eq!(run().await, 1);
    assert_eq!(run().await, 0);
    sink.lock().answers.clear();
    setup.clock.advance(2 * HOUR);
    assert_eq!(run().await, 1);
    assert_eq!(sink.taken_by("b@x.example").len(), 1);
}

#[tokio::test]
async fn what_is_told_to_whom() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    account_of(&service, "dock").await;
    sink.answer("bad@x.example", failed());
    let notify = |success, failure| Notify::On { success, failure, delay: false };
    let with = |terms: Terms, address: &str, notify| {
        let recipients = vec![Recipient { notify, ..Recipient::new(address) }];
        Envelope { terms, recipients, hold_until: None }
    };
    let stranger = Terms::new(Some("dock@mail.example".into()), Origin::Stranger);
    let vouched = Terms::new(Some("dock@mail.example".into()), Origin::Vouched);
    let null = Terms::new(None, Origin::Account("dock".into()));
    let cases = [
        (terms(), "bad@x.example", Notify::Unasked, Some("Action: failed")),
        (terms(), "bad@x.example", Notify::Never, None),
        (terms(), "bad@x.example", notify(true, false), None),
        (terms(), "good@x.example", notify(true, false), Some("Action: relayed")),
        (terms(), "good@x.example", notify(false, true), None),
        (terms(), "dock@mail.example", notify(true, true), Some("Action: delivered")),
        (terms(), "nobody@mail.example", Notify::Unasked, Some("Status: 5.1.1")),
        (stranger, "bad@x.example", Notify::Unasked, None),
        (vouched, "bad@x.example", Notify::Unasked, Some("Action: failed")),
        (null, "bad@x.example", notify(true, true), None),
    ];
    for (terms, to, notify, expected) in cases {
        let before = mail_of(&service, "dock").await.len();
        enqueue(&service, 1, with(terms, to, notify)).await.unwrap();
        runner(&service, &sink).run_due().await.unwrap();
        let mail = mail_of(&service, "dock").await;
        let notices: Vec<_> =
            mail[before..].iter().filter(|text| text.contains("multipart/report")).collect();
        match expected {
            None => assert!(notices.is_empty(), "{to} {notify:?}: {notices:?}"),
            Some(part) => {
                assert_eq!(notices.len(), 1, "{to} {notify:?}");
                assert!(notices[0].contains(part), "{to} {notify:?}: {}", notices[0]);
            }
        }
    }
    assert_eq!(queue_rows(&store), 0);
}

#[tokio::test]
async fn a_notice_that_cannot_be_delivered_is_not_told_of() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    sink.answer("b@x.example", failed());
    sink.answer("away@y.example", failed());
    let mut envelope = envelope(&["b@x.example"]);
    envelope.terms.sender = Some("away@y.example".into());
    enqueue(&service, 1, envelope).await.unwrap();
    // The mail, then the notice about it, and then nothing.
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 2);
    assert_eq!(sink.lock().notices, 1);
    assert_eq!(queue_rows(&store), 0);
}

#[tokio::test]
async fn a_damaged_entry_does_not_stop_the_others_and_is_found_by_the_check() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    let id = enqueue(&service, 1, envelope(&["b@x.example"])).await.unwrap()[0];
    enqueue(&service, 2, envelope(&["c@x.example"])).await.unwrap();
    let key = mail_service::keys::queue_entry(id);
    let whole = store.view().unwrap().get(&key).unwrap().unwrap();
    store.commit_wait(store::Commit::new().write(store::Write::put(&*key, b"?"))).unwrap();
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    assert_eq!(sink.taken_by("c@x.example").len(), 1);
    assert!(!check(&store).unwrap().is_clean());
    // Its body stays for whoever restores the row.
    assert!(service.sweep().await.is_err());
    store.commit_wait(store::Commit::new().write(store::Write::put(key, whole))).unwrap();
    setup.clock.advance(2 * HOUR);
    sink.answer("b@x.example", deferred());
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    // The row by which it was found is not left behind.
    assert_clean(&store);
    sink.lock().answers.clear();
    setup.clock.advance(2 * HOUR);
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    assert_eq!(sink.taken_by("b@x.example"), [text(1)]);
    assert_eq!(queue_rows(&store), 0);
}

/// A transport with a fault in it.
struct Broken;

impl Transport for Broken {
    fn send<'a>(&'a self, _: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        Box::pin(async { panic!("on purpose") })
    }
}

#[tokio::test]
async fn an_attempt_that_breaks_off_is_made_again_later_and_not_over_and_over() {
    let (setup, store) = (setup(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let id = enqueue(&service, 1, envelope(&["b@x.example"])).await.unwrap()[0];
    let broken = QueueRunner::new(service.clone(), Arc::new(Broken), RunnerSettings::default());
    assert_eq!(broken.unwrap().run_due().await.unwrap(), 1);
    let entry = service.show_queued(id).await.unwrap();
    assert_eq!((entry.recipients[0].attempts, entry.claim), (1, None));
    assert_clean(&store);
}

#[tokio::test]
async fn an_envelope_of_many_becomes_entries_that_share_their_body() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    let to: Vec<String> = (0..250).map(|n| format!("u{n}@x.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let ids = enqueue(&service, 1, envelope(&to)).await.unwrap();
    assert_eq!(ids.len(), 3);
    assert_clean(&store);
    assert_eq!(check(&store).unwrap().blobs, 1);
    runner(&service, &sink).run_due().await.unwrap();
    assert_eq!(sink.lock().taken.len(), 250);
    let too_many = vec!["a@x.example"; 1001];
    let refused = enqueue(&service, 1, envelope(&too_many)).await;
    assert!(matches!(refused, Err(QueueError::Envelope(_))), "{refused:?}");
    assert_eq!(queue_rows(&store), 0);
}

#[tokio::test]
async fn the_operator_holds_retries_and_drops() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    let id = enqueue(&service, 1, envelope(&["b@x.example"])).await.unwrap()[0];
    service.hold_queued(id).await.unwrap();
    assert!(matches!(service.hold_queued(id).await, Err(QueueError::Refused(_))));
    setup.clock.advance(30 * DAY);
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 0);
    assert_eq!(service.show_queued(id).await.unwrap().hold, Hold::Operator);
    assert_eq!(service.next_due().await, Ok(None));
    assert_clean(&store);
    sink.answer("b@x.example", deferred());
    service.retry_queued(id).await.unwrap();
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    // It is due only later, unless somebody wants it now.
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 0);
    service.retry_queued(id).await.unwrap();
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    let listed = service.list_queue(None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, listed[0].entry.recipients[0].attempts), (id, 2));
    assert_eq!(service.list_queue(Some(id)).await.unwrap(), []);
    service.drop_queued(id).await.unwrap();
    assert_eq!(service.drop_queued(id).await, Err(QueueError::NoSuchEntry));
    assert_eq!(queue_rows(&store), 0);
}

#[tokio::test]
async fn mail_for_later_waits_for_its_moment() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    let now = mail_service::Clock::now_secs(&*setup.clock);
    let later = Envelope { hold_until: Some(now + 10 * DAY), ..envelope(&["b@x.example"]) };
    enqueue(&service, 1, later).await.unwrap();
    assert_eq!(service.next_due().await, Ok(Some(now + 10 * DAY)));
    setup.clock.advance(10 * DAY - 1);
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 0);
    assert_clean(&store);
    setup.clock.advance(1);
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    assert_eq!(sink.taken_by("b@x.example").len(), 1);
}

#[tokio::test]
async fn two_nodes_share_the_queue_and_one_takes_over_from_a_dead_one() {
    let (setup, store, sink) = (setup(Sharing::Shared), Mem::new(), Arc::new(Sink::default()));
    let (one, two) =
        (setup.open(Arc::new(store.clone())).await, setup.open(Arc::new(store.clone())).await);
    for number in 0..20 {
        enqueue(&one, number, envelope(&["b@x.example"])).await.unwrap();
    }
    let dead = one.claim_due(1, 5).await.unwrap();
    assert_eq!(dead.len(), 5);
    assert_eq!(runner(&two, &sink).run_due().await.unwrap(), 15);
    // It is believed alive until its claims have been watched for a while after their end.
    for _ in 0..5 {
        setup.clock.advance(11);
        assert_eq!(runner(&two, &sink).run_due().await.unwrap(), 0);
    }
    one.renew_claim(&dead[0]).await.unwrap();
    setup.clock.advance(11);
    assert_eq!(runner(&two, &sink).run_due().await.unwrap(), 4);
    assert_eq!(sink.lock().taken.len(), 19);
    // The one that was believed dead cannot change what others have done.
    one.record_attempts(&dead[1], vec![(0, failed())]).await.unwrap();
    assert!(one.renew_claim(&dead[1]).await.is_err());
    // And it does not send what it is no more sure of.
    let job = |claimed| one.job(claimed, "x.example".to_owned(), Vec::new());
    assert!(job(&dead[0]).await.unwrap().leave.take().await);
    assert!(!job(&dead[1]).await.unwrap().leave.take().await);
    one.give_back(&dead[0]).await.unwrap();
    assert!(!job(&dead[0]).await.unwrap().leave.take().await);
    assert_eq!(runner(&two, &sink).run_due().await.unwrap(), 1);
    let numbers: BTreeSet<String> = sink.taken_by("b@x.example").into_iter().collect();
    assert_eq!((numbers.len(), sink.lock().taken.len()), (20, 20));
    assert_eq!(queue_rows(&store), 0);
}

#[tokio::test]
async fn what_a_node_that_was_believed_dead_has_handed_on_is_not_handed_on_again() {
    let (setup, store, sink) = (setup(Sharing::Shared), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    enqueue(&service, 1, envelope(&["b@x.example", "c@y.example"])).await.unwrap();
    let slow = service.claim_due(1, 1).await.unwrap().remove(0);
    setup.clock.advance(HOUR);
    for _ in 0..3 {
        assert_eq!(service.claim_due(2, 1).await.unwrap(), []);
        setup.clock.advance(11);
    }
    let other = service.claim_due(2, 1).await.unwrap().remove(0);
    let delivered = Attempt::Delivered { to: Handover::Relay, reply: None };
    service.record_attempts(&slow, vec![(0, delivered), (1, failed())]).await.unwrap();
    let entry = service.show_queued(slow.id).await.unwrap();
    let words: Vec<_> = entry.recipients.iter().map(|r| r.progress.word()).collect();
    assert_eq!(words, ["delivered", "in progress"]);
    service.give_back(&other).await.unwrap();
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    assert_eq!(sink.lock().taken.len(), 1);
    assert_eq!(sink.taken_by("c@y.example").len(), 1);
}

#[tokio::test]
async fn a_delivery_to_an_account_happens_once_however_often_and_wherever_it_is_tried() {
    let (setup, store) = (setup(Sharing::Shared), Mem::new());
    let (one, two) =
        (setup.open(Arc::new(store.clone())).await, setup.open(Arc::new(store.clone())).await);
    account_of(&one, "quay").await;
    enqueue(&one, 1, envelope(&["quay@mail.example"])).await.unwrap();
    let claimed = one.claim_due(1, 1).await.unwrap().remove(0);
    // Both at once, and more than once each: as if a claim had ended under a slow node's hands.
    let attempts: Vec<_> = (0..8)
        .map(|turn| {
            let (service, claimed) =
                (if turn % 2 == 0 { &one } else { &two }.clone(), claimed.clone());
            tokio::spawn(async move { service.deliver_queued(&claimed, 0).await })
        })
        .collect();
    let mut delivered = 0;
    for attempt in attempts {
        delivered += usize::from(attempt.await.unwrap().unwrap() == LocalDelivery::Delivered);
    }
    assert_eq!((delivered, mail_of(&two, "quay").await.len()), (1, 1));
    assert_eq!(two.deliver_queued(&claimed, 0).await, Ok(LocalDelivery::DeliveredBefore));
    // The mark stays while the entry is there, and longer than any node sleeps.
    let marks = || {
        let rows = store::scan_page(&*store.view().unwrap(), &KeyRange::prefix(b"a"), 10_000);
        rows.unwrap().rows.iter().filter(|(key, _)| key.get(9) == Some(&b'j')).count()
    };
    setup.clock.advance(8 * DAY);
    one.sweep().await.unwrap();
    assert_eq!(marks(), 1);
    one.drop_queued(claimed.id).await.unwrap();
    one.sweep().await.unwrap();
    assert_eq!(marks(), 0);
    assert_clean(&store);
}

#[tokio::test]
async fn another_mail_of_the_same_octets_is_another_delivery() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    account_of(&service, "quay").await;
    for _ in 0..2 {
        enqueue(&service, 1, envelope(&["quay@mail.example"])).await.unwrap();
    }
    runner(&service, &sink).run_due().await.unwrap();
    assert_eq!(mail_of(&service, "quay").await.len(), 2);
}

#[tokio::test]
async fn an_address_elsewhere_is_not_taken_for_an_account_of_its_local_part() {
    let (setup, store) = (setup(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    account_of(&service, "quay").await;
    account_of(&service, "pier@other.example").await;
    for (address, is_local) in [
        ("quay@mail.example", true),
        ("quay@MAIL.example", true),
        ("quay", true),
        ("pier@other.example", true),
        ("pier+x@other.example", true),
        ("quay@elsewhere.example", false),
        ("quay@other.example", false),
    ] {
        assert_eq!(service.is_local(address).await, Ok(is_local), "{address}");
    }
}

#[tokio::test]
async fn a_commit_whose_outcome_is_lost_queues_once_or_not_at_all() {
    for (fault, happened) in [(true, true), (false, false)] {
        let (setup, mem, sink) = (setup(Sharing::Shared), Mem::new(), Arc::new(Sink::default()));
        let store = Arc::new(Faulty::new(Arc::new(mem.clone())));
        let service = setup.open(store.clone()).await;
        let lost = StoreError::outcome_unknown("cut");
        let fault = if fault { Fault::FailAfter(lost) } else { Fault::Fail(lost) };
        store.faults().on(Call::Commit, 1, fault);
        let queued = enqueue(&service, 1, envelope(&["b@x.example"])).await;
        assert_eq!(queued.is_ok(), happened);
        runner(&service, &sink).run_due().await.unwrap();
        assert_eq!(sink.lock().taken.len(), usize::from(happened));
        assert_clean(&mem);
        setup.clock.advance(2 * DAY);
        service.sweep().await.unwrap();
        assert_eq!(queue_rows(&mem), 0);
    }
}

#[tokio::test]
async fn with_several_databases_the_queue_is_at_home_and_delivers_into_all() {
    let (home, shard) = (Mem::new(), Mem::new());
    let shards = [("one".to_owned(), Arc::new(shard.clone()) as Arc<dyn Store>)];
    let layout = mail_service::keys::LAYOUT;
    let store: Arc<dyn Store> =
        Arc::new(store::spread::Spread::new(Arc::new(home.clone()), shards, layout));
    let (mut setup, sink) = (setup(Sharing::Shared), Arc::new(Sink::default()));
    setup.config.shards = Some(vec![String::new(), "one".to_owned()]);
    let service = setup.open(Arc::clone(&store)).await;
    let users = ["quay", "pier", "dock", "mole"];
    for user in users {
        account_of(&service, user).await;
    }
    let to = users.map(|user| format!("{user}@mail.example"));
    let to: Vec<&str> = to.iter().map(String::as_str).chain(["b@x.example"]).collect();
    enqueue(&service, 1, envelope(&to)).await.unwrap();
    assert!(queue_rows(&home) > 0 && queue_rows(&shard) == 0);
    let claimed = service.claim_due(1, 1).await.unwrap().remove(0);
    for index in 0..4 {
        // Twice each, as after a crash between the two databases.
        for expected in [LocalDelivery::Delivered, LocalDelivery::DeliveredBefore] {
            assert_eq!(service.deliver_queued(&claimed, index).await, Ok(expected));
        }
    }
    service.give_back(&claimed).await.unwrap();
    assert_eq!(runner(&service, &sink).run_due().await.unwrap(), 1);
    for user in users {
        assert_eq!(mail_of(&service, user).await.len(), 1, "{user}");
    }
    assert_eq!(sink.taken_by("b@x.example").len(), 1);
    setup.clock.advance(8 * DAY);
    assert_eq!(service.sweep().await.unwrap().blobs, 1);
    assert_clean(&*store);
}

/// What may go wrong with a commit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    /// It does not happen, and the process dies.
    DiesBefore,
    /// It happens, and the process dies before it knows.
    DiesAfter,
    /// It does not happen, which nobody knows.
    LostBefore,
    /// It happens, which nobody knows.
    LostAfter,
    /// The store is away for a moment.
    Away,
}

/// The workload: accounts, remote servers of all kinds, and a sender who is told.
const PEOPLE: [&str; 6] = [
    "quay@mail.example",
    "b@x.example",
    "bad@x.example",
    "late@y.example",
    "pier@mail.example",
    "gone@mail.example",
];

/// Runs a workload with one fault and looks what became of every recipient that was acknowledged.
async fn survives(store: Arc<dyn Store>, messages: u64, nth: u64, trouble: Trouble) -> bool {
    let setup = setup(Sharing::Shared);
    let sink = Arc::new(Sink::default());
    sink.answer("bad@x.example", failed());
    sink.answer("late@y.example", deferred());
    let faulty = Arc::new(Faulty::new(Arc::clone(&store)));
    let service = setup.open(faulty.clone()).await;
    for user in ["quay", "pier", "dock"] {
        account_of(&service, user).await;
    }
    let faults = faulty.faults();
    let lost = StoreError::outcome_unknown("cut");
    faults.on(
        Call::Commit,
        nth,
        match trouble {
            // A dead process does nothing more: all its further commits fail.
            Trouble::DiesBefore => Fault::Fail(StoreError::Closed),
            Trouble::DiesAfter => Fault::FailAfter(StoreError::Closed),
            Trouble::LostBefore => Fault::Fail(lost),
            Trouble::LostAfter => Fault::FailAfter(lost),
            Trouble::Away => Fault::Fail(StoreError::unavailable("away")),
        },
    );
    let before = faults.count(Call::Commit);
    let has_met = || faults.count(Call::Commit) >= before + nth;
    let dies = matches!(trouble, Trouble::DiesBefore | Trouble::DiesAfter);
    let mut acked: Vec<(u64, &str)> = Vec::new();
    for number in 0..messages {
        let to = PEOPLE[usize::try_from(number).unwrap() % PEOPLE.len()];
        let other = PEOPLE[usize::try_from(number / 7).unwrap() % PEOPLE.len()];
        let to = if to == other { vec![to] } else { vec![to, other] };
        if enqueue(&service, number, envelope(&to)).await.is_ok() {
            acked.extend(to.iter().map(|to| (number, *to)));
        }
        if dies && has_met() {
            break;
        }
        // Work goes on between arrivals, one entry at a time, so that each commit can be hit.
        if number % 3 == 2 {
            work(&service, &sink, &|| dies && has_met()).await;
        }
        if dies && has_met() {
            break;
        }
    }
    let met = has_met();
    if dies && met {
        faults.always(Call::Commit, Fault::Fail(StoreError::Closed));
    }
    drop(service);
    // Another process goes on, when what the first had begun is believed to be dead.
    let service = setup.open(Arc::clone(&store)).await;
    sink.lock().answers.remove("late@y.example");
    for _ in 0..4 {
        setup.clock.advance(HOUR);
        run_and_take_over(&setup, &service, &sink).await;
    }
    assert_eq!(queue_rows(&*store) - count_never(&*store), 0, "{trouble:?} at {nth}");
    judge(&service, &sink, &acked, &format!("{trouble:?} at {nth}"), met).await;
    service.sweep().await.unwrap();
    assert_clean(&*store);
    met
}

fn count_never(store: &dyn Store) -> usize {
    let page = store::scan_page(&*store.view().unwrap(), &KeyRange::prefix(b"qe"), 10_000);
    page.unwrap().rows.iter().filter(|(_, value)| *value == [0]).count()
}

/// What the runner does, but a step at a time and no further than `has_died`.
async fn work(service: &Service, sink: &Arc<Sink>, has_died: &dyn Fn() -> bool) {
    let Ok(all) = service.claim_due(7, 100).await else { return };
    for claimed in all {
        let pending: Vec<_> = claimed.entry.in_progress().map(|(i, r)| (i, r.to.clone())).collect();
        for (index, recipient) in pending {
            if has_died() {
                return;
            }
            let attempt = attempt(service, sink, &claimed, index, &recipient).await;
            let _ = service.record_attempts(&claimed, vec![(index, attempt)]).await;
        }
        let _ = service.give_back(&claimed).await;
    }
}

async fn attempt(
    service: &Service,
    sink: &Arc<Sink>,
    claimed: &Claimed,
    index: usize,
    recipient: &Recipient,
) -> Attempt {
    if service.is_local(&recipient.address).await.unwrap() {
        return match service.deliver_queued(claimed, index).await {
            Ok(_) => Attempt::Delivered { to: Handover::Mailbox, reply: None },
            Err(DeliverError::NoSuchUser) => failed(),
            Err(_) => deferred(),
        };
    }
    let domain = recipient.address.rsplit('@').next().unwrap().to_owned();
    let recipients = vec![(index, recipient.clone())];
    let job = service.job(claimed, domain, recipients).await.unwrap();
    sink.send(&job).await.remove(0).1
}

/// Every acknowledged recipient has the mail, once, or its sender was told that he has not.
async fn judge(service: &Service, sink: &Sink, acked: &[(u64, &str)], case: &str, met: bool) {
    let mut local = BTreeMap::new();
    for user in ["quay", "pier"] {
        local.insert(format!("{user}@mail.example"), mail_of(service, user).await);
    }
    let notices = mail_of(service, "dock").await;
    let mut extra = 0;
    for (number, to) in acked {
        let text = text(*number);
        let (subject, to_line) = (format!("Subject: Tide {number}\r\n"), format!("; {to}\r\n"));
        let told = notices
            .iter()
            .filter(|notice| {
                notice.contains(&subject)
                    && notice.contains(&to_line)
                    && notice.contains("Action: failed")
            })
            .count();
        let delivered = match local.get(*to) {
            // Duplicates of local mail are never allowed.
            Some(mail) => {
                let count = mail.iter().filter(|mail| mail.ends_with(&text)).count();
                assert!(count <= 1, "{case}: {number} is {count} times at {to}");
                count
            }
            None => sink.taken_by(to).iter().filter(|taken| **taken == text).count(),
        };
        assert_eq!(delivered.min(1) + told, 1, "{case}: {number} to {to}: {delivered} {told}");
        extra += delivered.saturating_sub(1);
    }
    assert!(extra <= usize::from(met), "{case}: {extra} duplicates");
    for (to, mail) in &local {
        let acknowledged = acked.iter().filter(|(_, known)| known == to).count();
        // What was queued and not acknowledged may have been delivered: its client sends it again.
        assert!(mail.len() <= acknowledged + 1, "{case}: {to}");
    }
}

const TROUBLES: [Trouble; 5] = [
    Trouble::DiesBefore,
    Trouble::DiesAfter,
    Trouble::LostBefore,
    Trouble::LostAfter,
    Trouble::Away,
];

#[tokio::test]
async fn every_acknowledged_recipient_is_served_whatever_happens_to_any_commit() {
    let mut cases = 0;
    for trouble in TROUBLES {
        for nth in 1.. {
            if !survives(Arc::new(Mem::new()), 15, nth, trouble).await {
                assert!(nth > 60, "{trouble:?}: only {nth} commits");
                break;
            }
            cases += 1;
        }
    }
    tell_fault("queue: a commit of the outbound queue fails or is not answered", cases);
}

#[tokio::test]
async fn a_long_workload_survives_faults_at_random_commits() {
    let rounds = std::env::var("PILLARBOX_QUEUE_ROUNDS").ok();
    let rounds = rounds.map_or(10, |rounds| rounds.parse().unwrap());
    let seed = 0x51_75_65_75;
    let dice = Dice::new(seed);
    for round in 0..rounds {
        let (nth, trouble) = (1 + dice.below(1000), TROUBLES[usize::try_from(round % 5).unwrap()]);
        eprintln!("seed {seed:#x}, round {round}: {trouble:?} at {nth}");
        survives(Arc::new(Mem::new()), 200, nth, trouble).await;
    }
}

#[tokio::test]
async fn the_queue_works_on_a_disk_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Store> {
        Arc::new(Local::open(&folder.path().join("s"), Options::default()).unwrap())
    };
    let (setup, sink) = (setup(Sharing::Exclusive), Arc::new(Sink::default()));
    let service = setup.open(open()).await;
    account_of(&service, "quay").await;
    for number in 0..50 {
        let to = ["quay@mail.example", "b@x.example"];
        enqueue(&service, number, envelope(&to)).await.unwrap();
    }
    let claimed = service.claim_due(1, 10).await.unwrap();
    service.deliver_queued(&claimed[0], 0).await.unwrap();
    service.close().await.unwrap();
    drop(service);
    let store = open();
    let service = setup.open(Arc::clone(&store)).await;
    setup.clock.advance(HOUR);
    assert_eq!(run_and_take_over(&setup, &service, &sink).await, 50);
    assert_eq!(mail_of(&service, "quay").await.len(), 50);
    assert_eq!(sink.lock().taken.len(), 50);
    assert_eq!(service.sweep().await.unwrap().blobs, 50);
    assert_clean(&*store);
    for trouble in [Trouble::LostAfter, Trouble::LostBefore, Trouble::Away] {
        let folder = tempfile::tempdir().unwrap();
        let store = Local::open(&folder.path().join("s"), Options::default()).unwrap();
        survives(Arc::new(store), 12, 20, trouble).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_on_postgresql_share_the_queue_and_serve_everybody_once() {
    let cluster = Cluster::start(Durability::Fast, &[]).unwrap();
    let open = || -> Arc<dyn Store> {
        let mut settings = Settings::new(cluster.url());
        settings.connections_max = 8;
        Arc::new(Postgres::open(settings).unwrap())
    };
    let (setup, sink) = (setup(Sharing::Shared), Arc::new(Sink::default()));
    let nodes = [setup.open(open()).await, setup.open(open()).await, setup.open(open()).await];
    account_of(&nodes[0], "quay").await;
    account_of(&nodes[0], "dock").await;
    sink.answer("bad@x.example", failed());
    for number in 0..60 {
        let to = ["quay@mail.example", "b@x.example", "bad@x.example"];
        let node = &nodes[usize::try_from(number).unwrap() % 3];
        enqueue(node, number, envelope(&to)).await.unwrap();
    }
    let working = nodes.each_ref().map(|node| {
        let runner = runner(node, &sink);
        tokio::spawn(async move { runner.run_due().await.unwrap() })
    });
    let mut worked = 0;
    for node in working {
        worked += node.await.unwrap();
    }
    // Each mail, and a notice about each.
    assert_eq!(worked, 120);
    assert_eq!(sink.taken_by("b@x.example").len(), 60);
    assert_eq!(mail_of(&nodes[1], "quay").await.len(), 60);
    assert_eq!(mail_of(&nodes[2], "dock").await.len(), 60);
    let store = open();
    assert_eq!(queue_rows(&*store), 0);
    for (round, trouble) in TROUBLES.into_iter().enumerate() {
        cluster.run_sql(&format!("CREATE DATABASE queue{round}")).unwrap();
        let url = cluster.url().replace("/postgres", &format!("/queue{round}"));
        let mut settings = Settings::new(url);
        settings.connections_max = 8;
        let store = Arc::new(Postgres::open(settings).unwrap());
        survives(store, 12, 25, trouble).await;
    }
}

#[tokio::test]
async fn a_runner_wakes_for_new_mail_and_stops_when_told() {
    let (setup, store, sink) = (setup(Sharing::Exclusive), Mem::new(), Arc::new(Sink::default()));
    let service = setup.open(Arc::new(store.clone())).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(runner(&service, &sink).run(async { drop(stopped.await) }));
    for number in 0..5 {
        enqueue(&service, number, envelope(&["b@x.example"])).await.unwrap();
        while sink.lock().taken.len() <= usize::try_from(number).unwrap() {
            tokio::task::yield_now().await;
        }
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(queue_rows(&store), 0);
}

/// A transport with two other ends: `x.example` has the whole message and may answer when the other
/// one, which has not, is given up.
#[derive(Default)]
struct Slow {
    is_mute: bool,
    begun: [tokio::sync::Notify; 2],
    given_up: tokio::sync::Notify,
}

impl Transport for Slow {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        struct Tells<'a>(&'a Slow);
        impl Drop for Tells<'_> {
            fn drop(&mut self) {
                self.0.given_up.notify_one();
            }
        }
        Box::pin(async move {
            if job.domain != "x.example" {
                let _tells = Tells(self);
                self.begun[1].notify_one();
                return std::future::pending().await;
            }
            assert!(job.leave.take().await);
            self.begun[0].notify_one();
            self.given_up.notified().await;
            if self.is_mute {
                std::future::pending().await
            }
            vec![(0, Attempt::Delivered { to: Handover::Relay, reply: None })]
        })
    }
}

/// Stops a runner in the middle of two attempts; what became of them.
async fn stop_in_the_middle(slow: Slow, patience: Duration) -> [&'static str; 2] {
    let (setup, store) = (setup(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    let to = envelope(&["b@x.example", "c@y.example"]);
    let id = enqueue(&service, 1, to).await.unwrap()[0];
    let slow = Arc::new(slow);
    let settings = RunnerSettings { grace: Duration::ZERO, patience, ..RunnerSettings::default() };
    let runner = QueueRunner::new(service.clone(), slow.clone(), settings).unwrap();
    let begun = async {
        slow.begun[0].notified().await;
        slow.begun[1].notified().await;
    };
    runner.run(begun).await;
    assert_clean(&store);
    let entry = service.show_queued(id).await.unwrap();
    assert_eq!((entry.claim, entry.recipients[1].attempts), (None, 0));
    [0, 1].map(|index| entry.recipients[index].progress.word())
}

#[tokio::test]
async fn a_runner_that_stops_waits_for_a_server_that_has_the_message_and_for_no_other() {
    let became = stop_in_the_middle(Slow::default(), Duration::from_secs(3600)).await;
    assert_eq!(became, ["delivered", "waiting"]);
}

#[tokio::test]
async fn a_runner_that_stops_waits_for_nobody_for_ever() {
    let mute = Slow { is_mute: true, ..Slow::default() };
    assert_eq!(stop_in_the_middle(mute, Duration::ZERO).await, ["waiting", "waiting"]);
}

/// A transport whose attempts ask for their leave as soon as one of them was dropped, and say that
/// they failed if they do not get it.
struct Refused {
    begun: Semaphore,
    is_one_dropped: AtomicBool,
}

impl Transport for Refused {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        struct Tells<'a>(&'a Refused);
        impl Drop for Tells<'_> {
            fn drop(&mut self) {
                self.0.is_one_dropped.store(true, Ordering::SeqCst);
            }
        }
        Box::pin(async move {
            let _tells = Tells(self);
            self.begun.add_permits(1);
            // All of them are woken when they are given up.
            std::future::poll_fn(|_| match self.is_one_dropped.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            assert!(!job.leave.take().await);
            job.recipients.iter().map(|(index, _)| (*index, deferred())).collect()
        })
    }
}

#[tokio::test]
async fn an_attempt_that_ends_because_the_server_stops_is_none() {
    let (setup, store) = (setup(Sharing::Exclusive), Mem::new());
    let service = setup.open(Arc::new(store.clone())).await;
    // Whether one is dropped or ends first is by chance, for each of them.
    let to: Vec<String> = (0..30).map(|number| format!("b@x{number}.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let ids = enqueue(&service, 1, envelope(&to)).await.unwrap();
    let transport =
        Arc::new(Refused { begun: Semaphore::new(0), is_one_dropped: AtomicBool::new(false) });
    let settings = RunnerSettings { grace: Duration::ZERO, ..RunnerSettings::default() };
    let runner = QueueRunner::new(service.clone(), transport.clone(), settings).unwrap();
    runner.run(async { drop(transport.begun.acquire_many(30).await.unwrap()) }).await;
    assert_clean(&store);
    for id in ids {
        let entry = service.show_queued(id).await.unwrap();
        assert_eq!(entry.claim, None);
        for recipient in &entry.recipients {
            assert_eq!((recipient.progress.word(), recipient.attempts), ("waiting", 0));
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_was_at_goes_on_when_the_only_one_starts_again() {
    for (sharing, goes_on) in [(Sharing::Exclusive, true), (Sharing::Shared, false)] {
        let (setup, store, sink) = (setup(sharing), Mem::new(), Arc::new(Sink::default()));
        let service = setup.open(Arc::new(store.clone())).await;
        enqueue(&service, 1, envelope(&["b@x.example"])).await.unwrap();
        // Claimed by one that never says anything again.
        assert_eq!(service.claim_due(7, 10).await.unwrap().len(), 1);
        let again = setup.open(Arc::new(store.clone())).await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(runner(&again, &sink).run(async { drop(stopped.await) }));
        // Another one, so that it is known when the runner has looked at all that is due.
        enqueue(&again, 2, envelope(&["c@x.example"])).await.unwrap();
        while sink.taken_by("c@x.example").is_empty()
            || (goes_on && sink.taken_by("b@x.example").is_empty())
        {
            tokio::task::yield_now().await;
        }
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(sink.taken_by("b@x.example").len(), usize::from(goes_on));
        assert_eq!(queue_rows(&store) == 0, goes_on);
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_while_it_comes() {
    let (mut setup, store) = (setup(Sharing::Exclusive), Mem::new());
    setup.config.message_bytes_max = 1000;
    let service = setup.open(Arc::new(store.clone())).await;
    let mut staging = service.stage_outgoing();
    staging.push(&[b'x'; 1000]).await.unwrap();
    let error = Err(ServiceError::MessageTooLarge { bytes_max: 1000 });
    assert_eq!(staging.push(b"x").await, error);
    assert_eq!(staging.push(b"").await, error);
}

#[tokio::test]
async fn only_its_sender_takes_mail_back_and_only_before_it_has_left() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup(Sharing::Exclusive).open(Arc::clone(&store)).await;
    let (dock, quay) = (account_of(&service, "dock").await, account_of(&service, "quay").await);
    let later = Envelope { hold_until: Some(START + DAY), ..envelope(&["a@x.example"]) };
    let held = enqueue(&service, 1, later).await.unwrap()[0];
    let gone = Err(QueueError::NoSuchEntry);
    assert_eq!(service.cancel_queued(quay.id(), held).await, gone);
    service.cancel_queued(dock.id(), held).await.unwrap();
    assert_eq!(service.cancel_queued(dock.id(), held).await, gone);
    // One that is being sent, and then has been sent to somebody.
    let sent = enqueue(&service, 2, envelope(&["a@x.example", "b@y.example"])).await.unwrap()[0];
    let claimed = service.claim_due(1, 9).await.unwrap().remove(0);
    let refused = |refusal| Err(QueueError::Refused(refusal));
    assert_eq!(service.cancel_queued(dock.id(), sent).await, refused(mail_queue::Refusal::Claimed));
    let delivered = Attempt::Delivered { to: Handover::Relay, reply: None };
    let results = vec![(0, delivered), (1, deferred())];
    service.record_attempts(&claimed, results).await.unwrap();
    assert_eq!(service.cancel_queued(dock.id(), sent).await, refused(mail_queue::Refusal::HasLeft));
    assert_eq!(service.cancel_queued(quay.id(), sent).await, gone);
    // One that nobody has taken yet, and one of a stranger.
    let waits = enqueue(&service, 3, envelope(&["c@z.example"])).await.unwrap()[0];
    let claimed = service.claim_due(1, 9).await.unwrap().remove(0);
    service.record_attempts(&claimed, vec![(0, deferred())]).await.unwrap();
    service.cancel_queued(dock.id(), waits).await.unwrap();
    let mut strange = envelope(&["c@z.example"]);
    strange.terms.origin = Origin::Stranger;
    let strange = enqueue(&service, 4, strange).await.unwrap()[0];
    assert_eq!(service.cancel_queued(dock.id(), strange).await, gone);
    assert_eq!(service.list_queue(None).await.unwrap().len(), 2);
    assert_clean(&*store);
}
