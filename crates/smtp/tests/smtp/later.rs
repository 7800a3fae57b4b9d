//! What submission does besides sending: later release, limits, the sender's own copy.

use std::sync::Arc;

use mail_service::queue::Release;
use mail_service::{SaveSent, ServiceConfig};
use net::LoginThrottle;
use smtp::{QueueOutbound, RateLimits, Rates, Role, Routes, SmtpServer, SmtpSettings};
use store::mem::Mem;

use crate::common::Harness;
use crate::submission::{hand_in, logged_in, plain};

/// A server with a queue.
async fn with_queue(rates: RateLimits, config: ServiceConfig) -> Harness {
    let store = Arc::new(Mem::new());
    let mut harness = Harness::with_config(store, config, Role::Submission, |_| {}).await;
    let outbound = QueueOutbound::new(harness.service.clone(), Routes::default());
    let settings = SmtpSettings {
        outbound: Some(Arc::new(outbound)),
        rates: Some(Arc::new(Rates::new(rates))),
        ..SmtpSettings::new(Role::Submission, "mail.pillarbox.example".to_owned(), None)
    };
    let throttle = Arc::new(LoginThrottle::default());
    harness.server = Arc::new(SmtpServer::new(harness.service.clone(), throttle, settings));
    harness
}

const MESSAGE: &str = "From: home@pillarbox.example\nTo: work\nBcc: secret@pillarbox.example\n\
                       Message-ID: <1@client>\n\nbody\n";

#[tokio::test]
async fn mail_for_later_waits_in_the_queue_until_its_sender_takes_it_back() {
    let harness = with_queue(RateLimits::default(), ServiceConfig::default()).await;
    let mut client = logged_in(&harness).await;
    assert!(client.ask("EHLO a").await.contains("250-FUTURERELEASE 31622400 2"));
    let now = harness.service.now_secs();
    client.say("MAIL FROM:<home@pillarbox.example> HOLDFOR=3600").await;
    client.say("RCPT TO:<work@pillarbox.example>").await;
    client.say("DATA").await;
    client.send(&format!("{}.\r\n", MESSAGE.replace('\n', "\r\n"))).await;
    assert_eq!(client.reply().await, "250 2.0.0 Accepted");
    let listed = harness.service.list_queue(None).await.unwrap().remove(0);
    assert_eq!(listed.entry.terms.release, Some(Release::For(3600)));
    let due = listed.entry.next().unwrap();
    assert!((now + 3600..now + 3700).contains(&due), "{due}");
    assert!(harness.service.claim_due(1, 9).await.unwrap().is_empty());
    let work = harness.service.find_account("work").await.unwrap().unwrap().id;
    let home = harness.service.find_account("home").await.unwrap().unwrap().id;
    assert!(harness.service.cancel_queued(work, listed.id).await.is_err());
    harness.service.cancel_queued(home, listed.id).await.unwrap();
    assert!(harness.service.list_queue(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_account_submits_so_many_messages_in_an_hour_and_no_more() {
    let limits = RateLimits { messages_per_hour: Some(2), recipients_per_hour: Some(3) };
    let harness = with_queue(limits, ServiceConfig::default()).await;
    let mut client = logged_in(&harness).await;
    let to = "work@pillarbox.example";
    assert_eq!(hand_in(&mut client, to, MESSAGE).await, "250 2.0.0 Accepted");
    // What does not become a message costs nothing.
    for _ in 0..5 {
        client.say("MAIL FROM:<home@pillarbox.example>").await;
        client.say(&format!("RCPT TO:<{to}>")).await;
        client.say("RSET").await;
    }
    client.say("MAIL FROM:<home@pillarbox.example>").await;
    for known in ["work", "home"] {
        let reply = client.say(&format!("RCPT TO:<{known}@pillarbox.example>")).await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    let reply = client.say("RCPT TO:<work+x@pillarbox.example>").await;
    assert_eq!(reply, "452 4.7.1 Too many recipients in an hour");
    assert_eq!(client.say("BDAT 0 LAST").await.get(..3), Some("550"));
    // Another session of the same account, and one of somebody else.
    let mut client = logged_in(&harness).await;
    let reply = client.say("MAIL FROM:<home@pillarbox.example>").await;
    assert_eq!(reply, "451 4.7.1 Too many messages in an hour");
    let mut other = harness.connect().await;
    other.say(&plain("work", "low-tide")).await;
    assert!(other.say("MAIL FROM:<work@pillarbox.example>").await.starts_with("250"));
}

#[tokio::test]
async fn the_sender_keeps_a_copy_with_bcc_once() {
    let config = ServiceConfig { save_sent: SaveSent::Yes, ..ServiceConfig::default() };
    let harness = with_queue(RateLimits::default(), config).await;
    let mut client = logged_in(&harness).await;
    let to = "work@pillarbox.example";
    for _ in 0..2 {
        assert_eq!(hand_in(&mut client, to, MESSAGE).await, "250 2.0.0 Accepted");
    }
    let kept = harness.messages("home", "Sent").await;
    assert_eq!(kept.len(), 1);
    assert!(kept[0].contains("Bcc: secret@pillarbox.example\r\n"), "{}", kept[0]);
    assert!(kept[0].contains("\r\nDate: ") && kept[0].ends_with("\r\n\r\nbody\r\n"));
    assert!(!kept[0].contains("Received:"), "{}", kept[0]);
    // A message that is refused was not sent.
    let refused = hand_in(&mut client, to, "From: work@pillarbox.example\n\nx\n").await;
    assert!(refused.starts_with("550"), "{refused}");
    assert_eq!(harness.messages("home", "Sent").await.len(), 1);
    let without = hand_in(&mut client, to, "From: home@pillarbox.example\n\nx\n").await;
    assert_eq!(without, "250 2.0.0 Accepted");
    let kept = harness.messages("home", "Sent").await;
    let queued = harness.service.list_queue(None).await.unwrap();
    assert_eq!((kept.len(), queued.len()), (2, 3));
    assert!(kept[1].contains("Message-ID: <"), "{}", kept[1]);
}

#[tokio::test]
async fn by_itself_submission_keeps_no_copy() {
    let harness = with_queue(RateLimits::default(), ServiceConfig::default()).await;
    let mut client = logged_in(&harness).await;
    hand_in(&mut client, "work@pillarbox.example", MESSAGE).await;
    assert!(harness.messages("home", "Sent").await.is_empty());
}
