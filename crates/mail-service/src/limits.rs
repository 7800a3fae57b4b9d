//! What a service is told when it is opened, and the maxima that are the same everywhere.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::token::TokenVerifier;
use mail_queue::Schedule;

/// Settings of a service. [`ServiceConfig::default`] is what a small server wants.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Largest message that APPEND and delivery take, in bytes.
    pub message_bytes_max: u64,
    /// Domains whose local parts are account names: `dock@mail.example` is the account `dock`.
    /// Empty: any domain will do. An account whose name is the whole address comes first.
    pub domains: Vec<String>,
    /// Names of the accounts that message submission servers log in as: they alone may fetch URLs
    /// whose access is `submit+`. RFC 4467 §3
    pub submission_accounts: Vec<String>,
    /// How passwords are hashed.
    pub passwords: PasswordCost,
    /// Who says what a bearer token is worth; without it OAUTHBEARER and XOAUTH2 are not offered.
    pub tokens: Option<Arc<dyn TokenVerifier>>,
    /// How long history and expunged mail are kept, in seconds.
    pub retention_secs: i64,
    /// Entries of opened mailboxes that are kept in memory, over all accounts. An entry is some
    /// 48 bytes; mailboxes in use stay whatever the number is.
    pub cached_entries_max: usize,
    /// Whether other processes write to the same store.
    pub sharing: Sharing,
    /// When accounts are spread over several stores: the shards that new ones go to in turns, at
    /// home if there are none. An account and the directory share no commit then. `None`: there is
    /// one store.
    pub shards: Option<Vec<String>>,
    /// How mail leaves.
    pub queue: QueueConfig,
    /// Days for which the story of each message is kept ([`crate::story`]); without any, none is.
    pub story_days: u32,
    /// Whether what is submitted is kept in its sender's mailbox for sent mail.
    pub save_sent: SaveSent,
}

/// Whether what is submitted is kept in its sender's mailbox for sent mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveSent {
    /// It is, and a copy that the client stores itself is not kept twice.
    Yes,
    /// Clients store their copies themselves, as most do.
    #[default]
    No,
}

/// Settings of the outbound queue.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// This server's name, as notices tell it and their sender's address has it.
    pub hostname: String,
    /// When to try again, to warn and to give up.
    pub schedule: Schedule,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { hostname: "localhost".to_owned(), schedule: Schedule::default() }
    }
}

/// Who else writes to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// This service alone: the state in memory is the newest that exists.
    Exclusive,
    /// Other services too: the head of an account is compared before its state is told.
    Shared,
}

/// What one password hash costs: the attacker who stole the store pays it for each guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory of one argon2id computation, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Iterations of PBKDF2 for SCRAM-SHA-256, at least 4096. RFC 7677 §4
    pub scram_iterations: u32,
    /// Argon2 computations that run at one time; 0 means as many as there are cores.
    pub concurrent_max: usize,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            scram_iterations: 15_000,
            concurrent_max: 0,
        }
    }
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1024 * 1024,
            domains: Vec::new(),
            submission_accounts: Vec::new(),
            passwords: PasswordCost::default(),
            tokens: None,
            retention_secs: 30 * 86_400,
            cached_entries_max: 2_000_000,
            sharing: Sharing::Exclusive,
            shards: None,
            queue: QueueConfig::default(),
            story_days: 0,
            save_sent: SaveSent::No,
        }
    }
}

/// Longest account name, in bytes: the longest local part and domain of RFC 5321 §4.5.3.1 with
/// their `@` are 320, but no client's form and no certificate field takes more than this.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 254;

/// Longest password, in bytes: longer ones only make a guess dearer for the server than for the
/// attacker.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Longest SASL response that is looked at: three of the longest strings and room for attributes.
pub const SASL_RESPONSE_BYTES_MAX: usize = 4096;

/// Longest message with a token that is looked at: tokens with many claims have some thousands, and
/// in base64 it still fits the longest line that IMAP takes before a login.
pub const TOKEN_MESSAGE_BYTES_MAX: usize = 12 * 1000;

/// Logins that may wait for their argon2 computation; beyond it they are told to come back.
pub const WAITING_LOGINS_MAX: usize = 1024;

