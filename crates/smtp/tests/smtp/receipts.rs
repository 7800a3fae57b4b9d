//! Who is told of success by a server for mail from anywhere, of what, and how often. RFC 3461

use std::sync::Arc;
use std::time::Duration;

use mail_service::queue::{Notify, Origin, QueueRunner, RunnerSettings};
use mail_service::story::{Arrival, Subject, What};
use mail_service::{QueueConfig, ServiceConfig};
use net::{LoginThrottle, Peer};
use smtp::{
    Inbound, OutboundTransport, QueueOutbound, Relay, RelayTls, Relays, Role, Routes, SmtpServer,
    SmtpSettings,
};
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;
use store::{Store, StoreError};
use testkit::dns::Zone;

use crate::common::{Client, Harness};
use crate::senders::{Names, domain};
use crate::sink::{Manners, Sink, Taken};
use crate::site::{HOSTNAME, Site};

const HOME: &str = "home@pillarbox.example";
const WORK: &str = "work@pillarbox.example";

/// A server for mail from anywhere that checks senders, and another one to which all mail leaves.
struct Place {
    harness: Harness,
    runner: QueueRunner,
    sink: Sink,
    _names: Names,
}

impl Place {
    async fn new() -> Self {
        Self::with("*", |_| {}).await
    }

    async fn with(carried: &str, change: impl FnOnce(&mut Inbound)) -> Self {
        Self::on(Arc::new(Mem::new()), carried, change).await
    }

    async fn on(store: Arc<dyn Store>, carried: &str, change: impl FnOnce(&mut Inbound)) -> Self {
        let spf = |name: &str, record: &str| {
            Zone::parse(name, &format!("@ IN TXT \"v=spf1 {record}\"\n"))
        };
        let names = Names::new(&[
            domain("pass.example", "none"),
            domain("quarantine.example", "quarantine"),
            spf("hello.example", "ip4:192.0.2.7 -all"),
            spf("pillarbox.example", "ip4:192.0.2.7 -all"),
            spf("softfail.example", "~all"),
            spf("neutral.example", "?all"),
            spf("fail.example", "-all"),
            spf("broken.example", "include:"),
            Zone::parse("none.example", "@ IN A 192.0.2.9\n"),
        ]);
        let sink = Sink::new(Manners::default()).await;
        let relay = Relay {
            domains: vec![carried.to_owned()],
            host: "localhost".to_owned(),
            port: sink.port,
            tls: RelayTls::None,
            login: None,
            authorities: None,
        };
        let routes = Routes::from(Relays::new(vec![relay]).unwrap());
        let queue = QueueConfig { hostname: HOSTNAME.to_owned(), ..QueueConfig::default() };
        let config = ServiceConfig { story_days: 1, queue, ..ServiceConfig::default() };
        let mut harness = Harness::with_config(store, config, Role::Mx, |_| {}).await;
        let service = harness.service.clone();
        let senders = Some(Arc::new(names.verifier()) as _);
        let mut inbound = Inbound { senders, ..Inbound::default() };
        change(&mut inbound);
        let settings = SmtpSettings {
            inbound: Some(Arc::new(inbound)),
            outbound: Some(Arc::new(QueueOutbound::new(service.clone(), routes.clone()))),
            ..SmtpSettings::new(Role::Mx, HOSTNAME.to_owned(), None)
        };
        let throttle = Arc::new(LoginThrottle::default());
        harness.server = Arc::new(SmtpServer::new(service.clone(), throttle, settings));
        harness.peer = Peer::Ip([192, 0, 2, 7].into());
        let transport = OutboundTransport::new(service.clone(), routes, HOSTNAME.to_owned());
        let transport = Arc::new(transport);
        let runner = QueueRunner::new(service, transport, RunnerSettings::default()).unwrap();
        Self { harness, runner, sink, _names: names }
    }

    /// What left, after everything was tried that is due.
    async fn left(&self) -> Vec<Taken> {
        self.runner.run_due().await.unwrap();
        self.sink.taken()
    }

    async fn queued(&self) -> usize {
        self.harness.service.list_queue(None).await.unwrap().len()
    }

