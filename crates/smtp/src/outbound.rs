//! Who carries mail to other systems.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use mail_service::queue::QueueId;
use mail_service::{AccountName, ServiceError};
use smtp_session::Transaction;

/// Takes responsibility for mail: what it has taken is delivered, or its sender hears of it.
pub trait Outbound: Send + Sync + 'static {
    /// Whether mail for this address, which is kept elsewhere, can leave.
    fn carries(&self, address: &str) -> bool;

    /// Begins to take a message. Nothing is promised yet.
    fn begin(&self, envelope: Envelope) -> Box<dyn Outgoing>;
}

/// A message that is being taken. Dropping it forgets it.
pub trait Outgoing: Send {
    /// Takes the next octets.
    fn push<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a>;

    /// The sender is a stranger of whom it is proved that MAIL FROM is his: he may be told what
    /// becomes of the message.
    fn vouch(&mut self) {}

    /// Takes responsibility; durable when it is done. The entries of the queue that it has become.
    fn commit(self: Box<Self>) -> Pending<'static, Vec<QueueId>>;
}

/// Work that is on its way.
pub type Pending<'a, T = ()> = Pin<Box<dyn Future<Output = Result<T, ServiceError>> + Send + 'a>>;

/// What is known of a message before its text comes.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// What MAIL and RCPT said; its recipients are those that the message shall still go to.
    pub transaction: Transaction,
    /// Who had logged in; `None` for mail that a stranger brought.
    pub account: Option<AccountName>,
    /// A name for this message that the log and its Received field have too.
    pub id: u64,
}

impl fmt::Debug for dyn Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing")
    }
}
