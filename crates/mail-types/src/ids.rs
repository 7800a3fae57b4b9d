//! Identifiers that the account gives out once and never again.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The number as stored in keys and rows.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Reads the form written by `Display`. `None` if it is not one.
            pub fn parse(text: &str) -> Option<Self> {
                let digits = text.strip_prefix($prefix)?;
                // One spelling for one id: no sign, no leading zero.
                if digits.starts_with(['0', '+']) && digits != "0" {
                    return None;
                }
                digits.parse().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            /// The form of an object id on the wire, unique across the kinds. RFC 8474 §7
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// An account within one store.
    AccountId, "A"
);
id!(
    /// A mailbox within its account: stable over RENAME, never reused. RFC 8474 §4
    MailboxId, "F"
);
id!(
    /// A message within its account; all its copies share it. RFC 8474 §5.1
    MessageId, "M"
);
id!(
    /// A conversation within its account; fixed when the message arrives. RFC 8474 §5.2
    ThreadId, "T"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        assert_eq!(MessageId::parse("M17"), Some(MessageId(17)));
        assert_eq!(MessageId(17).to_string(), "M17");
        assert_eq!(MessageId::parse("T17"), None);
        assert_eq!(MessageId::parse("M017"), None);
        assert_eq!(MessageId::parse("M+7"), None);
        assert_eq!(MessageId::parse("M"), None);
    }
}
