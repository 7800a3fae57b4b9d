//! What strangers must pass: is the sender authentic, what does the filter say, who is listed, who
//! is new.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dns::{Resolver, Settings};
use mail_service::GreylistTerms;
use net::Peer;
use sender_auth::Decision;
use smtp::{
    BlockList, BlockLists, Checking, Claim, Filter, FilterProgram, Inbound, ListAction, Network,
    SenderChecks, SenderResult,
};
use testkit::dns::{NameServer, Zone};

use crate::common::{self, Client, Harness};
use crate::filter::{FakeFilter, Manner, answer};

const HOME: &str = "home@pillarbox.example";
const WORK: &str = "work@pillarbox.example";

/// Says the same of every sender, and remembers what it was asked.
#[derive(Default)]
struct Says {
    result: SenderResult,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Says {
    fn new(decision: Decision) -> Arc<Self> {
        let fields = b"Authentication-Results: mail.pillarbox.example; spf=none\r\n".to_vec();
        let reason = "the policy of harbour.example".to_owned();
        let result = SenderResult { decision, reason, fields, ..SenderResult::default() };
        Arc::new(Self { result, seen: Mutex::default() })
    }
}

impl SenderChecks for Says {
    fn check<'a>(&'a self, claim: Claim<'a>) -> Checking<'a> {
        let told = format!("{} {} {}", claim.client, claim.client_name, claim.sender);
        let seen = [told.as_bytes(), b"\n", claim.message].concat();
        self.seen.lock().unwrap().push(seen);
        Box::pin(std::future::ready(self.result.clone()))
    }
}

fn senders(checks: &Arc<Says>) -> Inbound {
    Inbound { senders: Some(Arc::clone(checks) as _), ..Inbound::default() }
}

async fn bring(client: &mut Client, recipients: &[&str], message: &str) -> String {
    let message = message.replace('\n', "\r\n");
    common::bring(client, "news@harbour.example", recipients, &message).await
}

const MESSAGE: &str = "From: news@harbour.example\nSubject: tide\n\nlow\n";

#[tokio::test]
async fn the_results_stand_above_received_and_the_message_is_as_it_came() {
    let checks = Says::new(Decision::Accept);
    let harness = Harness::inbound(senders(&checks)).await;
    let mut client = harness.connect().await;
    assert_eq!(bring(&mut client, &[HOME, WORK], MESSAGE).await, "250 2.0.0 Accepted");
    let message = harness.messages("work", "INBOX").await.remove(0);
    let start = "Return-Path: <news@harbour.example>\r\n\
                 Delivered-To: work@pillarbox.example\r\n\
                 Authentication-Results: mail.pillarbox.example; spf=none\r\n\
                 Received: from mx.example.net ([192.0.2.7])\r\n\
                 \tby mail.pillarbox.example with ESMTP id ";
    assert!(message.starts_with(start), "{message}");
    let text = MESSAGE.replace('\n', "\r\n");
    assert!(message.ends_with(&format!("\r\n{text}")), "{message}");
    let seen = checks.seen.lock().unwrap().remove(0);
    let told = format!("192.0.2.7 mx.example.net news@harbour.example\n{text}");
    assert_eq!(String::from_utf8(seen).unwrap(), told);
}

#[tokio::test]
async fn what_the_sender_s_policy_wants_is_done() {
    for (decision, reply) in [
        (
            Decision::Reject,
            "550 5.7.26 The sender is not authentic, and mail like that is not taken",
        ),
        (Decision::Defer, "451 4.7.24 Whether the sender is authentic cannot be found out now"),
        (Decision::Quarantine, "250 2.0.0 Accepted"),
    ] {
        let harness = Harness::inbound(senders(&Says::new(decision))).await;
        let mut client = harness.connect().await;
        assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, reply);
        assert!(harness.messages("home", "INBOX").await.is_empty());
        let junk = harness.messages("home", "Junk").await;
        assert_eq!(junk.len(), usize::from(decision == Decision::Quarantine));
        let why = "\r\nX-Pillarbox-Junk: yes;\r\n\tthe policy of harbour.example\r\nReceived: ";
        assert!(junk.iter().all(|message| message.contains(why)), "{junk:?}");
        // The transaction is over in any case. RFC 5321 §4.1.1.4
        assert_eq!(client.say(&format!("RCPT TO:<{HOME}>")).await, "503 5.5.1 Say MAIL first");
    }
}

