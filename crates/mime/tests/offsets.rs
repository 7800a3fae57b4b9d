//! Where parts begin and end: the samples, the table of sections of RFC 9051 §6.4.5.1, the rules
//! that hold of every message, and that it does not matter how a message is cut into pieces.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]

mod common;

use common::{Random, check, parse_split, random_message, samples};
use mime::{Content, Limits, Message, Parser, SectionKind, parse};

fn sample(name: &str) -> Vec<u8> {
    samples().into_iter().find(|(file, _)| file == name).unwrap().1
}

/// The bytes of a section such as `3.1` or `4.2.HEADER`, `-` if there is none.
fn section(bytes: &[u8], message: &Message, name: &str) -> String {
    let mut path = Vec::new();
    let mut kind = SectionKind::Whole;
    for word in name.split('.').filter(|word| !word.is_empty()) {
        match word {
            "HEADER" => kind = SectionKind::Header,
            "TEXT" => kind = SectionKind::Text,
            "MIME" => kind = SectionKind::Mime,
            number => path.push(number.parse().unwrap()),
        }
    }
    match message.section(&path, kind) {
        Some(range) => {
            String::from_utf8_lossy(&bytes[range.start as usize..range.end as usize]).into_owned()
        }
        None => "-".to_owned(),
    }
}

/// The tree as `kind/subtype[children]`.
fn shape(part: &mime::Part) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let mut out = format!("{}/{}", text(&part.kind), text(&part.subtype));
    if !part.children().is_empty() {
        let children: Vec<_> = part.children().iter().map(shape).collect();
        out.push_str(&format!("[{}]", children.join(" ")));
    }
    out
}

#[test]
fn the_sections_of_the_rfcs_example_are_found() {
    let bytes = sample("rfc9051-sections.eml");
    let message = parse(&bytes);
    for (name, expected) in [
        ("1", "part one"),
        ("1.MIME", "Content-Type: text/plain\r\n\r\n"),
        ("2", "cGFydCB0d28="),
        (
            "3.HEADER",
            "Subject: inner three\r\nContent-Type: multipart/mixed; boundary=three\r\n\r\n",
        ),
        ("3.MIME", "Content-Type: message/rfc822\r\n\r\n"),
        ("3.1", "three one"),
        ("3.2", "three two"),
        ("4.1", "four one"),
        ("4.1.MIME", "Content-Type: image/gif\r\nContent-ID: <gif>\r\n\r\n"),
        ("4.2.1", "four two one"),
        ("4.2.2.1", "four two two one"),
        ("4.2.2.2", "four two two two"),
        ("4.2.2.MIME", "Content-Type: multipart/alternative; boundary=alt\r\n\r\n"),
        // What is not there.
        ("5", "-"),
        ("0", "-"),
        ("1.1", "-"),
        ("1.HEADER", "-"),
        ("1.TEXT", "-"),
        ("MIME", "-"),
        ("4.HEADER", "-"),
        ("3.3", "-"),
        ("4.2.2.3", "-"),
    ] {
        assert_eq!(section(&bytes, &message, name), expected, "{name}");
    }
    assert!(section(&bytes, &message, "3.TEXT").starts_with("--three\r\n"));
    assert!(section(&bytes, &message, "3").starts_with("Subject: inner three\r\n"));
    assert!(section(&bytes, &message, "TEXT").ends_with("--top--\r\nepilogue\r\n"));
    assert!(section(&bytes, &message, "4.2.TEXT").ends_with("--alt--\r\n--fourtwo--"));
}

#[test]
fn wire_11_headers_of_messages_and_of_parts_are_two_things() {
    let bytes = sample("rfc9051-sections.eml");
    let message = parse(&bytes);
    assert!(section(&bytes, &message, "4.2.MIME").starts_with("Content-Type: message/rfc822"));
    assert!(section(&bytes, &message, "4.2.HEADER").starts_with("Subject: inner four two"));
}

#[test]
fn a_message_without_parts_has_part_one() {
    let bytes = sample("plain.eml");
    let message = parse(&bytes);
    let text = "Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n";
    assert_eq!(section(&bytes, &message, "1"), text);
    assert_eq!(section(&bytes, &message, "TEXT"), text);
    assert_eq!(section(&bytes, &message, "1.MIME"), section(&bytes, &message, "HEADER"));
    assert_eq!(section(&bytes, &message, "1.1"), "-");
    assert_eq!(section(&bytes, &message, "2"), "-");
}

