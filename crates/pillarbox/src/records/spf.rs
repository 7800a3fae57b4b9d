//! What the policy of a domain says of this server. RFC 7208
//!
//! It is evaluated as other servers evaluate it, by `sender-auth`; here it is only judged what that
//! found.

use std::net::IpAddr;

use sender_auth::SpfResult;

/// What a domain says of who sends for it, as those see it who get the mail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders {
    /// Of each address of this server.
    pub ours: Vec<(IpAddr, SpfResult)>,
    /// Of an address that nobody has.
    pub nobody: Option<SpfResult>,
}

/// What follows for this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It may send.
    Lets,
    /// Everybody may, which proves nothing.
    LetsAll,
    /// It may not send from this address.
    Refuses(IpAddr),
    /// The records are wrong, so that nobody may rely on them.
    Wrong,
    /// A name server did not answer.
    Unanswered,
    /// The address of this server is not known.
    AddressUnknown,
}

impl Senders {
    /// What follows from what was found.
    pub fn policy(&self) -> Policy {
        let found = |result| self.ours.iter().any(|(_, of)| *of == result);
        let refused = self.ours.iter().find(|(_, result)| *result != SpfResult::Pass);
        match (refused, self.nobody) {
            (_, Some(SpfResult::Pass)) => Policy::LetsAll,
            _ if found(SpfResult::PermError) => Policy::Wrong,
            (_, Some(SpfResult::PermError)) if self.ours.is_empty() => Policy::Wrong,
            _ if found(SpfResult::TempError) => Policy::Unanswered,
            (Some((address, _)), _) => Policy::Refuses(*address),
            (None, _) if self.ours.is_empty() => Policy::AddressUnknown,
            (None, _) => Policy::Lets,
        }
    }
}

/// Whether this text is a policy of senders at all. RFC 7208 §4.5
pub fn is_policy(text: &str) -> bool {
    let version = text.split(' ').next().unwrap_or_default();
    version.eq_ignore_ascii_case("v=spf1")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What is found when each address of a server gets one of these results.
    pub fn senders(results: &[SpfResult]) -> Senders {
        let address = |at: usize| IpAddr::from([192, 0, 2, u8::try_from(at).unwrap()]);
        let ours = results.iter().enumerate().map(|(at, result)| (address(at), *result)).collect();
        Senders { ours, nobody: Some(SpfResult::Fail) }
    }

    #[test]
    fn every_address_of_the_server_must_pass() {
        use SpfResult::{Fail, Neutral, None, Pass, PermError, SoftFail, TempError};
        let policy = |results: &[SpfResult]| senders(results).policy();
        let second = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(policy(&[Pass]), Policy::Lets);
        assert_eq!(policy(&[Pass, Pass]), Policy::Lets);
        for refused in [Fail, SoftFail, Neutral, None] {
            assert_eq!(policy(&[Pass, refused]), Policy::Refuses(second));
        }
        assert_eq!(policy(&[Pass, TempError]), Policy::Unanswered);
        assert_eq!(policy(&[Fail, TempError, PermError]), Policy::Wrong);
        assert_eq!(policy(&[]), Policy::AddressUnknown);
    }

    #[test]
    fn a_policy_that_lets_nobodys_address_send_lets_everybody() {
        let nobody = Some(SpfResult::Pass);
        assert_eq!(Senders { nobody, ..senders(&[SpfResult::Pass]) }.policy(), Policy::LetsAll);
        assert_eq!(Senders { nobody, ..senders(&[]) }.policy(), Policy::LetsAll);
        let wrong = Senders { nobody: Some(SpfResult::PermError), ..senders(&[]) };
        assert_eq!(wrong.policy(), Policy::Wrong);
    }

    #[test]
    fn only_the_exact_version_makes_a_policy() {
        assert!(is_policy("v=spf1"));
        assert!(is_policy("v=spf1 mx"));
        assert!(!is_policy("v=spf10 mx"));
        assert!(!is_policy("google-site-verification=x"));
    }
}
