//! Submission: who one is, in whose name one writes, and where it goes.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_service::ServiceError;
use mail_service::queue::QueueId;
use smtp::{Envelope, Outbound, Outgoing, Pending, Role};
use smtp_session::OriginalRecipient;
use store::mem::Mem;

use crate::common::{Client, Harness};

pub fn plain(user: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))
}

pub async fn logged_in(harness: &Harness) -> Client {
    let mut client = harness.connect().await;
    assert_eq!(client.say(&plain("home", "low-tide")).await, "235 2.7.0 Authenticated");
    client
}

pub async fn hand_in(client: &mut Client, to: &str, message: &str) -> String {
    client.say("MAIL FROM:<home@pillarbox.example>").await;
    client.say(&format!("RCPT TO:<{to}>")).await;
    let reply = client.say("DATA").await;
    if !reply.starts_with("354") {
        return reply;
    }
    client.send(&format!("{}.\r\n", message.replace('\n', "\r\n"))).await;
    client.reply().await
}

#[tokio::test]
async fn a_message_is_completed_and_delivered_here() {
    let harness = Harness::of(Role::Submission).await;
    let mut client = logged_in(&harness).await;
    let message = "From: Home <HOME@pillarbox.example>\nTo: work\nBcc: x@y.example,\n z@y.example\n\
                   Subject: s\n\nbody\n";
    let reply = hand_in(&mut client, "work@pillarbox.example", message).await;
    assert_eq!(reply, "250 2.0.0 Accepted");
    let messages = harness.messages("work", "INBOX").await;
    let message = &messages[0];
    assert!(message.contains(" with ESMTPA id "), "{message}");
    assert!(!message.contains("y.example"), "{message}");
    assert!(message.contains("\r\nDate: ") && message.contains("\r\nMessage-ID: <"), "{message}");
    assert!(message.contains("@mail.pillarbox.example>\r\n\r\nbody\r\n"), "{message}");
}

