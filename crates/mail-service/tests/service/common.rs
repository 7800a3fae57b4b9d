//! What the tests share: a clock and dice of their own, cheap passwords, small mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use mail_service::{
    AccountHandle, Clock, NewMail, PasswordCost, Random, Service, ServiceConfig, ServiceError,
    Sharing, World, check,
};
use mail_types::{Flags, InternalDate, MailboxId, MailboxName, Secret, UidSet};
use mailbox::{Account, Outcome};
use store::Store;

pub const START: i64 = 1_800_000_000;

/// A clock that stands until it is told to go on.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now_secs(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// What was set counts as time that has passed.
    fn uptime(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.now_secs()).unwrap())
    }
}

/// Splitmix64: the same bytes in every run, different ones for every seed.
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn next(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        for byte in bytes {
            *byte = (self.next() >> 32) as u8;
        }
        true
    }
}

pub struct Setup {
    pub clock: Arc<TestClock>,
    pub config: ServiceConfig,
}

impl Setup {
    pub fn new(sharing: Sharing) -> Self {
        let passwords = PasswordCost {
            memory_kib: 8,
            iterations: 1,
            parallelism: 1,
            scram_iterations: 4096,
            concurrent_max: 0,
        };
        let config = ServiceConfig { passwords, sharing, ..ServiceConfig::default() };
        Self { clock: Arc::new(TestClock(AtomicI64::new(START))), config }
    }

    pub async fn open(&self, store: Arc<dyn Store>) -> Service {
        // Each service of a store has dice of its own, as each process has.
        static SERVICES: AtomicU64 = AtomicU64::new(1);
        let seed = SERVICES.fetch_add(1, Ordering::Relaxed);
        let world = World {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(Dice::new(seed << 32)),
        };
        Service::open(store, self.config.clone(), world).await.unwrap()
    }
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text)
}

pub fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

pub async fn account_of(service: &Service, user: &str) -> AccountHandle {
    let id = match service.find_account(user).await.unwrap() {
        Some(account) => account.id,
        None => service.create_account(user, secret("password")).await.unwrap(),
    };
    service.account(id).await.unwrap()
}

pub fn inbox(account: &AccountHandle) -> MailboxId {
    mailbox_id(account, "INBOX")
}

pub fn mailbox_id(account: &AccountHandle, mailbox: &str) -> MailboxId {
    account.current().by_name(&name(mailbox)).unwrap().record().id
}

pub fn mail(number: u64) -> String {
    format!(
        "From: office@harbour.example\r\nMessage-ID: <m{number}@harbour.example>\r\n\
         Subject: Tide {number}\r\n\r\nHigh water at {number}.\r\n"
    )
}

/// Stages a message and has it added.
pub async fn append_to(
    account: &AccountHandle,
    mailbox: MailboxId,
    text: &[u8],
) -> Result<(Account, Outcome), ServiceError> {
    let mut staging = account.stage();
    staging.push(text).await?;
    let staged = staging.finish().await?;
    let date = InternalDate::utc(START);
    account
        .append(
            mailbox,
            vec![NewMail {
                staged,
                flags: Flags::default(),
                date,
                annotations: mailbox::Annotations::default(),
            }],
        )
        .await
}

pub async fn append_text(account: &AccountHandle, mailbox: MailboxId, text: &[u8]) -> UidSet {
    match append_to(account, mailbox, text).await.unwrap().1 {
        Outcome::Added { uids, .. } => uids,
        other => panic!("{other:?}"),
    }
}

pub async fn append(account: &AccountHandle, mailbox: MailboxId, number: u64) -> UidSet {
    append_text(account, mailbox, mail(number).as_bytes()).await
}

pub fn assert_clean(store: &dyn Store) {
    let report = check(store).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// Adds a line to the table of faults, if somebody draws one: what was done, how often, and that
/// nothing went wrong, because a test that found something has failed before.
pub fn tell_fault(what: &str, cases: u64) {
    use std::io::Write;
    let Some(file) = std::env::var_os("PILLARBOX_FAULTS") else { return };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    writeln!(file, "{what}\t{cases}\t0").unwrap();
}
