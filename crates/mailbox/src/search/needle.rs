//! A text to look for, without regard to letter case.
//!
//! Both sides are folded character by character: lower case, and the few characters that lower case
//! keeps apart (final sigma, sharp s) made equal. The search is Knuth-Morris-Pratt over the folded
//! bytes: one pass whatever the texts are, so that no message can make a search slow.

/// A prepared text.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    folded: Vec<u8>,
    /// For each length of a matched beginning: the longest shorter one that it ends with.
    fallback: Vec<usize>,
}

impl Needle {
    pub(crate) fn new(text: &str) -> Self {
        let mut folded = Vec::with_capacity(text.len());
        for char in text.chars() {
            fold(char, &mut |byte| folded.push(byte));
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
        Self { folded, fallback }
    }

    /// Whether the text is a part of this one. The empty text is a part of every text.
    pub(crate) fn is_in(&self, haystack: &str) -> bool {
        let mut matched = 0;
        if self.folded.is_empty() {
            return true;
        }
        for char in haystack.chars() {
            if char.is_ascii() {
                // One byte stays one byte, and nearly all mail is this.
                matched = self.step(matched, char.to_ascii_lowercase() as u8);
            } else {
                fold(char, &mut |byte| {
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

/// The bytes that a character counts as.
fn fold(char: char, sink: &mut dyn FnMut(u8)) {
    let mut buffer = [0; 4];
    let mut emit = |char: char| char.encode_utf8(&mut buffer).bytes().for_each(&mut *sink);
    match char {
        'A'..='Z' => emit(char.to_ascii_lowercase()),
        '\0'..='\u{7f}' => emit(char),
        'ς' => emit('σ'),
        'ß' | 'ẞ' => {
            emit('s');
            emit('s');
        }
        _ => char.to_lowercase().for_each(emit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(needle: &str, haystack: &str) -> bool {
        Needle::new(needle).is_in(haystack)
    }

    #[test]
    fn letter_case_does_not_matter_in_any_script() {
        assert!(is_in("smith", "John SMITH <js@harbour.example>"));
        assert!(is_in("ОТПУСК", "мой отпуск"));
        assert!(is_in("STRASSE", "Hauptstraße 7"));
        assert!(is_in("ΟΔΟΣ", "οδος"));
        assert!(is_in("Ünïcode", "ÜNÏCODE"));
        assert!(!is_in("smith", "smit h"));
        assert!(!is_in("cafe", "café"));
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
