//! What is to be done with a message: a pure function of what was found and of what is set.

use crate::arc::{Arc, ArcResult};
use crate::author::NoAuthor;
use crate::dmarc::{Dmarc, DmarcResult, Policy};
use crate::results::comments_removed;
use crate::spf::{Spf, SpfResult};

/// What is to be done with a message, mildest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Take it.
    #[default]
    Accept,
    /// Take it, and put it where suspicious mail goes.
    Quarantine,
    /// Refuse it for now (4yz): the sender shall try again.
    Defer,
    /// Refuse it (5yz).
    Reject,
}

/// How strictly the findings are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the policy of an author's domain may do here.
    pub dmarc: Enforcement,
    /// Whether a domain that names its senders (`-all`) is enough to refuse all others. Off, for
    /// mail that is forwarded fails it too.
    pub spf_fail: SpfFail,
    /// Domains of servers that forward mail (lists, say) and whose word is taken for what they
    /// found. In small letters. RFC 8617 §7.2
    pub trusted_sealers: Vec<String>,
}

/// What a policy may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// All that it asks for.
    #[default]
    Apply,
    /// At most quarantine.
    Quarantine,
    /// Nothing; it only stands in the results.
    Report,
}

/// What follows from an SPF that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpfFail {
    /// It only stands in the results.
    #[default]
    Report,
    /// The message is refused.
    Reject,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) author: Result<(), NoAuthor>,
    pub(crate) dmarc: &'a [Dmarc],
    pub(crate) spf: &'a Spf,
    pub(crate) arc: &'a Arc,
}

/// Decides; the text says why, and holds nothing that could break a reply.
pub(crate) fn decide(findings: &Findings<'_>, settings: &Settings) -> (Decision, String) {
    let mut worst = (Decision::Accept, String::new());
    let mut consider = |decision: Decision, reason: String| {
        if decision > worst.0 {
            worst = (decision, reason);
        }
    };
    if settings.spf_fail == SpfFail::Reject && findings.spf.result == SpfResult::Fail {
        let domain = findings.spf.domain.as_deref().unwrap_or_default();
        consider(Decision::Reject, format!("{domain} says that you may not send for it (SPF)"));
    }
    if let Err(problem) = findings.author {
        consider(allowed(Decision::Reject, settings.dmarc), problem.reason().to_owned());
    }
    for dmarc in findings.dmarc {
        let decision = by_policy(dmarc, settings.dmarc);
        if decision == Decision::Accept || is_vouched(&dmarc.domain, findings.arc, settings) {
            continue;
        }
        // Somebody who is trusted may vouch once the keys of the seals are there.
        let is_open =
            findings.arc.result == ArcResult::TempError && !settings.trusted_sealers.is_empty();
        let decision = if is_open { Decision::Defer } else { decision };
        consider(decision, why(decision, &dmarc.domain));
    }
    worst
}

fn by_policy(dmarc: &Dmarc, enforcement: Enforcement) -> Decision {
    let asked = match (dmarc.result, dmarc.policy) {
        (DmarcResult::None | DmarcResult::Pass, _) | (_, Policy::None) => Decision::Accept,
        // What is not known yet is neither refused nor let in. RFC 9989 §5.3.6
        (DmarcResult::TempError, _) | (_, Policy::Unknown) => Decision::Defer,
        (DmarcResult::Fail, Policy::Quarantine) => Decision::Quarantine,
        (DmarcResult::Fail, Policy::Reject) => Decision::Reject,
    };
    allowed(asked, enforcement)
}

/// As much of a decision as the operator wants.
fn allowed(asked: Decision, enforcement: Enforcement) -> Decision {
    match enforcement {
        Enforcement::Apply => asked,
        Enforcement::Quarantine if asked == Decision::Reject => Decision::Quarantine,
        Enforcement::Quarantine => asked,
        Enforcement::Report => Decision::Accept,
    }
}

fn why(decision: Decision, domain: &str) -> String {
    match decision {
        Decision::Accept => String::new(),
        Decision::Defer => format!("the policy of {domain} could not be checked (DMARC)"),
        Decision::Quarantine | Decision::Reject => {
            format!("{domain} does not stand for this message (DMARC)")
        }
    }
}

/// Whether a server that is trusted found, before it changed or forwarded the message, that the
/// author's domain stands for it. Sets count only as long as every later sealer is trusted too: the
/// first stranger could have written anything. RFC 8617 §7.2.1
fn is_vouched(author: &str, arc: &Arc, settings: &Settings) -> bool {
    let is_trusted = |sealer: &str| settings.trusted_sealers.iter().any(|it| it == sealer);
    arc.result == ArcResult::Pass
        && arc
            .sets
            .iter()
            .rev()
            .take_while(|set| is_trusted(&set.sealer))
            .any(|set| says_dmarc_pass(&set.results, author))
}

