//! Any bytes are a message, in one piece or in many; its parts lie within each other and apart;
//! every section, decoder and text of it can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mime::header::FieldFilter;
use mime::text::{Extractor, Piece, Scope};
use mime::{Content, Limits, Message, Parser, Part, SectionKind};

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let piece = usize::from(piece).max(1);
    let mut parser = Parser::new(Limits::default());
    for chunk in bytes.chunks(piece) {
        parser.push(chunk);
    }
    // Each "--" line may be held against every open boundary, and is at least three bytes long.
    assert!(parser.work() <= 40 * bytes.len() as u64 + 10, "work {}", parser.work());
    let message = parser.finish();
    assert_eq!(mime::parse(bytes), message, "in pieces of {piece}");
    assert_eq!(message.size, bytes.len() as u64);
    assert_eq!((message.root.header_start, message.root.end), (0, message.size));
    check(&message, &message.root, bytes, &mut Vec::new(), Root::Yes);
    read_texts(&message, bytes, piece);
    read_fields(bytes);
    // Tight limits make a coarser tree with the same outer offsets.
    let limits =
        Limits { depth_max: 2, part_count_max: 3, header_bytes_max: 100, kept_bytes_max: 50 };
    let mut parser = Parser::new(limits);
    parser.push(bytes);
    let coarse = parser.finish();
    assert_eq!(coarse.root.header(), message.root.header());
    check(&coarse, &coarse.root, bytes, &mut Vec::new(), Root::Yes);
});

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Yes,
    No,
}

fn slice(bytes: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    &bytes[range.start as usize..range.end as usize]
}

fn check(message: &Message, part: &Part, bytes: &[u8], path: &mut Vec<u32>, root: Root) {
    assert!(part.header_start <= part.body_start && part.body_start <= part.end);
    let body = slice(bytes, part.body());
    assert_eq!(part.lines, body.iter().filter(|byte| **byte == b'\n').count() as u64);
    let header = slice(bytes, part.header());
    let fields: usize = mime::header::fields(header).map(|field| field.raw.len()).sum();
    assert!(matches!(&header[fields..], b"" | b"\n" | b"\r\n"));
    if root == Root::No {
        assert_eq!(message.section(path, SectionKind::Whole), Some(part.body()));
        assert_eq!(message.section(path, SectionKind::Mime), Some(part.header()));
    }
    check_decoder(part, body);
    match &part.content {
        Content::Leaf => {}
        Content::Multipart(parts) => {
            let mut before = part.body_start;
            for (index, child) in parts.iter().enumerate() {
                // A delimiter line stands before each part.
                assert!(child.header_start > before && child.end <= part.end);
                before = child.end;
                path.push(index as u32 + 1);
                check(message, child, bytes, path, Root::No);
                path.pop();
            }
        }
        Content::Message(inner) => {
            assert_eq!((inner.root.header_start, inner.root.end), (part.body_start, part.end));
            let depth = path.len();
            if root == Root::Yes {
                path.push(1);
            }
            assert_eq!(message.section(path, SectionKind::Header), Some(inner.root.header()));
            assert_eq!(message.section(path, SectionKind::Text), Some(inner.root.body()));
            check(message, &inner.root, bytes, path, Root::Yes);
            path.truncate(depth);
        }
    }
}

/// Decoding gives the same bytes however the body is cut.
fn check_decoder(part: &Part, body: &[u8]) {
    let (Ok(mut whole), Ok(mut pieces)) = (part.decoder(), part.decoder()) else { return };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    whole.push(body, &mut a);
    whole.finish(&mut a);
    for chunk in body.chunks(3) {
        pieces.push(chunk, &mut b);
    }
    pieces.finish(&mut b);
    assert_eq!(a, b);
    assert!(a.len() <= 2 * body.len());
    let _ = (part.filename(), part.param("charset"));
}

/// Everything else that a session reads of a message.
fn read_texts(message: &Message, bytes: &[u8], piece: usize) {
    let _ = (message.root.structure(), message.has_attachment());
    assert!(message.preview.chars().count() <= mime::PREVIEW_CHARS_MAX);
    for bytes_max in [0, 10, 4096] {
        let text = mime::text::of_message(message, bytes, Scope::Text, bytes_max);
        assert!(text.len() <= bytes_max);
    }
    for found in message.searched(Scope::Body) {
        let Piece::Body(part) = found else { continue };
        let body = slice(bytes, part.body());
        let mut extractor = Extractor::new(part, 1 << 20);
        body.chunks(piece).for_each(|chunk| extractor.push(chunk));
        assert_eq!(extractor.finish(), mime::text::of_part(part, body, 1 << 20));
    }
}

/// The readers of header values, fed with everything.
fn read_fields(bytes: &[u8]) {
    let _ = mime::decode_header(bytes);
    let _ = mime::parse_date(bytes);
    let _ = mime::message_ids(bytes);
    let envelope = mime::envelope(bytes);
    assert!(envelope.from.is_empty() || !envelope.sender.is_empty());
    for address in mime::parse_addresses(bytes) {
        // Only the marks of a group lack a host.
        assert!(address.host.is_some() || address.name.is_none());
    }
    let names = ["subject", "from"];
    let only = mime::header::subset(bytes, &names, FieldFilter::Only);
    let except = mime::header::subset(bytes, &names, FieldFilter::Except);
    let total: usize = mime::header::fields(bytes).map(|field| field.raw.len()).sum();
    let rest = bytes.len() - total;
    assert_eq!(only.len() + except.len(), total + 2 * rest);
    let _ = mime::html_to_text(&String::from_utf8_lossy(bytes), 4096);
    for charset in ["utf-8", "utf-7", "iso-2022-jp", "utf-16", "gb18030", ""] {
        let _ = mime::to_utf8(charset.as_bytes(), bytes);
    }
}
