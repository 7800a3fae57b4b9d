//! Submission: nothing without a login, and nobody's name but one's own.

use smtp_session::{LONGEST_LINE_BYTES, Offer, Role, StartTls, URLS_MAX};

use crate::common::{Harness, codes, full_offer, offer, ready, sender};

/// `\0me\0pw`
const LOGIN: &str = "AUTH PLAIN AG1lAHB3";

#[test]
fn mechanisms_are_offered_until_one_has_succeeded() {
    let mut harness = ready(Role::Submission);
    let hello = harness.say("EHLO a");
    assert!(hello.ends_with("250-STARTTLS\r\n250 AUTH PLAIN LOGIN SCRAM-X\r\n"), "{hello}");
    assert_eq!(harness.say(LOGIN), "235 2.7.0 Authenticated\r\n");
    assert!(!harness.say("EHLO a").contains("AUTH"));
    // RFC 4954 §4
    assert_eq!(codes(&harness.say(LOGIN)), ["503"]);
}

#[test]
fn nothing_is_taken_before_a_login() {
    let mut harness = ready(Role::Submission);
    let replies = harness.say("MAIL FROM:<me@x.example>\nRCPT TO:<known@x.example>\nDATA");
    assert_eq!(codes(&replies), ["530", "503", "503"]);
    assert_eq!(codes(&harness.send(b"BDAT 4\r\nQUIT")), ["503"]);
    assert!(replies.starts_with("530 5.7.0 Authentication required\r\n"));
    let clear = Offer { mechanisms: Vec::new(), ..offer(Role::Submission, 1000) };
    let mut harness = Harness::new(clear);
    let replies = harness.say("EHLO a\nMAIL FROM:<me@x.example>");
    assert!(replies.ends_with("530 5.7.0 Say STARTTLS first\r\n"), "{replies}");
    assert_eq!(codes(&harness.say(LOGIN)), ["502"]);
}

#[test]
fn s072_only_ones_own_address_is_a_sender() {
    let mut harness = ready(Role::Submission);
    harness.say(LOGIN);
    let replies = harness.say("MAIL FROM:<other@x.example>\nRCPT TO:<known@x.example>");
    assert_eq!(replies, "553 5.7.1 Not your address\r\n503 5.5.1 Say MAIL first\r\n");
    let replies = harness.say("MAIL FROM:<me@x.example>\nRCPT TO:<known@x.example>\nDATA");
    assert_eq!(codes(&replies), ["250", "250", "354"]);
    assert_eq!(codes(&harness.send(b"a\r\n.\r\n")), ["250"]);
    assert_eq!(codes(&harness.say("MAIL FROM:<>")), ["250"]);
    // RFC 4954 §5: the parameter is understood.
    assert_eq!(codes(&harness.say("RSET\nMAIL FROM:<me@x.example> AUTH=<>")), ["250", "250"]);
}

#[test]
fn challenges_are_answered_cancelled_and_proven() {
    let mut harness = ready(Role::Submission);
    assert_eq!(harness.say("AUTH LOGIN"), "334 \r\n");
    assert_eq!(codes(&harness.say("*")), ["501"]);
    assert_eq!(codes(&harness.say("AUTH CRAM-MD5")), ["504"]);
    assert_eq!(codes(&harness.say("AUTH")), ["501"]);
    assert_eq!(codes(&harness.say("AUTH PLAIN AG1lAHB3 x")), ["501"]);
    assert_eq!(codes(&harness.say("AUTH PLAIN ???")), ["501"]);
    assert_eq!(codes(&harness.say("AUTH LOGIN\n???")), ["334", "501"]);
    assert_eq!(codes(&harness.say("MAIL FROM:<me@x.example>")), ["530"]);
    // `proof`, and the server's own with its success. RFC 4954 §4
    assert_eq!(harness.say("auth scram-x =\ncHJvb2Y="), "334 \r\n334 bWluZQ==\r\n");
    assert_eq!(codes(&harness.say("")), [] as [&str; 0]);
    assert_eq!(codes(&harness.send(b"\r\n")), ["235"]);
}

