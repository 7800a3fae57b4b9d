//! Servers that say whatever they like: each attempt has an end, and the message waits once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use testkit::dns::{NameServer, Zone};

use crate::site::{Site, direct};

/// A server that says this at once, then reads without an end, and says it again if it is to.
async fn babbler(text: Vec<u8>, is_endless: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let text = text.clone();
            tokio::spawn(async move {
                let (mut reading, mut writing) = stream.into_split();
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while reading.read(&mut buffer).await.unwrap_or(0) > 0 {}
                });
                while writing.write_all(&text).await.is_ok() && is_endless {}
            });
        }
    });
    port
}

#[tokio::test]
async fn s100_a_server_that_never_stops_speaking_costs_one_attempt() {
    let names = NameServer::start(&[Zone::parse("far.example", "@ MX 10 a\na A 127.0.0.1\n")]);
    let ok = |count| "250 ok\r\n".repeat(count).into_bytes();
    for (how, text, is_endless) in [
        ("a line without an end", vec![b'2'; 65_536], true),
        ("a greeting without an end", b"220-hello\r\n".repeat(100_000), false),
        ("greetings without an end", b"220-hello\r\n".repeat(1000), true),
        ("replies without an end", ok(1000), true),
        ("octets without an end", (0..=255).collect(), true),
        (
            "everything at once",
            [&b"220 a\r\n"[..], &ok(20), b"354 go\r\n250 taken\r\n"].concat(),
            false,
        ),
        ("another code in each line", b"220-a\r\n221-b\r\n222 c\r\n".to_vec(), false),
        ("nothing but line ends", b"\r\n".repeat(1000), true),
        ("NUL", vec![0; 65_536], true),
    ] {
        let port = babbler(text, is_endless).await;
        let site = Site::new(direct(&names, port, |_| {}).0).await;
        site.hand_in(&["<x@far.example>"], "body\r\n").await;
        let tried = tokio::time::timeout(Duration::from_secs(60), site.runner.run_due());
        let tried = tried.await.unwrap_or_else(|_| panic!("{how}: no end"));
        assert_eq!(tried.unwrap(), 1, "{how}");
        let listed = site.harness.service.list_queue(None).await.unwrap();
        assert_eq!(listed.len(), 1, "{how}");
        let recipient = &listed[0].entry.recipients[0];
        assert_eq!(recipient.attempts, 1, "{how}");
        assert!(recipient.progress.is_open(), "{how}");
    }
}
