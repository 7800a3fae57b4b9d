//! Evaluates a query on messages. RFC 9051 §6.4.4
//!
//! Most of a query is decided by what a snapshot holds. The rest needs the message's row, its
//! header or its text, in this order of cost; an evaluation says what it needs next instead of
//! loading it, and within AND and OR the cheap keys come first.

mod annotation;
mod fuzzy;
mod matcher;
mod needle;

use mail_types::{Keyword, MessageId, ModSeq, SystemFlags, ThreadId, Uid, UidSet};

use crate::collate::Comparator;
use crate::{Audience, EntryPattern, EntryRef, View};
use annotation::AnnotationTest;
use matcher::{Likeness, Matcher};

/// A search key. Keys that are the opposite of another are written with `Not`: UNSEEN is not SEEN,
/// OLD is not RECENT, NEW is RECENT and not SEEN. Sequence numbers are resolved to UIDs before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// ALL, SAVEDATESUPPORTED
    All,
    /// No message: an EMAILID of another form than ours, for example.
    Nothing,
    /// ANSWERED, DELETED, DRAFT, FLAGGED, SEEN: all of these flags.
    System(SystemFlags),
    /// KEYWORD
    Keyword(Keyword),
    /// RECENT. RFC 3501 §6.4.4
    Recent,
    /// A sequence set, UID, or `$`
    Uids(UidSet),
    /// BEFORE, ON, SINCE: the day of the internal date in its own zone.
    InternalDate(DateTest),
    /// SAVEDBEFORE, SAVEDON, SAVEDSINCE: the day of the save date in UTC. RFC 8514 §4.3
    SaveDate(DateTest),
    /// SENTBEFORE, SENTON, SENTSINCE: the day of the Date header.
    SentDate(DateTest),
    /// LARGER, in bytes
    Larger(u64),
    /// SMALLER, in bytes
    Smaller(u64),
    /// OLDER, in seconds. RFC 5032 §2
    Older(u32),
    /// YOUNGER, in seconds. RFC 5032 §2
    Younger(u32),
    /// MODSEQ: this or greater. RFC 7162 §3.1.5
    ModSeq(ModSeq),
    /// EMAILID. RFC 8474 §6.1
    Message(MessageId),
    /// THREADID. RFC 8474 §6.2
    Thread(ThreadId),
    /// FROM, TO, CC, BCC, SUBJECT
    Field(Field, String),
    /// HEADER: name and text; an empty text asks whether there is such a field.
    Header(String, String),
    /// BODY
    Body(String),
    /// TEXT
    Text(String),
    /// ANNOTATION: one of the entries has a value for one of the audiences that holds the text; or
    /// none of them has any, if there is no text. RFC 5257 §4.8
    Annotation(EntryPattern, Vec<Audience>, Option<String>),
    /// FUZZY: texts are matched by words that are like those asked for; all other keys mean the
    /// same as without it. RFC 6203 §3, §5
    Fuzzy(Box<Key>),
    /// NOT
    Not(Box<Key>),
    /// A list of keys: all of them.
    And(Vec<Key>),
    /// OR: one of them.
    Or(Vec<Key>),
}

/// A day, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateTest {
    /// Earlier than the day.
    Before(i64),
    /// On the day.
    On(i64),
    /// On the day or later.
    Since(i64),
}

/// A header field that a message's row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// From
    From,
    /// To
    To,
    /// Cc
    Cc,
    /// Bcc
    Bcc,
    /// Subject
    Subject,
}

/// A query, prepared: limits are checked, needles folded, cheap keys first.
#[derive(Clone, Debug)]
pub struct Program {
    root: Node,
    bounds: Option<UidSet>,
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchLimit {
    /// More than [`Program::KEYS_MAX`] keys.
    TooManyKeys,
    /// Nested deeper than [`Program::DEPTH_MAX`].
    TooDeep,
    /// A text longer than [`Program::NEEDLE_BYTES_MAX`], or of too many words after FUZZY.
    TextTooLong,
}

/// A message to be tested.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// What the snapshot holds.
    pub entry: EntryRef<'a>,
    /// Whether the session shows it as `\Recent`.
    pub recent: Recency,
    /// The time, seconds since 1970.
    pub now: i64,
}

