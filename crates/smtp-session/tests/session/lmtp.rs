//! LMTP: what our own mail server says, and what it must not.

use smtp_session::{ERRORS_MAX, Event, Offer, RECIPIENTS_MAX, Role, Session, StartTls};

use crate::common::{Harness, codes, offer, ready};

#[test]
fn a_greeting_and_the_offer() {
    let mut harness = Harness::lmtp(1000);
    assert_eq!(harness.out, "220 mail.example.org LMTP Pillarbox\r\n");
    harness.out.clear();
    let reply = harness.send(b"LHLO mx.example.net\r\n");
    assert_eq!(
        reply,
        "250-mail.example.org\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"
    );
    assert_eq!(harness.session.client_name(), "mx.example.net");
}

#[test]
fn each_accepted_recipient_gets_its_own_reply_in_order() {
    let mut harness = ready(Role::Lmtp);
    let replies = harness.send(
        b"MAIL FROM:<a@b.example>\r\nRCPT TO:<known1@x.example>\r\nRCPT TO:<other@x.example>\r\n\
          RCPT TO:<known-full@x.example>\r\nRCPT TO:<known2@x.example>\r\nDATA\r\n",
    );
    assert_eq!(codes(&replies), ["250", "250", "550", "250", "250", "354"]);
    let replies = harness.send(b"Subject: a\r\n\r\n..text\r\n.\r\n");
    assert_eq!(
        replies,
        "250 2.0.0 <known1@x.example> Delivered\r\n\
         452 4.2.2 <known-full@x.example> Full\r\n\
         250 2.0.0 <known2@x.example> Delivered\r\n"
    );
    assert_eq!(harness.messages[0].1, b"Subject: a\r\n\r\n.text\r\n");
}

#[test]
fn every_split_of_a_conversation_means_the_same() {
    let parts: [&[u8]; 3] = [
        b"LHLO a\r\nMAIL FROM:<> BODY=8BITMIME\r\nRCPT TO:<known+x@y.example>\r\nDATA\r\n",
        b"a\r\n..b\r\n.\r\nMAIL FROM:<q@w.example> SIZE=10\r\nRCPT TO:<known@y.example>\r\nDATA\r\n",
        b".\r\nNOOP\r\nQUIT\r\n",
    ];
    let run = |split: usize| {
        let (mut harness, mut replies, mut seen) = (Harness::lmtp(1000), String::new(), 0);
        for part in parts {
            let at = split.saturating_sub(seen).min(part.len());
            seen += part.len();
            replies.push_str(&harness.send(&part[..at]));
            replies.push_str(&harness.send(&part[at..]));
        }
        assert!(harness.closed);
        (replies, harness.messages)
    };
    let whole = run(0);
    assert_eq!(whole.1.len(), 2);
    assert!(whole.1[1].1.is_empty());
    for split in 1..parts.iter().map(|part| part.len()).sum() {
        assert_eq!(run(split), whole, "split at {split}");
    }
}

#[test]
fn s004_a_text_sent_before_354_closes_the_connection() {
    let mut harness = ready(Role::Lmtp);
    harness.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.example>\r\n");
    let replies = harness.send(b"DATA\r\nSubject: early\r\n.\r\n");
    assert_eq!(codes(&replies), ["554"]);
    assert!(harness.closed && harness.messages.is_empty());
}

#[test]
fn s010_nothing_is_left_of_a_message_that_was_refused() {
    let mut harness = Harness::lmtp(10);
    harness.send(b"LHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.example>\r\nDATA\r\n");
    let replies = harness.send(b"far more than ten bytes\r\n.\r\nRCPT TO:<known@x.example>\r\n");
    assert_eq!(codes(&replies), ["552", "503"]);
    assert!(harness.messages.is_empty());
    let replies = harness.send(b"MAIL FROM:<a@b.c> SIZE=11\r\n");
    assert_eq!(codes(&replies), ["552"]);
}

#[test]
fn s012_a_web_request_is_not_answered_line_by_line() {
    for request in ["GET / HTTP/1.1", "post /x HTTP/1.1", "PRI * HTTP/2.0", "CONNECT a:1 HTTP/1.1"]
    {
        let mut harness = Harness::lmtp(1000);
        harness.out.clear();
        let replies = harness.send(format!("{request}\r\nNOOP\r\nLHLO a\r\n").as_bytes());
        assert_eq!(replies, "421 4.7.0 This is an LMTP server\r\n");
        assert!(harness.closed);
    }
}

#[test]
fn s011_every_verb_in_every_state_is_answered_with_any_argument() {
    let verbs = "LHLO EHLO HELO MAIL RCPT DATA RSET VRFY EXPN HELP NOOP QUIT STARTTLS AUTH BDAT \
                 ETRN ATRN BURL XFOO";
    let arguments: [&[u8]; 6] =
        [b"", b"plain", b"FROM:<\xc3\xa4@\xc3\xb6.example>", b"TO:<\xff\xfe@x>", b"a\0b", b"\xff"];
    let states: [&[u8]; 3] =
        [b"", b"LHLO a\r\n", b"LHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\n"];
    for verb in verbs.split_whitespace() {
        for (argument, state) in arguments.iter().flat_map(|a| states.iter().map(move |s| (a, s))) {
            let mut harness = Harness::lmtp(1000);
            harness.send(state);
            let line = [verb.as_bytes(), b" ", argument, b"\r\n"].concat();
            let replies = harness.send(&line);
            assert_eq!(codes(&replies).len(), 1, "{verb} {argument:?} in {state:?}: {replies}");
        }
    }
}

