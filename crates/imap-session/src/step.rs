//! What a call into a session comes to.

use crate::Need;

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// The command has ended; its tagged response is in the output.
    Done(Then),
    /// The command waits: do this, then [`crate::Session::resume`].
    Need(Need),
    /// IDLE has begun: send the output. Call [`crate::Session::changes`] whenever the account may
    /// have changed, and [`crate::Session::idle_done`] with the client's next line.
    Idle,
}

/// What follows a command. The output is to be sent first in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next command.
    Continue,
    /// The TLS handshake: drop every byte that came after the command, and call
    /// [`crate::Session::tls_started`] when it is done. RFC 9051 §6.2.1
    StartTls,
    /// Compression of both directions, from the next octet on. RFC 4978 §3
    Compress,
    /// The not authenticated state: forget the account, and end compression with the output.
    /// RFC 8437 §3
    Unauthenticate,
    /// The end: close the connection in good order.
    Close,
}
