//! TLS on the way to other domains: what is enforced is delivered as it is to be, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use mail_service::queue::{QueueRunner, RunnerSettings};
use mail_service::tls::{Counted, Counts, Ruler, Subject};
use mail_service::{Service, keys};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sender_auth::{Signer, SigningKey};
use serde_json::Value;
use smtp::{Direct, OutboundTransport, TlsReporter};
use store::mem::Mem;
use store::{Commit, Store, Write};
use testkit::dns::{Fault, NameServer, Zone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Certificate};
use crate::common::Harness;
use crate::sink::{Manners, Sink};
use crate::site::{HOSTNAME, Site, direct};

const MX: &str = "mx.far.example";

/// A web server that says one thing: a policy, mostly.
struct PolicyServer {
    port: u16,
    answers: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Told of each request.
    asked: Arc<Notify>,
}

impl PolicyServer {
    async fn new(certificate: &Certificate, policy: &str) -> Self {
        let policy = policy.replace('\n', "\r\n");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            policy.len()
        );
        Self::saying(certificate, format!("{head}{policy}")).await
    }

    async fn saying(certificate: &Certificate, response: String) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Arc::new(AtomicBool::new(true));
        let is_up = Arc::clone(&answers);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(Notify::new());
        let (written, told) = (Arc::clone(&requests), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if !is_up.load(Ordering::SeqCst) {
                    continue;
                }
                let (acceptor, response) = (acceptor.clone(), response.clone());
                let (written, told) = (Arc::clone(&written), Arc::clone(&told));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let is_never_answered = request.starts_with(b"POST /never ");
                    written.lock().unwrap().push(request);
                    told.notify_one();
                    if is_never_answered {
                        std::future::pending::<()>().await;
                    }
                    let _ = stream.write_all(response.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, answers, requests, asked }
    }

    async fn wait_for_requests(&self, count: usize) {
        let come = async {
            while self.requests().len() < count {
                self.asked.notified().await;
            }
        };
        timeout(PATIENCE, come).await.unwrap();
    }

    fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }
}

/// Whether a request has come with all of its body.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|it| it == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    request.len() >= end + 4 + length
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 86400\n")
}

const STS: &str = "_mta-sts TXT \"v=STSv1; id=1\"\nmta-sts A 127.0.0.1\n";

/// A reporter without keys, which writes what was counted.
fn reporter(site: &Site, direct: &Direct, signer: Option<Arc<Signer>>) -> TlsReporter {
    let (service, domain) = (site.harness.service.clone(), "pillarbox.example".to_owned());
    TlsReporter::new(service, direct.clone(), domain, watch::channel(signer).1)
}

/// What was counted today for `far.example`, as it is in the store.
async fn counted(site: &Site, direct: &Direct) -> String {
    let service = &site.harness.service;
    let now = service.now_secs();
    // No day of which something was counted is over.
    assert_eq!(reporter(site, direct, None).report_until(now - DAY_SECS).await, 0);
    let mut told = String::new();
    // The day may have changed meanwhile.
    for day in [keys::story_day(now) - 1, keys::story_day(now)] {
        let counts = service.tls_counts(day, "far.example").await.unwrap();
        counts.iter().for_each(|it| told.push_str(&format!("{it:?}")));
    }
    told
}

const DAY_SECS: i64 = 86_400;

/// Less than what a request may take, and more than a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(40);

struct Case {
    authority: Authority,
    sink: Sink,
}

/// A server that is in order, or wrong in one way.
async fn case(how: &str) -> (Case, String) {
    let authority = Authority::new();
    let certificate = match how {
        "wrong name" => authority.sign("mx.other.example"),
        "expired" => authority.sign_until(MX, 2001),
        "self-signed" => Certificate::self_signed(MX),
        _ => authority.sign(MX),
    };
    let offers = if how == "no STARTTLS" { vec![] } else { vec!["STARTTLS"] };
    let key = match how {
        "wrong TLSA" => authority.sign(MX).key_digest,
        _ => certificate.key_digest.clone(),
    };
    let certificate = Some(certificate);
    let sink = Sink::new(Manners { offers, certificate, ..Manners::default() }).await;
    (Case { authority, sink }, key)
}

