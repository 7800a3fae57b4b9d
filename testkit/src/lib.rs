//! Transcripts, oracles, clocks and sample mail for tests.

pub mod script;
