//! Every key layout of the store, in one place.
//!
//! Numbers in keys are big-endian, so that keys sort as their numbers do. Everything of an account
//! begins with its prefix: it can be listed, copied, moved and removed by it, and its blobs have
//! the prefix as their scope.
//!
//! | key | value | written when |
//! |---|---|---|
//! | `c` | the next account id | an account is made |
//! | `g` grantee owner | modseq of the owner when it shared; grantee 0 is anyone | SETACL |
//! | `f` address | an alias: for whom the address stands | it is set |
//! | `he` moment | an event of a message's story | soon after it happened |
//! | `hi` day hash moment | where an event about this Message-ID or entry is | with the event |
//! | `i` name | an account that is arriving from another place | an account is moved here |
//! | `n` name | account id | an account is made or removed |
//! | `p` account | the shard that it lives in; at home without | an account is made or moved |
//! | `qd` time id | an entry of the queue that is due then | it changes |
//! | `qe` id | entry of the queue: envelope, recipients, blob | mail is queued, an attempt ends |
//! | `qf` time id | an entry that is to leave then | mail is queued |
//! | `r` account | why its rows are or may have to be removed | an account is made or removed |
//! | `s` | the secret behind invented salts and rewritten senders | the store is first opened |
//! | `tc` day domain process number | what a process counted of TLS to a domain | every minute |
//! | `tp` domain | the policy of a domain (MTA-STS) | it is fetched |
//! | `tr` day domain | that the report on TLS of a day was made | it is |
//! | `w` account | a move to another shard that has begun | an account is moved |
//! | `v` | the highest UIDVALIDITY of any removed account | an account is removed |
//! | `yc` network | a network of clients that came again after greylisting | it does |
//! | `yv` hash | network, sender and recipient that were greylisted | they are |
//! | `a` account `h` | head: modseq, id counters, a mark | every change |
//! | `a` account `k` | credential: name, password hash, SCRAM keys | a password is set |
//! | `a` account `b` mailbox | mailbox record | a change in the mailbox |
//! | `a` account `c` mailbox | access control list | SETACL, CREATE |
//! | `a` account `d` mailbox | record of a removed mailbox, when it was removed | DELETE |
//! | `a` account `m` mailbox UID | membership: message, flags, dates | a change of the message |
//! | `a` account `x` mailbox modseq UID | an expunged membership | EXPUNGE, MOVE |
//! | `a` account `e` message | message row: blob, structure; immutable | a message arrives |
//! | `a` account `g` mailbox name | annotation; mailbox 0 is the server | SETMETADATA |
//! | `a` account `o` mailbox UID whose | annotations of the message: shared, or private | STORE |
//! | `a` account `q` | limits of the account | they are set |
//! | `a` account `j` id hash | that an entry of the queue was delivered here | it is |
//! | `a` account `l` modseq page | log entry, in pages | every change |
//! | `a` account `s` hash | where the sent message with this Message-ID is kept | it is kept |
//! | `a` account `t` hash | thread of the message with this Message-ID | a message arrives |
//! | `a` account `u` name | subscription to a name | SUBSCRIBE |
//! | `a` account `y` mailbox | access key: what proves URLs | GENURLAUTH, RESETKEY |
//!
//! With several databases the keys of accounts are spread over them ([`LAYOUT`]), and all others
//! are in the first: the queue is one list that all nodes share, and belongs to no account.
//!
//! One flag change writes four small rows: membership, mailbox record, log, head.

use mail_queue::{Due, QueueId};
use mail_types::{AccountId, EntryName, MailboxId, MailboxName, MessageId, ModSeq, Uid};
use mailbox::{Audience, MetadataTarget};
use store::KeyRange;

use crate::auth::name::AccountName;

/// The next account id.
pub const NEXT_ACCOUNT: &[u8] = b"c";
/// The secret behind invented SCRAM salts, hashes of stories and rewritten senders: one for all
/// nodes, drawn once.
pub const SECRET: &[u8] = b"s";
/// The highest UIDVALIDITY of any removed account. New accounts begin above it, so that a client
/// of one that had the same name never takes the new mail for the old. RFC 9051 §2.3.1.1
pub const UID_VALIDITY_FLOOR: &[u8] = b"v";

/// Where a name is looked up.
#[must_use]
pub fn directory(name: &AccountName) -> Vec<u8> {
    [b"n", name.as_str().as_bytes()].concat()
}

/// All names.
#[must_use]
pub fn directory_all() -> KeyRange {
    KeyRange::prefix(b"n")
}

