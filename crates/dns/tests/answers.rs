//! What the resolver tells of zones, and what it thinks of their signatures.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::net::IpAddr;
use std::time::Duration;

use dns::{DnsError, Resolver, Settings, Validation};
use testkit::dns::{Fault, NameServer, Zone};

fn resolver(server: &NameServer) -> Resolver {
    Resolver::new(&settings(server)).unwrap()
}

fn settings(server: &NameServer) -> Settings {
    Settings {
        servers: vec![server.address()],
        trust_anchor: Some(server.trust_anchor().into_bytes()),
        timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

const SIGNED: &str = "
@ MX 10 MX.example.org.
@ MX 20 mx.elsewhere.example.
@ TXT \"v=spf1 \" \"-all\"
@ TXT \"second\"
mx A 192.0.2.1
mx AAAA 2001:db8::1
four A 192.0.2.4
_25._tcp.mx TLSA 3 1 1 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
_imaps._tcp SRV 1 2 993 mx
_none._tcp SRV 0 0 0 .
alias CNAME mx
away CNAME host.unsigned.example.
none MX 0 .
xn--bcher-kva A 192.0.2.9
";

const UNSIGNED: &str = "
@ MX 5 host
host A 192.0.2.77
alias CNAME mx.example.org.
";

fn zones() -> NameServer {
    NameServer::start(&[
        Zone::parse("example.org", SIGNED).signed(),
        Zone::parse("unsigned.example", UNSIGNED),
        Zone::parse("2.0.192.in-addr.arpa", "1 PTR mx.example.org.\n").signed(),
    ])
}

#[tokio::test]
async fn each_kind_of_record_is_told_with_its_security() {
    let server = zones();
    let resolver = resolver(&server);
    let mx = resolver.mx("Example.ORG").await.unwrap();
    assert!(mx.is_secure());
    let mut told: Vec<_> = mx.records.iter().map(|mx| (mx.preference, &*mx.exchange)).collect();
    told.sort_unstable();
    assert_eq!(told, [(10, "mx.example.org"), (20, "mx.elsewhere.example")]);
    assert_eq!(resolver.mx("none.example.org").await.unwrap().records[0].exchange, "");

    let mut texts = resolver.txt("example.org").await.unwrap().records;
    texts.sort_unstable();
    assert_eq!(texts, ["second", "v=spf1 -all"]);

    let tlsa = resolver.tlsa(25, "mx.example.org").await.unwrap();
    assert!(tlsa.is_secure());
    let first = &tlsa.records[0];
    assert_eq!((first.usage, first.selector, first.matching), (3, 1, 1));
    assert_eq!(first.data, (1..=32).collect::<Vec<u8>>());

    let srv = resolver.srv("_imaps._tcp.example.org").await.unwrap();
    let first = &srv.records[0];
    assert_eq!((first.priority, first.weight, first.port), (1, 2, 993));
    assert_eq!(first.target, "mx.example.org");
    assert_eq!(resolver.srv("_none._tcp.example.org").await.unwrap().records[0].target, "");

    let ptr = resolver.ptr("192.0.2.1".parse().unwrap()).await.unwrap();
    assert_eq!((ptr.is_secure(), ptr.records), (true, vec!["mx.example.org".to_owned()]));
}

#[tokio::test]
async fn addresses_of_both_kinds_are_asked_for_and_one_kind_is_enough() {
    let server = zones();
    let resolver = resolver(&server);
    let both = resolver.addresses("mx.example.org").await.unwrap();
    let expected: Vec<IpAddr> = vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    assert_eq!((both.is_secure(), both.records), (true, expected));
    let four = resolver.addresses("four.example.org").await.unwrap();
    assert_eq!((four.is_secure(), four.records.len()), (true, 1));
    let wide = resolver.addresses("bücher.example.org").await.unwrap();
    assert_eq!(wide.records, ["192.0.2.9".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn a_zone_that_its_parent_does_not_vouch_for_is_insecure_and_works() {
    let server = zones();
    let resolver = resolver(&server);
    let mx = resolver.mx("unsigned.example").await.unwrap();
    assert!(!mx.is_secure());
    assert_eq!(mx.records[0].exchange, "host.unsigned.example");
    assert!(!resolver.addresses("host.unsigned.example").await.unwrap().is_secure());
    assert_eq!(
        resolver.mx("nowhere.unsigned.example").await.unwrap_err(),
        DnsError::NoSuchName { secure: false }
    );
    assert_eq!(
        resolver.mx("host.unsigned.example").await.unwrap_err(),
        DnsError::NoRecords { secure: false }
    );
}

#[tokio::test]
async fn an_alias_is_secure_only_if_both_its_ends_are() {
    let server = zones();
    let resolver = resolver(&server);
    assert!(resolver.addresses("alias.example.org").await.unwrap().is_secure());
    for name in ["away.example.org", "alias.unsigned.example"] {
        let answer = resolver.addresses(name).await.unwrap();
        assert!(!answer.is_secure(), "{name}");
        // What is remembered is not more secure than what was told.
        assert!(!resolver.addresses(name).await.unwrap().is_secure(), "{name}");
    }
}

#[tokio::test]
async fn absence_is_proven_by_either_kind_of_denial() {
    for (how, zone) in [
        ("NSEC", Zone::parse("example.org", SIGNED).signed()),
        ("NSEC3", Zone::parse("example.org", SIGNED).signed_with_nsec3(0)),
    ] {
        let server = NameServer::start(&[zone]);
        let resolver = resolver(&server);
        let error = resolver.mx("nowhere.example.org").await.unwrap_err();
        assert_eq!(error, DnsError::NoSuchName { secure: true }, "{how}");
        let error = resolver.tlsa(25, "four.example.org").await.unwrap_err();
        assert_eq!(error, DnsError::NoSuchName { secure: true }, "{how}");
        let error = resolver.mx("four.example.org").await.unwrap_err();
        assert_eq!(error, DnsError::NoRecords { secure: true }, "{how}");
        // The same from memory.
        let error = resolver.mx("four.example.org").await.unwrap_err();
        assert_eq!(error, DnsError::NoRecords { secure: true }, "{how}");
    }
}

#[tokio::test]
async fn what_is_remembered_is_not_asked_for_again() {
    let server = zones();
    let resolver = resolver(&server);
    for _ in 0..3 {
        resolver.mx("example.org").await.unwrap();
        resolver.mx("nowhere.example.org").await.unwrap_err();
    }
    assert_eq!(server.asked("example.org", "MX"), 1);
    assert_eq!(server.asked("nowhere.example.org", "MX"), 1);
}

#[tokio::test]
async fn forged_and_missing_signatures_are_bogus_and_temporary() {
    for fault in [Fault::ForgedSignatures, Fault::NoSignatures] {
        let server = zones();
        let resolver = resolver(&server);
        for name in ["example.org", "nowhere.example.org"] {
            server.break_answers(name, fault.clone());
            let error = resolver.mx(name).await.unwrap_err();
            assert!(matches!(error, DnsError::Bogus(_)), "{fault:?} {name}: {error:?}");
            assert!(error.is_temporary());
            // It is not remembered: the owner mends it, and it is well.
            server.mend_answers(name);
            let mended = resolver.mx(name).await;
            assert!(mended.map_or_else(|error| error.is_absent(), |mx| mx.is_secure()));
        }
    }
}

#[tokio::test]
async fn behind_a_forwarder_that_drops_signatures_names_are_insecure_and_mail_flows() {
    let server = zones();
    server.strip_signatures();
    let resolver = resolver(&server);
    assert!(!resolver.validates().await);
    let mx = resolver.mx("example.org").await.unwrap();
    assert_eq!((mx.is_secure(), mx.records.len()), (false, 2));
    let error = resolver.tlsa(25, "four.example.org").await.unwrap_err();
    assert_eq!(error, DnsError::NoSuchName { secure: false });
}

#[tokio::test]
async fn who_asks_for_signatures_always_gets_none_that_cannot_be_verified() {
    let server = zones();
    server.strip_signatures();
    let settings = Settings { validation: Validation::Always, ..settings(&server) };
    let error = Resolver::new(&settings).unwrap().mx("example.org").await.unwrap_err();
    assert!(matches!(error, DnsError::Bogus(_)), "{error:?}");
}

#[tokio::test]
async fn who_asks_for_none_gets_none_verified() {
    let server = zones();
    let settings = Settings { validation: Validation::Never, ..settings(&server) };
    let resolver = Resolver::new(&settings).unwrap();
    assert!(!resolver.mx("example.org").await.unwrap().is_secure());
    assert_eq!(server.asked("", "SOA"), 0);
}

#[tokio::test]
async fn once_signatures_came_through_their_loss_is_bogus() {
    let server = zones();
    let resolver = resolver(&server);
    assert!(resolver.mx("example.org").await.unwrap().is_secure());
    server.strip_signatures();
    let error = resolver.txt("example.org").await.unwrap_err();
    assert!(matches!(error, DnsError::Bogus(_)), "{error:?}");
}

#[tokio::test]
async fn keys_of_another_root_do_not_count() {
    let (server, other) = (zones(), zones());
    let trust_anchor = Some(other.trust_anchor().into_bytes());
    let settings = Settings { trust_anchor, validation: Validation::Always, ..settings(&server) };
    let error = Resolver::new(&settings).unwrap().mx("example.org").await.unwrap_err();
    assert!(matches!(error, DnsError::Bogus(_)), "{error:?}");
}

#[tokio::test]
async fn a_block_list_lists_by_addresses_of_loopback_only() {
    let list = "
2.2.0.192 A 127.0.0.2
3.2.0.192 A 127.255.255.254
4.2.0.192 A 198.51.100.1
";
    let server = NameServer::start(&[Zone::parse("list.example", list)]);
    let resolver = resolver(&server);
    for (name, listed) in [("2", true), ("3", false), ("4", false), ("5", false)] {
        let name = format!("{name}.2.0.192.list.example");
        assert_eq!(resolver.a_exists(&name).await, Ok(listed), "{name}");
    }
    server.break_answers("9.2.0.192.list.example", Fault::ServFail);
    let failed = resolver.a_exists("9.2.0.192.list.example").await.unwrap_err();
    assert!(failed.is_temporary());
}

#[tokio::test]
async fn a_question_that_is_given_up_does_not_keep_the_way_unknown() {
    let server = zones();
    server.break_answers("", Fault::Silent);
    let settings = Settings { timeout: Duration::from_secs(2), ..settings(&server) };
    let resolver = Resolver::new(&settings).unwrap();
    // The silent root is asked for half of that. Whoever waits for less each time learns, too.
    let impatient = || tokio::time::timeout(Duration::from_millis(400), resolver.mx("example.org"));
    for _ in 0..20 {
        if let Ok(mx) = impatient().await {
            assert!(!mx.unwrap().is_secure());
            return;
        }
    }
    panic!("it was never found out that the root is silent");
}
