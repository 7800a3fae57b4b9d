//! Whole messages through the whole of it.
