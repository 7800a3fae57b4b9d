//! What was understood is written so that it is understood in the same way, by every kind of peer.
#![no_main]

use imap_proto::parse::{self, Frame};
use imap_proto::serialize::{self, Chunk, ClientOptions, LiteralSupport};
use imap_proto::types::{Command, NameEncoding, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(command) = parse::command(Frame::whole(bytes)) {
        for literals in [LiteralSupport::Ask, LiteralSupport::Minus, LiteralSupport::Plus] {
            for encoding in [NameEncoding::ModifiedUtf7, NameEncoding::Utf8] {
                check_command(&command, ClientOptions { encoding, literals });
            }
        }
    }
    if let Ok(response) = parse::response(Frame::whole(bytes)) {
        check_response(&response);
    }
});

fn check_command(command: &Command, options: ClientOptions) {
    let mut written = Vec::new();
    for chunk in serialize::command(command, options) {
        match chunk {
            Chunk::Bytes(bytes) => written.extend_from_slice(&bytes),
            Chunk::Continuation => {}
            Chunk::Message { .. } => return, // its octets are not here
        }
    }
    let line = written.strip_suffix(b"\r\n").expect("a command ends with CRLF");
    let again = parse::command(Frame::whole(line));
    assert_eq!(again.as_ref(), Ok(command), "{:?}", String::from_utf8_lossy(line));
}

/// Texts for people are cleaned when they are written, so the second writing is held against the
/// first.
fn check_response(response: &Response) {
    for encoding in [NameEncoding::ModifiedUtf7, NameEncoding::Utf8] {
        let once = write(response, encoding);
        if once.is_empty() {
            continue; // a VANISHED without UIDs
        }
        let line = once.strip_suffix(b"\r\n").expect("a response ends with CRLF");
        let shown = String::from_utf8_lossy(line);
        let again = parse::response(Frame::whole(line)).unwrap_or_else(|e| panic!("{e}: {shown}"));
        assert_eq!(write(&again, encoding), once, "{shown}");
    }
}

fn write(response: &Response, encoding: NameEncoding) -> Vec<u8> {
    let mut written = Vec::new();
    serialize::response(response, encoding, &mut written);
    written
}
