//! How fast messages are parsed, beside mail-parser in the same run.
//!
//! `cargo bench -p mime`
//!
//! Targets on one core: small messages under 20 us, big attachments at 500 MB/s or more.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mime::{Decoder, Encoding, Limits, LineEnds, Parser, parse};

/// A text of 3 KB with the header of a mail that passed some relays.
fn small() -> Vec<u8> {
    let mut mail = String::new();
    for hop in 0..4 {
        mail.push_str(&format!(
            "Received: from relay{hop}.example (relay{hop}.example [192.0.2.{hop}])\r\n\tby \
             mx.harbour.example (Postfix) with ESMTPS id 4Tb{hop}XYZ\r\n\tfor <office@harbour.example>; \
             Thu, 12 Jan 2023 10:00:0{hop} +0100 (CET)\r\n"
        ));
    }
    mail.push_str(
        "From: =?utf-8?q?B=C3=BCro?= <office@harbour.example>\r\nTo: crew@harbour.example, \
         Pilot <pilot@harbour.example>\r\nSubject: =?utf-8?b?VMOkZ2xpY2hlciBCZXJpY2h0?=\r\nDate: Thu, 12 \
         Jan 2023 10:00:00 +0100\r\nMessage-ID: <20230112@harbour.example>\r\nReferences: \
         <1@harbour.example>\r\n <2@harbour.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; \
         charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    );
    while mail.len() < 3000 {
        mail.push_str(
            "The tide tables for the coming week are ready, please check berth four.\r\n",
        );
    }
    mail.into_bytes()
}

/// Text, HTML and a picture: 60 KB.
fn newsletter() -> Vec<u8> {
    let html = "<tr><td style=\"padding:0\"><a href=3D\"https://harbour.example/\">Berth</a></td></tr>=\r\n";
    format!(
        "From: news@harbour.example\r\nTo: crew@harbour.example\r\nSubject: News\r\nContent-Type: \
         multipart/related; boundary=\"rel\"\r\n\r\n--rel\r\nContent-Type: multipart/alternative; \
         boundary=\"alt\"\r\n\r\n--alt\r\nContent-Type: text/plain\r\n\r\n{}\r\n--alt\r\nContent-Type: \
         text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n--alt--\r\n\
         --rel\r\nContent-Type: image/png; name=a.png\r\nContent-ID: <a>\r\nContent-Transfer-Encoding: \
         base64\r\n\r\n{}\r\n--rel--\r\n",
        "Read this with pictures.\r\n".repeat(40),
        html.repeat(300),
        format!("{}\r\n", "iVBORw0K".repeat(9)).repeat(400),
    )
    .into_bytes()
}

/// A text and an attachment of 10 MB in base64.
fn attachment() -> Vec<u8> {
    let mut mail =
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"----=_x\"\r\n\r\n\
        ------=_x\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n------=_x\r\nContent-Type: \
        application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            .to_vec();
    let line = format!("{}\r\n", "JVBERi0x".repeat(9));
    mail.extend(line.repeat((10 << 20) / line.len()).bytes());
    mail.extend(b"\r\n------=_x--\r\n");
    mail
}

fn parsing(c: &mut Criterion) {
    let kinds = [("small", small()), ("newsletter", newsletter()), ("attachment", attachment())];
    for (name, mail) in kinds {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(mail.len() as u64)).sample_size(20);
        group.bench_function("ours", |b| b.iter(|| parse(black_box(&mail))));
        group.bench_function("ours in pieces of 64 KiB", |b| {
            b.iter(|| {
                let mut parser = Parser::new(Limits::default());
                black_box(&mail).chunks(64 << 10).for_each(|piece| parser.push(piece));
                parser.finish()
            });
        });
        group.bench_function("mail-parser", |b| {
            let parser = mail_parser::MessageParser::default();
            b.iter(|| parser.parse(black_box(&mail)));
        });
        group.finish();
    }
}

fn decoding(c: &mut Criterion) {
    let base64 = format!("{}\r\n", "JVBERi0x".repeat(9)).repeat(14_000);
    let quoted =
        "<td style=3D\"padding:0\">Berth =C3=A4 and some more words here </td>=\r\n".repeat(14_000);
    let cases = [
        ("base64", Encoding::Base64, base64),
        ("quoted-printable", Encoding::QuotedPrintable, quoted),
    ];
    let mut group = c.benchmark_group("decode");
    group.sample_size(20);
    for (name, encoding, text) in &cases {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |b| {
            b.iter_batched_ref(
                Vec::new,
                |out| {
                    let mut decoder = Decoder::new(*encoding, LineEnds::Keep);
                    decoder.push(black_box(text.as_bytes()), out);
                    decoder.finish(out);
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, parsing, decoding);
criterion_main!(benches);
