//! Mail of strangers for addresses of ours that stand for others elsewhere, and what comes back.

use std::sync::Arc;

use dns::{Resolver, Settings};
use mail_service::queue::{QueueRunner, RunnerSettings};
use net::{LoginThrottle, Peer};
use sender_auth::keys::{dns_record, generate_rsa, split};
use sender_auth::{
    ArcResult, Decision, DkimResult, DmarcResult, Enforcement, Incoming, Key, Report, Signer,
    SigningKey, SpfResult, Verifier,
};
use smtp::{
    Forwarding, Inbound, OutboundTransport, QueueOutbound, Relay, RelayTls, Relays, Role, Routes,
    SmtpServer, SmtpSettings,
};
use testkit::dns::{Fault, NameServer, Zone};

use crate::common::{Harness, bring};
use crate::sink::{Manners, Sink, Taken};
use crate::site::HOSTNAME;

const HOME: &str = "home@pillarbox.example";
const INFO: &str = "info@pillarbox.example";
const FAR: &str = "me@far.example";
const NEWS: &str = "news@harbour.example";
const MESSAGE: &str = "From: news@harbour.example\r\nSubject: tide\r\n\r\nlow\r\n";

/// A server for mail from anywhere whose queue leads to a sink; its clients come from 192.0.2.7,
/// and it goes out from 192.0.2.9.
struct Host {
    harness: Harness,
    runner: QueueRunner,
    sink: Sink,
    names: NameServer,
    /// Of harbour.example.
    stranger: Signer,
    /// Of pillarbox.example.
    ours: Arc<Signer>,
    routes: Routes,
}

impl Host {
    async fn new(manners: Manners) -> Self {
        let (theirs, stranger) = keys("harbour.example");
        let (ours, signer) = keys("pillarbox.example");
        let names = NameServer::start(&[
            domain("harbour.example", "192.0.2.7", "reject", &theirs),
            domain("pillarbox.example", "192.0.2.9", "none", &ours),
            domain("forged.example", "192.0.2.1", "quarantine", ""),
        ]);
        let sink = Sink::new(manners).await;
        let mut harness = Harness::of(Role::Mx).await;
        harness.peer = Peer::Ip([192, 0, 2, 7].into());
        let service = harness.service.clone();
        let routes = Routes::from(Relays::new(vec![relay(&sink)]).unwrap());
        let hostname = HOSTNAME.to_owned();
        let transport = OutboundTransport::new(service.clone(), routes.clone(), hostname);
        let transport = Arc::new(transport);
        let runner =
            QueueRunner::new(service.clone(), transport, RunnerSettings::default()).unwrap();
        service.set_alias(INFO, &[FAR.to_owned()]).await.unwrap();
        let mut host =
            Self { harness, runner, sink, names, stranger, ours: Arc::new(signer), routes };
        host.serve(|_| {});
        host
    }

    /// Serves with these settings from now on.
    fn serve(&mut self, change: impl FnOnce(&mut SmtpSettings)) {
        let service = self.harness.service.clone();
        let senders = Some(Arc::new(verifier(&self.names)) as _);
        let mut settings = SmtpSettings {
            outbound: Some(Arc::new(QueueOutbound::new(service.clone(), self.routes.clone()))),
            inbound: Some(Arc::new(Inbound { senders, ..Inbound::default() })),
            signer: Some(Arc::clone(&self.ours)),
            greet_pause: std::time::Duration::ZERO,
            ..SmtpSettings::new(Role::Mx, HOSTNAME.to_owned(), None)
        };
        change(&mut settings);
        let throttle = Arc::new(LoginThrottle::default());
        self.harness.server = Arc::new(SmtpServer::new(service, throttle, settings));
    }

    /// Brings a message of a stranger; the last reply.
    async fn bring(&self, sender: &str, recipients: &[&str], message: &str) -> String {
        let mut client = self.harness.connect().await;
        bring(&mut client, sender, recipients, message).await
    }

