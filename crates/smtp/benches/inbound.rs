//! How much mail of strangers is taken in a second, durable, on the local engine: signed messages
//! of 5 KB over eight connections, with SPF, DKIM and DMARC from a resolver that knows the answers.
//!
//! `TMPDIR` says which disk is measured. Beside the rate stands the time of the processor, as the
//! machine may have other things to do.
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::{Resolver, Settings};
use mail_service::{PasswordCost, Service, ServiceConfig, World};
use mail_types::Secret;
use net::{LoginThrottle, Peer, Service as _, Shutdown, Stream};
use sender_auth::keys::{dns_record, generate_rsa, split};
use sender_auth::{Key, Signer, SigningKey, Verifier};
use smtp::{Inbound, Role, SmtpServer, SmtpSettings};
use store_local::{Local, Options};
use testkit::dns::{NameServer, Zone};

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (checks, is_checked) in [("without checks", false), ("SPF, DKIM, DMARC", true)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
        runtime.block_on(async {
            let bench = Bench::new(store, is_checked).await;
            bench.run(100).await;
            let (begun, processor) = (Instant::now(), processor_time());
            bench.run(MESSAGES).await;
            let (took, used) = (begun.elapsed(), processor_time().saturating_sub(processor));
            let rate = |time: Duration| MESSAGES as f64 / time.as_secs_f64();
            println!(
                "{checks}: {:.0} messages/s, {:.0} messages for each second of a processor",
                rate(took),
                rate(used)
            );
            if is_checked {
                let before = memory("VmRSS:");
                bench.run_on(2 * CONNECTIONS, 1, &large()).await;
                let (peak, megabytes) = (memory("VmHWM:"), LARGE_BYTES >> 20);
                println!(
                    "{} connections with a message of {megabytes} MiB each: {before} MiB before, \
                     {peak} MiB at most, one message among the clients included",
                    2 * CONNECTIONS
                );
            }
        });
    }
}

struct Bench {
    server: Arc<SmtpServer>,
    shutdown: Shutdown,
    message: Arc<str>,
    _names: NameServer,
}

impl Bench {
    async fn new(store: Arc<Local>, is_checked: bool) -> Self {
        let passwords = PasswordCost { memory_kib: 8, iterations: 1, ..PasswordCost::default() };
        let domains = vec!["pillarbox.example".to_owned()];
        let config = ServiceConfig { passwords, domains, ..ServiceConfig::default() };
        let service = Service::open(store, config, World::system()).await.unwrap();
        for number in 0..CONNECTIONS {
            let name = format!("user{number}");
            service.create_account(&name, Secret::new("low-tide")).await.unwrap();
        }
        let key = generate_rsa().unwrap();
        let names = NameServer::start(&[zone(&key)]);
        let servers = vec![names.address()];
        let resolver = Resolver::new(&Settings { servers, ..Settings::default() }).unwrap();
        let hostname = "mail.pillarbox.example".to_owned();
        let verifier = Verifier::new(resolver, hostname.clone());
        let senders = is_checked.then(|| Arc::new(verifier) as _);
        let inbound = Some(Arc::new(Inbound { senders, ..Inbound::default() }));
        let greet_pause = Duration::ZERO;
        let settings =
            SmtpSettings { inbound, greet_pause, ..SmtpSettings::new(Role::Mx, hostname, None) };
        let throttle = Arc::new(LoginThrottle::default());
        let server = Arc::new(SmtpServer::new(service, throttle, settings));
        let message = signed(key).into();
        Self { server, shutdown: Shutdown::default(), message, _names: names }
    }

    async fn run(&self, messages: usize) {
        self.run_on(CONNECTIONS, messages / CONNECTIONS, &self.message).await;
    }

    /// Each connection brings so many copies of a message.
    async fn run_on(&self, connections: usize, copies: usize, message: &Arc<str>) {
        let mut clients = Vec::new();
        for number in 0..connections {
            let (mut ours, theirs) = Stream::pair(64 * 1024);
            let (server, guard) = (Arc::clone(&self.server), self.shutdown.token());
            let peer = Peer::Ip([192, 0, 2, 7].into());
            tokio::spawn(async move { server.serve(theirs, peer, guard).await });
            let message = Arc::clone(message);
            let user = number % CONNECTIONS;
            clients.push(tokio::spawn(async move {
                expect(&mut ours, "220 ").await;
                say(&mut ours, "EHLO mx.harbour.example\r\n", "250 ").await;
                for _ in 0..copies {
                    say(&mut ours, "MAIL FROM:<news@harbour.example>\r\n", "250 ").await;
                    let to = format!("RCPT TO:<user{user}@pillarbox.example>\r\n");
                    say(&mut ours, &to, "250 ").await;
                    say(&mut ours, "DATA\r\n", "354 ").await;
                    say(&mut ours, &message, "250 2.0.0 Accepted").await;
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
    }
}

fn zone(key: &Secret) -> Zone {
    let record = dns_record(&Key::from_pem(key.expose()).unwrap());
    let strings: Vec<_> = split(&record).iter().map(|text| format!("\"{text}\"")).collect();
    let text = format!(
        "@ IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n\
         _dmarc IN TXT \"v=DMARC1; p=reject\"\n\
         k._domainkey IN TXT {}\n",
        strings.join(" ")
    );
    Zone::parse("harbour.example", &text)
}

/// A message with its signature, as it goes over the wire.
fn signed(key: Secret) -> String {
    let domain = "harbour.example".to_owned();
    let signer =
        Signer::new(vec![SigningKey { domain: domain.clone(), selector: "k".to_owned(), key }]);
    let body = "The tide is low at noon and high again in the evening, says the office.\r\n";
    let text = format!(
        "From: news@harbour.example\r\nTo: home@pillarbox.example\r\nSubject: tide\r\n\
         Date: Mon, 23 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@harbour.example>\r\n\r\n{}",
        body.repeat(5000 / body.len())
    );
    let signature = signer.unwrap().sign(&domain, text.as_bytes(), 1_700_000_000).unwrap();
    format!("{}{text}.\r\n", String::from_utf8(signature).unwrap())
}

async fn say(stream: &mut Stream, text: &str, reply: &str) {
    stream.write_all(text.as_bytes(), PATIENCE).await.unwrap();
    expect(stream, reply).await;
}

/// Reads to the last line of a reply, which begins so.
async fn expect(stream: &mut Stream, reply: &str) {
    let mut read = Vec::new();
    loop {
        assert!(stream.read_into(&mut read, 4096).await.unwrap() > 0, "closed");
        let text = String::from_utf8_lossy(&read);
        let last = text.lines().last().unwrap_or_default();
        if text.ends_with("\r\n") && last.as_bytes().get(3) == Some(&b' ') {
            assert!(last.starts_with(reply), "{text}");
            return;
        }
    }
}

/// A message of the size that many servers take at most. Nobody signed it, nobody minds.
fn large() -> Arc<str> {
    let line = "The tide is low at noon and high again in the evening, says the office.\r\n";
    let text = line.repeat(LARGE_BYTES / line.len());
    format!("From: news@quay.example\r\nSubject: tides\r\n\r\n{text}.\r\n").into()
}

/// MiB of memory, by its name in the status of this process.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

/// What all threads of this process have used, in user mode and in the kernel.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    // A tick is 10 ms on every Linux.
    Duration::from_millis(ticks * 10)
}

const CONNECTIONS: usize = 8;

const MESSAGES: usize = 4000;

const LARGE_BYTES: usize = 25 << 20;

const PATIENCE: Duration = Duration::from_secs(120);
