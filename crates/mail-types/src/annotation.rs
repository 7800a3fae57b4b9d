//! Names of annotations of messages: a path of components, each after a `/`. RFC 5257 §3.2
//!
//! They are not those of mailboxes and servers ([`crate::EntryName`]): letter case counts, and who
//! may read a value stands in the attribute and not in the name.

use std::fmt;
use std::sync::Arc;

/// The name of an annotation of a message, or of one of its parts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnotationName(Arc<str>);

/// Who may read a value: the suffix of an attribute. RFC 5257 §3.3
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationScope {
    /// `.priv`: the user alone.
    Private,
    /// `.shared`: all who may read the mailbox.
    Shared,
}

/// Why a text cannot be the name of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationNameError {
    /// Longer than [`AnnotationName::BYTES_MAX`].
    TooLong,
    /// Two slashes in a row, one at the end, or none at the beginning.
    EmptyComponent,
    /// `*`, `%`, NUL, or a character outside ASCII.
    Character,
    /// It begins with a digit and is no part specifier.
    Part,
}

impl AnnotationScope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Private, Self::Shared];
}

impl AnnotationName {
    /// Longest name: no registered one comes near, and a command may name many.
    pub const BYTES_MAX: usize = 255;

    /// Checks a name. RFC 5257 §3.2
    ///
    /// # Errors
    /// If it is too long, has an empty component, a character that is not allowed, or a first
    /// component that is meant as a part specifier and is none.
    pub fn new(name: &str) -> Result<Self, AnnotationNameError> {
        if name.len() > Self::BYTES_MAX {
            return Err(AnnotationNameError::TooLong);
        }
        if !name.bytes().all(|b| b.is_ascii() && !matches!(b, 0 | b'*' | b'%')) {
            return Err(AnnotationNameError::Character);
        }
        let path = name.strip_prefix('/').ok_or(AnnotationNameError::EmptyComponent)?;
        if path.split('/').any(str::is_empty) {
            return Err(AnnotationNameError::EmptyComponent);
        }
        let name = Self(name.into());
        // "All entries that start with a numeric character" are of a body part, and a wrong
        // specifier is an error. RFC 5257 §3.2.1
        if path.starts_with(|first: char| first.is_ascii_digit()) && name.part().is_none() {
            return Err(AnnotationNameError::Part);
        }
        Ok(name)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The body part that it is about, outermost number first; `None` for the whole message.
    pub fn part(&self) -> Option<Vec<u32>> {
        let specifier = self.0.split('/').nth(1)?;
        let number = |text: &str| {
            let is_number = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_number)
        };
        specifier.split('.').map(number).collect()
    }

    /// Whether something can be kept under it: only what a standard registers, or a vendor names.
    /// `/flags` of the whole message is reserved and must not be used. RFC 5257 §3.2.1, §3.5
    pub fn can_hold_value(&self) -> bool {
        let mut path = self.0.split('/').skip(1);
        let is_of_part = self.part().is_some();
        if is_of_part {
            path.next();
        }
        match (path.next(), is_of_part) {
            (Some("comment"), _) | (Some("altsubject"), false) => path.next().is_none(),
            (Some("flags"), true) => {
                let flag = path.next().is_some_and(|flag| PART_FLAGS.contains(&flag));
                flag && path.next().is_none()
            }
            // Below the token vendors name what they like.
            (Some("vendor"), _) => path.next().is_some(),
            _ => false,
        }
    }

    /// Whether a value may be kept under this name: flags of a part are set or not.
    /// RFC 5257 §3.2.1
    pub fn can_hold(&self, value: &[u8]) -> bool {
        let is_flag = self.part().is_some() && self.0.split('/').nth(2) == Some("flags");
        self.can_hold_value() && (!is_flag || matches!(value, b"0" | b"1"))
    }
}

/// The flags of a body part. RFC 5257 §3.2.1
const PART_FLAGS: [&str; 4] = ["seen", "answered", "flagged", "forwarded"];

impl fmt::Display for AnnotationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AnnotationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AnnotationName {
        AnnotationName::new(text).unwrap()
    }

    #[test]
    fn names_that_the_rules_forbid_are_refused() {
        let long = format!("/{}", "a".repeat(AnnotationName::BYTES_MAX));
        for (text, why) in [
            ("", AnnotationNameError::EmptyComponent),
            ("/", AnnotationNameError::EmptyComponent),
            ("comment", AnnotationNameError::EmptyComponent),
            ("//comment", AnnotationNameError::EmptyComponent),
            ("/comment/", AnnotationNameError::EmptyComponent),
            ("/com*ment", AnnotationNameError::Character),
            ("/com%ment", AnnotationNameError::Character),
            ("/com\0ment", AnnotationNameError::Character),
            ("/comm\u{e9}nt", AnnotationNameError::Character),
            ("/0/comment", AnnotationNameError::Part),
            ("/1./comment", AnnotationNameError::Part),
            ("/1.0/comment", AnnotationNameError::Part),
            ("/01/comment", AnnotationNameError::Part),
            ("/1a/comment", AnnotationNameError::Part),
            ("/99999999999/comment", AnnotationNameError::Part),
            (&long, AnnotationNameError::TooLong),
        ] {
            assert_eq!(AnnotationName::new(text), Err(why), "{text}");
        }
    }

    #[test]
    fn letter_case_counts() {
        assert_ne!(name("/vendor/Foo"), name("/vendor/foo"));
        assert!(!name("/Comment").can_hold_value());
    }

    #[test]
    fn a_name_tells_its_body_part() {
        assert_eq!(name("/1.2.30/comment").part(), Some(vec![1, 2, 30]));
        assert_eq!(name("/comment").part(), None);
    }

    #[test]
    fn only_registered_names_and_those_of_vendors_hold_a_value() {
        for text in [
            "/comment",
            "/altsubject",
            "/vendor/foobar",
            "/vendor/foobar/label.priv",
            "/1/comment",
            "/2.1/flags/seen",
            "/1/flags/forwarded",
            "/1/vendor/foobar",
        ] {
            assert!(name(text).can_hold_value(), "{text}");
        }
        for text in [
            "/flags",
            "/flags/seen",
            "/vendor",
            "/other",
            "/comment/more",
            "/1",
            "/1/altsubject",
            "/1/flags",
            "/1/flags/draft",
            "/1/flags/seen/more",
            "/1/vendor",
        ] {
            assert!(!name(text).can_hold_value(), "{text}");
        }
    }

    #[test]
    fn flags_of_a_part_are_one_or_zero() {
        assert!(name("/1/flags/seen").can_hold(b"1"));
        assert!(name("/1/flags/seen").can_hold(b"0"));
        assert!(!name("/1/flags/seen").can_hold(b"yes"));
        assert!(name("/1/comment").can_hold(b"yes"));
    }
}