const WAYS: [&str; 6] =
    ["right name", "wrong name", "expired", "self-signed", "wrong TLSA", "no STARTTLS"];

/// Sends one message; whether it was taken, and the report. What is not taken waits, and nothing
/// of it was said.
async fn outcome(case: &Case, zone: Zone, policy_port: u16, wish: Wish) -> (bool, String) {
    outcome_in(case, &[zone], policy_port, wish).await
}

async fn outcome_in(case: &Case, zones: &[Zone], policy_port: u16, wish: Wish) -> (bool, String) {
    let names = NameServer::start(zones);
    let (routes, direct) = direct(&names, case.sink.port, |settings| {
        settings.policy_port = policy_port;
        settings.authorities = Some(case.authority.pem.clone().into_bytes());
    });
    let site = Site::new(routes).await;
    site.queue("x@far.example", MESSAGE, |terms| terms.tls_optional = wish == Wish::Optional).await;
    site.runner.run_due().await.unwrap();
    let is_taken = !case.sink.taken().is_empty();
    assert_eq!(site.waiting().await.len(), usize::from(!is_taken));
    if !is_taken {
        let said = case.sink.said();
        assert!(!said.iter().any(|line| line.starts_with("MAIL")), "{said:?}");
    }
    (is_taken, counted(&site, &direct).await)
}

/// What the sender wants of TLS.
#[derive(PartialEq)]
enum Wish {
    Usual,
    /// `TLS-Required: No`
    Optional,
}

const MESSAGE: &str = "From: home@pillarbox.example\r\n\r\nbody\r\n";

#[tokio::test]
async fn s013_mta_sts_that_is_enforced_delivers_to_the_right_server_only() {
    for mode in ["enforce", "testing", "none"] {
        for how in WAYS {
            let (case, _) = case(how).await;
            let web = case.authority.sign("mta-sts.far.example");
            let web = PolicyServer::new(&web, &policy(mode, MX)).await;
            let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{STS}");
            let zone = Zone::parse("far.example", &zone);
            let (is_taken, report) = outcome(&case, zone, web.port, Wish::Usual).await;
            let is_right = matches!(how, "right name" | "wrong TLSA");
            assert_eq!(is_taken, is_right || mode != "enforce", "{mode}, {how}: {report}");
            let word = match how {
                "wrong name" => "CertificateHostMismatch",
                "expired" => "CertificateExpired",
                "self-signed" => "CertificateNotTrusted",
                "no STARTTLS" => "StarttlsNotSupported",
                _ => "successes: 1",
            };
            if mode != "none" {
                assert!(report.contains(word), "{mode}, {how}: {report}");
                assert!(report.contains("ruler: Sts"), "{report}");
            }
        }
    }
}

#[tokio::test]
async fn s013_dane_delivers_to_the_server_that_the_zone_names_only() {
    for usage in ["3 1 1", "2 0 1"] {
        for how in WAYS {
            let (case, key) = case(how).await;
            let digest = match (usage, how) {
                ("3 1 1", _) => key,
                (_, "wrong TLSA") => Authority::new().digest(),
                _ => case.authority.digest(),
            };
            let tlsa = format!("_{}._tcp.mx TLSA {usage} {digest}", case.sink.port);
            let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{tlsa}\n");
            let zone = Zone::parse("far.example", &zone).signed();
            let (is_taken, report) = outcome(&case, zone, 9, Wish::Usual).await;
            let is_right = match how {
                "right name" => true,
                // RFC 7672 §3.1.1
                "wrong name" | "expired" | "self-signed" => usage == "3 1 1",
                _ => false,
            };
            assert_eq!(is_taken, is_right, "{usage}, {how}: {report}");
            assert!(report.contains("ruler: Tlsa"), "{report}");
            let word = match (usage, how) {
                (_, "no STARTTLS") => "StarttlsNotSupported",
                (_, "wrong TLSA") | ("2 0 1", "self-signed") => "TlsaInvalid",
                ("2 0 1", "wrong name") => "CertificateHostMismatch",
                ("2 0 1", "expired") => "CertificateExpired",
                _ => "successes: 1",
            };
            assert!(report.contains(word), "{usage}, {how}: {report}");
            let told = "invalid peer certificate: it matches none of the TLSA records";
            assert_eq!(report.contains(told), word == "TlsaInvalid", "{report}");
        }
    }
}