#[tokio::test]
async fn s095_fields_that_claim_to_be_ours_are_taken_away_whether_anything_is_checked_or_not() {
    let forged = "Authentication-Results: mail.pillarbox.example; dmarc=pass\n\
                  X-Pillarbox-Junk: no\n";
    for inbound in [senders(&Says::new(Decision::Accept)), Inbound::default()] {
        let has_checks = inbound.senders.is_some();
        let harness = Harness::inbound(inbound).await;
        let mut client = harness.connect().await;
        bring(&mut client, &[HOME], &format!("{forged}{MESSAGE}")).await;
        let message = harness.messages("home", "INBOX").await.remove(0);
        assert!(!message.contains("dmarc=pass"), "{message}");
        assert!(!message.contains("X-Pillarbox"), "{message}");
        assert_eq!(message.contains("spf=none"), has_checks);
    }
}

#[tokio::test]
async fn own_networks_are_asked_nothing() {
    let checks = Says::new(Decision::Reject);
    let trusted = Network::loopback();
    let inbound = Inbound { trusted, ..senders(&checks) };
    let mut harness = Harness::inbound(inbound).await;
    for (peer, passes) in [
        (Peer::Local, true),
        (Peer::Ip(IpAddr::from([127, 0, 0, 1])), true),
        (Peer::Ip(IpAddr::from([192, 0, 2, 1])), false),
    ] {
        harness.peer = peer;
        let reply = bring(&mut harness.connect().await, &[HOME], MESSAGE).await;
        assert_eq!(reply.starts_with("250"), passes, "{peer}");
    }
    let message = harness.messages("home", "INBOX").await.remove(0);
    assert!(!message.contains("Authentication-Results"), "{message}");
}

#[tokio::test]
async fn a_large_message_is_whole_for_the_checks_and_for_every_recipient() {
    let checks = Says::new(Decision::Accept);
    let harness = Harness::inbound(senders(&checks)).await;
    let line = format!("{}\n", "x".repeat(99));
    let message = format!("{MESSAGE}{}", line.repeat(20_000));
    let mut client = harness.connect().await;
    let sending = bring(&mut client, &[HOME, WORK], &message);
    assert_eq!(sending.await, "250 2.0.0 Accepted");
    let text = message.replace('\n', "\r\n");
    assert!(checks.seen.lock().unwrap()[0].ends_with(text.as_bytes()));
    for account in ["home", "work"] {
        assert!(harness.messages(account, "INBOX").await[0].ends_with(&text));
    }
}

async fn filtered(fake: &FakeFilter, patience: Duration) -> Harness {
    let filter = Some(fake.client(patience));
    Harness::inbound(Inbound { filter, ..Inbound::default() }).await
}

async fn mail_count(harness: &Harness) -> usize {
    harness.messages("home", "INBOX").await.len() + harness.messages("home", "Junk").await.len()
}

const NO_FILTER: &str = "451 4.7.1 Mail cannot be filtered now, try again later";

