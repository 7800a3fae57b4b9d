//! Takes values out of a TOML document and collects what is wrong with them.
//!
//! The usual way, deriving a deserializer, stops at the first mistake. Whoever edits the file of a
//! server on a Friday evening shall see all of them.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Mistake;

/// A parsed document and the mistakes found in it so far.
pub struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'t> Document<'t> {
    /// Parses a text as far as it can be parsed.
    pub fn new(text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self { text, root, mistakes: RefCell::default() };
        for error in errors {
            let line = error.span().map(|span| document.line(span.start));
            let problem = error.message().to_owned();
            document.push(line, problem, "see https://toml.io for how it is written".to_owned());
        }
        document
    }

    /// The outermost table.
    pub fn root(&self) -> Table<'_> {
        Table { document: self, path: String::new(), entries: self.root.get_ref() }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// With the mistakes in the order of their lines, those without a line last.
    pub fn finish(self) -> Result<(), Vec<Mistake>> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        mistakes.dedup();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    fn push(&self, line: Option<usize>, problem: String, remedy: String) {
        self.mistakes.borrow_mut().push(Mistake { line, problem, remedy });
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    /// A text that cannot be parsed has keys missing for that reason: tell only the reason.
    fn is_broken(&self) -> bool {
        let toml = |mistake: &Mistake| mistake.remedy.contains("toml.io");
        self.mistakes.borrow().iter().any(toml)
    }
}

/// A table within a document.
pub struct Table<'d> {
    document: &'d Document<'d>,
    /// Its name as the operator knows it, empty for the outermost.
    path: String,
    entries: &'d DeTable<'d>,
}

impl<'d> Table<'d> {
    /// Notes a mistake on a line.
    pub fn mistake(&self, line: usize, problem: String, remedy: &str) {
        self.document.push(Some(line), problem, remedy.to_owned());
    }

    /// Notes that something is missing.
    pub fn missing(&self, problem: &str, remedy: &str) {
        if !self.document.is_broken() {
            self.document.push(None, problem.to_owned(), remedy.to_owned());
        }
    }

