//! The servers of SMTP (RFC 5321), message submission (RFC 6409) and LMTP (RFC 2033): how mail
//! comes to the mailboxes kept here, and how the people here hand in what they send.
//!
//! - [`SmtpServer`]: drives a session (`smtp-session`) over a connection and asks `mail-service`
//!   for the rest.
//! - [`Inbound`]: what strangers must pass before their mail is taken.
//! - [`Outbound`]: who carries on what is for other systems.
//! - [`OutboundTransport`]: what of the queue is for other systems, sent through a relay or to the
//!   servers of the recipients' domains.

mod burl;
mod client;
mod connection;
mod delivery;
mod header;
mod held;
mod http;
mod inbound;
mod intake;
mod login;
mod outbound;
mod rates;
mod receipt;
mod sent;
mod server;
mod story;
mod trace;

pub use client::{
    Direct, DirectSettings, OutboundTransport, QueueOutbound, Relay, RelayError, RelayLogin,
    RelayTls, Relays, Routes, TlsReporter,
};
pub use held::{Budget, HELD_BUDGET_BYTES};
pub use inbound::{
    BlockList, BlockLists, Checking, Claim, Filter, FilterError, FilterProgram, Inbound,
    ListAction, Network, NoNetwork, SenderChecks, SenderResult,
};
pub use outbound::{Envelope, Outbound, Outgoing, Pending};
pub use rates::{RateLimits, Rates};
pub use receipt::NoticeAllowance;
pub use server::{Forwarding, GREET_PAUSE, SmtpServer, SmtpSettings};
pub use smtp_session::Role;
pub use trace::{Arrival, Protocol, Trace, mail_date};
