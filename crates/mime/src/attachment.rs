//! Whether a message carries files.

use crate::{Content, Message, Part};

impl Message {
    /// Whether the message carries a file that a person would call an attachment.
    ///
    /// That is: a part that says so, a part with a file name that no text refers to, a part that
    /// no reader shows in place, or a message inside; but no signature, no report, no picture that
    /// belongs to the HTML beside it.
    pub fn has_attachment(&self) -> bool {
        let mut open = vec![(&self.root, Place::Alone)];
        while let Some((part, place)) = open.pop() {
            match &part.content {
                Content::Multipart(parts) => {
                    let related = part.is_type("multipart", "related");
                    let place = if related { Place::Related } else { Place::Beside };
                    open.extend(parts.iter().map(|part| (part, place)));
                }
                Content::Message(_) if place == Place::Beside => return true,
                Content::Message(_) => {}
                Content::Leaf if is_attachment(part, place) => return true,
                Content::Leaf => {}
            }
        }
        false
    }
}

/// Where a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the whole message.
    Alone,
    /// In a `multipart/related`.
    Related,
    /// In any other multipart.
    Beside,
}

fn is_attachment(part: &Part, place: Place) -> bool {
    // Signatures and the control parts of encrypted mail. RFC 1847, RFC 3156, RFC 8551
    let control = [
        "pgp-signature",
        "pgp-encrypted",
        "pkcs7-signature",
        "x-pkcs7-signature",
        "pkcs7-mime",
        "x-pkcs7-mime",
    ];
    if part.is_kind("application") && control.iter().any(|name| part.is_type("application", name)) {
        return false;
    }
    if let Some(disposition) = &part.disposition
        && disposition.kind.eq_ignore_ascii_case(b"attachment")
    {
        return true;
    }
    if place == Place::Related && part.id.is_some() {
        return false;
    }
    let is_shown = part.is_kind("text") || part.is_kind("multipart");
    // Reports of delivery and reading, and the parts of messages. RFC 3464, RFC 8098
    let is_report = part.is_kind("message") && !part.is_type("message", "rfc822");
    !is_report && (part.filename().is_some() || !is_shown)
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn has_attachment(parts: &[&str], kind: &str) -> bool {
        let mut text = format!("Content-Type: multipart/{kind}; boundary=b\n\n");
        for part in parts {
            text.push_str(&format!("--b\n{part}\n\nx\n"));
        }
        text.push_str("--b--\n");
        parse(text.as_bytes()).has_attachment()
    }

    #[test]
    fn files_are_attachments() {
        assert!(has_attachment(&["", "Content-Type: application/pdf"], "mixed"));
        assert!(has_attachment(&["", "Content-Type: text/plain; name=a.txt"], "mixed"));
        assert!(has_attachment(&["", "Content-Disposition: attachment"], "mixed"));
        assert!(has_attachment(&["", "Content-Type: image/png"], "mixed"));
        assert!(has_attachment(&["", "Content-Type: message/rfc822"], "mixed"));
        assert!(parse(b"Content-Type: application/pdf\n\nx").has_attachment());
    }

    #[test]
    fn text_signatures_reports_and_pictures_of_the_text_are_none() {
        assert!(!has_attachment(&["", "Content-Type: text/html"], "alternative"));
        assert!(!has_attachment(
            &["", "Content-Type: application/pgp-signature; name=s.asc"],
            "signed"
        ));
        assert!(!has_attachment(
            &["Content-Type: text/html", "Content-Type: image/png; name=a.png\nContent-ID: <a>"],
            "related"
        ));
        assert!(!has_attachment(&["", "Content-Type: message/delivery-status"], "report"));
        assert!(!parse(b"Subject: x\n\ntext").has_attachment());
    }
}
