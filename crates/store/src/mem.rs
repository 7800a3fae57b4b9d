//! Engine in memory.
