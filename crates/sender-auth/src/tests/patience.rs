//! Questions that never come back.

use tokio::time::Instant;

use super::zone::Zone;
use super::{Forger, text, verified};
use crate::{ArcResult, Decision, DkimResult, SpfResult, VERIFY_TIME_MAX};

const POLICY: &str = "_dmarc.a.example TXT v=DMARC1; p=reject\n";

fn message(forger: &Forger, selectors: &[&str]) -> String {
    let mut message = text("From: jane@a.example\nSubject: x\n\nyes\n");
    for selector in selectors {
        let (name, domain) = selector.split_once('@').unwrap();
        let tags = format!("v=1; a=ed25519-sha256; d={domain}; s={name}; h=from");
        message = forger.signed("DKIM-Signature", &tags, &message);
    }
    message
}

#[tokio::test(start_paused = true)]
async fn servers_of_others_that_never_answer_change_nothing_but_the_time() {
    let forger = Forger::new();
    let zone = format!(
        "{POLICY}{}\nclient.example STUCK\nb.example STUCK\ns._domainkey.b.example STUCK\n",
        forger.record("s._domainkey.a.example")
    );
    let begin = Instant::now();
    for selectors in [["s@b.example", "s@a.example"], ["s@a.example", "s@b.example"]] {
        let message = message(&forger, &selectors);
        let report = verified(Zone::new(&zone), "x@b.example", &message).await;
        assert_eq!(report.decision, Decision::Accept, "{selectors:?}: {:?}", report.dkim);
        assert_eq!(report.helo.result, SpfResult::TempError);
    }
    assert!(begin.elapsed() <= 2 * VERIFY_TIME_MAX, "{:?}", begin.elapsed());
    // Nothing else stands for the author, and what is open is somebody else's.
    let message = message(&forger, &["s@b.example"]);
    let report = verified(Zone::new(&zone), "x@b.example", &message).await;
    assert_eq!(report.dkim[0].result, DkimResult::TempError);
    assert_eq!(report.decision, Decision::Reject);
}

#[tokio::test(start_paused = true)]
async fn what_could_decide_and_never_answers_puts_the_message_off() {
    let forger = Forger::new();
    let signed = message(&forger, &["s@a.example"]);
    for stuck in ["s._domainkey.a.example STUCK", "_dmarc.a.example STUCK"] {
        let begin = Instant::now();
        let report = verified(Zone::new(&format!("{POLICY}{stuck}")), "", &signed).await;
        assert_eq!(report.decision, Decision::Defer, "{stuck}");
        assert!(begin.elapsed() <= VERIFY_TIME_MAX, "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_whose_keys_never_come_is_no_chain_that_holds() {
    let forger = Forger::new();
    let tags = "i=1; a=ed25519-sha256; d=b.example; s=s; h=from";
    let signed = forger.signed("ARC-Message-Signature", tags, &message(&forger, &[]));
    let sealed = format!(
        "ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=b.example; s=s; b=AAAA\r\n\
         ARC-Authentication-Results: i=1; b.example; none\r\n{signed}"
    );
    let report = verified(Zone::new("s._domainkey.b.example STUCK"), "", &sealed).await;
    assert_eq!(report.arc.result, ArcResult::TempError);
}

/// Servers hold the message of a connection in a task that moves between threads.
#[test]
fn verifying_may_move_between_threads() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let verifier = crate::Verifier::with_source(
        std::sync::Arc::new(Zone::default()),
        "mx.here.example".to_owned(),
    );
    let incoming = crate::Incoming {
        ip: [192, 0, 2, 1].into(),
        helo: "",
        mail_from: None,
        message: b"",
        now: 0,
    };
    drop(moves(verifier.verify(&incoming)));
}

/// On many threads the long work of a long message is handed on, and comes to the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_message_is_verified_on_many_threads_as_on_one() {
    let forger = Forger::new();
    let zone = forger.record("s1._domainkey.a.example");
    let body = "The tide is low today.\n".repeat(10_000);
    let message = text(&format!("From: jane@a.example\nSubject: x\n\n{body}"));
    let tags = "v=1; a=ed25519-sha256; c=simple/relaxed; d=a.example; s=s1; h=from:subject";
    let message = forger.signed("DKIM-Signature", tags, &message);
    let changed = message.replacen("low", "high", 1);
    let (good, bad) = tokio::join!(
        verified(Zone::new(&zone), "", &message),
        verified(Zone::new(&zone), "", &changed),
    );
    assert_eq!(good.dkim[0].result, DkimResult::Pass);
    assert_eq!(bad.dkim[0].reason, "the body hash did not verify");
}
