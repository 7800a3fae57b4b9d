//! LMTP: what was acknowledged is there.

use std::sync::Arc;
use std::time::Duration;

use smtp::Role;
use store::StoreError;
use store::fault::{Call, Fault, Faulty};
use store::mem::Mem;

use crate::common::Harness;

#[tokio::test]
async fn a_recipient_without_room_is_refused_and_the_others_get_their_mail() {
    let harness = Harness::new(1 << 20).await;
    let id = harness.service.find_account("home").await.unwrap().unwrap().id;
    let account = harness.service.account(id).await.unwrap();
    let quota = mailbox::Quota { storage_kib: Some(0), ..mailbox::Quota::default() };
    account.submit(mailbox::Operation::SetQuota { quota }).await.unwrap();
    let mut client = harness.connect().await;
    client.say("MAIL FROM:<news@harbour.example>").await;
    client.say("RCPT TO:<home@pillarbox.example>").await;
    client.say("RCPT TO:<work@pillarbox.example>").await;
    client.say("DATA").await;
    client.send("Subject: tide\r\n\r\nlow\r\n.\r\n").await;
    // One reply for each recipient. RFC 2033 §4.2
    assert_eq!(client.reply().await, "552 5.2.2 <home@pillarbox.example> Mailbox full");
    assert_eq!(client.reply().await, "250 2.0.0 <work@pillarbox.example> Delivered");
    assert!(harness.messages("home", "INBOX").await.is_empty());
    assert_eq!(harness.messages("work", "INBOX").await.len(), 1);
}

#[tokio::test]
async fn a_message_is_delivered_once_to_each_recipient_with_its_own_trace() {
    let harness = Harness::new(1 << 20).await;
    let mut client = harness.connect().await;
    client.say("MAIL FROM:<news@harbour.example>").await;
    assert!(client.say("RCPT TO:<home@pillarbox.example>").await.starts_with("250 2.1.5"));
    let unknown = client.say("RCPT TO:<nobody@pillarbox.example>").await;
    assert_eq!(unknown, "550 5.1.1 No such user here");
    client.say("RCPT TO:<work@pillarbox.example>").await;
    client.say("RCPT TO:<home@pillarbox.example>").await;
    assert!(client.say("DATA").await.starts_with("354"));
    client.send("Subject: tide\r\n\r\n..low\nwater\r\n.\r\n").await;
    let replies = [client.reply().await, client.reply().await, client.reply().await];
    assert_eq!(
        replies,
        [
            "250 2.0.0 <home@pillarbox.example> Delivered",
            "250 2.0.0 <work@pillarbox.example> Delivered",
            "250 2.0.0 <home@pillarbox.example> Delivered",
        ]
    );
    for account in ["home", "work"] {
        let messages = harness.messages(account, "INBOX").await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        let start = format!(
            "Return-Path: <news@harbour.example>\r\n\
             Delivered-To: {account}@pillarbox.example\r\n\
             Received: from mx.example.net (local)\r\n"
        );
        assert!(messages[0].starts_with(&start), "{messages:?}");
        assert!(messages[0].ends_with("Subject: tide\r\n\r\n.low\r\nwater\r\n"));
    }
}

