//! Where commands end: at every split of the input, within the limits, and under attack.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic")]

use imap_proto::frame::{
    Decision, Event, Framer, Limits, LiteralKind, LiteralSync, Offer, Reason, Rejection, Reply,
};
use imap_proto::parse::{self, Frame, LiteralRole};
use imap_proto::types::{AppendForm, AppendPayload, CommandBody, Literal, NameEncoding, Tag};

/// What a framer said, with streamed chunks joined.
#[derive(Debug, PartialEq, Clone)]
enum Said {
    Command(Vec<u8>, Vec<u32>),
    Offered(Offer, Reply),
    Streamed(Vec<u8>),
    End(u32),
    Rejected(Rejection),
    Closed(Reason),
}

/// Pushes pieces into a framer and notes what it says.
fn run(
    framer: &mut Framer,
    pieces: &[&[u8]],
    decide: &dyn Fn(Offer, Frame<'_>) -> Decision,
) -> Vec<Said> {
    let mut said = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let step = framer.push(rest);
            rest = &rest[step.consumed..];
            match step.event {
                Event::NeedMore => {
                    assert!(rest.is_empty(), "input was left: {}", rest.escape_ascii());
                    break;
                }
                Event::Complete => {
                    let frame = framer.frame();
                    said.push(Said::Command(frame.bytes.to_vec(), frame.streamed.to_vec()));
                }
                Event::Line => unreachable!("no line was asked for"),
                Event::Literal(offer) => {
                    let decision = decide(offer, framer.frame());
                    said.push(Said::Offered(offer, framer.decide(decision)));
                }
                Event::Chunk(octets) => match said.last_mut() {
                    Some(Said::Streamed(all)) => all.extend_from_slice(octets),
                    _ => said.push(Said::Streamed(octets.to_vec())),
                },
                Event::LiteralEnd { index } => said.push(Said::End(index)),
                Event::Rejected(rejection) => said.push(Said::Rejected(rejection)),
                Event::Close(reason) => {
                    said.push(Said::Closed(reason));
                    return said;
                }
            }
        }
    }
    said
}

fn keep(_: Offer, _: Frame<'_>) -> Decision {
    Decision::Keep
}

