//! Two clients say anything at all to a server in memory, and a third one of another user, who has
//! been given the INBOX of the first: it does not panic, and everything that it says can be read by
//! our own client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pillarbox_fuzz::read_responses;
use testkit::pure::{PASSWORD, PureServer, USER};
use testkit::script::{Peer, Received};

fuzz_target!(|bytes: &[u8]| {
    let mut server = PureServer::default();
    for connection in CONNECTIONS {
        server.connect(connection);
    }
    server.make_account(GUEST);
    server.deliver("INBOX", MESSAGE);
    let mut said = [const { Vec::new() }; CONNECTIONS.len()];
    // The first connection is signed in and has a mailbox open: most inputs would never get there.
    let login = format!("l LOGIN {USER} {PASSWORD}\r\ng SETACL INBOX {GUEST} lrswipkxten\r\n");
    server.send(CONNECTIONS[0], login.as_bytes());
    server.send(CONNECTIONS[0], b"s SELECT INBOX\r\n");
    let login = format!("l LOGIN {GUEST} {PASSWORD}\r\ns SELECT \"Other Users/{USER}/INBOX\"\r\n");
    server.send(CONNECTIONS[2], login.as_bytes());
    // A byte that occurs in no command switches to the other client.
    for (index, turn) in bytes.split(|byte| *byte == SWITCH).enumerate() {
        let connection = index % CONNECTIONS.len();
        server.send(CONNECTIONS[connection], turn);
        for (connection, said) in CONNECTIONS.iter().zip(&mut said) {
            while let Received::Bytes(bytes) = server.receive(*connection) {
                said.extend_from_slice(&bytes);
            }
        }
    }
    for said in &said {
        read_responses(said);
    }
});

const CONNECTIONS: [usize; 3] = [1, 2, 3];
/// The user of the last connection.
const GUEST: &str = "pilot@harbour.example";
const SWITCH: u8 = 0xff;
const MESSAGE: &[u8] = b"From: Harbour office <office@harbour.example>\r\n\
    Subject: Berth 12\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\
    \r\n\
    --b\r\n\
    \r\n\
    It is free.\r\n\
    --b\r\n\
    Content-Type: message/rfc822\r\n\
    \r\n\
    Subject: inner\r\n\
    \r\n\
    text\r\n\
    --b--\r\n";
