//! Stories of messages: what became of each is known for a while, and costs its way nothing.

use std::pin::Pin;
use std::sync::Arc;

use mail_service::queue::{
    Attempt, Envelope, Handover, Job, Origin, Outcomes, QueueId, QueueRunner, Recipient, Reply,
    RunnerSettings, Terms, Transport,
};
use mail_service::story::{Arrival, Event, Line, Order, Subject, What};
use mail_service::{Service, Sharing};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{KeyRange, Store, StoreError};

use crate::common::{START, Setup, account_of, assert_clean};

const DAY: i64 = 86_400;

/// Takes mail for everybody but `nobody`.
struct Elsewhere;

impl Transport for Elsewhere {
    fn send<'a>(&'a self, job: &'a Job) -> Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>> {
        let said = |text: &str| Reply {
            status: [5, 1, 1],
            smtp: Some(text.to_owned()),
            remote: Some("mx.x.example".to_owned()),
            text: text.to_owned(),
        };
        let answer = |to: &Recipient| match to.address.starts_with("nobody") {
            true => Attempt::Failed(said("550 5.1.1 \x1b[31mno such user")),
            false => {
                let reply = Some(said("250 2.0.0 taken"));
                Attempt::Delivered { to: Handover::Relay, reply }
            }
        };
        let outcomes = job.recipients.iter().map(|(index, to)| (*index, answer(to))).collect();
        Box::pin(std::future::ready(outcomes))
    }
}

fn setup(sharing: Sharing) -> Setup {
    let mut setup = Setup::new(sharing);
    setup.config.queue.hostname = "mail.example".to_owned();
    setup.config.story_days = 14;
    setup
}

fn arrival(message_id: &str, to: &[&str]) -> Arrival {
    Arrival {
        message_id: Some(Line::new(message_id)),
        protocol: Line::new("ESMTPSA"),
        recipients: to.iter().map(|to| Line::new(to)).collect(),
        ..Arrival::default()
    }
}

/// Hands a message in as a shell does.
async fn submit(service: &Service, message_id: &str, to: &[&str]) -> Vec<QueueId> {
    let mut story = service.begin_story(arrival("", to));
    let text = format!("Subject: Secret\r\nMessage-ID:\r\n <{message_id}>\r\n\r\nHigh water.\r\n");
    story.header(text.as_bytes());
    story.check("spf", "pass");
    let mut staging = service.stage_outgoing();
    staging.push(text.as_bytes()).await.unwrap();
    let staged = staging.finish().await.unwrap();
    let terms =
        Terms::new(Some("dock@mail.example".to_owned()), Origin::Account("dock".to_owned()));
    let recipients = to.iter().map(|address| Recipient::new(*address)).collect();
    let envelope = Envelope { terms, recipients, hold_until: None };
    let ids = service.enqueue(&staged, envelope).await.unwrap();
    story.queued(&ids);
    story.answered("250 2.0.0 Accepted");
    ids
}

async fn run_queue(service: &Service) {
    let settings = RunnerSettings::default();
    let runner = QueueRunner::new(service.clone(), Arc::new(Elsewhere), settings).unwrap();
    runner.run_due().await.unwrap();
}

async fn story(service: &Service, subject: Subject) -> Vec<Event> {
    let found = service.story_of(&subject).await.unwrap();
    assert!(!found.is_cut);
    found.events
}

fn message(id: &str) -> Subject {
    Subject::Message(id.to_owned())
}

fn story_rows(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    store::scan_page(&*store.view().unwrap(), &KeyRange::prefix(b"h"), 100_000).unwrap().rows
}

