//! Name servers that answer with what should hurt. Every question ends in time and at a bounded
//! cost, nothing false is believed or remembered, and the next question is answered as ever.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use dns::{Answer, DnsError, Resolver, Settings, Validation};
use testkit::dns::{Fault, NameServer, Zone};

const ZONE: &str = "
@ MX 10 mx
mx A 192.0.2.1
victim A 192.0.2.2
";

fn server() -> NameServer {
    NameServer::start(&[
        Zone::parse("signed.example", ZONE).signed(),
        Zone::parse("unsigned.example", ZONE),
    ])
}

fn resolver(server: &NameServer) -> Resolver {
    let settings = Settings {
        servers: vec![server.address()],
        trust_anchor: Some(server.trust_anchor().into_bytes()),
        validation: Validation::Always,
        timeout: TIMEOUT,
        attempts: 1,
    };
    Resolver::new(&settings).unwrap()
}

type Addresses = Result<Answer<Vec<IpAddr>>, DnsError>;

/// Asks, and measures: the time that passes, and the time of this thread, which does all the work
/// of the resolver. A chain of signatures is verified beforehand, so that only the answer counts.
async fn ask(resolver: &Resolver, name: &str) -> Addresses {
    resolver.mx("signed.example").await.unwrap();
    let (began, worked) = (Instant::now(), worked());
    let answer = resolver.addresses(name).await;
    let worked = self::worked() - worked;
    assert!(began.elapsed() < TIMEOUT + Duration::from_secs(1), "{name}: {:?}", began.elapsed());
    assert!(worked < WORK_MAX, "{name}: {worked:?}");
    eprintln!("{name}: {worked:?} of work, {:?}", began.elapsed());
    answer
}

/// The time that this thread has been running on a processor.
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn s096_answers_that_cannot_be_read_or_are_not_to_the_question_are_no_answers() {
    for fault in [
        Fault::ServFail,
        Fault::Refused,
        Fault::Silent,
        Fault::WrongId,
        Fault::WrongQuestion,
        Fault::CompressionLoop,
        Fault::CutOff,
        Fault::Garbage,
        Fault::Truncated,
    ] {
        let server = server();
        let resolver = resolver(&server);
        for name in ["mx.signed.example", "mx.unsigned.example"] {
            server.break_answers(name, fault.clone());
            let error = ask(&resolver, name).await.unwrap_err();
            assert!(matches!(error, DnsError::Temporary(_)), "{fault:?} {name}: {error:?}");
            server.mend_answers(name);
            assert!(ask(&resolver, name).await.is_ok(), "{fault:?} {name}");
        }
    }
}

#[tokio::test]
async fn s096_an_answer_of_thousands_of_records_costs_little_and_is_refused() {
    for fault in [Fault::ManyAddresses(3_500), Fault::ManyNames(2_500)] {
        let server = server();
        let resolver = resolver(&server);
        for name in ["mx.signed.example", "mx.unsigned.example"] {
            server.break_answers(name, fault.clone());
            let answer = ask(&resolver, name).await;
            match fault {
                // What belongs to other names is left out; the rest is as it was.
                Fault::ManyNames(_) => assert_eq!(answer.unwrap().records.len(), 1),
                _ => assert!(answer.unwrap_err().is_temporary(), "{name}"),
            }
        }
        assert!(ask(&resolver, "victim.signed.example").await.unwrap().is_secure());
    }
}

#[tokio::test]
async fn s096_records_of_other_names_are_neither_told_nor_remembered() {
    let server = server();
    let resolver = resolver(&server);
    let foreign = Ipv4Addr::new(203, 0, 113, 66);
    for zone in ["signed.example", "unsigned.example"] {
        let (name, victim) = (format!("mx.{zone}"), format!("victim.{zone}"));
        server.break_answers(&name, Fault::Foreign(victim.clone(), foreign));
        let told = ask(&resolver, &name).await.unwrap();
        assert_eq!(told.records, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        let told = ask(&resolver, &victim).await.unwrap();
        assert_eq!(told.records, ["192.0.2.2".parse::<IpAddr>().unwrap()]);
    }
}

#[tokio::test]
async fn s096_chains_and_rings_of_aliases_end() {
    let mut zone =
        String::from("ring0 CNAME ring1\nring1 CNAME ring0\nself CNAME self\nc0 A 192.0.2.1\n");
    for link in 1..40 {
        zone.push_str(&format!("c{link} CNAME c{}\n", link - 1));
    }
    for zone in [Zone::parse("chain.example", &zone).signed(), Zone::parse("chain.example", &zone)]
    {
        let server = NameServer::start(&[zone, Zone::parse("signed.example", ZONE).signed()]);
        let resolver = resolver(&server);
        assert_eq!(ask(&resolver, "c3.chain.example").await.unwrap().records.len(), 1);
        for name in ["ring0.chain.example", "self.chain.example", "c39.chain.example"] {
            let before = server.questions().len();
            assert!(ask(&resolver, name).await.is_err(), "{name}");
            let asked = server.questions().len() - before;
            assert!(asked < QUESTIONS_MAX, "{name}: {asked} questions");
        }
    }
}

#[tokio::test]
async fn s096_costly_denials_are_not_computed() {
    for (iterations, bogus) in [(0, false), (100, false), (2_500, true)] {
        let zone = Zone::parse("costly.example", ZONE).signed_with_nsec3(iterations);
        let server = NameServer::start(&[zone, Zone::parse("signed.example", ZONE).signed()]);
        let error = ask(&resolver(&server), "nowhere.costly.example").await.unwrap_err();
        if bogus {
            assert!(matches!(error, DnsError::Bogus(_)), "{iterations}: {error:?}");
        } else {
            assert_eq!(error, DnsError::NoSuchName { secure: iterations == 0 }, "{iterations}");
        }
    }
}

#[tokio::test]
async fn s096_a_flood_of_signatures_is_not_verified_to_its_end() {
    let server = server();
    let resolver = resolver(&server);
    server.break_answers("mx.signed.example", Fault::ManySignatures(400));
    let error = ask(&resolver, "mx.signed.example").await.unwrap_err();
    assert!(matches!(error, DnsError::Bogus(_)), "{error:?}");
    assert!(ask(&resolver, "victim.signed.example").await.unwrap().is_secure());
}

#[tokio::test]
async fn s096_a_forged_delegation_does_not_make_a_signed_zone_insecure() {
    let server = server();
    server.break_answers("mx.signed.example", Fault::NoSignatures);
    server.break_answers("signed.example", Fault::NoSignatures);
    let error = resolver(&server).addresses("mx.signed.example").await.unwrap_err();
    assert!(matches!(error, DnsError::Bogus(_)), "{error:?}");
}

const TIMEOUT: Duration = Duration::from_secs(2);

/// What one question may cost; unoptimized code takes several times as long.
const WORK_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });

/// Two kinds of addresses, each through as many aliases as are followed, and for each alias where
/// its zone begins and whether that is signed.
const QUESTIONS_MAX: usize = 300;
