//! The beginning of a message's text. RFC 8970
//!
//! It is taken while the message streams by, from the first bytes of its first text part (plain
//! text if there is any, else HTML), so that a list of messages never opens a body.

use crate::decode::Encoding;
use crate::{Content, Part, text};

/// Longest preview, in characters. RFC 8970 §3.3
pub const PREVIEW_CHARS_MAX: usize = 200;

/// A preview of plain text, at most [`PREVIEW_CHARS_MAX`] characters.
///
/// White space is collapsed. Quoted lines, the line that announces them and the signature are left
/// out if anything else is there.
pub fn preview(text: &str) -> String {
    let text = without_armor(text);
    let own = own_lines(text);
    let own = collapse(own.iter().copied());
    if own.is_empty() { collapse(text.lines()) } else { own }
}

/// The text without what OpenPGP wraps around it: an encrypted message has none. RFC 9580 §6.2, §7
fn without_armor(text: &str) -> &str {
    if memchr::memmem::find(text.as_bytes(), b"-----BEGIN PGP ").is_none() {
        return text;
    }
    let signed = text.trim_start().strip_prefix("-----BEGIN PGP SIGNED MESSAGE-----");
    // The lines up to the first empty one name the hash.
    let body = signed.map(|armor| {
        let end = armor.find("\n\n").or_else(|| armor.find("\r\n\r\n"));
        end.and_then(|at| armor.get(at..)).unwrap_or_default()
    });
    let text = body.unwrap_or(text);
    let marks = ["-----BEGIN PGP MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"];
    let end = marks.iter().filter_map(|mark| text.find(mark)).min();
    end.and_then(|at| text.get(..at)).unwrap_or(text)
}

/// The lines that the sender wrote.
fn own_lines(text: &str) -> Vec<&str> {
    let mut own: Vec<&str> = Vec::new();
    let mut chars = 0;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        // What follows is the signature. RFC 3676 §4.3
        if line == "-- " || (line == "--" && !own.is_empty()) || chars > 2 * PREVIEW_CHARS_MAX {
            break;
        }
        if line.trim_start().starts_with('>') {
            drop_attribution(&mut own);
        } else {
            chars += line.trim().chars().count();
            own.push(line);
        }
    }
    own
}

/// Drops the line or two before a quotation that say who is quoted: `On ..., ... wrote:`.
fn drop_attribution(own: &mut Vec<&str>) {
    let Some(last) = own.iter().rposition(|line| !line.trim().is_empty()) else { return };
    if !own.get(last).is_some_and(|line| line.trim_end().ends_with(':')) {
        return;
    }
    let begins = |line: &&str| line.trim_start().starts_with("On ");
    let is_long = last > 0 && own.get(last - 1).is_some_and(begins);
    own.truncate(if is_long { last - 1 } else { last });
}

fn collapse<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in lines.flat_map(str::split_whitespace) {
        // Marks that are not seen fill up previews on purpose; other controls have no place there.
        let mut shown = word.chars().filter(|c| !is_invisible(*c)).peekable();
        // Rules of dashes and the like tell nothing.
        let is_rule = word.len() > 3 && word.bytes().all(|b| b"-_=*~#".contains(&b));
        if is_rule || shown.peek().is_none() {
            continue;
        }
        let space = (!out.is_empty()).then_some(' ');
        for c in space.into_iter().chain(shown) {
            if count == PREVIEW_CHARS_MAX {
                return out.trim_end().to_owned();
            }
            out.push(c);
            count += 1;
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fffd}'
        )
}

/// Keeps the first bytes of the parts that a preview may be made of.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    current: Option<Candidate>,
    plain: Option<Candidate>,
    html: Option<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    kind: Kind,
    encoding: Encoding,
    charset: Vec<u8>,
    body_start: u64,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Html,
}

impl Capture {
    /// The body of a part begins.
    pub(crate) fn begin_part(&mut self, part: &Part) {
        let kind = match () {
            () if part.is_type("text", "plain") => Kind::Plain,
            () if part.is_type("text", "html") => Kind::Html,
            () => return,
        };
        let is_attachment =
            part.disposition.as_ref().is_some_and(|d| !d.kind.eq_ignore_ascii_case(b"inline"));
        let has_one = match kind {
            Kind::Plain => self.plain.is_some(),
            Kind::Html => self.html.is_some(),
        };
        let Ok(encoding) = Encoding::from_header(part.encoding.as_deref()) else { return };
        if has_one || is_attachment || part.content != Content::Leaf {
            return;
        }
        let charset = part.param("charset").unwrap_or_default().into_bytes();
        self.current = Some(Candidate {
            kind,
            encoding,
            charset,
            body_start: part.body_start,
            bytes: Vec::new(),
        });
    }

