//! The storage engine of several machines: PostgreSQL, with bodies in a heap beside it.
