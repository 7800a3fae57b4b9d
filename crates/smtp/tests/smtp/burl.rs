//! BURL: text that the server fetches from a mailbox. RFC 4468

use mail_service::{NewMail, Rump};
use mail_types::{Flags, InternalDate, MailboxName};
use smtp::Role;

use crate::common::{Client, Harness};
use crate::submission::{logged_in, plain};

const STORED: &str = "From: home@pillarbox.example\r\nSubject: kept\r\nBcc: x@y.example\r\n\
                      MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                      --b\r\n\r\nfirst\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n--b--\r\n";

/// A server whose `home` has a message.
async fn site() -> Harness {
    let harness = Harness::of(Role::Submission).await;
    let id = harness.service.find_account("home").await.unwrap().unwrap().id;
    let account = harness.service.account(id).await.unwrap();
    let inbox = account.current().by_name(&MailboxName::inbox()).unwrap().record().id;
    let mut staging = account.stage();
    staging.push(STORED.as_bytes()).await.unwrap();
    let mail = NewMail {
        staged: staging.finish().await.unwrap(),
        flags: Flags::default(),
        date: InternalDate::utc(0),
        annotations: mailbox::Annotations::default(),
    };
    account.append(inbox, vec![mail]).await.unwrap();
    harness
}

/// A URL of that message, authorized by its owner; `place` is what stands behind its UID.
async fn url(harness: &Harness, host: &str, place: &str) -> String {
    let id = harness.service.find_account("home").await.unwrap().unwrap().id;
    let account = harness.service.account(id).await.unwrap();
    let mailbox = account.current().by_name(&MailboxName::inbox()).unwrap().record().id;
    let text = format!("imap://home@{host}/INBOX/;UID=1{place}");
    let rump = Rump { owner: "home".to_owned(), mailbox, text: text.clone() };
    let tokens = account.authorize_urls(vec![rump]).await.unwrap().unwrap();
    format!("{text}:internal:{}", tokens[0])
}

const HOST: &str = "mail.pillarbox.example";

async fn begin(client: &mut Client, from: &str) {
    client.say(&format!("MAIL FROM:<{from}@pillarbox.example>")).await;
    assert!(client.say("RCPT TO:<work@pillarbox.example>").await.starts_with("250"));
}

async fn fetched(client: &mut Client, url: &str) -> String {
    begin(client, "home").await;
    client.say(&format!("BURL {url} LAST")).await
}

#[tokio::test]
async fn a_stored_message_is_sent_without_being_fetched_first() {
    let harness = site().await;
    let mut client = logged_in(&harness).await;
    assert!(client.ask("EHLO a").await.contains("BURL imap\r\n"));
    for host in [HOST, "Mail.Pillarbox.example:993", "pillarbox.example", "imap.pillarbox.example"]
    {
        let url = url(&harness, host, ";URLAUTH=submit+home").await;
        assert_eq!(fetched(&mut client, &url).await, "250 2.0.0 Accepted", "{host}");
    }
    let messages = harness.messages("work", "INBOX").await;
    assert_eq!(messages.len(), 4);
    let text = &messages[0];
    assert!(text.contains("Subject: kept\r\n") && text.ends_with("--b--\r\n"), "{text}");
    // It is a submission as any other.
    assert!(!text.contains("y.example") && text.contains("\r\nMessage-ID: <"), "{text}");
}

