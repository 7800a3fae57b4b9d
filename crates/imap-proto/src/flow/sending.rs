//! A client sending a command that has literals. RFC 9051 §4.3

use std::collections::VecDeque;

use crate::serialize::Chunk;

/// A command on its way to the server.
#[derive(Debug)]
pub struct Sending {
    chunks: VecDeque<Chunk>,
}

/// What a client has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Send these bytes.
    Bytes(Vec<u8>),
    /// Send the octets of this literal of the command.
    Message {
        /// Which literal.
        index: u32,
        /// Octets, exactly.
        size: u64,
    },
    /// Send nothing before the server has said `+`.
    Await,
    /// The command has been sent.
    Sent,
}

impl Sending {
    /// Begins to send what [`crate::serialize::command`] made.
    pub fn new(chunks: Vec<Chunk>) -> Self {
        Self { chunks: chunks.into() }
    }

    /// What to do next. [`Outgoing::Await`] is said until [`Self::continued`] is called.
    #[expect(
        clippy::should_implement_trait,
        reason = "it goes on saying Await, as no iterator may"
    )]
    pub fn next(&mut self) -> Outgoing {
        match self.chunks.pop_front() {
            None => Outgoing::Sent,
            Some(Chunk::Bytes(bytes)) => Outgoing::Bytes(bytes),
            Some(Chunk::Message { index, size }) => Outgoing::Message { index, size },
            Some(Chunk::Continuation) => {
                self.chunks.push_front(Chunk::Continuation);
                Outgoing::Await
            }
        }
    }

    /// A `+` came. `false` if nothing waited for it, so that it belongs to something else.
    pub fn continued(&mut self) -> bool {
        let waited = self.chunks.front() == Some(&Chunk::Continuation);
        if waited {
            self.chunks.pop_front();
        }
        waited
    }

    /// The tagged response came before the command was sent: the server refused a literal, and the
    /// rest must not be sent. `false` if all had been sent.
    pub fn refused(&mut self) -> bool {
        let was_unsent = !self.chunks.is_empty();
        self.chunks.clear();
        was_unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_waits_for_the_continuation_and_a_refusal_ends_it() {
        let chunks = || {
            vec![
                Chunk::Bytes(b"a APPEND x {3}\r\n".to_vec()),
                Chunk::Continuation,
                Chunk::Message { index: 0, size: 3 },
                Chunk::Bytes(b"\r\n".to_vec()),
            ]
        };
        let mut sending = Sending::new(chunks());
        assert!(matches!(sending.next(), Outgoing::Bytes(_)));
        assert_eq!(sending.next(), Outgoing::Await);
        assert_eq!(sending.next(), Outgoing::Await);
        assert!(sending.continued());
        assert!(!sending.continued());
        assert_eq!(sending.next(), Outgoing::Message { index: 0, size: 3 });
        assert_eq!(sending.next(), Outgoing::Bytes(b"\r\n".to_vec()));
        assert_eq!(sending.next(), Outgoing::Sent);
        assert!(!sending.refused());

        let mut sending = Sending::new(chunks());
        sending.next();
        assert!(sending.refused());
        assert_eq!(sending.next(), Outgoing::Sent);
    }
}
