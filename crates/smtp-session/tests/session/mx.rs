//! SMTP from strangers: what is offered, what is refused, and what must never be taken for what.

use smtp_session::{
    Dsn, Event, IDLE_COMMANDS_MAX, MAILS_MAX, Notify, Offer, OriginalRecipient, RECIPIENTS_MAX,
    Ret, Role, Session, StartTls,
};
use testkit::smuggling::LOOKALIKES;

use crate::common::{Harness, codes, offer, ready};

const ENVELOPE: &str = "MAIL FROM:<a@b.example>\nRCPT TO:<known@x.example>";

#[test]
fn what_is_offered_is_told_after_ehlo_and_nothing_after_helo() {
    let mut harness = Harness::new(offer(Role::Mx, 1000));
    assert_eq!(harness.out, "220 mail.example.org ESMTP Pillarbox\r\n");
    harness.out.clear();
    assert_eq!(
        harness.say("EHLO mx.example.net"),
        "250-mail.example.org\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 1000\r\n250-CHUNKING\r\n\
         250-LIMITS MAILMAX=1000 RCPTMAX=100\r\n250 STARTTLS\r\n"
    );
    assert_eq!(harness.say("HELO mx.example.net"), "250 mail.example.org\r\n");
    assert_eq!(codes(&harness.say("MAIL FROM:<a@b.example> SIZE=10")), ["555"]);
    assert_eq!(codes(&harness.say("MAIL FROM:<a@b.example>")), ["250"]);
    assert_eq!(codes(&harness.say("RCPT TO:<known@x.example> NOTIFY=NEVER")), ["555"]);
    assert_eq!(codes(&harness.say("RCPT TO:<known@x.example>")), ["250"]);
}

#[test]
fn a_message_to_several_gets_one_reply() {
    let mut harness = ready(Role::Mx);
    let replies = harness.send(
        b"MAIL FROM:<>\r\nRCPT TO:<known1@x.example>\r\nRCPT TO:<other@x.example>\r\n\
          RCPT TO:<\"known2\"@x.example>\r\nDATA\r\n",
    );
    assert_eq!(codes(&replies), ["250", "250", "550", "250", "354"]);
    assert_eq!(harness.send(b"Subject: a\r\n\r\n..b\r\n.\r\n"), "250 2.0.0 Delivered\r\n");
    let (transaction, text) = &harness.messages[0];
    assert_eq!(text, b"Subject: a\r\n\r\n.b\r\n");
    let names: Vec<_> = transaction.recipients.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(names, ["known1@x.example", "known2@x.example"]);
    assert_eq!(codes(&harness.say("RCPT TO:<known@x.example>\nQUIT")), ["503", "221"]);
}

#[test]
fn verbs_of_other_roles_are_refused_and_vrfy_tells_nothing() {
    let mut harness = ready(Role::Mx);
    for (line, code) in [
        ("LHLO a", "500"),
        ("AUTH PLAIN AG1lAHB3", "502"),
        ("VRFY known", "252"),
        ("VRFY nobody", "252"),
        ("EXPN known", "502"),
        ("HELP", "214"),
        ("NOOP", "250"),
        ("RSET", "250"),
        ("ETRN x", "502"),
        ("TURN", "500"),
        ("DATA now", "501"),
        ("MAIL FROM:<a@b.example> AUTH=<>", "555"),
        ("MAIL FROM:<a@b.example> RET=FULL", "555"),
        ("MAIL FROM:<a@b.example> REQUIRETLS", "555"),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555"),
        ("MAIL FROM:<postmaster>", "553"),
    ] {
        assert_eq!(codes(&harness.say(line)), [code], "{line}");
    }
    assert_eq!(codes(&harness.send(b" NOOP\r\n")), ["500"]);
}

#[test]
fn s001_nothing_behind_starttls_is_answered() {
    for behind in ["EHLO evil\r\n", "MAIL FROM:<a@b.c>\r\nRSET\r\n", "\r\n"] {
        let mut harness = ready(Role::Mx);
        let replies = harness.send(format!("STARTTLS\r\n{behind}").as_bytes());
        assert_eq!(replies, "220 2.0.0 Begin TLS\r\n");
        assert!(harness.tls);
        assert_eq!(harness.input, behind.as_bytes());
    }
}

