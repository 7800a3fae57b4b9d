//! DKIM: signatures that must not count, and our own.

use std::time::Instant;

use super::zone::Zone;
use super::{Forger, NOW, text, verified};
use crate::keys::{Key, dns_record, generate_ed25519, generate_rsa};
use crate::{Decision, DkimResult, Signer, SigningKey};

const BODY: &str = "From: jane@a.example\nTo: joe@b.example\nSubject: Hello\n\nDear Joe,\n\nyes.\n";
const TAGS: &str = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=a.example; s=s1; h=from:to:subject";

/// The result for tags that were signed as they stand, and the key's record.
async fn with(tags: &str, record: &str) -> (DkimResult, &'static str) {
    let forger = Forger::new();
    let published = forger.record("s1._domainkey.a.example");
    let published = published.replacen("v=DKIM1;", record, 1);
    let message = forger.signed("DKIM-Signature", tags, &text(BODY));
    let report = verified(Zone::new(&published), "", &message).await;
    (report.dkim[0].result, report.dkim[0].reason)
}

#[tokio::test]
async fn a_signature_is_bound_to_its_tags_and_its_key() {
    use DkimResult::{Fail, Pass, PermError};
    for (from, to, result) in [
        ("", "", Pass),
        ("s=s1", "s=s1; t=1; x=1900000000", Pass),
        ("s=s1", "s=s1; i=jane@sub.a.example", Pass),
        ("s=s1", "s=s1; unknown=1", Pass),
        ("c=relaxed/relaxed", "c=simple/simple", Pass),
        ("c=relaxed/relaxed; ", "", Pass),
        ("v=1; ", "", PermError),
        ("v=1", "v=2", PermError),
        ("d=a.example; ", "", PermError),
        ("s=s1", "s=s1; i=jane@b.example", PermError),
        ("s=s1", "s=s1; i=jane@xa.example", PermError),
        ("s=s1", "s=s1; t=soon", PermError),
        ("s=s1", "s=s1; x=5; t=9", Fail),
        ("s=s1", "s=s1; t=1900000001; x=1900000000", PermError),
        ("h=from:", "h=", PermError),
        ("s=s1", "s=s2", PermError),
        ("a=ed25519-sha256", "a=rsa-sha256", PermError),
        ("a=ed25519-sha256", "a=ed25519-sha512", PermError),
        ("c=relaxed/relaxed", "c=nowsp", PermError),
    ] {
        let (found, reason) = with(&TAGS.replacen(from, to, 1), "v=DKIM1;").await;
        assert_eq!(found, result, "{to:?} for {from:?}: {reason}");
    }
}

#[tokio::test]
async fn a_key_says_what_it_is_for() {
    use DkimResult::{Pass, PermError};
    for (record, result) in [
        ("v=DKIM1; h=sha256; s=email; t=y;", Pass),
        ("v=DKIM1; s=*; n=note;", Pass),
        ("", Pass),
        ("v=DKIM2;", PermError),
        ("v=DKIM1; h=sha1;", PermError),
        ("v=DKIM1; s=tlsrpt;", PermError),
        ("v=DKIM1; p=;", PermError),
        ("n=note; v=DKIM1;", PermError),
    ] {
        let (found, reason) = with(TAGS, record).await;
        assert_eq!(found, result, "{record:?}: {reason}");
    }
    let strict = with(&TAGS.replace("s=s1", "s=s1; i=@sub.a.example"), "v=DKIM1; t=y:s;").await;
    assert_eq!(strict, (PermError, "i= is not within d="));
}

#[tokio::test]
async fn a_key_that_cannot_be_asked_for_may_hold_later() {
    let message = Forger::new().signed("DKIM-Signature", TAGS, &text(BODY));
    let zone =
        Zone::new("s1._domainkey.a.example SILENT\n_dmarc.a.example TXT v=DMARC1; p=reject\n");
    let report = verified(zone, "", &message).await;
    assert_eq!(report.dkim[0].result, DkimResult::TempError);
    assert_eq!(report.decision, Decision::Defer);
}

/// RFC 8301 §3.1. The signature could be anything: it is not looked at.
#[tokio::test]
async fn s094_sha_1_fails() {
    let found = with(&TAGS.replace("a=ed25519-sha256", "a=rsa-sha1"), "v=DKIM1;").await;
    assert_eq!(found, (DkimResult::Fail, "SHA-1 is too weak"));
}

/// RFC 8301 §3.2, with a key of 512 bits.
#[tokio::test]
async fn s094_short_rsa_keys_fail() {
    let record = "s1._domainkey.a.example TXT v=DKIM1; k=rsa; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAMNjsgtCLlDn4SHCZth1NaAy7ppXdnDRHRLXIl/AuRyVuCrkDei5taRohhFe9+WivcfO76LdtAuNBf4ZNSs6ArcCAwEAAQ==";
    let tags = TAGS.replace("a=ed25519-sha256", "a=rsa-sha256");
    let message = Forger::new().signed("DKIM-Signature", &tags, &text(BODY));
    let report = verified(Zone::new(record), "", &message).await;
    let found = (report.dkim[0].result, report.dkim[0].reason);
    assert_eq!(found, (DkimResult::Fail, "the key is too short"));
}

#[tokio::test]
async fn s094_an_expired_signature_fails() {
    let tags = TAGS.replace("s=s1", &format!("s=s1; t=1; x={}", NOW - 1));
    assert_eq!(with(&tags, "v=DKIM1;").await.1, "the signature has expired");
    let tags = TAGS.replace("s=s1", &format!("s=s1; t=1; x={NOW}"));
    assert_eq!(with(&tags, "v=DKIM1;").await.0, DkimResult::Pass);
}