#[test]
fn s040_a_proof_that_is_not_acknowledged_logs_nobody_in() {
    for answer in ["*", "AAAA", "NOOP"] {
        let mut harness = ready(Role::Submission);
        harness.say("AUTH SCRAM-X\ncHJvb2Y=");
        assert_eq!(codes(&harness.say(answer)), ["501"], "{answer}");
        assert_eq!(codes(&harness.say("MAIL FROM:<me@x.example>")), ["530"]);
    }
}

#[test]
fn s004_responses_that_come_before_their_challenge_end_the_session() {
    let mut harness = ready(Role::Submission);
    let replies = harness.send(b"AUTH LOGIN\r\nbWU=\r\ncHc=\r\n");
    assert_eq!(codes(&replies), ["554"]);
    assert!(harness.closed);
    let mut harness = ready(Role::Submission);
    harness.say("AUTH LOGIN");
    let replies = harness.send(b"AG1lAHB3\r\nMAIL FROM:<me@x.example>\r\n");
    assert_eq!(codes(&replies), ["554"]);
    assert!(harness.closed);
}

#[test]
fn s039_long_and_broken_responses_are_refused() {
    let mut harness = ready(Role::Submission);
    harness.say("AUTH LOGIN");
    let replies = harness.send(&[[b'A'; 20_000].as_slice(), b"\r\n"].concat());
    assert_eq!(codes(&replies), ["500"]);
    assert!(harness.input.len() <= 20_000);
    assert_eq!(codes(&harness.say("AUTH LOGIN")), ["334"]);
    assert_eq!(codes(&harness.send(b"AG1l\0AHB3\r\n")), ["501"]);
    assert_eq!(codes(&harness.say("NOOP")), ["250"]);
}

#[test]
fn s058_failed_logins_end_the_session() {
    let mut harness = ready(Role::Submission);
    for _ in 0..4 {
        assert_eq!(codes(&harness.say("AUTH PLAIN AG1lAHh4")), ["535"]);
    }
    assert_eq!(codes(&harness.say("AUTH PLAIN AG1lAHh4")), ["535", "421"]);
    assert!(harness.closed);
}

#[test]
fn a_login_is_not_taken_during_a_message_or_after_helo() {
    let mut harness =
        Harness::new(Offer { starttls: StartTls::Absent, ..offer(Role::Submission, 1000) });
    assert_eq!(codes(&harness.say("HELO a")), ["220", "250"]);
    assert_eq!(codes(&harness.say(LOGIN)), ["503"]);
    let replies = harness.say(&format!("EHLO a\n{LOGIN}\nMAIL FROM:<me@x.example>\n{LOGIN}"));
    assert_eq!(codes(&replies), ["250", "235", "250", "503"]);
}

fn begin(harness: &mut Harness) {
    let replies = harness.say("MAIL FROM:<me@x.example>\nRCPT TO:<known@x.example>");
    assert_eq!(codes(&replies), ["250", "250"]);
}

#[test]
fn urls_are_announced_with_their_kind_after_a_login_and_taken_only_then() {
    let mut harness = Harness::new(full_offer());
    assert!(harness.say("EHLO a").contains("250-BURL\r\n"));
    assert_eq!(codes(&harness.say("BURL imap://a/b LAST")), ["530"]);
    harness.say(LOGIN);
    assert!(harness.say("EHLO a").contains("250-BURL imap\r\n"));
    assert_eq!(codes(&harness.say("BURL imap://a/b LAST")), ["503"]);
    begin(&mut harness);
    for wrong in ["BURL", "BURL  imap://a/b", "BURL a b", "BURL a LAST x", "BURL \u{e4} LAST"] {
        assert_eq!(codes(&harness.say(wrong)), ["501"], "{wrong}");
    }
    assert!(harness.urls.is_empty());
    assert_eq!(codes(&harness.say("DATA")), ["354"]);
}

