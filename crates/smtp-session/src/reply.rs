//! Replies, with their enhanced status codes. RFC 5321 §4.2, RFC 2034, RFC 3463

/// One reply of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits: 2 done, 3 go on, 4 try again later, 5 never.
    pub code: u16,
    /// The status of RFC 3463, such as `5.1.1`; empty where none belongs (RFC 2034 §3).
    pub status: &'static str,
    /// For people. Never anything that the client sent: a reply must not carry foreign bytes.
    pub text: &'static str,
}

impl Reply {
    /// A reply from its parts.
    pub const fn new(code: u16, status: &'static str, text: &'static str) -> Self {
        Self { code, status, text }
    }

    /// Whether the reply says that it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Writes the reply as its line.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_for("", out);
    }

    /// Writes the reply as its line, naming the recipient it is for. The client cannot mistake
    /// whose it is then, and neither can a reader of its log.
    pub fn write_for(&self, recipient: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code.to_string().as_bytes());
        if !self.status.is_empty() {
            out.push(b' ');
            out.extend_from_slice(self.status.as_bytes());
        }
        if !recipient.is_empty() {
            out.extend_from_slice(b" <");
            out.extend_from_slice(recipient.as_bytes());
            out.push(b'>');
        }
        out.push(b' ');
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_with_code_and_status() {
        let mut out = Vec::new();
        Reply::new(250, "2.1.5", "Fine").write_for("home@pillarbox.example", &mut out);
        Reply::new(354, "", "Go on").write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "250 2.1.5 <home@pillarbox.example> Fine\r\n354 Go on\r\n");
    }
}
