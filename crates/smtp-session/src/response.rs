//! What a server replies: lines with a code of three digits. RFC 5321 §4.2

/// A reply, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its code, as it was told.
    pub code: u16,
    /// The enhanced status code, if it has one that goes with the code. RFC 2034 §4
    pub status: Option<[u16; 3]>,
    /// Its lines without codes, each cut to what can be kept.
    pub lines: Vec<String>,
    /// Whether this server made it up, as the other one said nothing.
    pub is_local: bool,
    /// Whether it counts as temporary whatever its code says.
    is_deferred: bool,
}

impl Response {
    /// What this server says where the other one did not.
    pub fn local(code: u16, status: [u16; 3], text: impl Into<String>) -> Self {
        let lines = vec![text.into()];
        Self { code, status: Some(status), lines, is_local: true, is_deferred: false }
    }

    /// 2yz.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 5yz, unless it was deferred.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500 && !self.is_deferred
    }

    /// The same, as something that may be different another time. Its code stays as it was told.
    #[must_use]
    pub fn deferred(&self) -> Self {
        let status = self.status.map(|[_, subject, detail]| [4, subject, detail]);
        Self { status, is_deferred: true, ..self.clone() }
    }

    /// All its words in one line.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

/// Puts octets together to replies.
#[derive(Debug, Default)]
pub struct Responses {
    input: Vec<u8>,
    /// Octets of `input` that were understood.
    taken: usize,
    lines: Vec<String>,
    /// Of the lines of the reply that is coming.
    code: u16,
    bytes: usize,
}

impl Responses {
    /// Takes what the server said.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.taken.min(self.input.len()));
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Whether the server has said more than was understood so far.
    pub fn has_more(&self) -> bool {
        self.taken < self.input.len() || !self.lines.is_empty()
    }

    /// The next reply, once all its lines are there.
    ///
    /// # Errors
    /// With what is wrong, when this is no reply: then nothing of what follows can be understood.
    pub fn take(&mut self) -> Result<Option<Response>, &'static str> {
        loop {
            let rest = self.input.get(self.taken..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                let is_short = rest.len() <= RESPONSE_LINE_BYTES_MAX;
                return if is_short { Ok(None) } else { Err("the server's reply is too long") };
            };
            if end > RESPONSE_LINE_BYTES_MAX {
                return Err("the server's reply is too long");
            }
            let line = rest.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (code, is_last, text) = split(line).ok_or("the server's reply has no code")?;
            let text = cut(&String::from_utf8_lossy(text));
            self.taken += end + 1;
            self.bytes += end + 1;
            if !self.lines.is_empty() && code != self.code {
                // RFC 5321 §4.2.1: the same code on each line.
                return Err("the server's reply has several codes");
            }
            if self.lines.len() == RESPONSE_LINES_MAX || self.bytes > RESPONSE_BYTES_MAX {
                return Err("the server's reply has too many lines");
            }
            self.code = code;
            self.lines.push(text);
            if is_last {
                self.bytes = 0;
                let lines = std::mem::take(&mut self.lines);
                let status = lines.first().and_then(|line| status(code, line));
                let (is_local, is_deferred) = (false, false);
                return Ok(Some(Response { code, status, lines, is_local, is_deferred }));
            }
        }
    }
}

/// Code, whether this is the last line, and text of a line. RFC 5321 §4.2
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9'] = digits else { return None };
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let (is_last, text) = match rest {
        [] => (true, rest),
        [b' ', text @ ..] => (true, text),
        [b'-', text @ ..] => (false, text),
        _ => return None,
    };
    Some((code, is_last, text))
}

/// The enhanced status code in front of a text, if it says the same as the code does: else one of
/// them is wrong, and the code counts. RFC 2034 §4
fn status(code: u16, text: &str) -> Option<[u16; 3]> {
    let word = text.split(' ').next()?;
    let mut parts = word.split('.').map(|part| {
        let is_number = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|_| is_number)
    });
    let status = [parts.next()??, parts.next()??, parts.next()??];
    let [class, ..] = status;
    (parts.next().is_none() && matches!(class, 2 | 4 | 5) && class == code / 100).then_some(status)
}

