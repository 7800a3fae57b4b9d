//! How a connection has to be protected: what the domain's zone and policy and the message want.

use std::sync::Arc;

use dns::Tlsa;
use mail_service::queue::Terms;
use mail_service::tls::Ruler;

use super::convert::requires_tls;
use super::dane::Associations;
use super::sts::{Mode, Policy};

/// What is to be true of a connection before a message goes over it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Demand {
    /// Nothing, not even TLS: for servers whose handshake fails.
    Clear,
    /// TLS if it is offered, with anybody. RFC 7435
    Nothing,
    /// TLS, with anybody: the zone promises it, in words that this client does not understand.
    /// RFC 7672 §2.2
    Encryption,
    /// The certificate is the server's, in the eyes of an authority that this system trusts.
    Certificate,
    /// The certificate is what the zone says.
    Dane(Arc<Associations>),
}

/// What is known of a server and of the message that is to go there.
pub(super) struct Known<'a> {
    /// Its name.
    pub(super) host: &'a str,
    /// The domain of the recipients.
    pub(super) domain: &'a str,
    /// Whether a signed zone says that it is a server of the domain.
    pub(super) is_signed: bool,
    /// Its TLSA records, if they are signed; empty if there are none.
    pub(super) tlsa: &'a [Tlsa],
    /// The name below which they stand: its own, or that of which it is an alias.
    pub(super) base: &'a str,
    /// The policy of the domain.
    pub(super) policy: Option<&'a Policy>,
    /// What the sender wants.
    pub(super) wish: Wish,
}

/// What a sender wants of the way. RFC 8689
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// What the domains want.
    Usual,
    /// REQUIRETLS.
    Required,
    /// `TLS-Required: No`: arriving is more important than being unread.
    Optional,
}

impl Wish {
    /// Of a message with these terms.
    pub(super) fn of(terms: &Terms) -> Self {
        match (requires_tls(terms), terms.tls_optional) {
            (true, _) => Self::Required,
            (false, true) => Self::Optional,
            (false, false) => Self::Usual,
        }
    }
}

/// How a server is to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is tried one after the other, as long as TLS fails.
    pub(super) ladder: Vec<Demand>,
    /// Who wants it so.
    pub(super) ruler: Ruler,
    /// The name that its certificate is asked for by.
    pub(super) name: String,
}

/// Why a server is not spoken to at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barred {
    /// The domain's policy does not name it. RFC 8461 §5
    NotNamed,
    /// Nobody vouches for it, and the message requires that. RFC 8689 §4.2.1
    NotVouched,
}

/// Decides it. DANE goes before MTA-STS, whichever is stricter. RFC 8461 §2
pub(super) fn plan(known: &Known<'_>) -> Result<Plan, Barred> {
    let policy = known.policy.filter(|policy| policy.mode != Mode::None);
    let is_named = policy.is_some_and(|policy| policy.names(known.host));
    // RFC 7672 §3.2.2
    let names = vec![known.base.to_owned(), known.domain.to_owned()];
    let (demand, ruler) = match Associations::new(known.tlsa, names) {
        Some(associations) => (Demand::Dane(Arc::new(associations)), Ruler::Tlsa),
        None if !known.tlsa.is_empty() => (Demand::Encryption, Ruler::Tlsa),
        None if is_named => (Demand::Certificate, Ruler::Sts),
        None => (Demand::Nothing, policy.map_or(Ruler::Nobody, |_| Ruler::Sts)),
    };
    if known.wish == Wish::Required {
        // RFC 8689 §4.2.1, 2 and 4
        if !known.is_signed && !is_named {
            return Err(Barred::NotVouched);
        }
        let is_proven = matches!(demand, Demand::Dane(_));
        let demand = if is_proven { demand } else { Demand::Certificate };
        return Ok(known.plan(vec![demand], ruler));
    }
    let is_enforced = match ruler {
        Ruler::Tlsa => true,
        Ruler::Sts => policy.is_some_and(|policy| policy.mode == Mode::Enforce),
        Ruler::Nobody => false,
    };
    if is_enforced && known.wish == Wish::Usual {
        return match demand {
            Demand::Nothing | Demand::Clear => Err(Barred::NotNamed),
            demand => Ok(known.plan(vec![demand], ruler)),
        };
    }
    let mut ladder = vec![demand, Demand::Nothing, Demand::Clear];
    ladder.dedup();
    Ok(known.plan(ladder, ruler))
}

