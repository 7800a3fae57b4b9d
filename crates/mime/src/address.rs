//! Address lists of header fields. RFC 5322 §3.4 and §4.4
//!
//! ```text
//! address-list  = address *("," address)
//! address       = mailbox / group
//! mailbox       = addr-spec / [phrase] "<" [route ":"] addr-spec ">"
//! group         = phrase ":" [mailbox-list] ";"
//! addr-spec     = local-part "@" domain
//! ```
//!
//! Any text yields something, since ENVELOPE must not lose a sender to a missing quote. What stands
//! before a missing `@` is the local part if it is one word, else the name. Comments are names when
//! there is no other. The text is cut into tokens once; nothing recurses.

use mail_types::Address;

use crate::header::unfold;

/// Reads the value of From, To and the like, folded or not. At most [`ADDRESSES_MAX`] entries;
/// names are left encoded. RFC 9051 §7.5.2
pub fn parse_addresses(value: &[u8]) -> Vec<Address> {
    let value = unfold(value);
    let mut list = List::default();
    let mut tokens = Tokens { rest: &value };
    while let Some(token) = tokens.next() {
        list.take(token);
        if list.found.len() >= ADDRESSES_MAX {
            break;
        }
    }
    list.finish()
}

/// A piece of an address list.
#[derive(Debug)]
enum Token {
    /// An atom, a quoted string without its quotes, or a domain literal with its brackets.
    Word(Word),
    Comment(Vec<u8>),
    /// One of `< > @ , : ;`
    Special(u8),
}

#[derive(Debug)]
struct Word {
    text: Vec<u8>,
    /// White space stands before it.
    is_spaced: bool,
}

struct Tokens<'a> {
    rest: &'a [u8],
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        let trimmed = self.rest.trim_ascii_start();
        let is_spaced = trimmed.len() < self.rest.len();
        let (&first, after) = trimmed.split_first()?;
        self.rest = after;
        Some(match first {
            b'<' | b'>' | b'@' | b',' | b':' | b';' => Token::Special(first),
            b'"' => {
                let (text, after) = crate::params::unquote(after);
                self.rest = after;
                Token::Word(Word { text, is_spaced })
            }
            b'(' => {
                let (text, after) = comment(after);
                self.rest = after;
                Token::Comment(text)
            }
            b'[' => {
                let end = memchr::memchr(b']', trimmed).map_or(trimmed.len(), |at| at + 1);
                let (text, after) = trimmed.split_at(end);
                self.rest = after;
                Token::Word(Word { text: text.to_vec(), is_spaced })
            }
            _ => {
                // A character that begins no other token is a word of its own, so this moves on.
                let end =
                    after.iter().position(|b| !is_atom(*b)).map_or(trimmed.len(), |at| at + 1);
                let (text, after) = trimmed.split_at(end);
                self.rest = after;
                Token::Word(Word { text: text.to_vec(), is_spaced })
            }
        })
    }
}

/// Whether a byte goes on with an atom; dots do, so that `a.b` is one word.
fn is_atom(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !b"()<>@,;:\"[".contains(&byte)
}

/// A comment after its first parenthesis: its text, and what follows it. RFC 5322 §3.2.2
fn comment(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut inside = Vec::new();
    let mut depth = 1_usize;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\\' => {
                let Some((&quoted, after)) = rest.split_first() else { break };
                inside.push(quoted);
                rest = after;
                continue;
            }
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        inside.push(byte);
    }
    (inside.trim_ascii().to_vec(), rest)
}

/// The list while it is read.
#[derive(Default)]
struct List {
    found: Vec<Address>,
    is_group: bool,
    /// What came before `<`, or all of an address without it.
    outside: Mailbox,
    /// What stands between `<` and `>`.
    angle: Option<Mailbox>,
    is_angle_open: bool,
    comment: Option<Vec<u8>>,
}

/// Words on the two sides of the first `@`.
#[derive(Default)]
struct Mailbox {
    /// Source route, with its colon gone.
    route: Option<Vec<u8>>,
    local: Vec<Word>,
    /// `None` if there is no `@`.
    domain: Option<Vec<Word>>,
    is_touched: bool,
}

impl List {
    fn take(&mut self, token: Token) {
        match token {
            Token::Comment(text) => {
                if !text.is_empty() {
                    self.comment = Some(text);
                }
            }
            Token::Word(word) => self.current().word(word),
            Token::Special(b'@') => self.current().at(),
            Token::Special(b'<') => {
                // A second `<` in one address begins it again.
                self.angle = Some(Mailbox { is_touched: true, ..Mailbox::default() });
                self.is_angle_open = true;
            }
            Token::Special(b'>') => self.is_angle_open = false,
            Token::Special(b':') => self.colon(),
            // A comma ends an address even if its `>` is missing, but not a route: `<@a,@b:c@d>`.
            Token::Special(b',') => {
                let is_route = self.is_angle_open && self.current().begins_with_at();
                if is_route { self.current().word(Word::new(b",")) } else { self.end_address() }
            }
            Token::Special(_) => {
                self.end_address();
                self.end_group();
            }
        }
    }