/// The name in a directory key.
#[must_use]
pub fn directory_name(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(b"n")?).ok()
}

/// How keys are divided among several stores.
pub const LAYOUT: store::spread::Layout = store::spread::Layout {
    scope_of: |key| key.get(..PREFIX_BYTES).filter(|prefix| prefix.first() == Some(&b'a')),
    placement: |scope| [b"p", scope.get(1..).unwrap_or_default()].concat(),
    // Head and credential: what a session and a login look at first.
    is_witness: |key| key.len() == PREFIX_BYTES + 1 && matches!(key.last(), Some(b'h' | b'k')),
};

/// An alias of this address.
#[must_use]
pub fn alias(address: &AccountName) -> Vec<u8> {
    [b"f", address.as_str().as_bytes()].concat()
}

/// All aliases.
#[must_use]
pub fn aliases_all() -> KeyRange {
    KeyRange::prefix(b"f")
}

/// The address in an alias's key.
#[must_use]
pub fn alias_address(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(b"f")?).ok()
}

/// Where an account's shard is named.
#[must_use]
pub fn placement(account: AccountId) -> Vec<u8> {
    numbered(b"p", account.get())
}

/// Marks an account that is being moved to another shard.
#[must_use]
pub fn moving(account: AccountId) -> Vec<u8> {
    numbered(b"w", account.get())
}

/// Marks an account that is arriving from another place under this name.
#[must_use]
pub fn arrival(name: &AccountName) -> Vec<u8> {
    [b"i", name.as_str().as_bytes()].concat()
}

/// All accounts that are arriving.
#[must_use]
pub fn arrivals_all() -> KeyRange {
    KeyRange::prefix(b"i")
}

/// Tells that an account shares something with another one, or with [`ANYONE`].
#[must_use]
pub fn grant(grantee: AccountId, owner: AccountId) -> Vec<u8> {
    [&numbered(b"g", grantee.get())[..], &owner.get().to_be_bytes()].concat()
}

/// Ids of accounts begin with one, so zero is free to stand for all users.
pub const ANYONE: AccountId = AccountId(0);

/// All accounts that share something with this one.
#[must_use]
pub fn grants_to(grantee: AccountId) -> KeyRange {
    KeyRange::prefix(&numbered(b"g", grantee.get()))
}

/// All that is shared.
#[must_use]
pub fn grants_all() -> KeyRange {
    KeyRange::prefix(b"g")
}

/// Grantee and owner in the key of a grant.
#[must_use]
pub fn parse_grant(key: &[u8]) -> Option<(AccountId, AccountId)> {
    let (grantee, owner) = key.strip_prefix(b"g")?.split_first_chunk::<8>()?;
    let id = |bytes| AccountId(u64::from_be_bytes(bytes));
    Some((id(*grantee), id(owner.try_into().ok()?)))
}

/// Marks an account whose rows are being removed.
#[must_use]
pub fn removal(account: AccountId) -> Vec<u8> {
    numbered(b"r", account.get())
}

/// All accounts whose rows are being removed.
#[must_use]
pub fn removal_all() -> KeyRange {
    KeyRange::prefix(b"r")
}

/// The account in a removal key.
#[must_use]
pub fn removal_account(key: &[u8]) -> Option<AccountId> {
    let number = key.strip_prefix(b"r")?.try_into().ok()?;
    Some(AccountId(u64::from_be_bytes(number)))
}

/// The scope of the blobs of the queue, and what its keys begin with.
pub const QUEUE_SCOPE: &[u8] = b"q";

/// What the keys begin with by which due entries are found.
pub const QUEUE_DUE: &[u8] = b"qd";

/// What the keys begin with by which entries are found that are not to leave before a moment.
pub const QUEUE_RELEASE: &[u8] = b"qf";

/// An entry of the queue.
#[must_use]
pub fn queue_entry(id: QueueId) -> Vec<u8> {
    [b"qe", &id.bytes()[..]].concat()
}

/// All entries of the queue, in the order in which they came.
#[must_use]
pub fn queue_entries() -> KeyRange {
    KeyRange::prefix(b"qe")
}

/// The id in the key of an entry.
#[must_use]
pub fn queue_entry_id(key: &[u8]) -> Option<QueueId> {
    key.strip_prefix(b"qe")?.try_into().ok().map(QueueId::from_bytes)
}

/// Where it stands that an entry is due.
#[must_use]
pub fn queue_due(due: Due, id: QueueId) -> Vec<u8> {
    let (kind, at) = match due {
        Due::Attempt(at) => (QUEUE_DUE, at),
        Due::Release(at) => (QUEUE_RELEASE, at),
    };
    [kind, &moment(at), &id.bytes()[..]].concat()
}

