//! Certificates from an authority that issues them by itself (RFC 8555).
