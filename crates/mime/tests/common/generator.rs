//! Writes messages whose meaning is beyond doubt, however odd their text: what every correct parser
//! must agree about.

use crate::common::Random;

/// A well-formed message with nested parts. Bodies hold lines that look like delimiters and are
/// none; some inner multiparts are left open, as RFC 2046 §5.1.2 lets outer ones close them.
pub fn message(seed: u64) -> Vec<u8> {
    let mut writer =
        Writer { random: Random(seed), out: String::new(), boundaries: Vec::new(), parts: 0 };
    writer.header_of_message();
    writer.entity(0);
    let crlf = writer.random.below(2) == 0;
    if crlf { writer.out.replace('\n', "\r\n").into_bytes() } else { writer.out.into_bytes() }
}

struct Writer {
    random: Random,
    out: String,
    boundaries: Vec<String>,
    parts: usize,
}

impl Writer {
    fn header_of_message(&mut self) {
        let subjects = [
            "plain words",
            "=?utf-8?q?=C3=84pfel_und_Birnen?=",
            "=?iso-8859-1?B?5PbE?= =?iso-8859-1?q?_x?= tail",
            "folded\n and folded",
            "=?utf-8?b?w6Q=?=\n =?utf-8?b?w7Y=?=",
        ];
        let from = [
            "A B <a@b.example>",
            "\"Q. \\\"X\\\"\" <q@x.example>",
            "plain@d.example",
            "c@d.example (Comment)",
        ];
        let to = [
            "x@y.example, z@y.example",
            "G: m@n.example, o@p.example;",
            "undisclosed-recipients:;",
        ];
        let dates = [
            "Thu, 1 Jan 2004 10:00:00 +0100",
            "21 Nov 97 09:55:06 GMT",
            "Fri, 21 Nov 1997 09:55:06 -0600",
        ];
        let lines = [
            format!("Subject: {}", self.random.pick(&subjects)),
            format!("From: {}", self.random.pick(&from)),
            format!("To: {}", self.random.pick(&to)),
            format!("Date: {}", self.random.pick(&dates)),
        ];
        for line in lines {
            if self.random.below(5) > 0 {
                self.line(&line);
            }
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// The Content fields, the blank line and the body.
    fn entity(&mut self, depth: usize) {
        self.parts += 1;
        match self.random.below(if depth > 4 || self.parts > 40 { 4 } else { 8 }) {
            4..=6 => self.multipart(depth),
            7 => self.message(depth),
            _ => self.leaf(),
        }
    }

    fn leaf(&mut self) {
        let kinds = [
            "",
            "text/plain",
            "text/html; charset=utf-8",
            "image/png; name=\"a b.png\"",
            "application/pdf",
        ];
        let kind = self.random.pick(&kinds);
        if !kind.is_empty() {
            self.line(&format!("Content-Type: {kind}"));
        }
        if self.random.below(3) == 0 {
            self.line("Content-Disposition: attachment;\n filename*0*=utf-8''%C3%A4;\n filename*1*=%20b.txt");
        }
        match self.random.below(4) {
            0 => {
                self.line("Content-Transfer-Encoding: base64\n");
                let body = ["SGVsbG8sIHdvcmxkIQ==", "w6TDtg==\n", "QUJD\nREVG\n", "", "=", "Q Q=="];
                let body = self.random.pick(&body);
                self.out.push_str(body);
            }
            1 => {
                self.line("Content-Transfer-Encoding: quoted-printable\n");
                let body = ["=C3=A4=\n\nb", "a=20=\nb\n", "=3D--a", "", "100%=", "a=ZZ"];
                let body = self.random.pick(&body);
                self.out.push_str(body);
            }
            _ => {
                self.line("");
                self.text();
            }
        }
    }

    /// Lines of which none delimits any multipart that is open.
    fn text(&mut self) {
        for _ in 0..self.random.below(6) {
            let last = self.boundaries.last().cloned().unwrap_or_else(|| "none".to_owned());
            let line = match self.random.below(8) {
                0 => format!("--{last}x"),
                1 => format!(" --{last}"),
                2 => format!("x--{last}--"),
                3 => format!("--{last}-"),
                4 => "-- ".to_owned(),
                5 => String::new(),
                6 => format!("-{last}"),
                _ => "some text: with a colon".to_owned(),
            };
            let content = line.strip_prefix("--").unwrap_or_default().trim_end();
            let is_delimiter = self.boundaries.iter().any(|b| {
                !content.is_empty()
                    && (content == b || content.strip_suffix("--") == Some(b.as_str()))
            });
            if !is_delimiter {
                self.line(&line);
            }
        }
    }

    fn multipart(&mut self, depth: usize) {
        let kinds = ["mixed", "alternative", "related", "parallel"];
        let kind = self.random.pick(&kinds);
        // Each is new, but many begin with another one.
        let starts = ["a", "ab", "abc", "=_", "x y", "--", "'()+,./:=?"];
        let boundary = format!("{}{}", self.random.pick(&starts), self.parts);
        self.line(&format!("Content-Type: multipart/{kind};\n\tboundary=\"{boundary}\"\n"));
        self.boundaries.push(boundary.clone());
        self.text();
        for _ in 0..1 + self.random.below(3) {
            let padding = ["", "", " ", "\t "];
            let padding = self.random.pick(&padding);
            self.line(&format!("--{boundary}{padding}"));
            self.entity(depth + 1);
            self.out.push('\n');
        }
        if depth == 0 || self.random.below(4) > 0 {
            self.line(&format!("--{boundary}--"));
            self.boundaries.pop();
            self.text();
        } else {
            self.boundaries.pop();
        }
    }

    fn message(&mut self, depth: usize) {
        self.line("Content-Type: message/rfc822\n");
        self.header_of_message();
        self.entity(depth + 1);
    }
}
