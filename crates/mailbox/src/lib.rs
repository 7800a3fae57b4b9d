//! The mailbox model: snapshot, change log, operations, view, search. No I/O.
