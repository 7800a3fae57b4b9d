//! What the domain name system says, and whether it is signed.
//!
//! The one place that asks name servers. Everybody else sees names as plain text (A-labels in
//! small letters, without a dot at the end), records as plain values, and for each answer whether
//! a chain of signatures leads to it from a key that is trusted beforehand (DNSSEC, RFC 4035).
//!
//! - [`Resolver`] asks, remembers, and bounds what an answer may cost.
//! - `path` finds out whether signatures get through to here at all.
//! - `narrow` throws away what nobody asked for, before anything else looks at it.

mod anchor;
mod answer;
mod error;
mod name;
mod narrow;
mod path;
mod resolver;
mod settings;

pub use answer::{Answer, Mx, Security, Srv, Tlsa};
pub use error::DnsError;
pub use name::{ascii, reversed};
pub use resolver::Resolver;
pub use settings::{Settings, Validation};
