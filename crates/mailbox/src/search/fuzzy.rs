//! Words that are looked for as a person would, and not letter by letter. RFC 6203
//!
//! A text is cut into words: runs of letters and digits, in small letters, without accents and
//! apostrophes. Every word asked for must be like some word of the text, wherever it stands:
//! - the same word; or
//! - a longer one that begins with it; or
//! - from four letters on, one that differs in one letter: another one, one more, one less, or
//!   two neighbours changed about. Words with digits are exempt: 2024 is not 2023;
//! - in scripts that put no spaces between words, one that holds it anywhere.
//!
//! The work is one pass over the text, with a bounded number of words of bounded length compared
//! to each of its words: no message can make it slow.

use super::SearchLimit;

/// The words of a query.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    words: Vec<Word>,
}

#[derive(Clone, Debug)]
struct Word {
    letters: Vec<char>,
    has_digit: bool,
    /// Whether its script puts no spaces between words.
    is_unspaced: bool,
}

/// How often each word was found, and how well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hits {
    /// One bit for each word found.
    found: u64,
    /// Points for all that was found.
    points: u32,
    counts: Vec<u32>,
}

impl Words {
    /// The words of this text; `None` if it has none, as `!?`.
    ///
    /// # Errors
    /// If there are more than [`WORDS_MAX`].
    pub(crate) fn new(text: &str) -> Result<Option<Self>, SearchLimit> {
        let mut words = Vec::new();
        for_each_word(text, &mut |letters| {
            if words.len() <= WORDS_MAX {
                words.push(Word {
                    has_digit: letters.iter().any(|c| c.is_numeric()),
                    is_unspaced: letters.iter().any(|c| is_unspaced(*c)),
                    letters: letters.to_vec(),
                });
            }
        });
        if words.len() > WORDS_MAX {
            return Err(SearchLimit::TextTooLong);
        }
        Ok((!words.is_empty()).then_some(Self { words }))
    }

    /// Whether every word is in the text.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let mut hits = Hits::default();
        self.look(text, &mut hits);
        self.are_found(&hits)
    }

    /// Whether every word was found in what was looked at.
    pub(crate) fn are_found(&self, hits: &Hits) -> bool {
        hits.found.count_ones() as usize == self.words.len()
    }

    /// Looks for the words in one more text.
    pub(crate) fn look(&self, text: &str, hits: &mut Hits) {
        hits.counts.resize(self.words.len(), 0);
        for_each_word(text, &mut |letters| {
            for (index, (word, count)) in self.words.iter().zip(&mut hits.counts).enumerate() {
                let points = word.points(letters);
                if points > 0 {
                    hits.found |= 1 << index;
                    *count += 1;
                    // A word that is repeated a thousand times is not that much more relevant.
                    if *count <= COUNTED_MAX {
                        hits.points += points;
                    }
                }
            }
        });
    }
}

impl Hits {
    /// Points for all that was found.
    pub(crate) fn points(&self) -> u32 {
        self.points
    }
}

impl Word {
    /// How like a word of a text is to this one; zero if it is not.
    fn points(&self, other: &[char]) -> u32 {
        let letters = self.letters.as_slice();
        if other == letters {
            4
        } else if other.starts_with(letters) {
            3
        } else if self.is_unspaced {
            u32::from(other.windows(letters.len()).any(|part| part == letters)) * 3
        } else if letters.len() >= NEAR_LETTERS_MIN && !self.has_digit && is_near(letters, other) {
            2
        } else {
            0
        }
    }
}

/// Whether one letter more, less or other, or two neighbours changed about, make one the other.
fn is_near(a: &[char], b: &[char]) -> bool {
    if a.len().abs_diff(b.len()) > 1 {
        return false;
    }
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (a, b) = (a.get(same..).unwrap_or_default(), b.get(same..).unwrap_or_default());
    match (a, b) {
        ([a0, a1, a_rest @ ..], [b0, b1, b_rest @ ..])
            if a0 == b1 && a1 == b0 && a_rest == b_rest =>
        {
            true
        }
        ([_, a_rest @ ..], [_, b_rest @ ..]) if a_rest == b_rest => true,
        ([_, a_rest @ ..], b) if a_rest == b => true,
        (a, [_, b_rest @ ..]) => a == b_rest,
        (a, []) => a.is_empty(),
    }
}

/// Calls with each word of a text, folded. Of a word longer than [`LETTERS_MAX`] it is the
/// beginning.
fn for_each_word(text: &str, each: &mut dyn FnMut(&[char])) {
    let mut word: Vec<char> = Vec::new();
    for char in text.chars() {
        if char.is_alphanumeric() {
            if word.len() < LETTERS_MAX {
                fold(char, &mut word);
            }
        } else if !is_mark(char) && !word.is_empty() {
            each(&word);
            word.clear();
        }
    }
    if !word.is_empty() {
        each(&word);
    }
}

/// What belongs to a word without being a letter of it: accents that stand for themselves, and
/// apostrophes.
fn is_mark(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}' | '\'' | '’' | '\u{ad}')
}

