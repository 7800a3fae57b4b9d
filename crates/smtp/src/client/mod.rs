//! Sending: mail for other systems goes through a relay, a server that takes it and carries it on,
//! or straight to the servers of the recipient's domain.
//!
//! - [`Relay`], [`Relays`]: relays, by the domains that they are for.
//! - [`Direct`]: all other domains. `targets` ranks their servers, `sts` and `dane` read what they
//!   promise, `demand` decides what a connection has to prove; all four are pure.
//! - [`Routes`] has both.
//! - [`OutboundTransport`]: hands over what the queue wants to leave. `dialogue` is one
//!   connection, `pool` keeps some for the next message.
//! - [`TlsReporter`]: tells the owners of the domains what became of TLS.
//! - [`QueueOutbound`]: puts into the queue what people hand in here.

mod convert;
mod dane;
mod demand;
mod destinations;
mod dialogue;
mod direct;
mod link;
mod mta_sts;
mod noted;
mod pool;
mod posts;
mod queue;
mod relay;
mod report;
mod report_mail;
mod reporter;
mod routes;
mod sts;
mod targets;
mod tls;
mod transport;
mod web;

pub use direct::{Direct, DirectSettings};
pub use queue::QueueOutbound;
pub(crate) use queue::{recipient as queued_recipient, terms as queued_terms};
pub use relay::{Relay, RelayError, RelayLogin, RelayTls, Relays};
pub use reporter::TlsReporter;
pub use routes::Routes;
pub use transport::OutboundTransport;
