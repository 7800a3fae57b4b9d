//! A whole command: tag, name, arguments.

use super::cursor::{Cursor, Frame};
use super::error::{ErrorKind, ParseError, Result};
use super::{
    acl, append, authenticate, comparator, copy, create, enable, esearch, fetch, id, language,
    list, login, metadata, notify, quota, rename, replace, search, select, sort, status, store,
    thread, uidbatches, urlauth,
};
use crate::types::{Command, CommandBody, Numbering, Tag};

/// Parses one command.
///
/// # Errors
/// If it is no command; the error carries the tag if there was one.
pub fn command(frame: Frame<'_>) -> Result<Command> {
    let mut cursor = Cursor::new(frame);
    let tag = read_tag(&mut cursor)?;
    match body(&mut cursor) {
        Ok(body) => Ok(Command { tag, body }),
        Err(error) => Err(ParseError { tag: Some(tag), ..error }),
    }
}

/// The tag at the beginning of a command that may be incomplete or wrong, if there is one.
pub fn tag(prefix: &[u8]) -> Option<Tag> {
    read_tag(&mut Cursor::new(Frame::whole(prefix))).ok()
}

/// ```text
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
/// tag     = 1*<any ASTRING-CHAR except "+">
/// ```
pub fn read_tag(cursor: &mut Cursor<'_>) -> Result<Tag> {
    let run = cursor.take_while(|b| b != b'+' && crate::chars::is_astring_char(b));
    let ends = matches!(cursor.peek(), None | Some(b' '));
    let tag = std::str::from_utf8(run).ok().filter(|_| ends).and_then(Tag::new);
    tag.map_or_else(|| cursor.expected("tag"), Ok)
}

fn body(cursor: &mut Cursor<'_>) -> Result<CommandBody> {
    cursor.space()?;
    let start = cursor.clone();
    let name = cursor.keyword("name of a command")?;
    let body = match name.as_str() {
        "CAPABILITY" => CommandBody::Capability,
        "NOOP" => CommandBody::Noop,
        "LOGOUT" => CommandBody::Logout,
        "STARTTLS" => CommandBody::StartTls,
        "NAMESPACE" => CommandBody::Namespace,
        "UNAUTHENTICATE" => CommandBody::Unauthenticate,
        "IDLE" => CommandBody::Idle,
        "CLOSE" => CommandBody::Close,
        "UNSELECT" => CommandBody::Unselect,
        "CHECK" => CommandBody::Check,
        "EXPUNGE" => CommandBody::Expunge,
        "UID" => uid(cursor)?,
        _ => match with_arguments(&name, cursor)? {
            Some(body) => body,
            None => return start.fail(ErrorKind::UnknownCommand, "known command"),
        },
    };
    cursor.end()?;
    Ok(body)
}

