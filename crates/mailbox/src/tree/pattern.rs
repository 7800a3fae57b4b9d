//! The patterns of LIST: `*` for any characters, `%` for any but the separator. RFC 9051 §6.3.9
//!
//! All ways to match are followed at once, one bit for each place in the pattern, so that the time
//! is that of the name times the pattern's length in words, whatever the wildcards.

use mail_types::MailboxName;

/// A pattern as it is matched.
///
/// ```text
/// list-mailbox = 1*list-char / string       list-char = ATOM-CHAR / list-wildcards / resp-specials
/// list-wildcards = "%" / "*"
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What stands at each place; no wildcard follows another.
    items: Vec<Item>,
    /// The places of each character, sorted by character.
    places: Vec<(char, Vec<u64>)>,
    /// The places of `*`.
    stars: Vec<u64>,
    /// The places of either wildcard.
    wildcards: Vec<u64>,
    /// Characters that every match has.
    literal_count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Char(char),
    Star,
    Percent,
}

/// The pattern is longer than [`Pattern::CHARS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternTooLong;

impl Pattern {
    /// Longest pattern after wildcards in a row have become one: a name is no longer, and between
    /// two of its characters stands at most one wildcard.
    pub const CHARS_MAX: usize = 2 * MailboxName::BYTES_MAX + 1;

    /// Reads a pattern: the reference and the name of LIST put together, decoded.
    ///
    /// # Errors
    /// If it is too long to match any name.
    pub fn new(text: &str) -> Result<Self, PatternTooLong> {
        let mut items: Vec<Item> = Vec::new();
        for char in text.chars() {
            let item = match char {
                '*' => Item::Star,
                '%' => Item::Percent,
                char => Item::Char(char),
            };
            match (items.last_mut(), item) {
                // `*%` and `%*` match what `*` matches.
                (Some(last @ (Item::Star | Item::Percent)), Item::Star) => *last = Item::Star,
                (Some(Item::Star | Item::Percent), Item::Percent) => {}
                _ => items.push(item),
            }
            if items.len() > Self::CHARS_MAX {
                return Err(PatternTooLong);
            }
        }
        Ok(Self::from_items(items))
    }

    /// Whether the name matches. INBOX matches in any letter case of the pattern.
    pub fn matches(&self, name: &str) -> bool {
        if name.len() < self.literal_count {
            return false;
        }
        let is_inbox = is_inbox(name);
        let mut active = vec![0; self.items.len() / BITS + 1];
        let mut next = active.clone();
        set(&mut active, 0);
        self.skip_wildcards(&mut active);
        for (index, char) in name.chars().enumerate() {
            next.fill(0);
            self.step(&active, &mut next, char);
            // The letters of INBOX match in either case. RFC 9051 §5.1
            if is_inbox && index < INBOX.len() {
                self.step(&active, &mut next, char.to_ascii_lowercase());
            }
            self.skip_wildcards(&mut next);
            std::mem::swap(&mut active, &mut next);
        }
        is_set(&active, self.items.len())
    }

    fn from_items(items: Vec<Item>) -> Self {
        let words = items.len() / BITS + 1;
        let mut pattern = Self {
            places: Vec::new(),
            stars: vec![0; words],
            wildcards: vec![0; words],
            literal_count: 0,
            items,
        };
        for (at, item) in pattern.items.iter().enumerate() {
            match item {
                Item::Star => {
                    set(&mut pattern.stars, at);
                    set(&mut pattern.wildcards, at);
                }
                Item::Percent => set(&mut pattern.wildcards, at),
                Item::Char(char) => {
                    pattern.literal_count += 1;
                    let found = pattern.places.binary_search_by_key(char, |(c, _)| *c);
                    let index = found.unwrap_or_else(|index| {
                        pattern.places.insert(index, (*char, vec![0; words]));
                        index
                    });
                    if let Some((_, places)) = pattern.places.get_mut(index) {
                        set(places, at);
                    }
                }
            }
        }
        pattern
    }

    /// Adds the places reached from `active` by one character.
    fn step(&self, active: &[u64], next: &mut [u64], char: char) {
        let stay = if char == MailboxName::SEPARATOR { &self.stars } else { &self.wildcards };
        for ((next, active), stay) in next.iter_mut().zip(active).zip(stay) {
            *next |= active & stay;
        }
        if let Ok(index) = self.places.binary_search_by_key(&char, |(c, _)| *c)
            && let Some((_, places)) = self.places.get(index)
        {
            add_shifted(next, active.iter().zip(places).map(|(active, place)| active & place));
        }
    }

