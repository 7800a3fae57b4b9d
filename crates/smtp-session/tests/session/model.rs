//! Random dialogues against a naive model, cut into random pieces: what is replied and what is
//! taken depends on the commands alone, never on how their octets arrive.

use smtp_session::{Offer, Role};

use crate::common::{Harness, codes, full_offer, offer};

/// Splitmix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Default)]
struct Model {
    hello: bool,
    /// Whether text may be named by a URL.
    burl: bool,
    /// Accepted recipients of the message that is under way.
    mail: Option<usize>,
    /// What has come in chunks.
    chunks: Option<Vec<u8>>,
    messages: Vec<Vec<u8>>,
}

const BYTES_MAX: usize = 300;

const TEXTS: [&str; 6] = [
    "Subject: x\r\n\r\nMAIL FROM:<evil@x.example>\r\n",
    "",
    "RSET\r\nQUIT\r\n",
    "a\nb\r\n",
    "a\rb\r\n",
    "BDAT 5 LAST\r\nxxxxx\r\n",
];

impl Model {
    /// A command with what comes right behind it, and the code that must be replied.
    fn step(&mut self, dice: &mut Dice) -> (String, &'static str) {
        let under_way = self.chunks.is_some();
        match dice.below(if self.burl { 15 } else { 12 }) {
            0 => {
                *self = Self {
                    hello: true,
                    burl: self.burl,
                    messages: std::mem::take(&mut self.messages),
                    ..Self::default()
                };
                ("EHLO a.example\r\n".to_owned(), "250")
            }
            1..3 => {
                let code = if !self.hello || self.mail.is_some() { "503" } else { "250" };
                if code == "250" {
                    self.mail = Some(0);
                }
                ("MAIL FROM:<me@b.example>\r\n".to_owned(), code)
            }
            3..5 => {
                let code = if self.mail.is_none() || under_way { "503" } else { "250" };
                if let Some(count) = self.mail.as_mut().filter(|_| code == "250") {
                    *count += 1;
                }
                ("RCPT TO:<known@b.example>\r\n".to_owned(), code)
            }
            5 => {
                let code = if self.mail.is_none() || under_way { "503" } else { "550" };
                ("RCPT TO:<nobody@b.example>\r\n".to_owned(), code)
            }
            6..8 => {
                let ready = self.mail.is_some_and(|count| count > 0) && !under_way;
                ("DATA\r\n".to_owned(), if ready { "354" } else { "503" })
            }
            8..10 => self.chunk(dice),
            10 => {
                (self.mail, self.chunks) = (None, None);
                ("RSET\r\n".to_owned(), "250")
            }
            11 => ("XFOO bar\r\n".to_owned(), "500"),
            _ => self.url(dice),
        }
    }

    fn url(&mut self, dice: &mut Dice) -> (String, &'static str) {
        let (number, last) = (dice.below(8) as usize, dice.below(2) == 0);
        let line = format!("BURL imap://a/{number}{}\r\n", if last { " LAST" } else { "" });
        match self.mail {
            None => return (line, "503"),
            Some(0) => return (line, "554"),
            Some(_) => {}
        }
        let Some(named) = stored().into_iter().nth(number) else {
            (self.mail, self.chunks) = (None, None);
            return (line, "554");
        };
        let code = self.add(&named.1, last);
        (line, code)
    }

    /// More of the message, and the code for it.
    fn add(&mut self, text: &[u8], last: bool) -> &'static str {
        let mut all = self.chunks.take().unwrap_or_default();
        all.extend_from_slice(text);
        let code = verdict(&all);
        if code != "250" {
            self.mail = None;
        } else if last {
            self.mail = None;
            self.messages.push(all);
        } else {
            self.chunks = Some(all);
        }
        code
    }

    fn chunk(&mut self, dice: &mut Dice) -> (String, &'static str) {
        let text = text(dice);
        let last = dice.below(2) == 0;
        let line = format!("BDAT {}{}\r\n{text}", text.len(), if last { " LAST" } else { "" });
        if text.len() > BYTES_MAX {
            return (line, "552");
        }
        if self.mail.is_none_or(|count| count == 0) {
            return (line, "503");
        }
        let code = self.add(text.as_bytes(), last);
        (line, code)
    }

    /// The text after 354, stuffed, and the code.
    fn data(&mut self, dice: &mut Dice) -> (Vec<u8>, &'static str) {
        let mut text = text(dice);
        if !text.is_empty() && !text.ends_with("\r\n") {
            text.push_str("\r\n");
        }
        self.mail = None;
        let code = verdict(text.as_bytes());
        let mut stuffed = text.replace("\r\n.", "\r\n..");
        if stuffed.starts_with('.') {
            stuffed.insert(0, '.');
        }
        if code == "250" {
            self.messages.push(text.into_bytes());
        }
        (format!("{stuffed}.\r\n").into_bytes(), code)
    }
}

