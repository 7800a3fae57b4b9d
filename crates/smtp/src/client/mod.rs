//! Sending through a relay: a server that takes mail for other systems from this one and carries
//! it on. Which one takes it is decided by the recipient's domain.
//!
//! - [`Relay`], [`Relays`]: where it goes.
//! - [`RelayTransport`]: hands over what the queue wants to leave.
//! - [`QueueOutbound`]: puts into the queue what people hand in here.

mod convert;
mod link;
mod noted;
mod queue;
mod relay;
mod tls;
mod transport;

pub use queue::QueueOutbound;
pub use relay::{Relay, RelayError, RelayLogin, RelayTls, Relays};
pub use transport::RelayTransport;
