//! Delimiter lines of multiparts. RFC 2046 §5.1.1