/// The id in a key of [`QUEUE_DUE`] or [`QUEUE_RELEASE`].
#[must_use]
pub fn queue_due_id(key: &[u8]) -> Option<QueueId> {
    key.get(QUEUE_DUE.len() + 8..)?.try_into().ok().map(QueueId::from_bytes)
}

/// What of a kind is due at `now` or before it.
#[must_use]
pub fn queue_due_until(kind: &[u8], now: i64) -> KeyRange {
    let mut range = KeyRange::prefix(kind);
    range.end = Some([kind, &moment(now.saturating_add(1))].concat());
    range
}

/// What of a kind is due after `time`.
#[must_use]
pub fn queue_due_after(kind: &[u8], time: i64) -> KeyRange {
    let mut range = KeyRange::prefix(kind);
    range.start = [kind, &moment(time.saturating_add(1))].concat();
    range
}

/// When something was told, told apart from all else that was: seconds since 1970, which process,
/// and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment([u8; Moment::BYTES]);

impl Moment {
    /// Bytes of one.
    pub const BYTES: usize = 16;

    /// The moment of the event of this number.
    #[must_use]
    pub fn new(at: i64, process: [u8; 4], number: u32) -> Self {
        let mut bytes = [0; Self::BYTES];
        let fields = [&moment(at)[..], &process, &number.to_be_bytes()].concat();
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn at(&self) -> i64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        i64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Bytes of the hash that stands for a Message-ID or an entry of the queue in stories: so many that
/// no two ever share one.
pub const STORY_HASH_BYTES: usize = 16;

/// The day of a moment.
#[must_use]
pub fn story_day(at: i64) -> u32 {
    u32::try_from(at.max(0) / 86_400).unwrap_or(u32::MAX)
}

/// An event of a story.
#[must_use]
pub fn story_event(moment: Moment) -> Vec<u8> {
    [b"he", &moment.0[..]].concat()
}

/// The moment in the key of an event.
#[must_use]
pub fn parse_story_event(key: &[u8]) -> Option<Moment> {
    key.strip_prefix(b"he")?.try_into().ok().map(Moment)
}

/// All events, in the order in which they were told.
#[must_use]
pub fn story_events_all() -> KeyRange {
    KeyRange::prefix(b"he")
}

/// Events told at `at` or later.
#[must_use]
pub fn story_events_since(at: i64) -> KeyRange {
    KeyRange { start: [b"he", &moment(at)[..]].concat(), ..story_events_all() }
}

/// Events told before this day.
#[must_use]
pub fn story_events_before(day: u32) -> KeyRange {
    let end = [b"he", &moment(i64::from(day) * 86_400)[..]].concat();
    KeyRange { end: Some(end), ..story_events_all() }
}

/// Where it stands that an event is about the subject of a hash.
#[must_use]
pub fn story_index(hash: [u8; STORY_HASH_BYTES], moment: Moment) -> Vec<u8> {
    [b"hi", &story_day(moment.at()).to_be_bytes()[..], &hash, &moment.0].concat()
}

/// Day and moment in a key of [`story_index`].
#[must_use]
pub fn parse_story_index(key: &[u8]) -> Option<(u32, Moment)> {
    let (day, rest) = key.strip_prefix(b"hi")?.split_first_chunk::<4>()?;
    let (_, moment) = rest.split_first_chunk::<STORY_HASH_BYTES>()?;
    Some((u32::from_be_bytes(*day), Moment(moment.try_into().ok()?)))
}

/// What is known of all subjects, by days.
#[must_use]
pub fn story_index_all() -> KeyRange {
    KeyRange::prefix(b"hi")
}

/// What is known of the subject of a hash from one day.
#[must_use]
pub fn story_index_of(day: u32, hash: [u8; STORY_HASH_BYTES]) -> KeyRange {
    KeyRange::prefix(&[b"hi", &day.to_be_bytes()[..], &hash].concat())
}

/// What is known from before a day.
#[must_use]
pub fn story_index_before(day: u32) -> KeyRange {
    let end = [b"hi", &day.to_be_bytes()[..]].concat();
    KeyRange { end: Some(end), ..story_index_all() }
}

fn moment(seconds: i64) -> [u8; 8] {
    // There is no mail from before 1970.
    seconds.max(0).to_be_bytes()
}

/// What the keys of greylisting begin with.
pub const GREYLIST: &[u8] = b"y";

/// Bytes of the hash that stands for a client's network, a sender and a recipient: nobody finds two
/// that collide, and who did would only delay his own mail.
pub const GREYLIST_HASH_BYTES: usize = 16;

/// A network of clients that came again.
#[must_use]
pub fn greylist_client(network: &[u8]) -> Vec<u8> {
    [GREYLIST_CLIENT, network].concat()
}

/// A network, a sender and a recipient that were seen together.
#[must_use]
pub fn greylist_visit(hash: &[u8; GREYLIST_HASH_BYTES]) -> Vec<u8> {
    [b"yv", &hash[..]].concat()
}

/// Whether a key of [`GREYLIST`] is that of a network.
#[must_use]
pub fn is_greylist_client(key: &[u8]) -> bool {
    key.starts_with(GREYLIST_CLIENT)
}

const GREYLIST_CLIENT: &[u8] = b"yc";

/// What the keys of counts of TLS begin with.
pub const TLS_COUNT: &[u8] = b"tc";

/// What the keys of policies begin with.
pub const TLS_POLICY: &[u8] = b"tp";

/// What the keys of reports on TLS begin with.
pub const TLS_REPORT: &[u8] = b"tr";

/// What tells the processes of one store apart.
pub type ProcessId = [u8; 8];

/// What a process counted of one subject of a domain on a day since 1970.
#[must_use]
pub fn tls_count(day: u32, domain: &str, process: ProcessId, number: u32) -> Vec<u8> {
    // No domain has a NUL, so none begins with another.
    [&tls_counts_before(domain, day)[..], &process, &number.to_be_bytes()].concat()
}

/// The domain in the key of a count.
#[must_use]
pub fn tls_count_domain(key: &[u8]) -> Option<&str> {
    let rest = key.strip_prefix(TLS_COUNT)?.get(4..)?;
    let (domain, tail) = rest.split_at_checked(rest.len().checked_sub(TLS_COUNT_TAIL_BYTES)?)?;
    let is_whole = tail.first() == Some(&0) && !domain.contains(&0);
    std::str::from_utf8(domain).ok().filter(|_| is_whole)
}

/// What was counted of a domain on a day.
#[must_use]
pub fn tls_counts_of(day: u32, domain: &str) -> KeyRange {
    KeyRange::prefix(&tls_counts_before(domain, day))
}

fn tls_counts_before(domain: &str, day: u32) -> Vec<u8> {
    [TLS_COUNT, &day.to_be_bytes(), domain.as_bytes(), &[0]].concat()
}

/// NUL, process and number.
const TLS_COUNT_TAIL_BYTES: usize = 13;

/// What of a kind, [`TLS_COUNT`] or [`TLS_REPORT`], is from a day.
#[must_use]
pub fn tls_day(kind: &[u8], day: u32) -> KeyRange {
    KeyRange::prefix(&[kind, &day.to_be_bytes()].concat())
}

/// What of a kind is from before a day.
#[must_use]
pub fn tls_days_before(kind: &[u8], day: u32) -> KeyRange {
    let end = [kind, &day.to_be_bytes()[..]].concat();
    KeyRange { end: Some(end), ..KeyRange::prefix(kind) }
}

/// The policy of a domain.
#[must_use]
pub fn tls_policy(domain: &str) -> Vec<u8> {
    [TLS_POLICY, domain.as_bytes()].concat()
}

/// That the report on a domain of a day was made.
#[must_use]
pub fn tls_report(day: u32, domain: &str) -> Vec<u8> {
    [TLS_REPORT, &day.to_be_bytes(), domain.as_bytes()].concat()
}

/// The domain in the key of a report.
#[must_use]
pub fn tls_report_domain(key: &[u8]) -> Option<&str> {
    let domain = key.strip_prefix(TLS_REPORT)?.get(4..)?;
    std::str::from_utf8(domain).ok().filter(|domain| !domain.is_empty() && !domain.contains('\0'))
}

/// Makes the keys of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKeys {
    prefix: [u8; PREFIX_BYTES],
}

/// Bytes of an account's prefix.
pub const PREFIX_BYTES: usize = 9;

/// What kind of row a key of an account names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountKey {
    /// `h`
    Head,
    /// `k`
    Credential,
    /// `b`
    Mailbox(MailboxId),
    /// `c`
    Acl(MailboxId),
    /// `d`
    RemovedMailbox(MailboxId),
    /// `m`
    Membership(MailboxId, Uid),
    /// `x`
    Expunged(MailboxId, ModSeq, Uid),
    /// `e`
    Message(MessageId),
    /// `g`
    Metadata(MetadataTarget, EntryName),
    /// `o`
    Annotations(MailboxId, Uid, Audience),
    /// `q`
    Quota,
    /// `j`
    Delivered(QueueId, [u8; RECIPIENT_HASH_BYTES]),
    /// `l`
    Log(ModSeq, u16),
    /// `s`
    Sent([u8; THREAD_HASH_BYTES]),
    /// `t`
    Thread([u8; THREAD_HASH_BYTES]),
    /// `u`
    Subscription(MailboxName),
    /// `y`
    AccessKey(MailboxId),
}