/// Whether a message is `\Recent` in the session that searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recency {
    /// It is.
    Recent,
    /// It is not.
    Old,
}

/// What the caller has loaded of a message. What is not there is answered with [`Verdict::Needs`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// From the message's row.
    pub row: Option<RowText<'a>>,
    /// Its header fields and those of its parts, decoded and unfolded.
    pub header: Option<&'a [HeaderText<'a>]>,
    /// The text of its body, decoded.
    pub text: Option<&'a str>,
}

/// Decoded header fields that a message's row holds. `None` if the message lacks the field.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowText<'a> {
    /// Day of the Date header in its own zone, as days since 1970-01-01.
    pub sent_day: Option<i64>,
    /// From
    pub from: Option<&'a str>,
    /// To
    pub to: Option<&'a str>,
    /// Cc
    pub cc: Option<&'a str>,
    /// Bcc
    pub bcc: Option<&'a str>,
    /// Subject
    pub subject: Option<&'a str>,
}

/// A decoded header field.
#[derive(Clone, Copy, Debug)]
pub struct HeaderText<'a> {
    /// Its name, in any letter case.
    pub name: &'a str,
    /// What stands after the colon.
    pub value: &'a str,
}

/// Whether a message matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It depends on this; load it and ask again.
    Needs(ContentNeed),
}

/// What an evaluation needs, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentNeed {
    /// [`Content::row`]
    Row,
    /// [`Content::header`]
    Header,
    /// [`Content::text`]
    Text,
}

/// What is known of a view's messages before any content was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// Messages that match.
    pub matched: UidSet,
    /// Messages for which content is needed.
    pub undecided: UidSet,
}

impl Program {
    /// Most keys in a query. Clients send dozens; some name each UID or label in an OR.
    pub const KEYS_MAX: usize = 2000;
    /// Deepest nesting: evaluation is recursive. `OR a OR b OR c ...` nests once for each key.
    pub const DEPTH_MAX: usize = 500;
    /// Longest text to look for.
    pub const NEEDLE_BYTES_MAX: usize = 16 * 1024;

    /// Prepares a query.
    ///
    /// # Errors
    /// If it is larger than a limit allows.
    pub fn new(key: &Key) -> Result<Self, SearchLimit> {
        Self::with_comparator(key, Comparator::default())
    }

    /// Prepares a query whose texts are compared in this way. RFC 5255 §4.2
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_comparator(key: &Key, comparator: Comparator) -> Result<Self, SearchLimit> {
        let mut left = Self::KEYS_MAX;
        let root = compile(key, 0, &mut left, Likeness::Exact(comparator))?;
        let bounds = bounds(&root);
        Ok(Self { root, bounds })
    }

    /// Whether the message matches, as far as the content given tells.
    pub fn evaluate(&self, subject: &Subject<'_>, content: &Content<'_>) -> Verdict {
        self.root.test(subject, content)
    }

    /// How relevant a message that matches is, as far as the content given tells: points for each
    /// word that FUZZY found, more in a subject than in a body. Zero without FUZZY.
    pub fn relevancy(&self, content: &Content<'_>) -> u32 {
        self.root.relevancy(content)
    }

    /// Whether two states of one message cannot be told apart by this query, whatever the content
    /// of the message is: then its verdict need not be found anew.
    pub fn sees_no_difference(&self, before: &Subject<'_>, after: &Subject<'_>) -> bool {
        self.root.sees_no_difference(before, after)
    }

