//! IDLE and its DONE. RFC 9051 §6.3.13, RFC 2177

/// Whether a line ends IDLE, in any letter case; at a server, the framer was told to expect it. Any
/// other line is answered with BAD, and IDLE is over all the same.
pub fn is_done(line: &[u8]) -> bool {
    line.trim_ascii_end().eq_ignore_ascii_case(b"DONE")
}

/// A client in IDLE. DONE may be sent only once the server has asked for it with `+`: before, the
/// server could take it for a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientIdle {
    is_confirmed: bool,
    is_done_wanted: bool,
}

impl ClientIdle {
    /// The line that ends IDLE.
    pub const DONE_LINE: &'static [u8] = b"DONE\r\n";

    /// After the command has been sent.
    pub fn begin() -> Self {
        Self::default()
    }

    /// A `+` came. DONE is to be sent now if it was wanted in the meantime.
    #[must_use]
    pub fn confirmed(&mut self) -> Option<&'static [u8]> {
        self.is_confirmed = true;
        self.is_done_wanted.then_some(Self::DONE_LINE)
    }

    /// The client wants to go on. DONE is to be sent now, or else when the `+` comes.
    #[must_use]
    pub fn done(&mut self) -> Option<&'static [u8]> {
        if self.is_done_wanted {
            return None;
        }
        self.is_done_wanted = true;
        self.is_confirmed.then_some(Self::DONE_LINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn done_ends_idle_in_any_case_and_nothing_else_does() {
        for line in ["DONE", "done", "Done "] {
            assert!(is_done(line.as_bytes()), "{line}");
        }
        for line in ["", "a DONE", "DONE x", "DON", " DONE"] {
            assert!(!is_done(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_client_sends_done_once_and_not_before_the_plus() {
        let mut idle = ClientIdle::begin();
        assert_eq!(idle.done(), None);
        assert_eq!(idle.done(), None);
        assert_eq!(idle.confirmed(), Some(ClientIdle::DONE_LINE));
        assert_eq!(idle.done(), None);

        let mut idle = ClientIdle::begin();
        assert_eq!(idle.confirmed(), None);
        assert_eq!(idle.done(), Some(ClientIdle::DONE_LINE));
    }
}
