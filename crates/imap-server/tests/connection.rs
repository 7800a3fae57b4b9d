//! What the connection itself has to get right: order, endings, pushes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails shall stop")]

mod common;

use std::time::Duration;

use common::{Live, settings};
use imap_server::{ImapSettings, Patience};

#[tokio::test]
async fn wire_12_commands_may_follow_idle_and_done_in_one_packet() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.run("s SELECT INBOX").await;
    client
        .send("a IDLE\r\nDONE\r\nb NOOP\r\nc IDLE\r\nDONE\r\nd UID SEARCH ALL\r\ne LOGOUT\r\n")
        .await;
    let lines = client.rest().await;
    let tagged: Vec<_> = lines
        .iter()
        .filter(|line| !line.starts_with("* "))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let plus = |line: &&String| line.starts_with("+ ");
    assert_eq!(lines.iter().filter(plus).count(), 2, "{lines:?}");
    let tagged: Vec<_> = tagged.iter().filter(|line| !line.starts_with('+')).collect();
    assert_eq!(tagged, ["a OK", "b OK", "c OK", "d OK", "e OK"]);
}

#[tokio::test]
async fn wire_12_pipelined_changes_take_effect_in_order() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    let append = "a APPEND INBOX {3+}\r\nx\r\n\r\n";
    client
        .send(format!(
            "{append}s SELECT INBOX\r\nb STORE 1 +FLAGS (\\Deleted)\r\nc EXPUNGE\r\n\
             d STATUS INBOX (MESSAGES)\r\n"
        ))
        .await;
    let lines = client.until("d").await;
    assert!(lines.contains(&"* 1 EXPUNGE".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("* STATUS") && line.contains("MESSAGES 0")));
}

#[tokio::test]
async fn every_split_of_a_pipeline_means_the_same() {
    let pipeline = format!(
        "a LOGIN {} {}\r\nb APPEND INBOX (\\Seen) {{11+}}\r\nSubject: a\n\r\n\
         c SELECT INBOX\r\nd IDLE\r\nDONE\r\ne FETCH 1 (FLAGS BODY.PEEK[])\r\nf LOGOUT\r\n",
        common::USER,
        common::PASSWORD
    );
    let pipeline = pipeline.as_bytes();
    let mut expected: Option<Vec<String>> = None;
    for split in (0..pipeline.len()).step_by(3) {
        let live = Live::new(settings()).await;
        let mut client = live.connect();
        client.line().await;
        client.send(&pipeline[..split]).await;
        tokio::task::yield_now().await;
        client.send(&pipeline[split..]).await;
        // Identifiers differ from server to server.
        let lines: Vec<_> =
            client.rest().await.into_iter().filter(|line| !line.contains("MAILBOXID")).collect();
        assert!(lines.iter().any(|line| line.contains("FLAGS (\\Seen")), "{lines:?}");
        match &expected {
            None => expected = Some(lines),
            Some(expected) => assert_eq!(&lines, expected, "split at {split}"),
        }
    }
}

#[tokio::test]
async fn an_idle_session_hears_of_a_delivery_and_of_flags_at_once() {
    let live = Live::new(settings()).await;
    let (mut watcher, mut other) = (live.login().await, live.login().await);
    watcher.run("s SELECT INBOX").await;
    watcher.send("i IDLE\r\n").await;
    assert!(watcher.line().await.starts_with('+'));
    other.run("a APPEND INBOX {3+}\r\nx\r\n").await;
    assert_eq!(watcher.line().await, "* 1 EXISTS");
    other.run("s SELECT INBOX").await;
    other.run("f STORE 1 +FLAGS (\\Flagged)").await;
    loop {
        let line = watcher.line().await;
        if line.contains("FETCH") {
            assert!(line.contains("\\Flagged"), "{line}");
            break;
        }
    }
    watcher.send("DONE\r\n").await;
    assert!(watcher.until("i").await.last().unwrap().starts_with("i OK"));
}

