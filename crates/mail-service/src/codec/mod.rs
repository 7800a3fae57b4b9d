//! Records as bytes.
//!
//! Each record begins with the version of its kind, so that a later program can read what this one
//! wrote. Numbers are LEB128 varints, texts have their length before them. A reader checks every
//! bound, every enum and that nothing is left over: damaged bytes give a [`CorruptRecord`] that
//! names the row, never a panic and never a value that was not written.

pub mod credential;
pub mod log;
pub mod message;
pub mod queue;
pub mod rows;
pub mod sent;
pub mod story;
pub mod tls;

use std::fmt;
use std::sync::Arc;

/// A stored record is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorruptRecord {
    /// The row.
    pub key: Arc<[u8]>,
    /// What is wrong with it.
    pub what: &'static str,
}

impl CorruptRecord {
    /// The record under `key` is damaged.
    #[must_use]
    pub fn new(key: &[u8], what: &'static str) -> Self {
        Self { key: key.into(), what }
    }
}

impl fmt::Display for CorruptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged record at {}: {}", self.key.escape_ascii(), self.what)
    }
}

impl std::error::Error for CorruptRecord {}

/// Why bytes are no record; becomes a [`CorruptRecord`] where the key is known.
pub type Fault = &'static str;

/// Reads a whole record with `read`.
///
/// # Errors
/// `CorruptRecord` naming `key`, also when bytes are left over.
pub fn decode<T>(
    key: &[u8],
    value: &[u8],
    version: u8,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Fault>,
) -> Result<T, CorruptRecord> {
    decode_between(key, value, version..=version, read)
}

/// Reads a whole record of any of these versions; the reader tells which.
///
/// # Errors
/// As [`decode`].
pub fn decode_between<T>(
    key: &[u8],
    value: &[u8],
    versions: std::ops::RangeInclusive<u8>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Fault>,
) -> Result<T, CorruptRecord> {
    let mut reader = Reader { bytes: value, version: 0 };
    let result = (|| {
        reader.version = reader.byte()?;
        if !versions.contains(&reader.version) {
            return Err("its version is not known");
        }
        let record = read(&mut reader)?;
        if reader.bytes.is_empty() { Ok(record) } else { Err("it has bytes left over") }
    })();
    result.map_err(|what| CorruptRecord::new(key, what))
}

/// Writes the fields of a record.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    version: u8,
}

impl Writer {
    /// A record of this version.
    #[must_use]
    pub fn new(version: u8) -> Self {
        Self { bytes: vec![version], version }
    }

    /// The version of the record.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The record.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A number.
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// How many things follow.
    pub fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// A number that may be negative.
    pub fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// Bytes whose length the record's version tells.
    pub fn fixed(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// Something that may be missing.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.byte(0),
            Some(value) => {
                self.byte(1);
                write(self, value);
            }
        }
    }

    /// A list with its length.
    pub fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(values.len());
        for value in values {
            write(self, value);
        }
    }
}

/// Reads the fields of a record.
pub struct Reader<'a> {
    bytes: &'a [u8],
    version: u8,
}

impl<'a> Reader<'a> {
    /// The version of the record.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end of the record.
    pub fn byte(&mut self) -> Result<u8, Fault> {
        let (&first, rest) = self.bytes.split_first().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(first)
    }

