//! What a hostile message may cost.

/// Bounds on the tree that is made of one message.
///
/// Past a bound the tree is coarser than the message, its offsets still exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of multiparts and messages; a container below it is a leaf.
    pub depth_max: usize,
    /// Most parts of a message; after the last one no more boundaries are looked for, so the parts
    /// then open reach to the end of the message.
    pub part_count_max: usize,
    /// Bytes of one header block that are read for fields. What follows belongs to the header (its
    /// end is still found) but its fields are not seen.
    pub header_bytes_max: usize,
    /// Bytes of header text kept in the whole tree; it ends the search for boundaries as
    /// `part_count_max` does.
    pub kept_bytes_max: usize,
}

impl Default for Limits {
    /// Depth and part count are those of Dovecot (100, 10,000). A header of 1 MiB has room for a
    /// message to 20,000 people; the largest seen in real mail are some 100 KiB.
    fn default() -> Self {
        Self {
            depth_max: 100,
            part_count_max: 10_000,
            header_bytes_max: 1 << 20,
            kept_bytes_max: 1 << 20,
        }
    }
}