    /// A message of harbour.example with its signature.
    fn signed(&self, message: &str) -> String {
        let signature = self.stranger.sign("harbour.example", message.as_bytes(), now()).unwrap();
        String::from_utf8(signature).unwrap() + message
    }

    /// A message of ours with its signature.
    fn signed_here(&self, message: &str) -> String {
        let signature = self.ours.sign("pillarbox.example", message.as_bytes(), now()).unwrap();
        String::from_utf8(signature).unwrap() + message
    }

    /// What has left.
    async fn left(&self) -> Vec<Taken> {
        self.runner.run_due().await.unwrap();
        self.sink.taken()
    }

    /// What the next server finds out about a message that has left.
    async fn verified(&self, taken: &Taken) -> Report {
        let path = taken.mail.strip_prefix("MAIL FROM:<").unwrap();
        let (sender, _) = path.split_once('>').unwrap();
        let incoming = Incoming {
            ip: [192, 0, 2, 9].into(),
            helo: HOSTNAME,
            mail_from: Some(sender),
            message: taken.text.as_bytes(),
            now: now(),
        };
        verifier(&self.names).verify(&incoming).await
    }
}

fn relay(sink: &Sink) -> Relay {
    Relay {
        domains: vec!["far.example".to_owned(), "harbour.example".to_owned()],
        host: "localhost".to_owned(),
        port: sink.port,
        tls: RelayTls::None,
        login: None,
        authorities: None,
    }
}

/// A key of a domain: its record, and who signs with it.
fn keys(domain: &str) -> (String, Signer) {
    let key = generate_rsa().unwrap();
    let text = dns_record(&Key::from_pem(key.expose()).unwrap());
    let strings: Vec<_> = split(&text).iter().map(|text| format!("\"{text}\"")).collect();
    let record = format!("r._domainkey IN TXT {}\n", strings.join(" "));
    let (domain, selector) = (domain.to_owned(), "r".to_owned());
    (record, Signer::new(vec![SigningKey { domain, selector, key }]).unwrap())
}

/// A domain whose only client is this one.
fn domain(name: &str, client: &str, policy: &str, keys: &str) -> Zone {
    let policy = format!("_dmarc IN TXT \"v=DMARC1; p={policy}\"\n");
    Zone::parse(name, &format!("@ IN TXT \"v=spf1 ip4:{client} -all\"\n{policy}{keys}"))
}

fn verifier(names: &NameServer) -> Verifier {
    let settings = Settings { servers: vec![names.address()], ..Settings::default() };
    Verifier::new(Resolver::new(&settings).unwrap(), HOSTNAME.to_owned())
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs().try_into().unwrap()
}

fn path_of(taken: &Taken) -> &str {
    taken.mail.strip_prefix("MAIL FROM:<").unwrap().split_once('>').unwrap().0
}

#[tokio::test]
async fn forwarded_mail_is_authentic_where_it_comes_to() {
    let host = Host::new(Manners::default()).await;
    let signed = host.signed(MESSAGE);
    assert_eq!(host.bring(NEWS, &[INFO], &signed).await, "250 2.0.0 Accepted");
    let left = host.left().await;
    let [taken] = &left[..] else { panic!("{left:?}") };
    assert_eq!(taken.to, ["RCPT TO:<me@far.example>"]);
    assert!(path_of(taken).starts_with("SRS0="), "{}", taken.mail);
    assert!(path_of(taken).ends_with("=harbour.example=news@pillarbox.example"));
    // Nothing is changed, and what is added stands above it.
    assert!(taken.text.ends_with(&signed), "{}", taken.text);
    let ours = "\r\nDelivered-To: info@pillarbox.example\r\n\
                Authentication-Results: mail.pillarbox.example;";
    assert!(taken.text.starts_with("ARC-Seal: i=1;") && taken.text.contains(ours));
    assert!(!taken.text.contains("Return-Path"));
    let report = host.verified(taken).await;
    assert_eq!((report.spf.result, report.decision), (SpfResult::Pass, Decision::Accept));
    assert_eq!(report.dkim[0].result, DkimResult::Pass);
    assert_eq!(report.dmarc[0].result, DmarcResult::Pass);
    assert_eq!(report.arc.result, ArcResult::Pass);
    assert_eq!(report.arc.sets[0].sealer, "pillarbox.example");
}