    fn current(&mut self) -> &mut Mailbox {
        match &mut self.angle {
            Some(angle) if self.is_angle_open => angle,
            _ => &mut self.outside,
        }
    }

    fn colon(&mut self) {
        if self.is_angle_open {
            let angle = self.current();
            if angle.begins_with_at() {
                angle.take_route();
            } else {
                angle.word(Word::new(b":"));
            }
            return;
        }
        let is_name = self.angle.is_none() && self.outside.domain.is_none();
        if !self.is_group && is_name && !self.outside.local.is_empty() {
            let name = phrase(&std::mem::take(&mut self.outside).local);
            // The group's name stands where a mailbox stands, without a host. RFC 9051 §7.5.2
            self.found.push(Address { mailbox: Some(name), ..Address::default() });
            self.is_group = true;
            self.comment = None;
        } else {
            self.outside.word(Word::new(b":"));
        }
    }

    fn end_group(&mut self) {
        if std::mem::take(&mut self.is_group) {
            self.found.push(Address::default());
        }
    }

    fn end_address(&mut self) {
        let outside = std::mem::take(&mut self.outside);
        let angle = self.angle.take();
        let comment = self.comment.take();
        self.is_angle_open = false;
        if !outside.is_touched && angle.is_none() {
            return;
        }
        let name;
        let mailbox;
        match angle {
            Some(angle) => {
                name = Some(outside.whole()).filter(|name| !name.is_empty());
                mailbox = angle;
            }
            // Several words without an address are a name rather than a local part.
            None if outside.domain.is_none() && outside.local.len() > 1 => {
                name = Some(outside.whole());
                mailbox = Mailbox::default();
            }
            None => {
                name = None;
                mailbox = outside;
            }
        }
        self.found.push(Address {
            name: name.or(comment),
            adl: mailbox.route,
            mailbox: Some(dotted(&mailbox.local)),
            // Never `None`, which would begin a group.
            host: Some(mailbox.domain.map(|words| dotted(&words)).unwrap_or_default()),
        });
    }

    fn finish(mut self) -> Vec<Address> {
        self.end_address();
        self.end_group();
        self.found
    }
}

impl Word {
    fn new(text: &[u8]) -> Self {
        Self { text: text.to_vec(), is_spaced: false }
    }
}

impl Mailbox {
    fn word(&mut self, word: Word) {
        self.is_touched = true;
        self.domain.as_mut().unwrap_or(&mut self.local).push(word);
    }

    fn at(&mut self) {
        self.is_touched = true;
        match &mut self.domain {
            // Only the first one parts; what follows another one stays with the domain.
            Some(domain) => domain.push(Word::new(b"@")),
            None => self.domain = Some(Vec::new()),
        }
    }

    fn begins_with_at(&self) -> bool {
        self.local.is_empty() && self.domain.is_some()
    }

    /// `@a,@b` before a colon. RFC 5322 §4.4 (obs-route)
    fn take_route(&mut self) {
        let words = self.domain.take().unwrap_or_default();
        let mut route = b"@".to_vec();
        route.extend(words.into_iter().flat_map(|word| word.text));
        self.route = Some(route);
    }

    /// All of it as a display name: an address may stand where a name should.
    fn whole(self) -> Vec<u8> {
        let mut text = phrase(&self.local);
        if let Some(domain) = self.domain {
            text.push(b'@');
            text.extend(phrase(&domain));
        }
        text
    }
}

/// Words with one space where there was any.
fn phrase(words: &[Word]) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if word.is_spaced && !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(&word.text);
    }
    text
}

/// Words of a local part or domain: space around dots is no part of it. RFC 5322 §4.4
fn dotted(words: &[Word]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for word in words {
        let is_at_dot = text.is_empty() || text.ends_with(b".") || word.text.starts_with(b".");
        if word.is_spaced && !is_at_dot {
            text.push(b' ');
        }
        text.extend_from_slice(&word.text);
    }
    text
}

