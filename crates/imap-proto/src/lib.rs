//! The IMAP wire: framing, parsing, serializing, for both roles. No I/O.