/// What of a line is kept.
fn cut(text: &str) -> String {
    let mut end = text.len().min(KEPT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Octets of a line: eight times what a reply may have, for servers that know no measure.
/// RFC 5321 §4.5.3.1.5
const RESPONSE_LINE_BYTES_MAX: usize = 4096;

/// Lines of a reply: servers announce a few dozen extensions.
const RESPONSE_LINES_MAX: usize = 128;

/// Octets of a reply.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// Octets of a line that are kept. RFC 5321 §4.5.3.1.5
const KEPT_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_is_an_error_and_no_number() {
        for line in
            ["\r2 250 ok\r\n", "2\x00\x2f ok\r\n", "25\r\n", "\u{e9}50\r\n", "1 2\r\n", "650 x\r\n"]
        {
            assert!(all(line).is_err(), "{line:?}");
        }
    }

    fn all(text: &str) -> Result<Vec<Response>, &'static str> {
        let mut responses = Responses::default();
        responses.push(text.as_bytes());
        let mut all = Vec::new();
        while let Some(response) = responses.take()? {
            all.push(response);
        }
        Ok(all)
    }

    fn one(text: &str) -> Response {
        all(text).unwrap().remove(0)
    }

    #[test]
    fn a_reply_may_have_several_lines_and_more_may_follow() {
        let found = all("250-net\r\n250-SIZE 10\r\n250 DSN\r\n221\r\n25").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].code, found[0].text().as_str()), (250, "net SIZE 10 DSN"));
        assert_eq!((found[1].code, found[1].text().as_str()), (221, ""));
    }

    #[test]
    fn a_reply_is_the_same_however_it_is_cut() {
        let text = b"250-2.1.0 a\r\n250 2.1.0 b\r\n354 go\r\n";
        for cut in 0..text.len() {
            let (mut responses, mut found) = (Responses::default(), Vec::new());
            for piece in [&text[..cut], &text[cut..]] {
                responses.push(piece);
                while let Some(response) = responses.take().unwrap() {
                    found.push((response.code, response.lines.len()));
                }
            }
            assert_eq!(found, [(250, 2), (354, 1)], "cut at {cut}");
            assert!(!responses.has_more());
        }
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for wrong in ["250-a\r\n251 b\r\n", "hello\r\n", "25\r\n", "250+a\r\n", "150 a\r\n", "\r\n"]
        {
            assert!(all(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_reply_has_an_end() {
        let long = "x".repeat(RESPONSE_LINE_BYTES_MAX);
        assert!(all(&format!("250 {long}\r\n")).is_err());
        assert!(all(&format!("250 {long}")).is_err());
        let line = |count: usize| format!("{}250 b\r\n", "250-a\r\n".repeat(count - 1));
        assert!(all(&line(RESPONSE_LINES_MAX)).is_ok());
        assert!(all(&line(RESPONSE_LINES_MAX + 1)).is_err());
        let wide = format!("250-{}\r\n", "x".repeat(4000));
        assert!(all(&wide.repeat(17)).is_err());
        assert_eq!(one(&format!("250 {}\r\n", "\u{e4}".repeat(1000))).lines[0].len(), 512);
    }

    #[test]
    fn an_enhanced_status_code_counts_if_it_goes_with_the_code() {
        assert_eq!(one("550 5.1.1 no\r\n").status, Some([5, 1, 1]));
        assert_eq!(one("250-2.1.0 a\r\n250 b\r\n").status, Some([2, 1, 0]));
        for none in ["550 4.1.1 no", "550 5.1 no", "550 5.1.1.1 no", "550 5.1.1111 no", "550 5.1.x"]
        {
            assert_eq!(one(&format!("{none}\r\n")).status, None, "{none}");
        }
        assert_eq!(one("354 3.0.0 go\r\n").status, None);
    }

    #[test]
    fn what_is_deferred_is_not_permanent_and_says_what_was_told() {
        let refused = one("554 5.7.1 go away\r\n");
        assert!(refused.is_permanent());
        let deferred = refused.deferred();
        assert!(!deferred.is_permanent() && !deferred.is_success());
        assert_eq!((deferred.code, deferred.status), (554, Some([4, 7, 1])));
        assert_eq!(deferred.text(), "5.7.1 go away");
    }
}