#[test]
fn s002_starttls_with_commands_behind_it_means_the_same_at_every_split() {
    let bytes = b"MAIL FROM:<a@b.c>\r\nSTARTTLS\r\nRSET\r\nQUIT\r\n";
    for split in 0..bytes.len() {
        let mut harness = ready(Role::Mx);
        let mut replies = harness.send(&bytes[..split]);
        if !harness.tls {
            replies.push_str(&harness.send(&bytes[split..]));
        }
        assert_eq!(codes(&replies), ["250", "220"], "{split}");
    }
}

#[test]
fn s003_what_was_said_before_tls_is_forgotten() {
    let mut harness = ready(Role::Mx);
    harness.say(&format!("{ENVELOPE}\nSTARTTLS"));
    harness.session =
        Session::after_tls(Offer { starttls: StartTls::Absent, ..offer(Role::Mx, 1000) });
    assert!(harness.session.transaction().is_none());
    assert_eq!(harness.session.client_name(), "");
    let replies = harness.say("RCPT TO:<known@x.y>\nMAIL FROM:<a@b.c>\nDATA\nSTARTTLS\nEHLO a");
    assert_eq!(codes(&replies), ["503", "503", "503", "502", "250"]);
    assert!(!replies.contains("STARTTLS"));
}

#[test]
fn s004_who_talks_before_the_greeting_is_sent_away() {
    let session = Session::early_talker(offer(Role::Mx, 1000));
    let harness = Harness::with(Role::Mx, session);
    assert_eq!(codes(&harness.out), ["554"]);
    assert!(harness.closed);
}

#[test]
fn s004_commands_behind_one_that_must_be_waited_for_end_the_session() {
    for (before, bytes, answered) in [
        ("", "EHLO a\r\nMAIL FROM:<a@b.c>\r\n", 0),
        ("", "HELO a\r\nMAIL FROM:<a@b.c>\r\n", 0),
        ("", "NOOP\r\nNOOP\r\n", 0),
        ("HELO a", "MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\n", 0),
        ("EHLO a", "EHLO b\r\nMAIL FROM:<a@b.c>\r\n", 0),
        ("EHLO a", "MAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\nDATA\r\nSubject: x\r\n", 2),
        ("EHLO a", "RSET\r\nAUTH PLAIN AG1lAHB3\r\nMAIL FROM:<a@b.c>\r\n", 1),
    ] {
        let mut harness = Harness::new(offer(Role::Mx, 1000));
        harness.say(before);
        harness.out.clear();
        let replies = harness.send(bytes.as_bytes());
        let codes = codes(&replies);
        assert_eq!((codes.len(), codes.last()), (answered + 1, Some(&"554")), "{bytes}: {replies}");
        assert!(harness.closed && harness.messages.is_empty());
    }
}

#[test]
fn s004_a_group_of_commands_after_ehlo_is_answered_in_order() {
    let mut harness = ready(Role::Mx);
    let replies = harness.send(
        b"RSET\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<known@x.y>\r\nRCPT TO:<nobody@x.y>\r\nNOOP\r\nQUIT\r\n",
    );
    assert_eq!(codes(&replies), ["250", "250", "250", "550", "250", "221"]);
}

#[test]
fn s005_a_message_in_a_message_is_one_message_or_none() {
    assert_eq!(LOOKALIKES.len(), 40);
    for lookalike in LOOKALIKES {
        let smuggled = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<known@x.example>\r\nDATA\r\nevil";
        let text = format!("Subject: a\r\n\r\nb{lookalike}{smuggled}\r\n.\r\n");
        // The one that does end a message is followed by a bare LF, which ends the session.
        let ends = lookalike.starts_with("\r\n.\r\n");
        for split in 0..text.len() {
            let mut harness = ready(Role::Mx);
            harness.say(&format!("{ENVELOPE}\nDATA"));
            let mut replies = harness.send(&text.as_bytes()[..split]);
            replies.push_str(&harness.send(&text.as_bytes()[split..]));
            let got = codes(&replies);
            if ends {
                assert_eq!(got, ["250", "500"], "{lookalike:?} at {split}");
                assert!(harness.closed);
                continue;
            }
            // Whoever sends a bare CR or LF is refused; all others have sent one message.
            let bare = text.replace("\r\n", "").contains(['\r', '\n']);
            let expected = if bare { "550" } else { "250" };
            assert_eq!(got, [expected], "{lookalike:?} at {split}");
            assert_eq!(harness.messages.len(), usize::from(!bare));
            assert_eq!(harness.abandoned, usize::from(bare));
            assert!(harness.session.transaction().is_none());
        }
    }
}

