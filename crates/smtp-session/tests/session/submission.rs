//! Submission: nothing without a login, and nobody's name but one's own.

use smtp_session::{Offer, Role, StartTls};

use crate::common::{Harness, codes, offer, ready};

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
