//! How texts are compared: the collations of SEARCH, SORT and THREAD. RFC 5255 §4.2, RFC 4790 §9
//!
//! All three that are offered work in the same way: each character becomes octets, and the octets
//! are compared, put in order, and searched. So a prepared text is a key that sorts as octets do,
//! and a substring of prepared texts is a substring of octets.

use std::hash::Hasher;
use std::sync::LazyLock;

/// A collation that offers equality, order and substring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Comparator {
    /// `i;unicode-casemap`: titlecase and compatibility decomposition. RFC 5051
    #[default]
    UnicodeCasemap,
    /// `i;ascii-casemap`: the letters of ASCII in capitals. RFC 4790 §9.2
    AsciiCasemap,
    /// `i;octet`: as it is. RFC 4790 §9.3
    Octet,
}

/// A comparator and the direction in which it orders. RFC 4790 §3.3
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Collation {
    /// How texts are compared.
    pub comparator: Comparator,
    /// Which of two texts that differ comes first.
    pub direction: Direction,
}

/// Which of two values comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Direction {
    /// The lesser.
    #[default]
    Ascending,
    /// The greater.
    Descending,
}

impl Comparator {
    /// Longest key that is kept of a text while messages are sorted. Of a longer one the beginning
    /// is kept, and a sum of all of it, so that texts are still equal only if they are the same.
    pub const KEY_BYTES_MAX: usize = 512;

    /// The octet that a character of ASCII counts as.
    pub(crate) fn prepare_ascii(self, char: char) -> u8 {
        match self {
            Self::UnicodeCasemap | Self::AsciiCasemap => char.to_ascii_uppercase() as u8,
            Self::Octet => char as u8,
        }
    }

    /// The octets that a character counts as.
    pub(crate) fn prepare(self, char: char, sink: &mut dyn FnMut(u8)) {
        let mut buffer = [0; 4];
        match self {
            Self::UnicodeCasemap => casemap(char, sink),
            Self::AsciiCasemap if char.is_ascii() => sink(self.prepare_ascii(char)),
            Self::AsciiCasemap | Self::Octet => {
                char.encode_utf8(&mut buffer).bytes().for_each(sink);
            }
        }
    }

    /// The key by which a text is put in order: keys compare as octets. The empty text comes
    /// first.
    ///
    /// A text that could not be converted (it holds U+FFFD where something was) comes behind all
    /// others, and among its like in the order of octets. RFC 5255 §4.6 (c)
    pub fn key(self, text: &str) -> Box<[u8]> {
        let mut key = Vec::with_capacity(text.len());
        if self != Self::Octet && text.contains(char::REPLACEMENT_CHARACTER) {
            key.push(BEHIND_UTF_8);
            key.extend_from_slice(text.as_bytes());
        } else {
            text.chars().for_each(|char| self.prepare(char, &mut |octet| key.push(octet)));
        }
        shorten(&mut key);
        key.into_boxed_slice()
    }
}

/// Cuts a key that is longer than one may be.
fn shorten(key: &mut Vec<u8>) {
    if key.len() <= Comparator::KEY_BYTES_MAX {
        return;
    }
    let sum = sum(0, key);
    key.truncate(Comparator::KEY_BYTES_MAX - sum.len());
    key.extend_from_slice(&sum);
}

/// A sum of octets, the same in every process.
pub(crate) fn sum(seed: u8, octets: &[u8]) -> [u8; 8] {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u8(seed);
    hasher.write(octets);
    hasher.finish().to_be_bytes()
}

/// One character of a "titlecased canonicalized UTF-8" string. RFC 5051 §2
fn casemap(char: char, sink: &mut dyn FnMut(u8)) {
    // Nearly all mail is this.
    if char.is_ascii() {
        return sink(char.to_ascii_uppercase() as u8);
    }
    let mut buffer = [0; 4];
    if let Some(letters) = hangul(char) {
        let letters = letters.into_iter().flatten();
        return letters.for_each(|c| c.encode_utf8(&mut buffer).bytes().for_each(&mut *sink));
    }
    match CASEMAP.find(char) {
        Some(octets) => octets.iter().copied().for_each(sink),
        None => char.encode_utf8(&mut buffer).bytes().for_each(sink),
    }
}

/// The letters of a Hangul syllable, which are computed and stand in no table. Unicode §3.12
fn hangul(char: char) -> Option<[Option<char>; 3]> {
    let index = u32::from(char).checked_sub(0xAC00).filter(|index| *index < 11_172)?;
    let lead = char::from_u32(0x1100 + index / 588);
    let vowel = char::from_u32(0x1161 + index % 588 / 28);
    let tail = char::from_u32(0x11A7 + index % 28).filter(|_| index % 28 > 0);
    Some([lead, vowel, tail])
}

/// What characters other than ASCII and Hangul become.
struct Casemap {
    /// Characters, ascending, each with the place behind its octets.
    ends: Vec<(u32, u32)>,
    octets: Vec<u8>,
}

