//! Messages made to cost much: the work stays linear, what is kept stays bounded, offsets stay
//! exact.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod common;

use common::check;
use mime::{Content, Limits, Message, Parser, Part, parse};

/// Parses and checks that each byte caused at most `steps_max` steps.
fn parse_counted(bytes: &[u8], steps_max: u64) -> Message {
    let mut parser = Parser::new(Limits::default());
    for piece in bytes.chunks(4096) {
        parser.push(piece);
    }
    let work = parser.work();
    assert!(work <= steps_max * bytes.len() as u64 + 100, "{work} steps for {} bytes", bytes.len());
    let message = parser.finish();
    check(bytes, &message);
    message
}

fn depth(part: &Part) -> usize {
    1 + part.children().iter().map(depth).max().unwrap_or(0)
}

fn count(part: &Part) -> usize {
    1 + part.children().iter().map(count).sum::<usize>()
}

#[test]
fn ten_thousand_nested_multiparts_end_at_the_depth_limit() {
    let mut bytes = Vec::new();
    for n in 0..10_000 {
        bytes.extend(
            format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n").bytes(),
        );
    }
    let message = parse_counted(&bytes, 10);
    assert_eq!(depth(&message.root), Limits::default().depth_max);
    let closed =
        [bytes, (0..10_000).rev().flat_map(|n| format!("--b{n}--\r\n").into_bytes()).collect()];
    assert_eq!(depth(&parse_counted(&closed.concat(), 20).root), Limits::default().depth_max);
}

#[test]
fn ten_thousand_nested_messages_end_at_the_depth_limit() {
    let bytes = b"Content-Type: message/rfc822\r\n\r\n".repeat(10_000);
    let message = parse_counted(&bytes, 3);
    assert_eq!(depth(&message.root), Limits::default().depth_max);
    // A message at the limit is told as data, since its envelope is not known.
    let _ = message.root.structure();
}

#[test]
fn of_a_hundred_thousand_parts_the_first_are_kept_and_the_last_holds_the_rest() {
    let mut bytes = b"Content-Type: multipart/mixed; boundary=x\n\n".to_vec();
    bytes.extend(b"--x\n\na\n".repeat(100_000));
    let message = parse_counted(&bytes, 5);
    assert_eq!(count(&message.root), Limits::default().part_count_max);
    let Content::Multipart(parts) = &message.root.content else { panic!("no parts") };
    assert_eq!(parts.last().unwrap().end, bytes.len() as u64);
}

#[test]
fn a_hundred_open_boundaries_do_not_make_lines_dear() {
    let mut bytes = Vec::new();
    for n in 0..99 {
        bytes.extend(
            format!("Content-Type: multipart/mixed; boundary=a{n:02}\n\n--a{n:02}\n").bytes(),
        );
    }
    bytes.extend(b"\n\n");
    bytes.extend(b"--b00\n".repeat(200_000));
    let message = parse_counted(&bytes, 30);
    assert_eq!(depth(&message.root), 100);
}

#[test]
fn a_header_of_fifty_megabytes_is_read_up_to_its_limit() {
    let header_bytes_max = Limits::default().header_bytes_max;
    for line in [
        "X-Filler: 0123456789012345678901234567890123456789012345678901234567890\r\n",
        "\t x\r\n",
        "x",
    ] {
        let mut bytes = b"Subject: first\r\n".to_vec();
        let header_bytes = if line.len() > 10 { 50 << 20 } else { 8 << 20 };
        bytes.extend(line.repeat(header_bytes / line.len()).bytes());
        bytes.extend(b"\r\nContent-Type: text/html\r\n\r\nbody");
        let mut parser = Parser::new(Limits::default());
        bytes.chunks(1 << 16).for_each(|piece| parser.push(piece));
        assert!(parser.work() <= 2 * bytes.len() as u64);
        let message = parser.finish();
        assert!(message.root.is_type("text", "plain"), "the field stands behind the limit");
        assert!(message.header.envelope.subject.unwrap().starts_with(b"first"));
        assert!(message.root.body_start as usize > header_bytes_max);
    }
}

#[test]
fn half_a_million_addresses_are_bounded_in_the_envelope() {
    let bytes = format!("To: {}\r\n\r\n", "a@b,".repeat(500_000));
    assert_eq!(
        parse(bytes.as_bytes()).header.envelope.to.len(),
        0,
        "the field is longer than the limit"
    );
    let bytes = format!("To: {}\r\n\r\n", "a@b,".repeat(200_000));
    assert_eq!(parse(bytes.as_bytes()).header.envelope.to.len(), 10_000);
}

#[test]
fn kept_header_text_of_many_parts_is_bounded() {
    let mut bytes = b"Content-Type: multipart/mixed; boundary=x\n\n".to_vec();
    let part = format!("--x\nContent-Type: text/plain; name={}\n\n", "n".repeat(10_000));
    bytes.extend(part.repeat(2_000).bytes());
    let message = parse_counted(&bytes, 5);
    let kept: usize =
        message.root.children().iter().flat_map(|p| &p.params).map(|p| p.value.len()).sum();
    assert!(kept <= Limits::default().kept_bytes_max + 10_000, "{kept}");
    assert!(message.root.children().len() > 90);
}

#[test]
fn many_parameters_and_fields_are_bounded() {
    let params: String = (0..100_000).map(|n| format!(";p{n}=x")).collect();
    let message = parse(format!("Content-Type: text/plain{params}\n\n").as_bytes());
    assert!(message.root.params.len() <= 200);
    let languages = "en,".repeat(100_000);
    let message = parse(format!("Content-Language: {languages}\n\n").as_bytes());
    assert!(message.root.language.len() <= 64);
}

#[test]
fn limits_can_be_chosen() {
    let limits = Limits { depth_max: 2, part_count_max: 3, ..Limits::default() };
    let bytes =
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\n\
        Subject: y\n\nz\n--x\n\nb\n--x\n\nc\n--x--\n";
    let mut parser = Parser::new(limits);
    parser.push(bytes);
    let message = parser.finish();
    check(bytes, &message);
    let [first, second] = message.root.children() else { panic!("{:?}", message.root.children()) };
    assert_eq!(first.content, Content::Leaf);
    assert_eq!(second.end, bytes.len() as u64);
}