    /// Adds the places behind the wildcards that are reached: a wildcard may match nothing.
    fn skip_wildcards(&self, active: &mut [u64]) {
        let mut carry = 0;
        for (active, wildcard) in active.iter_mut().zip(&self.wildcards) {
            let reached = *active & wildcard;
            *active |= reached << 1 | carry;
            carry = reached >> (BITS - 1);
        }
    }
}

fn is_inbox(name: &str) -> bool {
    let rest = name.strip_prefix(INBOX);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(MailboxName::SEPARATOR))
}

fn add_shifted(target: &mut [u64], source: impl Iterator<Item = u64>) {
    let mut carry = 0;
    for (target, source) in target.iter_mut().zip(source) {
        *target |= source << 1 | carry;
        carry = source >> (BITS - 1);
    }
}

fn set(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / BITS) {
        *word |= 1 << (at % BITS);
    }
}

fn is_set(bits: &[u64], at: usize) -> bool {
    bits.get(at / BITS).is_some_and(|word| word >> (at % BITS) & 1 == 1)
}

const BITS: usize = 64;
const INBOX: &str = "INBOX";

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    /// The definition, followed without regard to time.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) if naive(rest, name) => true,
            (['%', rest @ ..], _) if naive(rest, name) => true,
            (['*', ..], [_, tail @ ..]) => naive(pattern, tail),
            (['%', ..], [c, tail @ ..]) if *c != '/' => naive(pattern, tail),
            ([p, rest @ ..], [c, tail @ ..]) if p == c => naive(rest, tail),
            _ => false,
        }
    }

    #[test]
    fn percent_stops_at_the_separator_and_star_does_not() {
        assert!(matches("*", "a/b/c"));
        assert!(matches("%", "a"));
        assert!(!matches("%", "a/b"));
        assert!(matches("a/%", "a/b"));
        assert!(!matches("a/%", "a/b/c"));
        assert!(matches("a*c", "a/b/c"));
        assert!(matches("%/%", "a/b"));
        assert!(!matches("", "a"));
        assert!(matches("Übung*", "Übung/Ärger"));
    }

    #[test]
    fn wire_16_inbox_matches_in_any_letter_case_and_other_names_do_not() {
        for pattern in ["inbox", "InBoX", "in%", "INBOX", "*ox"] {
            assert!(matches(pattern, "INBOX"), "{pattern}");
        }
        assert!(matches("inbox/%", "INBOX/Lists"));
        assert!(!matches("inbox/lists", "INBOX/Lists"));
        assert!(!matches("inboxes", "INBOXES"));
        assert!(!matches("work", "Work"));
    }

    #[test]
    fn matching_agrees_with_the_definition() {
        let mut state: u64 = 11;
        let mut random = |alphabet: &[char], most: u64| -> Vec<char> {
            let mut step = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1442695);
                state >> 33
            };
            let count = step() % most;
            let pick = |n: u64| alphabet[usize::try_from(n).unwrap() % alphabet.len()];
            (0..count).map(|_| pick(step())).collect()
        };
        for round in 0..20_000 {
            let pattern = random(&['a', 'b', '/', '*', '%'], 9);
            let name = random(&['a', 'b', '/'], 9);
            let (p, n): (String, String) = (pattern.iter().collect(), name.iter().collect());
            assert_eq!(matches(&p, &n), naive(&pattern, &name), "round {round}: {p} {n}");
        }
    }

    #[test]
    fn places_beyond_the_first_word_match_too() {
        let name = format!("{}/{}", "a".repeat(150), "b".repeat(150));
        assert!(matches(&name, &name));
        assert!(matches(&format!("{}%/*{}", "a".repeat(127), "b".repeat(130)), &name));
        assert!(!matches(&format!("{}%{}", "a".repeat(127), "b".repeat(130)), &name));
    }

    #[test]
    fn patterns_full_of_wildcards_match_a_hundred_thousand_names_at_once() {
        // Backtracking would take longer than the universe has.
        let pattern = Pattern::new(&format!("{}x", "%*".repeat(10_000))).unwrap();
        assert!(pattern.matches("ax"));
        let hostile = Pattern::new(&"a%a*".repeat(400)).unwrap();
        let name = "a".repeat(100);
        for _ in 0..100_000 {
            assert!(!hostile.matches(&name));
        }
        assert!(hostile.matches(&"a".repeat(1000)));
        assert!(Pattern::new(&"ab*".repeat(2000)).is_err());
    }
}
