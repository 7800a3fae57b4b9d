//! Transcripts, oracles, clocks and sample mail for tests.

pub mod corpus;
pub mod postgres;
pub mod pure;
pub mod script;