#[tokio::test]
async fn what_comes_back_goes_to_the_sender_and_nothing_else_does() {
    let host = Host::new(Manners::default()).await;
    assert_eq!(host.bring(NEWS, &[INFO], MESSAGE).await, "250 2.0.0 Accepted");
    let path = path_of(&host.left().await[0]).to_owned();
    let notice = "From: postmaster@harbour.example\r\nSubject: undeliverable\r\n\r\nx\r\n";
    let notice = host.signed(notice);
    // Some servers write all in small letters.
    for path in [path.clone(), path.to_lowercase()] {
        assert_eq!(host.bring("", &[&path], &notice).await, "250 2.0.0 Accepted", "{path}");
    }
    let left = host.left().await;
    assert_eq!(left.len(), 3);
    for taken in &left[1..] {
        assert_eq!((path_of(taken), &taken.to[..]), ("", &[format!("RCPT TO:<{NEWS}>")][..]));
        assert!(taken.text.ends_with(&notice));
    }
    let told = host.bring(NEWS, &[&path], &notice).await;
    assert_eq!(told, "550 5.7.1 This address takes only what comes back from forwarded mail");
    // Nobody else has it, not even who has all that nobody has.
    let service = &host.harness.service;
    service.set_alias("@pillarbox.example", &[HOME.to_owned()]).await.unwrap();
    for forged in [
        path.replacen("=news@", "=victim@", 1),
        path.replacen("harbour.example", "far.example", 1),
        path.replacen("SRS0", "SRS1", 1),
        "SRS1=aaaaaaaa=far.example==aaaaaaaa=aa=far.example=me@pillarbox.example".to_owned(),
    ] {
        let told = host.bring("", &[&forged], &notice).await;
        assert_eq!(told, "550 5.1.1 No such user here", "{forged}");
    }
    let strange = path.replacen("@pillarbox.example", "@far.example", 1);
    assert_eq!(host.bring("", &[&strange], &notice).await, "550 5.7.1 No relaying");
    assert_eq!(host.left().await.len(), 3);
    assert!(host.harness.messages("home", "INBOX").await.is_empty());
}

#[tokio::test]
async fn a_list_reaches_those_here_and_those_elsewhere_behind_one_reply() {
    let host = Host::new(Manners::default()).await;
    let members = [HOME.to_owned(), "work@pillarbox.example".to_owned(), FAR.to_owned()];
    host.harness.service.set_alias("all@pillarbox.example", &members).await.unwrap();
    let told = host.bring(NEWS, &["all@pillarbox.example", HOME, INFO], MESSAGE).await;
    assert_eq!(told, "250 2.0.0 Accepted");
    for account in ["home", "work"] {
        let kept = host.harness.messages(account, "INBOX").await;
        assert_eq!(kept.len(), 1);
        assert!(kept[0].starts_with("Return-Path: <news@harbour.example>\r\n"), "{}", kept[0]);
        assert!(!kept[0].contains("ARC-Seal"), "{}", kept[0]);
    }
    let left = host.left().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].to, ["RCPT TO:<me@far.example>"]);
    // Two addresses of ours lead there, and neither reader learns of the other.
    assert!(!left[0].text.contains("Delivered-To"), "{}", left[0].text);
}

