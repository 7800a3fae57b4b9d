//! The examples of the RFCs. Names of recipients who exist begin with `known` here, and of a
//! reply its code is compared: the words are the server's own. What differs stands at the example.

use smtp_session::{Offer, Role, Session, StartTls};

use crate::common::{Harness, NOW, codes, full_offer, offer, sender};

/// Plays lines: those of `C:` are sent, a run of them at once, and then those of `S:` must be the
/// codes of what was replied since. `S: EHLO` is the whole reply to EHLO.
fn play(harness: &mut Harness, transcript: &str) {
    let (mut to_send, mut expected) = (String::new(), Vec::new());
    let mut check = |to_send: &mut String, expected: &mut Vec<String>| {
        let mut replies = std::mem::take(&mut harness.out);
        replies.push_str(&harness.send(std::mem::take(to_send).as_bytes()));
        assert_eq!(codes(&replies), *expected, "{replies}");
        expected.clear();
    };
    let lines: Vec<_> = transcript.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    for (at, line) in lines.iter().enumerate() {
        if let Some(reply) = line.strip_prefix("S: ") {
            expected.push(reply.to_owned());
            if lines.get(at + 1).is_none_or(|next| next.starts_with("C:")) {
                check(&mut to_send, &mut expected);
            }
        } else if let Some(said) = line.strip_prefix("C:") {
            to_send.push_str(said.strip_prefix(' ').unwrap_or(said));
            to_send.push_str("\r\n");
        }
    }
    assert!(to_send.is_empty() && expected.is_empty());
}

fn mx() -> Harness {
    Harness::new(offer(Role::Mx, 200_000))
}

/// RFC 5321 Appendix D.1
#[test]
fn rfc5321_d1_a_typical_transaction() {
    let mut harness = mx();
    play(
        &mut harness,
        "S: 220
         C: EHLO bar.com
         S: 250
         C: MAIL FROM:<Smith@bar.com>
         S: 250
         C: RCPT TO:<known-Jones@foo.com>
         S: 250
         C: RCPT TO:<Green@foo.com>
         S: 550
         C: RCPT TO:<known-Brown@foo.com>
         S: 250
         C: DATA
         S: 354
         C: Blah blah blah...
         C: ...etc. etc. etc.
         C: .
         S: 250
         C: QUIT
         S: 221",
    );
    // The second line begins with dots; a client that follows §4.5.2 would have sent four.
    assert_eq!(harness.messages[0].1, b"Blah blah blah...\r\n..etc. etc. etc.\r\n");
    assert_eq!(harness.messages[0].0.recipients.len(), 2);
}

/// RFC 5321 Appendix D.2
#[test]
fn rfc5321_d2_an_aborted_transaction() {
    let mut harness = mx();
    play(
        &mut harness,
        "S: 220
         C: EHLO bar.com
         S: 250
         C: MAIL FROM:<Smith@bar.com>
         S: 250
         C: RCPT TO:<known-Jones@foo.com>
         S: 250
         C: RCPT TO:<Green@foo.com>
         S: 550
         C: RSET
         S: 250
         C: QUIT
         S: 221",
    );
    assert!(harness.messages.is_empty() && harness.closed);
}

/// RFC 5321 Appendix D.3, step 2
#[test]
fn rfc5321_d3_the_last_step_of_a_relay() {
    let mut harness = mx();
    play(
        &mut harness,
        "S: 220
         C: EHLO foo.com
         S: 250
         C: MAIL FROM:<JQP@bar.com>
         S: 250
         C: RCPT TO:<known-Jones@XYZ.COM>
         S: 250
         C: DATA
         S: 354
         C: Received: from bar.com by foo.com ; Thu, 21 May 1998
         C:     05:33:29 -0700
         C: Date: Thu, 21 May 1998 05:33:22 -0700
         C: From: John Q. Public <JQP@bar.com>
         C: Subject:  The Next Meeting of the Board
         C: To: Jones@xyz.com
         C:
         C: Bill:
         C: The next meeting of the board of directors will be
         C: on Tuesday.
         C:                         John.
         C: .
         S: 250
         C: QUIT
         S: 221",
    );
    assert!(harness.messages[0].1.ends_with(b"                        John.\r\n"));
}

