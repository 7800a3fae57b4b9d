//! Response codes. RFC 9051 §7.1, RFC 5530, RFC 7162 §7, RFC 4315 §3, RFC 8474 §4.2

use mail_types::{SeqNum, Uid, UidValidity};

use super::annotate;
use super::cursor::Cursor;
use super::enable::capabilities;
use super::error::Result;
use super::flags::flag_list;
use super::search::filter_name;
use super::select::nz_mod_seq;
use super::status::object_id;
use crate::types::{Code, Progress};

/// `"[" resp-text-code "]"`. The cursor stands after the opening bracket and is left after the
/// closing one. A code whose arguments are not as they should be is told as unknown: the text
/// around it is still of use.
pub fn code(cursor: &mut Cursor<'_>) -> Result<Code> {
    let start = cursor.clone();
    let name = cursor.atom("response code")?;
    if let Ok(Some(code)) = known(name, cursor) {
        cursor.skip_spaces();
        if cursor.eat(b']') {
            return Ok(code);
        }
    }
    *cursor = start;
    let name = cursor.atom("response code")?.to_ascii_uppercase();
    // atom [SP 1*<any TEXT-CHAR except "]">]
    let arguments = cursor.eat(b' ').then(|| {
        let rest = cursor.take_while(|b| b != b']');
        String::from_utf8_lossy(rest).into_owned()
    });
    cursor.byte(b']', "] of a response code")?;
    Ok(Code::Other { name, arguments: arguments.filter(|a| !a.is_empty()) })
}

fn known(name: &str, cursor: &mut Cursor<'_>) -> Result<Option<Code>> {
    if let Some(code) = Code::from_bare_name(name) {
        return Ok(Some(code));
    }
    Ok(match name.to_ascii_uppercase().as_str() {
        "CAPABILITY" => Some(Code::Capability(capabilities(cursor)?)),
        "BADCHARSET" if cursor.peek() == Some(b']') => Some(Code::BadCharset(Vec::new())),
        "INPROGRESS" if cursor.peek() == Some(b']') => Some(Code::InProgress(None)),
        upper => {
            cursor.space()?;
            with_arguments(upper, cursor)?
        }
    })
}

/// ```text
/// resp-text-code = "PERMANENTFLAGS" SP "(" [flag-perm *(SP flag-perm)] ")" /
///                  "UIDNEXT" SP nz-number / "UIDVALIDITY" SP nz-number /
///                  "UNSEEN" SP nz-number / "HIGHESTMODSEQ" SP mod-sequence-value /
///                  "MODIFIED" SP sequence-set / "MAILBOXID" SP "(" objectid ")" /
///                  "BADCHARSET" [SP "(" charset *(SP charset) ")"] /
///                  "BADEVENT" SP "(" event-name *(SP event-name) ")" /
///                  "MESSAGELIMIT" SP nz-number [SP uniqueid] /
///                  "INPROGRESS" [SP "(" … ")"] / "APPENDUID" SP nz-number SP uid-set /
///                  "COPYUID" SP nz-number SP uid-set SP uid-set / "NOUPDATE" SP quoted / …
/// ```
fn with_arguments(name: &str, cursor: &mut Cursor<'_>) -> Result<Option<Code>> {
    Ok(match name {
        "PERMANENTFLAGS" => Some(Code::PermanentFlags(flag_list(cursor)?)),
        "UIDNEXT" => Uid::new(cursor.number()?).map(Code::UidNext),
        "UIDVALIDITY" => UidValidity::new(cursor.number()?).map(Code::UidValidity),
        "UNSEEN" => SeqNum::new(cursor.number()?).map(Code::Unseen),
        "BADEVENT" => {
            let name = |cursor: &mut Cursor<'_>| cursor.atom("event").map(str::to_owned);
            Some(Code::BadEvent(cursor.list1(EVENTS_MAX, "events", name)?))
        }
        "MESSAGELIMIT" => {
            let limit = cursor.nz_number()?;
            let lowest = match cursor.eat(b' ') {
                true => Uid::new(cursor.nz_number()?),
                false => None,
            };
            Some(Code::MessageLimit { limit, lowest })
        }
        "INPROGRESS" => Some(Code::InProgress(Some(progress(cursor)?))),
        "HIGHESTMODSEQ" => Some(Code::HighestModSeq(nz_mod_seq(cursor)?)),
        "MODIFIED" => Some(Code::Modified(cursor.number_set(usize::MAX)?)),
        "METADATA" => metadata(cursor)?,
        "ANNOTATE" if cursor.eat_word("TOOBIG") => Some(Code::AnnotateTooBig),
        "ANNOTATE" if cursor.eat_word("TOOMANY") => Some(Code::AnnotateTooMany),
        "ANNOTATIONS" => Some(Code::Annotations(annotate::support(cursor)?)),
        "MAILBOXID" => Some(Code::MailboxId(object_id(cursor)?)),
        "NOUPDATE" => {
            let tag = cursor.quoted()?;
            // Where a code ends must not depend on whether it is known.
            let tag = String::from_utf8(tag.into_owned()).ok().filter(|tag| !tag.contains(']'));
            tag.map(Code::NoUpdate)
        }
        "BADCHARSET" => Some(bad_charset(cursor)?),
        "UNDEFINED-FILTER" => Some(Code::UndefinedFilter(filter_name(cursor)?)),
        "URLMECH" => url_mechanisms(cursor)?,
        // url-resp-text = 1*<any TEXT-CHAR except "]">. RFC 4469 §5
        "BADURL" => {
            let url = cursor.take_while(|b| b.is_ascii_graphic() && b != b']');
            let url = String::from_utf8_lossy(url).into_owned();
            (!url.is_empty()).then_some(Code::BadUrl(url))
        }
        "APPENDUID" => {
            let uid_validity = UidValidity::new(cursor.number()?);
            cursor.space()?;
            let uids = cursor.number_set(usize::MAX)?;
            uid_validity.map(|uid_validity| Code::AppendUid { uid_validity, uids })
        }
        "COPYUID" => {
            let uid_validity = UidValidity::new(cursor.number()?);
            cursor.space()?;
            let source = cursor.number_set(usize::MAX)?;
            cursor.space()?;
            let target = cursor.number_set(usize::MAX)?;
            uid_validity.map(|uid_validity| Code::CopyUid { uid_validity, source, target })
        }
        _ => None,
    })
}

