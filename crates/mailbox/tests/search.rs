//! Search keys one by one, and random queries against a naive evaluation.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use mail_types::{
    Flags, InternalDate, Keyword, MailboxId, MessageId, ModSeq, SystemFlags, ThreadId, Uid, UidSet,
};
use mailbox::search::{
    Content, ContentNeed, DateTest, Field, HeaderText, Key, Program, Recency, RowText, SearchLimit,
    Subject, Verdict,
};
use mailbox::{
    Account, Actor, Context, EntryRef, MailboxSnapshot, NewMessage, Operation, View, apply, decide,
};

const NOW: i64 = 1_700_000_000;

fn day(text: &str) -> i64 {
    InternalDate::parse_date(text).unwrap()
}

fn uids(numbers: &[u32]) -> UidSet {
    numbers.iter().filter_map(|number| Uid::new(*number)).collect()
}

/// Messages 1 to 6, each an hour and a day older than the one before.
fn snapshot() -> MailboxSnapshot {
    let mut account = Account::empty();
    let mut messages = Vec::new();
    for n in 0..6u8 {
        let system = SystemFlags::from_bits(n * 5 % 32).unwrap();
        let mut flags = Flags::system(system);
        if n % 2 == 0 {
            flags.insert(Keyword::new("Work").unwrap());
        }
        messages.push(NewMessage {
            message: None,
            thread: Some(ThreadId(u64::from(n / 2))),
            size: u32::from(n) * 100,
            internal_date: InternalDate::new(NOW - i64::from(n) * 90_000, -600),
            flags,
            annotations: mailbox::Annotations::default(),
        });
    }
    let inbox = MailboxId(1);
    for operation in [Operation::CreateAccount, Operation::AddMessages { mailbox: inbox, messages }]
    {
        let entry = decide(&account, &Actor::Owner, &operation, &Context { now: NOW })
            .unwrap()
            .entry
            .unwrap();
        account = apply(&account, &entry).unwrap();
    }
    account.mailbox(inbox).unwrap().contents().unwrap().clone()
}

fn subject<'a>(entry: EntryRef<'a>) -> Subject<'a> {
    let recent = if entry.uid().get() > 4 { Recency::Recent } else { Recency::Old };
    Subject { entry, recent, now: NOW }
}

fn found(key: Key) -> Vec<u32> {
    let program = Program::new(&key).unwrap();
    let snapshot = snapshot();
    let is_found = |entry: &EntryRef<'_>| {
        program.evaluate(&subject(*entry), &Content::default()) == Verdict::Yes
    };
    snapshot.iter().filter(is_found).map(|entry| entry.uid().get()).collect()
}

