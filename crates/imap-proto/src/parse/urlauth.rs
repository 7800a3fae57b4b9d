//! GENURLAUTH, URLFETCH, RESETKEY. RFC 4467 §9, RFC 5524 §5

use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use crate::types::{
    BodyData, ResetKey, UrlContent, UrlData, UrlFetch, UrlForm, UrlParams, UrlRump,
};
use crate::url::is_mechanism;

/// `genurlauth = "GENURLAUTH" 1*(SP url-rump SP mechanism)`
pub fn generate(cursor: &mut Cursor<'_>) -> Result<Vec<UrlRump>> {
    let mut rumps = Vec::new();
    cursor.space()?;
    loop {
        let url = cursor.astring()?.into_owned();
        cursor.space()?;
        rumps.push(UrlRump { url, mechanism: mechanism(cursor)? });
        if !cursor.space_before_more() {
            return Ok(rumps);
        }
        check_count(rumps.len(), cursor)?;
    }
}

/// `mechanism = "INTERNAL" / 1*(ALPHA / DIGIT / "-" / ".")`
fn mechanism(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let name = cursor.atom("mechanism")?;
    if !is_mechanism(name.as_bytes()) {
        return start.expected("mechanism");
    }
    Ok(name.to_ascii_uppercase())
}

/// `resetkey = "RESETKEY" [SP mailbox *(SP mechanism)]`
pub fn reset(cursor: &mut Cursor<'_>) -> Result<ResetKey> {
    if !cursor.space_before_more() {
        return Ok(ResetKey { mailbox: None, mechanisms: Vec::new() });
    }
    let mailbox = Some(cursor.mailbox()?);
    let mut mechanisms = Vec::new();
    while cursor.space_before_more() {
        check_count(mechanisms.len(), cursor)?;
        mechanisms.push(mechanism(cursor)?);
    }
    Ok(ResetKey { mailbox, mechanisms })
}

/// `urlfetch = "URLFETCH" 1*(SP url-fetch-arg)`
pub fn fetch(cursor: &mut Cursor<'_>) -> Result<Vec<UrlFetch>> {
    let mut urls = Vec::new();
    cursor.space()?;
    loop {
        urls.push(fetch_argument(cursor)?);
        if !cursor.space_before_more() {
            return Ok(urls);
        }
        check_count(urls.len(), cursor)?;
    }
}

/// ```text
/// url-fetch-arg   = url-full / "(" url-full *(SP url-fetch-param) ")"
/// url-fetch-param = "BODY" / "BINARY" / "BODYPARTSTRUCTURE" / atom
/// ```
fn fetch_argument(cursor: &mut Cursor<'_>) -> Result<UrlFetch> {
    let mut params = UrlParams::default();
    if !cursor.eat(b'(') {
        return Ok(UrlFetch { url: cursor.astring()?.into_owned(), params });
    }
    let url = cursor.astring()?.into_owned();
    while !cursor.eat(b')') {
        cursor.space()?;
        let start = cursor.clone();
        // No item twice, and not both forms. RFC 5524 §3.1
        let is_new = match cursor.keyword("BODY, BINARY or BODYPARTSTRUCTURE")?.as_str() {
            "BODYPARTSTRUCTURE" => !std::mem::replace(&mut params.structure, true),
            "BODY" => params.content.replace(UrlForm::Body).is_none(),
            "BINARY" => params.content.replace(UrlForm::Binary).is_none(),
            _ => false,
        };
        if !is_new {
            return start.expected("BODY, BINARY or BODYPARTSTRUCTURE, each once");
        }
    }
    Ok(UrlFetch { url, params })
}

fn check_count(count: usize, cursor: &Cursor<'_>) -> Result<()> {
    if count >= UrlFetch::URLS_MAX {
        return cursor.fail(ErrorKind::TooMany, "URLs in one command");
    }
    Ok(())
}

/// `genurlauth-data = "*" SP "GENURLAUTH" 1*(SP url-full)`
pub fn generated(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>> {
    let mut urls = Vec::new();
    while cursor.space_before_more() {
        check_count(urls.len(), cursor)?;
        urls.push(cursor.astring()?.into_owned());
    }
    if urls.is_empty() { cursor.expected("URL") } else { Ok(urls) }
}

/// ```text
/// urlfetch-data = "*" SP "URLFETCH" 1*(SP url-full (SP nstring / 1*(SP "(" url-metadata-el ")")))
/// ```
pub fn fetched(cursor: &mut Cursor<'_>) -> Result<Vec<UrlData>> {
    let mut all = Vec::new();
    while cursor.space_before_more() {
        check_count(all.len(), cursor)?;
        let url = cursor.astring()?.into_owned();
        cursor.space()?;
        let content = match cursor.peek() {
            Some(b'(') => metadata(cursor)?,
            _ => UrlContent::Plain(super::fetch::body_data(cursor)?),
        };
        all.push(UrlData { url, content });
    }
    if all.is_empty() { cursor.expected("URL") } else { Ok(all) }
}

/// ```text
/// url-metadata-el = "BODYPARTSTRUCTURE" SP body / "BINARY" SP (nstring / literal8) /
///                   "BODY" SP nstring
/// ```
fn metadata(cursor: &mut Cursor<'_>) -> Result<UrlContent> {
    let (mut structure, mut content, mut has_nul) = (None, None, false);
    loop {
        cursor.byte(b'(', "(")?;
        if cursor.eat_word("BODYPARTSTRUCTURE") {
            cursor.space()?;
            structure = Some(Box::new(super::structure::structure(cursor)?));
        } else {
            let form = if cursor.eat_word("BINARY") {
                UrlForm::Binary
            } else if cursor.eat_word("BODY") {
                UrlForm::Body
            } else {
                return cursor.expected("BODY, BINARY or BODYPARTSTRUCTURE");
            };
            cursor.space()?;
            has_nul = cursor.peek() == Some(b'~');
            let data: BodyData = super::fetch::body_data(cursor)?;
            content = Some((form, data));
        }
        cursor.byte(b')', ")")?;
        if !cursor.rest().starts_with(b" (") {
            return Ok(UrlContent::Metadata { structure, content, has_nul });
        }
        cursor.space()?;
    }
}