#[tokio::test]
async fn parts_and_text_are_put_together() {
    let harness = site().await;
    let mut client = logged_in(&harness).await;
    let auth = ";URLAUTH=user+home";
    let header = url(&harness, HOST, &format!("/;SECTION=HEADER.FIELDS%20(subject){auth}")).await;
    let part = url(&harness, HOST, &format!("/;SECTION=1{auth}")).await;
    begin(&mut client, "home").await;
    client.send("BDAT 30\r\nFrom: home@pillarbox.example\r\n").await;
    client
        .send(&format!("BURL {header}\r\nBDAT 2\r\n\r\nBURL {part}\r\nBDAT 5 LAST\r\n end\n"))
        .await;
    let mut replies = Vec::new();
    for _ in 0..5 {
        replies.push(client.reply().await);
    }
    // A lone LF at the end: the rules for line ends hold for what is put together.
    assert!(replies[..4].iter().all(|it| it.starts_with("250")), "{replies:?}");
    assert!(replies[4].starts_with("550 5.6.0"), "{replies:?}");
    begin(&mut client, "home").await;
    client.send("BDAT 30\r\nFrom: home@pillarbox.example\r\n").await;
    client.send(&format!("BURL {header}\r\nBURL {part} LAST\r\n")).await;
    for _ in 0..3 {
        assert!(client.reply().await.starts_with("250"));
    }
    let text = harness.messages("work", "INBOX").await.remove(0);
    assert!(text.contains("Subject: kept\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nfirst"), "{text}");
    let piece = url(&harness, HOST, &format!("/;SECTION=2/;PARTIAL=1.1{auth}")).await;
    begin(&mut client, "home").await;
    client.send("BDAT 32\r\nFrom: home@pillarbox.example\r\n\r\n").await;
    client.send(&format!("BURL {piece} LAST\r\n")).await;
    for _ in 0..2 {
        assert!(client.reply().await.starts_with("250"));
    }
    let text = harness.messages("work", "INBOX").await.remove(1);
    assert!(text.ends_with("\r\n\r\np"), "{text}");
}

#[tokio::test]
async fn urls_that_are_not_for_the_sender_or_not_of_this_server_are_refused() {
    let harness = site().await;
    let mut client = logged_in(&harness).await;
    let good = url(&harness, HOST, ";URLAUTH=submit+home").await;
    let expired = ";EXPIRE=2020-01-01T00:00:00Z;URLAUTH=submit+home";
    for (url, reply) in [
        (good.replace("UID=1", "UID=2"), "554 5.7.0"),
        (good.replace("submit+home", "submit+work"), "554 5.7.0"),
        (good.replace("//home@", "//work@"), "554 5.7.0"),
        (good.replace("//home@", "//"), "554 5.7.0"),
        (good.split(";URLAUTH").next().unwrap().to_owned(), "554 5.7.0"),
        (good.replace(":internal:", ":other:"), "554 5.7.0"),
        (url(&harness, HOST, expired).await, "554 5.7.0"),
        (url(&harness, HOST, ";URLAUTH=submit+work").await, "554 5.7.0"),
        (url(&harness, HOST, ";URLAUTH=submit+nobody").await, "554 5.7.0"),
        (url(&harness, "evil.example", ";URLAUTH=submit+home").await, "554 5.7.14"),
        (url(&harness, "evilpillarbox.example", ";URLAUTH=submit+home").await, "554 5.7.14"),
        ("/INBOX/;UID=1;URLAUTH=submit+home:internal:00".to_owned(), "554 5."),
        (format!("imap://home@{HOST}/INBOX"), "554 5.5.4"),
        ("https://pillarbox.example/x".to_owned(), "554 5.5.4"),
        ("file:///etc/passwd".to_owned(), "554 5.5.4"),
        (url(&harness, HOST, "/;SECTION=9;URLAUTH=submit+home").await, "554 5.6.6"),
    ] {
        let said = fetched(&mut client, &url).await;
        assert!(said.starts_with(reply), "{url}: {said}");
        assert_eq!(client.say("DATA").await, "503 5.5.1 Say MAIL first", "{url}");
    }
    // The message of somebody else, by a URL that is not for oneself.
    let mut other = harness.connect().await;
    other.say(&plain("work", "low-tide")).await;
    begin(&mut other, "work").await;
    assert!(other.say(&format!("BURL {good} LAST")).await.starts_with("554 5.7.0"));
    begin(&mut other, "work").await;
    let anybodys = url(&harness, HOST, ";URLAUTH=authuser").await;
    // It may be had, but what it says is not from who sends it.
    assert!(other.say(&format!("BURL {anybodys} LAST")).await.starts_with("550 5.7.1"));
    assert!(harness.messages("work", "INBOX").await.is_empty());
}
