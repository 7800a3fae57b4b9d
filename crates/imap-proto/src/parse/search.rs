//! SEARCH, the command and its answers. RFC 9051 §6.4.4, §7.3.3

use mail_types::{Keyword, ModSeq, SystemFlags, Uid, UidValidity};

use super::annotate;
use super::cursor::{Cursor, Frame};
use super::error::{ErrorKind, Result};
use super::fetch;
use super::list::skip_value;
use super::select::{mod_seq, nz_mod_seq};
use super::status::bare_object_id;
use crate::types::{
    Esearch, FetchItem, FilterName, HeaderKey, ModSeqScope, Numbering, PartialRange, PartialResult,
    Response, ResultEnd, Search, SearchKey, SearchReturn, SearchUpdate, SequenceSet,
};

/// ```text
/// search         = "SEARCH" [SP "RETURN" SP "(" [search-return-opt …] ")"] SP search-program
/// search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
/// ```
pub fn command(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Search> {
    cursor.space()?;
    arguments(cursor, numbering)
}

/// What follows `SEARCH SP`, or the sources of ESEARCH.
pub fn arguments(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Search> {
    let mut search = Search { numbering, returns: None, charset: None, keys: Vec::new() };
    if cursor.eat_word("RETURN") {
        cursor.space()?;
        search.returns = Some(cursor.list(RETURNS_MAX, "return options", return_option)?);
        cursor.space()?;
    }
    if cursor.eat_word("CHARSET") {
        cursor.space()?;
        search.charset = Some(charset(cursor)?);
        cursor.space()?;
    }
    search.keys = keys(cursor)?;
    Ok(search)
}

/// `search-key *(SP search-key)`
pub fn keys(cursor: &mut Cursor<'_>) -> Result<Vec<SearchKey>> {
    let mut budget = SearchKey::KEYS_MAX;
    let mut keys = vec![key(cursor, 0, &mut budget)?];
    while cursor.space_before_more() {
        keys.push(key(cursor, 0, &mut budget)?);
    }
    Ok(keys)
}

/// `search-criteria = search-key *(SP search-key)`, as a whole: what is kept as a filter. RFC 5466
/// §3.2, §4
///
/// # Errors
/// If it is something else, or more than [`SearchKey`] allows in one command.
pub fn search_criteria(value: &[u8]) -> Result<Vec<SearchKey>> {
    let mut cursor = Cursor::new(Frame::whole(value));
    let keys = keys(&mut cursor)?;
    cursor.end()?;
    Ok(keys)
}

/// `filter-name = 1*<any ATOM-CHAR except "/">`. RFC 5466 §4
pub fn filter_name(cursor: &mut Cursor<'_>) -> Result<FilterName> {
    let start = cursor.clone();
    let name = FilterName::new(cursor.atom("name of a filter")?);
    name.map_or_else(|| start.expected("name of a filter"), Ok)
}

/// `charset = atom / quoted`
pub fn charset(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.clone();
    let name = cursor.astring()?;
    let is_name = !name.is_empty() && name.len() <= CHARSET_BYTES_MAX;
    let name = String::from_utf8(name.into_owned()).ok().filter(|n| is_name && n.is_ascii());
    name.map_or_else(|| start.expected("name of a charset"), Ok)
}

/// ```text
/// search-return-opt = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / "PARTIAL" SP partial-range /
///                     "RELEVANCY" / "CONTEXT" / modifier-update
/// modifier-update   = "UPDATE" ["(" fetch-att *(SP fetch-att) ")"]
/// ```
pub fn return_option(cursor: &mut Cursor<'_>) -> Result<SearchReturn> {
    let start = cursor.clone();
    Ok(match cursor.keyword("return option")?.as_str() {
        "MIN" => SearchReturn::Min,
        "MAX" => SearchReturn::Max,
        "ALL" => SearchReturn::All,
        "COUNT" => SearchReturn::Count,
        "SAVE" => SearchReturn::Save,
        "PARTIAL" => {
            cursor.space()?;
            SearchReturn::Partial(partial_range(cursor)?)
        }
        "RELEVANCY" => SearchReturn::Relevancy,
        "CONTEXT" => SearchReturn::Context,
        "UPDATE" => SearchReturn::Update(update_items(cursor)?),
        _ => return start.expected("known return option"),
    })
}

/// The items of UPDATE. The grammar has no space before them, the example has one. RFC 5465 §7, §8
fn update_items(cursor: &mut Cursor<'_>) -> Result<Vec<FetchItem>> {
    let mut after = cursor.clone();
    after.skip_spaces();
    if after.peek() != Some(b'(') {
        return Ok(Vec::new());
    }
    *cursor = after;
    cursor.list1(SearchReturn::UPDATE_ITEMS_MAX, "fetch item", fetch::item)
}

/// ```text
/// partial-range       = partial-range-first / partial-range-last
/// partial-range-first = nz-number ":" nz-number
/// partial-range-last  = "-" nz-number ":" "-" nz-number
/// ```
pub fn partial_range(cursor: &mut Cursor<'_>) -> Result<PartialRange> {
    let from = if cursor.peek() == Some(b'-') { ResultEnd::Newest } else { ResultEnd::Oldest };
    let position = |cursor: &mut Cursor<'_>| {
        if from == ResultEnd::Newest {
            cursor.byte(b'-', "position that counts from the same end")?;
        }
        cursor.nz_number()
    };
    let first = position(cursor)?;
    cursor.byte(b':', ": of a range")?;
    Ok(PartialRange { from, first, last: position(cursor)? })
}

/// One key. `depth` counts the keys around it, `budget` the keys that may still come.
fn key(cursor: &mut Cursor<'_>, depth: usize, budget: &mut usize) -> Result<SearchKey> {
    if depth > SearchKey::DEPTH_MAX {
        return cursor.fail(ErrorKind::TooDeep, "search key");
    }
    match budget.checked_sub(1) {
        Some(left) => *budget = left,
        None => return cursor.fail(ErrorKind::TooMany, "search keys"),
    }
    match cursor.peek() {
        Some(b'0'..=b'9' | b'*' | b'$') => return cursor.sequence_set().map(SearchKey::Sequence),
        Some(b'(') => {
            let keys = cursor.list1(SearchKey::KEYS_MAX, "search key", |cursor| {
                key(cursor, depth + 1, budget)
            })?;
            return Ok(SearchKey::And(keys));
        }
        _ => {}
    }
    let start = cursor.clone();
    let name = cursor.keyword("search key")?;
    if let Some(key) = bare_key(&name) {
        return Ok(key);
    }
    let is_known = KEYS_WITH_ARGUMENTS.contains(&name.as_str());
    if !is_known {
        return start.expected("known search key");
    }
    cursor.space()?;
    match name.as_str() {
        "FUZZY" => Ok(SearchKey::Fuzzy(Box::new(key(cursor, depth + 1, budget)?))),
        "NOT" => Ok(SearchKey::Not(Box::new(key(cursor, depth + 1, budget)?))),
        "OR" => {
            let left = key(cursor, depth + 1, budget)?;
            cursor.space()?;
            let right = key(cursor, depth + 1, budget)?;
            Ok(SearchKey::Or(Box::new(left), Box::new(right)))
        }
        _ => key_with_argument(&name, cursor),
    }
}

/// The keys that are one word.
fn bare_key(name: &str) -> Option<SearchKey> {
    Some(match name {
        "ALL" => SearchKey::All,
        "ANSWERED" => SearchKey::Flag(SystemFlags::ANSWERED),
        "DELETED" => SearchKey::Flag(SystemFlags::DELETED),
        "DRAFT" => SearchKey::Flag(SystemFlags::DRAFT),
        "FLAGGED" => SearchKey::Flag(SystemFlags::FLAGGED),
        "SEEN" => SearchKey::Flag(SystemFlags::SEEN),
        "UNANSWERED" => SearchKey::NotFlag(SystemFlags::ANSWERED),
        "UNDELETED" => SearchKey::NotFlag(SystemFlags::DELETED),
        "UNDRAFT" => SearchKey::NotFlag(SystemFlags::DRAFT),
        "UNFLAGGED" => SearchKey::NotFlag(SystemFlags::FLAGGED),
        "UNSEEN" => SearchKey::NotFlag(SystemFlags::SEEN),
        "NEW" => SearchKey::New,
        "OLD" => SearchKey::Old,
        "RECENT" => SearchKey::Recent,
        "SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
        _ => return None,
    })
}

/// ```text
/// search-key = "BCC" SP astring / "BEFORE" SP date / "KEYWORD" SP flag-keyword /
///              "HEADER" SP header-fld-name SP astring / "LARGER" SP number64 /
///              "UID" SP sequence-set / ("OLDER" / "YOUNGER") SP nz-number /
///              "EMAILID" SP objectid / "SAVEDBEFORE" SP date / …
/// ```
fn key_with_argument(name: &str, cursor: &mut Cursor<'_>) -> Result<SearchKey> {
    let text = |cursor: &mut Cursor<'_>| cursor.astring().map(|t| t.into_owned());
    Ok(match name {
        "BCC" => SearchKey::Bcc(text(cursor)?),
        "BODY" => SearchKey::Body(text(cursor)?),
        "CC" => SearchKey::Cc(text(cursor)?),
        "FROM" => SearchKey::From(text(cursor)?),
        "SUBJECT" => SearchKey::Subject(text(cursor)?),
        "TEXT" => SearchKey::Text(text(cursor)?),
        "TO" => SearchKey::To(text(cursor)?),
        "HEADER" => {
            let field = text(cursor)?;
            cursor.space()?;
            SearchKey::Header(HeaderKey { field, text: text(cursor)? })
        }
        "BEFORE" => SearchKey::Before(cursor.date()?),
        "ON" => SearchKey::On(cursor.date()?),
        "SINCE" => SearchKey::Since(cursor.date()?),
        "SENTBEFORE" => SearchKey::SentBefore(cursor.date()?),
        "SENTON" => SearchKey::SentOn(cursor.date()?),
        "SENTSINCE" => SearchKey::SentSince(cursor.date()?),
        "SAVEDBEFORE" => SearchKey::SavedBefore(cursor.date()?),
        "SAVEDON" => SearchKey::SavedOn(cursor.date()?),
        "SAVEDSINCE" => SearchKey::SavedSince(cursor.date()?),
        "OLDER" => SearchKey::Older(cursor.nz_number()?),
        "YOUNGER" => SearchKey::Younger(cursor.nz_number()?),
        "LARGER" => SearchKey::Larger(cursor.number64()?),
        "SMALLER" => SearchKey::Smaller(cursor.number64()?),
        "KEYWORD" => SearchKey::Keyword(keyword(cursor)?),
        "UNKEYWORD" => SearchKey::NotKeyword(keyword(cursor)?),
        "UID" => SearchKey::Uid(cursor.sequence_set()?),
        "UIDAFTER" => SearchKey::UidAfter(uid(cursor)?),
        "UIDBEFORE" => SearchKey::UidBefore(uid(cursor)?),
        "EMAILID" => SearchKey::EmailId(bare_object_id(cursor)?),
        "THREADID" => SearchKey::ThreadId(bare_object_id(cursor)?),
        "MODSEQ" => mod_seq_key(cursor)?,
        "FILTER" => SearchKey::Filter(filter_name(cursor)?),
        "ANNOTATION" => SearchKey::Annotation(annotate::key(cursor)?),
        _ => return cursor.expected("known search key"),
    })
}

fn uid(cursor: &mut Cursor<'_>) -> Result<Uid> {
    let start = cursor.clone();
    Uid::new(cursor.nz_number()?).map_or_else(|| start.fail(ErrorKind::Value, "UID"), Ok)
}

/// `flag-keyword = atom`
fn keyword(cursor: &mut Cursor<'_>) -> Result<Keyword> {
    let start = cursor.clone();
    let name = cursor.atom("keyword")?;
    Keyword::new(name).or_else(|_| start.fail(ErrorKind::Value, "keyword of tolerable length"))
}

/// ```text
/// search-modsequence = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer
/// entry-name         = DQUOTE "/flags/" attr-flag DQUOTE
/// entry-type-req     = "priv" / "shared" / "all"
/// ```
fn mod_seq_key(cursor: &mut Cursor<'_>) -> Result<SearchKey> {
    let mut scope = None;
    if cursor.peek() == Some(b'"') {
        let start = cursor.clone();
        let entry = cursor.quoted()?.into_owned();
        if !entry.starts_with(b"/flags/") {
            return start.expected("entry that begins with /flags/");
        }
        cursor.space()?;
        let start = cursor.clone();
        let kind = match cursor.keyword("priv, shared or all")?.as_str() {
            "PRIV" => "priv",
            "SHARED" => "shared",
            "ALL" => "all",
            _ => return start.expected("priv, shared or all"),
        };
        cursor.space()?;
        scope = Some(ModSeqScope { entry, kind });
    }
    Ok(SearchKey::ModSeq { mod_seq: mod_seq(cursor)?, scope })
}

/// `"SEARCH" *(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`
pub fn reply(cursor: &mut Cursor<'_>) -> Result<Response> {
    let (numbers, mod_seq) = numbers(cursor)?;
    Ok(Response::Search { numbers, mod_seq })
}

/// `*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]`
pub fn numbers(cursor: &mut Cursor<'_>) -> Result<(Vec<u32>, Option<ModSeq>)> {
    let (mut numbers, mut mod_seq) = (Vec::new(), None);
    while cursor.space_before_more() {
        if cursor.peek() != Some(b'(') {
            numbers.push(cursor.nz_number()?);
            continue;
        }
        cursor.list1(1, "MODSEQ", |cursor| {
            if !cursor.eat_word("MODSEQ") {
                return cursor.expected("MODSEQ");
            }
            cursor.space()?;
            mod_seq = Some(nz_mod_seq(cursor)?);
            Ok(())
        })?;
        break;
    }
    Ok((numbers, mod_seq))
}

/// ```text
/// esearch-response   = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
/// search-correlator  = SP "(" one-correlator *(SP one-correlator) ")"
/// search-return-data = "MIN" SP nz-number / "MAX" SP nz-number / "ALL" SP sequence-set /
///                      "COUNT" SP number / "MODSEQ" SP mod-sequence-value /
///                      "PARTIAL" SP "(" partial-range SP (sequence-set / "NIL") ")" /
///                      "RELEVANCY" SP "(" [score *(SP score)] ")" /
///                      ("ADDTO" / "REMOVEFROM") SP "(" position SP sequence-set … ")" /
///                      label SP value
/// ```
pub fn esearch(cursor: &mut Cursor<'_>) -> Result<Esearch> {
    let mut reply = Esearch::default();
    let mut is_first = true;
    while cursor.space_before_more() {
        if is_first && cursor.peek() == Some(b'(') {
            correlators(cursor, &mut reply)?;
            is_first = false;
            continue;
        }
        is_first = false;
        match cursor.keyword("item of ESEARCH")?.as_str() {
            "UID" => reply.numbering = Numbering::Uid,
            name => {
                cursor.space()?;
                return_data(name, cursor, &mut reply)?;
            }
        }
    }
    Ok(reply)
}

fn return_data(name: &str, cursor: &mut Cursor<'_>, reply: &mut Esearch) -> Result<()> {
    match name {
        "MIN" => reply.min = Some(cursor.nz_number()?),
        "MAX" => reply.max = Some(cursor.nz_number()?),
        "COUNT" => reply.count = Some(cursor.number()?),
        "ALL" => reply.all = Some(cursor.number_set(usize::MAX)?),
        "MODSEQ" => reply.mod_seq = Some(nz_mod_seq(cursor)?),
        "PARTIAL" => reply.partial = Some(partial_result(cursor)?),
        "RELEVANCY" => reply.relevancy = Some(cursor.list(usize::MAX, "score", score)?),
        "ADDTO" => reply.updates.push(SearchUpdate::AddTo(positions(cursor)?)),
        "REMOVEFROM" => reply.updates.push(SearchUpdate::RemoveFrom(positions(cursor)?)),
        _ => skip_value(cursor, 0)?,
    }
    Ok(())
}

/// `one-correlator = "TAG" SP tag-string / "MAILBOX" SP astring / "UIDVALIDITY" SP nz-number`
fn correlators(cursor: &mut Cursor<'_>, reply: &mut Esearch) -> Result<()> {
    let (mut mailbox, mut uid_validity) = (None, None);
    cursor.list1(CORRELATORS_MAX, "correlator", |cursor| {
        let start = cursor.clone();
        let name = cursor.keyword("correlator")?;
        cursor.space()?;
        match name.as_str() {
            "TAG" => {
                let tag = cursor.astring()?;
                reply.tag = Some(String::from_utf8_lossy(&tag).into_owned());
            }
            "MAILBOX" => mailbox = Some(cursor.mailbox()?),
            "UIDVALIDITY" => uid_validity = UidValidity::new(cursor.nz_number()?),
            _ => return start.expected("TAG, MAILBOX or UIDVALIDITY"),
        }
        Ok(())
    })?;
    reply.source = mailbox.zip(uid_validity);
    Ok(())
}

fn partial_result(cursor: &mut Cursor<'_>) -> Result<PartialResult> {
    cursor.byte(b'(', "( of PARTIAL")?;
    let range = partial_range(cursor)?;
    cursor.space()?;
    let found = match cursor.eat_word("NIL") {
        true => None,
        false => Some(cursor.number_set(usize::MAX)?),
    };
    cursor.skip_spaces();
    cursor.byte(b')', ") of PARTIAL")?;
    Ok(PartialResult { range, found })
}

/// `score = 1*3DIGIT`, from 1 to 100. RFC 6203 §7
fn score(cursor: &mut Cursor<'_>) -> Result<u8> {
    let start = cursor.clone();
    match u8::try_from(cursor.nz_number()?) {
        Ok(score @ 1..=100) => Ok(score),
        _ => start.fail(ErrorKind::Value, "score from 1 to 100"),
    }
}

/// Pairs of a context position and a set. RFC 5267 §5 (`ret-data-addto`)
fn positions(cursor: &mut Cursor<'_>) -> Result<Vec<(u32, SequenceSet)>> {
    cursor.list1(usize::MAX, "context position", |cursor| {
        let position = cursor.number()?;
        cursor.space()?;
        Ok((position, cursor.number_set(usize::MAX)?))
    })
}

/// The keys that are followed by something.
const KEYS_WITH_ARGUMENTS: [&str; 34] = [
    "ANNOTATION",
    "BCC",
    "BODY",
    "CC",
    "FROM",
    "SUBJECT",
    "TEXT",
    "TO",
    "HEADER",
    "BEFORE",
    "ON",
    "SINCE",
    "SENTBEFORE",
    "SENTON",
    "SENTSINCE",
    "SAVEDBEFORE",
    "SAVEDON",
    "SAVEDSINCE",
    "OLDER",
    "YOUNGER",
    "LARGER",
    "SMALLER",
    "KEYWORD",
    "UNKEYWORD",
    "UID",
    "UIDAFTER",
    "UIDBEFORE",
    "EMAILID",
    "THREADID",
    "MODSEQ",
    "FILTER",
    "FUZZY",
    "NOT",
    "OR",
];
/// Most return options; there are nine, and a client has no reason to repeat one.
const RETURNS_MAX: usize = 16;
/// Longest name of a charset; the longest registered one has 45 characters.
const CHARSET_BYTES_MAX: usize = 64;
/// There are three correlators; the limit only bounds the loop.
const CORRELATORS_MAX: usize = 8;