/// Bytes of the hash that stands for a Message-ID. Only the account's own mail can collide, and
/// all that a collision does is to put two conversations into one, or to keep one of two messages
/// that were sent within minutes.
pub const THREAD_HASH_BYTES: usize = 16;

/// Bytes of the hash that stands for a recipient of an entry of the queue. Only the recipients of
/// one entry can collide, and they are few.
pub const RECIPIENT_HASH_BYTES: usize = 16;

impl AccountKeys {
    /// The keys of this account.
    #[must_use]
    pub fn new(account: AccountId) -> Self {
        let mut prefix = [b'a'; PREFIX_BYTES];
        for (to, from) in prefix.iter_mut().skip(1).zip(account.get().to_be_bytes()) {
            *to = from;
        }
        Self { prefix }
    }

    /// What all of them begin with, and the scope of the account's blobs.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The key of a row.
    #[must_use]
    pub fn key(&self, key: &AccountKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend_from_slice(&self.prefix);
        match key {
            AccountKey::Head => bytes.push(b'h'),
            AccountKey::Credential => bytes.push(b'k'),
            AccountKey::Quota => bytes.push(b'q'),
            AccountKey::Mailbox(mailbox) => put(&mut bytes, b'b', mailbox.get()),
            AccountKey::Acl(mailbox) => put(&mut bytes, b'c', mailbox.get()),
            AccountKey::RemovedMailbox(mailbox) => put(&mut bytes, b'd', mailbox.get()),
            AccountKey::Membership(mailbox, uid) => {
                put(&mut bytes, b'm', mailbox.get());
                bytes.extend_from_slice(&uid.get().to_be_bytes());
            }
            AccountKey::Expunged(mailbox, modseq, uid) => {
                put(&mut bytes, b'x', mailbox.get());
                bytes.extend_from_slice(&modseq.get().to_be_bytes());
                bytes.extend_from_slice(&uid.get().to_be_bytes());
            }
            AccountKey::Message(message) => put(&mut bytes, b'e', message.get()),
            AccountKey::Metadata(target, name) => {
                put(&mut bytes, b'g', target_number(*target));
                bytes.extend_from_slice(name.as_str().as_bytes());
            }
            AccountKey::Delivered(id, hash) => {
                bytes.push(b'j');
                bytes.extend_from_slice(id.bytes());
                bytes.extend_from_slice(hash);
            }
            AccountKey::Annotations(mailbox, uid, audience) => {
                put(&mut bytes, b'o', mailbox.get());
                bytes.extend_from_slice(&uid.get().to_be_bytes());
                bytes.extend_from_slice(&audience_number(*audience).to_be_bytes());
            }
            AccountKey::Log(modseq, page) => {
                put(&mut bytes, b'l', modseq.get());
                bytes.extend_from_slice(&page.to_be_bytes());
            }
            AccountKey::Sent(hash) => {
                bytes.push(b's');
                bytes.extend_from_slice(hash);
            }
            AccountKey::Thread(hash) => {
                bytes.push(b't');
                bytes.extend_from_slice(hash);
            }
            AccountKey::Subscription(name) => {
                bytes.push(b'u');
                bytes.extend_from_slice(name.as_str().as_bytes());
            }
            AccountKey::AccessKey(mailbox) => put(&mut bytes, b'y', mailbox.get()),
        }
        bytes
    }