/// The commands that have arguments; `None` if there is no command of this name.
fn with_arguments(name: &str, cursor: &mut Cursor<'_>) -> Result<Option<CommandBody>> {
    let numbers = Numbering::Sequence;
    Ok(Some(match name {
        "COMPRESS" => CommandBody::Compress(authenticate::compress(cursor)?),
        "AUTHENTICATE" => CommandBody::Authenticate(authenticate::command(cursor)?),
        "LOGIN" => CommandBody::Login(login::command(cursor)?),
        "ENABLE" => CommandBody::Enable(enable::command(cursor)?),
        "COMPARATOR" => CommandBody::Comparator(comparator::command(cursor)?),
        "LANGUAGE" => CommandBody::Language(language::command(cursor)?),
        "UIDBATCHES" => CommandBody::UidBatches(uidbatches::command(cursor)?),
        "ID" => CommandBody::Id(id::command(cursor)?),
        "SELECT" => CommandBody::Select(select::command(cursor)?),
        "EXAMINE" => CommandBody::Examine(select::command(cursor)?),
        "CREATE" => CommandBody::Create(create::command(cursor)?),
        "DELETE" => CommandBody::Delete(rename::one_mailbox(cursor)?),
        "RENAME" => CommandBody::Rename(rename::command(cursor)?),
        "SUBSCRIBE" => CommandBody::Subscribe(rename::one_mailbox(cursor)?),
        "UNSUBSCRIBE" => CommandBody::Unsubscribe(rename::one_mailbox(cursor)?),
        "LIST" => CommandBody::List(list::command(cursor)?),
        "LSUB" => CommandBody::Lsub(list::lsub(cursor)?),
        "XLIST" => CommandBody::Xlist(list::lsub(cursor)?),
        "NOTIFY" => CommandBody::Notify(notify::command(cursor)?),
        "STATUS" => CommandBody::Status(status::command(cursor)?),
        "GETMETADATA" => CommandBody::GetMetadata(metadata::get(cursor)?),
        "SETMETADATA" => CommandBody::SetMetadata(metadata::set(cursor)?),
        "SETACL" => CommandBody::SetAcl(acl::set(cursor)?),
        "DELETEACL" => CommandBody::DeleteAcl(acl::entry(cursor)?),
        "GETACL" => CommandBody::GetAcl(rename::one_mailbox(cursor)?),
        "LISTRIGHTS" => CommandBody::ListRights(acl::entry(cursor)?),
        "MYRIGHTS" => CommandBody::MyRights(rename::one_mailbox(cursor)?),
        "GETQUOTA" => CommandBody::GetQuota(quota::get(cursor)?),
        "GETQUOTAROOT" => CommandBody::GetQuotaRoot(rename::one_mailbox(cursor)?),
        "SETQUOTA" => CommandBody::SetQuota(quota::set(cursor)?),
        "APPEND" => CommandBody::Append(append::command(cursor)?),
        "REPLACE" => CommandBody::Replace(replace::command(cursor, numbers)?),
        "GENURLAUTH" => CommandBody::GenUrlAuth(urlauth::generate(cursor)?),
        "RESETKEY" => CommandBody::ResetKey(urlauth::reset(cursor)?),
        "URLFETCH" => CommandBody::UrlFetch(urlauth::fetch(cursor)?),
        "SEARCH" => CommandBody::Search(search::command(cursor, numbers)?),
        "SORT" => CommandBody::Sort(sort::command(cursor, numbers)?),
        "THREAD" => CommandBody::Thread(thread::command(cursor, numbers)?),
        "ESEARCH" => CommandBody::MultiSearch(esearch::command(cursor)?),
        "CANCELUPDATE" => CommandBody::CancelUpdate(esearch::cancel_update(cursor)?),
        "FETCH" => CommandBody::Fetch(fetch::command(cursor, numbers)?),
        "STORE" => store::command(cursor, numbers)?,
        "COPY" => CommandBody::Copy(copy::command(cursor, numbers)?),
        "MOVE" => CommandBody::Move(copy::command(cursor, numbers)?),
        _ => return Ok(None),
    }))
}

/// ```text
/// uid         = "UID" SP (copy / move / fetch / replace / search / sort / store / thread /
///               uid-expunge)
/// uid-expunge = "EXPUNGE" SP sequence-set
/// ```
fn uid(cursor: &mut Cursor<'_>) -> Result<CommandBody> {
    cursor.space()?;
    let start = cursor.clone();
    let name = cursor.keyword("name of a command")?;
    let uids = Numbering::Uid;
    Ok(match name.as_str() {
        "REPLACE" => CommandBody::Replace(replace::command(cursor, uids)?),
        "SEARCH" => CommandBody::Search(search::command(cursor, uids)?),
        "SORT" => CommandBody::Sort(sort::command(cursor, uids)?),
        "THREAD" => CommandBody::Thread(thread::command(cursor, uids)?),
        // RFC 7377 §2 writes it so in passing. Its numbers are UIDs in any case.
        "ESEARCH" => CommandBody::MultiSearch(esearch::command(cursor)?),
        "FETCH" => CommandBody::Fetch(fetch::command(cursor, uids)?),
        "STORE" => store::command(cursor, uids)?,
        "COPY" => CommandBody::Copy(copy::command(cursor, uids)?),
        "MOVE" => CommandBody::Move(copy::command(cursor, uids)?),
        "EXPUNGE" => {
            cursor.space()?;
            CommandBody::UidExpunge(cursor.sequence_set()?)
        }
        _ => return start.fail(ErrorKind::UnknownCommand, "command that has a UID form"),
    })
}
