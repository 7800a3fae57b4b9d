//! The base subject, by which messages are sorted and threads gathered. RFC 5256 §2.1
//!
//! ```text
//! subj-refwd   = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
//! subj-blob    = "[" *BLOBCHAR "]" *WSP          ; BLOBCHAR: any but "[" and "]"
//! subj-fwd-hdr = "[fwd:"
//! subj-fwd-trl = "]"
//! subj-leader  = (*subj-blob subj-refwd) / WSP
//! subj-trailer = "(fwd)" / WSP
//! ```
//!
//! Work is linear in the subject, however many blobs and prefixes a sender piles up.

/// What is left of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseSubject {
    /// The text without prefixes, blobs and trailers; may be empty.
    pub text: String,
    /// Whether the message is a reply or was forwarded.
    pub kind: SubjectKind,
}

/// What a subject says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// Nothing: it begins a conversation.
    Original,
    /// A `Re:`, `Fwd:`, `(fwd)` or `[fwd: …]` was removed: a reply or forward. RFC 5256 §3
    ReplyOrForward,
}

/// The base subject of a decoded Subject field.
pub fn base_subject(decoded: &str) -> BaseSubject {
    let collapsed = collapse(decoded);
    let mut text = collapsed.as_str();
    let mut kind = SubjectKind::Original;
    loop {
        text = without_trailers(text, &mut kind);
        text = without_leaders(text, &mut kind);
        // Step (6).
        let Some(inner) = strip_prefix(text, "[fwd:").and_then(|rest| rest.strip_suffix(']'))
        else {
            break;
        };
        kind = SubjectKind::ReplyOrForward;
        text = inner;
    }
    BaseSubject { text: text.to_owned(), kind }
}

/// Step (1): tabs and continuations are spaces, and several spaces are one.
fn collapse(decoded: &str) -> String {
    let mut out = String::with_capacity(decoded.len());
    for char in decoded.chars() {
        match char {
            ' ' | '\t' | '\r' | '\n' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            char => out.push(char),
        }
    }
    out
}

/// Step (2).
fn without_trailers<'a>(text: &'a str, kind: &mut SubjectKind) -> &'a str {
    let mut text = text;
    loop {
        text = text.trim_end_matches(' ');
        let Some(rest) = strip_suffix(text, "(fwd)") else { return text };
        *kind = SubjectKind::ReplyOrForward;
        text = rest;
    }
}

/// Steps (3) to (5).
fn without_leaders<'a>(text: &'a str, kind: &mut SubjectKind) -> &'a str {
    let mut text = text;
    loop {
        text = text.trim_start_matches(' ');
        let (last_blob, behind_blobs) = blobs(text);
        if let Some(rest) = refwd(behind_blobs) {
            *kind = SubjectKind::ReplyOrForward;
            text = rest;
            continue;
        }
        // Step (4), for each blob in turn: none of them has a leader before it, as the place
        // behind all of them has none. The last blob stays if nothing would be left without it.
        return if behind_blobs.is_empty() { last_blob } else { behind_blobs };
    }
}

/// Where the last of the blobs at the beginning starts, and what follows them all.
fn blobs(text: &str) -> (&str, &str) {
    let (mut last, mut rest) = (text, text);
    while let Some(behind) = blob(rest) {
        last = rest;
        rest = behind;
    }
    (last, rest)
}

/// What follows a `subj-blob`.
fn blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    let behind = inside.get(end..)?.strip_prefix(']')?;
    Some(behind.trim_start_matches(' '))
}

