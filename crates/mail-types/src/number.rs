//! Distinct types for the distinct numbers of IMAP.

use std::fmt;
use std::num::NonZeroU32;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The lowest value, one.
            pub const MIN: Self = Self(NonZeroU32::MIN);
            /// The highest value, 2^32-1.
            pub const MAX: Self = Self(NonZeroU32::MAX);

            /// `None` for zero, which no IMAP number may be. RFC 9051 §9 (`nz-number`)
            pub const fn new(value: u32) -> Option<Self> {
                match NonZeroU32::new(value) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// The value on the wire and in storage.
            pub const fn get(self) -> u32 {
                self.0.get()
            }

            /// The number after this one; `None` after 2^32-1: numbers never wrap.
            pub fn next(self) -> Option<Self> {
                self.0.checked_add(1).map(Self)
            }

            /// The number before this one; `None` before one.
            pub fn prev(self) -> Option<Self> {
                Self::new(self.get() - 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

number!(
    /// Unique identifier of a message in one mailbox and UIDVALIDITY. RFC 9051 §2.3.1.1
    Uid
);
number!(
    /// Position of a message in one session's view, from 1. RFC 9051 §2.3.1.2
    SeqNum
);
number!(
    /// Tells one incarnation of a mailbox name from the next; only ever grows.
    UidValidity
);

/// Modification sequence of an account: one for each committed change, below 2^63.
///
/// [`ModSeq::ZERO`] stands before the first change: it is a value that a client may send
/// (`mod-sequence-valzer`) and that no message ever has. RFC 7162 §3.1
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ModSeq(u64);

impl ModSeq {
    /// Before the first change.
    pub const ZERO: Self = Self(0);
    /// The highest value that the wire can carry, 2^63-1.
    pub const MAX: Self = Self((1 << 63) - 1);

    /// `None` for 2^63 and above. RFC 7162 §7 (`mod-sequence-value`)
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The value on the wire and in storage.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next change's number; `None` at the end of the range.
    pub const fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModSeq({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_exclude_zero_and_never_wrap() {
        assert_eq!(Uid::new(0), None);
        assert_eq!(Uid::MAX.next(), None);
        assert_eq!(Uid::MIN.prev(), None);
        assert_eq!(Uid::MIN.next(), Uid::new(2));
    }

    #[test]
    fn modseq_stays_below_two_to_the_63() {
        assert_eq!(ModSeq::new(1 << 63), None);
        assert_eq!(ModSeq::MAX.next(), None);
        assert_eq!(ModSeq::ZERO.next(), ModSeq::new(1));
    }
}
