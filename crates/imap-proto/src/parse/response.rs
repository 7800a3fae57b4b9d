//! A whole response of a server, as a client reads it. RFC 9051 §7

use mail_types::{SeqNum, Uid};

use super::code::code;
use super::command::read_tag;
use super::cursor::{Cursor, Frame};
use super::enable::capabilities;
use super::error::{ErrorKind, Result};
use super::flags::flag_list;
use super::{
    acl, comparator, fetch, id, language, list, metadata, namespace, quota, search, sort, status,
    thread, uidbatches, urlauth,
};
use crate::types::{Code, Continuation, Response, Status, StatusKind, StatusTarget};

/// Parses one response: a greeting, an untagged or tagged response, or a continuation.
///
/// An untagged response of a kind that is not known is [`Response::Other`].
///
/// # Errors
/// If it is no response, or one of a known kind whose data are wrong.
pub fn response(frame: Frame<'_>) -> Result<Response> {
    let mut cursor = Cursor::new(frame);
    if cursor.eat(b'+') {
        return continuation(&mut cursor).map(Response::Continuation);
    }
    if cursor.peek() == Some(b'*') {
        cursor.eat(b'*');
        cursor.space()?;
        return untagged(&mut cursor);
    }
    let tag = read_tag(&mut cursor)?;
    cursor.space()?;
    match status_kind(&mut cursor) {
        Some(kind @ (StatusKind::Ok | StatusKind::No | StatusKind::Bad)) => {
            status_text(&mut cursor, StatusTarget::Tagged(tag), kind)
        }
        _ => cursor.expected("OK, NO or BAD"),
    }
}

/// `continue-req = "+" SP (resp-text / base64) CRLF`; some servers leave out the space.
fn continuation(cursor: &mut Cursor<'_>) -> Result<Continuation> {
    cursor.eat(b' ');
    let (code, text) = resp_text(cursor)?;
    Ok(Continuation::Text { code, text: text.into() })
}

fn untagged(cursor: &mut Cursor<'_>) -> Result<Response> {
    if let Some(kind) = status_kind(cursor) {
        return status_text(cursor, StatusTarget::Untagged, kind);
    }
    let start = cursor.clone();
    let response = match cursor.peek() {
        Some(b'0'..=b'9') => numbered(cursor)?,
        _ => named(cursor)?,
    };
    match response {
        Some(response) => {
            cursor.end()?;
            Ok(response)
        }
        None => Ok(Response::Other(start.rest().to_vec())),
    }
}

/// ```text
/// mailbox-data = number SP "EXISTS" / number SP "RECENT" / …
/// message-data = nz-number SP ("EXPUNGE" / ("FETCH" SP msg-att)) /
///                uniqueid SP "UIDFETCH" SP msg-att
/// ```
fn numbered(cursor: &mut Cursor<'_>) -> Result<Option<Response>> {
    let start = cursor.clone();
    let number = cursor.number()?;
    cursor.space()?;
    let message = |number| match SeqNum::new(number) {
        Some(seq) => Ok(seq),
        None => start.fail(ErrorKind::Value, "number above zero"),
    };
    Ok(Some(if cursor.eat_word("EXISTS") {
        Response::Exists(number)
    } else if cursor.eat_word("RECENT") {
        Response::Recent(number)
    } else if cursor.eat_word("EXPUNGE") {
        Response::Expunge(message(number)?)
    } else if cursor.eat_word("FETCH") {
        Response::Fetch { seq: message(number)?, attributes: fetch::reply(cursor)? }
    } else if cursor.eat_word("UIDFETCH") {
        let Some(uid) = Uid::new(number) else {
            return start.fail(ErrorKind::Value, "UID above zero");
        };
        Response::UidFetch { uid, attributes: fetch::reply(cursor)? }
    } else {
        return Ok(None);
    }))
}

fn named(cursor: &mut Cursor<'_>) -> Result<Option<Response>> {
    let name = cursor.atom("response")?.to_ascii_uppercase();
    Ok(Some(match name.as_str() {
        "CAPABILITY" => Response::Capability(capabilities(cursor)?),
        "ENABLED" => Response::Enabled(capabilities(cursor)?),
        "FLAGS" => {
            cursor.space()?;
            Response::Flags(flag_list(cursor)?)
        }
        "LIST" => Response::List(list::reply(cursor)?),
        "LSUB" => Response::Lsub(list::reply(cursor)?),
        "XLIST" => Response::Xlist(list::reply(cursor)?),
        "NAMESPACE" => Response::Namespace(namespace::reply(cursor)?),
        "STATUS" => Response::StatusData(status::reply(cursor)?),
        "METADATA" => Response::Metadata(metadata::reply(cursor)?),
        "ACL" => Response::Acl(acl::reply(cursor)?),
        "LISTRIGHTS" => Response::ListRights(acl::list_reply(cursor)?),
        "MYRIGHTS" => Response::MyRights(acl::my_reply(cursor)?),
        "QUOTA" => Response::Quota(quota::reply(cursor)?),
        "QUOTAROOT" => Response::QuotaRoot(quota::root_reply(cursor)?),
        "SEARCH" => search::reply(cursor)?,
        "SORT" => sort::reply(cursor)?,
        "THREAD" => thread::reply(cursor)?,
        "COMPARATOR" => Response::Comparator(comparator::reply(cursor)?),
        "LANGUAGE" => Response::Language(language::reply(cursor)?),
        "UIDBATCHES" => Response::UidBatches(uidbatches::reply(cursor)?),
        "ESEARCH" => Response::Esearch(search::esearch(cursor)?),
        "GENURLAUTH" => Response::GenUrlAuth(urlauth::generated(cursor)?),
        "URLFETCH" => Response::UrlFetch(urlauth::fetched(cursor)?),
        "VANISHED" => {
            cursor.space()?;
            let earlier = cursor.peek() == Some(b'(');
            if earlier {
                cursor.list1(1, "EARLIER", |cursor| match cursor.eat_word("EARLIER") {
                    true => Ok(()),
                    false => cursor.expected("EARLIER"),
                })?;
                cursor.space()?;
            }
            Response::Vanished { earlier, uids: cursor.number_set(usize::MAX)? }
        }
        "ID" => {
            cursor.space()?;
            Response::Id(id::params(cursor)?)
        }
        _ => return Ok(None),
    }))
}

fn status_kind(cursor: &mut Cursor<'_>) -> Option<StatusKind> {
    use StatusKind::{Bad, Bye, No, Ok, PreAuth};
    [Ok, No, Bad, PreAuth, Bye].into_iter().find(|kind| cursor.eat_word(kind.as_str()))
}

fn status_text(
    cursor: &mut Cursor<'_>,
    target: StatusTarget,
    kind: StatusKind,
) -> Result<Response> {
    cursor.eat(b' ');
    let (code, text) = resp_text(cursor)?;
    Ok(Response::Status(Status { target, kind, code, text: text.into() }))
}

/// `resp-text = ["[" resp-text-code "]" SP] [text]`. A bracket that begins no code is text.
fn resp_text(cursor: &mut Cursor<'_>) -> Result<(Option<Code>, String)> {
    if memchr::memchr3(b'\r', b'\n', 0, cursor.rest()).is_some() {
        return cursor.expected("text without NUL and CR");
    }
    let start = cursor.clone();
    let mut found = None;
    if cursor.eat(b'[') {
        match code(cursor) {
            Ok(code) => {
                cursor.eat(b' ');
                found = Some(code);
            }
            Err(_) => *cursor = start,
        }
    }
    Ok((found, String::from_utf8_lossy(cursor.rest()).into_owned()))
}