#[test]
fn s005_bare_line_ends_in_commands_end_the_session() {
    for (line, code) in
        [("NOOP\n", "500"), ("NOOP\rNOOP\r\n", "500"), ("NOOP\r\r\n", "500"), ("NO\0OP\r\n", "500")]
    {
        let mut harness = ready(Role::Mx);
        assert_eq!(codes(&harness.send(line.as_bytes())), [code], "{line:?}");
        assert_eq!(harness.closed, !line.ends_with("\r\n"));
    }
}

#[test]
fn s008_octets_of_a_chunk_are_never_commands() {
    let evil = "RSET\r\nMAIL FROM:<evil@x.example>\r\n";
    let sized = |last: &str| format!("BDAT {}{last}\r\n{evil}", evil.len());
    // Without a transaction, without a recipient, after the message was refused.
    for (before, code) in [
        ("", "503"),
        ("MAIL FROM:<a@b.c>", "503"),
        ("MAIL FROM:<a@b.c>\nRCPT TO:<nobody@x.y>", "503"),
        (ENVELOPE, "250"),
    ] {
        let mut harness = ready(Role::Mx);
        harness.say(before);
        let replies = harness.send(format!("{}NOOP\r\n", sized("")).as_bytes());
        assert_eq!(codes(&replies), [code, "250"], "{before}");
    }
    let mut harness = ready(Role::Mx);
    harness.say(ENVELOPE);
    let replies = harness.send(b"BDAT 4\r\na\nb\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(codes(&replies), ["550", "503", "250"]);
    assert_eq!((harness.messages.len(), harness.abandoned), (0, 1));
}

#[test]
fn s008_a_chunk_whose_size_cannot_be_read_ends_the_session() {
    for line in [
        "BDAT",
        "BDAT x",
        "BDAT -1",
        "BDAT +1",
        "BDAT 1x",
        "BDAT 18446744073709551616",
        "BDAT 99999999999999999999999999999999999999995",
        "BDAT 5 LAST x",
        "BDAT 5 FIRST",
        "bdat 0x5",
    ] {
        let mut harness = ready(Role::Mx);
        harness.say(ENVELOPE);
        let replies = harness.send(format!("{line}\r\nQUIT\r\n").as_bytes());
        assert_eq!(codes(&replies), ["501"], "{line}");
        assert!(harness.closed);
    }
}

#[test]
fn s008_chunks_and_data_do_not_mix() {
    let mut harness = ready(Role::Mx);
    harness.say(ENVELOPE);
    let replies = harness.send(b"BDAT 3\r\na\r\nDATA\r\n");
    assert_eq!(codes(&replies), ["250", "503"]);
    let replies = harness.say("RCPT TO:<known2@x.y>\nMAIL FROM:<c@d.e>\nNOOP");
    assert_eq!(codes(&replies), ["503", "503", "250"]);
    assert_eq!(codes(&harness.send(b"BDAT 0 LAST\r\n")), ["250"]);
    assert_eq!(harness.messages[0].1, b"a\r\n");
    // RSET and EHLO forget what had come.
    for verb in ["RSET", "EHLO again"] {
        harness.say(ENVELOPE);
        harness.send(b"BDAT 3\r\nx\r\n");
        harness.say(verb);
        assert!(harness.session.transaction().is_none() && harness.text.is_empty());
    }
    assert_eq!((harness.messages.len(), harness.abandoned), (1, 2));
}

#[test]
fn s005_dots_in_chunks_are_dots_and_bare_line_ends_are_noticed_between_chunks() {
    let mut harness = ready(Role::Mx);
    harness.say(ENVELOPE);
    let replies = harness.send(b"BDAT 5\r\n.\r\n.\rBDAT 3 LAST\r\n\n..");
    assert_eq!(codes(&replies), ["250", "250"]);
    assert_eq!(harness.messages[0].1, b".\r\n.\r\n..");
    for second in ["x\n", "\r\n", "\n\r", "\nx"] {
        harness.say(ENVELOPE);
        let last = format!("BDAT 2\r\na\rBDAT {} LAST\r\n{second}", second.len());
        let replies = harness.send(last.as_bytes());
        let code = if second == "\nx" { "250" } else { "550" };
        assert_eq!(codes(&replies), ["250", code], "{second:?}");
    }
}

#[test]
fn s009_a_million_tiny_chunks_leave_nothing_behind() {
    let mut harness = Harness::new(offer(Role::Mx, 2_000_000));
    harness.say(&format!("EHLO a\n{ENVELOPE}"));
    for _ in 0..10_000 {
        let replies = harness.send(&b"BDAT 1\r\nx".repeat(100));
        assert_eq!(codes(&replies).len(), 100);
        harness.text.clear();
    }
    assert_eq!(harness.input.capacity(), 0);
    // Chunks without octets bring no message nearer.
    let replies = harness.send(&b"BDAT 0\r\n".repeat(1000));
    assert_eq!(codes(&replies).last(), Some(&"421"));
    assert!(harness.closed);
}

#[test]
fn s010_every_refusal_of_a_message_forgets_its_envelope() {
    let long = format!("{}\r\n.\r\n", "x".repeat(1001));
    for (text, code) in [(long.as_str(), "552"), ("a\nb\r\n.\r\n", "550")] {
        let mut harness = ready(Role::Mx);
        harness.say(&format!("{ENVELOPE}\nDATA"));
        let replies = harness.send(format!("{text}RCPT TO:<known@x.y>\r\n").as_bytes());
        assert_eq!(codes(&replies), [code, "503"]);
        assert_eq!(codes(&harness.say("DATA")), ["503"]);
    }
    // A recipient's refusal belongs to the next transaction as little.
    let mut harness = ready(Role::Mx);
    harness.say("MAIL FROM:<a@b.c>\nRCPT TO:<known-full@x.y>\nDATA");
    let replies = harness.send(b"a\r\n.\r\nRCPT TO:<known@x.y>\r\n");
    assert_eq!(codes(&replies), ["452", "503"]);
}

#[test]
fn s012_a_web_request_is_not_answered_line_by_line() {
    let mut harness = Harness::new(offer(Role::Mx, 1000));
    harness.out.clear();
    let replies = harness.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO a\r\n");
    assert_eq!(replies, "421 4.7.0 This is a mail server\r\n");
    assert!(harness.closed);
}

#[test]
fn s044_sizes_that_do_not_fit_are_refused() {
    let mut harness = ready(Role::Mx);
    for size in ["1001", "9223372036854775808", "18446744073709551615"] {
        let replies = harness.say(&format!("MAIL FROM:<a@b.c> SIZE={size}"));
        assert!(matches!(codes(&replies)[..], ["552" | "501"]), "{size}: {replies}");
    }
    assert_eq!(codes(&harness.say("MAIL FROM:<a@b.c> SIZE=1000")), ["250"]);
    harness.say("RCPT TO:<known@x.y>");
    assert_eq!(codes(&harness.send(b"BDAT 1001\r\nx")), ["552"]);
    assert!(harness.closed);
}

#[test]
fn s048_recipients_messages_and_idle_commands_are_limited() {
    let mut harness = ready(Role::Mx);
    harness.say("MAIL FROM:<a@b.c>");
    for _ in 0..RECIPIENTS_MAX {
        assert_eq!(codes(&harness.say("RCPT TO:<known@x.y>")), ["250"]);
    }
    assert_eq!(codes(&harness.say("RCPT TO:<known@x.y>")), ["452"]);
    for _ in 0..IDLE_COMMANDS_MAX - 1 {
        assert_eq!(codes(&harness.say("NOOP")), ["250"]);
    }
    assert_eq!(codes(&harness.say("RSET")), ["421"]);
    assert!(harness.closed);
    let mut harness = ready(Role::Mx);
    for _ in 0..MAILS_MAX {
        harness.say(&format!("{ENVELOPE}\nDATA"));
        assert_eq!(codes(&harness.send(b"x\r\n.\r\n")), ["250"]);
    }
    assert_eq!(codes(&harness.say("MAIL FROM:<a@b.c>")), ["421"]);
    assert!(harness.closed);
}

#[test]
fn a_client_that_goes_on_after_its_message_was_refused_is_cut_off() {
    let mut harness = ready(Role::Mx);
    harness.say(&format!("{ENVELOPE}\nDATA"));
    for _ in 0..64 {
        assert_eq!(harness.send(&[b'x'; 16 * 1024]), "");
    }
    assert_eq!(codes(&harness.send(&[b'x'; 16 * 1024])), ["552"]);
    assert!(harness.closed && harness.messages.is_empty());
}

#[test]
fn notifications_are_asked_for_where_they_are_offered() {
    let mut harness = Harness::new(Offer { dsn: Dsn::Offered, ..offer(Role::Mx, 1000) });
    assert!(harness.say("EHLO a").contains("250-DSN\r\n"));
    let replies = harness.say(
        "MAIL FROM:<a@b.c> RET=HDRS ENVID=QQ+2B1
         RCPT TO:<known@x.y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40z.example
         RCPT TO:<known2@x.y> NOTIFY=NEVER
         RCPT TO:<known3@x.y>
         RCPT TO:<known4@x.y> NOTIFY=NEVER,SUCCESS
         RCPT TO:<known5@x.y> ORCPT=rfc822;a+0D+0Ab",
    );
    assert_eq!(codes(&replies)[..4], ["250", "250", "250", "250"]);
    assert!(codes(&replies)[4..].iter().all(|code| matches!(*code, "501" | "555")), "{replies}");
    let transaction = harness.session.transaction().unwrap();
    assert_eq!(transaction.ret, Some(Ret::Headers));
    assert_eq!(transaction.envelope_id.as_deref(), Some("QQ+1"));
    let recipients = &transaction.recipients;
    let wanted = Notify { success: true, failure: false, delay: true };
    assert_eq!(recipients[0].notify, Some(wanted));
    let original = OriginalRecipient::mailbox("Bob@z.example".to_owned());
    assert_eq!(recipients[0].original, Some(original));
    assert_eq!(recipients[1].notify, Some(Notify::default()));
    assert_eq!(recipients[2].notify, None);
    assert_eq!(recipients.len(), 3);
    // RFC 6533 §3
    let replies = harness.say(
        "RSET
         MAIL FROM:<a@b.c> SMTPUTF8
         RCPT TO:<known@x.y> ORCPT=utf-8;\u{e4}@z.example NOTIFY=FAILURE
         RCPT TO:<known2@x.y> NOTIFY=SUCCESS ORCPT=x400;/C+3Dxx/
         RCPT TO:<known3@x.y> ORCPT=x400;
         RSET
         MAIL FROM:<a@b.c> ENVID=a+E4
         MAIL FROM:<a@b.c> ORCPT=rfc822;a@b.c",
    );
    assert_eq!(codes(&replies), ["250", "250", "250", "250", "501", "250", "501", "555"]);
}

#[test]
fn s092_addresses_that_once_opened_relays_are_asked_about_as_they_stand() {
    for (path, asked) in [
        ("<@a.example,@b.example:u@d.example>", Some("u@d.example")),
        ("<u%d.example@us.example>", Some("u%d.example@us.example")),
        ("<\"u@d.example\"@us.example>", Some("\"u@d.example\"@us.example")),
        ("<d.example!u@us.example>", Some("d.example!u@us.example")),
        ("<u@[192.0.2.1]>", Some("u@[192.0.2.1]")),
        ("<u@us.example.>", None),
        ("<u@us.example@d.example>", None),
        ("<u\0@us.example>", None),
        ("u@d.example", None),
        ("<>", None),
    ] {
        let mut harness = ready(Role::Mx);
        harness.say("MAIL FROM:<a@b.c>");
        harness.input.extend_from_slice(format!("RCPT TO:{path}\r\n").as_bytes());
        let event = harness.session.advance(&mut harness.input);
        match asked {
            Some(asked) => {
                assert!(matches!(&event, Event::Recipient(it) if it == asked), "{path}: {event:?}");
            }
            None => assert!(matches!(event, Event::NeedInput), "{path}: {event:?}"),
        }
    }
}
