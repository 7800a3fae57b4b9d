//! Account names: one spelling for each.
//!
//! A name is what stands before or around the `@` of an address. Names that look the same to a
//! client must be the same account, so a name is prepared by SASLprep (RFC 4013: compatibility
//! forms, soft hyphens and the like) and folded to lower case, once when it is made and once at
//! each login.

use std::fmt;
use std::sync::Arc;

use crate::error::NameFault;
use crate::limits::ACCOUNT_NAME_BYTES_MAX;

/// The name of an account in its one spelling: `dock` or `dock@mail.example`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

impl AccountName {
    /// Prepares a name as a person or a client spelt it.
    ///
    /// # Errors
    /// If it is empty, too long, or holds a control character, a space or a character that
    /// RFC 4013 §2.3 prohibits.
    pub fn new(text: &str) -> Result<Self, NameFault> {
        // Preparing costs time for each character: look at the length first.
        if text.len() > ACCOUNT_NAME_BYTES_MAX {
            return Err(NameFault::TooLong);
        }
        let prepared = stringprep::saslprep(text).map_err(|_| NameFault::Character)?;
        let folded = prepared.to_lowercase();
        // Folding may undo the normal form (U+0130 becomes two characters).
        let name = stringprep::saslprep(&folded).map_err(|_| NameFault::Character)?;
        if name.is_empty() {
            return Err(NameFault::Empty);
        }
        if name.len() > ACCOUNT_NAME_BYTES_MAX {
            return Err(NameFault::TooLong);
        }
        if name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(NameFault::Character);
        }
        Ok(Self(name.as_ref().into()))
    }

    /// The one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the last `@`, if the domain after it is one of `domains` (or `domains` is
    /// empty): the account that an address means when none has the whole address as its name.
    #[must_use]
    pub fn local_part(&self, domains: &[String]) -> Option<Self> {
        let (local, domain) = self.0.rsplit_once('@')?;
        let is_ours = domains.is_empty() || domains.iter().any(|d| d.eq_ignore_ascii_case(domain));
        if is_ours && !local.is_empty() { Some(Self(local.into())) } else { None }
    }

    /// The name without `+detail` in its local part, and the detail. RFC 5233 §4
    #[must_use]
    pub fn without_detail(&self) -> Option<(Self, String)> {
        let (local, domain) = match self.0.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (&*self.0, None),
        };
        let (user, detail) = local.split_once('+')?;
        if user.is_empty() {
            return None;
        }
        let name = match domain {
            Some(domain) => format!("{user}@{domain}"),
            None => user.to_owned(),
        };
        Some((Self(name.into()), detail.to_owned()))
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AccountName {
        AccountName::new(text).unwrap()
    }

    #[test]
    fn one_account_has_one_name_in_every_spelling() {
        assert_eq!(name("Dock@Mail.Example").as_str(), "dock@mail.example");
        // Composed and decomposed, full width, soft hyphen.
        assert_eq!(name("ren\u{e9}"), name("RENE\u{301}"));
        assert_eq!(name("\u{ff44}ock"), name("dock"));
        assert_eq!(name("do\u{ad}ck"), name("dock"));
        // Preparing a name that is prepared changes nothing.
        let odd = name("\u{130}x");
        assert_eq!(name(odd.as_str()), odd);
    }

    #[test]
    fn names_that_cannot_be_told_apart_or_typed_are_refused() {
        assert_eq!(AccountName::new(""), Err(NameFault::Empty));
        assert_eq!(AccountName::new("\u{ad}"), Err(NameFault::Empty));
        for bad in ["a b", "a\0", "a\n", "\u{a0}", "a\u{200b} b", "\u{e000}"] {
            assert_eq!(AccountName::new(bad), Err(NameFault::Character), "{bad:?}");
        }
        assert_eq!(AccountName::new(&"a".repeat(255)), Err(NameFault::TooLong));
        // One character of three bytes becomes eighteen letters of two bytes: checked afterwards.
        assert_eq!(AccountName::new(&"\u{fdfb}".repeat(80)), Err(NameFault::TooLong));
    }

    #[test]
    fn an_address_means_the_account_of_its_local_part_in_our_domains_only() {
        let ours = ["mail.example".to_owned()];
        assert_eq!(name("dock@mail.example").local_part(&ours), Some(name("dock")));
        assert_eq!(name("dock@other.example").local_part(&ours), None);
        assert_eq!(name("dock@other.example").local_part(&[]), Some(name("dock")));
        assert_eq!(name("dock").local_part(&[]), None);
        assert_eq!(name("@mail.example").local_part(&ours), None);
    }

    #[test]
    fn detail_is_what_follows_the_first_plus_of_the_local_part() {
        let (user, detail) = name("dock+lists+rust@mail.example").without_detail().unwrap();
        assert_eq!((user.as_str(), detail.as_str()), ("dock@mail.example", "lists+rust"));
        assert_eq!(name("dock@mail+x.example").without_detail(), None);
        assert_eq!(name("+x@mail.example").without_detail(), None);
        assert_eq!(name("dock+x").without_detail(), Some((name("dock"), "x".to_owned())));
    }
}
