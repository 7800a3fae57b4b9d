//! Seals of our own, as others and we ourselves verify them.

use mail_auth::dkim::Canonicalization;
use mime::header::fields;

use super::zone::Zone;
use super::{Forger, NOW, text, verified, verified_with};
use crate::arc::{Instance, sealed};
use crate::domain_key::DomainKey;
use crate::keys::{Key, dns_record, generate_ed25519, generate_rsa};
use crate::signature::{self, unsigned};
use crate::tags::Tags;
use crate::{ArcResult, Decision, Results, Settings, Signer, SigningKey};

const MESSAGE: &str = "DKIM-Signature: v=1; d=a.example\nReceived: by x\n\
                       From: Jane <jane@a.example>\nTo: list@b.example\nSubject: Tides\n\nyes\n";
const SEALERS: [&str; 3] = ["list.example", "hub.example", "last.example"];

/// A server with one RSA key for all sealers, and the zone that publishes it.
fn sealer() -> (Signer, String) {
    let key = generate_rsa().unwrap();
    let record = dns_record(&Key::from_pem(key.expose()).unwrap());
    let mut zone = "_dmarc.a.example TXT v=DMARC1; p=reject\n".to_owned();
    let mut keys = Vec::new();
    for domain in SEALERS {
        zone += &format!("r1._domainkey.{domain} TXT {record}\n");
        // Of several keys the one is taken that everybody can verify.
        for (selector, key) in [("e1", generate_ed25519().unwrap()), ("r1", key.clone())] {
            keys.push(SigningKey { domain: domain.to_owned(), selector: selector.to_owned(), key });
        }
    }
    (Signer::new(keys).unwrap(), zone)
}

/// The message as this server sends it on, with a trace field of its own.
async fn passed_on(signer: &Signer, zone: &str, domain: &str, message: &str) -> String {
    let results = verified(Zone::new(zone), "", message).await.results;
    let message = format!("Received: by {domain}\r\n{message}");
    let set = signer.seal(domain, &results, message.as_bytes(), NOW).unwrap();
    let set = String::from_utf8(set).unwrap();
    let names: Vec<_> = fields(set.as_bytes()).map(|field| field.name.to_vec()).collect();
    assert_eq!(names, [&b"ARC-Seal"[..], b"ARC-Message-Signature", b"ARC-Authentication-Results"]);
    assert!(set.lines().all(|line| line.len() <= 78), "{set}");
    set + &message
}

#[tokio::test]
async fn a_chain_of_our_seals_holds_and_says_what_each_of_us_found() {
    let (signer, zone) = sealer();
    let mut message = text(MESSAGE);
    for (at, sealer) in SEALERS.iter().enumerate() {
        message = passed_on(&signer, &zone, sealer, &message).await;
        let report = verified(Zone::new(&zone), "", &message).await;
        assert_eq!((report.arc.result, report.arc.reason), (ArcResult::Pass, ""));
        assert_eq!(report.arc.sets.len(), at + 1);
        let set = report.arc.sets.last().unwrap();
        assert_eq!(set.sealer, *sealer);
        let found = String::from_utf8(set.results.clone()).unwrap();
        let start = format!(" i={}; mx.here.example;\r\n\tspf=none", at + 1);
        assert!(found.starts_with(&start), "{found}");
        assert!(found.contains("dmarc=fail (p=reject)\r\n\t header.from=a.example"), "{found}");
        assert_eq!(found.contains("arc=pass"), at > 0, "{found}");
    }
    // What was signed is the content, and the signatures that it had.
    for (from, to) in [
        ("Subject: Tides", "Subject: Times"),
        ("yes", "no"),
        ("From: Jane", "From: Joan"),
        ("DKIM-Signature: v=1; d=a", "DKIM-Signature: v=1; d=b"),
        ("i=1; mx.here.example", "i=1; mx.there.example"),
    ] {
        let changed = message.replacen(from, to, 1);
        assert_ne!(changed, message, "{from:?}");
        let report = verified(Zone::new(&zone), "", &changed).await;
        assert_eq!(report.arc.result, ArcResult::Fail, "{from:?}: {}", report.arc.reason);
    }
}

#[tokio::test]
async fn who_trusts_us_takes_our_word_for_what_we_changed() {
    let (signer, zone) = sealer();
    let forger = Forger::new();
    let zone = format!("{zone}{}\n", forger.record("s1._domainkey.a.example"));
    let tags = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=a.example; s=s1; h=from:subject";
    let message = forger.signed("DKIM-Signature", tags, &text(MESSAGE));
    let results = verified(Zone::new(&zone), "", &message).await.results;
    assert!(results.methods.contains(&("dkim", "pass")), "{:?}", results.methods);
    assert_eq!(results.methods.last(), Some(&("dmarc", "pass")));
    let message = format!("{message}-- \r\nYour list\r\n");
    let set = signer.seal("list.example", &results, message.as_bytes(), NOW).unwrap();
    let message = String::from_utf8(set).unwrap() + &message;
    let decided = async |settings: Settings| {
        verified_with(Zone::new(&zone), "", &message, settings).await.decision
    };
    assert_eq!(decided(Settings::default()).await, Decision::Reject);
    let trusted_sealers = vec!["list.example".to_owned()];
    let trusting = Settings { trusted_sealers, ..Settings::default() };
    assert_eq!(decided(trusting).await, Decision::Accept);
}

