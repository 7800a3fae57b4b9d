//! The SMTP and LMTP shell.