    async fn arrival(&self, message_id: &str) -> Arrival {
        let subject = Subject::Message(message_id.to_owned());
        let told = async {
            loop {
                let found = self.harness.service.story_of(&subject).await.unwrap();
                let arrival = found.events.into_iter().find_map(|event| match event.what {
                    What::Arrived(arrival) => Some(*arrival),
                    _ => None,
                });
                if let Some(arrival) = arrival {
                    return arrival;
                }
                // A story is written behind the reply.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), told).await.expect("a story")
    }
}

/// Brings a message with these arguments of MAIL and RCPT.
async fn bring(client: &mut Client, from: &str, to: &[&str], text: &str) -> String {
    let told = client.say(&format!("MAIL FROM:{from}")).await;
    assert!(told.starts_with("250"), "{from}: {told}");
    for to in to {
        let told = client.say(&format!("RCPT TO:{to}")).await;
        assert!(told.starts_with("250"), "{to}: {told}");
    }
    assert!(client.say("DATA").await.starts_with("354"));
    client.send(&format!("{text}.\r\n")).await;
    client.reply().await
}

const TEXT: &str =
    "From: a@none.example\r\nMessage-ID: <tide@none.example>\r\nSubject: tide\r\n\r\nbody\r\n";

#[tokio::test]
async fn a_proved_sender_is_told_once_of_each_recipient_for_whom_he_asked() {
    let place = Place::new().await;
    let mut client = place.harness.connect().await;
    assert!(client.ask("EHLO mx.pass.example").await.contains("DSN\r\n"));
    let to = [
        &format!("<{HOME}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Home+2Btag@other.example"),
        "<work+lists@pillarbox.example> NOTIFY=NEVER",
    ];
    let told = bring(&mut client, "<a@pass.example> RET=FULL ENVID=QQ+2B1", &to, TEXT).await;
    assert_eq!(told, "250 2.0.0 Accepted");
    // It is in the queue by then.
    let listed = place.harness.service.list_queue(None).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].entry.terms.origin, Origin::Server);
    assert_eq!(listed[0].entry.recipients[0].to.notify, Notify::Never);
    let left = place.left().await;
    let [Taken { mail, to, text, .. }] = &left[..] else { panic!("{left:?}") };
    assert_eq!(
        (mail.as_str(), &to[..]),
        ("MAIL FROM:<>", &["RCPT TO:<a@pass.example>".into()][..])
    );
    let kept = place.harness.messages("home", "INBOX").await.pop().unwrap();
    let id = kept.split(" id ").nth(1).unwrap().split(';').next().unwrap();
    for part in [
        "Subject: Mail delivered\r\n",
        "Original-Envelope-Id: QQ+1\r\n",
        "Reporting-MTA: dns; mail.pillarbox.example\r\n",
        "Original-Recipient: rfc822; Home+tag@other.example\r\n\
         Final-Recipient: rfc822; home@pillarbox.example\r\n\
         Action: delivered\r\nStatus: 2.0.0\r\n",
        &format!("Final-Log-ID: {id}\r\n"),
        "Content-Type: text/rfc822-headers\r\n",
        "\r\nSubject: tide\r\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("work") && !text.contains("body"), "{text}");
    assert_eq!(place.left().await.len(), 1);
    assert_eq!(place.queued().await, 0);
    let arrival = place.arrival("tide@none.example").await;
    assert_eq!(arrival.notice, Some(listed[0].id));
    assert!(arrival.queued.is_empty());
}

#[tokio::test]
async fn nobody_else_is_told_and_it_is_said_why() {
    let place = Place::new().await;
    let asks = format!("<{HOME}> NOTIFY=SUCCESS");
    let unproved = Some("none, SPF does not prove the sender");
    let plain = [
        format!("<{HOME}>"),
        format!("<{HOME}> NOTIFY=NEVER"),
        format!("<{HOME}> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y.example"),
    ];
    let mut cases: Vec<(&str, &str, &str, Option<&str>)> =
        plain.iter().map(|to| ("mx.example.net", "<a@pass.example>", to.as_str(), None)).collect();
    // A notice is never told of, not even if its EHLO passes.
    cases.push(("hello.example", "<>", &asks, None));
    // What passes for EHLO says nothing of MAIL FROM.
    cases.push(("hello.example", "<a@none.example>", &asks, unproved));
    for sender in [
        "<a@softfail.example>",
        "<a@neutral.example>",
        "<a@fail.example>",
        "<a@broken.example>",
        "<a@[192.0.2.7]>",
    ] {
        cases.push(("mx.example.net", sender, &asks, unproved));
    }
    for (number, (hello, from, to, why)) in cases.into_iter().enumerate() {
        let mut client = place.harness.connect().await;
        client.say(&format!("EHLO {hello}")).await;
        let text = format!("From: a@none.example\r\nMessage-ID: <{number}@x>\r\n\r\nx\r\n");
        let told = bring(&mut client, from, &[to], &text).await;
        assert_eq!(told, "250 2.0.0 Accepted", "{from} {to}");
        assert_eq!(place.queued().await, 0, "{from} {to}");
        let arrival = place.arrival(&format!("{number}@x")).await;
        let said = arrival.checks.iter().find(|(name, _)| name.as_str() == "notice");
        assert_eq!(said.map(|(_, value)| value.as_str()), why, "{from} {to}");
        assert_eq!(arrival.notice, None);
    }
    assert!(place.left().await.is_empty());
}

/// Else notices would teach senders of junk what passes.
#[tokio::test]
async fn what_is_told_does_not_depend_on_whether_it_was_taken_for_junk() {
    let place = Place::new().await;
    let mut client = place.harness.connect().await;
    let text = "From: a@quarantine.example\r\nSubject: x\r\n\r\nx\r\n";
    let asks = format!("<{HOME}> NOTIFY=SUCCESS");
    let told = bring(&mut client, "<a@pass.example>", &[&asks], text).await;
    assert_eq!(told, "250 2.0.0 Accepted");
    assert_eq!(place.harness.messages("home", "Junk").await.len(), 1);
    let left = place.left().await;
    assert!(left[0].text.contains("Action: delivered\r\n"), "{left:?}");
    assert!(!left[0].text.to_ascii_lowercase().contains("junk"), "{left:?}");
}

#[tokio::test]
async fn who_stands_for_several_is_told_of_by_the_name_that_the_sender_knows() {
    let place = Place::new().await;
    let service = &place.harness.service;
    for (alias, targets) in [("desk", &[HOME][..]), ("team", &[HOME, WORK][..])] {
        let targets: Vec<String> = targets.iter().map(|it| (*it).to_owned()).collect();
        service.set_alias(&format!("{alias}@pillarbox.example"), &targets).await.unwrap();
    }
    let mut client = place.harness.connect().await;
    let to = ["desk", "team"].map(|it| format!("<{it}@pillarbox.example> NOTIFY=SUCCESS"));
    let to = [to[0].as_str(), to[1].as_str()];
    bring(&mut client, "<a@pass.example>", &to, TEXT).await;
    let left = place.left().await;
    assert_eq!(left.len(), 1, "{left:?}");
    for part in [
        "Final-Recipient: rfc822; desk@pillarbox.example\r\nAction: delivered\r\n",
        "Final-Recipient: rfc822; team@pillarbox.example\r\nAction: expanded\r\n",
    ] {
        assert!(left[0].text.contains(part), "{}", left[0].text);
    }
    assert!(!left[0].text.contains(HOME) && !left[0].text.contains(WORK), "{}", left[0].text);
}

/// RFC 3461 §5.2.2: who is not offered it tells of his relaying himself.
#[tokio::test]
async fn notices_are_offered_only_where_senders_are_checked() {
    let own = |inbound: &mut Inbound| inbound.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    let unchecked = |inbound: &mut Inbound| inbound.senders = None;
    let changes: [&dyn Fn(&mut Inbound); 2] = [&own, &unchecked];
    for change in changes {
        let place = Place::with("*", |inbound| change(inbound)).await;
        let mut client = place.harness.connect().await;
        assert!(!client.ask("EHLO mx.example.net").await.contains("DSN"));
        client.say("MAIL FROM:<a@pass.example>").await;
        let told = client.say(&format!("RCPT TO:<{HOME}> NOTIFY=SUCCESS")).await;
        assert!(told.starts_with("555"), "{told}");
    }
    // Without a queue nothing could be told.
    let names = Names::new(&[domain("pass.example", "none")]);
    let harness = names.inbound().await;
    let mut client = harness.connect().await;
    assert!(!client.ask("EHLO mx.example.net").await.contains("DSN"));
}

#[tokio::test]
async fn a_sender_to_whom_nothing_carries_is_not_told_and_one_who_lives_here_is() {
    let place = Place::with("other.example", |_| {}).await;
    let mut client = place.harness.connect().await;
    let asks = format!("<{HOME}> NOTIFY=SUCCESS");
    bring(&mut client, "<a@pass.example>", &[&asks], TEXT).await;
    assert_eq!(place.queued().await, 0);
    let arrival = place.arrival("tide@none.example").await;
    let why = arrival.checks.iter().find(|(name, _)| name.as_str() == "notice").unwrap();
    assert_eq!(why.1.as_str(), "none, nothing carries mail to the sender");
    bring(&mut client, &format!("<{WORK}>"), &[&asks], TEXT).await;
    assert!(place.left().await.is_empty());
    let notices = place.harness.messages("work", "INBOX").await;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("Action: delivered\r\n"), "{notices:?}");
}

