//! APPEND, and what its literals are while they arrive. RFC 9051 §6.3.12, RFC 3502, RFC 4469,
//! RFC 6855 §4

use super::annotate;
use super::cursor::{Cursor, Frame, LiteralForm};
use super::error::Result;
use super::flags::flag_list;
use crate::types::{
    AnnotationSetting, Append, AppendForm, AppendMessage, AppendPayload, CatPart, FlagList,
    Literal, MailboxArg, Tag,
};

/// ```text
/// append         = "APPEND" SP mailbox 1*append-message
/// append-message = [SP flag-list] [SP date-time] *(SP append-ext) SP append-data
/// append-ext     = att-annotate
/// append-data    = literal / literal8 / "UTF8" SP "(" literal8 ")" /
///                  "CATENATE" SP "(" cat-part *(SP cat-part) ")"
/// ```
pub fn command(cursor: &mut Cursor<'_>) -> Result<Append> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let mut messages = vec![message(cursor)?];
    while cursor.space_before_more() {
        if messages.len() >= Append::MESSAGES_MAX {
            return cursor.fail(super::ErrorKind::TooMany, "messages in one APPEND");
        }
        messages.push(message(cursor)?);
    }
    Ok(Append { mailbox, messages })
}

pub fn message(cursor: &mut Cursor<'_>) -> Result<AppendMessage> {
    let Options { flags, date, annotations } = options(cursor)?;
    if cursor.eat_word("CATENATE") {
        cursor.space()?;
        let parts = cursor.list1(AppendPayload::PARTS_MAX, "TEXT or URL", cat_part)?;
        let data = AppendPayload::Catenate(parts);
        return Ok(AppendMessage { flags, date, annotations, data });
    }
    let (form, data) = whole_literal(cursor)?;
    let data = AppendPayload::Literal { form, data };
    Ok(AppendMessage { flags, date, annotations, data })
}

/// ```text
/// cat-part     = text-literal / url / utf8-literal
/// text-literal = "TEXT" SP literal
/// url          = "URL" SP astring
/// ```
/// A literal8 is taken for a text too, as APPEND takes it. RFC 4466 §2
fn cat_part(cursor: &mut Cursor<'_>) -> Result<CatPart> {
    if cursor.eat_word("URL") {
        cursor.space()?;
        return Ok(CatPart::Url(cursor.astring()?.into_owned()));
    }
    if cursor.eat_word("TEXT") {
        cursor.space()?;
        let (form, data) = plain_literal(cursor)?;
        return Ok(CatPart::Text { form, data });
    }
    if !matches!(cursor.peek(), Some(b'U' | b'u')) {
        return cursor.expected("TEXT or URL");
    }
    let (form, data) = whole_literal(cursor)?;
    Ok(CatPart::Text { form, data })
}

/// `literal / literal8 / utf8-literal`
fn whole_literal(cursor: &mut Cursor<'_>) -> Result<(AppendForm, Literal)> {
    if !cursor.eat_word("UTF8") {
        return plain_literal(cursor);
    }
    cursor.space()?;
    cursor.byte(b'(', "(")?;
    let start = cursor.clone();
    let (form, data) = cursor.literal()?;
    if form != LiteralForm::Binary {
        return start.expected("literal8");
    }
    cursor.byte(b')', ")")?;
    Ok((AppendForm::Utf8, data))
}

fn plain_literal(cursor: &mut Cursor<'_>) -> Result<(AppendForm, Literal)> {
    let (form, data) = cursor.literal()?;
    let form = match form {
        LiteralForm::Plain => AppendForm::Plain,
        LiteralForm::Binary => AppendForm::Binary,
    };
    Ok((form, data))
}

/// What stands before the octets of a message.
struct Options {
    flags: FlagList,
    date: Option<mail_types::InternalDate>,
    annotations: Vec<AnnotationSetting>,
}

