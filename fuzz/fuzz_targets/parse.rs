//! Any bytes are a command or a response, or an error that says where: never a panic, and never a
//! position outside of them.
#![no_main]

use imap_proto::parse::{self, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let streamed = [0];
    for frame in [Frame::whole(bytes), Frame { bytes, streamed: &streamed }] {
        if let Err(error) = parse::command(frame) {
            assert!(error.offset <= bytes.len(), "{error:?}");
        }
        if let Err(error) = parse::response(frame) {
            assert!(error.offset <= bytes.len(), "{error:?}");
        }
    }
});
