//! What a mailbox is for. RFC 6154, RFC 8457

use std::fmt;

/// A special-use attribute. `\All` and `\Flagged` name views and are not given to real mailboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 5] = [Self::Archive, Self::Drafts, Self::Junk, Self::Sent, Self::Trash];

    /// The attribute with its backslash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }

    /// The attribute of this name with its backslash, in any letter case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|u| u.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