/// `[flag-list SP] [date-time SP] [att-annotate SP]`. RFC 4466 §2.2, RFC 5257 §4.7
fn options(cursor: &mut Cursor<'_>) -> Result<Options> {
    let mut flags = FlagList::default();
    if cursor.peek() == Some(b'(') {
        flags = flag_list(cursor)?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    let mut annotations = Vec::new();
    if cursor.eat_word("ANNOTATION") {
        annotations = annotate::settings(cursor)?;
        cursor.space()?;
    }
    Ok(Options { flags, date, annotations })
}

/// What a literal is that a client offers, told from what stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiteralRole {
    /// An argument: small, kept with the command.
    Argument,
    /// A message of APPEND: to be passed on while it arrives.
    Message(Offered),
}

/// A message of APPEND before its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The command's tag.
    pub tag: Tag,
    /// Where it is to go.
    pub mailbox: MailboxArg,
    /// Which message of the command, from 0.
    pub index: usize,
    /// Flags that it is to have.
    pub flags: FlagList,
    /// How it is given.
    pub form: AppendForm,
}

/// What the literal is whose `{n}` line ends `prefix`.
///
/// A command that is wrong already offers an [`LiteralRole::Argument`]: its error is told when it
/// is parsed.
pub fn literal_role(prefix: Frame<'_>) -> LiteralRole {
    message_offer(prefix).map_or(LiteralRole::Argument, LiteralRole::Message)
}

/// What stands between REPLACE and its mailbox. RFC 8508 §5
fn replaced(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.space().ok()?;
    cursor.seq_bound().ok()?;
    cursor.space().ok()
}

fn message_offer(prefix: Frame<'_>) -> Option<Offered> {
    let tag = super::tag(prefix.bytes)?;
    let mut cursor = Cursor::new(prefix);
    cursor.take_while(|b| b != b' ');
    cursor.space().ok()?;
    match cursor.keyword("name of a command").ok()?.as_str() {
        "APPEND" => cursor.space().ok()?,
        "REPLACE" => replaced(&mut cursor)?,
        "UID" => {
            cursor.space().ok()?;
            if !cursor.eat_word("REPLACE") {
                return None;
            }
            replaced(&mut cursor)?;
        }
        _ => return None,
    }
    // If the mailbox is the literal that is offered, it cannot be read yet and this is the end.
    let mailbox = cursor.mailbox().ok()?;
    for index in 0..Append::MESSAGES_MAX {
        cursor.space().ok()?;
        let before = cursor.clone();
        if message(&mut cursor).is_ok() && !cursor.at_end() {
            continue;
        }
        let mut cursor = before;
        let Options { flags, .. } = options(&mut cursor).ok()?;
        if cursor.eat_word("CATENATE") {
            cursor.space().ok()?;
            cursor.byte(b'(', "(").ok()?;
            let form = offered_part(&mut cursor)?;
            return Some(Offered { tag, mailbox, index, flags, form });
        }
        let form = offered_form(&cursor)?;
        return Some(Offered { tag, mailbox, index, flags, form });
    }
    None
}

/// The literal that ends a list of pieces which has not ended, if it is a text.
fn offered_part(cursor: &mut Cursor<'_>) -> Option<AppendForm> {
    for _ in 0..AppendPayload::PARTS_MAX {
        cursor.skip_spaces();
        let before = cursor.clone();
        if cat_part(cursor).is_ok() && !cursor.at_end() {
            continue;
        }
        let mut text = before;
        if text.eat_word("TEXT") {
            text.space().ok()?;
        }
        return offered_form(&text);
    }
    None
}

/// The form of a literal whose `{n}` line is the end.
fn offered_form(cursor: &Cursor<'_>) -> Option<AppendForm> {
    let mut cursor = cursor.clone();
    let is_utf8 = cursor.eat_word("UTF8");
    if is_utf8 {
        cursor.space().ok()?;
        cursor.byte(b'(', "(").ok()?;
    }
    match (is_utf8, cursor.peek()?) {
        (true, b'~') => Some(AppendForm::Utf8),
        (false, b'~') => Some(AppendForm::Binary),
        (false, b'{') => Some(AppendForm::Plain),
        _ => None,
    }
}