#[tokio::test]
async fn a_detail_names_the_mailbox_and_the_null_sender_is_kept() {
    let harness = Harness::new(1 << 20).await;
    let mut client = harness.connect().await;
    client.say("MAIL FROM:<>").await;
    client.say("RCPT TO:<home+archive@pillarbox.example>").await;
    client.say("RCPT TO:<home+nothing@pillarbox.example>").await;
    client.say("DATA").await;
    client.send("Subject: x\r\n\r\n\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert!(client.reply().await.starts_with("250"));
    let archived = harness.messages("home", "Archive").await;
    assert_eq!(archived.len(), 1);
    assert!(archived[0].starts_with("Return-Path: <>\r\n"));
    assert_eq!(harness.messages("home", "INBOX").await.len(), 1);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_whole_and_the_session_goes_on() {
    let harness = Harness::new(20_000).await;
    let mut client = harness.connect().await;
    client.say("MAIL FROM:<a@harbour.example>").await;
    client.say("RCPT TO:<home@pillarbox.example>").await;
    client.say("RCPT TO:<work@pillarbox.example>").await;
    client.say("DATA").await;
    for _ in 0..1000 {
        client.send(&format!("{}\r\n", "long ".repeat(15))).await;
    }
    client.send(".\r\n").await;
    assert!(client.reply().await.starts_with("552 5.3.4"));
    assert!(client.reply().await.starts_with("552 5.3.4"));
    assert!(harness.messages("home", "INBOX").await.is_empty());
    assert!(client.say("MAIL FROM:<a@harbour.example>").await.starts_with("250"));
}

#[tokio::test]
async fn s040_a_message_that_is_broken_off_is_never_delivered() {
    let harness = Harness::new(1 << 20).await;
    for end in ["", "half", "half\r\n", "half\r\n.", "half\r\n.\r"] {
        let mut client = harness.connect().await;
        client.say("MAIL FROM:<a@harbour.example>").await;
        client.say("RCPT TO:<home@pillarbox.example>").await;
        client.say("DATA").await;
        client.send(end).await;
        drop(client);
    }
    harness.shutdown.begin();
    assert!(harness.shutdown.drained(Duration::from_secs(10)).await);
    assert!(harness.messages("home", "INBOX").await.is_empty());
}

#[tokio::test]
async fn a_full_store_is_told_for_now_and_takes_mail_again_when_there_is_space() {
    let store = Arc::new(Faulty::new(Arc::new(Mem::new())));
    let faults = store.faults();
    let harness = Harness::on(store, 1 << 20).await;
    let mut client = harness.connect().await;
    for call in [Call::StartBlob, Call::WriteBlob, Call::FinishBlob, Call::Commit] {
        faults.always(call, Fault::Fail(StoreError::StorageFull));
        client.say("MAIL FROM:<a@harbour.example>").await;
        client.say("RCPT TO:<home@pillarbox.example>").await;
        client.say("DATA").await;
        client.send("Subject: no room\r\n\r\nx\r\n.\r\n").await;
        let reply = client.reply().await;
        assert!(reply.starts_with("452 4.3.1"), "{call:?}: {reply}");
        faults.heal();
    }
    assert!(harness.messages("home", "INBOX").await.is_empty());
    client.say("MAIL FROM:<a@harbour.example>").await;
    client.say("RCPT TO:<home@pillarbox.example>").await;
    client.say("DATA").await;
    client.send("Subject: room\r\n\r\nx\r\n.\r\n").await;
    assert!(client.reply().await.starts_with("250"));
    assert_eq!(harness.messages("home", "INBOX").await.len(), 1);
}

#[tokio::test]
async fn a_shutdown_is_told_between_commands() {
    let harness = Harness::new(1 << 20).await;
    let mut client = harness.connect().await;
    harness.shutdown.begin();
    assert!(client.reply().await.starts_with("421 4.3.2"));
    drop(client);
    assert!(harness.shutdown.drained(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn who_comes_to_stand_for_somebody_elsewhere_is_put_off_where_nothing_leads_there() {
    const INFO: &str = "info@pillarbox.example";
    for role in [Role::Lmtp, Role::Mx] {
        let harness = Harness::of(role).await;
        harness.service.set_alias(INFO, &["home".to_owned()]).await.unwrap();
        let mut client = harness.connect().await;
        client.say("MAIL FROM:<news@harbour.example>").await;
        for recipient in [INFO, "work@pillarbox.example"] {
            let accepted = client.say(&format!("RCPT TO:<{recipient}>")).await;
            assert!(accepted.starts_with("250"), "{accepted}");
        }
        harness.service.set_alias(INFO, &["me@far.example".to_owned()]).await.unwrap();
        assert!(client.say("DATA").await.starts_with("354"));
        client.send("Subject: tide\r\n\r\nlow\r\n.\r\n").await;
        let reply = client.reply().await;
        assert!(reply.starts_with("451 4.3.0"), "{reply}");
        if role == Role::Lmtp {
            let reply = client.reply().await;
            assert_eq!(reply, "250 2.0.0 <work@pillarbox.example> Delivered");
        }
        // The one reply of SMTP is for both.
        let count = usize::from(role == Role::Lmtp);
        assert_eq!(harness.messages("work", "INBOX").await.len(), count);
        assert!(harness.messages("home", "INBOX").await.is_empty());
        client.say("MAIL FROM:<news@harbour.example>").await;
        let refused = client.say(&format!("RCPT TO:<{INFO}>")).await;
        assert!(refused.starts_with("550 5.7.1"), "{refused}");
    }
}
