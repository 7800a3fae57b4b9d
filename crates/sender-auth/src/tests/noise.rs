//! Messages that nobody would write.

use std::hash::{BuildHasher, RandomState};

use super::zone::Zone;
use super::{Forger, text, verified};
use crate::strip_results;

/// A row of numbers that a seed leads to (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

#[tokio::test]
async fn s016_whatever_comes_two_fields_are_told_and_ours_are_stripped() {
    const PIECES: &[&str] = &[
        "\r\n",
        "\n",
        "\0",
        "\"",
        "(",
        ")",
        "\\",
        ";",
        "=",
        "@",
        "<",
        ">",
        ",",
        ":",
        " ",
        "\t",
        "%",
        "\r\nFrom: x@y.example\r\n",
        "b=",
        "h=from",
        "d=a.example",
        "i=1;",
        "\u{fc}",
        "\r\nAuthentication-Results: mx.here.example; dmarc=pass\r\n",
        "=?utf-8?q?x?=",
    ];
    let seed = RandomState::new().hash_one(0);
    println!("seed {seed}");
    let mut numbers = Numbers(seed);
    let forger = Forger::new();
    let tags = "v=1; a=ed25519-sha256; d=a.example; s=s; h=from:subject";
    let message = text("From: Jane <jane@a.example>\nSubject: x\n\nyes\n");
    let signed = forger.signed("DKIM-Signature", tags, &message);
    let arc = "ARC-Seal: i=1; a=ed25519-sha256; cv=none; d=a.example; s=s; b=AAAA\r\n\
               ARC-Authentication-Results: i=1; a.example; dmarc=pass\r\n";
    let arc_tags = "i=1; a=ed25519-sha256; d=a.example; s=s; h=from";
    let whole = format!("{arc}{}", forger.signed("ARC-Message-Signature", arc_tags, &signed));
    let zone = forger.record("s._domainkey.a.example");
    for _ in 0..1_000 {
        let mut noisy = whole.clone();
        for _ in 0..=numbers.below(6) {
            let at = numbers.below(noisy.len());
            let at = (0..=at).rev().find(|at| noisy.is_char_boundary(*at)).unwrap();
            let piece = PIECES[numbers.below(PIECES.len())];
            if numbers.below(3) == 0 {
                noisy.truncate(at);
            }
            noisy.insert_str(at, piece);
        }
        let sender = &noisy[..noisy.find('\n').unwrap_or(noisy.len())];
        let report = verified(Zone::new(&zone), sender, &noisy).await;
        let fields: Vec<_> = mime::header::fields(&report.fields).map(|it| it.name).collect();
        assert_eq!(fields, [&b"Authentication-Results"[..], b"Received-SPF"], "{noisy:?}");
        assert!(report.fields.is_ascii() && report.reason.is_ascii(), "{noisy:?}");
        let stripped =
            strip_results(&[&report.fields, noisy.as_bytes()].concat(), "MX.here.example");
        let is_ours = |field: mime::header::Field<'_>| {
            field.is_named(b"Authentication-Results")
                && field.value.trim_ascii().starts_with(b"mx.here.example;")
        };
        assert!(!mime::header::fields(&stripped).any(is_ours), "{noisy:?}");
    }
}
