//! Transcripts, oracles, clocks and sample mail for tests.

pub mod corpus;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(feature = "issuer")]
pub mod issuer;
pub mod postgres;
pub mod pure;
#[cfg(feature = "s3")]
pub mod s3;
pub mod script;
pub mod smuggling;
