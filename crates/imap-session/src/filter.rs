//! Searches that are kept under a name, as annotations of the server. RFC 5466
//!
//! "Its search criterion is inserted verbatim instead of the FILTER search-key" (§3.1), so this
//! works on the keys as they stand one behind the other: after NOT, OR and FUZZY the first key of
//! the value is the argument, and the others stand behind it. Who means a filter as one key writes
//! its value in parentheses.
//!
//! The command is then one without filters, and nothing else need know of them.

use imap_proto::parse;
use imap_proto::types::{Code, CommandBody, FilterName, MetadataEntry, Search, SearchKey};
use mail_types::EntryName;
use mailbox::{Account, MetadataTarget};

use crate::cmd::{search, uidonly};
use crate::config::ServerAnnotations;
use crate::reply::{Flow, Reply, Run, wait_ready};
use crate::{Need, Place};

/// Most substitutions one inside the other; 3 is the least. RFC 5466 §3.1
const PASSES_MAX: usize = 8;
/// Most octets of all values that one command inserts: each is parsed.
const INSERTED_BYTES_MAX: usize = 64 * 1024;

/// Goes on with a command whose filters have been put in.
pub(crate) fn insert(
    mut body: CommandBody,
    run: &mut Run<'_>,
    then: fn(CommandBody, &mut Run<'_>) -> Flow,
) -> Flow {
    let takes_charset = matches!(body, CommandBody::Sort(_) | CommandBody::Thread(_));
    let search = search_of(&mut body).filter(|search| search::keys::has_filter(&search.keys));
    let Some(search) = search else { return then(body, run) };
    if !takes_charset {
        search::check_no_charset(search, run)?;
    }
    check_charset(search)?;
    // Another session may just have set it. Filters are the user's own, whosever mailbox is
    // searched.
    let searched = std::mem::replace(&mut run.state.place, Place::Own);
    wait_ready(Need::Refresh, move |run| {
        if let Some(search) = search_of(&mut body) {
            let account = run.account()?;
            let values = Values { account, server: &run.state.config.server_annotations };
            match expand(&search.keys, &|name| values.of(name)) {
                Ok(keys) => search.keys = keys,
                Err(failure) => return search::refused(search, failure.reply(), run),
            }
            imply_charset(search);
        }
        run.state.place = searched;
        uidonly::check(&body, run.state)?;
        then(body, run)
    })
}

fn search_of(body: &mut CommandBody) -> Option<&mut Search> {
    match body {
        CommandBody::Search(search) => Some(search),
        CommandBody::Sort(sort) => Some(&mut sort.search),
        CommandBody::Thread(thread) => Some(&mut thread.search),
        CommandBody::MultiSearch(multi) => Some(&mut multi.search),
        _ => None,
    }
}

/// FILTER implies UTF-8; another charset "MUST result in the tagged BAD". RFC 5466 §3.1
fn check_charset(search: &Search) -> Result<(), Reply> {
    let is_one_of = |charset: &String| CHARSETS.iter().any(|c| charset.eq_ignore_ascii_case(c));
    if search.charset.as_ref().is_none_or(is_one_of) {
        return Ok(());
    }
    let names = CHARSETS.map(str::to_owned).into();
    Err(Reply::bad("FILTER goes with UTF-8 only").with(Code::BadCharset(names)))
}

/// What the client sent in US-ASCII is the same in UTF-8, but the filter's texts may be more. A
/// search without a charset is read as UTF-8 anyway.
fn imply_charset(search: &mut Search) {
    if search.charset.is_some() {
        search.charset = Some("UTF-8".to_owned());
    }
}

const CHARSETS: [&str; 2] = ["US-ASCII", "UTF-8"];

/// The filters that an account sees.
struct Values<'a> {
    account: &'a Account,
    server: &'a ServerAnnotations,
}