    /// Reads a key of this account back; `None` if it is none of the layouts.
    #[must_use]
    pub fn parse(&self, key: &[u8]) -> Option<AccountKey> {
        let (&kind, rest) = key.strip_prefix(&self.prefix)?.split_first()?;
        let mut rest = Fields(rest);
        let parsed = match kind {
            b'h' => AccountKey::Head,
            b'k' => AccountKey::Credential,
            b'q' => AccountKey::Quota,
            b'b' => AccountKey::Mailbox(MailboxId(rest.u64()?)),
            b'c' => AccountKey::Acl(MailboxId(rest.u64()?)),
            b'd' => AccountKey::RemovedMailbox(MailboxId(rest.u64()?)),
            b'm' => AccountKey::Membership(MailboxId(rest.u64()?), rest.uid()?),
            b'x' => AccountKey::Expunged(MailboxId(rest.u64()?), rest.modseq()?, rest.uid()?),
            b'e' => AccountKey::Message(MessageId(rest.u64()?)),
            b'g' => {
                let target = target(rest.u64()?);
                let text = std::str::from_utf8(std::mem::take(&mut rest.0)).ok()?;
                // A name has one spelling; another one is damage.
                let name = EntryName::new(text).ok().filter(|name| name.as_str() == text)?;
                AccountKey::Metadata(target, name)
            }
            b'j' => AccountKey::Delivered(QueueId::from_bytes(rest.take()?), rest.take()?),
            b'o' => {
                let (mailbox, uid) = (MailboxId(rest.u64()?), rest.uid()?);
                AccountKey::Annotations(mailbox, uid, audience(rest.u64()?))
            }
            b'l' => AccountKey::Log(rest.modseq()?, u16::from_be_bytes(rest.take()?)),
            b's' => AccountKey::Sent(rest.take()?),
            b't' => AccountKey::Thread(rest.take()?),
            b'y' => AccountKey::AccessKey(MailboxId(rest.u64()?)),
            b'u' => {
                let name = std::str::from_utf8(std::mem::take(&mut rest.0)).ok()?;
                AccountKey::Subscription(MailboxName::new(name).ok()?)
            }
            _ => return None,
        };
        rest.0.is_empty().then_some(parsed)
    }

