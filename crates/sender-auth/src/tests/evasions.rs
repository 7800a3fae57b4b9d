//! Messages by which an attacker, who has a domain of his own with everything in order, tried to
//! pass as somebody else elsewhere: the evasions of "Composition Kills" (USENIX Security 2020), and
//! faults of OpenDMARC. None may be accepted while our own ENVELOPE shows a domain that is not
//! proved.

use super::zone::Zone;
use super::{Forger, text, verified};
use crate::{Decision, DmarcResult, Report};

const ZONE: &str = "\
_dmarc.legit.example TXT v=DMARC1; p=reject
legit.example TXT v=spf1 -all
attack.example TXT v=spf1 ip4:192.0.2.1 -all
_dmarc.attack.example TXT v=DMARC1; p=reject
";

const SENDER: &str = "eve@attack.example";

fn zone(more: &str) -> Zone {
    Zone::new(&format!("{ZONE}{more}"))
}

/// The hosts that people are shown as the author's.
fn shown(message: &str) -> Vec<String> {
    let value = mime::header::value(message.as_bytes(), "From").unwrap_or_default();
    let hosts = mime::parse_addresses(&value).into_iter().filter_map(|address| address.host);
    hosts.map(|host| String::from_utf8(host).unwrap()).filter(|host| !host.is_empty()).collect()
}

fn is_safe(report: &Report, message: &str) -> bool {
    let is_proved = |host: &String| {
        report.dmarc.iter().any(|it| it.domain == *host && it.result == DmarcResult::Pass)
    };
    report.decision != Decision::Accept || shown(message).iter().all(is_proved)
}

#[tokio::test]
async fn s095_headers_that_programs_read_differently_prove_nobody() {
    for from in [
        // Several fields, in any order and spelling.
        "From: eve@attack.example\nFrom: admin@legit.example",
        "From: admin@legit.example\nFrom: eve@attack.example",
        "From: eve@attack.example\nfrom : admin@legit.example",
        "From: eve@attack.example\nFrom\t: admin@legit.example",
        "From:\n admin@legit.example\nFrom: eve@attack.example",
        // A field that is folded before its name, or is none.
        " From: admin@legit.example\nFrom: eve@attack.example",
        "Subject: x\n From: admin@legit.example\nFrom: eve@attack.example",
        "From\n : admin@legit.example\nFrom: eve@attack.example",
        "Fr\u{6f}m\0: admin@legit.example\nFrom: eve@attack.example",
        // Other fields that could be shown instead.
        "Sender: eve@attack.example\nFrom: admin@legit.example",
        "Resent-From: eve@attack.example\nFrom: admin@legit.example",
        // Several addresses.
        "From: <eve@attack.example>, <admin@legit.example>",
        "From: admin@legit.example, eve@attack.example",
        "From: eve@attack.example, admin@legit.example",
        "From: Group: admin@legit.example; eve@attack.example",
        // A source route.
        "From: <@attack.example,@any.example:admin@legit.example>",
        "From: <@legit.example:eve@attack.example>",
        // A quoted pair.
        "From: <admin@legit.example>\\,<eve@attack.example>",
        "From: admin@legit.example\\,eve@attack.example",
        // Brackets that do not pair.
        "From: <eve@attack.example>admin@legit.example",
        "From: <admin@legit.example><eve@attack.example>",
        "From: admin@legit.example<eve@attack.example>",
        "From: <eve@attack.example admin@legit.example>",
        "From: <admin@legit.example> <eve@attack.example>",
        "From: admin@legit.example (<eve@attack.example>)",
        "From: admin@legit.example\0eve@attack.example",
        "From: admin@legit.example @attack.example",
        // An encoded word where an address stands.
        "From: =?utf-8?b?PGFkbWluQGxlZ2l0LmV4YW1wbGU+?=, <eve@attack.example>",
        "From: =?utf-8?q?admin=40legit.example?=",
        "From:",
        "To: joe@b.example",
    ] {
        let message = text(&format!("{from}\nSubject: hi\n\nhello\n"));
        let report = verified(zone(""), SENDER, &message).await;
        assert!(is_safe(&report, &message), "{from:?}: {:?}", report.dmarc);
        if shown(&message) != ["attack.example"] {
            assert_eq!(report.decision, Decision::Reject, "{from:?}");
        }
    }
    // With nothing to hide he is accepted as who he is.
    let message = text("From: eve@attack.example\n\nhello\n");
    assert_eq!(verified(zone(""), SENDER, &message).await.decision, Decision::Accept);
}

