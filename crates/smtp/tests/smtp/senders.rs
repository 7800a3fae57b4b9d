//! Senders that are checked for real, with names from a server of our own; and signatures that we
//! make ourselves.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dns::{Resolver, Settings};
use mail_types::Secret;
use sender_auth::keys::{dns_record, generate_ed25519, generate_rsa, split};
use sender_auth::{Key, Signer, SigningKey, Verifier};
use smtp::{Inbound, Role};
use store::mem::Mem;
use testkit::dns::{NameServer, Zone};

use crate::common::{Client, Harness};

const HOME: &str = "home@pillarbox.example";

pub struct Names {
    server: NameServer,
}

impl Names {
    pub fn new(zones: &[Zone]) -> Self {
        Self { server: NameServer::start(zones) }
    }

    pub fn verifier(&self) -> Verifier {
        let servers = vec![self.server.address()];
        let settings = Settings { servers, ..Settings::default() };
        let resolver = Resolver::new(&settings).unwrap();
        Verifier::new(resolver, "mail.pillarbox.example".to_owned())
    }

    pub async fn inbound(&self) -> Harness {
        let senders = Some(Arc::new(self.verifier()) as _);
        Harness::inbound(Inbound { senders, ..Inbound::default() }).await
    }
}

async fn bring(client: &mut Client, sender: &str, message: &str) -> String {
    assert!(client.say(&format!("MAIL FROM:<{sender}>")).await.starts_with("250"));
    assert!(client.say(&format!("RCPT TO:<{HOME}>")).await.starts_with("250"));
    assert!(client.say("DATA").await.starts_with("354"));
    client.send(&format!("{message}.\r\n")).await;
    client.reply().await
}

/// A domain whose policy is this, and whose only client is 192.0.2.7.
pub fn domain(name: &str, policy: &str) -> Zone {
    let text = format!(
        "@ IN TXT \"v=spf1 ip4:192.0.2.7 -all\"\n\
         _dmarc IN TXT \"v=DMARC1; p={policy}\"\n"
    );
    Zone::parse(name, &text)
}

#[tokio::test]
async fn the_policy_of_a_domain_decides_over_mail_that_it_did_not_send() {
    let names = Names::new(&[
        domain("reject.example", "reject"),
        domain("quarantine.example", "quarantine"),
        domain("none.example", "none"),
    ]);
    let harness = names.inbound().await;
    let mut client = harness.connect().await;
    for (author, sender, reply, mailbox) in [
        ("reject.example", "reject.example", "250 2.0.0", "INBOX"),
        ("reject.example", "none.example", "550 5.7.26", ""),
        ("quarantine.example", "none.example", "250 2.0.0", "Junk"),
        ("none.example", "reject.example", "250 2.0.0", "INBOX"),
    ] {
        let message = format!("From: a@{author}\r\nSubject: x\r\n\r\nx\r\n");
        let told = bring(&mut client, &format!("a@{sender}"), &message).await;
        assert!(told.starts_with(reply), "{author} {sender}: {told}");
        if mailbox.is_empty() {
            continue;
        }
        let kept = harness.messages("home", mailbox).await.pop().unwrap();
        let result = if author == sender { "dmarc=pass" } else { "dmarc=fail" };
        assert!(kept.contains(result) && kept.contains("spf=pass"), "{kept}");
        let claims = "\r\nAuthentication-Results: mail.pillarbox.example";
        assert_eq!(kept.matches(claims).count(), 1, "{kept}");
    }
}

#[tokio::test]
async fn names_that_nobody_answers_for_mean_later_and_not_never() {
    let names = Names::new(&[domain("reject.example", "reject")]);
    names.server.break_answers("_dmarc.reject.example", testkit::dns::Fault::ServFail);
    let harness = names.inbound().await;
    let mut client = harness.connect().await;
    let message = "From: a@reject.example\r\n\r\nx\r\n";
    let told = bring(&mut client, "a@elsewhere.example", message).await;
    assert!(told.starts_with("451 4.7.24"), "{told}");
    assert!(harness.messages("home", "INBOX").await.is_empty());
}

fn record(name: &str, key: &[u8]) -> String {
    let text = dns_record(&Key::from_pem(key).unwrap());
    let strings: Vec<_> = split(&text).iter().map(|text| format!("\"{text}\"")).collect();
    format!("{name}._domainkey IN TXT {}\n", strings.join(" "))
}

#[tokio::test]
async fn what_is_submitted_is_signed_by_every_key_after_it_was_completed() {
    let (rsa, ed) = (generate_rsa().unwrap(), generate_ed25519().unwrap());
    let records = record("r", rsa.expose()) + &record("e", ed.expose());
    let names = Names::new(&[Zone::parse("pillarbox.example", &records)]);
    let key = |selector: &str, key: &Secret| SigningKey {
        domain: "pillarbox.example".to_owned(),
        selector: selector.to_owned(),
        key: key.clone(),
    };
    let signer = Some(Arc::new(Signer::new(vec![key("r", &rsa), key("e", &ed)]).unwrap()));
    let set = |settings: &mut smtp::SmtpSettings| settings.signer = signer;
    let store = Arc::new(Mem::new());
    let harness = Harness::set(store, 4 << 20, Role::Submission, set).await;
    let mut client = harness.connect().await;
    let login = STANDARD.encode("\0home\0low-tide");
    assert!(client.say(&format!("AUTH PLAIN {login}")).await.starts_with("235"));
    // One that is held in memory, and one that is not.
    for lines in [1, 10_000] {
        let body = format!("{}\r\n", "..y".repeat(20)).repeat(lines);
        let text = format!("From: {HOME}\r\nBcc: x@y.example\r\nSubject: s\r\n\r\n");
        // Dots at the start of a line are doubled on the way.
        let stuffed = format!("{text}{}", body.replace("..y..", ".y.."));
        let told = bring(&mut client, HOME, &stuffed.replace("\r\n.y", "\r\n..y")).await;
        assert_eq!(told, "250 2.0.0 Accepted");
        let kept = harness.messages("home", "INBOX").await.pop().unwrap();
        assert_eq!(kept.matches("\r\nDKIM-Signature:").count(), 2, "{kept}");
        assert!(!kept.contains("y.example") && kept.contains("\r\nMessage-ID: <"));
        let report = names
            .verifier()
            .verify(&sender_auth::Incoming {
                ip: [192, 0, 2, 1].into(),
                helo: "mail.pillarbox.example",
                mail_from: None,
                message: kept.as_bytes(),
                now: 2_000_000_000,
            })
            .await;
        let results: Vec<_> = report.dkim.iter().map(|it| it.result).collect();
        let pass = sender_auth::DkimResult::Pass;
        assert_eq!(results, [pass, pass], "{:?}", report.dkim);
    }
}