#[tokio::test]
async fn mail_without_a_sender_or_of_our_own_people_keeps_its_path() {
    let host = Host::new(Manners::default()).await;
    for sender in ["", HOME] {
        let signed = host.signed(MESSAGE);
        assert_eq!(host.bring(sender, &[INFO], &signed).await, "250 2.0.0 Accepted");
        assert_eq!(path_of(host.left().await.last().unwrap()), sender);
    }
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_refused_before_it_comes() {
    let host = Host::new(Manners::default()).await;
    let long = format!("{}@harbour.example", "n".repeat(215));
    let told = host.bring(&long, &[INFO], MESSAGE).await;
    assert_eq!(told, "553 5.1.7 Your sender's address is too long for mail that is forwarded");
    for strange in ["\"a b\"@harbour.example", "news@[192.0.2.7]"] {
        let told = host.bring(strange, &[INFO], MESSAGE).await;
        assert!(told.starts_with("553 5.1.7 Mail of a sender's address of this form"), "{told}");
        // It does no harm to mail that stays here.
        assert!(!host.bring(strange, &[HOME], MESSAGE).await.starts_with("553"));
    }
    host.harness.service.set_alias(INFO, &["x@nowhere.example".to_owned()]).await.unwrap();
    let told = host.bring(NEWS, &[INFO], MESSAGE).await;
    assert_eq!(told, "550 5.7.1 This server has no way to the domain of the recipient");
    assert_eq!(host.bring(NEWS, &[FAR], MESSAGE).await, "550 5.7.1 No relaying");
    assert!(host.left().await.is_empty());
}

#[tokio::test]
async fn junk_is_not_forwarded_and_its_sender_knows() {
    let host = Host::new(Manners::default()).await;
    let forged = MESSAGE.replace("harbour.example", "forged.example");
    for recipients in [&[INFO][..], &[HOME, INFO]] {
        let told = host.bring(NEWS, recipients, &forged).await;
        assert_eq!(told, "550 5.7.1 It looks like junk, and a recipient's mail is forwarded");
    }
    assert_eq!(host.bring(NEWS, &[HOME], &forged).await, "250 2.0.0 Accepted");
    assert!(host.left().await.is_empty());
    assert_eq!(host.harness.messages("home", "Junk").await.len(), 1);
    assert!(host.harness.messages("home", "INBOX").await.is_empty());
}

#[tokio::test]
async fn only_a_sender_who_is_proved_is_told_that_forwarding_failed() {
    let replies = vec![("RCPT TO:<me@far", "550 5.1.1 no such user")];
    let host = Host::new(Manners { replies, ..Manners::default() }).await;
    // Of the one SPF says that he may, of the other nobody knows.
    for (sender, count) in [("a@nobody.example", 0), (NEWS, 1)] {
        let message = host.signed(MESSAGE);
        assert_eq!(host.bring(sender, &[INFO], &message).await, "250 2.0.0 Accepted");
        let left = host.left().await;
        assert_eq!(left.len(), count, "{sender}: {left:?}");
        assert!(host.harness.service.list_queue(None).await.unwrap().is_empty(), "{sender}");
        for notice in left {
            assert_eq!(path_of(&notice), "");
            assert_eq!(notice.to, ["RCPT TO:<news@harbour.example>"]);
            assert!(notice.text.contains("550 5.1.1 no such user"), "{}", notice.text);
        }
    }
}

#[tokio::test]
async fn nobody_is_taken_for_one_of_ours_because_we_forward_his_mail() {
    let host = Host::new(Manners::default()).await;
    for author in [HOME, "ceo@staff.pillarbox.example"] {
        let forged = MESSAGE.replace(NEWS, author);
        let told = host.bring(NEWS, &[INFO], &forged).await;
        assert!(told.starts_with("550 5.7.26 It is not from the author"), "{author}: {told}");
        // Here it is seen for what it is: our domain has asked for nothing else.
        assert_eq!(host.bring(NEWS, &[HOME], &forged).await, "250 2.0.0 Accepted", "{author}");
    }
    let signed = host.signed_here(&MESSAGE.replace(NEWS, HOME));
    assert_eq!(host.bring(NEWS, &[INFO], &signed).await, "250 2.0.0 Accepted");
    assert_eq!(host.left().await.len(), 1);
}

#[tokio::test]
async fn what_has_no_author_who_can_be_told_is_not_forwarded_even_if_policies_do_nothing() {
    let mut host = Host::new(Manners::default()).await;
    let dmarc = Enforcement::Report;
    let lax = sender_auth::Settings { dmarc, ..sender_auth::Settings::default() };
    let senders = Some(Arc::new(verifier(&host.names).with_settings(lax)) as _);
    let inbound = Some(Arc::new(Inbound { senders, ..Inbound::default() }));
    host.serve(|settings| settings.inbound = inbound);
    let from = "From: news@harbour.example\r\n";
    for other in [
        String::new(),
        format!("From: {HOME}\r\n{from}"),
        format!("From: \"{HOME}\0\" <{NEWS}>\r\n"),
        format!("{}{from}", "X: y\r\n".repeat(2_001)),
    ] {
        let message = MESSAGE.replace(from, &other);
        let told = host.bring(NEWS, &[INFO], &message).await;
        assert!(told.starts_with("550 5.7.26 It is not from the author"), "{other}: {told}");
        assert_eq!(host.bring(NEWS, &[HOME], &message).await, "250 2.0.0 Accepted", "{other}");
    }
    assert_eq!(host.bring(NEWS, &[INFO], MESSAGE).await, "250 2.0.0 Accepted");
    assert_eq!(host.left().await.len(), 1);
}

#[tokio::test]
async fn who_cannot_be_proved_to_be_of_ours_now_is_to_come_again() {
    let mut host = Host::new(Manners::default()).await;
    let signed = host.signed_here(&MESSAGE.replace(NEWS, HOME));
    let key = "r._domainkey.pillarbox.example";
    let again = "451 4.7.24 Whether the sender is authentic cannot be found out now";
    host.names.break_answers(key, Fault::ServFail);
    assert_eq!(host.bring(NEWS, &[INFO], &signed).await, again);
    host.names.mend_answers(key);
    host.serve(|_| {});
    assert_eq!(host.bring(NEWS, &[INFO], &signed).await, "250 2.0.0 Accepted");
    // Of a domain without a policy nothing but the key could tell.
    host.names.replace(Zone::parse("pillarbox.example", "@ IN TXT \"v=spf1 -all\"\n"));
    host.names.break_answers(key, Fault::ServFail);
    host.serve(|_| {});
    assert_eq!(host.bring(NEWS, &[INFO], &signed).await, again);
    assert_eq!(host.left().await.len(), 1);
}

#[tokio::test]
async fn who_does_not_want_to_forward_refuses_and_lets_come_back_what_was_forwarded() {
    let mut host = Host::new(Manners::default()).await;
    assert_eq!(host.bring(NEWS, &[INFO], MESSAGE).await, "250 2.0.0 Accepted");
    let path = path_of(&host.left().await[0]).to_owned();
    host.serve(|settings| settings.forwarding = Forwarding::Refused);
    let told = host.bring(NEWS, &[INFO], MESSAGE).await;
    assert_eq!(told, "550 5.7.1 Mail for this address is not forwarded from here");
    assert_eq!(host.bring(NEWS, &[HOME], MESSAGE).await, "250 2.0.0 Accepted");
    assert_eq!(host.bring("", &[&path], &host.signed(MESSAGE)).await, "250 2.0.0 Accepted");
}

#[tokio::test]
async fn s093_mail_that_comes_back_to_where_it_was_forwarded_ends_there() {
    let host = Host::new(Manners::default()).await;
    assert_eq!(host.bring(NEWS, &[INFO], MESSAGE).await, "250 2.0.0 Accepted");
    let taken = host.left().await.remove(0);
    let told = host.bring(path_of(&taken), &[INFO], &taken.text).await;
    assert_eq!(told, "554 5.4.6 This was forwarded for the recipient before");
    assert_eq!(host.left().await.len(), 1);
    // To somebody else who has it from there it may go.
    let told = host.bring(NEWS, &[HOME], &taken.text).await;
    assert_eq!(told, "250 2.0.0 Accepted");
}