#[test]
fn a_message_that_is_a_message_has_it_as_part_one() {
    let bytes = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody";
    let message = parse(bytes);
    assert_eq!(section(bytes, &message, "1"), "Subject: in\r\n\r\nbody");
    assert_eq!(section(bytes, &message, "1.HEADER"), "Subject: in\r\n\r\n");
    assert_eq!(section(bytes, &message, "1.1"), "body");
    assert_eq!(section(bytes, &message, "1.1.MIME"), "Subject: in\r\n\r\n");
    assert_eq!(section(bytes, &message, "1.1.1"), "-");
}

#[test]
fn nested_and_unclosed_multiparts_have_the_right_shape() {
    for (name, expected) in [
        (
            "rfc2046-nested.eml",
            "multipart/mixed[text/plain text/plain multipart/parallel[audio/basic image/jpeg] \
             text/enriched message/rfc822[text/plain]]",
        ),
        (
            "digest.eml",
            "multipart/mixed[text/plain multipart/digest[message/rfc822[text/plain] \
             message/rfc822[text/plain]]]",
        ),
        ("inner-unclosed.eml", "multipart/mixed[multipart/alternative[text/plain] text/plain]"),
        ("mid-line.eml", "multipart/mixed[text/plain]"),
        ("prefix.eml", "multipart/mixed[text/plain text/plain]"),
        ("nested-prefix.eml", "multipart/mixed[multipart/mixed[text/plain text/plain] text/plain]"),
        ("encoded-message.eml", "multipart/mixed[message/rfc822 message/rfc822[text/plain]]"),
        (
            "cut-header.eml",
            "multipart/mixed[text/html message/rfc822[text/plain] text/plain text/plain]",
        ),
        ("no-separator.eml", "text/plain"),
        ("bare-lf.eml", "multipart/mixed[text/plain text/html]"),
        ("long-line.eml", "multipart/mixed[text/plain]"),
        ("empty.eml", "text/plain"),
    ] {
        assert_eq!(shape(&parse(&sample(name)).root), expected, "{name}");
    }
}

#[test]
fn bodies_lose_the_line_end_before_a_delimiter_and_nothing_else() {
    let bytes = sample("inner-unclosed.eml");
    let message = parse(&bytes);
    assert_eq!(section(&bytes, &message, "1.1"), "one");
    assert_eq!(section(&bytes, &message, "2"), "two");
    let bytes = sample("mid-line.eml");
    let text = "a line with --BND in it\r\nand x--BND\r\n --BND";
    assert_eq!(section(&bytes, &parse(&bytes), "1"), text);
    let bytes = sample("prefix.eml");
    let text = "one\r\n--xyz\r\nstill one\r\n--x-- y\r\nstill one";
    assert_eq!(section(&bytes, &parse(&bytes), "1"), text);
    let bytes = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n\n\n--x\n\na\r\n\r\n--x--";
    let message = parse(bytes);
    assert_eq!(section(bytes, &message, "1"), "\n");
    assert_eq!(section(bytes, &message, "2"), "a\r\n");
}

#[test]
fn wire_22_nul_8_bit_text_and_endless_lines_are_kept_to_the_byte() {
    let bytes = sample("nul-and-8bit.eml");
    let message = parse(&bytes);
    assert_eq!(message.section(&[], SectionKind::Text), Some(41..41 + 10));
    assert_eq!(message.header.envelope.subject.as_deref(), Some(&b"a?b \xe4\xff"[..]));
    let bytes = [b"Subject: ", "x".repeat(1 << 20).as_bytes(), b"\r\n\r\n\0\0\r\n"].concat();
    let message = parse(&bytes);
    assert_eq!(message.root.octets(), 4);
    assert_eq!(message.root.body_start, (1 << 20) + 13);
}

#[test]
fn wire_10_the_size_is_that_of_the_whole_message() {
    for (name, bytes) in samples() {
        let message = parse(&bytes);
        assert_eq!(message.size, bytes.len() as u64, "{name}");
        assert_eq!(message.section(&[], SectionKind::Whole), Some(0..message.size), "{name}");
    }
}

#[test]
fn a_header_that_a_delimiter_cuts_off_keeps_its_line_end() {
    let bytes = sample("cut-header.eml");
    let message = parse(&bytes);
    assert_eq!(section(&bytes, &message, "1.MIME"), "Content-Type: text/html\r\n");
    assert_eq!(section(&bytes, &message, "1"), "");
    assert_eq!(section(&bytes, &message, "2.HEADER"), "");
    assert_eq!(section(&bytes, &message, "3.MIME"), "\r\n");
    assert_eq!(section(&bytes, &message, "4.MIME"), "");
}