/// RFC 2920 §4, the dialogue without and then with pipelining
#[test]
fn rfc2920_4_the_same_mail_with_and_without_pipelining() {
    let text = "C: Subject: x
                C: .";
    for greeting in ["HELO", "EHLO"] {
        let wait = if greeting == "HELO" { "S: 250" } else { "" };
        let (first, more) =
            if wait.is_empty() { ("", "S: 250\nS: 250\nS: 250\nS: 250") } else { (wait, "") };
        let mut harness = mx();
        play(
            &mut harness,
            &format!(
                "S: 220
                 C: {greeting} dbc.mtview.ca.us
                 S: 250
                 C: MAIL FROM:<mrose@dbc.mtview.ca.us>
                 {first}
                 C: RCPT TO:<known-ned@innosoft.com>
                 {first}
                 C: RCPT TO:<known-dan@innosoft.com>
                 {first}
                 C: RCPT TO:<known-kvc@innosoft.com>
                 {first}
                 C: DATA
                 {more}
                 S: 354
                 {text}
                 C: QUIT
                 S: 250
                 S: 221"
            ),
        );
        assert_eq!(harness.messages[0].0.recipients.len(), 3, "{greeting}");
    }
}

/// RFC 2920 §4, all recipients refused. DATA is answered by 503 here (RFC 5321 §3.3 allows both).
#[test]
fn rfc2920_4_no_recipient_is_left() {
    let mut harness = mx();
    play(
        &mut harness,
        "S: 220
         C: EHLO dbc.mtview.ca.us
         S: 250
         C: MAIL FROM:<mrose@dbc.mtview.ca.us>
         C: RCPT TO:<nsb@thumper.bellcore.com>
         C: RCPT TO:<galvin@tis.com>
         C: DATA
         S: 250
         S: 550
         S: 550
         S: 503
         C: QUIT
         S: 221",
    );
}

/// RFC 2034 §7: 550 where the example says 551, because nobody is told where to turn to.
#[test]
fn rfc2034_7_replies_carry_status_codes() {
    let mut harness = mx();
    harness.say("EHLO ymir.claremont.edu");
    let mut said = harness.say(
        "MAIL FROM:<ned@ymir.claremont.edu>
         RCPT TO:<known-mrose@dbc.mtview.ca.us>
         RCPT TO:<nosuchuser@dbc.mtview.ca.us>
         DATA",
    );
    said.push_str(&harness.send(b"x\r\n.\r\n"));
    said.push_str(&harness.say("QUIT"));
    let status: Vec<_> = said.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(status, ["2.1.0", "2.1.5", "5.1.1", "End", "2.0.0", "2.0.0"]);
}

/// RFC 3030 §4.1
#[test]
fn rfc3030_4_1_a_simple_chunk() {
    let text = b"To: Susan@random.com\r\nFrom: Sam@random.com\r\n\
                 Subject: This is a bodyless test message\r\n";
    // The example counts 86 octets with the line ends that it shows as <CR><LF>.
    assert_eq!(text.len(), 86);
    let mut harness = mx();
    harness.out.clear();
    assert!(harness.say("EHLO ymir.claremont.edu").contains("250-CHUNKING\r\n"));
    let replies = harness.send(
        &[
            &b"MAIL FROM:<Sam@Random.com>\r\nRCPT TO:<known-Susan@Random.com>\r\nBDAT 86 LAST\r\n"
                [..],
            text,
            b"QUIT\r\n",
        ]
        .concat(),
    );
    assert_eq!(codes(&replies), ["250", "250", "250", "221"]);
    assert_eq!(harness.messages[0].1, text);
}