    /// All that the snapshot alone decides about a view's messages, in one pass.
    pub fn sift(&self, view: &View, now: i64) -> Sifted {
        let mut sifted = Sifted::default();
        let all = UidSet::range(Uid::MIN, Uid::MAX);
        let content = Content::default();
        for (_, entry) in view.entries(self.bounds.as_ref().unwrap_or(&all)) {
            let recent = if view.is_recent(entry.uid()) { Recency::Recent } else { Recency::Old };
            match self.evaluate(&Subject { entry, recent, now }, &content) {
                Verdict::Yes => sifted.matched.insert(entry.uid()),
                Verdict::Needs(_) => sifted.undecided.insert(entry.uid()),
                Verdict::No => {}
            }
        }
        sifted
    }
}

/// A prepared key.
#[derive(Clone, Debug)]
enum Node {
    Always,
    Never,
    System(SystemFlags),
    Keyword(Keyword),
    Recent,
    Uids(UidSet),
    InternalDate(DateTest),
    SaveDate(DateTest),
    SentDate(DateTest),
    Larger(u64),
    Smaller(u64),
    Older(u32),
    Younger(u32),
    ModSeq(ModSeq),
    Message(MessageId),
    Thread(ThreadId),
    Field(Field, Matcher),
    Header(String, Matcher),
    Body(Matcher),
    Text(Matcher),
    Annotation(AnnotationTest),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

fn compile(
    key: &Key,
    depth: usize,
    left: &mut usize,
    likeness: Likeness,
) -> Result<Node, SearchLimit> {
    if depth > Program::DEPTH_MAX {
        return Err(SearchLimit::TooDeep);
    }
    *left = left.checked_sub(1).ok_or(SearchLimit::TooManyKeys)?;
    let mut list = |keys: &[Key]| {
        let nodes = keys.iter().map(|key| compile(key, depth + 1, left, likeness));
        let mut nodes = nodes.collect::<Result<Vec<Node>, _>>()?;
        nodes.sort_by_key(Node::cost);
        Ok(nodes)
    };
    let matcher = |text: &str| Matcher::new(text, likeness);
    Ok(match key {
        Key::All => Node::Always,
        Key::Nothing => Node::Never,
        Key::System(flags) => Node::System(*flags),
        Key::Keyword(keyword) => Node::Keyword(keyword.clone()),
        Key::Recent => Node::Recent,
        Key::Uids(uids) => Node::Uids(uids.clone()),
        Key::InternalDate(test) => Node::InternalDate(*test),
        Key::SaveDate(test) => Node::SaveDate(*test),
        Key::SentDate(test) => Node::SentDate(*test),
        Key::Larger(size) => Node::Larger(*size),
        Key::Smaller(size) => Node::Smaller(*size),
        Key::Older(seconds) => Node::Older(*seconds),
        Key::Younger(seconds) => Node::Younger(*seconds),
        Key::ModSeq(modseq) => Node::ModSeq(*modseq),
        Key::Message(id) => Node::Message(*id),
        Key::Thread(id) => Node::Thread(*id),
        Key::Field(field, text) => Node::Field(*field, matcher(text)?),
        // Roundcube asks for HEADER SUBJECT; the row answers it as fast as SUBJECT.
        Key::Header(name, text) => match Field::from_name(name) {
            Some(field) => Node::Field(field, matcher(text)?),
            None => Node::Header(name.clone(), matcher(text)?),
        },
        // Every text holds the empty one.
        Key::Body(text) | Key::Text(text) if text.is_empty() => Node::Always,
        Key::Body(text) => Node::Body(matcher(text)?),
        Key::Text(text) => Node::Text(matcher(text)?),
        Key::Annotation(entries, audiences, text) => {
            let text = text.as_deref().map(matcher).transpose()?;
            Node::Annotation(AnnotationTest::new(entries, audiences, text))
        }
        Key::Fuzzy(key) => compile(key, depth + 1, left, Likeness::Like)?,
        Key::Not(key) => Node::Not(Box::new(compile(key, depth + 1, left, likeness)?)),
        Key::And(keys) => Node::And(list(keys)?),
        Key::Or(keys) => Node::Or(list(keys)?),
    })
}

/// The messages outside of which nothing can match.
fn bounds(node: &Node) -> Option<UidSet> {
    match node {
        Node::Uids(uids) => Some(uids.clone()),
        Node::Never => Some(UidSet::new()),
        Node::And(nodes) => {
            nodes.iter().filter_map(bounds).reduce(|all, one| all.intersection(&one))
        }
        _ => None,
    }
}

impl Node {
    /// Keys of lower cost are tried first.
    fn cost(&self) -> u32 {
        match self {
            Self::Always | Self::Never => 0,
            Self::System(_)
            | Self::Recent
            | Self::Uids(_)
            | Self::InternalDate(_)
            | Self::SaveDate(_)
            | Self::Larger(_)
            | Self::Smaller(_)
            | Self::Older(_)
            | Self::Younger(_)
            | Self::ModSeq(_)
            | Self::Message(_)
            | Self::Thread(_) => 1,
            Self::Keyword(_) => 2,
            Self::Annotation(_) => 3,
            Self::SentDate(_) => 10,
            Self::Field(..) => 20,
            Self::Header(..) => 100,
            Self::Body(_) => 1000,
            Self::Text(_) => 1100,
            Self::Not(node) => node.cost(),
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().map(Self::cost).max().unwrap_or(0),
        }
    }