#[tokio::test]
async fn a_story_goes_from_the_arrival_to_the_mailbox_the_remote_and_the_notice() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup(Sharing::Exclusive).open(Arc::clone(&store)).await;
    let dock = account_of(&service, "dock").await.id();
    account_of(&service, "quay").await;
    let to = ["quay@mail.example", "a@x.example", "nobody@x.example"];
    let ids = submit(&service, "Tide.1@mail.example", &to).await;
    submit(&service, "other@mail.example", &["b@x.example"]).await;
    run_queue(&service).await;
    let events = story(&service, message(" <tide.1@MAIL.example> ")).await;
    let What::Arrived(arrived) = &events[0].what else { panic!("{events:#?}") };
    assert_eq!(arrived.message_id, Some(Line::new("Tide.1@mail.example")));
    assert_eq!((&arrived.queued, arrived.replies.len()), (&ids, 1));
    assert_eq!(arrived.checks, [(Line::new("spf"), Line::new("pass"))]);
    let tried: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Attempted { id, tried } => Some(tried.iter().map(|it| (*id, it.clone()))),
            _ => None,
        })
        .flatten()
        .collect();
    let replies: Vec<_> =
        tried.iter().map(|(_, it)| it.reply.as_ref().unwrap().to_string()).collect();
    // What a stranger wrote cannot do anything to a terminal.
    assert_eq!(replies, ["250 2.0.0 taken", "550 5.1.1 [31mno such user"], "{events:#?}");
    assert!(tried.iter().all(|(id, it)| *id == ids[0] && it.remote.is_some()));
    let places: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Placed { recipient, place, .. } => Some((recipient.clone(), place.clone()?)),
            _ => None,
        })
        .collect();
    assert_eq!(places[0].0, Line::new(to[0]), "{events:#?}");
    // The notice was delivered too, and belongs to the story.
    let notices = places.iter().filter(|(_, place)| place.account == dock).count();
    assert_eq!((places.len(), notices), (2, 1), "{events:#?}");
    assert!(events.iter().any(|event| matches!(&event.what, What::Told { told, .. }
        if told[..] == [(Line::new(to[2]), Line::new("failed"))])));
    assert_eq!(story(&service, Subject::Entry(ids[0])).await, events);
    assert_eq!(story(&service, message("tide.2@mail.example")).await, []);
    // Neither subject nor text is anybody's business.
    for (_, value) in story_rows(&*store) {
        assert!(!value.windows(6).any(|part| part == b"Secret"));
    }
    assert_clean(&*store);
}

#[tokio::test]
async fn what_an_address_was_sent_is_found_by_time() {
    let setup = setup(Sharing::Exclusive);
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup.open(store).await;
    account_of(&service, "dock").await;
    for number in 0..3 {
        submit(&service, &format!("{number}@mail.example"), &["a@x.example"]).await;
        run_queue(&service).await;
        setup.clock.advance(3600);
    }
    let count = async |address: &str, since: i64| {
        let found = service.stories_to(address, since, None).await.unwrap();
        assert_eq!(found.rest, None);
        found.events.len()
    };
    assert_eq!(count("A@X.example", START).await, 6);
    assert_eq!(count("a@x.example", START + 3600).await, 4);
    assert_eq!(count("b@x.example", START).await, 0);
}

#[tokio::test]
async fn what_the_operator_and_the_sender_did_to_a_message_is_part_of_its_story() {
    let service = setup(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let ids = submit(&service, "1@mail.example", &["a@x.example"]).await;
    service.hold_queued(ids[0]).await.unwrap();
    service.drop_queued(ids[0]).await.unwrap();
    let orders: Vec<Order> = story(&service, message("1@mail.example"))
        .await
        .iter()
        .filter_map(|event| match event.what {
            What::Ordered { order, .. } => Some(order),
            _ => None,
        })
        .collect();
    assert_eq!(orders, [Order::Hold, Order::Drop]);
    let dock = account_of(&service, "dock").await;
    let ids = submit(&service, "2@mail.example", &["a@x.example"]).await;
    service.cancel_queued(dock.id(), ids[0]).await.unwrap();
    let told = story(&service, message("2@mail.example")).await;
    let is_cancel = |what: &What| matches!(what, What::Ordered { order: Order::Cancel, .. });
    assert_eq!(told.iter().filter(|event| is_cancel(&event.what)).count(), 1);
}

#[tokio::test]
async fn every_node_tells_what_happened_on_any() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let setup = setup(Sharing::Shared);
    let (one, other) = (setup.open(Arc::clone(&store)).await, setup.open(store).await);
    account_of(&one, "quay").await;
    submit(&one, "1@mail.example", &["quay@mail.example"]).await;
    // Each asks, so each has written what it knows.
    assert_eq!(story(&one, message("1@mail.example")).await.len(), 1);
    run_queue(&other).await;
    let told = story(&other, message("1@mail.example")).await;
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(story(&one, message("1@mail.example")).await, told);
}

#[tokio::test]
async fn stories_are_forgotten_after_their_days_and_others_are_not() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let setup = setup(Sharing::Exclusive);
    let service = setup.open(Arc::clone(&store)).await;
    submit(&service, "old@mail.example", &["a@x.example"]).await;
    run_queue(&service).await;
    setup.clock.advance(14 * DAY);
    submit(&service, "new@mail.example", &["a@x.example"]).await;
    service.sweep().await.unwrap();
    assert_eq!(story(&service, message("old@mail.example")).await.len(), 2);
    setup.clock.advance(DAY);
    service.sweep().await.unwrap();
    assert_eq!(story(&service, message("old@mail.example")).await, []);
    assert_eq!(story(&service, message("new@mail.example")).await.len(), 1);
    assert_clean(&*store);
}