#[test]
fn urls_and_chunks_of_one_message_are_mixed() {
    let mut harness = sender();
    harness.stored.push(("part", b"--b\r\n\r\nfrom the store\r\n".to_vec()));
    harness.stored.push(("end", b"--b--\r\n".to_vec()));
    begin(&mut harness);
    let replies = harness.send(
        b"BDAT 9\r\nA: b\r\n\r\n\rBURL imap://a/part\r\nBDAT 3\r\n...burl imap://a/end last\r\nQUIT\r\n",
    );
    // The lone CR is what the URL's first line does not complete.
    assert_eq!(codes(&replies), ["250", "550", "503", "503", "221"]);
    let mut harness = sender();
    harness.stored.push(("part", b"--b\r\n\r\nfrom the store\r\n".to_vec()));
    harness.stored.push(("end", b"--b--\r\n".to_vec()));
    begin(&mut harness);
    let replies = harness.send(
        b"BDAT 8\r\nA: b\r\n\r\nBURL imap://a/part\r\nBDAT 3\r\n...burl imap://a/end last\r\nQUIT\r\n",
    );
    assert_eq!(codes(&replies), ["250", "250", "250", "250", "221"]);
    let text = b"A: b\r\n\r\n--b\r\n\r\nfrom the store\r\n...--b--\r\n";
    assert_eq!(harness.messages[0].1, text);
}

#[test]
fn s010_what_follows_a_url_that_failed_belongs_to_no_message() {
    for (name, stored, code) in [
        ("none", &b""[..], "554"),
        ("bare", b"a\nb\r\n", "550"),
        ("half", b"a\r", "550"),
        ("long", &[b'x'; 1001], "552"),
        ("broken", b"begins\r\n", "451"),
    ] {
        let mut harness = sender();
        if name != "none" {
            harness.stored.push((name, stored.to_vec()));
        }
        begin(&mut harness);
        assert_eq!(codes(&harness.send(b"BDAT 3\r\nx\r\n")), ["250"]);
        let replies = harness.send(
            format!(
                "BURL imap://a/{name} LAST\r\nBDAT 6 LAST\r\nRSET\r\nRCPT TO:<known@x.example>\r\n\
                 BURL imap://a/{name} LAST\r\nDATA\r\n"
            )
            .as_bytes(),
        );
        assert_eq!(codes(&replies), [code, "503", "503", "503", "503"], "{name}");
        assert_eq!((harness.abandoned, harness.urls.len()), (1, 1), "{name}");
        assert!(harness.messages.is_empty() && harness.text.is_empty(), "{name}");
        // And the next message is as if nothing had been.
        begin(&mut harness);
        assert_eq!(codes(&harness.send(b"BDAT 3 LAST\r\ny\r\n")), ["250"]);
        assert_eq!(harness.messages[0].1, b"y\r\n");
    }
}

#[test]
fn s009_urls_of_a_message_and_their_lines_are_bounded() {
    let mut harness = sender();
    harness.stored.push(("empty", Vec::new()));
    begin(&mut harness);
    for _ in 0..URLS_MAX {
        assert_eq!(codes(&harness.say("BURL imap://a/empty")), ["250"]);
    }
    assert_eq!(codes(&harness.say("BURL imap://a/empty")), ["554"]);
    assert_eq!((harness.urls.len(), harness.abandoned), (URLS_MAX as usize, 1));
    // A hundred commands that bring no message nearer are enough.
    let again = "MAIL FROM:<me@x.example>\nRCPT TO:<known@x.example>\nBURL imap://a/empty\nRSET";
    let replies: String =
        (0..200).map_while(|_| (!harness.closed).then(|| harness.say(again))).collect();
    assert!(harness.closed && replies.contains("421 4.7.0 Too many commands"), "{replies}");
    // A URL may be longer than other commands.
    let mut harness = sender();
    begin(&mut harness);
    let url = format!("imap://a/{}", "x".repeat(8000));
    assert_eq!(codes(&harness.say(&format!("BURL {url} LAST"))), ["554"]);
    assert_eq!(harness.urls, [url]);
    let noop = format!("NOOP {}", "x".repeat(LONGEST_LINE_BYTES));
    assert_eq!(codes(&harness.say(&noop)), ["500"]);
    let endless = [&b"BURL imap://a/"[..], &[b'x'; 20_000]].concat();
    harness.send(&endless);
    assert!(harness.input.len() <= 20_000);
    assert_eq!(codes(&harness.send(b"\r\nNOOP\r\n")), ["500", "250"]);
}
