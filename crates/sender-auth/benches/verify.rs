//! How many messages one core verifies and signs, with answers at hand.
//!
//! `cargo bench -p sender-auth`
//!
//! Target: all that is done for a message that comes in at 500 messages/s on one core. Verifying is
//! a part of that, so it shall take well under 1 ms. The estimate: two signatures of RSA and
//! Ed25519 cost about 0.1 ms, two hashes of the body 0.02 ms; the rest is text.

#![allow(clippy::expect_used, reason = "a bench that fails shall stop")]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sender_auth::keys::{dns_record, generate_ed25519, generate_rsa};
use sender_auth::{
    Decision, Failure, Family, Incoming, Key, Lookup, Signer, SigningKey, Source, Verifier,
};

/// A zone in memory.
#[derive(Default)]
struct Zone {
    texts: HashMap<String, String>,
}

impl Source for Zone {
    fn txt<'a>(&'a self, name: &'a str) -> Lookup<'a, String> {
        let found = self.texts.get(name).map(|text| vec![text.clone()]);
        Box::pin(async move { found.ok_or(Failure::NoSuchName) })
    }

    fn addresses<'a>(&'a self, _: &'a str, _: Family) -> Lookup<'a, IpAddr> {
        Box::pin(async { Err(Failure::NoSuchName) })
    }

    fn exchanges<'a>(&'a self, _: &'a str) -> Lookup<'a, String> {
        Box::pin(async { Err(Failure::NoSuchName) })
    }

    fn names(&self, _: IpAddr) -> Lookup<'_, String> {
        Box::pin(async { Err(Failure::NoSuchName) })
    }
}

/// A message of so many octets.
fn message_of(octets: usize) -> Vec<u8> {
    let mut text =
        "From: Jane <jane@a.example>\r\nTo: joe@b.example\r\nSubject: The tide tables\r\n\
                    Date: Thu, 12 Jan 2023 10:00:00 +0100\r\nMessage-ID: <1@a.example>\r\n\
                    MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
            .to_owned();
    while text.len() < octets {
        text.push_str("The tables for the coming week are ready, please check berth four.\r\n");
    }
    text.into_bytes()
}

fn incoming_with(message: &[u8]) -> Incoming<'_> {
    Incoming {
        ip: IpAddr::from([192, 0, 2, 1]),
        helo: "client.example",
        mail_from: Some("jane@a.example"),
        message,
        now: 2,
    }
}

fn verify(criterion: &mut Criterion) {
    let mut zone = Zone::default();
    let mut signing = Vec::new();
    for (selector, key) in [("r1", generate_rsa()), ("e1", generate_ed25519())] {
        let key = key.expect("a key");
        let record = dns_record(&Key::from_pem(key.expose()).expect("the key"));
        zone.texts.insert(format!("{selector}._domainkey.a.example"), record);
        let (domain, selector) = ("a.example".to_owned(), selector.to_owned());
        signing.push(SigningKey { domain, selector, key });
    }
    let spf = "v=spf1 ip4:198.51.100.0/24 include:b.example -all";
    zone.texts.insert("a.example".to_owned(), spf.to_owned());
    zone.texts.insert("b.example".to_owned(), "v=spf1 ip4:192.0.2.0/24 -all".to_owned());
    zone.texts.insert("_dmarc.a.example".to_owned(), "v=DMARC1; p=reject".to_owned());
    let signer = Signer::new(signing).expect("a signer");
    let message = message_of(5_000);
    let mut signed = signer.sign("a.example", &message, 1).expect("signatures");
    signed.extend_from_slice(&message);
    let verifier = Verifier::with_source(Arc::new(zone), "mx.here.example".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let incoming = incoming_with(&signed);
    let report = runtime.block_on(verifier.verify(&incoming));
    assert_eq!(report.decision, Decision::Accept);
    assert!(report.dkim.iter().all(|dkim| dkim.reason.is_empty()));

    let mut group = criterion.benchmark_group("5 KB, RSA and Ed25519");
    group.throughput(Throughput::Elements(1));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| runtime.block_on(verifier.verify(black_box(&incoming))));
    });
    group.bench_function("sign", |bencher| {
        bencher.iter(|| signer.sign("a.example", black_box(&message), 1));
    });
    group.finish();

    let long = message_of(1_000_000);
    let mut chained = signer.sign("a.example", &long, 1).expect("signatures");
    chained.extend_from_slice(&long);
    for _ in 0..2 {
        let results = runtime.block_on(verifier.verify(&incoming_with(&chained))).results;
        let set = signer.seal("a.example", &results, &chained, 1).expect("a set");
        chained = [set, chained].concat();
    }
    let incoming = incoming_with(&chained);
    let report = runtime.block_on(verifier.verify(&incoming));
    assert_eq!(report.arc.sets.len(), 2);
    let mut group = criterion.benchmark_group("1 MB, RSA and Ed25519, sealed twice");
    group.throughput(Throughput::Bytes(chained.len() as u64));
    group.bench_function("verify", |bencher| {
        bencher.iter(|| runtime.block_on(verifier.verify(black_box(&incoming))));
    });
    group.bench_function("seal", |bencher| {
        bencher.iter(|| signer.seal("a.example", &report.results, black_box(&chained), 1));
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
