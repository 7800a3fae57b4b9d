//! The verifier with a resolver and a name server, as it runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::net::IpAddr;
use std::time::Duration;

use sender_auth::keys::{dns_record, generate_ed25519, generate_rsa, split};
use sender_auth::{
    Decision, DkimResult, Incoming, Key, Report, Signer, SigningKey, SpfResult, Verifier,
};
use testkit::dns::{Fault, NameServer, Zone};

const MESSAGE: &str =
    "From: Jane <jane@a.example>\r\nTo: joe@b.example\r\nSubject: x\r\n\r\nyes\r\n";

fn key(selector: &str, key: mail_types::Secret) -> (SigningKey, String) {
    let record = dns_record(&Key::from_pem(key.expose()).unwrap());
    let strings: String = split(&record).iter().map(|it| format!(" \"{it}\"")).collect();
    let line = format!("{selector}._domainkey TXT{strings}\n");
    (SigningKey { domain: "a.example".to_owned(), selector: selector.to_owned(), key }, line)
}

/// A server for a.example, and a signer with the keys that it publishes.
fn start() -> (NameServer, Signer) {
    let (rsa, first) = key("r1", generate_rsa().unwrap());
    let (ed25519, second) = key("e1", generate_ed25519().unwrap());
    let zone = format!(
        "@ TXT \"v=spf1 mx a:two.a.example exists:%{{ir}}.list.a.example -all\"\n@ MX 10 mx\n\
         mx A 192.0.2.1\nmx AAAA 2001:db8::1\ntwo A 192.0.2.2\n3.2.0.192.list A 127.0.0.2\n\
         _dmarc TXT \"v=DMARC1; p=reject\"\n{first}{second}"
    );
    let server = NameServer::start(&[Zone::parse("a.example", &zone).signed()]);
    (server, Signer::new(vec![rsa, ed25519]).unwrap())
}

fn verifier(server: &NameServer) -> Verifier {
    let settings = dns::Settings {
        servers: vec![server.address()],
        trust_anchor: Some(server.trust_anchor().into_bytes()),
        timeout: Duration::from_secs(5),
        ..dns::Settings::default()
    };
    Verifier::new(dns::Resolver::new(&settings).unwrap(), "mx.here.example".to_owned())
}

async fn verified(verifier: &Verifier, client: &str, message: &[u8]) -> Report {
    let incoming = Incoming {
        ip: client.parse::<IpAddr>().unwrap(),
        helo: "client.example",
        mail_from: Some("jane@a.example"),
        message,
        now: 1_800_000_000,
    };
    verifier.verify(&incoming).await
}

#[tokio::test]
async fn spf_dkim_and_dmarc_are_verified_over_the_wire() {
    let (server, signer) = start();
    let verifier = verifier(&server);
    for (client, result) in [
        ("192.0.2.1", SpfResult::Pass),
        ("2001:db8::1", SpfResult::Pass),
        ("192.0.2.2", SpfResult::Pass),
        ("192.0.2.3", SpfResult::Pass),
        ("192.0.2.4", SpfResult::Fail),
    ] {
        let report = verified(&verifier, client, MESSAGE.as_bytes()).await;
        assert_eq!(report.spf.result, result, "{client}");
        let passes = result == SpfResult::Pass;
        let decision = if passes { Decision::Accept } else { Decision::Reject };
        assert_eq!(report.decision, decision, "{client}");
    }
    let mut signed = signer.sign("a.example", MESSAGE.as_bytes(), 1_790_000_000).unwrap();
    signed.extend_from_slice(MESSAGE.as_bytes());
    let report = verified(&verifier, "192.0.2.4", &signed).await;
    let results: Vec<_> = report.dkim.iter().map(|it| (it.result, it.reason)).collect();
    assert_eq!(results, [(DkimResult::Pass, ""), (DkimResult::Pass, "")]);
    assert_eq!(report.decision, Decision::Accept);
    assert_eq!(report.dmarc[0].domain, "a.example");
}

#[tokio::test]
async fn a_server_that_fails_puts_mail_off_and_never_lets_it_in() {
    let (server, _) = start();
    server.break_answers("_dmarc.a.example", Fault::ServFail);
    let report = verified(&verifier(&server), "192.0.2.4", MESSAGE.as_bytes()).await;
    assert_eq!(report.decision, Decision::Defer);
    server.mend_answers("_dmarc.a.example");
    server.break_answers("a.example", Fault::ServFail);
    let report = verified(&verifier(&server), "192.0.2.1", MESSAGE.as_bytes()).await;
    assert_eq!((report.spf.result, report.decision), (SpfResult::TempError, Decision::Defer));
    server.mend_answers("a.example");
    let report = verified(&verifier(&server), "192.0.2.1", MESSAGE.as_bytes()).await;
    assert_eq!(report.decision, Decision::Accept);
}

/// What a stranger's record makes us ask of servers. The name of EHLO and policies are not counted.
#[tokio::test]
async fn s097_a_record_that_asks_for_more_costs_no_more_than_twelve_questions() {
    for term in
        ["a:h#.a.example", "include:a.example", "exists:%{i}.x#.a.example", "mx:n#.a.example"]
    {
        let numbered = |number: usize| format!(" \"{} \"", term.replace('#', &number.to_string()));
        let terms: String = (0..20).map(numbered).collect();
        let hosts: String = (0..20).map(|number| format!("h{number} A 192.0.2.9\n")).collect();
        let zone = format!("@ TXT \"v=spf1 \"{terms} \"-all\"\n{hosts}");
        let server = NameServer::start(&[Zone::parse("a.example", &zone)]);
        let settings = dns::Settings {
            servers: vec![server.address()],
            validation: dns::Validation::Never,
            ..dns::Settings::default()
        };
        let resolver = dns::Resolver::new(&settings).unwrap();
        let verifier = Verifier::new(resolver, "mx.here.example".to_owned());
        let report = verified(&verifier, "192.0.2.1", MESSAGE.as_bytes()).await;
        assert_eq!(report.spf.result, SpfResult::PermError, "{term}");
        let is_spf = |name: &str| name != "client.example" && !name.starts_with("_dmarc");
        let asked = server.questions().into_iter().filter(|(name, _)| is_spf(name)).count();
        assert!((1..=12).contains(&asked), "{term}: {asked}");
    }
}