    fn test(&self, subject: &Subject<'_>, content: &Content<'_>) -> Verdict {
        let entry = &subject.entry;
        let age = || subject.now.saturating_sub(entry.internal_date().seconds());
        match self {
            Self::Always => Verdict::Yes,
            Self::Never => Verdict::No,
            Self::System(flags) => entry.system_flags().contains(*flags).into(),
            Self::Keyword(keyword) => entry.has_keyword(keyword).into(),
            Self::Recent => (subject.recent == Recency::Recent).into(),
            Self::Uids(uids) => uids.contains(entry.uid()).into(),
            Self::InternalDate(test) => test.holds(entry.internal_date().day()).into(),
            Self::SaveDate(test) => test.holds(entry.save_date().div_euclid(DAY_SECS)).into(),
            Self::SentDate(test) => match &content.row {
                // A message without a Date was sent on no day.
                Some(row) => row.sent_day.is_some_and(|day| test.holds(day)).into(),
                None => Verdict::Needs(ContentNeed::Row),
            },
            Self::Larger(size) => (u64::from(entry.size()) > *size).into(),
            Self::Smaller(size) => (u64::from(entry.size()) < *size).into(),
            // RFC 5032 §2: both include the moment itself.
            Self::Older(seconds) => (age() >= i64::from(*seconds)).into(),
            Self::Younger(seconds) => (age() <= i64::from(*seconds)).into(),
            Self::ModSeq(modseq) => (entry.modseq() >= *modseq).into(),
            Self::Message(id) => (entry.message() == *id).into(),
            Self::Thread(id) => (entry.thread() == *id).into(),
            Self::Field(field, needle) => match &content.row {
                Some(row) => row.field(*field).is_some_and(|text| needle.is_in(text)).into(),
                None => Verdict::Needs(ContentNeed::Row),
            },
            Self::Header(name, needle) => match content.header {
                Some(fields) => {
                    let mut named = fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name));
                    named.any(|field| needle.is_in(field.value)).into()
                }
                None => Verdict::Needs(ContentNeed::Header),
            },
            Self::Body(needle) => match content.text {
                Some(text) => needle.is_in(text).into(),
                None => Verdict::Needs(ContentNeed::Text),
            },
            Self::Text(matcher) => matcher.test_text(content),
            Self::Annotation(test) => test.holds(entry).into(),
            Self::Not(node) => match node.test(subject, content) {
                Verdict::Yes => Verdict::No,
                Verdict::No => Verdict::Yes,
                needs @ Verdict::Needs(_) => needs,
            },
            Self::And(nodes) => test_all(nodes, Verdict::Yes, Verdict::No, subject, content),
            Self::Or(nodes) => test_all(nodes, Verdict::No, Verdict::Yes, subject, content),
        }
    }

    fn relevancy(&self, content: &Content<'_>) -> u32 {
        match self {
            Self::Field(field, matcher) => {
                let text = content.row.as_ref().and_then(|row| row.field(*field));
                text.map_or(0, |text| matcher.relevancy(text).saturating_mul(field.weight()))
            }
            Self::Header(name, matcher) => {
                let fields = content.header.unwrap_or_default().iter();
                let named = fields.filter(|field| field.name.eq_ignore_ascii_case(name));
                let points = named.map(|field| matcher.relevancy(field.value));
                points.fold(0, u32::saturating_add).saturating_mul(HEADER_WEIGHT)
            }
            Self::Body(matcher) => {
                let points = content.text.map_or(0, |text| matcher.relevancy(text));
                points.saturating_mul(BODY_WEIGHT)
            }
            Self::Text(matcher) => matcher.text_relevancy(content),
            Self::And(nodes) | Self::Or(nodes) => {
                nodes.iter().map(|node| node.relevancy(content)).fold(0, u32::saturating_add)
            }
            // What is not there, and what is there or not, is no more or less so.
            _ => 0,
        }
    }

    fn sees_no_difference(&self, before: &Subject<'_>, after: &Subject<'_>) -> bool {
        match self {
            Self::Not(node) => node.sees_no_difference(before, after),
            Self::And(nodes) | Self::Or(nodes) => {
                nodes.iter().all(|node| node.sees_no_difference(before, after))
            }
            // Content never changes.
            Self::SentDate(_)
            | Self::Field(..)
            | Self::Header(..)
            | Self::Body(_)
            | Self::Text(_) => true,
            leaf => {
                let content = Content::default();
                leaf.test(before, &content) == leaf.test(after, &content)
            }
        }
    }
}

