//! What `pillarbox why` is told while a message comes.

use std::sync::Arc;

use mail_service::story::{Arrival, Line, Subject, What};
use mail_service::{Service, ServiceConfig};
use smtp::Role;
use store::mem::Mem;

use crate::common::{Client, Harness};

async fn harness(role: Role) -> Harness {
    let config = ServiceConfig { story_days: 1, ..ServiceConfig::default() };
    Harness::with_config(Arc::new(Mem::new()), config, role, |_| {}).await
}

async fn arrivals(service: &Service, message_id: &str) -> Vec<Arrival> {
    let found = service.story_of(&Subject::Message(message_id.to_owned())).await.unwrap();
    let arrival = |what| match what {
        What::Arrived(arrival) => *arrival,
        other => panic!("{other:?}"),
    };
    found.events.into_iter().map(|event| arrival(event.what)).collect()
}

async fn begin(client: &mut Client, to: &[&str]) {
    client.say("MAIL FROM:<a@example.net>").await;
    for to in to {
        assert!(client.say(&format!("RCPT TO:<{to}>")).await.starts_with("250"));
    }
    assert!(client.say("DATA").await.starts_with("354"));
}

const BOTH: [&str; 2] = ["home@pillarbox.example", "work@pillarbox.example"];

#[tokio::test]
async fn what_was_delivered_is_told_with_its_envelope_its_mailboxes_and_the_answers() {
    for (role, protocol, answers) in [(Role::Lmtp, "LMTP", 2), (Role::Mx, "ESMTP", 1)] {
        let harness = harness(role).await;
        let mut client = harness.connect().await;
        begin(&mut client, &BOTH).await;
        let text = "Message-ID: <tide@example.net>\r\nSubject: s\r\n\r\nx\r\n";
        client.send(&format!("{text}.\r\n")).await;
        for _ in 0..answers {
            assert!(client.reply().await.starts_with("250"));
        }
        let told = arrivals(&harness.service, "tide@example.net").await;
        let [arrival] = &told[..] else { panic!("{told:?}") };
        assert_eq!(arrival.protocol.as_str(), protocol);
        assert_eq!(arrival.client_name.as_str(), "mx.example.net");
        assert_eq!(arrival.sender.as_str(), "a@example.net");
        assert_eq!(arrival.size, text.len() as u64);
        assert_eq!(arrival.recipients, BOTH.map(Line::new));
        let places: Vec<_> = arrival.places.iter().map(|it| it.mailbox.as_str()).collect();
        assert_eq!(places, ["INBOX", "INBOX"]);
        assert_eq!(arrival.replies.len(), answers);
        assert!(arrival.replies[0].as_str().starts_with("250 2.0.0 "), "{arrival:?}");
    }
}

#[tokio::test]
async fn what_was_refused_or_broken_off_is_told_as_far_as_it_had_a_name() {
    let harness = harness(Role::Mx).await;
    let mut client = harness.connect().await;
    begin(&mut client, &BOTH).await;
    let hops = "Received: x\r\n".repeat(101);
    client.send(&format!("Message-ID: <loop@example.net>\r\n{hops}\r\n.\r\n")).await;
    assert!(client.reply().await.starts_with("554"));
    let told = arrivals(&harness.service, "loop@example.net").await;
    assert_eq!(told[0].replies, [Line::new("554 5.4.6 Too many hops")]);
    assert_eq!(told[0].places, []);
    begin(&mut client, &BOTH).await;
    client.send("Message-ID: <half@example.net>\r\n\r\nbut then").await;
    drop(client);
    // The server notices the end of the connection in its own time.
    let told = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        loop {
            let told = arrivals(&harness.service, "half@example.net").await;
            if !told.is_empty() {
                return told;
            }
            tokio::task::yield_now().await;
        }
    });
    let told = told.await.unwrap();
    assert_eq!((told[0].replies.len(), told[0].places.len()), (0, 0));
}
