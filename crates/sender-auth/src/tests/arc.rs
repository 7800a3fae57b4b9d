//! ARC: chains that hold, chains that do not, and what they are good for.

use base64::prelude::{BASE64_STANDARD, Engine};
use mail_auth::dkim::Canonicalization;
use mime::header::fields;

use super::zone::Zone;
use super::{Forger, text, verified, verified_with};
use crate::{ArcResult, Decision, Settings};

const ZONE: &str = "_dmarc.a.example TXT v=DMARC1; p=reject\n";
const MESSAGE: &str = "From: jane@a.example\nSubject: x\n\nyes\n";

/// Adds a set, as a server of this domain would.
fn sealed(forger: &Forger, message: &str, number: usize, sealer: &str, results: &str) -> String {
    let cv = if number == 1 { "none" } else { "pass" };
    sealed_as(forger, message, number, sealer, results, cv)
}

fn sealed_as(
    forger: &Forger,
    message: &str,
    number: usize,
    sealer: &str,
    results: &str,
    cv: &str,
) -> String {
    let tags = format!(
        "i={number}; a=ed25519-sha256; c=relaxed/relaxed; d={sealer}; s=s1; h=from:subject"
    );
    let signed = forger.signed("ARC-Message-Signature", &tags, message);
    let with_results =
        format!("ARC-Authentication-Results: i={number}; {sealer}; {results}\r\n{signed}");
    let value = format!(" i={number}; a=ed25519-sha256; cv={cv}; d={sealer}; s=s1; b=");
    let all: Vec<_> = fields(with_results.as_bytes()).collect();
    let mut chosen = Vec::new();
    for instance in 1..=number {
        for name in ["ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"] {
            let wanted = format!("i={instance};");
            let found = all.iter().find(|field| {
                field.is_named(name.as_bytes())
                    && String::from_utf8_lossy(field.value).contains(&wanted)
            });
            chosen.extend(found.map(|field| (field.name, field.value)));
        }
    }
    chosen.push((b"ARC-Seal", value.as_bytes()));
    let mut canonical = Vec::new();
    Canonicalization::Relaxed.canonicalize_headers(chosen.into_iter(), &mut canonical);
    let signature = BASE64_STANDARD.encode(forger.key.sign(&canonical).unwrap());
    format!("ARC-Seal:{value}{signature}\r\n{with_results}")
}

fn keys(forger: &Forger, sealers: &[&str]) -> String {
    let line = |sealer: &&str| forger.record(&format!("s1._domainkey.{sealer}")) + "\n";
    sealers.iter().map(line).collect()
}

const PASS: &str = "dmarc=pass header.from=a.example";

#[tokio::test]
async fn a_chain_of_three_holds_until_anything_in_it_changes() {
    let forger = Forger::new();
    let sealers = ["list.example", "hub.example", "last.example"];
    let zone = format!("{ZONE}{}", keys(&forger, &sealers));
    let mut message = text(MESSAGE);
    for (at, sealer) in sealers.iter().enumerate() {
        message = sealed(&forger, &message, at + 1, sealer, PASS);
        let report = verified(Zone::new(&zone), "", &message).await;
        assert_eq!((report.arc.result, report.arc.reason), (ArcResult::Pass, ""));
        assert_eq!(report.arc.sets.len(), at + 1);
    }
    assert!(
        String::from_utf8(verified(Zone::new(&zone), "", &message).await.fields)
            .unwrap()
            .contains("arc=pass")
    );
    for (from, to) in [
        ("Subject: x", "Subject: y"),
        ("yes", "no"),
        ("i=1; list.example; dmarc=pass", "i=1; list.example; dmarc=fail"),
        ("cv=none", "cv=pass"),
        ("i=2; a=ed25519-sha256; cv=pass", "i=2; a=ed25519-sha256; cv=fail"),
        ("i=3; last.example", "i=4; last.example"),
        ("ARC-Authentication-Results: i=2", "X-Results: i=2"),
    ] {
        let changed = message.replacen(from, to, 1);
        assert_ne!(changed, message, "{from:?}");
        let report = verified(Zone::new(&zone), "", &changed).await;
        assert_eq!(report.arc.result, ArcResult::Fail, "{from:?}: {}", report.arc.reason);
        assert!(report.arc.sets.is_empty());
    }
    let doubled = format!("ARC-Authentication-Results: i=1; x.example; {PASS}\r\n{message}");
    assert_eq!(verified(Zone::new(&zone), "", &doubled).await.arc.result, ArcResult::Fail);
}

#[tokio::test]
async fn a_seal_over_a_broken_chain_makes_no_whole_one() {
    let forger = Forger::new();
    let zone = format!("{ZONE}{}", keys(&forger, &["list.example", "hub.example"]));
    let message = sealed(&forger, &text(MESSAGE), 1, "list.example", PASS);
    let broken = sealed_as(&forger, &message, 2, "hub.example", "arc=fail", "fail");
    let report = verified(Zone::new(&zone), "", &broken).await;
    assert_eq!(report.arc.result, ArcResult::Fail);
    assert_eq!(report.arc.reason, "a sealer found the chain broken");
}

#[tokio::test]
async fn a_trusted_list_vouches_for_what_it_changed() {
    let forger = Forger::new();
    let zone = format!("{ZONE}{}", keys(&forger, &["list.example"]));
    let message = sealed(&forger, &text(MESSAGE), 1, "list.example", PASS);
    let trusting =
        Settings { trusted_sealers: vec!["list.example".to_owned()], ..Settings::default() };
    let decided = async |zone: &str, message: &str, settings: &Settings| {
        verified_with(Zone::new(zone), "", message, settings.clone()).await.decision
    };
    assert_eq!(decided(&zone, &message, &trusting).await, Decision::Accept);
    assert_eq!(decided(&zone, &message, &Settings::default()).await, Decision::Reject);
    let changed = message.replace("yes", "no");
    assert_eq!(decided(&zone, &changed, &trusting).await, Decision::Reject);
    // Somebody else's key for the same seal.
    let other = format!("{ZONE}{}", keys(&Forger::new(), &["list.example"]));
    assert_eq!(decided(&other, &message, &trusting).await, Decision::Reject);
}

#[tokio::test]
async fn a_chain_has_an_end() {
    let message = text(MESSAGE);
    let many = format!("{}{message}", "ARC-Seal: i=1; cv=none\r\n".repeat(51));
    let report = verified(Zone::new(ZONE), "", &many).await;
    assert_eq!(report.arc.reason, "the chain is too long");
    for value in ["i=0; x", "i=51; x", "i=-1; x", "i=; x", "x"] {
        let message = format!("ARC-Authentication-Results: {value}\r\n{message}");
        let report = verified(Zone::new(ZONE), "", &message).await;
        assert_eq!(report.arc.result, ArcResult::Fail, "{value:?}");
    }
}
