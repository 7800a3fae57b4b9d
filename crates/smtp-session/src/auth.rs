//! The AUTH command: framing and base64 of SASL. RFC 4954

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_types::Secret;

use crate::session::{AfterChallenge, Stage};
use crate::{AuthAnswer, AuthStep, Event, Reply, Session};

impl Session {
    /// `AUTH mechanism [initial-response]`; `line` ends with CRLF. RFC 4954 §4
    pub(crate) fn auth(&mut self, line: &[u8]) -> Option<Event> {
        let refusal = if self.offer.mechanisms.is_empty() {
            Some(Reply::new(502, "5.5.1", "Not offered here"))
        } else if !self.is_extended() {
            Some(Reply::new(503, "5.5.1", "Say EHLO first"))
        } else if self.is_authenticated {
            Some(Reply::new(503, "5.5.1", "Authenticated already"))
        } else if self.transaction.is_some() {
            Some(Reply::new(503, "5.5.1", "A message is under way"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.count(refusal);
            return None;
        }
        match parse_auth(line) {
            Ok((mechanism, initial)) if self.offers(&mechanism) => {
                self.stage = Stage::AwaitAuth(AuthStep::Start { mechanism, initial });
            }
            Ok(_) => self.count(Reply::new(504, "5.5.4", "No such mechanism")),
            Err(reply) => self.count(reply),
        }
        None
    }

    fn offers(&self, mechanism: &str) -> bool {
        self.offer.mechanisms.iter().any(|offered| offered.eq_ignore_ascii_case(mechanism))
    }

    /// The client's answer to a challenge, without its CRLF.
    pub(crate) fn response(&mut self, line: &[u8], input: &[u8]) -> Option<Event> {
        let Stage::AuthLine(after) = std::mem::replace(&mut self.stage, Stage::Commands) else {
            return None;
        };
        if !input.is_empty() {
            // The reply may be another challenge: who does not wait for it is not a client.
            self.end(Reply::new(554, "5.5.0", "Wait for the reply to AUTH"));
            return None;
        }
        if line == b"*" {
            // RFC 4954 §4
            self.count(Reply::new(501, "5.7.0", "Authentication cancelled"));
            return None;
        }
        match (STANDARD.decode(line), after) {
            (Ok(response), AfterChallenge::GoOn) => {
                self.stage = Stage::AwaitAuth(AuthStep::Response(Secret::new(response)));
            }
            (Ok(response), AfterChallenge::Succeed) if response.is_empty() => self.succeed(),
            (Ok(_), AfterChallenge::Succeed) => self.count(NOT_BASE64),
            (Err(_), _) => self.count(NOT_BASE64),
        }
        None
    }

    /// The answer to [`Event::Auth`].
    pub fn answer_auth(&mut self, answer: AuthAnswer) {
        if !matches!(self.stage, Stage::AwaitAuth(_)) {
            return;
        }
        self.stage = Stage::Commands;
        match answer {
            AuthAnswer::Challenge(challenge) => self.challenge(&challenge, AfterChallenge::GoOn),
            AuthAnswer::Done { data: Some(data) } => self.challenge(&data, AfterChallenge::Succeed),
            AuthAnswer::Done { data: None } => self.succeed(),
            AuthAnswer::Refused(reply) => {
                self.counts.auth_failures += 1;
                if self.counts.auth_failures >= AUTH_FAILURES_MAX {
                    reply.write(&mut self.replies);
                    self.end(Reply::new(421, "4.7.0", "Too many failed logins"));
                } else {
                    self.count(reply);
                }
            }
        }
    }

    fn challenge(&mut self, challenge: &[u8], after: AfterChallenge) {
        let line = format!("334 {}\r\n", STANDARD.encode(challenge));
        self.replies.extend_from_slice(line.as_bytes());
        self.stage = Stage::AuthLine(after);
    }

    fn succeed(&mut self) {
        self.is_authenticated = true;
        self.count(Reply::new(235, "2.7.0", "Authenticated"));
    }
}

/// The mechanism and the initial response; `=` stands for an empty one. RFC 4954 §4
fn parse_auth(line: &[u8]) -> Result<(String, Option<Secret>), Reply> {
    let text = std::str::from_utf8(line).map_err(|_| SYNTAX)?.trim_end();
    let mut words = text.split(' ').skip(1);
    let mechanism = words.next().filter(|word| !word.is_empty()).ok_or(SYNTAX)?;
    let initial = match words.next() {
        None => None,
        Some("=") => Some(Secret::new([])),
        Some("") => return Err(SYNTAX),
        Some(word) => Some(Secret::new(STANDARD.decode(word).map_err(|_| NOT_BASE64)?)),
    };
    if words.next().is_some() {
        return Err(SYNTAX);
    }
    Ok((mechanism.to_owned(), initial))
}

const SYNTAX: Reply = Reply::new(501, "5.5.4", "AUTH mechanism [initial-response]");

/// RFC 4954 §4, §6
const NOT_BASE64: Reply = Reply::new(501, "5.5.2", "Cannot decode the response");

/// Failed logins before the connection is closed; the throttle counts beyond it.
const AUTH_FAILURES_MAX: u32 = 5;
