//! What one may do with a mailbox: the rights of RFC 4314 §2.1, and who asks for it.

use std::fmt;
use std::sync::Arc;

use mail_types::{Flags, SystemFlags};

use crate::{Annotations, Audience};

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rights(u16);

/// A letter that stands for no right. It is never passed over in silence. RFC 4314 §3.1
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRight(pub char);

impl fmt::Display for BadRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a right", self.0)
    }
}

impl std::error::Error for BadRight {}

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// `l`: LIST shows the mailbox.
    pub const LOOKUP: Self = Self(1);
    /// `r`: SELECT, STATUS, COPY from it.
    pub const READ: Self = Self(1 << 1);
    /// `s`: set and clear `\Seen`.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: set and clear flags besides `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: APPEND and COPY into it.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: send mail to its address. Nothing in IMAP asks for it.
    pub const POST: Self = Self(1 << 5);
    /// `k`: CREATE below it, and RENAME to below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: DELETE and RENAME it.
    pub const REMOVE: Self = Self(1 << 7);
    /// `t`: set and clear `\Deleted`.
    pub const DELETED: Self = Self(1 << 8);
    /// `e`: EXPUNGE.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: read and change the list itself.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// `n`: set and remove shared annotations of messages. RFC 5257 §3.4
    pub const ANNOTATE: Self = Self(1 << 11);
    /// All.
    pub const ALL: Self = Self((1 << 12) - 1);

    /// Those of which each lets one change some flag.
    pub const FLAGS: Self = Self::SEEN.union(Self::WRITE).union(Self::DELETED);
    /// With any of them SELECT opens a mailbox for reading and writing. RFC 4314 §5.2
    pub const CHANGING: Self =
        Self::FLAGS.union(Self::INSERT).union(Self::EXPUNGE).union(Self::ANNOTATE);
    /// With any of them a mailbox exists for who asks for the own rights to it. RFC 4314 §4
    pub const KNOWING: Self = Self::LOOKUP
        .union(Self::READ)
        .union(Self::INSERT)
        .union(Self::CREATE)
        .union(Self::REMOVE)
        .union(Self::ADMINISTER);
    /// Any of them is needed, besides `l`, for annotations of a mailbox. RFC 5464 §3.3
    pub const METADATA: Self =
        Self::READ.union(Self::SEEN).union(Self::WRITE).union(Self::INSERT).union(Self::POST);
    /// What `c` of RFC 2086 stands for. RFC 4314 §2.1.1
    const VIRTUAL_CREATE: Self = Self::CREATE.union(Self::REMOVE);
    /// What `d` of RFC 2086 stands for. RFC 4314 §2.1.1
    const VIRTUAL_DELETE: Self = Self::DELETED.union(Self::EXPUNGE);

    /// Rights as a client writes them, `c` and `d` among them.
    ///
    /// # Errors
    /// If a letter is no right; upper case is none. RFC 4314 §2
    pub fn parse(letters: &str) -> Result<Self, BadRight> {
        letters.chars().try_fold(Self::NONE, |rights, letter| {
            let right = match letter {
                'c' => Self::VIRTUAL_CREATE,
                'd' => Self::VIRTUAL_DELETE,
                _ => {
                    let known = LETTERS.iter().find(|(known, _)| *known == letter);
                    known.map(|(_, right)| *right).ok_or(BadRight(letter))?
                }
            };
            Ok(rights.union(right))
        })
    }

    /// Whether all of these are among them.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of these is among them.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// All of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each for itself, in the order of RFC 4314 §2.1.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        LETTERS.iter().map(|(_, right)| *right).filter(move |right| self.contains(*right))
    }

    /// Their letters without the virtual ones, in the order of RFC 4314 §2.1.
    pub fn letters(self) -> impl Iterator<Item = char> {
        let held = LETTERS.iter().filter(move |(_, right)| self.contains(*right));
        held.map(|(letter, _)| *letter)
    }

    /// The stored number.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From the stored number; `None` if a bit is set that stands for no right.
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// What of annotations somebody who is not the owner may give a message: shared ones with `n`,
    /// and private ones of readers. RFC 5257 §3.4
    #[must_use]
    pub fn permitted_annotations(self, annotations: &Annotations) -> Annotations {
        let may_set = |audience: Audience| match audience {
            Audience::Owner => false,
            Audience::Reader(_) => true,
            Audience::Everyone => self.contains(Self::ANNOTATE),
        };
        let all = annotations.iter().filter(|(_, audience, _)| may_set(*audience));
        all.map(|(name, audience, value)| (name.clone(), audience, Arc::clone(value))).collect()
    }

    /// Those of the flags that these rights let one set and clear: `\Seen` with `s`, `\Deleted`
    /// with `t`, all others with `w`. RFC 4314 §4
    #[must_use]
    pub fn permitted(self, flags: &Flags) -> Flags {
        if self.contains(Self::FLAGS) {
            return flags.clone();
        }
        let mut withheld = SystemFlags::NONE;
        for (right, of_right) in [
            (Self::SEEN, SystemFlags::SEEN),
            (Self::DELETED, SystemFlags::DELETED),
            (Self::WRITE, SystemFlags::ALL.without(SEEN_OR_DELETED)),
        ] {
            if !self.contains(right) {
                withheld = withheld.union(of_right);
            }
        }
        let system = flags.system.without(withheld);
        let keywords: &[_] = if self.contains(Self::WRITE) { flags.keywords() } else { &[] };
        Flags::new(system, keywords.iter().cloned())
    }
}