#[tokio::test]
async fn a_delivery_stands_also_if_the_queue_takes_no_notice_of_it() {
    let store = Arc::new(Faulty::new(Arc::new(Mem::new())));
    let faults = store.faults();
    let place = Place::on(store, "*", |_| {}).await;
    let mut client = place.harness.connect().await;
    // The first one delivers.
    faults.on(Call::Commit, 2, Fault::Fail(StoreError::StorageFull));
    let asks = format!("<{HOME}> NOTIFY=SUCCESS");
    let told = bring(&mut client, "<a@pass.example>", &[&asks], TEXT).await;
    faults.heal();
    assert_eq!(told, "250 2.0.0 Accepted");
    assert_eq!(place.harness.messages("home", "INBOX").await.len(), 1);
    assert_eq!(place.queued().await, 0);
    let arrival = place.arrival("tide@none.example").await;
    let why = arrival.checks.iter().find(|(name, _)| name.as_str() == "notice").unwrap();
    assert_eq!(why.1.as_str(), "none, the queue did not take it");
}

/// RFC 3461 §5.2.7.3
#[tokio::test]
async fn who_hands_in_for_one_who_stands_for_several_is_told_once_and_not_by_each() {
    let site = Site::new(Routes::from(Relays::new(Vec::new()).unwrap())).await;
    let team = [HOME.to_owned(), WORK.to_owned()];
    site.harness.service.set_alias("team@pillarbox.example", &team).await.unwrap();
    site.hand_in(&["<team@pillarbox.example> NOTIFY=SUCCESS,FAILURE"], "body\r\n").await;
    site.runner.run_due().await.unwrap();
    site.runner.run_due().await.unwrap();
    assert_eq!(site.harness.messages("work", "INBOX").await.len(), 1);
    let messages = site.notices().await;
    let notices: Vec<_> = messages.iter().filter(|it| it.contains("multipart/report")).collect();
    assert_eq!((messages.len(), notices.len()), (2, 1), "{messages:?}");
    let told = "Final-Recipient: rfc822; team@pillarbox.example\r\nAction: expanded\r\n";
    assert!(notices[0].contains(told), "{}", notices[0]);
    // Who stands for one is told of by the queue, when he has it.
    site.hand_in(&["<work+x@pillarbox.example> NOTIFY=SUCCESS"], "body\r\n").await;
    site.runner.run_due().await.unwrap();
    site.runner.run_due().await.unwrap();
    let messages = site.notices().await;
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[2].contains("Action: delivered\r\n"), "{}", messages[2]);
}

