//! A text to look for, by the rules of a comparator. RFC 5255 §4.6
//!
//! Both sides are prepared character by character, and a substring is one of octets. The search is
//! Knuth-Morris-Pratt over the prepared octets: one pass whatever the texts are, so that no message
//! can make a search slow.

use crate::collate::Comparator;

/// A prepared text.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    comparator: Comparator,
    folded: Vec<u8>,
    /// For each length of a matched beginning: the longest shorter one that it ends with.
    fallback: Vec<usize>,
}

impl Needle {
    pub(crate) fn new(text: &str, comparator: Comparator) -> Self {
        let mut folded = Vec::with_capacity(text.len());
        for char in text.chars() {
            comparator.prepare(char, &mut |byte| folded.push(byte));
        }
        let mut fallback = vec![0; folded.len()];
        let mut length = 0;
        for at in 1..folded.len() {
            while length > 0 && folded.get(at) != folded.get(length) {
                length = fallback.get(length - 1).copied().unwrap_or(0);
            }
            if folded.get(at) == folded.get(length) {
                length += 1;
            }
            if let Some(slot) = fallback.get_mut(at) {
                *slot = length;
            }
        }
        Self { comparator, folded, fallback }
    }

    /// Whether the text is a part of this one. The empty text is a part of every text.
    pub(crate) fn is_in(&self, haystack: &str) -> bool {
        let mut matched = 0;
        if self.folded.is_empty() {
            return true;
        }
        for char in haystack.chars() {
            if char.is_ascii() {
                // One octet stays one octet, and nearly all mail is this.
                matched = self.step(matched, self.comparator.prepare_ascii(char));
            } else {
                self.comparator.prepare(char, &mut |byte| {
                    if matched < self.folded.len() {
                        matched = self.step(matched, byte);
                    }
                });
            }
            if matched == self.folded.len() {
                return true;
            }
        }
        false
    }

    /// How much of the text is matched after this byte.
    fn step(&self, matched: usize, byte: u8) -> usize {
        let mut matched = matched;
        loop {
            if self.folded.get(matched) == Some(&byte) {
                return matched + 1;
            }
            let Some(before) = matched.checked_sub(1) else { return 0 };
            matched = self.fallback.get(before).copied().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(needle: &str, haystack: &str) -> bool {
        Needle::new(needle, Comparator::UnicodeCasemap).is_in(haystack)
    }

    #[test]
    fn letter_case_does_not_matter_in_any_script() {
        assert!(is_in("smith", "John SMITH <js@harbour.example>"));
        assert!(is_in("ОТПУСК", "мой отпуск"));
        assert!(is_in("ΟΔΟΣ", "οδος"));
        assert!(is_in("Ünïcode", "ÜNÏCODE"));
        assert!(!is_in("smith", "smit h"));
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same() {
        assert!(is_in("cafe\u{301}", "CAFÉ"));
        assert!(is_in("É", "e\u{301}"));
        assert!(is_in("１２", "a12"));
        // A letter is the beginning of the same letter with an accent. RFC 5051 §2
        assert!(is_in("cafe", "café"));
        assert!(!is_in("cafes", "cafés"));
        // Sharp s has neither titlecase nor decomposition in UnicodeData.txt.
        assert!(!is_in("strasse", "Straße"));
        assert!(is_in("stra", "Straße"));
    }

    #[test]
    fn other_comparators_tell_more_apart() {
        let ascii = |needle, text| Needle::new(needle, Comparator::AsciiCasemap).is_in(text);
        assert!(ascii("SMITH", "smith") && ascii("é", "café") && !ascii("É", "café"));
        let octet = |needle, text| Needle::new(needle, Comparator::Octet).is_in(text);
        assert!(octet("smith", "a smith") && !octet("Smith", "a smith"));
    }

    #[test]
    fn the_empty_text_is_in_every_text() {
        assert!(is_in("", ""));
        assert!(is_in("", "x"));
        assert!(!is_in("x", ""));
    }

    #[test]
    fn search_agrees_with_a_naive_search_on_repetitive_texts() {
        let mut state: u64 = 7;
        let mut letters = |count: usize| -> String {
            let mut text = String::new();
            for _ in 0..count {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                text.push(if (state >> 60) & 1 == 0 { 'a' } else { 'b' });
            }
            text
        };
        for round in 0..2000 {
            let (needle, haystack) = (letters(round % 7), letters(round % 40));
            assert_eq!(
                is_in(&needle, &haystack),
                haystack.contains(&needle),
                "{needle} {haystack}"
            );
        }
    }

    #[test]
    fn a_hostile_text_is_searched_in_one_pass() {
        let haystack = "a".repeat(1 << 20);
        let needle = format!("{}b", "a".repeat(16_000));
        // Sixteen thousand million comparisons would not end within the test's patience.
        assert!(!is_in(&needle, &haystack));
    }
}
