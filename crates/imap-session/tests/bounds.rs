//! What one session may hold in memory, whatever is asked of it. The server in memory also asserts
//! that no need names more rows or octets than it may.

use testkit::pure::PureServer;
use testkit::script::Peer;

const COUNT: usize = 2500;

fn server_with_mail(message: &[u8]) -> PureServer {
    let mut server = PureServer::default();
    for _ in 0..COUNT {
        server.deliver("INBOX", message);
    }
    server.connect(1);
    let (user, password) = server.credentials();
    server.send(1, format!("a LOGIN {user} {password}\r\nb SELECT INBOX\r\n").as_bytes());
    server.receive(1);
    server
}

#[test]
fn a_fetch_of_thousands_is_sent_in_pieces() {
    let mut server =
        server_with_mail(b"Subject: a subject\r\nFrom: hut@harbour.example\r\n\r\ntext\r\n");
    for items in ["(UID FLAGS)", "(ENVELOPE BODYSTRUCTURE)", "(BODY.PEEK[HEADER.FIELDS (FROM)])"] {
        let text = server.ask(&format!("c FETCH 1:* {items}"));
        assert_eq!(text.matches(" FETCH (").count(), COUNT, "{items}");
        let held = server.unflushed_max(1);
        assert!(held <= 256 * 1024, "{items}: {held} octets held");
    }
}

#[test]
fn a_resync_of_thousands_is_sent_in_pieces() {
    let mut server = server_with_mail(b"Subject: x\r\n\r\n");
    let select = server.ask("c ENABLE QRESYNC\r\nd SELECT INBOX");
    let validity = select.split("[UIDVALIDITY ").nth(1).and_then(|rest| rest.split(']').next());
    let command = format!("e SELECT INBOX (QRESYNC ({} 1))", validity.unwrap());
    let text = server.ask(&command);
    assert_eq!(text.matches(" FETCH (").count(), COUNT);
    let held = server.unflushed_max(1);
    assert!(held <= 256 * 1024, "{held} octets held");
}

#[test]
fn a_search_through_all_bodies_loads_one_after_the_other() {
    let mut server = server_with_mail(b"Subject: x\r\n\r\nneedle\r\n");
    let text = server.ask("c SEARCH RETURN (COUNT) TEXT needle NOT BODY nothing");
    assert!(text.contains("COUNT 2500"), "{text}");
    let text = server.ask("d SEARCH RETURN (COUNT) OR HEADER X-None y SUBJECT x");
    assert!(text.contains("COUNT 2500"), "{text}");
}

#[test]
fn sort_and_thread_load_a_few_rows_at_a_time() {
    let mut server = server_with_mail(b"Subject: Re: x\r\nMessage-ID: <a@x>\r\n\r\n");
    let text = server.ask("c SORT RETURN (COUNT MIN MAX) (SUBJECT REVERSE SIZE) UTF-8 ALL");
    assert!(text.contains("MIN 1 MAX 2500 COUNT 2500"), "{text}");
    let text = server.ask("d UID THREAD REFERENCES UTF-8 ALL");
    assert!(text.starts_with("* THREAD ((1)(2)(3)(4)"), "{text}");
    assert!(text.contains("(2500))\r\nd OK"), "{text}");
}

/// A message of 12 MiB: its header is all that it has, its text part is longer than what is read.
#[test]
fn huge_headers_and_texts_are_read_only_in_part() {
    let mut server = PureServer::default();
    server.deliver("INBOX", &b"X: y\r\n".repeat(2 << 20));
    let mut long = b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec();
    long.extend_from_slice(&b"aGVsbG8g\r\n".repeat(1 << 20));
    server.deliver("INBOX", &long);
    server.connect(1);
    let (user, password) = server.credentials();
    server.send(1, format!("a LOGIN {user} {password}\r\nb SELECT INBOX\r\n").as_bytes());
    server.receive(1);
    let text = server.ask("c FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
    assert!(text.contains("c OK"), "{text}");
    let text = server.ask("d FETCH 2 (BINARY.SIZE[1] BINARY.PEEK[1]<6291450.100>)");
    assert!(text.contains("BINARY.SIZE[1] 6291456 BINARY[1]<6291450> ~{6}\r\nhello )"), "{text}");
    let text = server.ask("e SEARCH BODY \"hello hello\" TEXT \"hello\"");
    assert!(text.contains("* SEARCH 2\r\n"), "{text}");
}