    /// The next bytes of whatever body is open.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if let Some(candidate) = &mut self.current {
            let room = SOURCE_BYTES_MAX - candidate.bytes.len().min(SOURCE_BYTES_MAX);
            candidate.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// The body that is open ends at this offset.
    pub(crate) fn end_part(&mut self, end: u64) {
        let Some(mut candidate) = self.current.take() else { return };
        let octets =
            usize::try_from(end.saturating_sub(candidate.body_start)).unwrap_or(usize::MAX);
        candidate.bytes.truncate(octets);
        // An empty part says nothing; the next one may.
        if candidate.bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match candidate.kind {
            Kind::Plain => self.plain = Some(candidate),
            Kind::Html => self.html = Some(candidate),
        }
    }

    /// The preview; empty if there is no text. RFC 8970 §3.2
    pub(crate) fn preview(self) -> String {
        let shown = [self.plain, self.html].into_iter().flatten().map(|c| preview(&c.text()));
        shown.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    }
}

impl Candidate {
    fn text(&self) -> String {
        text::convert(&text::Source {
            bytes: &self.bytes,
            encoding: self.encoding,
            charset: &self.charset,
            is_html: self.kind == Kind::Html,
            is_cut: self.bytes.len() >= SOURCE_BYTES_MAX,
            bytes_max: SOURCE_BYTES_MAX,
        })
    }
}

/// Bytes of a body that a preview is made of. HTML often begins with some KiB of styles; more than
/// 32 KiB of them in front of the text makes an empty preview, which is allowed.
const SOURCE_BYTES_MAX: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn white_space_is_collapsed_and_the_length_counted_in_characters() {
        assert_eq!(preview(" a\r\n\tb \u{a0} c\r\n"), "a b c");
        assert_eq!(preview(&"ä".repeat(300)).chars().count(), PREVIEW_CHARS_MAX);
        assert_eq!(preview(&"ab ".repeat(300)).chars().count(), 200);
        assert_eq!(preview("a\u{200b}\u{ad} \u{34f} b\0\u{1b}"), "a b");
        assert_eq!(preview("Hello\n-----------\n======\n--- a"), "Hello --- a");
    }

    #[test]
    fn quotations_and_signatures_are_left_out_if_anything_else_is_there() {
        assert_eq!(
            preview("On Monday, a@b wrote:\n> old\n> text\n\nI agree.\n-- \nA. B."),
            "I agree."
        );
        assert_eq!(preview("On Mon, 1 Jan 2024 at 10:00,\na@b <a@b> wrote:\n\n>old\nYes"), "Yes");
        assert_eq!(
            preview("See below:\n\n  > old"),
            "> old".to_owned().replace("> old", "See below: > old")
        );
        assert_eq!(preview("> old\n> text"), "> old > text");
        assert_eq!(preview("-- \nonly a signature"), "-- only a signature");
    }

    #[test]
    fn an_encrypted_text_has_no_preview_and_a_signed_one_has_its_own() {
        assert_eq!(preview("-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----"), "");
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n\
                      -----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----";
        assert_eq!(preview(signed), "Hello");
        assert_eq!(preview(&signed.replace('\n', "\r\n")), "Hello");
    }

    #[test]
    fn plain_text_is_preferred_to_html_and_attachments_do_not_count() {
        let message = parse(
            b"Content-Type: multipart/mixed; boundary=b\n\n\
              --b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nfile\n\
              --b\nContent-Type: text/html\n\n<p>Hyper\n\
              --b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nw6Q=\n\
              --b--\n",
        );
        assert_eq!(message.preview, "ä");
        let message =
            parse(b"Content-Type: text/html; charset=iso-8859-1\n\n<style>x</style><p>H\xe4user");
        assert_eq!(message.preview, "Häuser");
        assert_eq!(parse(b"Content-Type: image/png\n\nabc").preview, "");
        assert_eq!(parse(b"Subject: x\n\n").preview, "");
    }
}