    /// Everything of the account.
    #[must_use]
    pub fn all(&self) -> KeyRange {
        KeyRange::prefix(&self.prefix)
    }

    /// All mailbox records.
    #[must_use]
    pub fn mailboxes(&self) -> KeyRange {
        self.kind(b'b')
    }

    /// All access control lists.
    #[must_use]
    pub fn acls(&self) -> KeyRange {
        self.kind(b'c')
    }

    /// All records of removed mailboxes.
    #[must_use]
    pub fn removed_mailboxes(&self) -> KeyRange {
        self.kind(b'd')
    }

    /// All memberships of all mailboxes.
    #[must_use]
    pub fn memberships_all(&self) -> KeyRange {
        self.kind(b'm')
    }

    /// All memberships of a mailbox, by UID.
    #[must_use]
    pub fn memberships(&self, mailbox: MailboxId) -> KeyRange {
        self.in_mailbox(b'm', mailbox)
    }

    /// All expunged memberships of all mailboxes.
    #[must_use]
    pub fn expunged_all(&self) -> KeyRange {
        self.kind(b'x')
    }

    /// All expunged memberships of a mailbox, by modseq.
    #[must_use]
    pub fn expunged(&self, mailbox: MailboxId) -> KeyRange {
        self.in_mailbox(b'x', mailbox)
    }

    /// All message rows.
    #[must_use]
    pub fn messages(&self) -> KeyRange {
        self.kind(b'e')
    }

    /// All annotations.
    #[must_use]
    pub fn metadata(&self) -> KeyRange {
        self.kind(b'g')
    }

    /// All annotations of messages of all mailboxes.
    #[must_use]
    pub fn annotations_all(&self) -> KeyRange {
        self.kind(b'o')
    }

    /// All annotations of messages of a mailbox, by UID.
    #[must_use]
    pub fn annotations(&self, mailbox: MailboxId) -> KeyRange {
        self.in_mailbox(b'o', mailbox)
    }

    /// All pages of the log entries after `floor`, in order.
    #[must_use]
    pub fn log_after(&self, floor: ModSeq) -> KeyRange {
        let mut range = self.kind(b'l');
        range.start = self.key(&AccountKey::Log(floor, u16::MAX));
        range.start.push(0);
        range
    }

    /// All pages of the log entries up to and with `floor`.
    #[must_use]
    pub fn log_until(&self, floor: ModSeq) -> KeyRange {
        let mut range = self.kind(b'l');
        range.end = Some(self.log_after(floor).start);
        range
    }

    /// All thread rows.
    #[must_use]
    pub fn threads(&self) -> KeyRange {
        self.kind(b't')
    }

    /// All marks of what the queue has delivered.
    #[must_use]
    pub fn delivered(&self) -> KeyRange {
        self.kind(b'j')
    }

    /// All marks of sent messages.
    #[must_use]
    pub fn sent(&self) -> KeyRange {
        self.kind(b's')
    }