/// Adds a letter in its plain form.
fn fold(char: char, word: &mut Vec<char>) {
    if char.is_ascii() {
        word.push(char.to_ascii_lowercase());
        return;
    }
    for lower in char.to_lowercase() {
        match lower {
            '\u{300}'..='\u{36f}' => {}
            'ß' => word.extend(['s', 's']),
            'æ' => word.extend(['a', 'e']),
            'œ' => word.extend(['o', 'e']),
            'þ' => word.extend(['t', 'h']),
            'à'..='ɏ' | '\u{1e00}'..='\u{1eff}' => word.push(plain_latin(lower)),
            'ά' => word.push('α'),
            'έ' => word.push('ε'),
            'ή' => word.push('η'),
            'ί' | 'ϊ' | 'ΐ' => word.push('ι'),
            'ό' => word.push('ο'),
            'ύ' | 'ϋ' | 'ΰ' => word.push('υ'),
            'ώ' => word.push('ω'),
            'ς' => word.push('σ'),
            'ё' => word.push('е'),
            other => word.push(other),
        }
    }
}

/// A Latin letter without its accents.
fn plain_latin(char: char) -> char {
    let entry = PLAIN_LATIN.iter().find(|(_, accented)| accented.contains(char));
    entry.map_or(char, |(plain, _)| *plain)
}

/// Scripts whose words stand together without spaces: Thai, Lao, Burmese, Khmer, Chinese, and what
/// is written in Japan and Korea.
fn is_unspaced(char: char) -> bool {
    matches!(char,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Letters of the languages of Europe and of Vietnamese with the letter that people type instead.
const PLAIN_LATIN: [(char, &str); 21] = [
    ('a', "àáâãäåāăąǎǻạảấầẩẫậắằẳẵặ"),
    ('c', "çćĉċč"),
    ('d', "ďđð"),
    ('e', "èéêëēĕėęěẹẻẽếềểễệ"),
    ('g', "ĝğġģǧ"),
    ('h', "ĥħ"),
    ('i', "ìíîïĩīĭįıǐỉị"),
    ('j', "ĵ"),
    ('k', "ķĸǩ"),
    ('l', "ĺļľŀł"),
    ('n', "ñńņňŉŋ"),
    ('o', "òóôõöøōŏőơǒǿọỏốồổỗộớờởỡợ"),
    ('r', "ŕŗř"),
    ('s', "śŝşšșṣſ"),
    ('t', "ţťŧțṭ"),
    ('u', "ùúûüũūŭůűųưǔụủứừửữự"),
    ('w', "ŵẁẃẅ"),
    ('y', "ýÿŷỳỵỷỹ"),
    ('z', "źżž"),
    ('b', "ḃ"),
    ('f', "ḟ"),
];

/// Most words in one text of a query: one bit each, with room.
pub(crate) const WORDS_MAX: usize = 32;
/// Most letters of a word that are looked at.
const LETTERS_MAX: usize = 64;
/// Shorter words have too many neighbours: `cat` is one letter from `bat`, `car` and `at`.
const NEAR_LETTERS_MIN: usize = 4;
/// Most occurrences of a word that count for the score.
const COUNTED_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_like(query: &str, text: &str) -> bool {
        Words::new(query).unwrap().unwrap().are_in(text)
    }

    #[test]
    fn words_match_whatever_their_case_accents_and_spaces() {
        assert!(is_like("cafe", "Un CAFÉ noir"));
        assert!(is_like("Café", "cafe\u{301}s"));
        assert!(is_like("muller strasse", "Straße  der\r\n Müller"));
        assert!(is_like("dont", "I don't"));
        assert!(is_like("οδος", "ΟΔΌΣ"));
        assert!(!is_like("cafe noir", "cafe"));
    }

    #[test]
    fn a_word_finds_what_begins_with_it_but_not_what_holds_it() {
        assert!(is_like("swim", "swimming"));
        assert!(!is_like("art", "cart"));
        assert!(is_like("東京", "私は東京都に住む"));
    }

    #[test]
    fn one_letter_may_be_wrong_in_a_word_of_four() {
        for near in ["hello", "help", "halo", "hleo", "elo", "helo"] {
            assert!(is_like("Helo", near), "{near}");
        }
        assert!(!is_like("Helo", "hallo"));
        assert!(!is_like("cat", "bat"));
        assert!(!is_like("2024", "2023"));
        assert!(!is_like("abcd", "ab"));
    }

    #[test]
    fn is_near_agrees_with_the_distance_of_damerau() {
        let words: std::collections::BTreeSet<Vec<char>> = (0..81_u32)
            .flat_map(|n| (0..=4).map(move |length| (n, length)))
            .map(|(n, length)| {
                (0..length).map(|at| ['a', 'b', 'c'][(n / 3_u32.pow(at) % 3) as usize]).collect()
            })
            .collect();
        for a in &words {
            for b in &words {
                assert_eq!(is_near(a, b), distance(a, b) <= 1, "{a:?} {b:?}");
            }
        }
    }

    /// Optimal string alignment, from the definition.
    fn distance(a: &[char], b: &[char]) -> usize {
        let (Some((a0, a_rest)), Some((b0, b_rest))) = (a.split_first(), b.split_first()) else {
            return a.len().max(b.len());
        };
        let mut best = distance(a_rest, b_rest) + usize::from(a0 != b0);
        best = best.min(distance(a_rest, b) + 1).min(distance(a, b_rest) + 1);
        if a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0] {
            best = best.min(distance(&a[2..], &b[2..]) + 1);
        }
        best
    }

    #[test]
    fn a_query_of_too_many_words_is_refused() {
        assert!(Words::new(&"w ".repeat(WORDS_MAX)).unwrap().is_some());
        assert!(Words::new(&"w ".repeat(WORDS_MAX + 1)).is_err());
        assert!(Words::new("!? ...").unwrap().is_none());
    }
}