/// `"BADCHARSET" SP "(" charset *(SP charset) ")"`
fn bad_charset(cursor: &mut Cursor<'_>) -> Result<Code> {
    let names = cursor.list(CHARSETS_MAX, "charsets", |cursor| {
        // charset = atom / quoted, neither with the bracket that ends the code: where a code ends
        // must not depend on whether it is known.
        if cursor.peek() == Some(b'"') {
            let name = cursor.quoted()?;
            if name.contains(&b']') {
                return cursor.expected("charset without ]");
            }
            return Ok(String::from_utf8_lossy(&name).into_owned());
        }
        cursor.atom("charset").map(str::to_owned)
    })?;
    Ok(Code::BadCharset(names))
}

/// `"URLMECH" SP "INTERNAL" *(SP mechanism ["=" base64])`. RFC 4467 §9
fn url_mechanisms(cursor: &mut Cursor<'_>) -> Result<Option<Code>> {
    if !cursor.eat_word("INTERNAL") {
        return Ok(None);
    }
    let mut others = Vec::new();
    while cursor.space_before_more() && others.len() < CHARSETS_MAX {
        others.push(cursor.atom("mechanism")?.to_owned());
    }
    Ok(Some(Code::UrlMech(others)))
}

/// `"(" (tag-string / nil) SP (number / nil) SP (nz-number / nil) ")"`. RFC 9585 §4
fn progress(cursor: &mut Cursor<'_>) -> Result<Progress> {
    cursor.byte(b'(', "( of a progress")?;
    let tag = match cursor.eat_word("NIL") {
        true => None,
        false => Some(String::from_utf8_lossy(&cursor.astring()?).into_owned()),
    };
    if tag.as_ref().is_some_and(|tag| tag.contains(']')) {
        return cursor.expected("tag without ]");
    }
    cursor.space()?;
    let done = number_or_nil(cursor)?;
    cursor.space()?;
    let goal = number_or_nil(cursor)?;
    cursor.byte(b')', ") of a progress")?;
    Ok(Progress { tag, done, goal })
}

fn number_or_nil(cursor: &mut Cursor<'_>) -> Result<Option<u32>> {
    if cursor.eat_word("NIL") { Ok(None) } else { cursor.number().map(Some) }
}

/// ```text
/// resp-text-code = "METADATA" SP "LONGENTRIES" SP number /
///                  "METADATA" SP ("MAXSIZE" SP number / "TOOMANY" / "NOPRIVATE")
/// ```
fn metadata(cursor: &mut Cursor<'_>) -> Result<Option<Code>> {
    Ok(match cursor.keyword("METADATA code")?.as_str() {
        "LONGENTRIES" => {
            cursor.space()?;
            Some(Code::MetadataLongEntries(cursor.number()?))
        }
        "MAXSIZE" => {
            cursor.space()?;
            Some(Code::MetadataMaxSize(cursor.number()?))
        }
        "TOOMANY" => Some(Code::MetadataTooMany),
        "NOPRIVATE" => Some(Code::MetadataNoPrivate),
        _ => None,
    })
}

/// Most events that a server may tell.
const EVENTS_MAX: usize = 1024;
/// Most charsets that a server may tell.
const CHARSETS_MAX: usize = 1024;