    /// All subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> KeyRange {
        self.kind(b'u')
    }

    /// All access keys.
    #[must_use]
    pub fn access_keys(&self) -> KeyRange {
        self.kind(b'y')
    }

    fn kind(&self, kind: u8) -> KeyRange {
        KeyRange::prefix(&[&self.prefix, &[kind][..]].concat())
    }

    fn in_mailbox(&self, kind: u8, mailbox: MailboxId) -> KeyRange {
        let mut prefix = self.prefix.to_vec();
        put(&mut prefix, kind, mailbox.get());
        KeyRange::prefix(&prefix)
    }
}

/// Ids of mailboxes begin with one, so zero is free to stand for the server.
pub(crate) fn target_number(target: MetadataTarget) -> u64 {
    match target {
        MetadataTarget::Server => 0,
        MetadataTarget::Mailbox(id) => id.get(),
    }
}

/// The counterpart of [`target_number`].
pub(crate) fn target(number: u64) -> MetadataTarget {
    match number {
        0 => MetadataTarget::Server,
        id => MetadataTarget::Mailbox(MailboxId(id)),
    }
}

/// Ids of accounts begin with one, so zero is free for what is shared, and the owner has the
/// highest number: his own id may change when the account moves.
pub(crate) fn audience_number(audience: Audience) -> u64 {
    match audience {
        Audience::Everyone => 0,
        Audience::Reader(account) => account.get(),
        Audience::Owner => u64::MAX,
    }
}

/// The counterpart of [`audience_number`].
pub(crate) fn audience(number: u64) -> Audience {
    match number {
        0 => Audience::Everyone,
        u64::MAX => Audience::Owner,
        account => Audience::Reader(AccountId(account)),
    }
}

fn numbered(kind: &[u8], number: u64) -> Vec<u8> {
    [kind, &number.to_be_bytes()].concat()
}