    /// A number, in its shortest form only: a value has one spelling.
    ///
    /// # Errors
    /// If it ends early, is longer than 64 bits or has needless zeros.
    pub fn number(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err("a number is too large");
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(value) } else { Err("a number has needless zeros") };
            }
            shift += 7;
        }
    }

    /// A number of at most 32 bits.
    ///
    /// # Errors
    /// As [`Reader::number`], and above 32 bits.
    pub fn number_u32(&mut self) -> Result<u32, Fault> {
        u32::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    /// A number of at most 16 bits.
    ///
    /// # Errors
    /// As [`Reader::number`], and above 16 bits.
    pub fn number_u16(&mut self) -> Result<u16, Fault> {
        u16::try_from(self.number()?).map_err(|_| "a number is too large")
    }

    /// A number that may be negative.
    ///
    /// # Errors
    /// As [`Reader::number`].
    pub fn signed(&mut self) -> Result<i64, Fault> {
        let value = self.number()?;
        Ok(((value >> 1) as i64) ^ -((value & 1) as i64))
    }

    /// Bytes with their length.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.count()?;
        let (value, rest) = self.bytes.split_at_checked(length).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(value)
    }

    /// Bytes with their length, owned.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn vec(&mut self) -> Result<Vec<u8>, Fault> {
        self.bytes().map(<[u8]>::to_vec)
    }

    /// Text with its length.
    ///
    /// # Errors
    /// If fewer bytes are left or they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8")
    }

    /// Text with its length, owned.
    ///
    /// # Errors
    /// If fewer bytes are left or they are not UTF-8.
    pub fn string(&mut self) -> Result<String, Fault> {
        self.text().map(str::to_owned)
    }

    /// Bytes whose length the record's version tells.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (value, rest) = self.bytes.split_first_chunk::<N>().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(*value)
    }

    /// How many things follow. Each takes a byte at least, so a damaged count cannot make a reader
    /// reserve more memory than the record has bytes.
    ///
    /// # Errors
    /// If there cannot be so many.
    pub fn count(&mut self) -> Result<usize, Fault> {
        let count = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        if count <= self.bytes.len() { Ok(count) } else { Err(SHORT) }
    }

    /// Something that may be missing.
    ///
    /// # Errors
    /// Those of `read`, or a mark that is neither yes nor no.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err("an optional field is neither there nor missing"),
        }
    }

    /// A list with its length.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let count = self.count()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(read(self)?);
        }
        Ok(values)
    }
}

const SHORT: Fault = "it ends early";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every cut of a record and every flipped bit is either refused or another value.
    pub(crate) fn assert_damage_is_noticed<T: PartialEq + std::fmt::Debug>(
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, CorruptRecord>,
    ) {
        let whole = decode(bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut to {cut} of {}", bytes.len());
        }
        let longer = [bytes, &[0]].concat();
        assert!(decode(&longer).is_err(), "one byte longer");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(value) = decode(&damaged) {
                assert_ne!(value, whole, "bit {bit}");
            }
        }
    }

    fn number(bytes: &[u8]) -> Result<u64, CorruptRecord> {
        decode(b"k", &[&[1], bytes].concat(), 1, |r| r.number())
    }

    #[test]
    fn numbers_read_back_at_their_borders() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let mut writer = Writer::new(1);
            writer.number(value);
            let bytes = writer.finish();
            assert_eq!(number(&bytes[1..]), Ok(value));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut writer = Writer::new(1);
            writer.signed(value);
            assert_eq!(decode(b"k", &writer.finish(), 1, |r| r.signed()), Ok(value));
        }
    }

    #[test]
    fn numbers_have_one_spelling_and_an_end() {
        assert!(number(&[0x80, 0]).is_err());
        assert!(number(&[0xff; 9]).is_err());
        assert!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).is_err());
        assert_eq!(
            number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn a_damaged_count_reserves_no_memory() {
        let mut writer = Writer::new(1);
        writer.number(u64::MAX);
        let result = decode(b"k", &writer.finish(), 1, |r| r.list(|r| r.byte()));
        assert_eq!(result.unwrap_err().what, SHORT);
    }

    #[test]
    fn an_unknown_version_is_refused_by_name_of_the_row() {
        let error = decode(b"key", &[2], 1, |_| Ok(())).unwrap_err();
        assert_eq!(error, CorruptRecord::new(b"key", "its version is not known"));
        assert_eq!(error.to_string(), "damaged record at key: its version is not known");
    }
}