impl Casemap {
    /// Reads the table: a line for each character that changes, with what it becomes. It is made
    /// from UnicodeData.txt 14.0: the titlecase property if there is one, then the decomposition
    /// properties of any type, again and again. RFC 5051 §2 (2)
    ///
    /// Unicode data files are © Unicode, Inc., terms of use: unicode.org/terms_of_use.html.
    fn read(text: &str) -> Self {
        let mut table = Self { ends: Vec::new(), octets: Vec::new() };
        let mut buffer = [0; 4];
        for line in text.lines() {
            let mut points = line.split(' ').map(|hex| u32::from_str_radix(hex, 16).unwrap_or(0));
            let from = points.next().unwrap_or(0);
            for char in points.filter_map(char::from_u32) {
                table.octets.extend_from_slice(char.encode_utf8(&mut buffer).as_bytes());
            }
            table.ends.push((from, u32::try_from(table.octets.len()).unwrap_or(u32::MAX)));
        }
        table
    }

    fn find(&self, char: char) -> Option<&[u8]> {
        let at = self.ends.binary_search_by_key(&u32::from(char), |(from, _)| *from).ok()?;
        let before = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = before.map_or(0, |(_, end)| *end as usize);
        self.octets.get(start..self.ends.get(at)?.1 as usize)
    }
}

static CASEMAP: LazyLock<Casemap> =
    LazyLock::new(|| Casemap::read(include_str!("collate/casemap.txt")));

/// Greater than any octet of UTF-8.
const BEHIND_UTF_8: u8 = 0xFF;

#[cfg(test)]
mod tests {
    use super::*;

    fn casemapped(text: &str) -> String {
        String::from_utf8(Comparator::UnicodeCasemap.key(text).into_vec()).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_is_titlecased_and_decomposed() {
        // RFC 5051 §2: U+01C4 becomes U+0044 U+007A U+030C.
        assert_eq!(casemapped("\u{1c4}"), "Dz\u{30c}");
        assert_eq!(casemapped("\u{1c5}\u{1c6}"), "Dz\u{30c}Dz\u{30c}");
    }

    #[test]
    fn characters_become_what_unicode_data_says() {
        for (text, expected) in [
            ("Re: aZ [1]~", "RE: AZ [1]~"),
            ("ä", "A\u{308}"),
            ("Ä", "A\u{308}"),
            // No titlecase property, and no decomposition.
            ("ß", "ß"),
            ("ẞ", "ẞ"),
            // A ligature decomposes after titlecase, so that its letters stay small.
            ("ﬁ", "fi"),
            ("ς", "Σ"),
            ("отпуск", "ОТПУСК"),
            // Titlecase of Georgian is what it is, other than its uppercase.
            ("ა", "ა"),
            ("\u{1f80}", "\u{391}\u{313}\u{345}"),
            ("Å", "A\u{30a}"),
            ("①", "1"),
            ("ｱ", "ア"),
            ("가", "\u{1100}\u{1161}"),
            ("힣", "\u{1112}\u{1175}\u{11c2}"),
            ("漢", "漢"),
            ("\u{10428}", "\u{10400}"),
        ] {
            assert_eq!(casemapped(text), expected, "{text}");
        }
    }

    #[test]
    fn the_table_is_ascending_and_what_it_makes_does_not_change_its_decomposition() {
        let table = &*CASEMAP;
        assert!(table.ends.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
        assert_eq!(table.ends.len(), 6707);
        for &(from, _) in &table.ends {
            let char = char::from_u32(from).unwrap();
            let once = casemapped(&char.to_string());
            // What comes out has no decomposition any more: only letter case may still change.
            for out in once.chars().filter(|c| !c.is_lowercase()) {
                let again = casemapped(&out.to_string());
                assert_eq!(again.chars().count(), 1, "{from:X} {out:?}");
            }
        }
    }

    #[test]
    fn small_letters_and_capitals_of_european_scripts_are_the_same() {
        let mut pairs = 0;
        for small in '\u{80}'..='\u{590}' {
            let capital: String = small.to_uppercase().collect();
            // Of sharp s and its like there is no single capital; two capitals are newer than the
            // table.
            let is_one = capital.chars().count() == 1 && capital.as_str() < "\u{a7cb}";
            if is_one && !capital.contains(small) {
                assert_eq!(casemapped(&small.to_string()), casemapped(&capital), "{small}");
                pairs += 1;
            }
        }
        assert!(pairs > 400, "{pairs}");
    }

    #[test]
    fn ascii_casemap_leaves_other_letters_alone_and_octet_all() {
        assert_eq!(&*Comparator::AsciiCasemap.key("aé[z"), "Aé[Z".as_bytes());
        assert_eq!(&*Comparator::Octet.key("aé"), "aé".as_bytes());
    }

    #[test]
    fn keys_order_as_texts_do_and_the_empty_text_comes_first() {
        let mut texts = ["b", "", "\u{fffd}a", "A", "é", "\u{10ffff}", "a b", "E"];
        texts.sort_by_key(|text| Comparator::UnicodeCasemap.key(text));
        assert_eq!(texts, ["", "A", "a b", "b", "E", "é", "\u{10ffff}", "\u{fffd}a"]);
    }

    #[test]
    fn a_long_key_is_cut_but_texts_that_differ_stay_different() {
        let long = "x".repeat(100_000);
        let (a, b) = (format!("{long}a"), format!("{long}b"));
        let key = Comparator::UnicodeCasemap.key(&a);
        assert_eq!(key.len(), Comparator::KEY_BYTES_MAX);
        assert_ne!(key, Comparator::UnicodeCasemap.key(&b));
        assert_eq!(key, Comparator::UnicodeCasemap.key(&a.to_uppercase()));
    }
}
