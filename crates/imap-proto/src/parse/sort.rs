//! SORT, the command and its answer. RFC 5256 §5, RFC 5267 §5

use super::annotate;
use super::cursor::Cursor;
use super::error::{ErrorKind, Result};
use super::search;
use crate::types::{Numbering, Response, Search, SearchReturn, Sort, SortCriterion, SortKey};

/// ```text
/// sort            = ["UID" SP] "SORT" SP sort-criteria SP search-criteria
/// extended-sort   = ["UID" SP] "SORT" search-return-opts SP sort-criteria SP search-criteria
/// sort-criteria   = "(" sort-criterion *(SP sort-criterion) ")"
/// ```
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Sort> {
    cursor.space()?;
    let mut returns = None;
    if cursor.eat_word("RETURN") {
        cursor.space()?;
        returns = Some(cursor.list(RETURNS_MAX, "return options", return_option)?);
        cursor.space()?;
    }
    let criteria = cursor.list1(CRITERIA_MAX, "sort criterion", criterion)?;
    cursor.space()?;
    let search = search_criteria(cursor, numbering)?;
    Ok(Sort { criteria, search: Search { returns, ..search } })
}

/// ```text
/// search-criteria = charset 1*(SP search-key)
/// charset         = atom / quoted
/// ```
pub fn search_criteria(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Search> {
    let charset = Some(search::charset(cursor)?);
    cursor.space()?;
    let keys = search::keys(cursor)?;
    Ok(Search { numbering, returns: None, charset, keys })
}

/// Those of SEARCH but RELEVANCY. RFC 5267 §3.1, §4.1, RFC 5182 §2.4, RFC 5465 §7
fn return_option(cursor: &mut Cursor<'_>) -> Result<SearchReturn> {
    let start = cursor.clone();
    match search::return_option(cursor)? {
        SearchReturn::Relevancy => start.expected("known return option"),
        option => Ok(option),
    }
}

/// ```text
/// sort-criterion = ["REVERSE" SP] sort-key
/// sort-key       = "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO" /
///                  "DISPLAYFROM" / "DISPLAYTO" / "ANNOTATION" SP entry SP att-sort
/// ```
fn criterion(cursor: &mut Cursor<'_>) -> Result<SortCriterion> {
    let reverse = cursor.eat_word("REVERSE");
    if reverse {
        cursor.space()?;
    }
    let start = cursor.clone();
    let name = cursor.keyword("sort key")?;
    if name == "ANNOTATION" {
        let (entry, scope) = annotate::sort_key(cursor)?;
        return Ok(SortCriterion { key: SortKey::Annotation(entry, scope), reverse });
    }
    match SortKey::WORDS.into_iter().find(|key| key.as_str() == name) {
        Some(key) => Ok(SortCriterion { key, reverse }),
        None => start.fail(ErrorKind::Syntax, "known sort key"),
    }
}

/// `sort-data = "SORT" [1*(SP nz-number) [SP search-sort-mod-seq]]`. RFC 7162 §7
pub fn reply(cursor: &mut Cursor<'_>) -> Result<Response> {
    let (numbers, mod_seq) = search::numbers(cursor)?;
    Ok(Response::Sort { numbers, mod_seq })
}

/// Most return options; there are eight, and a client has no reason to repeat one.
const RETURNS_MAX: usize = 16;
/// Most criteria. There are nine keys, and only the first of each decides anything.
const CRITERIA_MAX: usize = 32;
