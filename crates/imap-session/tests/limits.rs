//! A limit on what is added, and on nothing else. RFC 9738 §3

use imap_session::{CleartextLogin, SessionConfig};
use testkit::pure::PureServer;
use testkit::script::{Peer, Received};

fn answer(server: &mut PureServer, command: &str) -> String {
    server.send(1, format!("{command}\r\n").as_bytes());
    let mut bytes = Vec::new();
    while let Received::Bytes(more) = server.receive(1) {
        bytes.extend_from_slice(&more);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_save_limit_concerns_copies_only() {
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        save_limit: Some(2),
        ..SessionConfig::default()
    };
    let mut server = PureServer::new(config);
    for _ in 0..3 {
        server.deliver("INBOX", b"Subject: x\r\n\r\n");
    }
    server.connect(1);
    let (user, password) = server.credentials();
    answer(&mut server, &format!("a LOGIN {user} {password}\r\nb SELECT INBOX"));
    let text = answer(&mut server, "c CAPABILITY");
    assert!(text.contains(" SAVELIMIT=2") && !text.contains("MESSAGELIMIT"), "{text}");
    let text = answer(&mut server, "d COPY 1:3 Trash");
    assert!(text.starts_with("d NO [MESSAGELIMIT 2 2] "), "{text}");
    let text = answer(&mut server, "e FETCH 1:3 UID");
    assert!(text.matches(" FETCH (UID ").count() == 3 && text.contains("e OK FETCH"), "{text}");
    let text = answer(&mut server, "f MOVE 1:3 Trash");
    assert!(text.contains(" 1:3 1:3]") && text.ends_with("f OK MOVE completed\r\n"), "{text}");
}
