//! The storage contract, an in-memory engine, faults and the conformance suite.