#[tokio::test]
async fn the_filter_is_told_the_envelope_and_its_word_is_done() {
    let fake = FakeFilter::start(Manner::Dies(0)).await;
    let harness = filtered(&fake, Duration::from_secs(10)).await;
    let mut client = harness.connect().await;
    for (action, reply, mailbox) in [
        ("no action", "250 2.0.0 Accepted", "INBOX"),
        ("add header", "250 2.0.0 Accepted", "Junk"),
        ("rewrite subject", "250 2.0.0 Accepted", "Junk"),
        ("soft reject", "451 4.7.1 Not now, try again later", "INBOX"),
        ("greylist", "451 4.7.1 You are new here, try again in some minutes", "INBOX"),
        ("reject", "550 5.7.1 Refused because of its content", "INBOX"),
        ("shrug", NO_FILTER, "INBOX"),
    ] {
        let before = harness.messages("home", mailbox).await.len();
        let body = format!(
            r#"{{"action":"{action}","score":7.5,"milter":{{
                "add_headers":{{"X-Spam-Score":"7.5\r\nBcc: x@y.example"}},
                "remove_headers":{{"Subject":0,"X-Old":0}}}}}}"#
        );
        fake.manner(Manner::Answers(answer(&body)));
        let message = format!("X-Old: 1\n{MESSAGE}");
        assert_eq!(bring(&mut client, &[HOME], &message).await, reply, "{action}");
        let messages = harness.messages("home", mailbox).await;
        let is_taken = reply.starts_with("250");
        assert_eq!(messages.len(), before + usize::from(is_taken), "{action}");
        if is_taken {
            let message = messages.last().unwrap();
            assert!(message.contains("\r\nX-Spam-Score: 7.5 Bcc: x@y.example\r\n"), "{message}");
            assert!(message.contains("\r\nSubject: tide\r\n"), "{message}");
            assert!(!message.contains("X-Old"), "{message}");
            let reason = "\tthe content filter gives it 7.50\r\n";
            assert_eq!(message.contains(reason), mailbox == "Junk", "{message}");
        }
        let (head, body) = fake.requests().remove(0);
        assert!(head.starts_with("POST /checkv2 HTTP/1.1\r\n"), "{head}");
        for field in
            ["ip: 192.0.2.7", "helo: mx.example.net", "from: news@harbour.example", "rcpt: "]
        {
            assert!(head.contains(&format!("\r\n{field}")), "{head}");
        }
        assert_eq!(body, message.replace('\n', "\r\n").into_bytes());
    }
}

#[tokio::test]
async fn s098_a_filter_that_breaks_off_its_answer_anywhere_never_lets_mail_in() {
    let whole = answer(r#"{"action":"no action","score":0.1}"#);
    let fake = FakeFilter::start(Manner::Dies(0)).await;
    let harness = filtered(&fake, Duration::from_secs(10)).await;
    let mut client = harness.connect().await;
    for end in 0..whole.len() {
        fake.manner(Manner::Answers(whole[..end].to_vec()));
        assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, NO_FILTER, "{end}");
    }
    assert_eq!(mail_count(&harness).await, 0);
    fake.manner(Manner::Answers(whole));
    assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, "250 2.0.0 Accepted");
}

