//! One IMAP session: plan, execute, render. No I/O.
