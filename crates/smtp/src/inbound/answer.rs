//! What the content filter says about a message: the answer of rspamd to `/checkv2`.
//!
//! The filter is the operator's, but what it answers may repeat what a stranger wrote. So nothing
//! of it goes into a header before it was looked at, and what is not understood is no verdict.

use serde_json::Value;

/// What a filter wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FilterVerdict {
    pub(crate) action: Action,
    pub(crate) score: Option<f64>,
    pub(crate) edits: Edits,
}

/// What shall become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Accept,
    /// It shall come again, if its sender is not known.
    Greylist,
    Junk,
    /// It shall come again.
    Later,
    Reject,
}

/// How the header shall change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// Names and values of fields to put in front, safe to write.
    pub(crate) add: Vec<(String, String)>,
    /// Names of fields to take away: all, or the n-th from the top, or from the bottom if negative.
    pub(crate) remove: Vec<(String, i64)>,
}

/// Reads an answer.
pub(crate) fn read(body: &[u8]) -> Result<FilterVerdict, &'static str> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is no JSON")?;
    if answer.get("error").is_some() {
        return Err("the filter tells of an error");
    }
    let action = match answer.get("action").and_then(Value::as_str) {
        Some("no action") => Action::Accept,
        Some("greylist") => Action::Greylist,
        // The subject that the filter would like stays unwritten: it is signed with the rest.
        Some("add header" | "rewrite subject" | "quarantine") => Action::Junk,
        Some("soft reject") => Action::Later,
        // Whoever sent it is told, as nothing vanishes here.
        Some("reject" | "discard") => Action::Reject,
        Some(_) => return Err("the action is not known"),
        None => return Err("the answer has no action"),
    };
    let score = answer.get("score").and_then(Value::as_f64);
    let milter = answer.get("milter");
    let part = |name| milter.and_then(|milter| milter.get(name)).and_then(Value::as_object);
    let mut edits = Edits::default();
    for (name, value) in part("add_headers").into_iter().flatten() {
        for value in each(value).take(ADDED_MAX.saturating_sub(edits.add.len())) {
            let text = value.as_str().or_else(|| value.get("value").and_then(Value::as_str));
            let text = text.ok_or("a field to add has no text")?;
            if may_add(name) {
                edits.add.push((name.clone(), one_line(text)));
            }
        }
    }
    for (name, which) in part("remove_headers").into_iter().flatten() {
        for which in each(which).take(REMOVED_MAX.saturating_sub(edits.remove.len())) {
            let which = which.as_i64().ok_or("which field to take away is not told")?;
            if is_name(name) && !is_essential(name) {
                edits.remove.push((name.clone(), which));
            }
        }
    }
    Ok(FilterVerdict { action, score, edits })
}

/// The value itself, or each of a list.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let many = value.as_array().map(Vec::as_slice);
    many.unwrap_or(std::slice::from_ref(value)).iter()
}

fn may_add(name: &str) -> bool {
    is_name(name) && !is_essential(name)
}

/// RFC 5322 §2.2; the length leaves room for a value in one line.
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// Fields that say what a message is and where it came from: no filter writes or removes them.
fn is_essential(name: &str) -> bool {
    let begins = |start: &str| {
        name.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    ESSENTIAL.iter().any(|field| name.eq_ignore_ascii_case(field))
        || begins("Content-")
        || begins("Resent-")
        || begins("X-Pillarbox-")
}

/// A value without the line ends that would let it begin a field of its own, or end the header.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if line.len() + word.len() + 1 > VALUE_BYTES_MAX {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

const ESSENTIAL: [&str; 17] = [
    "Return-Path",
    "Delivered-To",
    "Received",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "DKIM-Signature",
    "Authentication-Results",
];

/// Fields that one answer adds.
const ADDED_MAX: usize = 32;

/// Fields that one answer takes away.
const REMOVED_MAX: usize = 32;

const NAME_BYTES_MAX: usize = 76;

/// A line has 998 octets at most. RFC 5322 §2.1.1
const VALUE_BYTES_MAX: usize = 900;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_understood_and_no_other() {
        for (word, action) in [
            ("no action", Action::Accept),
            ("greylist", Action::Greylist),
            ("add header", Action::Junk),
            ("rewrite subject", Action::Junk),
            ("quarantine", Action::Junk),
            ("soft reject", Action::Later),
            ("reject", Action::Reject),
            ("discard", Action::Reject),
        ] {
            let verdict = read(format!(r#"{{"action":"{word}","score":1.5}}"#).as_bytes()).unwrap();
            assert_eq!((verdict.action, verdict.score), (action, Some(1.5)));
        }
        for wrong in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"{"action":"accept"}"#,
            r#"{"action":1}"#,
            r#"{"error":"x","action":"no action"}"#,
            r#"{"action":"no action"}x"#,
            r#"{"action":"no action","milter":{"add_headers":{"A":1}}}"#,
            r#"{"action":"no action","milter":{"remove_headers":{"A":"x"}}}"#,
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn s098_half_an_answer_is_no_verdict() {
        let whole = br#"{"action":"no action","score":0.1,"milter":{"add_headers":{"X-A":"b"}}}"#;
        assert!(read(whole).is_ok());
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn s016_fields_of_a_filter_are_one_line_each_and_none_that_matters() {
        let verdict = read(
            br#"{"action":"no action","milter":{
                "add_headers":{
                    "X-Spam":{"value":"Yes\r\nSubject: evil\r\n\r\nbody\u0000\u001b[31m","order":0},
                    "X-Two":["a",{"value":"b\n\tc"}],
                    "X-Bad Name":"x","X:Y":"x","":"x","X-\r\nFrom":"x",
                    "From":"a@b.example","received":"x","Content-Type":"text/html",
                    "X-Pillarbox-Junk":"no"},
                "remove_headers":{"X-Spam":0,"Date":0,"X-List":[1,-1]}}}"#,
        )
        .unwrap();
        let mut add: Vec<_> =
            verdict.edits.add.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        add.sort();
        assert_eq!(add, ["X-Spam: Yes Subject: evil body [31m", "X-Two: a", "X-Two: b c"]);
        let mut remove = verdict.edits.remove;
        remove.sort();
        let expected = [("X-List", -1), ("X-List", 1), ("X-Spam", 0)];
        assert_eq!(remove, expected.map(|(name, which)| (name.to_owned(), which)));
    }

    #[test]
    fn an_answer_has_its_measure() {
        let long = "word ".repeat(10_000);
        let many: Vec<_> = (0..100).map(|n| format!(r#""X-{n}":"{long}""#)).collect();
        let text = format!(
            r#"{{"action":"no action","milter":{{"add_headers":{{{}}}}}}}"#,
            many.join(",")
        );
        let edits = read(text.as_bytes()).unwrap().edits;
        assert_eq!(edits.add.len(), ADDED_MAX);
        assert!(edits.add.iter().all(|(_, value)| value.len() <= VALUE_BYTES_MAX));
    }
}
