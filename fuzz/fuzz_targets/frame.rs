//! Where a command ends does not depend on how the network cut the bytes.
#![no_main]

use imap_proto::frame::{Decision, Event, Framer, Limits, Rejection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (piece, is_client, bytes) = input;
    let whole = events(bytes, bytes.len().max(1), is_client);
    let pieces = events(bytes, usize::from(piece).max(1), is_client);
    assert_eq!(whole, pieces);
});

#[derive(Debug, PartialEq)]
enum Seen {
    Command(Vec<u8>, Vec<u32>),
    Streamed(Vec<u8>),
    LiteralEnd(u32),
    Rejected(Rejection),
    Closed,
}

/// All events, with the pieces of a streamed literal joined. Literals are kept, streamed and
/// refused in turns.
fn events(bytes: &[u8], piece: usize, is_client: bool) -> Vec<Seen> {
    let mut framer = match is_client {
        true => Framer::client(SMALL),
        false => Framer::server(SMALL),
    };
    let mut seen = Vec::new();
    let mut offers = 0_usize;
    for mut rest in bytes.chunks(piece) {
        loop {
            let step = framer.push(rest);
            let event = match step.event {
                Event::NeedMore => None,
                Event::Complete => {
                    let frame = framer.frame();
                    Some(Seen::Command(frame.bytes.to_vec(), frame.streamed.to_vec()))
                }
                Event::Line => panic!("no line was asked for"),
                Event::Literal(_) => {
                    let decisions = [Decision::Keep, Decision::Stream, Decision::Refuse];
                    framer.decide(decisions[offers % decisions.len()]);
                    offers += 1;
                    rest = &rest[step.consumed..];
                    continue;
                }
                Event::Chunk(chunk) => Some(Seen::Streamed(chunk.to_vec())),
                Event::LiteralEnd { index } => Some(Seen::LiteralEnd(index)),
                Event::Rejected(rejection) => Some(Seen::Rejected(rejection)),
                Event::Close(_) => {
                    seen.push(Seen::Closed);
                    return seen;
                }
            };
            rest = &rest[step.consumed..];
            match (event, seen.last_mut()) {
                (None, _) => break,
                (Some(Seen::Streamed(chunk)), Some(Seen::Streamed(before))) => before.extend(chunk),
                (Some(event), _) => seen.push(event),
            }
        }
    }
    seen
}

/// So small that inputs of a fuzzer reach every limit.
const SMALL: Limits = Limits {
    line_bytes_max: 256,
    command_bytes_max: 512,
    literal_bytes_max: 64,
    literal_count_max: 4,
    unasked_literal_bytes_max: 32,
    drain_bytes_max: 1024,
};
