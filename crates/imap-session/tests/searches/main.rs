//! Random searches against plain ones: parts of a result, several mailboxes at once, and results
//! that a client keeps by ADDTO and REMOVEFROM alone. RFC 9394, RFC 7377, RFC 5267 §4.3

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod client;

use std::collections::{BTreeMap, BTreeSet};

use client::{Client, Watched};
use imap_proto::types::{Numbering, Response, ResultEnd};
use imap_session::Trouble;
use testkit::pure::PureServer;

#[test]
fn a_client_that_applies_the_updates_has_the_result_of_a_new_search() {
    for seed in 1..=histories() {
        watch(seed, 50, None);
    }
}

#[test]
fn updates_are_only_late_when_messages_cannot_be_read() {
    for seed in 1..=histories() {
        watch(seed, 40, Some(Trouble::Unavailable));
    }
}

/// So many that a place is looked for among them, and not all are sorted again.
#[test]
fn a_new_message_finds_its_place_among_many() {
    for seed in 1..=histories().div_ceil(20) {
        among_many(seed);
    }
}

#[test]
fn a_part_is_what_stands_at_these_places_of_the_whole() {
    for seed in 1..=histories() {
        parts(seed);
    }
}

#[test]
fn one_search_in_many_mailboxes_finds_what_many_searches_find() {
    for seed in 1..=histories() {
        many(seed);
    }
}

#[test]
fn a_search_with_filters_finds_what_it_finds_when_they_are_written_out() {
    for seed in 1..=histories() {
        filters(seed);
    }
}