#[test]
fn keys_on_what_the_snapshot_holds() {
    assert_eq!(found(Key::All), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found(Key::Nothing), []);
    assert_eq!(found(Key::System(SystemFlags::SEEN)), [3, 4, 6]);
    assert_eq!(found(Key::Keyword(Keyword::new("WORK").unwrap())), [1, 3, 5]);
    assert_eq!(found(Key::Recent), [5, 6]);
    assert_eq!(found(Key::Uids(uids(&[2, 9]))), [2]);
    assert_eq!(found(Key::Larger(300)), [5, 6]);
    assert_eq!(found(Key::Smaller(300)), [1, 2, 3]);
    assert_eq!(found(Key::ModSeq(ModSeq::new(2).unwrap())), [1, 2, 3, 4, 5, 6]);
    assert_eq!(found(Key::ModSeq(ModSeq::new(3).unwrap())), []);
    assert_eq!(found(Key::Message(MessageId(4))), [4]);
    assert_eq!(found(Key::Thread(ThreadId(1))), [3, 4]);
    assert_eq!(found(Key::Not(Box::new(Key::Recent))), [1, 2, 3, 4]);
    assert_eq!(found(Key::And(vec![Key::Recent, Key::Larger(400)])), [6]);
    assert_eq!(found(Key::Or(vec![Key::Recent, Key::Smaller(1)])), [1, 5, 6]);
    assert_eq!(found(Key::And(Vec::new())), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn older_and_younger_both_include_the_moment() {
    assert_eq!(found(Key::Older(90_000)), [2, 3, 4, 5, 6]);
    assert_eq!(found(Key::Younger(90_000)), [1, 2]);
}

#[test]
fn internal_dates_are_compared_by_the_day_of_their_own_zone() {
    // 14-Nov-2023 22:13:20 UTC is 12:13:20 ten hours west.
    let date = |test| found(Key::InternalDate(test));
    assert_eq!(date(DateTest::On(day("14-Nov-2023"))), [1]);
    assert_eq!(date(DateTest::On(day("13-Nov-2023"))), [2]);
    assert_eq!(date(DateTest::Since(day("13-Nov-2023"))), [1, 2]);
    assert_eq!(date(DateTest::Before(day("13-Nov-2023"))), [3, 4, 5, 6]);
    assert_eq!(found(Key::SaveDate(DateTest::On(day("14-Nov-2023")))).len(), 6);
    assert_eq!(found(Key::SaveDate(DateTest::Before(day("14-Nov-2023")))).len(), 0);
}

fn verdict(key: &Key, content: &Content<'_>) -> Verdict {
    let snapshot = snapshot();
    Program::new(key).unwrap().evaluate(&subject(snapshot.at(0).unwrap()), content)
}

fn header() -> [HeaderText<'static>; 2] {
    [HeaderText { name: "X-Mailer", value: "Heron 1.0" }, HeaderText { name: "List-Id", value: "" }]
}

#[test]
fn wire_header_subject_is_answered_by_the_row_like_subject() {
    let row = RowText { subject: Some("Reçu de paiement"), ..RowText::default() };
    let content = Content { row: Some(row), ..Content::default() };
    let subject = |text: &str| Key::Field(Field::Subject, text.into());
    let header = |name: &str, text: &str| Key::Header(name.into(), text.into());
    assert_eq!(verdict(&subject("REÇU"), &content), Verdict::Yes);
    assert_eq!(verdict(&header("subJECT", "paie"), &content), Verdict::Yes);
    assert_eq!(verdict(&header("Subject", ""), &content), Verdict::Yes);
    assert_eq!(verdict(&header("Cc", ""), &content), Verdict::No);
    let nothing = Content::default();
    assert_eq!(verdict(&header("From", "x"), &nothing), Verdict::Needs(ContentNeed::Row));
}

#[test]
fn an_empty_header_text_asks_for_the_field() {
    let fields = header();
    let content = Content { header: Some(&fields), ..Content::default() };
    let key = |name: &str, text: &str| Key::Header(name.into(), text.into());
    assert_eq!(verdict(&key("list-id", ""), &content), Verdict::Yes);
    assert_eq!(verdict(&key("List-Post", ""), &content), Verdict::No);
    assert_eq!(verdict(&key("x-mailer", "heron"), &content), Verdict::Yes);
}

#[test]
fn text_looks_in_the_header_first_and_body_never_does() {
    let fields = header();
    let with_header = Content { header: Some(&fields), ..Content::default() };
    let with_both = Content { text: Some("the weather"), ..with_header };
    let text = |text: &str| Key::Text(text.into());
    assert_eq!(verdict(&text("heron"), &Content::default()), Verdict::Needs(ContentNeed::Header));
    assert_eq!(verdict(&text("heron"), &with_header), Verdict::Yes);
    assert_eq!(verdict(&text("X-Mailer: Heron"), &with_header), Verdict::Yes);
    assert_eq!(verdict(&text("weather"), &with_header), Verdict::Needs(ContentNeed::Text));
    assert_eq!(verdict(&text("weather"), &with_both), Verdict::Yes);
    assert_eq!(verdict(&text("rain"), &with_both), Verdict::No);
    assert_eq!(verdict(&Key::Body("heron".into()), &with_both), Verdict::No);
    assert_eq!(verdict(&Key::Body(String::new()), &Content::default()), Verdict::Yes);
}

#[test]
fn fuzzy_changes_texts_and_nothing_else() {
    let like = |key: Key| Key::Fuzzy(Box::new(key));
    let fields = header();
    let row = RowText { subject: Some("Wéather report"), ..RowText::default() };
    let content = Content { row: Some(row), header: Some(&fields), text: Some("sunny days") };
    let subject = |text: &str| Key::Field(Field::Subject, text.into());
    assert_eq!(verdict(&subject("report weathr"), &content), Verdict::No);
    assert_eq!(verdict(&like(subject("report weathr")), &content), Verdict::Yes);
    let header = |text: &str| Key::Header("x-mailer".into(), text.into());
    assert_eq!(verdict(&like(header("hero")), &content), Verdict::Yes);
    assert_eq!(verdict(&like(header("rent")), &content), Verdict::No);
    // One word in the header, one in the body; the other way the body is asked for only if needed.
    assert_eq!(verdict(&like(Key::Text("day heron".into())), &content), Verdict::Yes);
    let without_body = Content { text: None, ..content };
    let needs = Verdict::Needs(ContentNeed::Text);
    assert_eq!(verdict(&like(Key::Text("heron".into())), &without_body), Verdict::Yes);
    assert_eq!(verdict(&like(Key::Text("day heron".into())), &without_body), needs);
    assert_eq!(found(like(Key::Larger(300))), [5, 6]);
    let not = like(Key::Not(Box::new(Key::Body("snny".into()))));
    assert_eq!(verdict(&not, &content), Verdict::No);
}

#[test]
fn what_fuzzy_finds_counts_by_field_and_by_how_often() {
    let points = |key: Key, content: &Content<'_>| {
        Program::new(&Key::Fuzzy(Box::new(key))).unwrap().relevancy(content)
    };
    let row = |subject| Some(RowText { subject: Some(subject), ..RowText::default() });
    let content = Content { row: row("tide"), header: None, text: Some("tide, tides, tode") };
    let subject = || Key::Field(Field::Subject, "tide".into());
    let body = || Key::Body("tide".into());
    // The word itself is 4 points, a longer one 3, one with another letter 2; a subject is ten
    // bodies.
    assert_eq!(points(subject(), &content), 40);
    assert_eq!(points(body(), &content), 9);
    assert_eq!(points(Key::And(vec![subject(), body()]), &content), 49);
    assert_eq!(points(Key::Not(Box::new(body())), &content), 0);
    assert_eq!(points(Key::Body("tide wave".into()), &content), 0);
    let often = "tide ".repeat(1000);
    assert_eq!(points(body(), &Content { text: Some(&often), ..content }), 40);
    let exact = Program::new(&body()).unwrap();
    assert_eq!(exact.relevancy(&content), 0);
}

#[test]
fn a_flag_that_is_not_searched_for_makes_no_difference() {
    let snapshot = snapshot();
    let (before, after) = (snapshot.at(0).unwrap(), snapshot.at(2).unwrap());
    let sees_none = |key: Key| {
        let program = Program::new(&key).unwrap();
        program.sees_no_difference(&subject(before), &subject(after))
    };
    let seen = || Key::System(SystemFlags::SEEN);
    // Message 3 is seen and message 1 is not; both have the keyword.
    assert!(!sees_none(seen()));
    assert!(sees_none(Key::Keyword(Keyword::new("Work").unwrap())));
    assert!(sees_none(Key::Body("x".into())));
    assert!(!sees_none(Key::And(vec![Key::Body("x".into()), seen()])));
    assert!(!sees_none(Key::Not(Box::new(Key::Or(vec![Key::All, seen()])))));
    assert!(!sees_none(Key::Fuzzy(Box::new(seen()))));
}

#[test]
fn a_message_without_a_date_header_was_sent_on_no_day() {
    let content = Content { row: Some(RowText::default()), ..Content::default() };
    let key = Key::SentDate(DateTest::Since(0));
    assert_eq!(verdict(&key, &content), Verdict::No);
    assert_eq!(verdict(&Key::Not(Box::new(key)), &content), Verdict::Yes);
}

#[test]
fn cheap_keys_spare_the_loading_of_content() {
    let text = || Key::Text("x".into());
    let none = Content::default();
    assert_eq!(verdict(&Key::And(vec![text(), Key::Nothing]), &none), Verdict::No);
    assert_eq!(verdict(&Key::Or(vec![text(), Key::All]), &none), Verdict::Yes);
    let subject = Key::Field(Field::Subject, "x".into());
    let both = Key::And(vec![text(), subject]);
    assert_eq!(verdict(&both, &none), Verdict::Needs(ContentNeed::Row));
}

#[test]
fn queries_beyond_the_limits_are_refused() {
    let many = Key::And(vec![Key::All; Program::KEYS_MAX]);
    assert_eq!(Program::new(&many).unwrap_err(), SearchLimit::TooManyKeys);
    let mut deep = Key::All;
    for _ in 0..=Program::DEPTH_MAX {
        deep = Key::Not(Box::new(deep));
    }
    assert_eq!(Program::new(&deep).unwrap_err(), SearchLimit::TooDeep);
    let long = Key::Body("x".repeat(Program::NEEDLE_BYTES_MAX + 1));
    assert_eq!(Program::new(&long).unwrap_err(), SearchLimit::TextTooLong);
}

#[test]
fn sifting_a_view_leaves_only_what_needs_content() {
    let view = View::open(snapshot());
    let body = Key::Body("x".into());
    let key = Key::And(vec![Key::Or(vec![body, Key::Larger(400)]), Key::Uids(uids(&[4, 5, 6]))]);
    let sifted = Program::new(&key).unwrap().sift(&view, NOW);
    assert_eq!(sifted.matched, uids(&[6]));
    assert_eq!(sifted.undecided, uids(&[4, 5]));
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn key(&mut self, depth: u32) -> Key {
        let letters = ["a", "b", "AB", "ba", "z"];
        let text = letters[usize::try_from(self.below(5)).unwrap()].to_owned();
        match self.below(if depth == 0 { 9 } else { 13 }) {
            0 => Key::All,
            1 => Key::System(SystemFlags::from_bits(1 << self.below(5)).unwrap()),
            2 => Key::Larger(self.below(600)),
            3 => Key::Recent,
            4 => Key::Field(Field::Subject, text),
            5 => Key::Header("X-Note".into(), text),
            6 => Key::Body(text),
            7 => Key::Text(text),
            8 => Key::Uids(uids(&[u32::try_from(self.below(6)).unwrap() + 1])),
            9 | 10 => Key::Not(Box::new(self.key(depth - 1))),
            11 => Key::And((0..self.below(4)).map(|_| self.key(depth - 1)).collect()),
            _ => Key::Or((0..self.below(4)).map(|_| self.key(depth - 1)).collect()),
        }
    }
}

struct Texts {
    subject: &'static str,
    note: &'static str,
    body: &'static str,
}

fn naive(key: &Key, subject: &Subject<'_>, texts: &Texts) -> bool {
    let has = |text: &str, needle: &str| text.contains(&needle.to_lowercase());
    match key {
        Key::All => true,
        Key::System(flags) => subject.entry.system_flags().contains(*flags),
        Key::Larger(size) => u64::from(subject.entry.size()) > *size,
        Key::Recent => subject.recent == Recency::Recent,
        Key::Field(_, text) => has(texts.subject, text),
        Key::Header(_, text) => has(texts.note, text),
        Key::Body(text) => has(texts.body, text),
        Key::Text(text) => {
            has(texts.subject, text) || has(texts.note, text) || has(texts.body, text)
        }
        Key::Uids(uids) => uids.contains(subject.entry.uid()),
        Key::Not(key) => !naive(key, subject, texts),
        Key::And(keys) => keys.iter().all(|key| naive(key, subject, texts)),
        Key::Or(keys) => keys.iter().any(|key| naive(key, subject, texts)),
        other => panic!("{other:?} is not made"),
    }
}

/// Loads what is asked for until the verdict falls; it must not ask for the same twice.
fn staged(program: &Program, subject: &Subject<'_>, texts: &Texts) -> bool {
    let fields = [
        HeaderText { name: "Q", value: texts.subject },
        HeaderText { name: "x-note", value: texts.note },
    ];
    let mut content = Content::default();
    for _ in 0..=3 {
        match program.evaluate(subject, &content) {
            Verdict::Yes => return true,
            Verdict::No => return false,
            Verdict::Needs(ContentNeed::Row) if content.row.is_none() => {
                let row = RowText { subject: Some(texts.subject), ..RowText::default() };
                content.row = Some(row);
            }
            Verdict::Needs(ContentNeed::Header) if content.header.is_none() => {
                content.header = Some(&fields);
            }
            Verdict::Needs(ContentNeed::Text) if content.text.is_none() => {
                content.text = Some(texts.body);
            }
            Verdict::Needs(need) => panic!("{need:?} was given and asked for again"),
        }
    }
    panic!("no verdict with all content")
}

#[test]
fn random_queries_agree_with_a_naive_evaluation() {
    let snapshot = snapshot();
    let words = ["", "a", "abba", "zoo", "bab", "xyz"];
    for seed in 0..3000 {
        let mut random = Random(seed);
        let key = random.key(4);
        let program = Program::new(&key).unwrap();
        for entry in snapshot.iter() {
            let mut word = || words[usize::try_from(random.below(6)).unwrap()];
            let texts = Texts { subject: word(), note: word(), body: word() };
            let subject = subject(entry);
            let expected = naive(&key, &subject, &texts);
            assert_eq!(staged(&program, &subject, &texts), expected, "seed {seed}: {key:?}");
        }
    }
}
