//! What a server's core does in a second, durable, on the local engine.
//!
//! Each figure is of whole operations: STORE of one flag by 8 tasks on one account and on 8,
//! delivery of mail of 4 to 300 KB by 8 tasks, a second login, opening a mailbox of 100,000.
//! `TMPDIR` says which disk is measured.
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mail_service::{AccountHandle, NewMail, PasswordCost, Service, ServiceConfig, World};
use mail_types::{Flags, InternalDate, MailboxId, MailboxName, Secret, SystemFlags, Uid, UidSet};
use mailbox::{FlagMode, Operation};
use store_local::{Local, Options};
use tokio::runtime::Runtime;

struct Bench {
    _folder: tempfile::TempDir,
    store: Arc<Local>,
    service: Service,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Local::open(folder.path(), Options::default()).unwrap());
        let runtime = Runtime::new().unwrap();
        let passwords = PasswordCost { memory_kib: 19_456, ..PasswordCost::default() };
        let config = ServiceConfig { passwords, ..ServiceConfig::default() };
        let open = Service::open(store.clone(), config, World::system());
        let service = runtime.block_on(open).unwrap();
        Self { _folder: folder, store, service, runtime }
    }

    fn account(&self, name: &str) -> AccountHandle {
        self.runtime.block_on(async {
            let id = self.service.create_account(name, Secret::new("password")).await.unwrap();
            self.service.account(id).await.unwrap()
        })
    }
}

fn inbox(account: &AccountHandle) -> MailboxId {
    account.current().by_name(&MailboxName::inbox()).unwrap().record().id
}