#[tokio::test]
async fn s057_every_offered_mechanism_logs_in_and_unknown_names_are_as_wrong_as_passwords() {
    let harness = Harness::of(Role::Submission).await;
    let mut client = harness.connect().await;
    let hello = client.ask("EHLO a").await;
    assert!(hello.ends_with("250 AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN\r\n"), "{hello}");
    assert!(!hello.contains("DSN"), "{hello}");
    let wrong = client.say(&plain("home", "high-tide")).await;
    let unknown = client.say(&plain("nobody", "low-tide")).await;
    assert_eq!(wrong, "535 5.7.8 Authentication failed");
    assert_eq!(wrong, unknown);
    let other = format!("AUTH PLAIN {}", STANDARD.encode("work\0home\0low-tide"));
    assert_eq!(client.say(&other).await, "535 5.7.8 Not as somebody else");
    assert_eq!(client.say("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    assert_eq!(client.say(&STANDARD.encode("home")).await, "334 UGFzc3dvcmQ6");
    assert_eq!(client.say(&STANDARD.encode("low-tide")).await, "235 2.7.0 Authenticated");
    // With the name at once, as Outlook does.
    let mut client = harness.connect().await;
    let named = format!("AUTH LOGIN {}", STANDARD.encode("home"));
    assert_eq!(client.say(&named).await, "334 UGFzc3dvcmQ6");
    assert_eq!(client.say(&STANDARD.encode("low-tide")).await, "235 2.7.0 Authenticated");
}

#[tokio::test]
async fn s072_nobody_writes_in_the_name_of_somebody_else() {
    let harness = Harness::of(Role::Submission).await;
    harness.service.set_alias("desk@pillarbox.example", &["home".to_owned()]).await.unwrap();
    let mut client = logged_in(&harness).await;
    for sender in ["work@pillarbox.example", "x@elsewhere.example", "home@elsewhere.example"] {
        let reply = client.say(&format!("MAIL FROM:<{sender}>")).await;
        assert_eq!(reply, "553 5.7.1 Not an address of yours", "{sender}");
    }
    let to = "work@pillarbox.example";
    for (header, code) in [
        ("From: work@pillarbox.example", "550 5.7.1"),
        ("From: home@pillarbox.example, work@pillarbox.example", "550 5.7.1"),
        ("From: home@pillarbox.example\nSender: work@pillarbox.example", "550 5.7.1"),
        ("From: home@pillarbox.example\nFrom: work@pillarbox.example", "550 5.6.0"),
        ("From: \"home@pillarbox.example\" <work@pillarbox.example>", "550 5.7.1"),
        ("Subject: nobody", "550 5.6.0"),
        ("From: desk@pillarbox.example", "250 2.0.0"),
        ("From: home+shop@pillarbox.example", "250 2.0.0"),
    ] {
        let reply = hand_in(&mut client, to, &format!("{header}\n\nx\n")).await;
        assert!(reply.starts_with(code), "{header}: {reply}");
    }
    assert_eq!(client.say("MAIL FROM:<desk@pillarbox.example>").await, "250 2.1.0 Sender noted");
    assert_eq!(harness.messages("work", "INBOX").await.len(), 2);
}

#[tokio::test]
async fn without_somebody_who_sends_it_mail_for_others_is_refused() {
    let harness = Harness::of(Role::Submission).await;
    let mut client = logged_in(&harness).await;
    client.say("MAIL FROM:<home@pillarbox.example>").await;
    let reply = client.say("RCPT TO:<x@elsewhere.example>").await;
    assert_eq!(reply, "550 5.7.1 This server has no way to the domain of the recipient");
    assert_eq!(
        client.say("RCPT TO:<nobody@pillarbox.example>").await,
        "550 5.1.1 No such user here"
    );
    let foreign = harness.connect().await.say("MAIL FROM:<home@pillarbox.example>").await;
    assert_eq!(foreign, "530 5.7.0 Authentication required");
}

/// Keeps what it is given.
#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<(Envelope, Vec<u8>)>>,
    is_full: Mutex<bool>,
}

struct Keeper(Arc<Kept>);

struct Keeping {
    kept: Arc<Kept>,
    envelope: Envelope,
    text: Vec<u8>,
}

impl Outbound for Keeper {
    fn carries(&self, _: &str) -> bool {
        true
    }

    fn begin(&self, envelope: Envelope) -> Box<dyn Outgoing> {
        Box::new(Keeping { kept: Arc::clone(&self.0), envelope, text: Vec::new() })
    }
}

impl Outgoing for Keeping {
    fn push<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a> {
        self.text.extend_from_slice(bytes);
        Box::pin(std::future::ready(Ok(())))
    }

    fn commit(self: Box<Self>) -> Pending<'static, Vec<QueueId>> {
        if *self.kept.is_full.lock().unwrap() {
            return Box::pin(std::future::ready(Err(ServiceError::StorageFull)));
        }
        self.kept.messages.lock().unwrap().push((self.envelope, self.text));
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[tokio::test]
async fn what_is_submitted_is_handed_over_whole_with_its_envelope() {
    let kept = Arc::new(Kept::default());
    let outbound: Arc<dyn Outbound> = Arc::new(Keeper(Arc::clone(&kept)));
    let store = Arc::new(Mem::new());
    let harness = Harness::with(store, 1 << 20, Role::Submission, Some(outbound)).await;
    let mut client = logged_in(&harness).await;
    assert!(client.ask("EHLO a").await.contains("DSN\r\n"));
    client.say("MAIL FROM:<home@pillarbox.example> RET=HDRS ENVID=abc").await;
    let list = ["work@pillarbox.example".to_owned(), "me@elsewhere.example".to_owned()];
    harness.service.set_alias("list@pillarbox.example", &list).await.unwrap();
    client.say("RCPT TO:<x@elsewhere.example> NOTIFY=SUCCESS").await;
    client.say("RCPT TO:<Work@pillarbox.example>").await;
    client.say("RCPT TO:<list@pillarbox.example>").await;
    client.say("DATA").await;
    client.send("From: home@pillarbox.example\r\nBcc: y@z.example\r\n\r\n..x\r\n.\r\n").await;
    assert_eq!(client.reply().await, "250 2.0.0 Accepted");
    let messages = std::mem::take(&mut *kept.messages.lock().unwrap());
    let (envelope, text) = &messages[0];
    let recipients: Vec<_> =
        envelope.transaction.recipients.iter().map(|it| it.address.as_str()).collect();
    let expected = ["x@elsewhere.example", "Work@pillarbox.example", "me@elsewhere.example"];
    assert_eq!(recipients, expected);
    let last = &envelope.transaction.recipients[2];
    let original = OriginalRecipient::mailbox("list@pillarbox.example".to_owned());
    assert_eq!(last.original, Some(original));
    assert!(envelope.transaction.recipients[0].notify.unwrap().success);
    assert_eq!(envelope.transaction.envelope_id.as_deref(), Some("abc"));
    assert_eq!(envelope.account.as_ref().map(|name| name.as_str()), Some("home"));
    let text = std::str::from_utf8(text).unwrap();
    assert!(text.starts_with("Received: from a (local)\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n.x\r\n") && !text.contains("z.example"), "{text}");
    assert!(!text.contains("Return-Path"), "{text}");
    // What is not taken is not promised.
    *kept.is_full.lock().unwrap() = true;
    let message = "From: home@pillarbox.example\n\nx\n";
    let reply = hand_in(&mut client, "x@elsewhere.example", message).await;
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    // Nor is a message that is refused.
    *kept.is_full.lock().unwrap() = false;
    let reply = hand_in(&mut client, "x@elsewhere.example", "From: a@b.example\n\nx\n").await;
    assert!(reply.starts_with("550 5.7.1"), "{reply}");
    assert!(kept.messages.lock().unwrap().is_empty());
}

#[tokio::test]
async fn mail_from_strangers_is_forwarded_only_for_an_address_of_ours() {
    let kept = Arc::new(Kept::default());
    let outbound: Arc<dyn Outbound> = Arc::new(Keeper(Arc::clone(&kept)));
    let store = Arc::new(Mem::new());
    let harness = Harness::with(store, 1 << 20, Role::Mx, Some(outbound)).await;
    let both = ["work".to_owned(), "me@elsewhere.example".to_owned()];
    harness.service.set_alias("both@pillarbox.example", &both).await.unwrap();
    let mut client = harness.connect().await;
    assert!(!client.ask("EHLO a").await.contains("DSN"));
    client.say("MAIL FROM:<a@b.example>").await;
    assert_eq!(client.say("RCPT TO:<me@elsewhere.example>").await, "550 5.7.1 No relaying");
    assert!(client.say("RCPT TO:<both@pillarbox.example>").await.starts_with("250"));
    client.say("DATA").await;
    client.send("Subject: x\r\n\r\nx\r\n.\r\n").await;
    assert_eq!(client.reply().await, "250 2.0.0 Accepted");
    let messages = std::mem::take(&mut *kept.messages.lock().unwrap());
    assert_eq!(messages[0].0.transaction.recipients[0].address, "me@elsewhere.example");
    assert!(messages[0].0.account.is_none());
    assert_eq!(harness.messages("work", "INBOX").await.len(), 1);
}