fn commands(said: &[Said]) -> Vec<String> {
    let text = |s: &Said| match s {
        Said::Command(bytes, _) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    said.iter().filter_map(text).collect()
}

fn rejected(tag: &str, reason: Reason) -> Said {
    Said::Rejected(Rejection { tag: Tag::new(tag), reason })
}

const SESSION: &[u8] = b"a NOOP\r\n\r\n\nb LOGIN {3}\r\njoe {4+}\r\np{1}\r\nc NOOP\n\
    d APPEND x (\\Seen) {10+}\r\nab\r\ncd {5} ~{2+}\r\n\0\r\n\r\n\
    e SEARCH SUBJECT \"a {5}\"\r\nf SELECT \"a\\\"{5}\"\r\n";

fn stream_messages(_: Offer, prefix: Frame<'_>) -> Decision {
    match parse::literal_role(prefix) {
        LiteralRole::Message(_) => Decision::Stream,
        LiteralRole::Argument => Decision::Keep,
    }
}

#[test]
fn commands_are_the_same_at_every_split_of_the_input() {
    let whole = run(&mut Framer::server(Limits::AUTHENTICATED), &[SESSION], &stream_messages);
    assert_eq!(
        commands(&whole),
        [
            "a NOOP",
            "b LOGIN {3}\r\njoe {4+}\r\np{1}",
            "c NOOP",
            "d APPEND x (\\Seen) {10+}\r\n ~{2+}\r\n",
            "e SEARCH SUBJECT \"a {5}\"",
            "f SELECT \"a\\\"{5}\"",
        ]
    );
    for first in 0..=SESSION.len() {
        for second in first..=SESSION.len() {
            let pieces = [&SESSION[..first], &SESSION[first..second], &SESSION[second..]];
            let mut framer = Framer::server(Limits::AUTHENTICATED);
            let said = run(&mut framer, &pieces, &stream_messages);
            assert_eq!(said, whole, "split at {first} and {second}");
            assert!(framer.is_between_commands());
        }
    }
    let bytes: Vec<&[u8]> = SESSION.chunks(1).collect();
    let said = run(&mut Framer::server(Limits::AUTHENTICATED), &bytes, &stream_messages);
    assert_eq!(said, whole);
}

#[test]
fn wire_13_empty_lines_between_commands_are_ignored() {
    let input = b"\r\n\na NOOP\r\n\r\nb APPEND x {2+}\r\nhi\r\n\r\nc NOOP\r\n";
    let said = run(&mut Framer::server(Limits::AUTHENTICATED), &[input], &keep);
    assert_eq!(commands(&said), ["a NOOP", "b APPEND x {2+}\r\nhi", "c NOOP"]);
}

#[test]
fn a_streamed_message_is_a_placeholder_in_the_command() {
    let input = b"d APPEND {1+}\r\nx (\\Seen) {3+}\r\nabc {2+}\r\nde\r\n";
    let mut framer = Framer::server(Limits::AUTHENTICATED);
    let said = run(&mut framer, &[input], &stream_messages);
    let Some(Said::Command(bytes, streamed)) = said.last() else { panic!("{said:?}") };
    assert_eq!(streamed, &[1, 2]);
    let command = parse::command(Frame { bytes, streamed }).unwrap();
    let CommandBody::Append(append) = command.body else { panic!("not APPEND") };
    assert_eq!(append.mailbox.decode(NameEncoding::ModifiedUtf7).unwrap(), "x");
    let data: Vec<&Literal> = append
        .messages
        .iter()
        .filter_map(|message| match &message.data {
            AppendPayload::Literal { data, .. } => Some(data),
            AppendPayload::Catenate(_) => None,
        })
        .collect();
    assert_eq!(
        data,
        [&Literal::Streamed { index: 1, size: 3 }, &Literal::Streamed { index: 2, size: 2 }]
    );
    assert!(said.contains(&Said::Streamed(b"abc".to_vec())));
    assert!(said.contains(&Said::End(2)));
}

#[test]
fn an_offer_tells_the_mailbox_before_an_octet_is_read() {
    let mut framer = Framer::server(Limits::AUTHENTICATED);
    let step =
        framer.push(b"d APPEND \"Sent Mail\" (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" ~{310}\r\n");
    let offer = Offer { index: 0, size: 310, sync: LiteralSync::Waits, kind: LiteralKind::Binary };
    assert_eq!(step.event, Event::Literal(offer));
    let LiteralRole::Message(offered) = parse::literal_role(framer.frame()) else {
        panic!("not seen as a message")
    };
    assert_eq!(offered.mailbox.raw(), b"Sent Mail");
    assert_eq!(offered.tag.as_str(), "d");
    assert_eq!(offered.index, 0);
    assert!(!offered.flags.is_empty());
    // A mailbox that does not exist: the client gets NO [TRYCREATE] and sends nothing.
    assert_eq!(framer.decide(Decision::Refuse), Reply::Nothing);
    let said = run(&mut framer, &[b"", b"e NOOP\r\n"], &keep);
    let expected = [rejected("d", Reason::Refused), Said::Command(b"e NOOP".to_vec(), vec![])];
    assert_eq!(said, expected);
}

#[test]
fn literals_in_other_places_are_arguments() {
    for prefix in [
        "d APPEND {4}\r\n",
        "d LOGIN {4}\r\n",
        "d SEARCH SUBJECT {4}\r\n",
        "d APPEND x (\\Seen {4}\r\n",
        "d APPEND x CATENATE (URL {4}\r\n",
        "d APPEND x CATENATE (TEXT {2}\r\nhi URL {4}\r\n",
        "d APPEND x CATENATE (BLOB {4}\r\n",
        "d REPLACE {4}\r\n",
        "d REPLACE 1 {4}\r\n",
        "d UID FETCH 1 x {4}\r\n",
        "{4}\r\n",
        "d {4}\r\n",
        "\"d APPEND x {4}\r\n",
    ] {
        let role = parse::literal_role(Frame::whole(prefix.as_bytes()));
        assert_eq!(role, LiteralRole::Argument, "{prefix}");
    }
}

#[test]
fn texts_of_messages_are_passed_on_wherever_they_stand() {
    for (prefix, index, form) in [
        ("d APPEND x CATENATE (TEXT {4}\r\n", 0, AppendForm::Plain),
        ("d APPEND x CATENATE (URL \"/y/;UID=1\" text ~{4}\r\n", 0, AppendForm::Binary),
        ("d APPEND x CATENATE (TEXT {2}\r\nhi UTF8 (~{4}\r\n", 0, AppendForm::Utf8),
        ("d APPEND x {2}\r\nhi (\\Seen) CATENATE (TEXT {0}\r\n", 1, AppendForm::Plain),
        ("d APPEND x CATENATE (TEXT {2}\r\nhi) {4}\r\n", 1, AppendForm::Plain),
        ("d REPLACE 4 x {4}\r\n", 0, AppendForm::Plain),
        ("d uid replace * x (\\Draft) CATENATE (TEXT {4}\r\n", 0, AppendForm::Plain),
    ] {
        match parse::literal_role(Frame::whole(prefix.as_bytes())) {
            LiteralRole::Message(offered) => {
                assert_eq!(offered.mailbox.raw(), b"x", "{prefix}");
                assert_eq!((offered.index, offered.form), (index, form), "{prefix}");
            }
            LiteralRole::Argument => panic!("{prefix}"),
        }
    }
}

#[test]
fn a_refused_literal_that_follows_at_once_is_read_over() {
    let refuse = |_: Offer, _: Frame<'_>| Decision::Refuse;
    let input = b"a APPEND x {10+}\r\n{99}\r\nb {9 (\\Seen) {4+}\r\nxxxx\r\nc NOOP\r\n";
    for split in 0..=input.len() {
        let mut framer = Framer::server(Limits::AUTHENTICATED);
        let said = run(&mut framer, &[&input[..split], &input[split..]], &refuse);
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(said[1], rejected("a", Reason::Refused));
        assert_eq!(said[2], Said::Command(b"c NOOP".to_vec(), vec![]));
    }
}

#[test]
fn too_long_lines_are_rejected_with_their_tag_and_the_next_command_runs() {
    let limits = Limits { line_bytes_max: 100, drain_bytes_max: 1000, ..Limits::BEFORE_LOGIN };
    let mut input = b"tag1 NOOP ".to_vec();
    input.extend_from_slice(&[b'x'; 200]);
    input.extend_from_slice(b"\r\nb NOOP\r\n");
    for split in 0..=input.len() {
        let mut framer = Framer::server(limits);
        let said = run(&mut framer, &[&input[..split], &input[split..]], &keep);
        let expected =
            [rejected("tag1", Reason::LineTooLong), Said::Command(b"b NOOP".to_vec(), vec![])];
        assert_eq!(said, expected, "split {split}");
    }
}

#[test]
fn a_literal_at_the_end_of_a_too_long_line_is_still_seen() {
    let limits = Limits { line_bytes_max: 100, drain_bytes_max: 1000, ..Limits::BEFORE_LOGIN };
    let filler = "x".repeat(200);
    // Sent without asking: it has to be read over to find the next command.
    let input = format!("a SEARCH {filler} {{12+}}\r\nb LOGOUT\r\nxx more\r\nc NOOP\r\n");
    let said = run(&mut Framer::server(limits), &[input.as_bytes()], &keep);
    assert_eq!(said[0], rejected("a", Reason::LineTooLong));
    assert_eq!(commands(&said), ["c NOOP"]);
    // The client waits to be asked: it gets its BAD, and nothing is to be read over.
    let input = format!("a SEARCH {filler} {{12}}\r\nc NOOP\r\n");
    let said = run(&mut Framer::server(limits), &[input.as_bytes()], &keep);
    assert_eq!(said[0], rejected("a", Reason::LineTooLong));
    assert_eq!(commands(&said), ["c NOOP"]);
}

#[test]
fn what_cannot_be_read_over_closes_the_connection() {
    let limits = Limits { line_bytes_max: 100, drain_bytes_max: 1000, ..Limits::BEFORE_LOGIN };
    let endless = vec![b'x'; 5000];
    let said = run(&mut Framer::server(limits), &[&endless], &keep);
    assert_eq!(said, [Said::Closed(Reason::LineTooLong)]);
    let said = run(&mut Framer::server(limits), &[b"a APPEND x {5000+}\r\n"], &keep);
    assert_eq!(said, [Said::Closed(Reason::UnaskedLiteralTooBig)]);
    let said =
        run(&mut Framer::server(limits), &[b"a APPEND x {18446744073709551616+}\r\n"], &keep);
    assert_eq!(said, [Said::Closed(Reason::LiteralSize)]);
}

#[test]
fn literal_sizes_beyond_the_limits_are_rejected_before_an_octet_is_read() {
    for (size, reason) in [
        ("4294967295", Reason::LiteralTooBig),
        ("18446744073709551616", Reason::LiteralSize),
        ("9223372036854775807", Reason::LiteralTooBig),
        ("8193", Reason::LiteralTooBig),
    ] {
        let input = format!("a LOGIN {{{size}}}\r\nb NOOP\r\n");
        let mut framer = Framer::server(Limits::BEFORE_LOGIN);
        let said = run(&mut framer, &[input.as_bytes()], &keep);
        assert!(said.contains(&rejected("a", reason)), "{said:?}");
        assert_eq!(commands(&said), ["b NOOP"]);
    }
}

#[test]
fn a_literal_over_4096_octets_needs_asking_before_login() {
    let input = |size: usize| {
        let mut bytes = format!("a LOGIN {{{size}+}}\r\n").into_bytes();
        bytes.extend(std::iter::repeat_n(b'x', size));
        bytes.extend_from_slice(b" y\r\nb NOOP\r\n");
        bytes
    };
    let said = run(&mut Framer::server(Limits::BEFORE_LOGIN), &[&input(4097)], &keep);
    assert_eq!(said[0], rejected("a", Reason::UnaskedLiteralTooBig));
    assert_eq!(commands(&said), ["b NOOP"]);
    let said = run(&mut Framer::server(Limits::BEFORE_LOGIN), &[&input(4096)], &keep);
    assert_eq!(commands(&said).len(), 2);
}

#[test]
fn a_hundred_thousand_literals_in_one_command_are_rejected() {
    let mut input = b"a SEARCH".to_vec();
    for _ in 0..100_000 {
        input.extend_from_slice(b" SUBJECT {1+}\r\nx");
    }
    input.extend_from_slice(b"\r\nb NOOP\r\n");
    let authenticated = Limits { drain_bytes_max: 64 * 1024 * 1024, ..Limits::AUTHENTICATED };
    let mut framer = Framer::server(authenticated);
    let said = run(&mut framer, &[&input], &keep);
    assert!(said.contains(&rejected("a", Reason::TooManyLiterals)));
    assert_eq!(commands(&said), ["b NOOP"]);
    let said = run(&mut Framer::server(Limits::BEFORE_LOGIN), &[&input], &keep);
    assert_eq!(said.last(), Some(&Said::Closed(Reason::TooManyLiterals)));
}

#[test]
fn kept_literals_count_against_the_whole_command() {
    let limits = Limits { command_bytes_max: 1000, ..Limits::AUTHENTICATED };
    let filler = "x".repeat(600);
    let input = format!("a LOGIN {{600+}}\r\n{filler} {{600+}}\r\n{filler}\r\nb NOOP\r\n");
    let said = run(&mut Framer::server(limits), &[input.as_bytes()], &keep);
    assert!(said.contains(&rejected("a", Reason::CommandTooLong)), "{said:?}");
    assert_eq!(commands(&said), ["b NOOP"]);
}

#[test]
fn a_line_that_was_asked_for_is_not_taken_for_a_command() {
    let mut framer = Framer::server(Limits::BEFORE_LOGIN);
    let input = b"a AUTHENTICATE PLAIN\r\nAGpvZQBwdw== {5}\r\n\r\nb NOOP\r\n";
    let step = framer.push(input);
    assert_eq!(step.event, Event::Complete);
    let rest = &input[step.consumed..];
    framer.expect_line();
    let step = framer.push(rest);
    assert_eq!(step.event, Event::Line);
    assert_eq!(framer.line(), b"AGpvZQBwdw== {5}");
    let rest = &rest[step.consumed..];
    framer.expect_line();
    let step = framer.push(rest);
    assert_eq!((step.event, framer.line()), (Event::Line, &b""[..]));
    let said = run(&mut framer, &[&rest[step.consumed..]], &keep);
    assert_eq!(commands(&said), ["b NOOP"]);
}

#[test]
fn wire_12_a_command_pipelined_behind_done_waits_its_turn() {
    let mut framer = Framer::server(Limits::AUTHENTICATED);
    let input = b"a IDLE\r\nDONE\r\nb NOOP\r\n";
    let step = framer.push(input);
    assert_eq!((step.consumed, step.event), (8, Event::Complete));
    framer.expect_line();
    let step = framer.push(&input[8..]);
    assert_eq!((step.consumed, step.event), (6, Event::Line));
    assert!(imap_proto::flow::is_done(framer.line()));
    assert_eq!(framer.push(&input[14..]).event, Event::Complete);
    assert_eq!(framer.frame().bytes, b"b NOOP");
}

#[test]
fn an_overlong_line_that_was_asked_for_is_rejected() {
    let mut framer = Framer::server(Limits::BEFORE_LOGIN);
    assert_eq!(framer.push(b"a AUTHENTICATE PLAIN\r\n").event, Event::Complete);
    framer.expect_line();
    let mut line = b"AAAA ".repeat(4_000);
    line.extend_from_slice(b"\r\nb NOOP\r\n");
    let said = run(&mut framer, &[&line], &keep);
    let rejection = Rejection { tag: None, reason: Reason::LineTooLong };
    assert_eq!(said[0], Said::Rejected(rejection));
    assert_eq!(commands(&said), ["b NOOP"]);
}

#[test]
fn a_client_takes_braces_in_texts_for_people_as_text() {
    let input =
        b"* OK it\"s {5}\r\na NO [ALERT] x {7}\r\n+ go {3}\r\n* 1 FETCH (BODY[] {3}\r\nabc)\r\n";
    let mut framer = Framer::client(Limits::RESPONSES);
    let said = run(&mut framer, &[input], &keep);
    assert_eq!(
        commands(&said),
        ["* OK it\"s {5}", "a NO [ALERT] x {7}", "+ go {3}", "* 1 FETCH (BODY[] {3}\r\nabc)"]
    );
    let offers = said.iter().filter(|s| matches!(s, Said::Offered(_, Reply::Nothing))).count();
    assert_eq!(offers, 1);
}

#[test]
fn a_client_streams_a_body_and_gets_the_rest_as_a_value() {
    let input = b"* 7 FETCH (UID 9 BODY[] {5}\r\nhello FLAGS (\\Seen))\r\n";
    let mut framer = Framer::client(Limits::RESPONSES);
    let said = run(&mut framer, &[input], &|_, _| Decision::Stream);
    let Some(Said::Command(bytes, streamed)) = said.last() else { panic!("{said:?}") };
    let response = parse::response(Frame { bytes, streamed }).unwrap();
    let shown = format!("{response:?}");
    assert!(shown.contains("Streamed { index: 0, size: 5 }"), "{shown}");
    assert!(said.contains(&Said::Streamed(b"hello".to_vec())));
}

#[test]
fn random_bytes_in_random_pieces_say_the_same_as_in_one_piece() {
    let alphabet: &[&[u8]] = &[
        b"a",
        b" ",
        b"NOOP",
        b"\r\n",
        b"\n",
        b"\r",
        b"\"",
        b"\\",
        b"{3}",
        b"{2+}",
        b"~{1+}",
        b"{",
        b"}",
        b"APPEND x",
        b"(",
        b")",
        b"\0",
        b"\xff",
        b"{99999999999999999999}",
        b"{50+}",
    ];
    let limits = Limits {
        line_bytes_max: 60,
        command_bytes_max: 90,
        literal_bytes_max: 30,
        literal_count_max: 3,
        unasked_literal_bytes_max: 40,
        drain_bytes_max: 300,
    };
    for seed in 1..3000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut input = Vec::new();
        for _ in 0..next(60) {
            input.extend_from_slice(alphabet[next(alphabet.len())]);
        }
        let decide = |offer: Offer, _: Frame<'_>| match offer.size % 3 {
            0 => Decision::Keep,
            1 => Decision::Stream,
            _ => Decision::Refuse,
        };
        let whole = run(&mut Framer::server(limits), &[&input], &decide);
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(1 + next(rest.len().min(9)));
            pieces.push(piece);
            rest = tail;
        }
        let parts = run(&mut Framer::server(limits), &pieces, &decide);
        assert_eq!(parts, whole, "seed {seed}: {}", input.escape_ascii());
    }
}
