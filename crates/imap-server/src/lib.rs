//! The IMAP shell: read, step, load, write.