/// RFC 3030 §4.2, with BODY=8BITMIME: BINARYMIME is not offered.
#[test]
fn rfc3030_4_2_pipelined_chunks() {
    let mut harness = mx();
    harness.say("EHLO ymir.claremont.edu");
    let binary = harness.say("MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME");
    assert_eq!(codes(&binary), ["555"]);
    let replies = harness.send(
        b"MAIL FROM:<ned@ymir.claremont.edu> BODY=8BITMIME\r\n\
          RCPT TO:<known-gvaudre@cnri.reston.va.us>\r\nRCPT TO:<known-jstewart@cnri.reston.va.us>\r\n",
    );
    assert_eq!(codes(&replies), ["250", "250", "250"]);
    let (first, second) = ([b'a'; 100_000], [b'b'; 324]);
    let all =
        [b"BDAT 100000\r\n", &first[..], b"BDAT 324\r\n", &second, b"BDAT 0 LAST\r\n"].concat();
    assert_eq!(codes(&harness.send(&all)), ["250", "250", "250"]);
    assert_eq!(harness.messages[0].1.len(), 100_324);
    assert_eq!(codes(&harness.say("QUIT")), ["221"]);
}

/// RFC 3207 §5
#[test]
fn rfc3207_5_after_starttls_the_client_begins_again() {
    let mut harness = mx();
    assert!(harness.say("EHLO mail.example.com").contains("250 STARTTLS\r\n"));
    assert_eq!(codes(&harness.say("STARTTLS")), ["220"]);
    assert!(harness.tls);
    harness.session =
        Session::after_tls(Offer { starttls: StartTls::Absent, ..offer(Role::Mx, 1000) });
    let hello = harness.say("EHLO mail.example.com");
    assert!(hello.starts_with("250-mail.example.org\r\n") && !hello.contains("STARTTLS"));
}

/// RFC 4954 §4.1, the exchange with PLAIN and its initial response; §5, the parameter
#[test]
fn rfc4954_4_an_initial_response_and_the_parameter_of_mail() {
    let mut harness = Harness::new(offer(Role::Submission, 1000));
    assert!(harness.say("EHLO client.example.com").contains("AUTH PLAIN"));
    assert_eq!(codes(&harness.say("AUTH FOOBAR")), ["504"]);
    // An empty challenge is `334 ` with the space. RFC 4954 §4
    assert_eq!(harness.say("AUTH PLAIN"), "334 \r\n");
    assert_eq!(harness.say("AG1lAHB3"), "235 2.7.0 Authenticated\r\n");
    let mail = harness.say("MAIL FROM:<me@example.com> AUTH=e+3Dmc2@example.com");
    assert_eq!(codes(&mail), ["250"]);
}

/// RFC 1870 §7: a message that is announced as too large
#[test]
fn rfc1870_7_a_declared_size_over_the_limit() {
    let mut harness = Harness::new(offer(Role::Mx, 1_000_000));
    assert!(harness.say("EHLO ymir.claremont.edu").contains("250-SIZE 1000000\r\n"));
    assert_eq!(codes(&harness.say("MAIL FROM:<ned@thor.innosoft.com> SIZE=500000")), ["250"]);
    assert_eq!(codes(&harness.say("RSET")), ["250"]);
    assert_eq!(codes(&harness.say("MAIL FROM:<ned@thor.innosoft.com> SIZE=1000001")), ["552"]);
}

/// RFC 4468 §3.4. The URL stands in one line, and the user is who logs in here.
#[test]
fn rfc4468_3_4_a_message_is_fetched_by_its_url() {
    let mut harness = Harness::new(full_offer());
    harness.stored.push(("outbox", b"Subject: x\r\n\r\nby url\r\n".to_vec()));
    play(
        &mut harness,
        "S: 220
         C: EHLO potter.example.com
         S: 250
         C: AUTH PLAIN AG1lAHB3
         S: 235
         C: MAIL FROM:<me@gryffindor.example.com>
         S: 250
         C: RCPT TO:<known-ron@gryffindor.example.com>
         S: 250
         C: BURL imap://harry@gryffindor.example.com/outbox LAST
         S: 250",
    );
    play(
        &mut harness,
        "C: MAIL FROM:<me@gryffindor.example.com>
         C: RCPT TO:<known-ron@gryffindor.example.com>
         C: BURL imap://harry@gryffindor.example.com/outbox LAST
         S: 250
         S: 250
         S: 250",
    );
    let texts: Vec<_> = harness.messages.iter().map(|(_, text)| text.as_slice()).collect();
    assert_eq!(texts, [b"Subject: x\r\n\r\nby url\r\n"; 2]);
}