#[tokio::test]
async fn a_shutdown_says_bye_to_everybody_and_waits_for_them() {
    let live = Live::new(settings()).await;
    let mut stranger = live.connect();
    stranger.line().await;
    let (mut waiting, mut idle) = (live.login().await, live.login().await);
    idle.run("s SELECT INBOX").await;
    idle.send("i IDLE\r\n").await;
    assert!(idle.line().await.starts_with('+'));
    live.shutdown.begin();
    for client in [&mut stranger, &mut waiting, &mut idle] {
        let rest = client.rest().await;
        assert!(rest[0].starts_with("* BYE"), "{rest:?}");
        assert_eq!(rest.len(), 1);
    }
    drop((stranger, waiting, idle));
    assert!(live.shutdown.drained(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn wire_26_logout_ends_the_connection_at_once() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.send("a LOGOUT\r\nb NOOP\r\n").await;
    let lines = client.rest().await;
    assert!(lines[0].starts_with("* BYE") && lines[1].starts_with("a OK"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn wire_05_a_continuation_has_a_space_after_its_plus() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.send("a APPEND INBOX {3}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send("abc\r\n").await;
    assert!(client.until("a").await[0].starts_with("a OK"));
    client.send("b IDLE\r\n").await;
    assert!(client.line().await.starts_with("+ "));
}

#[tokio::test]
async fn a_message_too_large_is_refused_before_it_is_sent() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.send("a APPEND INBOX {67108865}\r\n").await;
    assert!(client.line().await.starts_with("a NO [TOOBIG]"));
    client.run("b NOOP").await;
}

#[tokio::test]
async fn large_messages_come_back_byte_for_byte_in_one_piece_and_in_parts() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    for line in 0..20_000_u32 {
        message.extend_from_slice(
            format!("line {line} {:x}\r\n", line.wrapping_mul(2_654_435_761)).as_bytes(),
        );
    }
    let size = message.len();
    client.send(format!("a APPEND INBOX {{{size}+}}\r\n")).await;
    client.send(&message).await;
    client.send("\r\n").await;
    client.until("a").await;
    client.run("s SELECT INBOX").await;
    for (from, length) in
        [(0, size), (0, 65_536), (65_536, 65_536), (size - 10, 65_536), (300_000, 1)]
    {
        client.send(format!("f FETCH 1 BODY.PEEK[]<{from}.{length}>\r\n")).await;
        let lines = client.until("f").await;
        let expected = &message[from..size.min(from + length)];
        let text = lines.join("\r\n");
        let body = text.split_once("}\r\n").unwrap().1;
        assert_eq!(&body.as_bytes()[..expected.len()], expected, "{from} {length}");
        assert!(body[expected.len()..].starts_with(')'));
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_before_login_soon_and_after_login_late() {
    let live = Live::new(settings()).await;
    let patience = Patience::default();
    let mut stranger = live.connect();
    stranger.line().await;
    let begun = tokio::time::Instant::now();
    assert!(stranger.rest().await[0].starts_with("* BYE"));
    assert!(begun.elapsed() >= patience.login && begun.elapsed() < patience.login * 2);
}

#[tokio::test]
async fn an_idle_client_is_shown_that_the_server_lives_and_is_let_go_in_the_end() {
    let patience = Patience {
        idle: Duration::from_millis(2500),
        sign_of_life: Duration::from_secs(1),
        ..settings().patience
    };
    let live = Live::new(ImapSettings { patience, ..settings() }).await;
    let mut client = live.login().await;
    client.send("i IDLE\r\n").await;
    assert!(client.line().await.starts_with('+'));
    let rest = client.rest().await;
    assert_eq!(rest[..2], ["* OK Still here", "* OK Still here"], "{rest:?}");
    assert!(rest[2].starts_with("* BYE"));
}

#[tokio::test]
async fn a_client_that_listens_is_answered_after_its_account_was_removed() {
    let live = Live::new(settings()).await;
    let mut client = live.login().await;
    client.run("a NOTIFY SET (personal (MailboxName))").await;
    live.service.remove_account(common::USER).await.unwrap();
    client.send("b NOOP\r\n").await;
    let lines = client.rest_or("b").await;
    assert!(lines.last().is_some_and(|line| line.starts_with("b NO ")), "{lines:?}");
}