impl Values<'_> {
    /// The user's own comes before the shared one. RFC 5466 §1, §3.1
    fn of(&self, name: &FilterName) -> Option<&[u8]> {
        let entry = EntryName::new(&format!("{PRIVATE}values/{}", name.as_str())).ok()?;
        let private = self.account.metadata().get(MetadataTarget::Server, &entry);
        private.map(AsRef::as_ref).or_else(|| {
            let is_it = |f: &&SharedFilter| f.name().eq_ignore_ascii_case(name.as_str());
            self.server.filters.iter().find(is_it).map(|filter| filter.search.as_bytes())
        })
    }
}

/// Why a filter cannot be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    /// There is none of this name, or it leads to itself, or too far. RFC 5466 §3.1
    Undefined(FilterName),
    /// Its value is no search.
    Malformed,
    /// The whole search would be too large.
    TooLarge,
}

impl Failure {
    fn reply(self) -> Reply {
        match self {
            Self::Undefined(name) => {
                Reply::no("There is no such filter").with(Code::UndefinedFilter(name))
            }
            Self::Malformed => Reply::no("The value of the filter is no search").with(Code::Cannot),
            Self::TooLarge => Reply::no("The search is too large").with(Code::Limit),
        }
    }
}

/// The keys with the values of their filters in the place of the filters.
fn expand<'a>(
    keys: &[SearchKey],
    value: &dyn Fn(&FilterName) -> Option<&'a [u8]>,
) -> Result<Vec<SearchKey>, Failure> {
    let mut expander = Expander {
        value,
        open: Vec::new(),
        keys_left: SearchKey::KEYS_MAX,
        bytes_left: INSERTED_BYTES_MAX,
    };
    expander.list(keys, 0)
}

struct Expander<'a, 'b> {
    value: &'b dyn Fn(&FilterName) -> Option<&'a [u8]>,
    /// The filters around this place.
    open: Vec<FilterName>,
    keys_left: usize,
    bytes_left: usize,
}

/// What stands in a search, in the order in which it is written.
enum Token {
    Not,
    Or,
    Fuzzy,
    Key(SearchKey),
}

impl Expander<'_, '_> {
    fn list(&mut self, keys: &[SearchKey], depth: usize) -> Result<Vec<SearchKey>, Failure> {
        let mut tokens = Vec::new();
        self.flatten(keys, depth, &mut tokens)?;
        let mut tokens = tokens.into_iter();
        let mut keys = Vec::new();
        while let Some(token) = tokens.next() {
            // Every filter is one key at least, so no argument is missing.
            keys.push(build(token, &mut tokens).ok_or(Failure::Malformed)?);
        }
        Ok(keys)
    }

