//! The examples of the RFCs.

use super::zone::Zone;
use super::{text, verified};
use crate::{Decision, DkimResult};

/// RFC 8463 §A.2
const KEYS: &str = "\
brisbane._domainkey.football.example.com TXT \
v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
test._domainkey.football.example.com TXT v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ\
DkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsC\
R+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

/// RFC 8463 §A.3
const MESSAGE: &str = "\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
";

fn results(report: &crate::Report) -> Vec<(DkimResult, &'static str)> {
    report.dkim.iter().map(|dkim| (dkim.result, dkim.reason)).collect()
}

#[tokio::test]
async fn the_message_of_rfc_8463_verifies_by_both_keys() {
    let report = verified(Zone::new(KEYS), "", &text(MESSAGE)).await;
    assert_eq!(results(&report), [(DkimResult::Pass, ""), (DkimResult::Pass, "")]);
    assert_eq!(report.dmarc[0].domain, "football.example.com");
    assert_eq!(report.decision, Decision::Accept);
    let fields = String::from_utf8(report.fields).unwrap();
    assert!(fields.contains("dkim=pass\r\n\t header.d=football.example.com\r\n"), "{fields}");
    assert!(fields.contains("header.b=\"/gCrinpc\""), "{fields}");
}

#[tokio::test]
async fn the_message_of_rfc_8463_does_not_verify_changed() {
    for (from, to, reason) in [
        ("Subject: Is", "Subject: Was", "the signature did not verify"),
        ("We lost", "We won", "the body hash did not verify"),
        // Subject is signed once more than it occurs. RFC 8463 §A.3
        ("To: Suzie", "Subject: No\nTo: Suzie", "the signature did not verify"),
    ] {
        let changed = text(&MESSAGE.replace(from, to));
        let report = verified(Zone::new(KEYS), "", &changed).await;
        assert_eq!(results(&report), [(DkimResult::Fail, reason), (DkimResult::Fail, reason)]);
    }
    // White space is nothing to relaxed forms. RFC 6376 §3.4.2, §3.4.4
    let spaced = MESSAGE.replace("lost the", "lost \t the").replace("Joe.\n", "Joe.\n\n\n");
    let report = verified(Zone::new(KEYS), "", &text(&spaced)).await;
    assert_eq!(report.dkim.iter().filter(|it| it.result == DkimResult::Pass).count(), 2);
}

/// RFC 7208 §A.1
const EXAMPLE_ZONE: &str = "\
example.com MX mail-a.example.com
example.com MX mail-b.example.com
example.com A 192.0.2.10
example.com A 192.0.2.11
amy.example.com A 192.0.2.65
bob.example.com A 192.0.2.66
mail-a.example.com A 192.0.2.129
mail-b.example.com A 192.0.2.130
example.org MX mail-c.example.org
mail-c.example.org A 192.0.2.140
192.0.2.10 PTR example.com
192.0.2.65 PTR amy.example.com
10.0.0.4 PTR bob.example.com
";

#[tokio::test]
async fn the_simple_examples_of_rfc_7208_evaluate_as_told() {
    // §A.1: record, address, result.
    for (record, address, result) in [
        ("v=spf1 +all", "192.0.2.1", "pass"),
        ("v=spf1 a -all", "192.0.2.10", "pass"),
        ("v=spf1 a -all", "192.0.2.11", "pass"),
        ("v=spf1 a -all", "192.0.2.12", "fail"),
        ("v=spf1 a:example.org -all", "192.0.2.10", "fail"),
        ("v=spf1 mx -all", "192.0.2.129", "pass"),
        ("v=spf1 mx -all", "192.0.2.10", "fail"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "pass"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.130", "pass"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.140", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.143", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.144", "fail"),
        ("v=spf1 ptr -all", "192.0.2.10", "pass"),
        ("v=spf1 ptr -all", "192.0.2.65", "pass"),
        ("v=spf1 ptr -all", "192.0.2.140", "fail"),
        ("v=spf1 ptr -all", "10.0.0.4", "fail"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "pass"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.65", "fail"),
    ] {
        let zone = Zone::new(&format!("{EXAMPLE_ZONE}example.com TXT {record}\n"));
        let found = super::spf::check(&zone, address, "strong-bad@example.com").await;
        assert_eq!(found, result, "{record} for {address}");
    }
}

#[tokio::test]
async fn the_macros_of_rfc_7208_expand_as_told() {
    // §7.4: the text, and what it becomes for strong-bad@email.example.com at 192.0.2.3.
    for (macros, expanded) in [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr}", "strong-bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ] {
        let zone =
            Zone::new(&format!("email.example.com TXT v=spf1 exists:{macros}.end.example -all"));
        super::spf::check(&zone, "192.0.2.3", "strong-bad@email.example.com").await;
        let asked = format!("A {expanded}.end.example");
        if expanded.contains('@') {
            // What is no name is not asked for.
            assert!(!zone.asked().contains(&asked));
        } else {
            assert!(zone.asked().contains(&asked), "{macros}: {:?}", zone.asked());
        }
    }
}