/// What URLs name, in the order of their numbers; one more names nothing.
fn stored() -> Vec<(&'static str, Vec<u8>)> {
    let long = vec![b'x'; BYTES_MAX + 1];
    let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec()).chain([long]);
    ["0", "1", "2", "3", "4", "5", "6"].into_iter().zip(texts).collect()
}

fn text(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => "x".repeat(BYTES_MAX + 1),
        1 => ".\r\n..\r\n.x\r\n".to_owned(),
        number => TEXTS.get(number as usize - 2).copied().unwrap_or_default().to_owned(),
    }
}

/// Bare CR and LF are refused, and what is too long is.
fn verdict(text: &[u8]) -> &'static str {
    let stripped = String::from_utf8_lossy(text).replace("\r\n", "");
    match text.len() {
        length if length > BYTES_MAX => "552",
        _ if stripped.contains(['\r', '\n']) => "550",
        _ => "250",
    }
}

fn send_in_pieces(harness: &mut Harness, bytes: &[u8], dice: &mut Dice) -> String {
    let (mut rest, mut replies) = (bytes, String::new());
    while !rest.is_empty() {
        let length = match dice.below(3) {
            0 => 1,
            1 => rest.len(),
            _ => 1 + dice.below(rest.len() as u64) as usize,
        };
        let (piece, behind) = rest.split_at(length);
        replies.push_str(&harness.send(piece));
        rest = behind;
    }
    replies
}

fn start() -> u64 {
    std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// One dialogue; how many messages were taken.
fn play(seed: u64, harness: &mut Harness, model: &mut Model, dice: &mut Dice) -> usize {
    for _ in 0..60 {
        let (command, code) = model.step(dice);
        let replies = send_in_pieces(harness, command.as_bytes(), dice);
        assert_eq!(codes(&replies), [code], "seed {seed}: {command:?}");
        if code == "354" {
            let (text, code) = model.data(dice);
            let replies = send_in_pieces(harness, &text, dice);
            assert_eq!(codes(&replies), [code], "seed {seed}: {text:?}");
        }
        // A chunk that is announced as too long ends the session.
        if harness.closed {
            assert_eq!(code, "552", "seed {seed}");
            break;
        }
    }
    let messages: Vec<_> = harness.messages.iter().map(|(_, text)| text.clone()).collect();
    assert_eq!(messages, model.messages, "seed {seed}");
    messages.len()
}

#[test]
fn s008_random_dialogues_in_random_pieces_agree_with_a_naive_model() {
    let mut taken = 0;
    for seed in start()..start() + 3000 {
        let mut dice = Dice(seed);
        let mut model = Model::default();
        let mut harness = Harness::new(offer(Role::Mx, BYTES_MAX as u64));
        harness.out.clear();
        if seed % 4 > 0 {
            harness.say("EHLO a.example");
            model.hello = true;
        }
        taken += play(seed, &mut harness, &mut model, &mut dice);
    }
    assert!(taken > 1000, "{taken}");
}

#[test]
fn s008_random_dialogues_with_urls_agree_with_a_naive_model() {
    let mut taken = 0;
    for seed in start()..start() + 3000 {
        let mut dice = Dice(seed);
        let mut model = Model { hello: true, burl: true, ..Model::default() };
        let offer = Offer { message_bytes_max: BYTES_MAX as u64, ..full_offer() };
        let mut harness = Harness::new(offer);
        harness.stored = stored();
        harness.say("EHLO a.example\nAUTH PLAIN AG1lAHB3");
        harness.out.clear();
        taken += play(seed, &mut harness, &mut model, &mut dice);
    }
    assert!(taken > 1000, "{taken}");
}