#[test]
fn s009_a_million_empty_commands_leave_nothing_behind() {
    let mut harness = ready(Role::Lmtp);
    for _ in 0..1000 {
        let replies = harness.send(&b"NOOP\r\nRSET\r\n".repeat(100));
        assert_eq!(
            replies.len(),
            100 * ("250 2.0.0 OK\r\n".len() + "250 2.0.0 Forgotten\r\n".len())
        );
    }
    assert_eq!(harness.input.capacity(), 0);
    assert!(harness.session.transaction().is_none());
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut harness = Harness::lmtp(1000);
    let replies = harness.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\nDATA\r\n");
    assert_eq!(codes(&replies), ["220", "503", "503", "503"]);
    let replies =
        harness.send(b"EHLO a\r\nHELO a\r\nLHLO a\r\nMAIL FROM:<a@b.c>\r\nMAIL FROM:<a@b.c>\r\n");
    assert_eq!(codes(&replies), ["500", "500", "250", "250", "503"]);
    let replies = harness.send(b"DATA\r\nRSET\r\nRCPT TO:<known@x.y>\r\n");
    assert_eq!(codes(&replies), ["503", "250", "503"]);
}

#[test]
fn only_what_was_offered_may_be_asked_for() {
    let mut harness = ready(Role::Lmtp);
    for line in [
        "MAIL FROM:<a@b.c> BODY=BINARYMIME",
        "MAIL FROM:<a@b.c> RET=FULL",
        "MAIL FROM:<a@b.c> ENVID=1",
        "MAIL FROM:<a@b.c> REQUIRETLS",
        "MAIL FROM:<a@b.c> XFOO=1",
    ] {
        let replies = harness.send(format!("{line}\r\n").as_bytes());
        assert!(matches!(codes(&replies)[..], ["555" | "501"]), "{line}: {replies}");
    }
    let replies = harness.send(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y> NOTIFY=NEVER\r\n");
    assert_eq!(codes(&replies), ["250", "555"]);
}

#[test]
fn international_addresses_need_to_be_declared() {
    let mut harness = ready(Role::Lmtp);
    assert_eq!(codes(&harness.send("MAIL FROM:<ä@b.c>\r\n".as_bytes())), ["553"]);
    let declared = "MAIL FROM:<ä@b.c> SMTPUTF8\r\nRCPT TO:<known-ö@x.y>\r\n";
    assert_eq!(codes(&harness.send(declared.as_bytes())), ["250", "250"]);
    assert!(harness.session.transaction().unwrap().utf8);
}

#[test]
fn the_postmaster_needs_no_domain_but_others_do() {
    let mut harness = ready(Role::Lmtp);
    let replies = harness.send(b"MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<known>\r\n");
    assert_eq!(codes(&replies), ["250", "553", "553"]);
    harness.input.extend_from_slice(b"RCPT TO:<Postmaster>\r\n");
    let event = harness.session.advance(&mut harness.input);
    assert!(matches!(event, Event::Recipient(name) if name == "postmaster"));
}

#[test]
fn lines_without_crlf_end_the_session_and_long_lines_do_not() {
    let mut harness = ready(Role::Lmtp);
    let long = [b"NOOP ".as_slice(), &[b'a'; 5000], b"\r\nNOOP\r\n"].concat();
    assert_eq!(codes(&harness.send(&long)), ["500", "250"]);
    assert_eq!(codes(&harness.send(b"NOOP\nNOOP\r\n")), ["500"]);
    assert!(harness.closed);
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let mut harness = ready(Role::Lmtp);
    for _ in 0..100 {
        harness.send(&[b'a'; 4096]);
        assert!(harness.input.len() <= 4096);
    }
    assert_eq!(codes(&harness.send(b"\r\n")), ["500"]);
}

#[test]
fn too_many_recipients_and_too_many_errors_are_stopped() {
    let mut harness = ready(Role::Lmtp);
    harness.send(b"MAIL FROM:<a@b.c>\r\n");
    for _ in 0..RECIPIENTS_MAX {
        assert_eq!(codes(&harness.send(b"RCPT TO:<known@x.y>\r\n")), ["250"]);
    }
    assert_eq!(codes(&harness.send(b"RCPT TO:<known@x.y>\r\n")), ["452"]);
    let mut harness = ready(Role::Lmtp);
    let replies = harness.send(&b"XFOO\r\n".repeat(300));
    assert_eq!(codes(&replies).len(), ERRORS_MAX as usize + 1);
    assert!(harness.closed && replies.ends_with("421 4.7.0 Too many errors\r\n"));
}

#[test]
fn s001_what_follows_starttls_is_left_for_the_handshake() {
    let mut harness = ready(Role::Lmtp);
    let replies = harness.send(b"STARTTLS\r\nLHLO evil\r\nMAIL FROM:<a@b.c>\r\n");
    assert_eq!(codes(&replies), ["220"]);
    assert!(harness.tls);
    assert_eq!(harness.input, b"LHLO evil\r\nMAIL FROM:<a@b.c>\r\n");
}

#[test]
fn s003_nothing_said_before_tls_counts_after_it() {
    let mut harness = ready(Role::Lmtp);
    harness.send(b"MAIL FROM:<a@b.c>\r\nSTARTTLS\r\n");
    harness.session =
        Session::after_tls(Offer { starttls: StartTls::Absent, ..offer(Role::Lmtp, 1000) });
    let replies = harness.send(b"RCPT TO:<known@x.y>\r\nMAIL FROM:<a@b.c>\r\nSTARTTLS\r\n");
    assert_eq!(codes(&replies), ["503", "503", "502"]);
}

#[test]
fn vrfy_tells_nothing() {
    let mut harness = ready(Role::Lmtp);
    let replies = harness.send(b"VRFY known\r\nVRFY nobody\r\n");
    let lines: Vec<_> = replies.lines().collect();
    assert_eq!(lines[0], lines[1]);
    assert_eq!(codes(&replies), ["252", "252"]);
}