/// Most entries of one field. Servers that relay mail refuse far fewer recipients (Postfix 1,000).
pub(crate) const ADDRESSES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each address as `name|route|mailbox|host`, `-` for what is missing.
    fn read(value: &str) -> Vec<String> {
        let show = |part: &Option<Vec<u8>>| match part {
            Some(text) => String::from_utf8_lossy(text).into_owned(),
            None => "-".to_owned(),
        };
        parse_addresses(value.as_bytes())
            .iter()
            .map(|a| [&a.name, &a.adl, &a.mailbox, &a.host].map(show).join("|"))
            .collect()
    }

    #[test]
    fn the_examples_of_rfc_5322_are_read() {
        assert_eq!(read("John Doe <jdoe@machine.example>"), ["John Doe|-|jdoe|machine.example"]);
        assert_eq!(
            read("\"Joe Q. Public\" <john.q.public@example.com>"),
            ["Joe Q. Public|-|john.q.public|example.com"]
        );
        assert_eq!(
            read("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>"),
            ["Mary Smith|-|mary|x.test", "-|-|jdoe|example.org", "Who?|-|one|y.test"]
        );
        assert_eq!(
            read("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>"),
            ["-|-|boss|nil.test", "Giant; \"Big\" Box|-|sysservices|example.net"]
        );
        assert_eq!(
            read("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;"),
            [
                "-|-|A Group|-",
                "Ed Jones|-|c|a.test",
                "-|-|joe|where.test",
                "John|-|jdoe|one.test",
                "-|-|-|-"
            ]
        );
        assert_eq!(read("Undisclosed recipients:;"), ["-|-|Undisclosed recipients|-", "-|-|-|-"]);
        assert_eq!(
            read("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
            ["Pete|-|pete|silly.test"]
        );
        assert_eq!(
            read("Joe Q. Public <john.q.public@example.com>"),
            ["Joe Q. Public|-|john.q.public|example.com"]
        );
        assert_eq!(
            read("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example"),
            ["Mary Smith|@node.test|mary|example.net", "-|-|jdoe|test.example",]
        );
        assert_eq!(read("<@a.test,@b.test:c@d.test>"), ["-|@a.test,@b.test|c|d.test"]);
    }

    #[test]
    fn a_comment_is_the_name_if_there_is_no_other() {
        assert_eq!(
            read("jdoe@example.org (John (the) Doe)"),
            ["John (the) Doe|-|jdoe|example.org"]
        );
        assert_eq!(read("(John) <jdoe@example.org>, a@b"), ["John|-|jdoe|example.org", "-|-|a|b"]);
        assert_eq!(read("J (x) Doe <j@d>"), ["J Doe|-|j|d"]);
    }

    #[test]
    fn odd_local_parts_and_domains_are_kept() {
        assert_eq!(
            read("\"a b\"@c, \"\"@d, a@[1.2.3.4], \"x@y\"@z"),
            ["-|-|a b|c", "-|-||d", "-|-|a|[1.2.3.4]", "-|-|x@y|z",]
        );
        assert_eq!(
            read("=?utf-8?q?J=C3=B6?= =?utf-8?q?rg?= <j@d>"),
            ["=?utf-8?q?J=C3=B6?= =?utf-8?q?rg?=|-|j|d"]
        );
        assert_eq!(read("Jörg <jörg@dömäin>"), ["Jörg|-|jörg|dömäin"]);
    }

    #[test]
    fn wire_22_a_sender_that_is_written_wrongly_is_not_lost() {
        assert_eq!(read("root"), ["-|-|root|"]);
        assert_eq!(read("John Doe"), ["John Doe|-||"]);
        assert_eq!(read("<>"), ["-|-||"]);
        assert_eq!(read("\"John Doe\" <>"), ["John Doe|-||"]);
        assert_eq!(read("John <jdoe"), ["John|-|jdoe|"]);
        assert_eq!(read("<a@b, c@d>"), ["-|-|a|b", "-|-|c|d"]);
        assert_eq!(read("a@b.c <a@b.c>"), ["a@b.c|-|a|b.c"]);
        assert_eq!(read("\"John <a@b>"), ["-|-|John <a@b>|"]);
        assert_eq!(read("a@b@c"), ["-|-|a|b@c"]);
        assert_eq!(read("x <<a@b>>"), ["x|-|a|b"]);
        assert_eq!(read("@"), ["-|-||"]);
        assert_eq!(read("a b@c"), ["-|-|a b|c"]);
        assert_eq!(read("group: a@b"), ["-|-|group|-", "-|-|a|b", "-|-|-|-"]);
        assert_eq!(read("a@b: c"), ["-|-|a|b: c"]);
        assert_eq!(read("a; b"), ["-|-|a|", "-|-|b|"]);
    }

    #[test]
    fn nothing_makes_nothing() {
        for text in ["", "  ", ",,, ;", "(only a comment)", "\r\n "] {
            assert!(read(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn half_a_million_addresses_are_bounded() {
        assert_eq!(read(&"a@b,".repeat(500_000)).len(), ADDRESSES_MAX);
        assert_eq!(read(&"(".repeat(500_000)).len(), 0);
        assert_eq!(read(&"<".repeat(500_000)).len(), 1);
        assert_eq!(read(&"a:".repeat(500_000)).len(), 3);
        assert_eq!(read("(never closed \\").len(), 0);
    }
}