/// As ACL and MYRIGHTS tell them: behind the rights stands `c` or `d` if any member of it is there.
/// RFC 4314 §2.1.1
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for letter in self.letters() {
            f.write_char(letter)?;
        }
        for (letter, members) in [('c', Self::VIRTUAL_CREATE), ('d', Self::VIRTUAL_DELETE)] {
            if self.intersects(members) {
                f.write_char(letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Actor {
    /// The one whose account it is, or the server itself: every right, always. RFC 4314 §2
    #[default]
    Owner,
    /// Another user, by login name: what the lists of the mailboxes grant.
    Guest(Arc<str>),
}

const SEEN_OR_DELETED: SystemFlags = SystemFlags::SEEN.union(SystemFlags::DELETED);

/// In the order of RFC 4314 §2.1, then that of RFC 5257.
const LETTERS: [(char, Rights); 12] = [
    ('l', Rights::LOOKUP),
    ('r', Rights::READ),
    ('s', Rights::SEEN),
    ('w', Rights::WRITE),
    ('i', Rights::INSERT),
    ('p', Rights::POST),
    ('k', Rights::CREATE),
    ('x', Rights::REMOVE),
    ('t', Rights::DELETED),
    ('e', Rights::EXPUNGE),
    ('a', Rights::ADMINISTER),
    ('n', Rights::ANNOTATE),
];

#[cfg(test)]
mod tests {
    use mail_types::Keyword;

    use super::*;

    fn rights(letters: &str) -> Rights {
        Rights::parse(letters).unwrap()
    }

    #[test]
    fn the_virtual_rights_are_their_members_and_stand_beside_them() {
        // RFC 4314 §2.1.1: "lrswida" is granted, "lrswideta" is told, in some order.
        assert_eq!(rights("lrswida"), rights("lrswieta"));
        assert_eq!(rights("lrswida").to_string(), "lrswitead");
        // "lrswikda" is told as "lrswikcdeta": k alone is enough for c.
        assert_eq!(rights("lrswikda"), rights("lrswiketa"));
        assert_eq!(rights("lrswikda").to_string(), "lrswikteacd");
        // It is no error to name both, and makes no difference.
        assert_eq!(rights("dte"), rights("d"));
        assert_eq!(rights("cx"), rights("kx"));
        // The lists of other examples there are all rights but post, in any order.
        let all = Rights::ALL.without(Rights::ANNOTATE);
        assert_eq!(rights("rwipslxetad"), all.without(Rights::CREATE));
        assert_eq!(rights("rwipslxcetda"), all);
        assert_eq!(rights("lrswicdakxet"), all.without(Rights::POST));
    }

    #[test]
    fn one_member_is_enough_for_a_virtual_right_to_be_told() {
        for (member, told) in [("k", "kc"), ("x", "xc"), ("t", "td"), ("e", "ed"), ("l", "l")] {
            assert_eq!(rights(member).to_string(), told);
        }
        assert_eq!(Rights::ALL.to_string(), "lrswipkxteancd");
        assert_eq!(Rights::NONE.to_string(), "");
    }

    #[test]
    fn what_is_no_right_is_named() {
        // RFC 4314 §3.1: "Uppercase rights are not allowed", "The q right is not supported".
        assert_eq!(Rights::parse("lrQswicda"), Err(BadRight('Q')));
        assert_eq!(Rights::parse("lrqswicda"), Err(BadRight('q')));
        assert_eq!(Rights::parse("lr0"), Err(BadRight('0')));
        assert_eq!(Rights::parse("+l"), Err(BadRight('+')));
        assert_eq!(Rights::parse("lé"), Err(BadRight('é')));
        assert_eq!(Rights::parse(""), Ok(Rights::NONE));
    }

    #[test]
    fn each_right_has_a_letter_and_a_bit_of_its_own() {
        assert_eq!(Rights::ALL.iter().count(), 12);
        assert_eq!(Rights::ALL.letters().collect::<String>(), "lrswipkxtean");
        let mut all = Rights::NONE;
        for right in Rights::ALL.iter() {
            assert!(!all.intersects(right) && !right.is_empty());
            assert_eq!(Rights::from_bits(right.bits()), Some(right));
            let letters: String = right.letters().collect();
            assert_eq!(rights(&letters), right);
            all = all.union(right);
        }
        assert_eq!(all, Rights::ALL);
        assert_eq!(Rights::from_bits(1 << 12), None);
    }

    #[test]
    fn all_of_and_any_of_differ() {
        let lr = rights("lr");
        assert!(lr.contains(Rights::READ) && !lr.contains(rights("rs")));
        assert!(lr.intersects(rights("rs")) && !lr.intersects(rights("s")));
        assert!(lr.contains(Rights::NONE) && !lr.intersects(Rights::NONE));
        assert_eq!(lr.without(Rights::READ), Rights::LOOKUP);
    }

    #[test]
    fn flags_are_permitted_by_the_right_that_each_needs() {
        let forwarded = Keyword::new("$Forwarded").unwrap();
        let all = Flags::new(SystemFlags::ALL, [forwarded.clone()]);
        let seen = Flags::system(SystemFlags::SEEN);
        let deleted = Flags::system(SystemFlags::DELETED);
        let others = Flags::new(SystemFlags::ALL.without(SEEN_OR_DELETED), [forwarded]);
        assert_eq!(rights("s").permitted(&all), seen);
        assert_eq!(rights("t").permitted(&all), deleted);
        assert_eq!(rights("w").permitted(&all), others);
        assert_eq!(rights("swt").permitted(&all), all);
        assert_eq!(Rights::ALL.without(Rights::FLAGS).permitted(&all), Flags::default());
    }
}