/// Verified credentials that are remembered, 40 bytes each.
pub const CREDENTIAL_CACHE_MAX: usize = 65_536;

/// Application passwords of one account: one for each client that a person has. All stand in one
/// row, and each login looks at all places, used or not.
pub const APP_PASSWORDS_MAX: usize = 32;

/// Longest label of an application password, in bytes.
pub const APP_PASSWORD_LABEL_BYTES_MAX: usize = 64;

/// Capabilities that one application password hides: it is for one client and what that one fails
/// with. With the longest names, the row of an account with as many passwords as it may have stays
/// below 32 KiB.
pub const APP_PASSWORD_HIDDEN_MAX: usize = 12;

/// Operations of one account that wait for its sequencer; a submitter beyond it waits itself.
pub const WAITING_OPERATIONS_MAX: usize = 1024;

/// Operations that form one commit: enough for every client to share one sync, few enough that a
/// conflict does not throw away much work.
pub const OPERATIONS_PER_COMMIT_MAX: usize = 256;

/// Commits of one account on their way to the disk at one time. Two keep the disk busy while the
/// next ones are decided; more only make a conflict dearer.
pub const COMMITS_IN_FLIGHT_MAX: usize = 4;

/// Bytes of an arriving message that come together before they are parsed and written: most mail
/// fits, so that it costs one visit to another thread.
pub const STAGING_BUFFER_BYTES: usize = 256 * 1024;

/// Bytes of a message that one read returns.
pub const READ_CHUNK_BYTES: usize = 64 * 1024;

/// Message rows of one batched read.
pub const ROWS_PER_READ_MAX: usize = 1024;

/// Largest message row, in bytes. A longer structure is stored as a blob and the row names it,
/// because values of more than some 32 KiB make every engine slow.
pub const MESSAGE_ROW_BYTES_MAX: usize = 24 * 1024;

/// Accounts kept open after their last session has gone, so that the next login finds them warm.
pub const IDLE_ACCOUNTS_MAX: usize = 1024;

/// Accounts that one user visits at a time, and that LIST of what is shared opens: each is kept in
/// memory while it is visited.
pub const VISITS_MAX: usize = 100;

/// Grants that are looked at to find these: some may be left of lists that grant nothing any more.
pub const GRANTS_PER_LOOK_MAX: usize = 1000;

/// Rows of greylisting: strangers of some days, and networks that came again. Some 40 MB at most.
pub const GREYLIST_ROWS_MAX: u64 = 400_000;

/// Rows of counts of TLS ([`crate::tls`]): one for each process, day, domain and policy.
pub const TLS_COUNT_ROWS_MAX: u64 = 50_000;

/// Policies of domains that are kept: one for each domain that mail went to lately and that has
/// one. Mostly some 200 bytes each.
pub const TLS_POLICY_ROWS_MAX: u64 = 10_000;

/// Rows that one step of a sweep looks at, so that it never holds a view or a commit for long.
pub const SWEEP_STEP_ROWS: usize = 2000;

/// Bytes of rows that one step of a sweep deletes; its last row may go beyond.
pub const SWEEP_STEP_BYTES: usize = 4 * 1024 * 1024;

/// Times that an operation is decided again after others were faster, before it is told `Busy`.
pub const ATTEMPTS_MAX: u32 = 50;

/// How long a sequencer waits before it looks at a busy store again.
pub const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How long nobody looks whether the node that works on an entry of the queue is alive. Then others
/// begin to watch: see [`mail_queue::Vigil`].
pub const QUEUE_CLAIM_SECS: i64 = 30;

/// How often it says so, in time for nobody to begin. Most attempts have ended before the first.
pub const QUEUE_RENEW_INTERVAL: Duration = Duration::from_secs(20);

/// Entries that one call of `claim_due` takes.
pub const QUEUE_CLAIMS_MAX: usize = 256;

/// Entries that one call of `list_queue` gives.
pub const QUEUE_PAGE_MAX: usize = 1000;

/// How much of a message's header a notice returns, in bytes.
pub const RETURNED_HEADER_BYTES_MAX: u64 = 64 * 1024;

/// Longest message that a notice returns in full; of a longer one it returns the header. RFC 3461
/// §6.2
pub const RETURNED_BYTES_MAX: u64 = 1024 * 1024;
