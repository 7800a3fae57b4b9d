//! A list of flags on the wire.

use mail_types::{Flags, Keyword, SystemFlags};

/// Flags in parentheses. What a message can have is in `flags`; the rest is what only a wire has.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FlagList {
    /// The system flags and keywords.
    pub flags: Flags,
    /// `\Recent`, in responses of a server. RFC 3501 §2.3.2
    pub recent: bool,
    /// `\*` in PERMANENTFLAGS: new keywords can be made. RFC 9051 §7.1
    pub wildcard: bool,
    /// Flags that are neither: a system flag not known here, a keyword that cannot be one of ours.
    pub other: Vec<String>,
}

impl FlagList {
    /// Most flags in one list: far above [`Flags::KEYWORDS_MAX`], and a bound for what a command
    /// or a response can hold.
    pub const ITEMS_MAX: usize = 1024;

    /// Sorts one flag by its name into where it belongs.
    pub fn add(&mut self, name: &str) {
        if let Some(flag) = SystemFlags::from_name(name) {
            self.flags.system = self.flags.system.union(flag);
        } else if name.eq_ignore_ascii_case("\\Recent") {
            self.recent = true;
        } else if name == "\\*" {
            self.wildcard = true;
        } else if let Ok(keyword) = Keyword::new(name) {
            self.flags.insert(keyword);
        } else {
            self.other.push(name.to_owned());
        }
    }

    /// Whether the list is `()`.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty() && !self.recent && !self.wildcard && self.other.is_empty()
    }
}

impl From<Flags> for FlagList {
    fn from(flags: Flags) -> Self {
        Self { flags, ..Self::default() }
    }
}
