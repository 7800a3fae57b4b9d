//! Names of annotations: a path of components, each after a `/`. RFC 5464 §3.2

use std::fmt;
use std::sync::Arc;

/// The name of an annotation, in small letters: names are equal in any letter case.
/// RFC 5464 §3.2
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Arc<str>);

/// Why a text cannot be the name of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryNameError {
    /// Longer than [`EntryName::BYTES_MAX`].
    TooLong,
    /// Two slashes in a row, one at the end, or none at the beginning.
    EmptyComponent,
    /// `*`, `%`, a control character, or one outside ASCII.
    Character,
    /// It begins neither with `/private` nor with `/shared`.
    Scope,
}

impl EntryName {
    /// Longest name: it has to fit in a key of every storage engine, and the names in use have
    /// some 40 bytes.
    pub const BYTES_MAX: usize = 255;

    /// Checks a name and gives it its one spelling. RFC 5464 §3.2
    ///
    /// A scope alone is a name too: a reader may ask for all below it.
    ///
    /// # Errors
    /// If it is too long, has an empty component, a character that is not allowed, or no scope.
    pub fn new(name: &str) -> Result<Self, EntryNameError> {
        if name.len() > Self::BYTES_MAX {
            return Err(EntryNameError::TooLong);
        }
        // The octets that the section names end at 0x19; no control character is meant to stay.
        let is_allowed = |b: u8| (0x20..0x7f).contains(&b) && !matches!(b, b'*' | b'%');
        if !name.bytes().all(is_allowed) {
            return Err(EntryNameError::Character);
        }
        let path = name.strip_prefix('/').ok_or(EntryNameError::EmptyComponent)?;
        if path.split('/').any(str::is_empty) {
            return Err(EntryNameError::EmptyComponent);
        }
        let name = name.to_ascii_lowercase();
        match name.split('/').nth(1) {
            Some("private" | "shared") => Ok(Self(name.into())),
            _ => Err(EntryNameError::Scope),
        }
    }

    /// `/private/specialuse`: what a mailbox is for. RFC 6154 §4
    pub fn special_use() -> Self {
        Self("/private/specialuse".into())
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a value can be kept under it: two components at least, and four where vendors name
    /// their own. RFC 5464 §3.2
    pub fn can_hold_value(&self) -> bool {
        let mut components = self.0.split('/').skip(2);
        match components.next() {
            Some("vendor") => components.count() >= 2,
            component => component.is_some(),
        }
    }

    /// Whether it belongs to all who may use the mailbox or the server. RFC 5464 §3.2
    pub fn is_shared(&self) -> bool {
        &*self.0 == "/shared" || self.0.starts_with("/shared/")
    }

    /// How many components below `ancestor` it stands; zero for the same name, `None` if it is not
    /// below it.
    pub fn levels_below(&self, ancestor: &Self) -> Option<usize> {
        let rest = self.0.strip_prefix(&*ancestor.0)?;
        let is_below = rest.is_empty() || rest.starts_with('/');
        is_below.then(|| rest.matches('/').count())
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EntryName {
        EntryName::new(text).unwrap()
    }

    #[test]
    fn names_are_equal_in_any_letter_case() {
        assert_eq!(name("/Shared/Comment"), name("/shared/comment"));
        assert_eq!(name("/PRIVATE/x").as_str(), "/private/x");
    }

    #[test]
    fn names_that_the_rules_forbid_are_refused() {
        for (text, why) in [
            ("", EntryNameError::EmptyComponent),
            ("shared/comment", EntryNameError::EmptyComponent),
            ("/shared//comment", EntryNameError::EmptyComponent),
            ("/shared/comment/", EntryNameError::EmptyComponent),
            ("/shared/com*ment", EntryNameError::Character),
            ("/shared/%", EntryNameError::Character),
            ("/shared/a\tb", EntryNameError::Character),
            ("/shared/\u{fc}", EntryNameError::Character),
            ("/comment", EntryNameError::Scope),
            ("/sharedx/comment", EntryNameError::Scope),
        ] {
            assert_eq!(EntryName::new(text), Err(why), "{text}");
        }
        let longest = format!("/private/{}", "n".repeat(EntryName::BYTES_MAX - 9));
        assert!(EntryName::new(&longest).is_ok());
        assert_eq!(EntryName::new(&format!("{longest}n")), Err(EntryNameError::TooLong));
    }

    #[test]
    fn values_need_a_component_and_vendors_two_of_their_own() {
        for (text, can) in [
            ("/shared", false),
            ("/shared/comment", true),
            ("/private/filters/values/small", true),
            ("/private/vendor", false),
            ("/private/vendor/cmu", false),
            ("/private/vendor/cmu/color", true),
        ] {
            assert_eq!(name(text).can_hold_value(), can, "{text}");
        }
    }

    #[test]
    fn levels_count_components_and_not_bytes() {
        let top = name("/private/a");
        assert_eq!(name("/private/a").levels_below(&top), Some(0));
        assert_eq!(name("/private/a/b").levels_below(&top), Some(1));
        assert_eq!(name("/private/a/b/c").levels_below(&top), Some(2));
        assert_eq!(name("/private/ab").levels_below(&top), None);
        assert_eq!(name("/private").levels_below(&top), None);
    }
}