#[tokio::test]
async fn s098_a_filter_that_dies_or_falls_silent_or_talks_nonsense_never_lets_mail_in() {
    let fake = FakeFilter::start(Manner::Dies(0)).await;
    let harness = filtered(&fake, Duration::from_millis(200)).await;
    let mut client = harness.connect().await;
    let whole = answer(r#"{"action":"no action"}"#);
    let mut manners: Vec<Manner> = [0, 1, 20, 100, 200].map(Manner::Dies).into();
    manners.extend([0, 10, 60, whole.len() - 1].map(|end| Manner::Stops(whole[..end].to_vec())));
    let long = format!(r#"{{"action":"no action","x":"{}"}}"#, "y".repeat(2 << 20));
    for status in ["204 No Content", "302 Found", "403 Forbidden", "500 Oops", "503 Busy"] {
        let text = String::from_utf8(whole.clone()).unwrap().replace("200 OK", status);
        manners.push(Manner::Answers(text.into_bytes()));
    }
    for body in ["", "no action", "[]", &long, r#"{"action":"no action","error":"x"}"#] {
        manners.push(Manner::Answers(answer(body)));
    }
    manners.push(Manner::Answers(b"220 mail.example ESMTP\r\n".to_vec()));
    for manner in manners {
        fake.manner(manner.clone());
        assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, NO_FILTER);
    }
    assert_eq!(mail_count(&harness).await, 0);
    // Nor does one that is not there.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/checkv2", gone.local_addr().unwrap());
    drop(gone);
    let filter = Filter::new(&url, Duration::from_secs(5)).ok();
    let harness = Harness::inbound(Inbound { filter, ..Inbound::default() }).await;
    assert_eq!(bring(&mut harness.connect().await, &[HOME], MESSAGE).await, NO_FILTER);
}

/// A filter that is a shell script.
fn scripted(script: &str, patience: Duration) -> Inbound {
    let program = FilterProgram {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        junk: vec![1],
        reject: vec![77],
    };
    Inbound { filter: Some(Filter::program(program, patience)), ..Inbound::default() }
}

#[tokio::test]
async fn a_program_may_be_the_filter() {
    let script =
        "case $(cat) in *lottery*) exit 1;; *worm*) exit 77;; *tide*) exit 0;; esac; exit 2";
    let harness = Harness::inbound(scripted(script, Duration::from_secs(60))).await;
    let mut client = harness.connect().await;
    assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, "250 2.0.0 Accepted");
    let lottery = format!("{MESSAGE}lottery\n");
    assert_eq!(bring(&mut client, &[HOME], &lottery).await, "250 2.0.0 Accepted");
    let refused = "550 5.7.1 Refused because of its content";
    assert_eq!(bring(&mut client, &[HOME], &format!("{MESSAGE}worm\n")).await, refused);
    let other = MESSAGE.replace("tide", "ebb");
    assert_eq!(bring(&mut client, &[HOME], &other).await, NO_FILTER);
    assert_eq!(harness.messages("home", "INBOX").await.len(), 1);
    let junk = harness.messages("home", "Junk").await;
    assert_eq!(junk.len(), 1);
    assert!(junk[0].contains("X-Pillarbox-Junk: yes;\r\n\tthe content filter says so\r\n"));
}

#[tokio::test]
async fn s098_a_program_that_fails_or_does_not_end_never_lets_mail_in() {
    for script in ["exit 75", "kill -9 $$", "exec /nowhere/filter", "exec sleep 600"] {
        let harness = Harness::inbound(scripted(script, Duration::from_millis(500))).await;
        let mut client = harness.connect().await;
        assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, NO_FILTER, "{script}");
        assert_eq!(mail_count(&harness).await, 0);
    }
}

