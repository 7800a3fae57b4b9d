//! The vocabulary of mail: UIDs, flags, names, dates, envelopes. No I/O.