/// RFC 7672 §2.2.2
#[tokio::test]
async fn s013_a_server_by_another_name_is_asked_for_below_both_names() {
    // Where the real server is, where its records stand, and whether they are to be held.
    for (target, records, is_held) in [
        ("real.far.example.", "real.far.example.", true),
        ("real.far.example.", "mx.far.example.", true),
        ("real.open.example.", "mx.far.example.", true),
        ("real.open.example.", "real.open.example.", false),
    ] {
        for how in ["right name", "wrong TLSA"] {
            let (case, key) = case(how).await;
            let tlsa = format!("_{}._tcp.{records} TLSA 3 1 1 {key}\n", case.sink.port);
            let real = "real A 127.0.0.1\n".to_owned();
            let mut far = format!("@ MX 10 mx\nmx CNAME {target}\n{real}");
            let mut open = real;
            if records.contains("far") { &mut far } else { &mut open }.push_str(&tlsa);
            let zones =
                [Zone::parse("far.example", &far).signed(), Zone::parse("open.example", &open)];
            let (is_taken, report) = outcome_in(&case, &zones, 9, Wish::Usual).await;
            assert_eq!(is_taken, how == "right name" || !is_held, "{target} {records}: {report}");
            let kind = if is_held { "Tlsa" } else { "Nobody" };
            assert!(report.contains(&format!("ruler: {kind}")), "{report}");
        }
    }
}

#[tokio::test]
async fn s013_opportunistic_mail_is_delivered_whatever_the_certificate() {
    for how in WAYS {
        let (case, key) = case(how).await;
        // The zone is not signed: its TLSA records prove nothing.
        let tlsa = format!("_{}._tcp.mx TLSA 3 1 1 {key}", case.sink.port);
        let zone = Zone::parse("far.example", &format!("@ MX 10 mx\nmx A 127.0.0.1\n{tlsa}\n"));
        let (is_taken, report) = outcome(&case, zone, 9, Wish::Usual).await;
        assert!(is_taken, "{how}");
        assert_eq!(case.sink.taken()[0].is_tls, how != "no STARTTLS", "{how}");
        assert!(report.contains("Nobody"), "{report}");
    }
}

#[tokio::test]
async fn s013_dane_goes_before_mta_sts() {
    // Right for the policy, wrong for the zone.
    let (case, key) = case("wrong TLSA").await;
    let web = case.authority.sign("mta-sts.far.example");
    let web = PolicyServer::new(&web, &policy("testing", "mx.other.example")).await;
    let tlsa = format!("_{}._tcp.mx TLSA 3 1 1 {key}", case.sink.port);
    let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{STS}{tlsa}\n");
    let zone = Zone::parse("far.example", &zone).signed();
    assert!(!outcome(&case, zone, web.port, Wish::Usual).await.0);
}

#[tokio::test]
async fn s013_records_that_cannot_be_used_still_demand_tls() {
    for (how, expected) in [("self-signed", true), ("no STARTTLS", false)] {
        let (case, key) = case(how).await;
        let tlsa = format!("_{}._tcp.mx TLSA 1 1 1 {key}", case.sink.port);
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{tlsa}\n");
        let zone = Zone::parse("far.example", &zone).signed();
        assert_eq!(outcome(&case, zone, 9, Wish::Usual).await.0, expected, "{how}");
    }
}