fn histories() -> u64 {
    std::env::var("HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// One client that keeps results, and one that changes the mailbox.
fn watch(seed: u64, steps: usize, trouble: Option<Trouble>) {
    let mut random = Random::new(seed);
    let mut server = PureServer::default();
    for _ in 0..random.below(6) {
        server.deliver("INBOX", MESSAGES[random.below(MESSAGES.len())]);
    }
    let mut watcher = Client::start(1, seed, &mut server);
    let mut other = Client::start(2, seed, &mut server);
    if random.below(4) == 0 {
        watcher.ask("ENABLE QRESYNC", &mut server);
    }
    watcher.ask("SELECT INBOX", &mut server);
    other.ask("SELECT INBOX", &mut server);
    for _ in 0..steps {
        match random.below(12) {
            0 => {
                let wanted = Watched {
                    prefix: ["", "UID "][random.below(2)],
                    key: KEYS[random.below(KEYS.len())],
                    order: (random.below(2) == 0).then(|| ORDERS[random.below(ORDERS.len())]),
                    has_items: random.below(3) == 0,
                };
                watcher.watch(wanted, &mut server);
            }
            1 => watcher.cancel_one(random.below(9), &mut server),
            2 => {
                watcher.start_idle(&mut server);
                for _ in 0..random.below(4) {
                    change(&mut other, &mut random, &mut server);
                }
                watcher.end_idle(&mut server);
            }
            3 | 4 => change(&mut watcher, &mut random, &mut server),
            5 => drop(watcher.ask("FETCH 1:* (UID)", &mut server)),
            6 => {
                if let Some(trouble) = trouble {
                    server.fail_after(random.below(4), trouble);
                    watcher.try_ask("NOOP", &mut server);
                    server.forget_failure();
                }
            }
            _ => change(&mut other, &mut random, &mut server),
        }
        if random.below(6) == 0 {
            watcher.compare(&mut server);
        }
    }
    watcher.compare(&mut server);
}

fn among_many(seed: u64) {
    let mut random = Random::new(seed);
    let mut server = PureServer::default();
    let deliver = |random: &mut Random, server: &mut PureServer| {
        let (word, day) =
            (MESSAGES[random.below(4)].len() + random.below(90), random.below(27) + 1);
        let date = format!("Mon, {day} Feb 2022 10:00:00 +0000");
        let message = format!("Date: {date}\r\nSubject: tide {word}\r\n\r\ntext\r\n");
        server.deliver("INBOX", message.as_bytes());
    };
    for _ in 0..280 + random.below(200) {
        deliver(&mut random, &mut server);
    }
    let mut watcher = Client::start(1, seed, &mut server);
    let mut other = Client::start(2, seed, &mut server);
    watcher.ask("SELECT INBOX", &mut server);
    other.ask("SELECT INBOX", &mut server);
    for order in ["SUBJECT", "REVERSE DATE SUBJECT", "REVERSE SIZE DATE", "SIZE"] {
        for prefix in ["", "UID "] {
            let has_items = random.below(2) == 0;
            let key = ["ALL", "SUBJECT tide", "UNSEEN"][random.below(3)];
            let wanted = Watched { prefix, key, order: Some(order), has_items };
            watcher.watch(wanted, &mut server);
        }
    }
    for _ in 0..8 {
        for _ in 0..=random.below(2) {
            deliver(&mut random, &mut server);
        }
        let uid = random.below(280) + 1;
        let sign = ["+", "-"][random.below(2)];
        let command = format!("UID STORE {uid}:* {sign}FLAGS.SILENT (\\Seen)");
        match random.below(4) {
            0 => drop(other.ask(&command, &mut server)),
            1 => drop(other.ask(&format!("UID MOVE {uid}:{} Archive", uid + 3), &mut server)),
            _ => {}
        }
        watcher.compare(&mut server);
    }
}

/// Something happens to INBOX.
fn change(client: &mut Client, random: &mut Random, server: &mut PureServer) {
    let uid = random.below(12) + 1;
    let flag = FLAGS[random.below(FLAGS.len())];
    let sign = ["+", "-", ""][random.below(3)];
    let silent = ["", ".SILENT"][random.below(2)];
    match random.below(6) {
        0 | 1 => server.deliver("INBOX", MESSAGES[random.below(MESSAGES.len())]),
        2 => drop(client.ask("EXPUNGE", server)),
        3 => drop(client.ask(&format!("UID MOVE {uid} Archive"), server)),
        4 => drop(client.ask(&format!("UID COPY {uid} INBOX"), server)),
        _ => {
            let command = format!("UID STORE {uid}:* {sign}FLAGS{silent} ({flag})");
            drop(client.ask(&command, server));
        }
    }
}

/// FILTER against the texts of the filters in its place: the words of RFC 5466 §3.1.
fn filters(seed: u64) {
    let mut random = Random::new(seed);
    let mut server = PureServer::default();
    for _ in 0..12 {
        server.deliver("INBOX", MESSAGES[random.below(MESSAGES.len())]);
    }
    let mut client = Client::start(1, seed, &mut server);
    client.ask("SELECT INBOX", &mut server);
    client.ask("UID STORE 2:5 +FLAGS.SILENT (\\Seen)", &mut server);
    client.ask("UID STORE 4:9 +FLAGS.SILENT (\\Flagged)", &mut server);
    for _ in 0..10 {
        // Each names only those behind it, so that there is no loop.
        let texts: Vec<String> = (0..=FILTERS).map(|n| criteria(n, &mut random)).collect();
        let mut written_out = texts.clone();
        for n in (0..FILTERS).rev() {
            for inner in n + 1..=FILTERS {
                let name = format!("FILTER f{inner}");
                written_out[n] = written_out[n].replace(&name, &written_out[inner].clone());
            }
        }
        for (n, text) in texts.iter().enumerate() {
            let set = format!("SETMETADATA \"\" (/private/filters/values/f{n} \"{text}\")");
            client.ask(&set, &mut server);
        }
        let whole = client.found(&format!("SEARCH RETURN (ALL) {}", written_out[0]), &mut server);
        let found = client.found("UID SEARCH RETURN (ALL) FILTER f0", &mut server);
        assert_eq!(found, whole, "seed {seed}: {texts:?}");
    }
}

/// A random `search-criteria` that may name the filters behind this one.
fn criteria(n: usize, random: &mut Random) -> String {
    let keys: Vec<String> = (0..=random.below(2)).map(|_| key(n, 0, random)).collect();
    keys.join(" ")
}

fn key(n: usize, depth: usize, random: &mut Random) -> String {
    match random.below(if depth < 3 { 8 } else { 4 }) {
        0 | 1 if n < FILTERS => format!("FILTER f{}", n + 1 + random.below(FILTERS - n)),
        4 => format!("NOT {}", key(n, depth + 1, random)),
        5 | 6 => {
            let left = key(n, depth + 1, random);
            format!("OR {left} {}", key(n, depth + 1, random))
        }
        7 => format!("({})", criteria(n, random)),
        _ => KEYS[random.below(KEYS.len())].to_owned(),
    }
}

/// PARTIAL against the whole result, from both ends.
fn parts(seed: u64) {
    let mut random = Random::new(seed);
    let mut server = PureServer::default();
    for _ in 0..random.below(30) {
        server.deliver("INBOX", MESSAGES[random.below(MESSAGES.len())]);
    }
    let mut client = Client::start(1, seed, &mut server);
    client.ask("SELECT INBOX", &mut server);
    client.ask("UID STORE 2:4 +FLAGS.SILENT (\\Deleted)", &mut server);
    client.ask("EXPUNGE", &mut server);
    for _ in 0..10 {
        let prefix = ["", "UID "][random.below(2)];
        let key = KEYS[random.below(KEYS.len())];
        let mut whole = client.found(&format!("{prefix}SEARCH RETURN (ALL) {key}"), &mut server);
        let (first, last) = (random.below(20) + 1, random.below(20) + 1);
        let sign = ["", "-"][random.below(2)];
        let command = format!("{prefix}SEARCH RETURN (PARTIAL {sign}{first}:{sign}{last}) {key}");
        let responses = client.ask(&command, &mut server);
        let partial = responses.iter().find_map(|response| match response {
            Response::Esearch(reply) => reply.partial.clone(),
            _ => None,
        });
        let partial = partial.unwrap();
        assert_eq!((partial.range.first, partial.range.last), (first as u32, last as u32));
        if partial.range.from == ResultEnd::Newest {
            whole.reverse();
        }
        let (low, high) = (first.min(last), first.max(last));
        let mut expected: Vec<u32> = whole.into_iter().skip(low - 1).take(high + 1 - low).collect();
        expected.sort_unstable();
        let told: Vec<u32> = partial.found.iter().flat_map(|set| set.numbers()).collect();
        assert_eq!(told, expected, "{command} (seed {seed})");
    }
}

/// ESEARCH against a search in every mailbox that it should look at.
fn many(seed: u64) {
    let mut random = Random::new(seed);
    let mut server = PureServer::default();
    let mut client = Client::start(1, seed, &mut server);
    let mut plain = Client::start(2, seed, &mut server);
    for name in NAMES {
        if random.below(3) > 0 {
            client.try_ask(&format!("CREATE {name}"), &mut server);
        }
    }
    let all: Vec<String> =
        server.account().names().map(|(name, _)| name.as_str().to_owned()).collect();
    for name in &all {
        if random.below(3) == 0 {
            client.try_ask(&format!("UNSUBSCRIBE {name}"), &mut server);
        }
        for _ in 0..random.below(5) {
            server.deliver(name, MESSAGES[random.below(MESSAGES.len())]);
        }
    }
    let selected = all[random.below(all.len())].clone();
    client.ask(&format!("SELECT {selected}"), &mut server);
    for _ in 0..6 {
        let (sources, wanted) = sources(&mut random, &all, &selected, &server);
        let key = KEYS[random.below(KEYS.len())];
        let command = format!("ESEARCH IN ({sources}) RETURN (ALL COUNT) {key}");
        let mut told: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for response in client.ask(&command, &mut server) {
            let Response::Esearch(reply) = response else { continue };
            assert_eq!(reply.numbering, Numbering::Uid);
            let (mailbox, _) = reply.source.unwrap();
            let name = mailbox.name(imap_proto::types::NameEncoding::ModifiedUtf7).unwrap();
            let found: Vec<u32> = reply.all.unwrap().numbers().collect();
            assert_eq!(reply.count, u32::try_from(found.len()).ok());
            let earlier = told.insert(name.as_str().to_owned(), found);
            assert_eq!(earlier, None, "{name} comes twice: {command} (seed {seed})");
        }
        let mut expected = BTreeMap::new();
        for name in wanted {
            plain.ask(&format!("EXAMINE {name}"), &mut server);
            let found = plain.found(&format!("UID SEARCH RETURN (ALL) {key}"), &mut server);
            if !found.is_empty() {
                expected.insert(name, found);
            }
        }
        assert_eq!(told, expected, "{command} (seed {seed})");
    }
}

/// Random sources, and the mailboxes that they name.
fn sources(
    random: &mut Random,
    all: &[String],
    selected: &str,
    server: &PureServer,
) -> (String, BTreeSet<String>) {
    let mut texts = Vec::new();
    let mut wanted = BTreeSet::new();
    for _ in 0..=random.below(2) {
        let name = NAMES[random.below(NAMES.len())];
        let below = format!("{name}/");
        let is_in_tree = |other: &&String| *other == name || other.starts_with(&below);
        match random.below(7) {
            0 => {
                texts.push("selected".to_owned());
                wanted.insert(selected.to_owned());
            }
            1 | 2 => {
                texts.push(["personal", "inboxes"][random.below(2)].to_owned());
                wanted.extend(all.iter().cloned());
            }
            3 => {
                texts.push("subscribed".to_owned());
                let names = server.account().subscriptions().map(|(name, _)| name.as_str());
                wanted.extend(names.map(str::to_owned).filter(|name| all.contains(name)));
            }
            4 => {
                texts.push(format!("subtree {name}"));
                wanted.extend(all.iter().filter(is_in_tree).cloned());
            }
            5 => {
                texts.push(format!("subtree-one ({name})"));
                let is_near =
                    |other: &&String| !other.strip_prefix(&below).is_some_and(|r| r.contains('/'));
                wanted.extend(all.iter().filter(is_in_tree).filter(is_near).cloned());
            }
            _ => {
                texts.push(format!("mailboxes ({name} nowhere)"));
                wanted.extend(all.iter().filter(|other| *other == name).cloned());
            }
        }
    }
    (texts.join(" "), wanted)
}

/// A small fixed generator: the same history in every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % limit as u64).unwrap()
    }
}

