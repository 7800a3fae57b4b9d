//! The mark that says where a sent message is kept.

use mail_types::{MailboxId, Uid, UidValidity};

use super::{CorruptRecord, Writer, decode};

/// Where the message of a Message-ID was kept, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMark {
    /// When, in seconds since 1970.
    pub at: i64,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The message there.
    pub uid: Uid,
}

impl SentMark {
    /// As stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(VERSION);
        w.signed(self.at);
        w.number(self.mailbox.get());
        w.number(u64::from(self.uid_validity.get()));
        w.number(u64::from(self.uid.get()));
        w.finish()
    }

    /// From storage.
    ///
    /// # Errors
    /// `CorruptRecord`.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, CorruptRecord> {
        decode(key, value, VERSION, |r| {
            let (at, mailbox) = (r.signed()?, MailboxId(r.number()?));
            let uid_validity = UidValidity::new(r.number_u32()?).ok_or("a UIDVALIDITY is zero")?;
            let uid = Uid::new(r.number_u32()?).ok_or("a UID is zero")?;
            Ok(Self { at, mailbox, uid_validity, uid })
        })
    }

    /// Whether a message that comes at `now` may be the same one, handed in by the client as well
    /// as by submission: within minutes, whichever way a clock was set meanwhile.
    #[must_use]
    pub fn is_fresh(&self, now: i64) -> bool {
        now.saturating_sub(self.at).unsigned_abs() <= FRESH_SECS
    }

    /// Whether it is of no more use.
    #[must_use]
    pub fn is_old(&self, now: i64) -> bool {
        now.saturating_sub(self.at) > OLD_SECS
    }
}

/// A client stores its copy before or after it submits: the longest message over a slow line takes
/// some minutes. What comes later with the same Message-ID was stored on purpose.
const FRESH_SECS: u64 = 15 * 60;

/// Far above [`FRESH_SECS`], so that a mark that is looked at is not swept meanwhile.
const OLD_SECS: i64 = 86_400;

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::super::tests::assert_damage_is_noticed;
    use super::*;

    #[test]
    fn marks_read_back_and_damage_is_noticed() {
        let mark = SentMark {
            at: 1_800_000_000,
            mailbox: MailboxId(4),
            uid_validity: UidValidity::new(7).unwrap(),
            uid: Uid::new(300).unwrap(),
        };
        assert_eq!(SentMark::decode(b"k", &mark.encode()), Ok(mark));
        assert_damage_is_noticed(&mark.encode(), |bytes| SentMark::decode(b"k", bytes));
        assert!(mark.is_fresh(mark.at + 900) && !mark.is_fresh(mark.at + 901));
        assert!(mark.is_fresh(mark.at - 900) && !mark.is_fresh(mark.at - 901));
        assert!(!mark.is_old(mark.at + 900) && mark.is_old(mark.at + 86_401));
    }
}