/// The verdict of a list: `decisive` if one node says so, else what is needed first, else
/// `neutral`.
fn test_all(
    nodes: &[Node],
    neutral: Verdict,
    decisive: Verdict,
    subject: &Subject<'_>,
    content: &Content<'_>,
) -> Verdict {
    let mut result = neutral;
    for node in nodes {
        let verdict = node.test(subject, content);
        if verdict == decisive {
            return decisive;
        }
        if let Verdict::Needs(need) = verdict {
            result = match result {
                Verdict::Needs(other) => Verdict::Needs(other.min(need)),
                _ => verdict,
            };
        }
    }
    result
}

impl From<bool> for Verdict {
    fn from(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

impl DateTest {
    fn holds(self, day: i64) -> bool {
        match self {
            Self::Before(than) => day < than,
            Self::On(the) => day == the,
            Self::Since(than) => day >= than,
        }
    }
}

impl Field {
    fn from_name(name: &str) -> Option<Self> {
        let fields = [Self::From, Self::To, Self::Cc, Self::Bcc, Self::Subject];
        fields.into_iter().find(|field| field.name().eq_ignore_ascii_case(name))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::From => "From",
            Self::To => "To",
            Self::Cc => "Cc",
            Self::Bcc => "Bcc",
            Self::Subject => "Subject",
        }
    }

    /// How much a word in this field counts, compared with one in the body.
    const fn weight(self) -> u32 {
        match self {
            Self::Subject => 10,
            Self::From | Self::To | Self::Cc | Self::Bcc => 6,
        }
    }
}

impl<'a> RowText<'a> {
    fn field(&self, field: Field) -> Option<&'a str> {
        match field {
            Field::From => self.from,
            Field::To => self.to,
            Field::Cc => self.cc,
            Field::Bcc => self.bcc,
            Field::Subject => self.subject,
        }
    }
}

const DAY_SECS: i64 = 86_400;
/// How much a word in another header field counts.
const HEADER_WEIGHT: u32 = 3;
/// How much a word in the body counts.
const BODY_WEIGHT: u32 = 1;
