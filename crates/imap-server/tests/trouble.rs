//! What a client is told when the store is damaged, full or out of reach.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::sync::Arc;

use common::{Client, Live, PASSWORD, USER, service_on, settings};
use mail_service::Sharing;
use mail_types::Secret;
use store::StoreError;
use store::fault::{Call, Fault, Faults, Faulty};
use store::mem::Mem;

/// A server over a store that fails as planned, and a client that has logged in.
async fn faulty() -> (Faults, Live, Client) {
    let store = Arc::new(Faulty::new(Arc::new(Mem::new())));
    let faults = store.faults();
    let service = service_on(store, Sharing::Exclusive).await;
    service.create_account(USER, Secret::new(PASSWORD)).await.unwrap();
    let live = Live::of(service, settings());
    let client = live.login().await;
    (faults, live, client)
}

async fn append(client: &mut Client, body: &str) -> String {
    client.send(format!("p APPEND INBOX {{{}+}}\r\n{body}\r\n", body.len())).await;
    client.until("p").await.pop().unwrap()
}

/// Three messages in a mailbox that is selected.
async fn with_three(client: &mut Client) {
    for number in 1..=3 {
        let told = append(client, &format!("Subject: {number}\r\n\r\nBerth {number}\r\n")).await;
        assert!(told.starts_with("p OK"), "{told}");
    }
    client.run("s SELECT INBOX").await;
}

fn corrupt() -> Fault {
    Fault::Fail(StoreError::corrupt("pack 1 at 4096"))
}

async fn command(client: &mut Client, command: &str) -> Vec<String> {
    client.send(format!("{command}\r\n")).await;
    client.until(command.split(' ').next().unwrap()).await
}

fn fetched(lines: &[String]) -> Vec<&str> {
    let starts = lines.iter().filter(|line| line.starts_with("* ") && line.contains(" FETCH "));
    starts.map(String::as_str).collect()
}

#[tokio::test]
async fn a_damaged_message_is_refused_and_the_others_come() {
    let (faults, _live, mut client) = faulty().await;
    with_three(&mut client).await;
    for item in ["BODY.PEEK[]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "RFC822.HEADER"] {
        faults.on(Call::OpenBlob, 2, corrupt());
        let lines = command(&mut client, &format!("f UID FETCH 1:* {item}")).await;
        let tagged = lines.last().unwrap();
        assert!(tagged.starts_with("f NO [CORRUPTION]"), "{item}: {lines:?}");
        let fetched = fetched(&lines);
        let whole: Vec<bool> = fetched.iter().map(|line| line.ends_with('}')).collect();
        assert_eq!(whole, [true, false, true], "{item}: {lines:?}");
        assert_eq!(fetched[1], "* 2 FETCH (UID 2)", "{item}");
        // The session goes on, and so does the message once it can be read again.
        let lines = client.run(&format!("g UID FETCH 2 {item}")).await;
        assert!(lines.iter().any(|line| line.starts_with("Subject: 2")), "{item}: {lines:?}");
    }
}

#[tokio::test]
async fn damage_behind_the_first_octets_of_a_long_message_ends_the_connection() {
    let (faults, live, mut client) = faulty().await;
    let line = format!("{}\r\n", "x".repeat(98));
    let body = format!("Subject: long\r\n\r\n{}", line.repeat(8000));
    append(&mut client, &body).await;
    client.run("s SELECT INBOX").await;
    let reads = faults.count(Call::ReadBlob);
    client.run("f FETCH 1 BODY.PEEK[]").await;
    let reads = faults.count(Call::ReadBlob) - reads;
    for nth in 1..=reads {
        let mut client = live.login().await;
        client.run("s SELECT INBOX").await;
        faults.on(Call::ReadBlob, nth, corrupt());
        client.send("f FETCH 1 BODY.PEEK[]\r\ng NOOP\r\n").await;
        let lines = client.rest_or("g").await;
        let last = lines.last().unwrap();
        if last.starts_with("g OK") {
            // Found before anything was announced: then the session goes on.
            assert!(fetched(&lines).is_empty(), "{nth}: {:?}", fetched(&lines));
            assert!(lines.iter().any(|line| line.starts_with("f NO [CORRUPTION]")), "{nth}");
            assert!(nth < reads, "the last octets of a long message are not read before");
        } else {
            // Announced, and then cut off rather than filled with something else.
            assert_eq!(fetched(&lines).len(), 1);
            let sent = lines.iter().skip(1).map(|line| line.len() + 2).sum::<usize>();
            assert!(sent < body.len(), "{nth}: {sent}");
            assert!(nth > 1, "the first octets are read before");
        }
    }
}

#[tokio::test]
async fn a_message_out_of_reach_is_not_called_damaged() {
    let (faults, _live, mut client) = faulty().await;
    with_three(&mut client).await;
    faults.on(Call::OpenBlob, 1, Fault::Fail(StoreError::read_failed("timed out")));
    let lines = command(&mut client, "f FETCH 1:3 BODY.PEEK[]").await;
    assert!(lines.last().unwrap().starts_with("f NO [UNAVAILABLE]"), "{lines:?}");
    assert_eq!(fetched(&lines).len(), 2);
}

#[tokio::test]
async fn a_search_that_meets_a_damaged_message_is_refused() {
    let (faults, _live, mut client) = faulty().await;
    with_three(&mut client).await;
    faults.on(Call::OpenBlob, 2, corrupt());
    let lines = command(&mut client, "f SEARCH BODY berth").await;
    assert!(lines.last().unwrap().starts_with("f NO [CORRUPTION]"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("* SEARCH")), "{lines:?}");
}

#[tokio::test]
async fn a_full_store_refuses_with_overquota_and_takes_mail_again_when_there_is_space() {
    let (faults, _live, mut client) = faulty().await;
    with_three(&mut client).await;
    client.run("c CREATE Other").await;
    for call in [Call::StartBlob, Call::WriteBlob, Call::FinishBlob, Call::Commit] {
        faults.always(call, Fault::Fail(StoreError::StorageFull));
        let told = append(&mut client, "Subject: 4\r\n\r\nno room\r\n").await;
        assert!(told.starts_with("p NO [OVERQUOTA]"), "{call:?}: {told}");
        faults.heal();
    }
    faults.always(Call::Commit, Fault::Fail(StoreError::StorageFull));
    for refused in ["x COPY 1 Other", "x MOVE 1 Other", "x CREATE More"] {
        let lines = command(&mut client, refused).await;
        assert!(lines.last().unwrap().starts_with("x NO [OVERQUOTA]"), "{refused}: {lines:?}");
    }
    // What is there can be read.
    client.run("f FETCH 1:3 BODY.PEEK[]").await;
    faults.heal();
    let told = append(&mut client, "Subject: 4\r\n\r\nroom\r\n").await;
    assert!(told.starts_with("p OK [APPENDUID "), "{told}");
    client.run("x MOVE 1 Other").await;
}
