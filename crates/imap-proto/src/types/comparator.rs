//! COMPARATOR. RFC 5255 §4.7, §4.8

/// A COMPARATOR response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparatorReply {
    /// The active comparator, as `i;unicode-casemap`.
    pub active: String,
    /// All that matched what was asked for; empty unless there are several.
    pub matching: Vec<String>,
}
