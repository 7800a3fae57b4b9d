//! A limit on what is added, and on nothing else. RFC 9738 §3

use imap_session::{CleartextLogin, SessionConfig};
use testkit::pure::PureServer;
use testkit::script::Peer;

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
    server.ask(&format!("a LOGIN {user} {password}\r\nb SELECT INBOX"));
    let text = server.ask("c CAPABILITY");
    assert!(text.contains(" SAVELIMIT=2") && !text.contains("MESSAGELIMIT"), "{text}");
    let text = server.ask("d COPY 1:3 Trash");
    assert!(text.starts_with("d NO [MESSAGELIMIT 2 2] "), "{text}");
    let text = server.ask("e FETCH 1:3 UID");
    assert!(text.matches(" FETCH (UID ").count() == 3 && text.contains("e OK FETCH"), "{text}");
    let text = server.ask("f MOVE 1:3 Trash");
    assert!(text.contains(" 1:3 1:3]") && text.ends_with("f OK MOVE completed\r\n"), "{text}");
}