/// What follows a `subj-refwd`.
fn refwd(text: &str) -> Option<&str> {
    let word = ["re", "fwd", "fw"].into_iter().find_map(|word| strip_prefix(text, word))?;
    let rest = word.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// What follows `prefix` in any letter case.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

/// What is before `suffix` in any letter case.
fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(subject: &str) -> (String, bool) {
        let base = base_subject(subject);
        (base.text, base.kind == SubjectKind::ReplyOrForward)
    }

    #[test]
    fn prefixes_of_replies_and_forwards_go_in_any_letter_case_and_number() {
        for (subject, expected) in [
            ("Re: hello", "hello"),
            ("RE:hello", "hello"),
            ("re : hello", "hello"),
            ("Fw: hello", "hello"),
            ("FWD: hello", "hello"),
            ("Re: Fwd: RE: fw: hello", "hello"),
            ("Re[2]: hello", "hello"),
            ("Re [2] : hello", "hello"),
            ("Re: [list] Re: hello", "hello"),
            ("[list] Re: hello", "hello"),
            ("[a] [b] Fwd[x]: hello", "hello"),
            ("hello (fwd)", "hello"),
            ("hello (FWD) (fwd)  ", "hello"),
            ("Re: hello (fwd)", "hello"),
            ("[Fwd: hello]", "hello"),
            ("[fwd: Re: [list] hello (fwd)]", "hello"),
            ("[Fwd: [Fwd: hello]]", "hello"),
            ("Re: [Fwd: [Fwd: hello (fwd)] (fwd)]", "hello"),
            ("[list][Fwd: hello]", "hello"),
            ("Re:", ""),
            ("(fwd)", ""),
            ("[fwd:]", ""),
            ("Re: Re:", ""),
        ] {
            assert_eq!(base(subject), (expected.to_owned(), true), "{subject:?}");
        }
    }

    #[test]
    fn what_is_no_prefix_stays() {
        for (subject, expected) in [
            ("hello", "hello"),
            ("", ""),
            ("   ", ""),
            ("  hello   world\t\tagain ", "hello world again"),
            ("[list] hello", "hello"),
            ("[a][b]  [c] hello", "hello"),
            ("[list]", "[list]"),
            ("[a] [b]", "[b]"),
            ("[]", "[]"),
            ("hello [list]", "hello [list]"),
            ("hello Re: you", "hello Re: you"),
            ("regarding: this", "regarding: this"),
            ("Re hello", "Re hello"),
            ("Re[2] hello", "Re[2] hello"),
            ("AW: hello", "AW: hello"),
            ("[unclosed hello", "[unclosed hello"),
            ("[a[b] hello", "[a[b] hello"),
            ("fwdx: hello", "fwdx: hello"),
            ("hello (fwd", "hello (fwd"),
            ("(fwd) hello", "(fwd) hello"),
            ("[fwd: hello", "[fwd: hello"),
            // A blob is what it reads as, also if it looks like the beginning of a forward.
            ("[fwd: hello] world", "world"),
            ("ré: hello", "ré: hello"),
            ("é", "é"),
        ] {
            assert_eq!(base(subject), (expected.to_owned(), false), "{subject:?}");
        }
    }

    #[test]
    fn the_base_of_a_base_is_itself() {
        let words = ["re:", "fwd:", "[x]", "(fwd)", " ", "[fwd:", "]", "a", "re", ":", "[", "é"];
        let mut state: u64 = 11;
        for round in 0..20_000 {
            let mut subject = String::new();
            for _ in 0..round % 9 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                subject.push_str(words[(state >> 33) as usize % words.len()]);
            }
            let (once, _) = base(&subject);
            assert_eq!(base(&once).0, once, "{subject:?}");
            assert_eq!(once, naive(&subject), "{subject:?}");
        }
    }

    /// The steps word by word, however slow.
    fn naive(subject: &str) -> String {
        let mut text = collapse(subject);
        loop {
            // (2)
            loop {
                let lower = text.to_ascii_lowercase();
                if lower.ends_with("(fwd)") {
                    text.truncate(text.len() - 5);
                } else if lower.ends_with(' ') {
                    text.pop();
                } else {
                    break;
                }
            }
            // (3) to (5)
            loop {
                let before = text.clone();
                if let Some(rest) = text.strip_prefix(' ') {
                    text = rest.to_owned();
                }
                let mut at = text.as_str();
                while let Some(behind) = blob(at) {
                    at = behind;
                }
                if let Some(rest) = refwd(at) {
                    text = rest.to_owned();
                } else if let Some(rest) = blob(&text)
                    && !rest.trim().is_empty()
                {
                    text = rest.to_owned();
                }
                if text == before {
                    break;
                }
            }
            // (6)
            if text.to_ascii_lowercase().starts_with("[fwd:") && text.ends_with(']') {
                text = text[5..text.len() - 1].to_owned();
            } else {
                return text;
            }
        }
    }

    #[test]
    fn a_hostile_subject_is_read_in_one_pass() {
        let many = 200_000;
        assert_eq!(base(&format!("{}x", "[a]".repeat(many))), ("x".to_owned(), false));
        assert_eq!(base(&"[a]".repeat(many)), ("[a]".to_owned(), false));
        assert_eq!(base(&format!("{}x", "re: ".repeat(many))), ("x".to_owned(), true));
        assert_eq!(base(&format!("x{}", "(fwd)".repeat(many))), ("x".to_owned(), true));
        let nested = format!("{}x{}", "[fwd:".repeat(many), "]".repeat(many));
        assert_eq!(base(&nested), ("x".to_owned(), true));
    }
}