#[tokio::test]
async fn s095_a_proof_of_one_identity_is_none_of_another() {
    let message = text("From: admin@legit.example\n\nhello\n");
    let helo = "client.example TXT v=spf1 +all\n";
    for sender in [
        // EHLO passes; the envelope's sender is empty, malformed, or below the victim's domain.
        "",
        "x@legit.example",
        "x@none.legit.example",
        "admin@legit.example(.attack.example",
        "admin@legit.example\0.attack.example",
        "admin@legit.example'@attack.example",
        "\"admin@legit.example\"@attack.example",
        "legit.example",
        "x@",
        "@legit.example",
        SENDER,
    ] {
        let report = verified(zone(helo), sender, &message).await;
        assert_eq!(report.decision, Decision::Reject, "{sender:?}: {:?}", report.spf);
        let told = String::from_utf8(report.fields).unwrap();
        assert!(!told.contains("dmarc=pass") && told.is_ascii(), "{told}");
        assert_eq!(mime::header::fields(told.as_bytes()).count(), 2, "{told}");
    }
}

#[tokio::test]
async fn s095_a_signer_or_key_that_only_looks_like_another_proves_nobody() {
    let forger = Forger::new();
    let key = |name: &str| forger.record(&format!("{name}._domainkey.attack.example"));
    let zone_with = || zone(&key("s1"));
    let message = text("From: admin@legit.example\nSubject: hi\n\nhello\n");
    for (domain, selector) in [
        ("legit.example", "s1._domainkey.attack.example."),
        ("legit.example.attack.example", "s1"),
        ("attack.example", "s1"),
        ("legit.example(.attack.example", "s1"),
        ("legit.example'a.attack.example", "s1"),
        ("legit.example\\000.attack.example", "s1"),
    ] {
        let tags = format!("v=1; a=ed25519-sha256; d={domain}; s={selector}; h=from:subject");
        let signed = forger.signed("DKIM-Signature", &tags, &message);
        let report = verified(zone_with(), SENDER, &signed).await;
        assert_eq!(report.decision, Decision::Reject, "d={domain} s={selector}");
        let told = String::from_utf8(report.fields).unwrap();
        assert!(!told.contains('\'') && !told.contains("legit.example("), "{told}");
    }
    // A NUL ends the name for resolvers in C.
    let signed = forger.signed(
        "DKIM-Signature",
        "v=1; a=ed25519-sha256; d=legit.example; s=SELECTOR; h=from:subject",
        &message,
    );
    let signed = signed.replace("SELECTOR", "s1._domainkey.attack.example.\0");
    assert_eq!(verified(zone_with(), SENDER, &signed).await.decision, Decision::Reject);
}

#[tokio::test]
async fn s095_a_signed_message_is_not_replayed_with_another_author_or_text() {
    let forger = Forger::new();
    let key = forger.record("s1._domainkey.legit.example");
    let original = text("From: admin@legit.example\nSubject: hi\nTo: a@b.example\n\nhello\n");
    let tags = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=legit.example; s=s1; h=from:subject";
    let signed = forger.signed("DKIM-Signature", tags, &original);
    assert_eq!(verified(zone(&key), SENDER, &signed).await.decision, Decision::Accept);
    for changed in [
        format!("From: boss@legit.example\r\n{signed}"),
        signed.replace("From:", "From: boss@legit.example\r\nFrom:"),
        signed.replace("From: admin", "From: boss"),
        signed.replace("hello", "hello, world"),
        format!("{signed}more\r\n"),
        signed.replace("h=from:subject", "h=subject"),
    ] {
        let report = verified(zone(&key), SENDER, &changed).await;
        assert_eq!(report.decision, Decision::Reject, "{changed}");
    }
    // A signature that never covered From says nothing about it.
    let tags = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=legit.example; s=s1; h=subject";
    let signed = forger.signed("DKIM-Signature", tags, &original);
    assert_eq!(verified(zone(&key), SENDER, &signed).await.decision, Decision::Reject);
}

/// OpenDMARC CVE-2019-16378 (several From) and CVE-2019-20790 (EHLO taken for MAIL FROM).
#[tokio::test]
async fn s095_the_faults_of_opendmarc_are_not_ours() {
    let several = text("From: eve@attack.example\nFrom: admin@legit.example\n\nx\n");
    let report = verified(zone(""), SENDER, &several).await;
    assert_eq!(report.decision, Decision::Reject);
    assert_eq!(report.reason, "the message has several From fields");
    // EHLO is the victim's and passes, the sender is the attacker's.
    let message = text("From: admin@client.example\n\nx\n");
    let helo = "client.example TXT v=spf1 +all\n_dmarc.client.example TXT v=DMARC1; p=reject\n";
    let report = verified(zone(helo), SENDER, &message).await;
    assert_eq!(report.helo.result, crate::SpfResult::Pass);
    assert_eq!(report.decision, Decision::Reject);
    // For the empty sender EHLO is what there is. RFC 9989 §4.4.2
    assert_eq!(verified(zone(helo), "", &message).await.decision, Decision::Accept);
}