/// The number of the last filter.
const FILTERS: usize = 4;
const NAMES: [&str; 7] = ["a", "a/b", "a/b/c", "a-b", "ab/c", "x/y", "x/y/z"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Flagged", "\\Deleted", "Work", "$Junk"];
const ORDERS: [&str; 8] = [
    "ARRIVAL",
    "REVERSE ARRIVAL",
    "SIZE",
    "REVERSE SIZE ARRIVAL",
    "SUBJECT",
    "REVERSE SUBJECT",
    "REVERSE DATE",
    "SUBJECT REVERSE SIZE",
];
const MESSAGES: [&[u8]; 4] = [
    b"Subject: tide\r\n\r\ntext\r\n",
    b"Subject: other\r\n\r\nmuch water\r\n",
    b"Subject: high tide\r\nX-Kind: a\r\n\r\nWater!\r\n",
    b"Subject: none\r\n\r\nnone, but somewhat longer than the others are\r\n",
];
/// Among them keys that are decided at once, some that need a message to be read, and some that
/// need it or not, as the flags are. None depends on numbers of messages, which are those of the
/// moment in which a search is given.
const KEYS: [&str; 19] = [
    "ALL",
    "UNSEEN",
    "FLAGGED UNDELETED",
    "OR FLAGGED SUBJECT tide",
    "UNSEEN BODY water",
    "NOT FUZZY TEXT watr",
    "KEYWORD Work",
    "NOT DELETED OR KEYWORD $Junk HEADER X-Kind a",
    "UID 1:*",
    "UID 6:*",
    "NOT UID *",
    "UID *:4 SUBJECT tide",
    "OR UID 3,* FLAGGED",
    "UID 5:9 UNSEEN",
    "LARGER 40",
    "FUZZY (SUBJECT tides UNSEEN)",
    "TEXT none",
    "NOT (SEEN SUBJECT tide)",
    "MODSEQ 12",
];
