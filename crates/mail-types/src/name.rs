//! Mailbox names: a path of parts, separated by `/`, in Unicode.

use std::fmt;
use std::sync::Arc;

/// A mailbox name that may be stored: decoded from modified UTF-7 or UTF-8, `INBOX` in capitals.
///
/// INBOX is one mailbox in any letter case, also as the first part of a path; every other name is
/// compared exactly. RFC 9051 §5.1
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Arc<str>);

/// Why a text cannot be a mailbox name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// Longer than [`MailboxName::BYTES_MAX`].
    TooLong,
    /// More parts than [`MailboxName::DEPTH_MAX`].
    TooDeep,
    /// A part between separators is empty: `/a`, `a//b`, `a/`.
    EmptyPart,
    /// A control character or a Unicode line separator. RFC 9051 §5.1 with RFC 5198
    ControlCharacter,
}

impl MailboxName {
    /// What stands between the parts of a path.
    pub const SEPARATOR: char = '/';
    /// Longest name in bytes of UTF-8: it has to fit in a key of every storage engine.
    pub const BYTES_MAX: usize = 1000;
    /// Most parts: deeper trees are a client's mistake or an attack on recursion.
    pub const DEPTH_MAX: usize = 32;

    /// `INBOX`
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// Checks a decoded name and gives INBOX its one spelling.
    ///
    /// # Errors
    /// If the name is empty, too long, too deep, has an empty part or a control character.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(NameError::ControlCharacter);
        }
        if name.split(Self::SEPARATOR).any(str::is_empty) {
            return Err(NameError::EmptyPart);
        }
        if name.split(Self::SEPARATOR).count() > Self::DEPTH_MAX {
            return Err(NameError::TooDeep);
        }
        let (first, rest) = match name.find(Self::SEPARATOR) {
            Some(at) => name.split_at(at),
            None => (name, ""),
        };
        if first.eq_ignore_ascii_case("INBOX") {
            return Ok(Self(format!("INBOX{rest}").into()));
        }
        Ok(Self(name.into()))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// The parts from the top down.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split(Self::SEPARATOR)
    }

    /// The last part.
    pub fn leaf(&self) -> &str {
        self.0.rsplit(Self::SEPARATOR).next().unwrap_or(&self.0)
    }

    /// The name one level up; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        self.0.rfind(Self::SEPARATOR).map(|at| Self(self.0.split_at(at).0.into()))
    }

    /// Whether this name lies below `other`, at any depth.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&*other.0).is_some_and(|rest| rest.starts_with(Self::SEPARATOR))
    }

    /// This name with the leading path `from` replaced by `to`; `None` if it is neither `from`
    /// nor below it.
    ///
    /// # Errors
    /// Inside: if the new name is not allowed.
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Result<Self, NameError>> {
        if self == from {
            return Some(Ok(to.clone()));
        }
        if !self.is_below(from) {
            return None;
        }
        let rest = self.0.strip_prefix(&*from.0)?;
        Some(Self::new(&format!("{}{rest}", to.0)))
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    #[test]
    fn inbox_has_one_spelling_also_as_a_parent() {
        assert_eq!(name("iNbOx").as_str(), "INBOX");
        assert_eq!(name("inbox/Lists").as_str(), "INBOX/Lists");
        assert_eq!(name("Lists/inbox").as_str(), "Lists/inbox");
        assert_eq!(name("Inboxes").as_str(), "Inboxes");
    }

    #[test]
    fn names_that_cannot_be_a_path_are_refused() {
        assert_eq!(MailboxName::new(""), Err(NameError::Empty));
        for bad in ["/a", "a/", "a//b", "/"] {
            assert_eq!(MailboxName::new(bad), Err(NameError::EmptyPart), "{bad}");
        }
        for bad in ["a\nb", "a\0", "\u{7f}", "\u{85}", "a\u{2028}"] {
            assert_eq!(MailboxName::new(bad), Err(NameError::ControlCharacter), "{bad:?}");
        }
        assert_eq!(MailboxName::new(&"a".repeat(1001)), Err(NameError::TooLong));
        assert_eq!(MailboxName::new(&["a"; 33].join("/")), Err(NameError::TooDeep));
    }

    #[test]
    fn moving_a_subtree_renames_each_name_below_it() {
        let (from, to) = (name("a/b"), name("x"));
        assert_eq!(name("a/b/c").moved(&from, &to), Some(Ok(name("x/c"))));
        assert_eq!(name("a/b").moved(&from, &to), Some(Ok(name("x"))));
        assert_eq!(name("a/bc").moved(&from, &to), None);
        assert_eq!(name("a/b/c").parent(), Some(name("a/b")));
        assert_eq!(name("a").parent(), None);
        assert_eq!(name("a/b/c").leaf(), "c");
    }
}
