//! DMARC: which policy applies, and what stands for an author.

use super::zone::Zone;
use super::{Forger, text, verified, verified_with};
use crate::{Decision, DmarcResult, Enforcement, Policy, Settings};

const OTHERS: &str = "sender.example TXT v=spf1 ip4:192.0.2.1 -all\n";

fn from(author: &str) -> String {
    text(&format!("From: jane@{author}\nSubject: x\n\nyes\n"))
}

/// What is found for an author of whom nothing is proved.
async fn unproved(zone: &str, author: &str) -> (DmarcResult, Policy, Decision) {
    let zone = Zone::new(&format!("{OTHERS}{zone}"));
    let report = verified(zone, "x@sender.example", &from(author)).await;
    (report.dmarc[0].result, report.dmarc[0].policy, report.decision)
}

#[tokio::test]
async fn the_policy_of_the_name_itself_goes_before_that_of_the_organization() {
    use DmarcResult::{Fail, None};
    for (zone, author, result, policy) in [
        ("_dmarc.a.example TXT v=DMARC1; p=reject", "a.example", Fail, Policy::Reject),
        ("_dmarc.a.example TXT v=DMARC1; p=reject", "b.example", None, Policy::None),
        ("_dmarc.a.example TXT v=DMARC1; p=quarantine", "s.a.example", Fail, Policy::Quarantine),
        (
            "_dmarc.a.example TXT v=DMARC1; p=reject; sp=none\ns.a.example A 192.0.2.3",
            "s.a.example",
            Fail,
            Policy::None,
        ),
        (
            "_dmarc.a.example TXT v=DMARC1; p=none; np=reject\ns.a.example A 192.0.2.3",
            "s.a.example",
            Fail,
            Policy::None,
        ),
        ("_dmarc.a.example TXT v=DMARC1; p=none; np=reject", "s.a.example", Fail, Policy::Reject),
        (
            "_dmarc.a.example TXT v=DMARC1; p=reject\n_dmarc.s.a.example TXT v=DMARC1; p=none",
            "s.a.example",
            Fail,
            Policy::None,
        ),
        // A public suffix speaks for those below it that say nothing. RFC 9989 §4.10.1
        ("_dmarc.example TXT v=DMARC1; p=reject; psd=y", "a.example", Fail, Policy::Reject),
        ("_dmarc.a.example TXT v=DMARC1; p=reject; t=y", "a.example", Fail, Policy::Quarantine),
        ("_dmarc.a.example TXT v=DMARC1; p=quarantine; t=y", "a.example", Fail, Policy::None),
        ("_dmarc.a.example TXT v=DMARC1; p=reject; pct=0", "a.example", Fail, Policy::Quarantine),
        // Two records are as good as none.
        (
            "_dmarc.a.example TXT v=DMARC1; p=reject\n_dmarc.a.example TXT v=DMARC1; p=none",
            "a.example",
            None,
            Policy::None,
        ),
        ("_dmarc.a.example TXT v=spf1\n_dmarc.a.example TXT x", "a.example", None, Policy::None),
    ] {
        let found = unproved(zone, author).await;
        assert_eq!((found.0, found.1), (result, policy), "{zone:?} for {author}");
    }
}

#[tokio::test]
async fn what_was_not_answered_is_put_off_only_if_it_could_decide() {
    let silent = unproved("_dmarc.a.example SILENT", "a.example").await;
    assert_eq!(silent, (DmarcResult::TempError, Policy::Unknown, Decision::Defer));
    let above = unproved("_dmarc.a.example SILENT", "s.a.example").await;
    assert_eq!(above.2, Decision::Defer);
    for (policy, decision) in
        [("none", Decision::Accept), ("quarantine", Decision::Defer), ("reject", Decision::Defer)]
    {
        let zone = format!("_dmarc.a.example TXT v=DMARC1; p={policy}\na.example SILENT\n");
        let report = verified(Zone::new(&zone), "jane@a.example", &from("a.example")).await;
        assert_eq!(report.decision, decision, "{policy}");
    }
    // An open question about another domain changes nothing.
    let zone = "_dmarc.a.example TXT v=DMARC1; p=reject\nb.example SILENT\n";
    let report = verified(Zone::new(zone), "x@b.example", &from("a.example")).await;
    assert_eq!(report.decision, Decision::Reject);
}

