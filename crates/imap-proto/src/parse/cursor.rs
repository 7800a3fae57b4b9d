//! A position in a command or a response, and the tokens that all of them share.
//!
//! Deviations from the formal syntax, all of them harmless: several spaces count as one, spaces
//! inside parentheses and at the end of a line are skipped, and quoted strings may hold any octet
//! above 127, because clients put Latin-1 there and the session has to answer them.

use std::borrow::Cow;

use mail_types::InternalDate;

use super::error::{ErrorKind, ParseError, Result};
use crate::chars::{is_astring_char, is_atom_char, is_list_char};
use crate::types::{Literal, MailboxArg, SeqBound, SeqRange, SequenceSet};

/// A whole command or response: its bytes in wire form without the last line break. The octets of
/// buffered literals stand after their `{n}` line, those of streamed ones do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Which literals were streamed, ascending, from 0.
    pub streamed: &'a [u32],
}

impl<'a> Frame<'a> {
    /// A frame in which every literal stands inline.
    pub const fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, streamed: &[] }
    }
}

/// The form in which a literal was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralForm {
    /// `{n}`
    Plain,
    /// `~{n}`
    Binary,
}

/// Reads tokens from a frame.
#[derive(Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    streamed: &'a [u32],
    literals: u32,
}

impl<'a> Cursor<'a> {
    pub fn new(frame: Frame<'a>) -> Self {
        Self { bytes: frame.bytes, at: 0, streamed: frame.streamed, literals: 0 }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The error that at this place there should be something else.
    pub fn expected<T>(&self, expected: &'static str) -> Result<T> {
        self.fail(ErrorKind::Syntax, expected)
    }

    pub fn fail<T>(&self, kind: ErrorKind, expected: &'static str) -> Result<T> {
        Err(ParseError { tag: None, offset: self.at, kind, expected })
    }

    /// Reads one byte if it is this one.
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Reads exactly this byte.
    pub fn byte(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { self.expected(expected) }
    }

    /// `SP`; more than one is read as one.
    pub fn space(&mut self) -> Result<()> {
        self.byte(b' ', "space")?;
        self.skip_spaces();
        Ok(())
    }

    pub fn skip_spaces(&mut self) {
        while self.eat(b' ') {}
    }

    /// Reads a space that is followed by something: what separates an optional argument.
    pub fn space_before_more(&mut self) -> bool {
        let rest = self.rest();
        let spaces = rest.iter().take_while(|b| **b == b' ').count();
        let more = spaces > 0 && spaces < rest.len();
        if more {
            self.at += spaces;
        }
        more
    }

    /// The end of the command; spaces before it are skipped.
    pub fn end(&mut self) -> Result<()> {
        self.skip_spaces();
        if self.at_end() { Ok(()) } else { self.expected("end of command") }
    }

    /// The longest run of bytes of a class, maybe empty.
    pub fn take_while(&mut self, class: fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().take_while(|b| class(**b)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// A run of bytes of a class, not empty.
    fn run(&mut self, class: fn(u8) -> bool, expected: &'static str) -> Result<&'a [u8]> {
        let run = self.take_while(class);
        if run.is_empty() { self.expected(expected) } else { Ok(run) }
    }

    /// `atom = 1*ATOM-CHAR`
    pub fn atom(&mut self, expected: &'static str) -> Result<&'a str> {
        let run = self.run(is_atom_char, expected)?;
        // The class holds only ASCII.
        std::str::from_utf8(run).or_else(|_| self.expected(expected))
    }

    /// A word in any letter case, as `FLAGS` or `RFC822.SIZE`; reads nothing if it is another one.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let Some((head, tail)) = rest.split_at_checked(word.len()) else { return false };
        let ends = tail.first().is_none_or(|b| !is_atom_char(*b) || *b == b'[');
        let found = ends && head.eq_ignore_ascii_case(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// A keyword of the grammar: letters, digits, `.`, `-`, `_`, `+`, `=`. In capitals.
    pub fn keyword(&mut self, expected: &'static str) -> Result<String> {
        let class = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let run = self.run(class, expected)?;
        Ok(run.iter().map(|b| char::from(b.to_ascii_uppercase())).collect())
    }

    /// `number = 1*DIGIT`, up to `max`.
    fn digits(&mut self, max: u64, expected: &'static str) -> Result<u64> {
        let start = self.at;
        let run = self.run(|b| b.is_ascii_digit(), expected)?;
        let add = |sum: u64, b: &u8| sum.checked_mul(10)?.checked_add(u64::from(b - b'0'));
        match run.iter().try_fold(0_u64, add).filter(|n| *n <= max) {
            Some(number) => Ok(number),
            None => {
                self.at = start;
                self.fail(ErrorKind::Value, expected)
            }
        }
    }

    /// `number`: 32 bits.
    pub fn number(&mut self) -> Result<u32> {
        let number = self.digits(u64::from(u32::MAX), "number below 2^32")?;
        u32::try_from(number).or_else(|_| self.expected("number below 2^32"))
    }

    /// `nz-number`
    pub fn nz_number(&mut self) -> Result<u32> {
        let start = self.at;
        match self.number()? {
            0 => {
                self.at = start;
                self.fail(ErrorKind::Value, "number above zero")
            }
            number => Ok(number),
        }
    }

    /// `number64`: 63 bits. RFC 9051 §4.2
    pub fn number64(&mut self) -> Result<u64> {
        self.digits(i64::MAX as u64, "number below 2^63")
    }

    /// `nz-number64`
    pub fn nz_number64(&mut self) -> Result<u64> {
        let start = self.at;
        match self.number64()? {
            0 => {
                self.at = start;
                self.fail(ErrorKind::Value, "number above zero")
            }
            number => Ok(number),
        }
    }

    /// ```text
    /// quoted      = DQUOTE *QUOTED-CHAR DQUOTE
    /// QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> /
    ///               "\" quoted-specials / UTF8-2 / UTF8-3 / UTF8-4
    /// ```
    pub fn quoted(&mut self) -> Result<Cow<'a, [u8]>> {
        self.byte(b'"', "quoted string")?;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            let Some(byte) = self.peek() else { return self.expected("closing quote") };
            match byte {
                b'"' => {
                    let raw = self.bytes.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(unescaped.map_or(Cow::Borrowed(raw), Cow::Owned));
                }
                b'\\' => {
                    let Some(escaped @ (b'"' | b'\\')) = self.bytes.get(self.at + 1).copied()
                    else {
                        return self.expected("\\\" or \\\\");
                    };
                    let raw = self.bytes.get(start..self.at).unwrap_or_default();
                    unescaped.get_or_insert_with(|| raw.to_vec()).push(escaped);
                    self.at += 2;
                }
                b'\0' | b'\r' | b'\n' => return self.expected("character of a quoted string"),
                byte => {
                    if let Some(text) = &mut unescaped {
                        text.push(byte);
                    }
                    self.at += 1;
                }
            }
        }
    }

    /// ```text
    /// literal  = "{" number64 ["+"] "}" CRLF *CHAR8
    /// literal8 = "~{" number64 ["+"] "}" CRLF *OCTET
    /// ```
    /// A NUL is passed on: who may not take one asks for a string.
    pub fn literal(&mut self) -> Result<(LiteralForm, Literal)> {
        let (form, size) = self.literal_header()?;
        let index = self.literals;
        self.literals += 1;
        if self.streamed.binary_search(&index).is_ok() {
            return Ok((form, Literal::Streamed { index, size }));
        }
        let rest = self.rest();
        let Some(octets) = usize::try_from(size).ok().and_then(|size| rest.get(..size)) else {
            return self.expected("as many octets as the literal announced");
        };
        self.at += octets.len();
        Ok((form, Literal::Inline(octets.to_vec())))
    }

    /// The `{n}` of a literal with its line break.
    fn literal_header(&mut self) -> Result<(LiteralForm, u64)> {
        let form = if self.eat(b'~') { LiteralForm::Binary } else { LiteralForm::Plain };
        self.byte(b'{', "literal")?;
        let size = self.number64()?;
        self.eat(b'+');
        self.byte(b'}', "} of a literal")?;
        self.eat(b'\r');
        self.byte(b'\n', "line break after a literal's size")?;
        Ok((form, size))
    }

    /// `string = quoted / literal`; a streamed literal is no string.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => {
                let start = self.at;
                match self.literal()? {
                    (LiteralForm::Plain, Literal::Inline(octets)) if octets.contains(&0) => {
                        self.at = start;
                        self.expected("literal without NUL")
                    }
                    (_, Literal::Inline(octets)) => Ok(Cow::Owned(octets)),
                    (_, Literal::Streamed { .. }) => {
                        self.at = start;
                        self.expected("literal that was kept")
                    }
                }
            }
            _ => self.expected("string"),
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub fn astring(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            Some(b'~') if self.rest().starts_with(b"~{") => self.string(),
            _ => self.run(is_astring_char, "atom or string").map(Cow::Borrowed),
        }
    }

    /// `nstring = string / nil`
    pub fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>> {
        if self.eat_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `mailbox = "INBOX" / astring`
    pub fn mailbox(&mut self) -> Result<MailboxArg> {
        self.astring().map(|raw| MailboxArg::from_wire(raw.into_owned()))
    }

    /// `list-mailbox = 1*list-char / string`, where octets above 127 count as `list-char`.
    pub fn list_mailbox(&mut self) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            Some(b'~') if self.rest().starts_with(b"~{") => self.string(),
            _ => self
                .run(|b| is_list_char(b) || b >= 0x80, "mailbox name or pattern")
                .map(Cow::Borrowed),
        }
    }

    /// ```text
    /// sequence-set = (seq-number / seq-range / "$") ["," sequence-set]
    /// seq-range    = seq-number ":" seq-number
    /// seq-number   = nz-number / "*"
    /// ```
    pub fn sequence_set(&mut self) -> Result<SequenceSet> {
        self.sequence_set_up_to(SequenceSet::ITEMS_MAX)
    }

    pub fn sequence_set_up_to(&mut self, items_max: usize) -> Result<SequenceSet> {
        let mut ranges = Vec::new();
        let mut saved = false;
        loop {
            if self.eat(b'$') {
                saved = true;
            } else {
                if ranges.len() >= items_max {
                    return self.fail(ErrorKind::TooMany, "items of a sequence set");
                }
                let first = self.seq_bound()?;
                let last = if self.eat(b':') { self.seq_bound()? } else { first };
                ranges.push(SeqRange { first, last });
            }
            if !self.eat(b',') {
                break;
            }
        }
        let set = SequenceSet::new(ranges);
        Ok(if saved { set.with_saved() } else { set })
    }

    /// `seq-number = nz-number / "*"`
    pub fn seq_bound(&mut self) -> Result<SeqBound> {
        match self.peek() {
            Some(b'*') => {
                self.at += 1;
                Ok(SeqBound::Last)
            }
            Some(b'0'..=b'9') => self.nz_number().map(SeqBound::Number),
            _ => self.expected("sequence set"),
        }
    }

    /// A set of plain numbers, where neither `*` nor `$` may stand.
    pub fn number_set(&mut self, items_max: usize) -> Result<SequenceSet> {
        let start = self.at;
        let set = self.sequence_set_up_to(items_max)?;
        if set.has_last() || set.has_saved() {
            self.at = start;
            return self.expected("numbers without * and $");
        }
        Ok(set)
    }

    /// `date = date-text / DQUOTE date-text DQUOTE`, as days since 1970-01-01.
    pub fn date(&mut self) -> Result<i64> {
        let start = self.at;
        let raw = self.astring()?;
        let day = std::str::from_utf8(&raw).ok().and_then(|t| InternalDate::parse_date(t).ok());
        match day {
            Some(day) => Ok(day),
            None => {
                self.at = start;
                self.fail(ErrorKind::Value, "date like 1-Feb-1994")
            }
        }
    }

    /// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
    pub fn date_time(&mut self) -> Result<InternalDate> {
        let start = self.at;
        let raw = self.quoted()?;
        let date = std::str::from_utf8(&raw).ok().and_then(|t| InternalDate::parse(t).ok());
        match date {
            Some(date) => Ok(date),
            None => {
                self.at = start;
                self.fail(ErrorKind::Value, "date-time like \" 1-Feb-1994 21:52:25 -0800\"")
            }
        }
    }

    /// Reads `"(" [item *(SP item)] ")"`, at most `items_max` items.
    pub fn list<T>(
        &mut self,
        items_max: usize,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.byte(b'(', "(")?;
        let mut items = Vec::new();
        self.skip_spaces();
        while !self.eat(b')') {
            if items.len() >= items_max {
                return self.fail(ErrorKind::TooMany, expected);
            }
            items.push(item(self)?);
            if self.peek() != Some(b')') {
                self.space()?;
            }
        }
        Ok(items)
    }

    /// Like [`Self::list`], with at least one item.
    pub fn list1<T>(
        &mut self,
        items_max: usize,
        expected: &'static str,
        item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let items = self.list(items_max, expected, item)?;
        if items.is_empty() {
            // The place meant is the closing parenthesis, where an item was missing.
            self.at -= 1;
            return self.expected(expected);
        }
        Ok(items)
    }
}