#[tokio::test]
async fn s099_neither_a_refused_message_nor_a_failed_probe_makes_an_address_look_invalid() {
    let fake = FakeFilter::start(Manner::Answers(answer(r#"{"action":"reject"}"#))).await;
    let harness = filtered(&fake, Duration::from_secs(10)).await;
    let mut client = harness.connect().await;
    assert!(bring(&mut client, &[HOME], MESSAGE).await.starts_with("550 5.7.1"));
    fake.manner(Manner::Dies(0));
    assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, NO_FILTER);
    // Who only asks whether there is somebody.
    client.say("MAIL FROM:<>").await;
    assert_eq!(
        client.say("RCPT TO:<nobody@pillarbox.example>").await,
        "550 5.1.1 No such user here"
    );
    assert_eq!(client.say(&format!("RCPT TO:<{HOME}>")).await, "250 2.1.5 Recipient accepted");
    client.say("RSET").await;
    fake.manner(Manner::Answers(answer(r#"{"action":"no action"}"#)));
    assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, "250 2.0.0 Accepted");
}

#[tokio::test]
async fn s099_greylisting_tells_who_is_new_and_nothing_about_the_recipient() {
    let terms = GreylistTerms { delay_secs: 0, window_secs: 3600, lifetime_secs: 3600 };
    let inbound = Inbound { greylist: Some(terms), ..Inbound::default() };
    let mut harness = Harness::inbound(inbound).await;
    let new = "451 4.7.1 You are new here, try again in some minutes";
    let mut client = harness.connect().await;
    assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, new);
    let unknown = bring(&mut client, &["nobody@pillarbox.example"], MESSAGE).await;
    assert_eq!(unknown, "550 5.1.1 No such user here");
    assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, "250 2.0.0 Accepted");
    // That one is known now opens the door to nobody else.
    harness.peer = Peer::Ip([198, 51, 100, 1].into());
    assert_eq!(bring(&mut harness.connect().await, &[HOME], MESSAGE).await, new);
    assert_eq!(harness.messages("home", "INBOX").await.len(), 1);
}

#[tokio::test]
async fn a_listed_client_is_refused_or_its_mail_is_junk_and_a_broken_list_has_nobody() {
    let zone = Zone::parse(
        "list.example",
        "@ 60 IN SOA ns.list.example. root.list.example. 1 60 60 60 60\n\
         7.2.0.192 60 IN A 127.0.0.2\n\
         8.2.0.192 60 IN A 192.0.2.1\n\
         9.2.0.192 60 IN A 127.255.255.254\n",
    );
    let names = NameServer::start(&[zone]);
    let settings = Settings { servers: vec![names.address()], ..Settings::default() };
    for (action, expected) in [
        (ListAction::Reject, "554 5.7.1 Your address is on a block list"),
        (ListAction::Junk, "250 2.0.0 Accepted"),
    ] {
        let list = |zone: &str| BlockList { zone: zone.to_owned(), action };
        // There is no server for the second one.
        let lists = vec![list("list.example"), list("broken.example")];
        let lists = Some(BlockLists::new(Resolver::new(&settings).unwrap(), lists));
        let mut harness = Harness::inbound(Inbound { lists, ..Inbound::default() }).await;
        let mut client = harness.connect().await;
        assert_eq!(bring(&mut client, &[HOME], MESSAGE).await, expected);
        let junk = harness.messages("home", "Junk").await;
        assert_eq!(junk.len(), usize::from(action == ListAction::Junk));
        let why = "X-Pillarbox-Junk: yes;\r\n\tthe client is listed by list.example\r\n";
        assert!(junk.iter().all(|message| message.contains(why)), "{junk:?}");
        for last in [6, 8, 9] {
            harness.peer = Peer::Ip([192, 0, 2, last].into());
            let reply = bring(&mut harness.connect().await, &[HOME], MESSAGE).await;
            assert_eq!(reply, "250 2.0.0 Accepted", "{last}");
        }
        assert_eq!(harness.messages("home", "INBOX").await.len(), 3);
    }
}

#[tokio::test]
#[ignore = "needs a real SpamAssassin, whose path stands in the environment"]
async fn a_real_spamassassin_is_understood() {
    let program = FilterProgram {
        program: std::env::var_os("SPAMASSASSIN").unwrap().into(),
        arguments: ["--local", "--exit-code"].map(str::to_owned).into(),
        junk: vec![5],
        reject: Vec::new(),
    };
    let filter = Some(Filter::program(program, Duration::from_secs(60)));
    let harness = Harness::inbound(Inbound { filter, ..Inbound::default() }).await;
    let mut client = harness.connect().await;
    for (message, mailbox) in [(MESSAGE.to_owned(), "INBOX"), (format!("{MESSAGE}{GTUBE}"), "Junk")]
    {
        assert_eq!(bring(&mut client, &[HOME], &message).await, "250 2.0.0 Accepted");
        assert_eq!(harness.messages("home", mailbox).await.len(), 1);
    }
}

/// What every filter of junk knows.
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n";

#[tokio::test]
#[ignore = "needs a real rspamd, whose address stands in the environment"]
async fn a_real_rspamd_is_understood() {
    let url = std::env::var("RSPAMD_URL").unwrap();
    let filter = Filter::new(&url, Duration::from_secs(20)).ok();
    let harness = Harness::inbound(Inbound { filter, ..Inbound::default() }).await;
    let mut client = harness.connect().await;
    let told = bring(&mut client, &[HOME], MESSAGE).await;
    assert_eq!(told, "250 2.0.0 Accepted");
    let told = bring(&mut client, &[HOME], &format!("{MESSAGE}{GTUBE}")).await;
    assert_eq!(told, "550 5.7.1 Refused because of its content");
}