fn put(bytes: &mut Vec<u8>, kind: u8, number: u64) {
    bytes.push(kind);
    bytes.extend_from_slice(&number.to_be_bytes());
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn uid(&mut self) -> Option<Uid> {
        Uid::new(u32::from_be_bytes(self.take()?))
    }

    fn modseq(&mut self) -> Option<ModSeq> {
        ModSeq::new(self.u64()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_name() -> EntryName {
        EntryName::new("/shared/comment").unwrap()
    }

    const START: i64 = 1_800_000_000;

    #[test]
    fn due_entries_are_found_by_their_time_and_no_others() {
        let id = QueueId::new(START, [9; 7]);
        let contains = |range: &KeyRange, key: &Vec<u8>| {
            range.start <= *key && range.end.as_ref().is_none_or(|end| key < end)
        };
        for (at, is_due) in [(START - 1, true), (START, true), (START + 1, false), (-5, true)] {
            let key = queue_due(Due::Attempt(at), id);
            assert_eq!(contains(&queue_due_until(QUEUE_DUE, START), &key), is_due);
            assert_eq!(contains(&queue_due_after(QUEUE_DUE, START), &key), !is_due);
            assert_eq!(queue_due_id(&key), Some(id));
            let release = queue_due(Due::Release(at), id);
            assert!(!contains(&queue_due_until(QUEUE_DUE, START), &release));
            assert!(!contains(&queue_due_after(QUEUE_DUE, START), &release));
        }
        assert_eq!(queue_entry_id(&queue_entry(id)), Some(id));
    }

    #[test]
    fn events_of_stories_are_forgotten_by_whole_days_and_what_points_at_them_with_them() {
        let contains = |range: &KeyRange, key: &Vec<u8>| {
            range.start <= *key && range.end.as_ref().is_none_or(|end| key < end)
        };
        let (hash, day) = ([9; STORY_HASH_BYTES], story_day(START));
        let midnight = i64::from(day) * 86_400;
        for (at, is_old) in [(midnight - 1, true), (midnight, false), (START, false), (-7, true)] {
            let told = Moment::new(at, [1; 4], 77);
            assert_eq!(told.at(), at.max(0));
            let (event, index) = (story_event(told), story_index(hash, told));
            assert_eq!(contains(&story_events_before(day), &event), is_old);
            assert_eq!(contains(&story_index_before(day), &index), is_old);
            assert_eq!(contains(&story_events_since(midnight), &event), !is_old);
            assert!(contains(&story_index_of(story_day(at), hash), &index));
            assert!(!contains(&story_index_of(story_day(at), [8; STORY_HASH_BYTES]), &index));
            assert_eq!(parse_story_event(&event), Some(told));
            assert_eq!(parse_story_index(&index), Some((story_day(at), told)));
            for cut in 0..index.len() {
                assert_eq!(parse_story_index(&index[..cut]), None);
                assert_eq!(parse_story_event(&event[..cut.min(event.len() - 1)]), None);
            }
        }
        assert!(Moment::new(5, [0; 4], 1) < Moment::new(5, [0; 4], 2));
        assert!(contains(
            &story_events_before(u32::MAX),
            &story_event(Moment::new(START, [0; 4], 0))
        ));
    }

    fn samples() -> Vec<AccountKey> {
        let (mailbox, uid) = (MailboxId(3), Uid::new(77).unwrap());
        let modseq = ModSeq::new(500).unwrap();
        vec![
            AccountKey::Head,
            AccountKey::Credential,
            AccountKey::Mailbox(mailbox),
            AccountKey::Acl(mailbox),
            AccountKey::RemovedMailbox(mailbox),
            AccountKey::Membership(mailbox, uid),
            AccountKey::Expunged(mailbox, modseq, uid),
            AccountKey::Message(MessageId(9)),
            AccountKey::Metadata(MetadataTarget::Server, entry_name()),
            AccountKey::Metadata(MetadataTarget::Mailbox(mailbox), entry_name()),
            AccountKey::Annotations(mailbox, uid, Audience::Owner),
            AccountKey::Annotations(mailbox, uid, Audience::Everyone),
            AccountKey::Annotations(mailbox, uid, Audience::Reader(AccountId(5))),
            AccountKey::Quota,
            AccountKey::Delivered(QueueId::new(START, [7; 7]), [8; RECIPIENT_HASH_BYTES]),
            AccountKey::Log(modseq, 2),
            AccountKey::Sent([7; THREAD_HASH_BYTES]),
            AccountKey::Thread([7; THREAD_HASH_BYTES]),
            AccountKey::Subscription(MailboxName::new("Lists/Rust").unwrap()),
            AccountKey::AccessKey(mailbox),
        ]
    }

    #[test]
    fn every_key_reads_back_and_no_cut_of_it_is_a_key() {
        let keys = AccountKeys::new(AccountId(1));
        for sample in samples() {
            let key = keys.key(&sample);
            assert_eq!(keys.parse(&key), Some(sample.clone()));
            assert_eq!(AccountKeys::new(AccountId(2)).parse(&key), None);
            let is_name = matches!(sample, AccountKey::Subscription(_) | AccountKey::Metadata(..));
            for cut in 0..key.len() {
                let parsed = keys.parse(&key[..cut]);
                assert!(parsed.is_none() || is_name, "{sample:?} cut to {cut}");
            }
        }
    }

    #[test]
    fn grants_read_back_and_stand_with_their_grantee() {
        let (dock, office) = (AccountId(1), AccountId(u64::MAX));
        let key = grant(dock, office);
        assert_eq!(parse_grant(&key), Some((dock, office)));
        for cut in 0..key.len() {
            assert_eq!(parse_grant(&key[..cut]), None);
        }
        assert_eq!(parse_grant(&[&key[..], b"x"].concat()), None);
        let range = grants_to(dock);
        assert!(range.start <= key && range.end.unwrap() > key);
    }

    #[test]
    fn the_longest_name_fits_in_a_key() {
        let keys = AccountKeys::new(AccountId(u64::MAX));
        let name = MailboxName::new(&"n".repeat(MailboxName::BYTES_MAX)).unwrap();
        let key = keys.key(&AccountKey::Subscription(name));
        assert!(key.len() <= store::limits::KEY_BYTES_MAX);
        const { assert!(PREFIX_BYTES <= store::limits::SCOPE_BYTES_MAX) };
    }

    #[test]
    fn log_ranges_divide_at_the_floor() {
        let keys = AccountKeys::new(AccountId(1));
        let at = |value, page| keys.key(&AccountKey::Log(ModSeq::new(value).unwrap(), page));
        let floor = ModSeq::new(5).unwrap();
        let (before, after) = (keys.log_until(floor), keys.log_after(floor));
        for (value, page, is_old) in
            [(4, 0, true), (5, 0, true), (5, u16::MAX, true), (6, 0, false)]
        {
            let key = at(value, page);
            assert_eq!(before.start <= key && before.end.as_ref().unwrap() > &key, is_old);
            assert_eq!(after.start <= key && after.end.as_ref().unwrap() > &key, !is_old);
        }
    }
}
