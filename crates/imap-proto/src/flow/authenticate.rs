//! The exchange of AUTHENTICATE. RFC 9051 §6.2.2, RFC 4959

use mail_types::Secret;

use crate::base64;
use crate::types::{Authenticate, Continuation};

/// What a client answers to a challenge.
#[derive(Clone, Debug)]
pub enum AuthLine {
    /// A response, decoded; it may be empty.
    Response(Secret),
    /// `*`: it gives up, and the command is answered with BAD.
    Cancel,
}

/// A line that is not base64; the command is answered with BAD. RFC 9051 §6.2.2
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

/// Reads a client's line. At a server, a challenge is a [`Continuation::Challenge`], and its answer
/// a line that the framer was told to expect.
///
/// # Errors
/// If the line is neither base64 nor `*`.
pub fn server_line(line: &[u8]) -> Result<AuthLine, NotBase64> {
    if line == b"*" {
        return Ok(AuthLine::Cancel);
    }
    base64::decode(line).map(|bytes| AuthLine::Response(Secret::new(bytes))).ok_or(NotBase64)
}

/// Whether the server takes an initial response in the command. RFC 4959
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslIr {
    /// It announced SASL-IR or IMAP4rev2.
    Supported,
    /// It did not.
    Unsupported,
}

/// What a challenge is for.
#[derive(Debug)]
pub enum Challenge {
    /// The mechanism has to answer these octets.
    ForMechanism(Vec<u8>),
    /// The server asks for the initial response: it is to be sent as it is.
    SendInitial(Secret),
}

/// A client in AUTHENTICATE.
#[derive(Debug)]
pub struct ClientExchange {
    /// What is to answer the first challenge, which then is empty.
    initial: Option<Secret>,
}

impl ClientExchange {
    /// The arguments of the command, and the state that follows it. An initial response that the
    /// server does not take in the command is kept for its first challenge.
    pub fn begin(
        mechanism: &str,
        initial: Option<Secret>,
        sasl_ir: SaslIr,
    ) -> (Authenticate, Self) {
        let mechanism = mechanism.to_ascii_uppercase();
        match sasl_ir {
            SaslIr::Supported => (Authenticate { mechanism, initial }, Self { initial: None }),
            SaslIr::Unsupported => (Authenticate { mechanism, initial: None }, Self { initial }),
        }
    }

    /// A challenge of the server.
    ///
    /// # Errors
    /// If the challenge is not base64: the exchange should be cancelled.
    pub fn challenge(&mut self, continuation: &Continuation) -> Result<Challenge, NotBase64> {
        let bytes = match continuation {
            Continuation::Challenge(bytes) => bytes.clone(),
            Continuation::Text { code: None, text } => {
                base64::decode(text.trim_end_matches(' ').as_bytes()).ok_or(NotBase64)?
            }
            Continuation::Text { .. } => return Err(NotBase64),
        };
        match self.initial.take() {
            Some(initial) if bytes.is_empty() => Ok(Challenge::SendInitial(initial)),
            _ => Ok(Challenge::ForMechanism(bytes)),
        }
    }

    /// The line that answers a challenge.
    pub fn response_line(response: &Secret) -> Vec<u8> {
        let mut line = base64::encode(response.expose()).into_bytes();
        line.extend_from_slice(b"\r\n");
        line
    }

    /// The line that gives up. The server answers with a tagged BAD.
    pub const CANCEL_LINE: &'static [u8] = b"*\r\n";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Continuation {
        Continuation::Text { code: None, text: "".into() }
    }

    #[test]
    fn a_server_reads_responses_cancels_and_refuses_other_lines() {
        let read = |line: &[u8]| match server_line(line) {
            Ok(AuthLine::Response(secret)) => format!("{}", secret.expose().escape_ascii()),
            Ok(AuthLine::Cancel) => "cancel".to_owned(),
            Err(NotBase64) => "bad".to_owned(),
        };
        assert_eq!(read(b"dGVzdAB0ZXN0AHRlc3Q="), "test\\x00test\\x00test");
        assert_eq!(read(b""), "");
        assert_eq!(read(b"*"), "cancel");
        // RFC 9051 §6.2.2 names the first two.
        for line in [&b"=AAA"[..], b"AAA=BBB", b"=", b"dGVzd", b"dGVzdA", b"a b=", b"**", b"\xff"] {
            assert_eq!(read(line), "bad", "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_initial_response_goes_into_the_command_or_waits_for_the_first_challenge() {
        let secret = || Some(Secret::new("\0joe\0pw"));
        let (command, mut state) = ClientExchange::begin("plain", secret(), SaslIr::Supported);
        assert_eq!(command.mechanism, "PLAIN");
        assert!(command.initial.is_some());
        let challenge = state.challenge(&empty());
        assert!(matches!(challenge, Ok(Challenge::ForMechanism(bytes)) if bytes.is_empty()));

        let (command, mut state) = ClientExchange::begin("PLAIN", secret(), SaslIr::Unsupported);
        assert!(command.initial.is_none());
        let Ok(Challenge::SendInitial(initial)) = state.challenge(&empty()) else {
            panic!("not asked for it")
        };
        assert_eq!(ClientExchange::response_line(&initial), b"AGpvZQBwdw==\r\n");
    }

    #[test]
    fn a_challenge_that_is_not_base64_is_an_error() {
        let (_, mut state) = ClientExchange::begin("X", None, SaslIr::Supported);
        let text = Continuation::Text { code: None, text: "go ahead!".into() };
        assert_eq!(state.challenge(&text).map(|_| ()), Err(NotBase64));
        let text = Continuation::Text { code: None, text: "Zm9v".into() };
        assert!(
            matches!(state.challenge(&text), Ok(Challenge::ForMechanism(bytes)) if bytes == b"foo")
        );
    }
}
