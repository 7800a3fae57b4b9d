//! Sockets for the shells: addresses, listeners, TLS, admission limits, graceful shutdown, and one
//! [`Stream`] that is a TCP or Unix socket, an in-memory pipe, or TLS over any of them.
//!
//! Nothing here knows a mail protocol. What a shell must know of a connection is in [`Peer`] and
//! [`Stream::security`]; what it must not hold while a connection is idle is memory: reading waits
//! for readiness before it makes room ([`Stream::read_into`]).

mod address;
mod certificate;
mod certified;
mod deflate;
mod facts;
mod gate;
mod io;
mod listener;
mod peer;
mod replaceable;
mod server;
mod shutdown;
mod socket;
mod stream;
mod throttle;
mod tls;
mod watch;

pub use address::{Address, AddressError};
pub use certificate::{CertificateError, CertificateFiles, write_private};
pub use deflate::INFLATER_BYTES;
pub use facts::Facts;
pub use gate::{Gate, Limits, Permit, Refused};
pub use io::Io;
pub use listener::{Access, Listener};
pub use peer::Peer;
pub use replaceable::Replaceable;
pub use server::{Arrival, HANDSHAKE_PATIENCE, Service, serve};
pub use shutdown::{Guard, Shutdown, ShutdownToken};
pub use stream::{CHANNEL_BINDING_BYTES, READ_BYTES_MAX, Security, Stream};
pub use throttle::{LoginThrottle, Verdict};
pub use tls::{CHALLENGE_ALPN, Proof, Tls, TlsServer};
pub use watch::{CertificateWatch, Remaining, remaining};