/// RFC 3461 §5.2.7.2: it goes on with all that was asked for, and who is proved hears of the end.
#[tokio::test]
async fn who_stands_for_one_elsewhere_is_told_of_by_the_queue_to_who_is_proved() {
    let place = Place::new().await;
    let service = &place.harness.service;
    let away = ["me@elsewhere.example".to_owned()];
    service.set_alias("away@pillarbox.example", &away).await.unwrap();
    let mut client = place.harness.connect().await;
    for (sender, origin) in
        [("a@pass.example", Origin::Vouched), ("a@none.example", Origin::Stranger)]
    {
        let asks = "<away@pillarbox.example> NOTIFY=SUCCESS";
        let told = bring(&mut client, &format!("<{sender}>"), &[asks], TEXT).await;
        assert_eq!(told, "250 2.0.0 Accepted");
        let listed = service.list_queue(None).await.unwrap();
        assert_eq!(listed.len(), 1, "{sender}");
        assert_eq!(listed[0].entry.terms.origin, origin);
        assert!(listed[0].entry.recipients[0].to.notify.wants_success());
        place.left().await;
        place.left().await;
    }
    let left = place.left().await;
    let of = |to: &str| left.iter().filter(|it| it.to[0] == format!("RCPT TO:<{to}>")).count();
    assert_eq!((of("me@elsewhere.example"), of("a@pass.example"), left.len()), (2, 1, 3));
    assert!(left[1].text.contains("Action: relayed\r\n"), "{}", left[1].text);
}

#[tokio::test]
async fn strangers_have_their_measure_and_the_mail_is_taken_beyond_it() {
    let place = Place::new().await;
    let mut client = place.harness.connect().await;
    let asks = format!("<{HOME}> NOTIFY=SUCCESS");
    for _ in 0..61 {
        let told = bring(&mut client, "<a@pass.example>", &[&asks], TEXT).await;
        assert_eq!(told, "250 2.0.0 Accepted");
    }
    assert_eq!(place.queued().await, 60);
    assert_eq!(place.harness.messages("home", "INBOX").await.len(), 61);
}
