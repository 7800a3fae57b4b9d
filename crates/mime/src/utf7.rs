//! UTF-7, which encoding_rs leaves out. RFC 2152