/// Whether sealed results say `dmarc=pass` for this author.
fn says_dmarc_pass(results: &[u8], author: &str) -> bool {
    let Some(text) = comments_removed(results) else { return false };
    let text = text.to_ascii_lowercase();
    let wanted = format!("header.from={author}").into_bytes();
    text.split(|byte| *byte == b';').any(|result| {
        let mut words = result.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.next() == Some(b"dmarc=pass") && words.any(|word| word == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arc::ArcSet;

    fn arc(sets: &[(&str, &str)]) -> Arc {
        let set = |(sealer, results): &(&str, &str)| ArcSet {
            sealer: (*sealer).to_owned(),
            results: results.as_bytes().to_vec(),
        };
        let result = if sets.is_empty() { ArcResult::None } else { ArcResult::Pass };
        Arc { result, reason: "", sets: sets.iter().map(set).collect() }
    }

    fn dmarc(result: DmarcResult, policy: Policy) -> Dmarc {
        Dmarc { domain: "a.example".to_owned(), result, policy }
    }

    fn decided(dmarc: &[Dmarc], spf: SpfResult, arc: &Arc, settings: &Settings) -> Decision {
        let spf = Spf { result: spf, domain: Some("b.example".to_owned()) };
        let findings = Findings { author: Ok(()), dmarc, spf: &spf, arc };
        let (decision, reason) = decide(&findings, settings);
        assert_eq!(reason.is_empty(), decision == Decision::Accept);
        decision
    }

    #[test]
    fn the_policy_decides_only_over_what_failed() {
        use Decision::{Accept, Defer, Quarantine, Reject};
        let settings = Settings::default();
        for (result, policy, decision) in [
            (DmarcResult::Pass, Policy::Reject, Accept),
            (DmarcResult::None, Policy::None, Accept),
            (DmarcResult::Fail, Policy::None, Accept),
            (DmarcResult::Fail, Policy::Quarantine, Quarantine),
            (DmarcResult::Fail, Policy::Reject, Reject),
            (DmarcResult::TempError, Policy::None, Accept),
            (DmarcResult::TempError, Policy::Quarantine, Defer),
            (DmarcResult::TempError, Policy::Reject, Defer),
            (DmarcResult::TempError, Policy::Unknown, Defer),
        ] {
            let found = [dmarc(result, policy)];
            let got = decided(&found, SpfResult::None, &arc(&[]), &settings);
            assert_eq!(got, decision, "{result:?} {policy:?}");
        }
    }

    #[test]
    fn settings_make_a_policy_milder_and_never_stricter() {
        let found = [dmarc(DmarcResult::Fail, Policy::Reject)];
        let with = |dmarc| Settings { dmarc, ..Settings::default() };
        let none = arc(&[]);
        let quarantine = with(Enforcement::Quarantine);
        let got = decided(&found, SpfResult::Fail, &none, &quarantine);
        assert_eq!(got, Decision::Quarantine);
        let report = with(Enforcement::Report);
        assert_eq!(decided(&found, SpfResult::Fail, &none, &report), Decision::Accept);
    }

    #[test]
    fn spf_alone_refuses_only_if_that_is_set() {
        let none = arc(&[]);
        assert_eq!(decided(&[], SpfResult::Fail, &none, &Settings::default()), Decision::Accept);
        let strict = Settings { spf_fail: SpfFail::Reject, ..Settings::default() };
        assert_eq!(decided(&[], SpfResult::Fail, &none, &strict), Decision::Reject);
        assert_eq!(decided(&[], SpfResult::SoftFail, &none, &strict), Decision::Accept);
    }

    #[test]
    fn s095_of_several_authors_the_strictest_decides() {
        let found = [
            dmarc(DmarcResult::Pass, Policy::Reject),
            dmarc(DmarcResult::Fail, Policy::Reject),
            dmarc(DmarcResult::TempError, Policy::Reject),
        ];
        let got = decided(&found, SpfResult::Pass, &arc(&[]), &Settings::default());
        assert_eq!(got, Decision::Reject);
    }

    #[test]
    fn no_author_is_refused() {
        let spf = Spf { result: SpfResult::Pass, domain: None };
        let findings =
            Findings { author: Err(NoAuthor::Several), dmarc: &[], spf: &spf, arc: &arc(&[]) };
        let (decision, reason) = decide(&findings, &Settings::default());
        assert_eq!((decision, reason.as_str()), (Decision::Reject, NoAuthor::Several.reason()));
    }

    #[test]
    fn only_an_unbroken_row_of_trusted_sealers_vouches() {
        const PASS: &str = " i=1; list.example; spf=pass;\r\n dmarc=pass header.from=a.example";
        const FAIL: &str = " i=2; hub.example; dmarc=fail header.from=a.example; arc=pass";
        const COMMENT: &str = " i=1; list.example; x=y (; dmarc=pass header.from=a.example ;)";
        const OTHER: &str = " i=1; list.example; dmarc=pass header.from=b.example";
        let settings = Settings {
            trusted_sealers: vec!["list.example".to_owned(), "hub.example".to_owned()],
            ..Settings::default()
        };
        let found = [dmarc(DmarcResult::Fail, Policy::Reject)];
        let decided =
            |sets: &[(&str, &str)]| decided(&found, SpfResult::None, &arc(sets), &settings);
        assert_eq!(decided(&[("list.example", PASS)]), Decision::Accept);
        assert_eq!(decided(&[("list.example", PASS), ("hub.example", FAIL)]), Decision::Accept);
        assert_eq!(decided(&[("list.example", PASS), ("x.example", FAIL)]), Decision::Reject);
        assert_eq!(decided(&[("x.example", PASS), ("hub.example", FAIL)]), Decision::Reject);
        assert_eq!(decided(&[("list.example", COMMENT)]), Decision::Reject);
        assert_eq!(decided(&[("list.example", OTHER)]), Decision::Reject);
    }

    #[test]
    fn a_chain_that_cannot_be_checked_yet_puts_off_only_where_it_could_vouch() {
        let open = Arc { result: ArcResult::TempError, reason: "late", sets: Vec::new() };
        let found = [dmarc(DmarcResult::Fail, Policy::Reject)];
        let none = Settings::default();
        assert_eq!(decided(&found, SpfResult::None, &open, &none), Decision::Reject);
        let trusted_sealers = vec!["list.example".to_owned()];
        let some = Settings { trusted_sealers, ..Settings::default() };
        assert_eq!(decided(&found, SpfResult::None, &open, &some), Decision::Defer);
        let passed = [dmarc(DmarcResult::Pass, Policy::Reject)];
        assert_eq!(decided(&passed, SpfResult::None, &open, &some), Decision::Accept);
    }
}
