//! Access control lists: what others than the owner may do with a mailbox. RFC 4314 §2
//!
//! The owner of an account has every right to all of its mailboxes, whatever the lists say, so a
//! list can neither lock its owner out nor does an account without lists cost anything.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mail_types::MailboxId;

use crate::{Account, Rights};

/// To whom an entry of a list applies: a login name in its one spelling, `anyone`, or one of these
/// behind a `-`, from whom rights are taken. RFC 4314 §2
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(Arc<str>);

/// A text that cannot be an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIdentifier {
    /// Nobody is named.
    Empty,
    /// It is longer than [`Identifier::BYTES_MAX`].
    TooLong,
    /// It holds a character that no name has.
    Character,
}

impl fmt::Display for BadIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an identifier cannot be empty",
            Self::TooLong => "the identifier is too long",
            Self::Character => "an identifier cannot hold this character",
        })
    }
}

impl std::error::Error for BadIdentifier {}

impl Identifier {
    /// Longest identifier in octets: the longest login name, and a `-` before it.
    pub const BYTES_MAX: usize = 256;
    /// The identifier of all users. RFC 4314 §2
    pub const ANYONE: &str = "anyone";

    /// An identifier from a text that was prepared before. RFC 4314 §3
    ///
    /// # Errors
    /// If it is empty but for a `-`, too long, or holds a control character.
    pub fn new(text: &str) -> Result<Self, BadIdentifier> {
        if text.strip_prefix('-').unwrap_or(text).is_empty() {
            return Err(BadIdentifier::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(BadIdentifier::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(BadIdentifier::Character);
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its rights are taken away and not granted.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.starts_with('-')
    }

    /// Whether it grants to all users.
    #[must_use]
    pub fn is_anyone(&self) -> bool {
        &*self.0 == Self::ANYONE
    }
}

impl Borrow<str> for Identifier {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What SETACL and DELETEACL do with one entry. RFC 4314 §3.1, §3.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsChange {
    /// These and no others.
    Set(Rights),
    /// `+`: these as well.
    Add(Rights),
    /// `-`: no longer these.
    Remove(Rights),
    /// The entry goes.
    Delete,
}

impl RightsChange {
    /// The rights of an entry that had `before`.
    #[must_use]
    pub fn result(self, before: Rights) -> Rights {
        match self {
            Self::Set(rights) => rights,
            Self::Add(rights) => before.union(rights),
            Self::Remove(rights) => before.without(rights),
            Self::Delete => Rights::NONE,
        }
    }
}

/// The list of a mailbox. An entry without rights is no entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Acl(BTreeMap<Identifier, Rights>);

impl Acl {
    /// Most entries of one list.
    pub const ENTRIES_MAX: usize = 100;
    /// Most entries of all lists of an account: they stay in memory while it is open, at worst
    /// some 8 MB.
    pub const ACCOUNT_ENTRIES_MAX: usize = 20_000;

    /// A list of these; entries without rights are left out.
    pub fn new(entries: impl IntoIterator<Item = (Identifier, Rights)>) -> Self {
        Self(entries.into_iter().filter(|(_, rights)| !rights.is_empty()).collect())
    }

    /// The list after a change of one entry.
    #[must_use]
    pub fn changed(&self, identifier: &Identifier, change: RightsChange) -> Self {
        let mut entries = self.0.clone();
        match change.result(self.granted(identifier)) {
            Rights::NONE => _ = entries.remove(identifier),
            rights => _ = entries.insert(identifier.clone(), rights),
        }
        Self(entries)
    }

    /// Entries in the order of identifiers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Identifier, Rights)> {
        self.0.iter().map(|(identifier, rights)| (identifier, *rights))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rights that stand beside an identifier.
    #[must_use]
    pub fn granted(&self, identifier: &Identifier) -> Rights {
        self.entry(identifier.as_str())
    }

    /// What a user may do: what is granted to the name and to anyone, without what is taken from
    /// either. RFC 4314 §2 leaves it to the server how entries are combined.
    #[must_use]
    pub fn rights_of(&self, user: &str) -> Rights {
        if self.is_empty() {
            return Rights::NONE;
        }
        // A login name that begins with "-" is never what grants: that entry takes from another.
        let own = if user.starts_with('-') { Rights::NONE } else { self.entry(user) };
        let granted = own.union(self.entry(Identifier::ANYONE));
        granted.without(self.entry(&format!("-{user}"))).without(self.entry("-anyone"))
    }

    fn entry(&self, identifier: &str) -> Rights {
        self.0.get(identifier).copied().unwrap_or_default()
    }
}

/// All lists of an account.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Acls {
    by_mailbox: BTreeMap<MailboxId, Arc<Acl>>,
    entries: usize,
}

impl Acls {
    pub(crate) fn get(&self, mailbox: MailboxId) -> Option<&Arc<Acl>> {
        self.by_mailbox.get(&mailbox)
    }

    /// Entries of all lists, as [`Acl::ACCOUNT_ENTRIES_MAX`] counts them.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    pub(crate) fn set(&mut self, mailbox: MailboxId, acl: Arc<Acl>) {
        let added = acl.len();
        let before = match added {
            0 => self.by_mailbox.remove(&mailbox),
            _ => self.by_mailbox.insert(mailbox, acl),
        };
        self.entries = (self.entries + added).saturating_sub(before.map_or(0, |acl| acl.len()));
    }
}

impl Account {
    /// The list of a mailbox; `None` if it grants nothing to anyone.
    pub fn acl(&self, mailbox: MailboxId) -> Option<&Acl> {
        self.inner.acls.get(mailbox).map(Arc::as_ref)
    }

    /// All lists in the order of their mailboxes' ids.
    pub fn acls(&self) -> impl Iterator<Item = (MailboxId, &Acl)> {
        self.inner.acls.by_mailbox.iter().map(|(mailbox, acl)| (*mailbox, acl.as_ref()))
    }

    /// Whether some list has an entry for exactly this identifier.
    pub fn has_grants_to(&self, identifier: &Identifier) -> bool {
        self.acls().any(|(_, acl)| !acl.granted(identifier).is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(&str, &str)]) -> Acl {
        let entry = |(name, letters): &(&str, &str)| {
            (Identifier::new(name).unwrap(), Rights::parse(letters).unwrap())
        };
        Acl::new(entries.iter().map(entry))
    }

    fn told(acl: &Acl) -> String {
        let entries = acl.iter().map(|(identifier, rights)| format!("{identifier} {rights}"));
        entries.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_user_has_what_the_name_and_anyone_are_granted() {
        let list = acl(&[("anyone", "lr"), ("fred", "sw")]);
        assert_eq!(list.rights_of("fred"), Rights::parse("lrsw").unwrap());
        assert_eq!(list.rights_of("chris"), Rights::parse("lr").unwrap());
        assert_eq!(Acl::default().rights_of("fred"), Rights::NONE);
    }

    #[test]
    fn negative_rights_take_from_whatever_grants_them() {
        // RFC 4314 §2: "-fred" with "w" takes it, although another entry grants it.
        let list = acl(&[("anyone", "lrw"), ("fred", "wi"), ("-fred", "w")]);
        assert_eq!(list.rights_of("fred"), Rights::parse("lri").unwrap());
        assert_eq!(list.rights_of("chris"), Rights::parse("lrw").unwrap());
        // RFC 4314 §3.2: DELETEACL of "Fred" leaves "-Fred" as it is.
        let list = acl(&[("fred", "rwipslxetad"), ("-fred", "wetd"), ("$team", "w")]);
        let fred = Identifier::new("fred").unwrap();
        let list = list.changed(&fred, RightsChange::Delete);
        assert_eq!(told(&list), "$team w -fred wted");
        let all_but = acl(&[("anyone", "lr"), ("fred", "lrs"), ("-anyone", "s")]);
        assert_eq!(all_but.rights_of("fred"), Rights::parse("lr").unwrap());
    }

    #[test]
    fn a_login_name_that_looks_negative_gains_nothing_by_it() {
        let list = acl(&[("bob", "lr"), ("-bob", "lrswa")]);
        assert_eq!(list.rights_of("-bob"), Rights::NONE);
        assert_eq!(acl(&[("-anyone", "lr")]).rights_of("-anyone"), Rights::NONE);
        let anyone = acl(&[("anyone", "lr"), ("-anyone", "r")]);
        assert_eq!(anyone.rights_of("anyone"), Rights::LOOKUP);
    }

    #[test]
    fn an_entry_is_set_added_to_taken_from_and_deleted() {
        // RFC 4314 §3.1: Chris has lrswi and gets +cda.
        let chris = Identifier::new("chris").unwrap();
        let mut list = acl(&[("fred", "rwipslxetad"), ("chris", "lrswi")]);
        list = list.changed(&chris, RightsChange::Add(Rights::parse("cda").unwrap()));
        assert_eq!(list.granted(&chris), Rights::parse("lrswicdakxet").unwrap());
        list = list.changed(&chris, RightsChange::Remove(Rights::parse("swcda").unwrap()));
        assert_eq!(list.granted(&chris), Rights::parse("lri").unwrap());
        list = list.changed(&chris, RightsChange::Set(Rights::POST));
        assert_eq!(list.granted(&chris), Rights::POST);
        // What takes the last right takes the entry.
        for last in [RightsChange::Remove(Rights::ALL), RightsChange::Set(Rights::NONE)] {
            assert_eq!(list.changed(&chris, last).len(), 1);
        }
        assert_eq!(acl(&[("fred", "")]), Acl::default());
    }

    #[test]
    fn an_identifier_names_somebody() {
        for (text, wrong) in [
            ("", BadIdentifier::Empty),
            ("-", BadIdentifier::Empty),
            ("a\r\nb", BadIdentifier::Character),
        ] {
            assert_eq!(Identifier::new(text), Err(wrong));
        }
        let longest = "x".repeat(Identifier::BYTES_MAX);
        assert!(Identifier::new(&longest).is_ok());
        assert_eq!(Identifier::new(&(longest + "x")), Err(BadIdentifier::TooLong));
        let taken = Identifier::new("-anyone").unwrap();
        assert!(taken.is_negative() && !taken.is_anyone());
        assert!(Identifier::new("anyone").unwrap().is_anyone());
    }

    #[test]
    fn entries_of_an_account_are_counted_as_they_come_and_go() {
        let mut acls = Acls::default();
        let two = Arc::new(acl(&[("fred", "l"), ("chris", "l")]));
        acls.set(MailboxId(1), two.clone());
        acls.set(MailboxId(2), two);
        assert_eq!(acls.entries(), 4);
        acls.set(MailboxId(1), Arc::new(acl(&[("fred", "l")])));
        assert_eq!(acls.entries(), 3);
        acls.set(MailboxId(2), Arc::default());
        acls.set(MailboxId(3), Arc::default());
        assert_eq!((acls.entries(), acls.by_mailbox.len()), (1, 1));
    }
}