#[tokio::test]
async fn whoever_switches_stories_off_has_none_left() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let mut setup = setup(Sharing::Exclusive);
    let service = setup.open(Arc::clone(&store)).await;
    submit(&service, "1@mail.example", &["a@x.example"]).await;
    assert_eq!(story(&service, message("1@mail.example")).await.len(), 1);
    setup.config.story_days = 0;
    let service = setup.open(Arc::clone(&store)).await;
    submit(&service, "2@mail.example", &["a@x.example"]).await;
    assert_eq!(story(&service, message("2@mail.example")).await, []);
    service.sweep().await.unwrap();
    assert_eq!(story_rows(&*store), []);
}

#[tokio::test]
async fn a_store_that_takes_no_stories_takes_mail_and_tells_them_later() {
    let faulty = Faulty::new(Arc::new(Mem::new()));
    let faults = faulty.faults();
    let service = setup(Sharing::Exclusive).open(Arc::new(faulty)).await;
    let ids = submit(&service, "1@mail.example", &["a@x.example"]).await;
    let asked = Subject::Entry(ids[0]);
    faults.on(Call::Commit, 1, Fault::Fail(StoreError::Busy));
    assert_eq!(story(&service, asked.clone()).await, []);
    // What a full disk has in reserve is not for stories.
    let commits = faults.count(Call::Commit);
    faults.on(Call::StartBlob, 1, Fault::Fail(StoreError::StorageFull));
    assert_eq!(story(&service, asked.clone()).await, []);
    assert_eq!(faults.count(Call::Commit), commits);
    assert_eq!(story(&service, asked).await.len(), 1);
}

#[tokio::test]
async fn of_what_happened_too_often_to_be_told_at_once_that_is_told() {
    let service = setup(Sharing::Exclusive).open(Arc::new(Mem::new())).await;
    let tell = |count: usize| {
        for _ in 0..count {
            let mut story = service.begin_story(arrival("1@x.example", &[]));
            story.queued(&[QueueId::new(START, [1; 7])]);
        }
    };
    tell(1000);
    let found = service.story_of(&message("1@x.example")).await.unwrap();
    assert_eq!((found.events.len(), found.is_cut), (1000, false));
    tell(1);
    let found = service.story_of(&message("1@x.example")).await.unwrap();
    assert!(found.is_cut);
}

#[tokio::test]
async fn what_was_refused_before_it_had_a_name_is_not_told() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = setup(Sharing::Exclusive).open(Arc::clone(&store)).await;
    let nameless = Arrival { message_id: None, ..arrival("", &["quay@mail.example"]) };
    drop(service.begin_story(nameless.clone()));
    let mut refused = service.begin_story(nameless);
    refused.header(b"Message-ID: <1@x.example>\r\n\r\n");
    refused.answered("550 5.7.26 No");
    drop(refused);
    let events = story(&service, message("1@x.example")).await;
    let [Event { what: What::Arrived(arrived), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(arrived.replies, [Line::new("550 5.7.26 No")]);
    assert_eq!(story_rows(&*store).len(), 2);
}

#[tokio::test]
async fn damage_to_a_story_is_a_finding_and_stops_no_sweep() {
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let setup = setup(Sharing::Exclusive);
    let service = setup.open(Arc::clone(&store)).await;
    submit(&service, "1@mail.example", &["a@x.example"]).await;
    story(&service, message("1@mail.example")).await;
    let event = story_rows(&*store).into_iter().find(|(key, _)| key.starts_with(b"he")).unwrap();
    let damaged = store::Commit::new().write(store::Write::put(event.0.clone(), b"?"));
    store.commit_wait(damaged).unwrap();
    assert_eq!(mail_service::check(&*store).unwrap().findings.len(), 1);
    let gone = store::Commit::new().write(store::Write::delete(event.0));
    store.commit_wait(gone).unwrap();
    // One for the Message-ID, one for the entry.
    assert_eq!(mail_service::check(&*store).unwrap().findings.len(), 2);
    setup.clock.advance(30 * DAY);
    service.sweep().await.unwrap();
    assert_clean(&*store);
}
