//! Random histories of several clients that know only what they are told.
//!
//! Each client keeps its own picture of the mailbox from the responses alone: a list of messages by
//! EXISTS and EXPUNGE or VANISHED, their UIDs and flags by FETCH. Responses that break a rule fail
//! at once: a number out of range, an EXPUNGE during FETCH, STORE, SEARCH, SORT or THREAD, a
//! HIGHESTMODSEQ that falls. When nobody writes, every picture must be the mailbox itself; and a
//! client that was cut off must get there with one SELECT (QRESYNC).

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod client;

use client::{Client, Dialect, Who};
use testkit::pure::{PASSWORD, PureServer, USER};
use testkit::script::Peer as _;

#[test]
fn every_client_ends_with_the_same_picture_whatever_happened() {
    let histories = std::env::var("HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    for seed in 1..=histories {
        history(seed, 60, [Who::Owner; 4]);
    }
}

/// Half of them are another user's, whose rights change all the time; what that user may not do is
/// left undone, and seen by nobody.
#[test]
fn guests_and_their_host_have_the_same_picture_whatever_the_guests_may_do() {
    let histories = std::env::var("HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    for seed in 1..=histories {
        history(seed, 60, [Who::Guest, Who::Owner, Who::Guest, Who::Owner]);
        history(seed, 60, [Who::Owner, Who::Guest, Who::Owner, Who::Guest]);
    }
}

fn history(seed: u64, steps: usize, users: [Who; 4]) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut server = PureServer::default();
    for _ in 0..random.below(8) {
        server.deliver("INBOX", MESSAGE);
    }
    let has_guests = users.contains(&Who::Guest);
    if has_guests {
        invite(&mut server);
    }
    let dialects = [Dialect::Plain, Dialect::Condstore, Dialect::Qresync, Dialect::Rev2];
    let mut clients: Vec<Client> = (1..)
        .zip(users.into_iter().zip(dialects))
        .map(|(connection, kind)| Client::start(connection, kind, seed, &mut server))
        .collect();
    for _ in 0..steps {
        let index = random.below(clients.len());
        step(&mut clients[index], &mut random, &mut server);
        if has_guests && random.below(8) == 0 {
            // To read it is the one right that is never taken, or they would see nothing more.
            let granted = ALL_RIGHTS.chars().filter(|r| *r == 'r' || random.below(3) > 0);
            grant("INBOX", &granted.collect::<String>(), &mut server);
        }
        if random.below(10) == 0 {
            checkpoint(&mut clients, &mut server);
        }
    }
    checkpoint(&mut clients, &mut server);
}

/// Lets the guest do everything with two mailboxes.
fn invite(server: &mut PureServer) {
    server.make_account(Who::GUEST);
    server.connect(HOST);
    server.send(HOST, format!("l LOGIN {USER} {PASSWORD}\r\n").as_bytes());
    grant("INBOX", ALL_RIGHTS, server);
    grant("Archive", ALL_RIGHTS, server);
}

fn grant(mailbox: &str, rights: &str, server: &mut PureServer) {
    server.said(HOST);
    server.send(HOST, format!("s SETACL {mailbox} {} {rights}\r\n", Who::GUEST).as_bytes());
    let said = String::from_utf8(server.said(HOST)).unwrap();
    assert!(said.contains("s OK "), "{said}");
}

/// One thing that a client does.
fn step(client: &mut Client, random: &mut Random, server: &mut PureServer) {
    let count = client.count();
    let seq = random.below(count.max(1)) + 1;
    let from = random.below(seq) + 1;
    let uid = random.below(20) + 1;
    let flag = FLAGS[random.below(FLAGS.len())];
    let sign = ["+", "-", ""][random.below(3)];
    let (inbox, archive) = (client.who.mailbox("INBOX"), client.who.mailbox("Archive"));
    let command = match random.below(20) {
        0 | 1 => return server.deliver("INBOX", MESSAGE),
        2 | 3 if count > 0 => format!("STORE {from}:{seq} {sign}FLAGS ({flag})"),
        4 => format!("UID STORE {uid}:* {sign}FLAGS ({flag})"),
        5 if count > 0 => format!("STORE {seq} +FLAGS (\\Deleted)"),
        6 => "EXPUNGE".to_owned(),
        7 => format!("UID EXPUNGE 1:{uid}"),
        8 if count > 0 => format!("FETCH {from}:{seq} (UID FLAGS)"),
        9 if count > 0 => format!("FETCH {seq} (BODY[TEXT])"),
        10 => format!("UID MOVE {uid} {archive}"),
        11 => format!("UID COPY {uid}:{} {inbox}", uid + 1),
        12 => return client.cut_and_return(server),
        13 => "SEARCH UNSEEN".to_owned(),
        14 => "SORT (REVERSE DATE SUBJECT) UTF-8 UNSEEN".to_owned(),
        15 => "THREAD REFERENCES UTF-8 ALL".to_owned(),
        16 if count > 0 => format!("REPLACE {seq} {inbox} ({flag}) {NEW}"),
        17 => format!("UID REPLACE {uid} {archive} {NEW}"),
        // For a guest to another account.
        18 if client.who == Who::Guest => format!("UID MOVE {uid} INBOX"),
        19 => format!("APPEND {inbox} ({flag}) {NEW}"),
        _ => "NOOP".to_owned(),
    };
    client.command(&command, server);
}

/// Nobody writes: after NOOP every picture is the mailbox.
fn checkpoint(clients: &mut [Client], server: &mut PureServer) {
    for client in clients {
        client.command("NOOP", server);
        client.learn(server);
        client.compare(server);
    }
}

/// A small fixed generator: the same history in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).unwrap()
    }
}

const ALL_RIGHTS: &str = "lrswipkxtea";
/// A connection of the owner that grants.
const HOST: usize = 9;
const FLAGS: [&str; 5] = ["\\Seen", "\\Flagged", "\\Deleted", "Work", "$Junk"];
/// What a message is replaced by.
const NEW: &str = "{13+}\r\nSubject: new\n";
const MESSAGE: &[u8] = b"Subject: hello\r\n\r\ntext\r\n";
