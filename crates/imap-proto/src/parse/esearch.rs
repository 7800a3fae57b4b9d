//! ESEARCH, a search in several mailboxes, and CANCELUPDATE. RFC 7377, RFC 5267 §4.3.5

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use super::search;
use crate::types::{MailboxArg, MultiSearch, Numbering, SearchSource, Tag};

/// ```text
/// esearch             = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts]
///                       SP search-program
/// esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"
/// source-mbox         = filter-mailboxes *(SP filter-mailboxes)
/// ```
///
/// No scope option is defined, so every one of them is an error. RFC 7377 §4
pub fn command(cursor: &mut Cursor<'_>) -> Result<MultiSearch> {
    cursor.space()?;
    let mut sources = None;
    if cursor.eat_word("IN") {
        cursor.space()?;
        sources = Some(cursor.list1(MultiSearch::SOURCES_MAX, "source of ESEARCH", source)?);
        cursor.space()?;
    }
    Ok(MultiSearch { sources, search: search::arguments(cursor, Numbering::Uid)? })
}

/// ```text
/// filter-mailboxes    = "selected" / "inboxes" / "personal" / "subscribed" /
///                       ("subtree" / "subtree-one" / "mailboxes") SP one-or-more-mailbox
/// one-or-more-mailbox = mailbox / "(" mailbox *(SP mailbox) ")"
/// ```
///
/// `selected-delayed` of RFC 5465 is not one of them. RFC 7377 §2.2
fn source(cursor: &mut Cursor<'_>) -> Result<SearchSource> {
    let start = cursor.clone();
    Ok(match cursor.keyword("source of ESEARCH")?.as_str() {
        "SELECTED" => SearchSource::Selected,
        "INBOXES" => SearchSource::Inboxes,
        "PERSONAL" => SearchSource::Personal,
        "SUBSCRIBED" => SearchSource::Subscribed,
        "SUBTREE" => SearchSource::Subtree(mailboxes(cursor)?),
        "SUBTREE-ONE" => SearchSource::SubtreeOne(mailboxes(cursor)?),
        "MAILBOXES" => SearchSource::Mailboxes(mailboxes(cursor)?),
        _ => return start.expected("known source of ESEARCH"),
    })
}

fn mailboxes(cursor: &mut Cursor<'_>) -> Result<Vec<MailboxArg>> {
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        return cursor.list1(MultiSearch::NAMES_MAX, "mailbox", Cursor::mailbox);
    }
    Ok(vec![cursor.mailbox()?])
}

/// `"CANCELUPDATE" 1*(SP quoted)`; a tag that is not quoted is read as well.
pub fn cancel_update(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let mut tags = Vec::new();
    cursor.space()?;
    loop {
        let start = cursor.clone();
        if tags.len() >= TAGS_MAX {
            return start.fail(ErrorKind::TooMany, "tags");
        }
        let tag = String::from_utf8(cursor.astring()?.into_owned()).unwrap_or_default();
        if Tag::new(&tag).is_none() {
            return start.fail(ErrorKind::Value, "tag of a search");
        }
        tags.push(tag);
        if !cursor.space_before_more() {
            return Ok(tags);
        }
    }
}

/// Most tags in one CANCELUPDATE: more than a session may have contexts.
const TAGS_MAX: usize = 64;