/// RFC 4468 §3.4, the failures.
#[test]
fn rfc4468_3_4_without_recipients_or_authorization_nothing_is_fetched() {
    let mut harness = sender();
    play(
        &mut harness,
        "C: MAIL FROM:<me@gryffindor.example.com>
         C: RCPT TO:<malfoy@slitherin.example.com>
         C: BURL imap://harry@gryffindor.example.com/outbox LAST
         S: 250
         S: 550
         S: 554
         C: RSET
         S: 250",
    );
    assert!(harness.urls.is_empty());
    play(
        &mut harness,
        "C: MAIL FROM:<me@gryffindor.example.com>
         C: RCPT TO:<known-ron@gryffindor.example.com>
         C: BURL imap://harry@gryffindor.example.com/outbox LAST
         S: 250
         S: 250
         S: 554",
    );
    assert_eq!(harness.abandoned, 1);
    assert!(harness.messages.is_empty());
}

/// RFC 4865 has no examples: a dialogue by its grammar.
#[test]
fn rfc4865_mail_is_handed_in_to_leave_later() {
    let mut harness = sender();
    let hello = harness.say("EHLO a");
    assert!(hello.contains("250-FUTURERELEASE 86400 2026-11-29T18:00:00Z\r\n"), "{hello}");
    play(
        &mut harness,
        "C: MAIL FROM:<me@x.example> HOLDFOR=3600
         C: RCPT TO:<known@x.example>
         C: BDAT 0 LAST
         S: 250
         S: 250
         S: 250
         C: MAIL FROM:<me@x.example> HOLDUNTIL=2026-11-28T20:00:00+01:00
         C: RCPT TO:<known@x.example>
         C: BDAT 0 LAST
         S: 250
         S: 250
         S: 250
         C: MAIL FROM:<me@x.example> HOLDFOR=86401
         S: 501
         C: MAIL FROM:<me@x.example> HOLDFOR=1 HOLDUNTIL=2026-11-28T20:00:00Z
         S: 501
         C: MAIL FROM:<me@x.example> HOLDUNTIL=tomorrow
         S: 501",
    );
    let releases: Vec<_> =
        harness.messages.iter().map(|(it, _)| it.release.map(|it| it.at - NOW)).collect();
    assert_eq!(releases, [Some(3600), Some(3600)]);
}

/// RFC 8689 §2: offered under TLS only, and refused where it is not offered.
#[test]
fn rfc8689_2_requiretls_is_noted_where_it_is_offered() {
    let mut harness = sender();
    assert!(harness.say("EHLO a").ends_with("250 REQUIRETLS\r\n"));
    play(
        &mut harness,
        "C: MAIL FROM:<me@x.example> REQUIRETLS
         S: 250
         C: RCPT TO:<known@x.example>
         S: 250
         C: BDAT 0 LAST
         S: 250
         C: MAIL FROM:<me@x.example> REQUIRETLS=yes
         S: 555",
    );
    assert!(harness.messages[0].0.require_tls);
    let mut clear = mx();
    play(
        &mut clear,
        "S: 220
         C: EHLO a
         S: 250
         C: MAIL FROM:<me@x.example> REQUIRETLS
         S: 555
         C: MAIL FROM:<me@x.example> HOLDFOR=60
         S: 555
         C: BURL imap://a/b LAST
         S: 502",
    );
}