    /// Whether the table has a key, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The line of a key, if it is there.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        self.value(key).map(|(line, _)| line)
    }

    /// Notes every key that is not among `known`.
    pub fn only(&self, known: &[&str]) {
        for (key, _) in self.entries.iter() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let remedy = match known.iter().find(|known| is_near(name, known)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("remove it: known are {}", known.join(", ")),
            };
            let line = self.document.line(key.span().start);
            self.document.push(Some(line), format!("unknown key {name:?}"), remedy);
        }
    }

    /// A text that must be there and not be empty, and its line.
    pub fn text(&self, key: &str) -> Option<(usize, String)> {
        let Some((line, value)) = self.value(key) else {
            let what = format!("{}{key} is missing", self.prefix());
            self.missing(&what, &format!("add {key} = \"…\""));
            return None;
        };
        match value.as_str() {
            Some("") => {
                self.mistake(line, format!("{key} is empty"), "write a value");
                None
            }
            Some(text) => Some((line, text.to_owned())),
            None => {
                self.wrong_kind(line, key, "a text in quotes", value);
                None
            }
        }
    }

    /// A text that may be missing but not be empty, and its line.
    pub fn optional_text(&self, key: &str) -> Option<(usize, String)> {
        if self.has(key) { self.text(key) } else { None }
    }

    /// The texts of a list that may be missing, each with the line of the list.
    pub fn texts(&self, key: &str) -> Vec<(usize, String)> {
        self.list(key, "a list of texts in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// The numbers of a list that may be missing, from 0 to 255, each with the line of the list.
    pub fn octets(&self, key: &str) -> Vec<(usize, u8)> {
        self.list(key, "a list of numbers from 0 to 255", |value| {
            let integer = value.as_integer()?;
            u8::from_str_radix(integer.as_str(), integer.radix()).ok()
        })
    }

    fn list<T>(
        &self,
        key: &str,
        wanted: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Vec<(usize, T)> {
        let Some((line, value)) = self.value(key) else { return Vec::new() };
        let all: Option<Vec<_>> = value
            .as_array()
            .and_then(|array| array.iter().map(|value| read(value.get_ref())).collect());
        match all {
            Some(all) => all.into_iter().map(|item| (line, item)).collect(),
            None => {
                self.wrong_kind(line, key, wanted, value);
                Vec::new()
            }
        }
    }

    /// A yes or no that may be missing.
    pub fn truth(&self, key: &str) -> Option<bool> {
        let (line, value) = self.value(key)?;
        let truth = value.as_bool();
        if truth.is_none() {
            self.wrong_kind(line, key, "true or false", value);
        }
        truth
    }

    /// One of several words, which must be there, and its line.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<(usize, T)> {
        let (line, text) = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            let remedy = format!("choose one of {}", words.join(", "));
            self.mistake(line, format!("{key} = {text:?} is not known"), &remedy);
        }
        found.map(|(_, value)| (line, *value))
    }

    /// A number that may be there.
    pub fn number(&self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (line, value) = self.value(key)?;
        let Some(integer) = value.as_integer() else {
            self.wrong_kind(line, key, "a whole number", value);
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| u32::try_from(number).ok());
        let found = number.filter(|number| range.contains(number));
        if found.is_none() {
            let remedy = format!("choose a number from {} to {}", range.start(), range.end());
            self.mistake(line, format!("{key} = {} is out of range", integer.as_str()), &remedy);
        }
        found
    }

    /// A table that may be there.
    pub fn table(&self, key: &str) -> Option<Table<'d>> {
        let (line, value) = self.value(key)?;
        match value.as_table() {
            Some(entries) => Some(self.inner(key, entries)),
            None => {
                self.wrong_kind(line, key, "a section", value);
                None
            }
        }
    }

    /// The tables of a list that may be there.
    pub fn tables(&self, key: &str) -> Vec<Table<'d>> {
        let Some((line, value)) = self.value(key) else { return Vec::new() };
        let inner = |value: &'d Spanned<DeValue<'d>>| {
            value.get_ref().as_table().map(|entries| self.inner(key, entries))
        };
        let all: Option<Vec<_>> =
            value.as_array().and_then(|array| array.iter().map(inner).collect());
        if all.is_none() {
            let problem = format!("{key} must be written as [[{key}]] sections");
            self.mistake(line, problem, "write one section for each");
        }
        all.unwrap_or_default()
    }

    fn value(&self, key: &str) -> Option<(usize, &'d DeValue<'d>)> {
        let value = self.entries.get(key)?;
        Some((self.document.line(value.span().start), value.get_ref()))
    }

    fn inner(&self, key: &str, entries: &'d DeTable<'d>) -> Table<'d> {
        Table { document: self.document, path: format!("{}{key}", self.prefix()), entries }
    }

    fn prefix(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!("{}.", self.path) }
    }

    fn wrong_kind(&self, line: usize, key: &str, wanted: &str, value: &DeValue<'_>) {
        let problem = format!("{}{key} must be {wanted}", self.prefix());
        self.mistake(line, problem, &format!("it is of type {}", value.type_str()));
    }
}

/// Whether one is a slip of the other: one letter more, less or different, or two exchanged.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let head = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(head..).unwrap_or_default(), other.get(head..).unwrap_or_default());
    let tail = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (one.len() - tail, other.len() - tail) {
        (0 | 1, 0 | 1) => true,
        (2, 2) => one.first() == other.get(1) && one.get(1) == other.first(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        for (one, other) in
            [("dta", "data"), ("daat", "data"), ("tsl", "tls"), ("adress", "address")]
        {
            assert!(is_near(one, other), "{one} {other}");
        }
        for (one, other) in [("port", "protocol"), ("key", "tls"), ("hostname", "data")] {
            assert!(!is_near(one, other), "{one} {other}");
        }
    }
}