/// RFC 6376 §8.2
#[tokio::test]
async fn s094_l_never_passes_a_longer_body() {
    let forger = Forger::new();
    let zone = format!(
        "{}\n_dmarc.a.example TXT v=DMARC1; p=reject\n",
        forger.record("s1._domainkey.a.example")
    );
    let message = text(BODY);
    let length = message.split_once("\r\n\r\n").unwrap().1.len();
    for (length, appended, decision) in [
        (length, "", Decision::Accept),
        (length, "<p>Buy now\r\n", Decision::Reject),
        (0, "", Decision::Reject),
        (4, "", Decision::Reject),
    ] {
        let tags = format!("{TAGS}; l={length}");
        let signed = forger.signed_over("DKIM-Signature", &tags, &message, length);
        let report = verified(Zone::new(&zone), "", &format!("{signed}{appended}")).await;
        assert_eq!(report.decision, decision, "l={length} and {appended:?}: {:?}", report.dkim);
    }
}

#[tokio::test]
async fn s094_only_ten_signatures_are_looked_at_and_long_headers_cost_little() {
    let forger = Forger::new();
    let zone = Zone::new(&forger.record("s1._domainkey.a.example"));
    let names = "x:".repeat(190);
    let tags = TAGS.replace("h=from", &format!("h={names}from"));
    let mut message = text(BODY);
    for _ in 0..50 {
        message = forger.signed("DKIM-Signature", &tags, &message);
    }
    let asked = zone.clone();
    let report = verified(zone, "", &message).await;
    assert_eq!(report.dkim.len(), 10);
    assert!(asked.asked().len() < 30, "{:?}", asked.asked());

    let padded = format!("{}{}", "A: b\r\n".repeat(40_000), message);
    let begin = Instant::now();
    let report = verified(asked, "", &padded).await;
    assert_eq!(report.reason, "the header has too many fields");
    assert_eq!(report.decision, Decision::Reject);
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}

fn signer() -> (Signer, String) {
    let (rsa, ed25519) = (generate_rsa().unwrap(), generate_ed25519().unwrap());
    let record = |selector: &str, pem: &mail_types::Secret| {
        let record = dns_record(&Key::from_pem(pem.expose()).unwrap());
        format!("{selector}._domainkey.a.example TXT {record}\n")
    };
    let zone = record("r1", &rsa) + &record("e1", &ed25519);
    let key = |selector: &str, key| SigningKey {
        domain: "A.example".to_owned(),
        selector: selector.to_owned(),
        key,
    };
    (Signer::new(vec![key("r1", rsa), key("e1", ed25519)]).unwrap(), zone)
}

#[tokio::test]
async fn our_signatures_verify_by_both_keys() {
    let (signer, zone) = signer();
    let bodies = ["", "\n", "x", "a b  c\n\n\n", "line\nlast without end"];
    for body in bodies {
        let message = text(&format!(
            "Received: from x\nFrom: Jane <jane@a.example>\nTo : joe@b.example,\n\tann@b.example\n\
             Subject:   two   words \nMIME-Version: 1.0\nList-Id: <l.a.example>\n\n{body}"
        ));
        let fields = signer.sign("a.example", message.as_bytes(), NOW).unwrap();
        let fields = String::from_utf8(fields).unwrap();
        assert!(fields.lines().all(|line| line.len() <= 78), "{fields}");
        assert!(!fields.contains("l="), "{fields}");
        let report = verified(Zone::new(&zone), "", &format!("{fields}{message}")).await;
        let results: Vec<_> = report.dkim.iter().map(|it| (it.result, it.reason)).collect();
        assert_eq!(results, [(DkimResult::Pass, ""), (DkimResult::Pass, "")], "{body:?}");
        // On its way a trace field is added, which is no change.
        let relayed = format!("Received: by y\r\n{fields}{message}");
        let report = verified(Zone::new(&zone), "", &relayed).await;
        assert!(report.dkim.iter().all(|it| it.result == DkimResult::Pass));
    }
}

#[tokio::test]
async fn s094_our_signatures_allow_no_field_that_says_what_a_message_is() {
    let (signer, zone) = signer();
    let message = text(BODY);
    let fields = String::from_utf8(signer.sign("a.example", message.as_bytes(), NOW).unwrap());
    let fields = fields.unwrap();
    for added in [
        "From: eve@evil.example",
        "Subject: x",
        "Reply-To: eve@evil.example",
        "Cc: eve@evil.example",
        "Content-Type: text/html",
        "MIME-Version: 1.0",
        "Date: now",
        "Message-ID: <x@y>",
        "Sender: eve@evil.example",
        "In-Reply-To: <x@y>",
        "Content-Transfer-Encoding: base64",
    ] {
        for changed in [
            format!("{added}\r\n{fields}{message}"),
            format!("{fields}{}", message.replacen("\r\n\r\n", &format!("\r\n{added}\r\n\r\n"), 1)),
        ] {
            let report = verified(Zone::new(&zone), "", &changed).await;
            assert_eq!(report.dkim.len(), 2);
            assert!(report.dkim.iter().all(|it| it.result == DkimResult::Fail), "{added}");
        }
    }
}

#[test]
fn only_domains_with_a_key_are_signed_for() {
    let (signer, _) = signer();
    assert!(signer.signs_for("a.EXAMPLE"));
    for domain in ["b.example", "sub.a.example", "xa.example", "", "a.example\r\n"] {
        assert!(!signer.signs_for(domain));
        assert_eq!(signer.sign(domain, b"From: x\r\n\r\n", NOW), None);
    }
}