#[test]
fn parts_beyond_four_gigabytes_have_exact_offsets() {
    // The body is pushed again and again, never held.
    let mut parser = Parser::new(Limits::default());
    parser.push(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n");
    let line = [b"y".repeat(999), b"\r\n".to_vec()].concat().repeat(1024);
    let times = (1_u64 << 32) / line.len() as u64 / 256 + 1;
    for _ in 0..times {
        parser.push(&line);
    }
    parser.push(b"--x\r\n\r\nend\r\n--x--\r\n");
    let message = parser.finish();
    let body = message.section(&[1], SectionKind::Whole).unwrap();
    assert_eq!(body, 52..52 + times * line.len() as u64 - 2);
    assert_eq!(message.section(&[2], SectionKind::Whole).unwrap().start, body.end + 9);
    assert_eq!(message.part(&[1]).unwrap().lines, times * 1024 - 1);
}

#[test]
fn the_rules_hold_of_every_sample_at_every_cut() {
    for (name, bytes) in samples() {
        let message = parse(&bytes);
        check(&bytes, &message);
        if bytes.len() > 10_000 {
            continue;
        }
        // Byte by byte, in two pieces at every place, and truncated at every byte.
        let mut parser = Parser::new(Limits::default());
        bytes.iter().for_each(|byte| parser.push(&[*byte]));
        assert_eq!(parser.finish(), message, "{name} byte by byte");
        for at in 0..=bytes.len() {
            let mut parser = Parser::new(Limits::default());
            parser.push(&bytes[..at]);
            parser.push(&[]);
            parser.push(&bytes[at..]);
            assert_eq!(parser.finish(), message, "{name} cut at {at}");
            check(&bytes[..at], &parse(&bytes[..at]));
        }
    }
}

#[test]
fn the_rules_hold_of_random_messages_in_random_pieces() {
    let count = if std::env::var_os("PILLARBOX_LONG_TESTS").is_some() { 500_000 } else { 4_000 };
    for seed in 0..count {
        let bytes = random_message(seed);
        let message = parse(&bytes);
        let outcome = std::panic::catch_unwind(|| {
            check(&bytes, &message);
            assert_eq!(parse_split(&bytes, seed ^ 0xfeed), message);
        });
        assert!(outcome.is_ok(), "seed {seed}:\n{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_rules_hold_of_samples_with_random_damage() {
    let samples = samples();
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let (name, bytes) = &samples[random.below(samples.len())];
        let mut bytes = bytes[..bytes.len().min(4000)].to_vec();
        for _ in 0..random.below(8) {
            let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
            match random.below(3) {
                0 if !bytes.is_empty() => bytes[from] = random.next() as u8,
                1 => bytes.truncate(from.max(to)),
                _ => {
                    let piece = bytes[from.min(to)..from.max(to)].to_vec();
                    bytes.splice(from..from, piece);
                }
            }
            bytes.truncate(20_000);
        }
        let message = parse(&bytes);
        let outcome = std::panic::catch_unwind(|| {
            check(&bytes, &message);
            assert_eq!(parse_split(&bytes, seed), message);
        });
        assert!(outcome.is_ok(), "seed {seed} of {name}:\n{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_rules_hold_of_the_corpus_in_random_pieces() {
    let files = common::corpus();
    if files.is_empty() {
        eprintln!("skipped: no corpus, see PILLARBOX_CORPUS");
    }
    for (seed, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).unwrap();
        let message = parse(&bytes);
        check(&bytes, &message);
        assert_eq!(parse_split(&bytes, seed as u64), message, "seed {seed} of {}", file.display());
    }
}

#[test]
fn a_partial_is_clipped_without_overflow() {
    let clip = |origin, count| mime::Partial { origin, count }.clip(10..20);
    assert_eq!(clip(0, 5), 10..15);
    assert_eq!(clip(8, 5), 18..20);
    assert_eq!(clip(10, 5), 20..20);
    assert_eq!(clip(u64::MAX, u64::MAX), 20..20);
    assert_eq!(clip(3, u64::MAX), 13..20);
    assert_eq!(clip(3, 0), 13..13);
}

#[test]
fn a_multipart_in_which_nothing_is_found_is_a_leaf_that_reads_as_text() {
    for header in ["", "; boundary=", "; boundary=\"\"", "; boundary=other"] {
        let bytes = format!("Content-Type: multipart/mixed{header}\n\n--x\n\nhello\n--x--\n");
        let message = parse(bytes.as_bytes());
        assert_eq!(message.root.content, Content::Leaf, "{header}");
        let structure = message.root.structure();
        let mail_types::BodyStructure::Text { subtype, fields, .. } = structure else {
            panic!("{structure:?}")
        };
        assert_eq!((subtype.as_slice(), fields.octets), (&b"plain"[..], message.root.octets()));
        assert!(section(bytes.as_bytes(), &message, "1").contains("hello"));
    }
}
