//! The BURL command: text that the server fetches itself. RFC 4468
//!
//! ```text
//! burl-cmd   = "BURL" SP absolute-URI [SP end-marker] CRLF
//! end-marker = "LAST"
//! ```
//!
//! BURL and BDAT of one message may be mixed. Unlike the octets behind BDAT, what a URL names does
//! not come on this connection, so after a refusal there is nothing to be skipped.

use crate::command::{SAY_MAIL, TOO_IDLE, is_verb, trimmed};
use crate::session::{Opening, Stage};
use crate::text::Place;
use crate::{Event, IDLE_COMMANDS_MAX, Reply, Session};

/// Whether URLs can be handed in instead of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burl {
    /// They can, once somebody has logged in.
    Offered,
    /// They cannot.
    Absent,
}

/// A URL that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) url: String,
    pub(crate) place: Place,
}

impl Session {
    /// Whether what has come may become a BURL command: it may be longer than others.
    pub(crate) fn may_be_url(&self, input: &[u8]) -> bool {
        self.offer.burl == Burl::Offered && self.is_authenticated && is_verb(input, "BURL")
    }

    /// `BURL absolute-URI [LAST]`. Whatever is wrong with it, nothing comes of the message that it
    /// would have belonged to. RFC 4468 §3.2
    pub(crate) fn burl_line(&mut self, line: &[u8]) -> Option<Event> {
        let is_under_way = self.receipt.is_some();
        let load = match self.plan_burl(line) {
            Ok(load) => load,
            Err(refusal) => {
                if is_under_way {
                    self.forget();
                    self.stage = Stage::Abandoned;
                }
                self.count(refusal);
                return None;
            }
        };
        // A URL may name nothing at all, and then no message comes nearer.
        self.counts.idle = self.counts.idle.saturating_add(1);
        if self.counts.idle > IDLE_COMMANDS_MAX {
            self.end(TOO_IDLE);
            return None;
        }
        self.stage = match &mut self.receipt {
            None => Stage::AwaitData(Opening::Url(load)),
            Some(receipt) => {
                receipt.urls = receipt.urls.saturating_add(1);
                Stage::AwaitUrl(load)
            }
        };
        None
    }

    fn plan_burl(&self, line: &[u8]) -> Result<Load, Reply> {
        if !self.is_authenticated {
            return Err(Reply::new(530, "5.7.0", "Authentication required"));
        }
        let load = parse_burl(line).ok_or(SYNTAX)?;
        let transaction = self.transaction.as_ref().ok_or(SAY_MAIL)?;
        if transaction.recipients.is_empty() {
            return Err(NO_RECIPIENTS);
        }
        if self.receipt.as_ref().is_some_and(|receipt| receipt.urls >= URLS_MAX) {
            return Err(TOO_MANY_URLS);
        }
        Ok(load)
    }

    /// The answer to [`Event::Url`]: `Ok` if it names something that may be had.
    pub fn answer_url(&mut self, answer: Result<(), Reply>) {
        let Stage::AwaitUrl(load) = std::mem::replace(&mut self.stage, Stage::Commands) else {
            return;
        };
        match answer {
            Ok(()) => self.stage = Stage::AwaitUrlText(load.place),
            Err(reply) => self.fail_url(reply),
        }
    }

    /// The answer to [`Event::UrlText`]: the next piece; an empty one is the end.
    pub fn answer_url_text(&mut self, answer: Result<Vec<u8>, Reply>) {
        let Stage::AwaitUrlText(place) = std::mem::replace(&mut self.stage, Stage::Commands) else {
            return;
        };
        match answer {
            Ok(piece) => self.stage = Stage::UrlPiece(piece, place),
            Err(reply) => self.fail_url(reply),
        }
    }

    /// "If the URL fetch fails, the server will fail the entire transaction." RFC 4468 §3.2
    fn fail_url(&mut self, reply: Reply) {
        self.forget();
        self.stage = Stage::Abandoned;
        self.count(reply);
    }
}

fn parse_burl(line: &[u8]) -> Option<Load> {
    let line = std::str::from_utf8(trimmed(line)).ok()?;
    let mut words = line.split(' ').skip(1);
    let url = words.next().filter(|url| !url.is_empty() && url.bytes().all(is_url_byte))?;
    let place = match words.next() {
        None => Place::MoreFollows,
        Some(word) if word.eq_ignore_ascii_case("LAST") => Place::Last,
        Some(_) => return None,
    };
    words.next().is_none().then(|| Load { url: url.to_owned(), place })
}

/// RFC 3986 §2
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// The most URLs of one message. Each costs a look at a mailbox; a message of many parts that are
/// all kept somewhere else has some dozens.
pub const URLS_MAX: u32 = 64;

const SYNTAX: Reply = Reply::new(501, "5.5.4", "BURL absolute-URI [LAST]");

/// RFC 4468 §6
const NO_RECIPIENTS: Reply = Reply::new(554, "5.5.0", "No recipients have been specified");

const TOO_MANY_URLS: Reply = Reply::new(554, "5.5.0", "Too many URLs in one message");