/// A message of about this size, its text like letters to zstd and no two alike.
fn mail(number: u64, bytes: usize) -> Vec<u8> {
    let mut text = format!(
        "From: office@harbour.example\r\nMessage-ID: <m{number}@harbour.example>\r\n\
         Subject: Tide {number}\r\n\r\n"
    );
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < bytes {
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
            text.push_str(WORDS[(state >> 60) as usize]);
            text.push(char::from(b'a' + (state >> 40) as u8 % 26));
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

const WORDS: [&str; 16] = [
    "tide ", "harbour ", "water ", "boat ", "rope ", "east ", "wind ", "letter ", "office ",
    "morning ", "quay ", "crane ", "cargo ", "bell ", "lamp ", "gull ",
];

/// Mostly letters, some with an attachment: 4 to 300 KB.
const SIZES: [usize; 8] = [4_000, 5_000, 8_000, 12_000, 20_000, 40_000, 100_000, 300_000];

const TASKS: usize = 8;

async fn append(account: &AccountHandle, mailbox: MailboxId, text: &[u8]) {
    let mut staging = account.stage();
    staging.push(text).await.unwrap();
    let staged = staging.finish().await.unwrap();
    let date = InternalDate::utc(1_800_000_000);
    let mail = NewMail {
        staged,
        flags: Flags::default(),
        date,
        annotations: mailbox::Annotations::default(),
    };
    account.append(mailbox, vec![mail]).await.unwrap();
}

/// `count` operations by eight tasks, the task's number decides which account.
fn by_eight<F>(bench: &Bench, count: u64, work: impl Fn(usize, u64) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let begin = Instant::now();
    bench.runtime.block_on(async {
        let share = count.div_ceil(TASKS as u64);
        let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(work(task, share))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    begin.elapsed()
}

async fn toggle(account: AccountHandle, uid: Uid, count: u64) {
    let mailbox = inbox(&account);
    for n in 0..count {
        let mode = if n % 2 == 0 { FlagMode::Add } else { FlagMode::Remove };
        let operation = Operation::SetFlags {
            mailbox,
            uids: UidSet::single(uid),
            mode,
            flags: Flags::system(SystemFlags::SEEN),
            unchanged_since: None,
        };
        account.submit(operation).await.unwrap();
    }
}

fn store_flags(c: &mut Criterion) {
    let bench = Bench::new();
    let accounts: Vec<_> = (0..TASKS).map(|n| bench.account(&format!("user{n}"))).collect();
    bench.runtime.block_on(async {
        for account in &accounts {
            for n in 0..TASKS as u64 {
                append(account, inbox(account), &mail(n, 500)).await;
            }
        }
    });
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let uid = |task: usize| Uid::new(task as u32 + 1).unwrap();
    group.bench_function("one flag, 8 tasks, one account", |b| {
        b.iter_custom(|count| {
            by_eight(&bench, count, |task, share| toggle(accounts[0].clone(), uid(task), share))
        });
    });
    group.bench_function("one flag, 8 tasks, 8 accounts", |b| {
        b.iter_custom(|count| {
            by_eight(&bench, count, |task, share| toggle(accounts[task].clone(), uid(0), share))
        });
    });
    group.finish();
}

fn deliveries(c: &mut Criterion) {
    let bench = Bench::new();
    let accounts: Vec<_> = (0..TASKS).map(|n| bench.account(&format!("user{n}"))).collect();
    let texts: Arc<Vec<Vec<u8>>> =
        Arc::new((0..64).map(|n| mail(n, SIZES[n as usize % SIZES.len()])).collect());
    let mut group = c.benchmark_group("delivery");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let (mut messages, before) = (0, bench.store.counters().syncs());
    group.bench_function("4 to 300 KB, 8 tasks", |b| {
        b.iter_custom(|count| {
            messages += count.div_ceil(TASKS as u64) * TASKS as u64;
            let run = messages;
            by_eight(&bench, count, |task, share| {
                let (account, texts) = (accounts[task].clone(), Arc::clone(&texts));
                async move {
                    for n in 0..share {
                        let at = (n as usize * TASKS + task) % texts.len();
                        // No two messages are equal, or the store would keep one.
                        let mut text = format!("X-Run: {run}-{task}-{n}\r\n").into_bytes();
                        text.extend_from_slice(&texts[at]);
                        append(&account, inbox(&account), &text).await;
                    }
                }
            })
        });
    });
    group.finish();
    let syncs = bench.store.counters().syncs() - before;
    println!("{messages} messages, {syncs} syncs: {:.3} a message", syncs as f64 / messages as f64);
}

fn logins(c: &mut Criterion) {
    let bench = Bench::new();
    bench.account("dock");
    let password = Secret::new("password");
    c.bench_function("login/second, cached", |b| {
        b.iter(|| {
            bench.runtime.block_on(bench.service.authenticate("dock", &password)).unwrap();
        });
    });
}

fn open_mailbox(c: &mut Criterion) {
    let bench = Bench::new();
    let account = bench.account("dock");
    bench.runtime.block_on(async {
        let mut staging = account.stage();
        staging.push(&mail(1, 4_000)).await.unwrap();
        let staged = staging.finish().await.unwrap();
        for _ in 0..100 {
            let date = InternalDate::utc(1_800_000_000);
            let new = || NewMail {
                staged: staged.clone(),
                flags: Flags::default(),
                date,
                annotations: mailbox::Annotations::default(),
            };
            let mails = (0..1000).map(|_| new()).collect();
            account.append(inbox(&account), mails).await.unwrap();
        }
    });
    let mailbox = inbox(&account);
    let mut group = c.benchmark_group("open");
    group.sample_size(10);
    group.bench_function("mailbox of 100,000, not in memory", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                // Another service has nothing in memory yet.
                let open =
                    Service::open(bench.store.clone(), ServiceConfig::default(), World::system());
                spent += bench.runtime.block_on(async {
                    let account = open.await.unwrap().account(account.id()).await.unwrap();
                    let begin = Instant::now();
                    account.load(mailbox).await.unwrap();
                    begin.elapsed()
                });
            }
            spent
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(5));
    targets = store_flags, deliveries, logins, open_mailbox
}
criterion_main!(benches);
