//! What strace wrote down: system calls with their arguments, and when each began and ended.
//!
//! ```text
//! line    = pid SP call
//! call    = name "(" arguments ")" SP+ "= " result
//!         / name "(" arguments " <unfinished ...>"
//!         / "<... " name " resumed>" arguments ")" SP+ "= " result
//! ```
//!
//! A moment is the number of a line. Strings are in hexadecimal (`-xx`), so that no byte of a
//! write can look like anything else.

use std::collections::HashMap;
use std::io::BufRead;

use crate::Result;

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its arguments, as far as they were given when it began.
    pub arguments: Vec<Argument>,
    /// The moment at which it began.
    pub start: u64,
    /// The moment at which it returned; `None` if the process ended first.
    pub end: Option<u64>,
    /// What it returned: -1 for every error; zero if it did not.
    pub result: i64,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A string, or the strings of a vector one after the other.
    Bytes(Vec<u8>),
    /// A number.
    Number(i64),
    /// Flags and other names.
    Word(String),
}

impl Call {
    /// The bytes of an argument.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        match self.arguments.get(index)? {
            Argument::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an argument.
    pub fn number(&self, index: usize) -> Option<i64> {
        match self.arguments.get(index)? {
            Argument::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether this flag is among those of an argument.
    pub fn has_flag(&self, index: usize, flag: &str) -> bool {
        match self.arguments.get(index) {
            Some(Argument::Word(word)) => word.split('|').any(|one| one == flag),
            _ => false,
        }
    }

    /// The path of an argument.
    pub fn path(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(index)?).ok()
    }

    /// Whether it did something: it succeeded, or nobody knows.
    pub fn has_effect(&self) -> bool {
        self.end.is_none() || self.result >= 0
    }
}

/// Reads a whole recording; the calls are in the order in which they began.
///
/// # Errors
/// When a line is not one of strace's, or the recording cannot be read.
pub fn read(mut from: impl BufRead) -> Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<u64, usize> = HashMap::new();
    let mut line = Vec::new();
    let mut moment = 0;
    while {
        line.clear();
        from.read_until(b'\n', &mut line)?
    } > 0
    {
        moment += 1;
        let text = std::str::from_utf8(&line)?.trim_end();
        let strange = || format!("line {moment} of the recording: {:.200}", text);
        let (pid, rest) = text.split_once(' ').ok_or_else(strange)?;
        let pid: u64 = pid.parse().map_err(|_| strange())?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let index = open.remove(&pid).ok_or_else(strange)?;
            let call = calls.get_mut(index).ok_or_else(strange)?;
            let (_, returned) = resumed.rsplit_once(" = ").ok_or_else(strange)?;
            // A process that ends returns nothing.
            if !returned.starts_with('?') {
                (call.end, call.result) = (Some(moment), result(returned).ok_or_else(strange)?);
            }
            continue;
        }
        let call = begun(rest, moment).ok_or_else(strange)?;
        if call.end.is_none() {
            open.insert(pid, calls.len());
        }
        calls.push(call);
    }
    Ok(calls)
}

fn begun(text: &str, start: u64) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let mut call =
        Call { name: name.to_owned(), arguments: Vec::new(), start, end: None, result: 0 };
    if let Some(arguments) = rest.strip_suffix(" <unfinished ...>") {
        call.arguments = arguments_of(arguments)?;
        return Some(call);
    }
    let (arguments, returned) = rest.rsplit_once(" = ")?;
    call.arguments = arguments_of(arguments.trim_end().strip_suffix(')')?)?;
    if !returned.starts_with('?') {
        (call.end, call.result) = (Some(start), result(returned)?);
    }
    Some(call)
}

fn result(text: &str) -> Option<i64> {
    number(text.split_whitespace().next()?)
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| i64::from_str_radix(text.strip_prefix("0x")?, 16).ok())
}

/// Splits at the commas outside of brackets and strings.
fn arguments_of(text: &str) -> Option<Vec<Argument>> {
    let mut arguments = Vec::new();
    let (mut depth, mut is_string, mut from) = (0_i32, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_string = !is_string,
            b'[' | b'{' | b'(' if !is_string => depth += 1,
            b']' | b'}' | b')' if !is_string => depth -= 1,
            b',' if !is_string && depth == 0 => {
                arguments.push(argument(text.get(from..at)?.trim())?);
                from = at + 1;
            }
            _ => {}
        }
    }
    let last = text.get(from..)?.trim();
    if !last.is_empty() {
        arguments.push(argument(last)?);
    }
    Some(arguments)
}

fn argument(text: &str) -> Option<Argument> {
    if text.starts_with('"') || text.starts_with('[') {
        // The even pieces between quotation marks are not in strings.
        let mut bytes = Vec::new();
        for piece in text.split('"').skip(1).step_by(2) {
            unhex(piece, &mut bytes)?;
        }
        // An ellipsis means that not everything was recorded.
        return (!text.ends_with("...")).then_some(Argument::Bytes(bytes));
    }
    Some(number(text).map_or_else(|| Argument::Word(text.to_owned()), Argument::Number))
}

/// Reads `\x6d\x61\x69\x6c`.
fn unhex(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.reserve(text.len() / 4);
    for one in text.as_bytes().chunks(4) {
        let [b'\\', b'x', high, low] = *one else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_threads_are_put_together_again() {
        let recording = concat!(
            r#"7 openat(AT_FDCWD, "\x2f\x61", O_RDWR|O_CREAT, 0600) = 3"#,
            "\n",
            r#"7 pwrite64(3, "\x2c\x22", 2, 5 <unfinished ...>"#,
            "\n",
            r#"8 fsync(3 <unfinished ...>"#,
            "\n",
            r#"7 <... pwrite64 resumed>) = 2"#,
            "\n",
            r#"8 <... fsync resumed>)  = -1 EIO (Input/output error) (INJECTED)"#,
            "\n",
            r#"7 pwritev(3, [{iov_base="\x61", iov_len=1}, {iov_base="\x62", iov_len=1}], 2, 9) = 2"#,
            "\n7 +++ exited with 0 +++\n",
        );
        let calls = read(recording.as_bytes()).unwrap();
        let [open, write, sync, vector] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!((open.path(1), open.has_flag(2, "O_CREAT"), open.result), (Some("/a"), true, 3));
        assert_eq!((write.bytes(1), write.number(3)), (Some(&b",\""[..]), Some(5)));
        assert_eq!((write.start, write.end, write.result), (2, Some(4), 2));
        assert_eq!((sync.start, sync.end, sync.has_effect()), (3, Some(5), false));
        assert_eq!((vector.bytes(1), vector.number(3)), (Some(&b"ab"[..]), Some(9)));
    }

    #[test]
    fn a_string_that_was_cut_short_is_refused() {
        assert!(read(&br#"7 write(3, "\x61"..., 5) = 5"#[..]).is_err());
    }

    #[test]
    fn a_call_that_never_returned_may_have_done_its_work() {
        let calls = read(&b"7 fsync(3 <unfinished ...>\n7 <... fsync resumed>) = ?\n"[..]).unwrap();
        assert_eq!((calls[0].end, calls[0].has_effect()), (None, true));
    }
}