/// RFC 8617 §5.1.2: the seal over a broken chain covers its own set alone.
#[tokio::test]
async fn a_broken_chain_is_sealed_as_broken_once() {
    let (signer, zone) = sealer();
    let sealed_once = passed_on(&signer, &zone, "list.example", &text(MESSAGE)).await;
    let changed = sealed_once.replacen("yes", "no", 1);
    let message = passed_on(&signer, &zone, "hub.example", &changed).await;
    let seal = fields(message.as_bytes()).next().unwrap();
    let tags = Tags::parse(seal.value).unwrap();
    assert_eq!((tags.get("i"), tags.get("cv")), (Some(&b"2"[..]), Some(&b"fail"[..])));
    let own = unsigned(&tags);
    let mut set = fields(message.as_bytes()).skip(1).map(|field| (field.name, field.value));
    let (signed, results) = (set.next().unwrap(), set.next().unwrap());
    let own = Instance { results, signature: signed, seal: (b"ARC-Seal", &own) };
    let maker = signature::Signer::read(&tags).unwrap();
    let record = zone.lines().last().unwrap().split_once("TXT ").unwrap().1;
    let key = DomainKey::choose(&[record.to_owned()], maker.algorithm).unwrap();
    maker.verify(&key, &sealed(&[], own), Canonicalization::Relaxed).unwrap();

    let report = verified(Zone::new(&zone), "", &message).await;
    assert_eq!(report.arc.result, ArcResult::Fail);
    assert_eq!(report.arc.reason, "a sealer found the chain broken");
    assert_eq!(signer.seal("last.example", &report.results, message.as_bytes(), NOW), None);
}

#[tokio::test]
async fn the_next_instance_is_one_above_the_highest_however_broken_the_chain_is() {
    let (signer, zone) = sealer();
    let many = "ARC-Seal: i=1; cv=none\n".repeat(51);
    for (sets, number) in [
        ("ARC-Seal: i=7; cv=pass\n", Some(8)),
        (
            "ARC-Seal: i=2\nARC-Message-Signature: i=4\nARC-Authentication-Results: i=3; x\n",
            Some(5),
        ),
        ("ARC-Seal: x\n", Some(1)),
        ("ARC-Seal: i=49; cv=pass\n", Some(50)),
        ("ARC-Seal: i=50; cv=pass\n", None),
        ("ARC-Seal: i=2; cv=Fail\nARC-Seal: i=1; cv=none\n", None),
        ("ARC-Seal: i=2; cv=pass\nARC-Seal: i=1; cv=fail\n", Some(3)),
        (&many, None),
    ] {
        let message = text(&format!("{sets}{MESSAGE}"));
        let results = verified(Zone::new(&zone), "", &message).await.results;
        let set = signer.seal("hub.example", &results, message.as_bytes(), NOW);
        let set = set.map(|set| String::from_utf8(set).unwrap());
        match number {
            None => assert_eq!(set, None, "{sets}"),
            Some(number) => {
                let set = set.unwrap();
                let start = format!("ARC-Seal: i={number}; a=rsa-sha256; cv=fail;");
                assert!(set.starts_with(&start), "{sets}: {set}");
                assert_eq!(set.matches(&format!(": i={number};")).count(), 3, "{set}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_sealed_goes_on_as_it_is() {
    let (signer, zone) = sealer();
    let message = text(MESSAGE);
    let results = verified(Zone::new(&zone), "", &message).await.results;
    let seal = |domain: &str, results: &Results, message: &str| {
        signer.seal(domain, results, message.as_bytes(), NOW)
    };
    assert!(seal("LIST.example.", &results, &message).is_some());
    assert_eq!(seal("other.example", &results, &message), None);
    assert_eq!(seal("list.example", &Results::default(), &message), None);
    let long = "A: b\r\n".repeat(2_001) + &message;
    assert_eq!(seal("list.example", &results, &long), None);
    // The results of a message without a chain belong to no message with one, nor the reverse.
    let chained = passed_on(&signer, &zone, "list.example", &message).await;
    assert_eq!(seal("hub.example", &results, &chained), None);
    let of_chained = verified(Zone::new(&zone), "", &chained).await.results;
    assert_eq!(seal("hub.example", &of_chained, &message), None);
    // A chain whose keys cannot be asked for may hold where it goes next.
    let silent = format!("{zone}r1._domainkey.list.example SILENT\n");
    let report = verified(Zone::new(&silent), "", &chained).await;
    assert_eq!(report.arc.result, ArcResult::TempError);
    assert_eq!(seal("hub.example", &report.results, &chained), None);

    let key = generate_ed25519().unwrap();
    let (domain, selector) = ("list.example".to_owned(), "e1".to_owned());
    let ed25519 = Signer::new(vec![SigningKey { domain, selector, key }]).unwrap();
    assert!(ed25519.signs_for("list.example") && !ed25519.seals_for("list.example"));
    assert!(signer.seals_for("LIST.example.") && !signer.seals_for("other.example"));
    assert_eq!(ed25519.seal("list.example", &results, message.as_bytes(), NOW), None);
}
