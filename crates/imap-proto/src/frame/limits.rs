//! How much a peer can make a framer hold or read over.

/// Limits of a framer. All sizes in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One line of text, its line break counted.
    pub line_bytes_max: usize,
    /// A whole command: its lines and the literals that are kept with it.
    pub command_bytes_max: usize,
    /// One literal that is kept.
    pub literal_bytes_max: u64,
    /// Literals in one command.
    pub literal_count_max: u32,
    /// A literal that is sent without asking. RFC 7888
    pub unasked_literal_bytes_max: u64,
    /// What is read over to get to the end of a refused command; beyond it the connection is to be
    /// closed. RFC 7888 §4
    pub drain_bytes_max: u64,
}

impl Limits {
    /// Before login. With the doubling of a growing buffer this stays under 64 KiB, and an OAuth
    /// token of 12 KiB still fits on its line. Literals are user names and passwords, and those
    /// that come without asking follow LITERAL-. RFC 7888 §5
    pub const BEFORE_LOGIN: Self = Self {
        line_bytes_max: 16 * 1024,
        command_bytes_max: 32 * 1024,
        literal_bytes_max: 8 * 1024,
        literal_count_max: 8,
        unasked_literal_bytes_max: 4096,
        drain_bytes_max: 64 * 1024,
    };

    /// After login. A set of 50,000 UIDs written one by one has about 550,000 octets; with the
    /// doubling of a growing buffer a command stays under 2 MiB. MULTIAPPEND has one literal for
    /// each of up to 1000 messages. LITERAL+ is meant for whole messages, so a refused one is read
    /// over rather than answered by closing.
    pub const AUTHENTICATED: Self = Self {
        line_bytes_max: 1024 * 1024,
        command_bytes_max: 1024 * 1024,
        literal_bytes_max: 256 * 1024,
        literal_count_max: 2048,
        unasked_literal_bytes_max: u64::MAX,
        drain_bytes_max: 64 * 1024 * 1024,
    };

    /// Responses of a server, read by a client that chose it: a SEARCH over a million messages is
    /// one line of 8 MB.
    pub const RESPONSES: Self = Self {
        line_bytes_max: 64 * 1024 * 1024,
        command_bytes_max: 96 * 1024 * 1024,
        literal_bytes_max: 16 * 1024 * 1024,
        literal_count_max: 1_000_000,
        unasked_literal_bytes_max: u64::MAX,
        drain_bytes_max: u64::MAX,
    };
}
