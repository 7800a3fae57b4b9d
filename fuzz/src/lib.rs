//! What the fuzz targets share: reading a stream of responses as a client does.

use imap_proto::frame::{Decision, Event, Framer, Limits};
use imap_proto::parse;
use imap_proto::types::Response;

/// Reads everything that a server wrote. Whatever our server says, our client must understand: a
/// response that does not parse, or bytes that end within one, are a finding.
pub fn read_responses(mut bytes: &[u8]) -> Vec<Response> {
    let mut framer = Framer::client(Limits::RESPONSES);
    let mut responses = Vec::new();
    loop {
        let step = framer.push(bytes);
        bytes = &bytes[step.consumed..];
        match step.event {
            Event::NeedMore => break,
            Event::Literal(_) => {
                framer.decide(Decision::Keep);
            }
            Event::Complete => {
                let frame = framer.frame();
                match parse::response(frame) {
                    Ok(response) => responses.push(response),
                    Err(error) => {
                        panic!("{error} in {:?}", String::from_utf8_lossy(frame.bytes))
                    }
                }
            }
            other => panic!("{other:?} while reading our own responses"),
        }
    }
    assert!(framer.is_between_commands(), "our own output ends within a response");
    responses
}