impl Known<'_> {
    /// RFC 7672 §8.1: by DANE a server is asked for by the name that its records stand below.
    fn plan(&self, ladder: Vec<Demand>, ruler: Ruler) -> Plan {
        let is_dane = matches!(ladder.first(), Some(Demand::Dane(_)));
        let name = if is_dane { self.base } else { self.host }.to_owned();
        Plan { ladder, ruler, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EE: Tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data: Vec::new() };

    const UNUSABLE: &[Tlsa] = &[EE];

    fn usable() -> Tlsa {
        Tlsa { data: vec![7; 32], ..EE }
    }

    fn policy(mode: Mode) -> Policy {
        Policy { mode, mx: vec!["mx.example.net".to_owned()], max_age_secs: 1 }
    }

    fn planned(known: Known<'_>) -> Result<(Vec<&'static str>, Ruler), Barred> {
        let word = |demand: &Demand| match demand {
            Demand::Clear => "clear",
            Demand::Nothing => "nothing",
            Demand::Encryption => "encryption",
            Demand::Certificate => "certificate",
            Demand::Dane(_) => "dane",
        };
        plan(&known).map(|plan| (plan.ladder.iter().map(word).collect(), plan.ruler))
    }

    fn known<'a>(tlsa: &'a [Tlsa], policy: Option<&'a Policy>, wish: Wish) -> Known<'a> {
        let (host, domain) = ("mx.example.net", "example.net");
        Known { host, domain, is_signed: !tlsa.is_empty(), tlsa, base: host, policy, wish }
    }

    #[test]
    fn what_is_enforced_has_no_other_way() {
        let (enforce, usable) = (policy(Mode::Enforce), [usable()]);
        let both = known(&usable, Some(&enforce), Wish::Usual);
        assert_eq!(planned(both), Ok((vec!["dane"], Ruler::Tlsa)));
        let sts = known(&[], Some(&enforce), Wish::Usual);
        assert_eq!(planned(sts), Ok((vec!["certificate"], Ruler::Sts)));
        let unusable = known(UNUSABLE, Some(&enforce), Wish::Usual);
        assert_eq!(planned(unusable), Ok((vec!["encryption"], Ruler::Tlsa)));
        let stranger = Known { host: "mx.evil.example", ..known(&[], Some(&enforce), Wish::Usual) };
        assert_eq!(planned(stranger), Err(Barred::NotNamed));
    }

    #[test]
    fn a_server_is_asked_for_by_the_name_that_its_records_stand_below() {
        let usable = [usable()];
        let base = "real.example.org";
        let by_alias = Known { base, ..known(&usable, None, Wish::Usual) };
        assert_eq!(plan(&by_alias).unwrap().name, base);
        let unusable = Known { base, ..known(UNUSABLE, None, Wish::Required) };
        assert_eq!(plan(&unusable).unwrap().name, "mx.example.net");
    }

    #[test]
    fn what_is_only_tested_is_delivered_all_the_same() {
        let testing = policy(Mode::Testing);
        let named = known(&[], Some(&testing), Wish::Usual);
        assert_eq!(planned(named), Ok((vec!["certificate", "nothing", "clear"], Ruler::Sts)));
        let stranger = Known { host: "mx.evil.example", ..known(&[], Some(&testing), Wish::Usual) };
        assert_eq!(planned(stranger), Ok((vec!["nothing", "clear"], Ruler::Sts)));
        let none = policy(Mode::None);
        let nobody = Ok((vec!["nothing", "clear"], Ruler::Nobody));
        assert_eq!(planned(known(&[], Some(&none), Wish::Usual)), nobody);
        assert_eq!(planned(known(&[], None, Wish::Usual)), nobody);
    }

    #[test]
    fn a_message_that_requires_tls_goes_only_to_who_is_vouched_for() {
        let (enforce, testing) = (policy(Mode::Enforce), policy(Mode::Testing));
        assert_eq!(planned(known(&[], None, Wish::Required)), Err(Barred::NotVouched));
        for policy in [&enforce, &testing] {
            let named = known(&[], Some(policy), Wish::Required);
            assert_eq!(planned(named), Ok((vec!["certificate"], Ruler::Sts)));
        }
        let signed = Known { is_signed: true, ..known(&[], None, Wish::Required) };
        assert_eq!(planned(signed), Ok((vec!["certificate"], Ruler::Nobody)));
        let unusable = known(UNUSABLE, None, Wish::Required);
        assert_eq!(planned(unusable), Ok((vec!["certificate"], Ruler::Tlsa)));
        let usable = [usable()];
        assert_eq!(planned(known(&usable, None, Wish::Required)), Ok((vec!["dane"], Ruler::Tlsa)));
    }

    #[test]
    fn a_message_that_shall_arrive_in_any_case_tries_the_policy_first() {
        let (enforce, usable) = (policy(Mode::Enforce), [usable()]);
        let dane = known(&usable, None, Wish::Optional);
        assert_eq!(planned(dane), Ok((vec!["dane", "nothing", "clear"], Ruler::Tlsa)));
        let sts = known(&[], Some(&enforce), Wish::Optional);
        assert_eq!(planned(sts), Ok((vec!["certificate", "nothing", "clear"], Ruler::Sts)));
        let stranger =
            Known { host: "mx.evil.example", ..known(&[], Some(&enforce), Wish::Optional) };
        assert_eq!(planned(stranger), Ok((vec!["nothing", "clear"], Ruler::Sts)));
    }
}
