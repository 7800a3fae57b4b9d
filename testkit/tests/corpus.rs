//! Six thousand real messages through our own parser, serializer and client-side parser.

#![allow(clippy::expect_used, reason = "tests may panic")]

use imap_proto::frame::{Decision, Event, Framer, Limits};
use imap_proto::types::{FetchAttribute, NameEncoding, Response};
use imap_proto::{parse, serialize};
use mail_types::SeqNum;
use testkit::corpus;

fn samples() -> Vec<corpus::Sample> {
    let samples = corpus::messages().unwrap_or_default();
    if samples.is_empty() {
        println!("skipped: PILLARBOX_CORPUS names no folder; cargo xtask corpus fetches it");
    }
    samples
}

/// Reads one response as a client does: through the framer, in pieces.
fn read_as_client(mut bytes: &[u8]) -> Response {
    let mut framer = Framer::client(Limits::RESPONSES);
    while !bytes.is_empty() {
        let piece = &bytes[..bytes.len().min(1000)];
        let step = framer.push(piece);
        bytes = &bytes[step.consumed..];
        match step.event {
            Event::NeedMore => {}
            Event::Literal(_) => {
                framer.decide(Decision::Keep);
            }
            Event::Complete => {
                assert!(bytes.is_empty(), "more than one response");
                return parse::response(framer.frame()).expect("our own response");
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the response has no end");
}

#[test]
fn envelope_and_structure_survive_the_wire() {
    for sample in samples() {
        let message = mime::parse(&sample.bytes);
        let response = Response::Fetch {
            seq: SeqNum::new(1).expect("not zero"),
            attributes: vec![
                FetchAttribute::Rfc822Size(message.size),
                FetchAttribute::Envelope(Box::new(message.header.envelope.clone())),
                FetchAttribute::BodyStructure(Box::new(message.root.structure())),
            ],
        };
        let mut written = Vec::new();
        serialize::response(&response, NameEncoding::ModifiedUtf7, &mut written);
        assert_eq!(read_as_client(&written), response, "{}", sample.name);
    }
}