    /// `depth` counts the keys around these. Putting more keys in only moves some further out.
    fn flatten(
        &mut self,
        keys: &[SearchKey],
        depth: usize,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Failure> {
        for key in keys {
            self.keys_left = self.keys_left.checked_sub(1).ok_or(Failure::TooLarge)?;
            if depth > SearchKey::DEPTH_MAX {
                return Err(Failure::TooLarge);
            }
            let one = std::slice::from_ref::<SearchKey>;
            match key {
                SearchKey::Filter(name) => self.put_in(name, depth, tokens)?,
                SearchKey::Not(key) => {
                    tokens.push(Token::Not);
                    self.flatten(one(key), depth + 1, tokens)?;
                }
                SearchKey::Fuzzy(key) => {
                    tokens.push(Token::Fuzzy);
                    self.flatten(one(key), depth + 1, tokens)?;
                }
                SearchKey::Or(left, right) => {
                    tokens.push(Token::Or);
                    self.flatten(one(left), depth + 1, tokens)?;
                    self.flatten(one(right), depth + 1, tokens)?;
                }
                SearchKey::And(keys) => {
                    let keys = self.list(keys, depth + 1)?;
                    tokens.push(Token::Key(SearchKey::And(keys)));
                }
                other => tokens.push(Token::Key(other.clone())),
            }
        }
        Ok(())
    }

    /// A loop and a chain that is too long are as if there were no filter. RFC 5466 §3.1
    fn put_in(
        &mut self,
        name: &FilterName,
        depth: usize,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Failure> {
        let is_it = |open: &FilterName| open.as_str().eq_ignore_ascii_case(name.as_str());
        let undefined = || Failure::Undefined(name.clone());
        if self.open.len() >= PASSES_MAX || self.open.iter().any(is_it) {
            return Err(undefined());
        }
        let value = (self.value)(name).ok_or_else(undefined)?;
        self.bytes_left = self.bytes_left.checked_sub(value.len()).ok_or(Failure::TooLarge)?;
        let keys = criteria(value).ok_or(Failure::Malformed)?;
        self.open.push(name.clone());
        self.flatten(&keys, depth, tokens)?;
        self.open.pop();
        Ok(())
    }
}

/// One key with its arguments; `None` if one is missing.
fn build(token: Token, rest: &mut std::vec::IntoIter<Token>) -> Option<SearchKey> {
    let mut argument = || rest.next().and_then(|token| build(token, rest)).map(Box::new);
    Some(match token {
        Token::Key(key) => key,
        Token::Not => SearchKey::Not(argument()?),
        Token::Fuzzy => SearchKey::Fuzzy(argument()?),
        Token::Or => {
            let left = argument()?;
            SearchKey::Or(left, argument()?)
        }
    })
}

/// The keys of a value: "a full and correct search criterion", in UTF-8. RFC 5466 §3.1, §3.2
fn criteria(value: &[u8]) -> Option<Vec<SearchKey>> {
    let value = std::str::from_utf8(value).ok()?;
    parse::search_criteria(value.as_bytes()).ok()
}

/// Refuses to keep as a filter what is none. RFC 5466 §3.2
pub(crate) fn check_set(entries: &[MetadataEntry]) -> Result<(), Reply> {
    for (name, value) in entries {
        let Some(rest) = name.as_str().strip_prefix(PRIVATE) else { continue };
        // What was kept under a wrong name can be removed.
        let (Some((kind, name)), Some(value)) = (rest.split_once('/'), value) else { continue };
        match kind {
            "values" if criteria(value).is_none() => {
                return Err(Reply::no("This is no complete search").with(Code::Cannot));
            }
            "descriptions" if std::str::from_utf8(value).is_err() => {
                return Err(Reply::no("A description has to be in UTF-8").with(Code::Cannot));
            }
            "values" | "descriptions" if FilterName::new(name).is_none() => {
                return Err(Reply::no("A filter cannot have this name").with(Code::Cannot));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where a user's own filters are kept.
const PRIVATE: &str = "/private/filters/";

/// A filter that the operator gives to everybody: `/shared/filters/values/NAME`. RFC 5466 §3.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFilter {
    name: String,
    search: String,
    description: Option<String>,
}

impl SharedFilter {
    /// A filter; `None` if the name cannot be one, or the search is none.
    pub fn new(name: &str, search: &str, description: Option<String>) -> Option<Self> {
        FilterName::new(name)?;
        criteria(search.as_bytes())?;
        Some(Self { name: name.to_ascii_lowercase(), search: search.to_owned(), description })
    }

    /// Its name, in small letters: names of annotations are equal in any letter case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The annotations that it is.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (String, &str)> {
        let value = (format!("/shared/filters/values/{}", self.name), self.search.as_str());
        let description = self.description.as_deref();
        let name = format!("/shared/filters/descriptions/{}", self.name);
        std::iter::once(value).chain(description.map(|text| (name, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<SearchKey> {
        parse::search_criteria(text.as_bytes()).unwrap()
    }

    /// What becomes of a search where these filters are kept.
    fn expanded(search: &str, kept: &[(&str, &str)]) -> Result<Vec<SearchKey>, Failure> {
        expand(&keys(search), &|name| {
            let found = kept.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_str()));
            found.map(|(_, value)| value.as_bytes())
        })
    }

    fn undefined(name: &str) -> Result<Vec<SearchKey>, Failure> {
        Err(Failure::Undefined(FilterName::new(name).unwrap()))
    }

    #[test]
    fn a_filter_stands_in_the_search_as_its_text_would() {
        for (search, filter, same_as) in [
            ("SEEN FILTER f ALL", "OR SMALLER 5 DRAFT", "SEEN OR SMALLER 5 DRAFT ALL"),
            ("FILTER F", "SEEN", "SEEN"),
            ("NOT FILTER f", "SEEN DRAFT", "NOT SEEN DRAFT"),
            ("NOT FILTER f", "(SEEN DRAFT)", "NOT (SEEN DRAFT)"),
            ("OR FILTER f ANSWERED ALL", "SEEN DRAFT", "OR SEEN DRAFT ANSWERED ALL"),
            ("OR ALL FILTER f", "NOT SEEN DRAFT", "OR ALL NOT SEEN DRAFT"),
            ("(NOT FUZZY FILTER f) ALL", "FROM x SEEN", "(NOT FUZZY FROM x SEEN) ALL"),
            ("FILTER f FILTER f", "SUBJECT {3}\r\na b", "SUBJECT \"a b\" SUBJECT \"a b\""),
        ] {
            assert_eq!(expanded(search, &[("f", filter)]), Ok(keys(same_as)), "{search}");
        }
    }

    #[test]
    fn filters_in_filters_are_followed_but_neither_for_ever_nor_too_far() {
        let chain: Vec<(String, String)> =
            (1..=PASSES_MAX).map(|n| (format!("f{n}"), format!("FILTER f{}", n + 1))).collect();
        let mut kept: Vec<(&str, &str)> =
            chain.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        kept.push(("f9", "SEEN"));
        assert_eq!(expanded("FILTER f2", &kept), Ok(keys("SEEN")));
        assert_eq!(expanded("FILTER f1", &kept), undefined("f9"));
        let looped = [("a", "DRAFT FILTER B"), ("b", "NOT FILTER a")];
        assert_eq!(expanded("FILTER a", &looped), undefined("a"));
        assert_eq!(expanded("FILTER c", &looped), undefined("c"));
        assert_eq!(expanded("FILTER c", &[("c", "FILTER c")]), undefined("c"));
    }

    #[test]
    fn filters_cannot_make_a_search_larger_than_one_may_be() {
        let double = [
            ("a", "FILTER b FILTER b FILTER b FILTER b FILTER b FILTER b FILTER b FILTER b"),
            ("b", "FILTER c FILTER c FILTER c FILTER c FILTER c FILTER c FILTER c FILTER c"),
            ("c", "FILTER d FILTER d FILTER d FILTER d FILTER d FILTER d FILTER d FILTER d"),
            ("d", "FILTER e FILTER e FILTER e FILTER e FILTER e FILTER e FILTER e FILTER e"),
            ("e", "SEEN"),
        ];
        assert_eq!(expanded("FILTER a", &double), Err(Failure::TooLarge));
        let long = format!("SUBJECT {}", "x".repeat(16 * 1024 - 8));
        let many = "FILTER l FILTER l FILTER l FILTER l";
        assert_eq!(expanded(many, &[("l", &long)]).map(|keys| keys.len()), Ok(4));
        let more = format!("{many} FILTER l");
        assert_eq!(expanded(&more, &[("l", &long)]), Err(Failure::TooLarge));
        let deep = format!("{}SEEN", "NOT ".repeat(60));
        let search = format!("{}FILTER deep", "NOT ".repeat(60));
        assert_eq!(expanded(&search, &[("deep", &deep)]), Err(Failure::TooLarge));
    }

    #[test]
    fn a_value_that_is_no_search_fails_the_search() {
        for value in ["OR SMALLER", "", "SEEN ", "NONSENSE", "(SEEN", "SEEN)", "SUBJECT \"\u{e9}"] {
            let told = expanded("FILTER f", &[("f", value)]);
            let is_harmless = value == "SEEN ";
            assert_eq!(told.is_ok(), is_harmless, "{value:?} {told:?}");
        }
        assert_eq!(criteria(b"SUBJECT \"\xe9\""), None);
    }

    #[test]
    fn a_filter_of_the_operator_has_a_name_and_a_search() {
        assert!(SharedFilter::new("On-The-Road", "UNSEEN", None).is_some());
        for (name, search) in [("a b", "UNSEEN"), ("a/b", "UNSEEN"), ("", "UNSEEN"), ("a", "OR")] {
            assert_eq!(SharedFilter::new(name, search, None), None, "{name:?} {search:?}");
        }
    }
}
