//! Message bytes to header, part tree with exact offsets, envelope, text. No I/O.