#[tokio::test]
async fn s013_tlsa_records_that_are_hidden_or_forged_let_the_mail_wait() {
    for fault in [Fault::ServFail, Fault::ForgedSignatures, Fault::NoSignatures] {
        let (case, key) = case("right name").await;
        let at = format!("_{}._tcp.{MX}", case.sink.port);
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{at}. TLSA 3 1 1 {key}\n");
        let names = NameServer::start(&[Zone::parse("far.example", &zone).signed()]);
        names.break_answers(&at, fault.clone());
        let site = Site::new(direct(&names, case.sink.port, |_| {}).0).await;
        site.queue("x@far.example", MESSAGE, |_| {}).await;
        site.runner.run_due().await.unwrap();
        assert!(case.sink.said().is_empty(), "{fault:?}");
        assert_eq!(site.waiting().await.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn s013_a_policy_is_taken_from_its_own_server_only() {
    let (case, _) = case("self-signed").await;
    let good = case.authority.sign("mta-sts.far.example");
    let misnamed = case.authority.sign("mta-sts.other.example");
    let unsigned = Certificate::self_signed("mta-sts.far.example");
    let enforce = policy("enforce", MX);
    let response = |status: &str, header: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{header}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let text = "Content-Type: text/plain";
    let long = format!("{enforce}{}", "x: y\n".repeat(20_000));
    let servers = [
        PolicyServer::new(&misnamed, &enforce).await,
        PolicyServer::new(&unsigned, &enforce).await,
        PolicyServer::saying(&good, response("404 Not Found", text, &enforce)).await,
        PolicyServer::saying(&good, response("200 OK", "Content-Type: text/html", &enforce)).await,
        PolicyServer::saying(&good, response("302 Found", "Location: /other", "")).await,
        PolicyServer::saying(&good, response("200 OK", text, &long)).await,
        PolicyServer::new(&good, "version: STSv2\n").await,
    ];
    for (n, web) in servers.iter().enumerate() {
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{STS}");
        let zone = Zone::parse("far.example", &zone);
        let (is_taken, report) = outcome(&case, zone, web.port, Wish::Usual).await;
        assert!(is_taken, "{n}");
        let word = match n {
            0 | 1 => "StsWebpkiInvalid",
            6 => "StsPolicyInvalid",
            _ => "StsPolicyFetchError",
        };
        assert!(report.contains(word), "{n}: {report}");
    }
}

#[tokio::test]
async fn s013_a_policy_holds_until_it_ends_whoever_hides_it() {
    let (case, _) = case("self-signed").await;
    let web = case.authority.sign("mta-sts.far.example");
    let web = PolicyServer::new(&web, &policy("enforce", MX)).await;
    let zone = |sts: &str| {
        Zone::parse("far.example", &format!("$TTL 0\n@ MX 10 mx\nmx A 127.0.0.1\n{sts}"))
    };
    let names = NameServer::start(&[zone(STS)]);
    let (routes, _) = direct(&names, case.sink.port, |settings| {
        settings.policy_port = web.port;
        settings.authorities = Some(case.authority.pem.clone().into_bytes());
    });
    let site = Site::new(routes).await;
    site.queue("x@far.example", MESSAGE, |_| {}).await;
    site.runner.run_due().await.unwrap();
    web.answers.store(false, Ordering::SeqCst);
    // Another policy is announced that cannot be had, and then none at all.
    for sts in ["_mta-sts TXT \"v=STSv1; id=2\"\nmta-sts A 127.0.0.1\n", ""] {
        names.replace(zone(sts));
        site.retry().await;
    }
    assert!(case.sink.taken().is_empty());
    assert_eq!(site.waiting().await.len(), 1);
    // Nor does a restart forget it, or another node not know it.
    let (routes, _) = direct(&names, case.sink.port, |_| {});
    let service = site.harness.service.clone();
    let transport = OutboundTransport::new(service.clone(), routes, HOSTNAME.to_owned());
    let settings = RunnerSettings::default();
    let runner = QueueRunner::new(service.clone(), Arc::new(transport), settings).unwrap();
    for listed in service.list_queue(None).await.unwrap() {
        service.retry_queued(listed.id).await.unwrap();
    }
    runner.run_due().await.unwrap();
    assert!(case.sink.taken().is_empty());
    assert_eq!(site.waiting().await.len(), 1);
}

#[tokio::test]
async fn s013_a_server_that_the_policy_does_not_name_gets_nothing() {
    for (pattern, expected) in [("mx.other.example", false), ("*.far.example", true)] {
        let (case, _) = case("right name").await;
        let web = case.authority.sign("mta-sts.far.example");
        let web = PolicyServer::new(&web, &policy("enforce", pattern)).await;
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{STS}");
        let zone = Zone::parse("far.example", &zone);
        assert_eq!(outcome(&case, zone, web.port, Wish::Usual).await.0, expected, "{pattern}");
    }
}

/// RFC 8689 §5
#[tokio::test]
async fn a_message_may_say_that_arriving_is_more_important() {
    for how in ["wrong name", "no STARTTLS"] {
        let (case, _) = case(how).await;
        let web = case.authority.sign("mta-sts.far.example");
        let web = PolicyServer::new(&web, &policy("enforce", MX)).await;
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{STS}");
        let zone = Zone::parse("far.example", &zone);
        assert!(outcome(&case, zone, web.port, Wish::Optional).await.0, "{how}");
    }
}

/// RFC 8689 §4.2.1
#[tokio::test]
async fn a_message_that_requires_tls_arrives_so_or_its_sender_is_told() {
    for (how, is_signed, promises, status) in [
        ("right name", true, true, None),
        ("right name", true, false, Some("5.7.30")),
        ("right name", false, true, Some("5.7.10")),
        ("wrong name", true, true, Some("5.7.10")),
        ("no STARTTLS", true, true, Some("5.7.10")),
    ] {
        let case_name = format!("{how}, signed: {is_signed}, promises: {promises}");
        let authority = Authority::new();
        let name = if how == "wrong name" { "mx.other.example" } else { MX };
        let mut offers = if promises { vec!["REQUIRETLS"] } else { vec![] };
        if how != "no STARTTLS" {
            offers.push("STARTTLS");
        }
        let certificate = Some(authority.sign(name));
        let sink = Sink::new(Manners { offers, certificate, ..Manners::default() }).await;
        let zone = Zone::parse("far.example", "@ MX 10 mx\nmx A 127.0.0.1\n");
        let names = NameServer::start(&[if is_signed { zone.signed() } else { zone }]);
        let (routes, _) = direct(&names, sink.port, |settings| {
            settings.authorities = Some(authority.pem.clone().into_bytes());
        });
        let site = Site::new(routes).await;
        site.queue("x@far.example", MESSAGE, |terms| terms.require_tls = true).await;
        site.runner.run_due().await.unwrap();
        assert!(site.waiting().await.is_empty(), "{case_name}: {:?}", site.waiting().await);
        let notices = site.notices().await;
        match status {
            None => {
                assert_eq!(notices.len(), 0, "{case_name}: {notices:?}");
                assert!(sink.taken()[0].mail.ends_with(" REQUIRETLS"), "{case_name}");
            }
            Some(status) => {
                assert!(sink.taken().is_empty(), "{case_name}");
                let expected = format!("Status: {status}");
                assert!(notices[0].contains(&expected), "{case_name}: {}", notices[0]);
            }
        }
    }
}

/// RFC 8689 §4.2.1: nobody can say yet that the server cannot do what is required.
#[tokio::test]
async fn a_message_that_requires_tls_waits_while_the_handshake_breaks() {
    let authority = Authority::new();
    for is_broken in [true, false] {
        let later = ("STARTTLS", "454 4.7.0 no entropy today");
        let manners = Manners {
            offers: vec!["STARTTLS", "REQUIRETLS"],
            breaks_at: Some("handshake"),
            breaks: usize::from(is_broken),
            replies: if is_broken { Vec::new() } else { vec![later] },
            certificate: Some(authority.sign(MX)),
            ..Manners::default()
        };
        let sink = Sink::new(manners).await;
        let zone = Zone::parse("far.example", "@ MX 10 mx\nmx A 127.0.0.1\n").signed();
        let names = NameServer::start(&[zone]);
        let (routes, _) = direct(&names, sink.port, |settings| {
            settings.authorities = Some(authority.pem.clone().into_bytes());
        });
        let site = Site::new(routes).await;
        site.queue("x@far.example", MESSAGE, |terms| terms.require_tls = true).await;
        site.runner.run_due().await.unwrap();
        assert_eq!(site.waiting().await.len(), 1, "{:?}", site.notices().await);
        assert!(site.notices().await.is_empty() && sink.taken().is_empty());
        if is_broken {
            site.retry().await;
            assert!(sink.taken()[0].mail.ends_with(" REQUIRETLS"), "{:?}", site.waiting().await);
        }
    }
}

/// RFC 8460
#[tokio::test]
async fn the_owner_of_a_domain_is_told_once_what_became_of_tls_if_he_wants_to_know() {
    let key = sender_auth::keys::generate_ed25519().unwrap();
    let key = SigningKey { domain: "pillarbox.example".to_owned(), selector: "s".to_owned(), key };
    let signer = Arc::new(Signer::new(vec![key]).unwrap());
    let record = "_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls@far.example\"\n";
    for (record, signer, count) in [
        (record, Some(Arc::clone(&signer)), 1),
        ("", Some(signer), 0),
        // Without a signature it would not be believed.
        (record, None, 0),
    ] {
        let (case, _) = case("right name").await;
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{record}");
        let names = NameServer::start(&[Zone::parse("far.example", &zone)]);
        let (routes, direct) = direct(&names, case.sink.port, |_| {});
        let site = Site::new(routes).await;
        site.queue("x@far.example", MESSAGE, |_| {}).await;
        site.runner.run_due().await.unwrap();
        let tomorrow = site.harness.service.now_secs() + DAY_SECS;
        let mut one = reporter(&site, &direct, signer.clone());
        assert_eq!(one.report_until(tomorrow).await, count);
        assert_eq!(one.report_until(tomorrow).await, 0, "once a day");
        assert_eq!(reporter(&site, &direct, signer).report_until(tomorrow).await, 0, "by all");
        let before = counted(&site, &direct).await;
        site.runner.run_due().await.unwrap();
        let taken = case.sink.taken();
        assert_eq!(taken.len(), 1 + count);
        assert_eq!(counted(&site, &direct).await, before, "a report on the way of a report");
        let Some(letter) = taken.get(1) else { continue };
        assert_eq!(letter.mail, "MAIL FROM:<>");
        assert_eq!(letter.to, ["RCPT TO:<tls@far.example>"]);
        assert!(letter.text.starts_with("DKIM-Signature: "), "{}", letter.text);
        assert!(letter.text.contains("TLS-Report-Domain: far.example\r\n"), "{}", letter.text);
    }
}

/// RFC 8460 §5.4, §5.5
#[tokio::test]
async fn a_report_is_left_at_a_place_of_https_and_tried_again_if_that_fails() {
    let record = "_smtp._tls TXT \"v=TLSRPTv1; rua=https://tls.far.example/in?a=b\"\n\
                  tls A 127.0.0.1\n";
    let (case, _) = case("right name").await;
    let place = case.authority.sign("tls.far.example");
    let answer = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let elsewhere = "HTTP/1.1 307 No\r\nLocation: https://tls.far.example/\r\n\
                     Content-Length: 0\r\nConnection: close\r\n\r\n";
    for is_led_astray in [false, true] {
        let answer = if is_led_astray { elsewhere } else { answer };
        let web = PolicyServer::saying(&place, answer.to_owned()).await;
        let zone = format!("@ MX 10 mx\nmx A 127.0.0.1\n{record}");
        let names = NameServer::start(&[Zone::parse("far.example", &zone)]);
        let (routes, direct) = direct(&names, case.sink.port, |settings| {
            settings.policy_port = web.port;
            settings.authorities = Some(case.authority.pem.clone().into_bytes());
        });
        let site = Site::new(routes).await;
        site.queue("x@far.example", MESSAGE, |_| {}).await;
        site.runner.run_due().await.unwrap();
        let tomorrow = site.harness.service.now_secs() + DAY_SECS;
        // It needs no keys, as mail does.
        let mut reporter = reporter(&site, &direct, None);
        web.answers.store(false, Ordering::SeqCst);
        assert_eq!(reporter.report_until(tomorrow).await, 0);
        web.answers.store(true, Ordering::SeqCst);
        assert_eq!(reporter.report_until(tomorrow + 3599).await, 0, "too early");
        assert!(web.requests().is_empty());
        let taken = reporter.report_until(tomorrow + 3600).await;
        assert_eq!(taken, usize::from(!is_led_astray));
        assert_eq!(reporter.report_until(tomorrow + 3600).await, 0, "once");
        let requests = web.requests();
        assert_eq!(requests.len(), 1, "nothing is followed");
        let split = requests[0].windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        let (head, body) = requests[0].split_at(split + 4);
        let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
        assert!(head.starts_with("post /in?a=b http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/tlsrpt+gzip\r\n"), "{head}");
        let report: Value = serde_json::from_reader(GzDecoder::new(body)).unwrap();
        assert_eq!(report["policies"][0]["policy"]["policy-domain"], "far.example", "{report}");
        assert_eq!(report["policies"][0]["summary"]["total-successful-session-count"], 1);
    }
}

#[tokio::test]
async fn a_reporter_ends_when_the_last_attempt_is_over_and_loses_nothing_of_it() {
    let (case, _) = case("right name").await;
    let names = NameServer::start(&[Zone::parse("far.example", "@ MX 10 mx\nmx A 127.0.0.1\n")]);
    let (routes, direct) = direct(&names, case.sink.port, |_| {});
    let site = Site::new(routes).await;
    site.queue("x@far.example", MESSAGE, |_| {}).await;
    let service = site.harness.service.clone();
    let reporter = reporter(&site, &direct, None);
    drop(direct);
    let mut running = tokio::spawn(reporter.run(std::future::pending()));
    site.runner.run_due().await.unwrap();
    assert_eq!(case.sink.taken().len(), 1);
    tokio::time::pause();
    // Other attempts may follow.
    assert!(tokio::time::timeout(SOME_WRITES, &mut running).await.is_err());
    site.queue("x@far.example", MESSAGE, |_| {}).await;
    tokio::time::resume();
    site.runner.run_due().await.unwrap();
    drop(site);
    tokio::time::pause();
    tokio::time::timeout(SOME_WRITES, running).await.unwrap().unwrap();
    let day = keys::story_day(service.now_secs());
    let mut successes = 0;
    // The day may have changed meanwhile.
    for day in [day - 1, day] {
        let counts = service.tls_counts(day, "far.example").await.unwrap();
        successes += counts.values().map(|counts| counts.successes).sum::<u64>();
    }
    assert_eq!(successes, 2);
}

/// Longer than the pause between two.
const SOME_WRITES: std::time::Duration = std::time::Duration::from_secs(200);
/// Counts a session of a domain on a day that is over; which.
async fn count_before(service: &Service, number: u32, domain: &str) -> u32 {
    let day = keys::story_day(service.now_secs()) - 2;
    let subject = Subject::new(domain, Ruler::Nobody, Vec::new());
    let counts = Counts { successes: 1, ..Counts::default() };
    let counted = Counted { day, number, subject, counts };
    service.keep_tls_counts([1; 8], &[counted]).await.unwrap();
    day
}

/// Reports while some places do not answer, and one does.
struct HeldUp {
    case: Case,
    site: Site,
    day: u32,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    _names: NameServer,
}

/// All of them were asked.
async fn held_up() -> HeldUp {
    let (case, _) = case("right name").await;
    let place = case.authority.sign("tls.far.example");
    let answer = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let web = PolicyServer::saying(&place, answer.to_owned()).await;
    let mut zone = "@ MX 10 mx\nmx A 127.0.0.1\ntls A 127.0.0.1\n".to_owned();
    let places = ["never", "never", "never", "in"];
    for (n, place) in places.iter().enumerate() {
        let rua = format!("rua=https://tls.far.example/{place}");
        zone.push_str(&format!("_smtp._tls.d{n} TXT \"v=TLSRPTv1; {rua}\"\n"));
    }
    let names = NameServer::start(&[Zone::parse("far.example", &zone)]);
    let (routes, direct) = direct(&names, case.sink.port, |settings| {
        settings.policy_port = web.port;
        settings.authorities = Some(case.authority.pem.clone().into_bytes());
    });
    let site = Site::new(routes).await;
    let mut day = 0;
    for n in 0..4 {
        day = count_before(&site.harness.service, n, &format!("d{n}.far.example")).await;
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(reporter(&site, &direct, None).run(async {
        let _ = stopped.await;
    }));
    pass(Duration::from_secs(3601)).await;
    web.wait_for_requests(places.len()).await;
    HeldUp { case, site, day, stop, running, _names: names }
}

/// Lets time pass for those who wait for it already.
async fn pass(time: Duration) {
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// RFC 8460 §5.5
#[tokio::test]
async fn a_place_that_never_answers_holds_up_neither_other_reports_nor_the_end() {
    let HeldUp { site, day, stop, running, .. } = held_up().await;
    stop.send(()).unwrap();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    let left = site.harness.service.unreported_tls_domains(day).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_place_that_never_answers_does_not_keep_counts_from_being_written() {
    let HeldUp { case, site, stop, running, _names, .. } = held_up().await;
    site.queue("x@far.example", MESSAGE, |_| {}).await;
    site.runner.run_due().await.unwrap();
    assert_eq!(case.sink.taken().len(), 1);
    pass(Duration::from_secs(61)).await;
    let service = &site.harness.service;
    let day = keys::story_day(service.now_secs());
    let is_written = async || {
        let today = service.unreported_tls_domains(day).await.unwrap();
        let before = service.unreported_tls_domains(day - 1).await.unwrap();
        !today.is_empty() || !before.is_empty()
    };
    let written = async {
        while !is_written().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn of_a_domain_whose_counts_cannot_be_read_nothing_is_reported() {
    let key = sender_auth::keys::generate_ed25519().unwrap();
    let key = SigningKey { domain: "pillarbox.example".to_owned(), selector: "s".to_owned(), key };
    let signer = Some(Arc::new(Signer::new(vec![key]).unwrap()));
    let rua = "TXT \"v=TLSRPTv1; rua=mailto:tls@far.example\"";
    let zone = format!("_smtp._tls.a {rua}\n_smtp._tls.b {rua}\n");
    let names = NameServer::start(&[Zone::parse("far.example", &zone)]);
    let (_, direct) = direct(&names, 9, |_| {});
    let store: Arc<dyn Store> = Arc::new(Mem::new());
    let service = Harness::on(Arc::clone(&store), 1 << 20).await.service;
    let day = count_before(&service, 0, "b.far.example").await;
    let damaged = Write::put(keys::tls_count(day, "a.far.example", [1; 8], 1), b"\xff");
    store.commit_wait(Commit::new().write(damaged)).unwrap();
    let now = service.now_secs();
    let domain = "pillarbox.example".to_owned();
    let mut reporter = TlsReporter::new(service.clone(), direct, domain, watch::channel(signer).1);
    assert_eq!(reporter.report_until(now).await, 1, "the other one");
    assert_eq!(service.unreported_tls_domains(day).await.unwrap(), ["a.far.example"]);
    assert_eq!(service.list_queue(None).await.unwrap().len(), 1);
}
