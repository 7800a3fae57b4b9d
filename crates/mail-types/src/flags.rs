//! System flags and keywords. RFC 9051 §2.3.2

use std::fmt;
use std::sync::Arc;

/// The five system flags that a client can set. `\Recent` is no flag of a message but of a
/// session, and is not stored. RFC 9051 §2.3.2
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(2);
    /// `\Deleted`
    pub const DELETED: Self = Self(4);
    /// `\Seen`
    pub const SEEN: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);
    /// All five.
    pub const ALL: Self = Self(31);

    const NAMES: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// The stored byte.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From the stored byte; `None` if a bit is set that stands for no flag.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The flags of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags of this one without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flag of this name with its backslash, in any letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(flag, _)| *flag)
    }

    /// The names with their backslashes, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.contains(*flag)).map(|(_, name)| name)
    }
}

impl fmt::Debug for SystemFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A flag of a client's own making. Compared without regard to letter case, kept as it was first
/// spelt. RFC 9051 §2.3.2
#[derive(Clone)]
pub struct Keyword(Arc<str>);

/// Why a text cannot be a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeywordError {
    /// A keyword is an atom of at least one character. RFC 9051 §9 (`flag-keyword`)
    NotAnAtom,
    /// Longer than [`Keyword::BYTES_MAX`].
    TooLong,
}

impl Keyword {
    /// Longest keyword. Dovecot's limit is 50 characters, Cyrus's 80; clients use under 40.
    pub const BYTES_MAX: usize = 128;

    /// Checks that `name` is an atom of a tolerable length.
    ///
    /// # Errors
    /// If it holds a character that no atom may, or is empty or too long.
    pub fn new(name: &str) -> Result<Self, KeywordError> {
        if name.len() > Self::BYTES_MAX {
            return Err(KeywordError::TooLong);
        }
        let is_atom = !name.is_empty() && name.bytes().all(is_atom_char);
        if is_atom { Ok(Self(name.into())) } else { Err(KeywordError::NotAnAtom) }
    }

    /// As it was first spelt.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `ATOM-CHAR` of RFC 9051 §9: any CHAR but `atom-specials`.
fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let left = self.0.bytes().map(|b| b.to_ascii_lowercase());
        left.cmp(other.0.bytes().map(|b| b.to_ascii_lowercase()))
    }
}

impl std::hash::Hash for Keyword {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set of flags: what a message has, or what a command names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// The system flags.
    pub system: SystemFlags,
    /// The keywords: sorted, each once.
    keywords: Vec<Keyword>,
}

impl Flags {
    /// Most keywords on one message: far above any client's use, and a bound for its row.
    pub const KEYWORDS_MAX: usize = 64;

    /// System flags and no keyword.
    pub const fn system(system: SystemFlags) -> Self {
        Self { system, keywords: Vec::new() }
    }

    /// From parts; keywords in any order, doubles dropped.
    pub fn new(system: SystemFlags, keywords: impl IntoIterator<Item = Keyword>) -> Self {
        let mut flags = Self::system(system);
        for keyword in keywords {
            flags.insert(keyword);
        }
        flags
    }

    /// The keywords, sorted.
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Whether no flag is set.
    pub fn is_empty(&self) -> bool {
        self.system.is_empty() && self.keywords.is_empty()
    }

    /// Whether this keyword is set, in any spelling.
    pub fn has(&self, keyword: &Keyword) -> bool {
        self.keywords.binary_search(keyword).is_ok()
    }

    /// Sets a keyword; an existing spelling stays.
    pub fn insert(&mut self, keyword: Keyword) {
        if let Err(at) = self.keywords.binary_search(&keyword) {
            self.keywords.insert(at, keyword);
        }
    }

    /// The flags of both.
    pub fn union(&self, other: &Self) -> Self {
        let mut result = self.clone();
        result.system = result.system.union(other.system);
        for keyword in &other.keywords {
            result.insert(keyword.clone());
        }
        result
    }

    /// The flags of this one without those of `other`.
    pub fn without(&self, other: &Self) -> Self {
        let kept = self.keywords.iter().filter(|k| !other.has(k)).cloned();
        Self { system: self.system.without(other.system), keywords: kept.collect() }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = self.system.names().map(str::to_owned);
        f.debug_set().entries(system.chain(self.keywords.iter().map(Keyword::to_string))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyword(name: &str) -> Keyword {
        Keyword::new(name).unwrap()
    }

    #[test]
    fn keywords_compare_without_case_and_keep_their_spelling() {
        let mut flags = Flags::system(SystemFlags::SEEN);
        flags.insert(keyword("$Forwarded"));
        flags.insert(keyword("$forwarded"));
        assert_eq!(flags.keywords().len(), 1);
        assert!(flags.has(&keyword("$FORWARDED")));
        assert_eq!(flags.keywords()[0].as_str(), "$Forwarded");
    }

    #[test]
    fn keywords_are_atoms() {
        for bad in ["", "a b", "a(b", "\\Seen", "a]", "caf\u{e9}", "a\"", "a{", "a*", "a%", "\t"] {
            assert_eq!(Keyword::new(bad).unwrap_err(), KeywordError::NotAnAtom, "{bad:?}");
        }
        assert_eq!(Keyword::new(&"k".repeat(129)).unwrap_err(), KeywordError::TooLong);
    }

    #[test]
    fn union_and_without_are_opposites_for_disjoint_sets() {
        let a = Flags::new(SystemFlags::SEEN, [keyword("a")]);
        let b = Flags::new(SystemFlags::DELETED, [keyword("b")]);
        assert_eq!(a.union(&b).without(&b), a);
        assert!(a.without(&a).is_empty());
    }

    #[test]
    fn system_flags_read_in_any_case_and_refuse_strange_bits() {
        assert_eq!(SystemFlags::from_name("\\sEEN"), Some(SystemFlags::SEEN));
        assert_eq!(SystemFlags::from_name("Seen"), None);
        assert_eq!(SystemFlags::from_bits(32), None);
        assert_eq!(SystemFlags::from_bits(31), Some(SystemFlags::ALL));
    }
}