#[tokio::test]
async fn a_sender_stands_for_its_organization_unless_the_record_is_strict() {
    for (tags, sender, decision) in [
        ("", "a.example", Decision::Accept),
        ("", "mail.a.example", Decision::Accept),
        ("", "xa.example", Decision::Reject),
        ("", "example", Decision::Reject),
        ("; aspf=s", "mail.a.example", Decision::Reject),
        ("; aspf=s", "a.example", Decision::Accept),
        ("; adkim=s", "mail.a.example", Decision::Accept),
    ] {
        let zone = format!(
            "_dmarc.a.example TXT v=DMARC1; p=reject{tags}\n{sender} TXT v=spf1 ip4:192.0.2.1 -all"
        );
        let report = verified(Zone::new(&zone), &format!("x@{sender}"), &from("a.example")).await;
        assert_eq!(report.decision, decision, "{tags:?} from {sender}");
    }
}

#[tokio::test]
async fn a_signature_stands_for_its_organization_unless_the_record_is_strict() {
    for (tags, signer, author, decision) in [
        ("", "a.example", "a.example", Decision::Accept),
        ("", "a.example", "deep.er.a.example", Decision::Accept),
        ("", "mail.a.example", "a.example", Decision::Accept),
        ("; adkim=s", "mail.a.example", "a.example", Decision::Reject),
        ("", "b.example", "a.example", Decision::Reject),
        ("", "example", "a.example", Decision::Reject),
    ] {
        let forger = Forger::new();
        let key = forger.record(&format!("s1._domainkey.{signer}"));
        let tags_of = format!("v=1; a=ed25519-sha256; d={signer}; s=s1; h=from");
        let message = forger.signed("DKIM-Signature", &tags_of, &from(author));
        let zone = format!("_dmarc.a.example TXT v=DMARC1; p=reject{tags}\n{key}");
        let report = verified(Zone::new(&zone), "x@sender.example", &message).await;
        assert_eq!(report.decision, decision, "{tags:?}: {signer} for {author}");
    }
}

/// Whoever registers below a public suffix does not stand for its neighbours. RFC 9989 §4.10.2
#[tokio::test]
async fn neighbours_below_a_public_suffix_do_not_stand_for_each_other() {
    let zone = "_dmarc.co.example TXT v=DMARC1; p=reject; psd=y\n\
                _dmarc.a.co.example TXT v=DMARC1; p=reject\n\
                b.co.example TXT v=spf1 +all\nco.example TXT v=spf1 +all\n";
    for sender in ["b.co.example", "co.example"] {
        let sender = format!("x@{sender}");
        let report = verified(Zone::new(zone), &sender, &from("a.co.example")).await;
        assert_eq!(report.decision, Decision::Reject, "{sender}");
    }
}

#[tokio::test]
async fn a_deep_name_asks_no_more_than_eight_times() {
    let zone = Zone::new("_dmarc.example TXT v=DMARC1; p=reject");
    let author = format!("{}example", "a.".repeat(40));
    let asked = zone.clone();
    verified(zone, "", &from(&author)).await;
    let walk: Vec<_> =
        asked.asked().into_iter().filter(|it| it.starts_with("TXT _dmarc.")).collect();
    assert_eq!(walk.len(), 8, "{walk:?}");
    assert_eq!(walk[1], format!("TXT _dmarc.{}example", "a.".repeat(6)));
}

#[tokio::test]
async fn the_reason_names_the_domain_and_settings_make_it_milder() {
    let zone = || Zone::new("_dmarc.a.example TXT v=DMARC1; p=reject");
    let report = verified(zone(), "x@sender.example", &from("a.example")).await;
    assert_eq!(report.reason, "a.example does not stand for this message (DMARC)");
    let settings = Settings { dmarc: Enforcement::Report, ..Settings::default() };
    let report = verified_with(zone(), "", &from("a.example"), settings).await;
    assert_eq!(report.decision, Decision::Accept);
    let fields = String::from_utf8(report.fields).unwrap();
    assert!(fields.contains("dmarc=fail (p=reject)\r\n\t header.from=a.example"), "{fields}");
}
