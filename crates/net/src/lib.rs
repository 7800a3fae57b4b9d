//! Listeners, TLS, limits, in-memory duplex, graceful shutdown.
