//! Puts messages in an order. RFC 5256 §3 (`SORT`), RFC 5957
//!
//! Of each message a number or a key of at most [`Comparator::KEY_BYTES_MAX`] octets is kept for
//! each criterion, and no criterion counts twice: some hundred octets a message in practice.
//! Messages that the criteria do not tell apart stay in the order of their UIDs, which is that of
//! their sequence numbers.

use std::cmp::Ordering;

use mail_types::{AnnotationName, Uid};

use crate::collate::{Collation, Comparator, Direction};
use crate::subject::base_subject;
use crate::{Audience, EntryRef};

/// A sort criterion: a key and its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// What is compared.
    pub key: SortKey,
    /// REVERSE is descending.
    pub direction: Direction,
}

/// What messages are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// INTERNALDATE.
    Arrival,
    /// Mailbox of the first Cc address.
    Cc,
    /// Sent date. RFC 5256 §2.2
    Date,
    /// Mailbox of the first From address.
    From,
    /// Octets.
    Size,
    /// Base subject. RFC 5256 §2.1
    Subject,
    /// Mailbox of the first To address.
    To,
    /// What would be shown of the first From address. RFC 5957 §3
    DisplayFrom,
    /// What would be shown of the first To address. RFC 5957 §3
    DisplayTo,
    /// An annotation for an audience; a message without it has an empty text. RFC 5257 §4.9
    Annotation(AnnotationName, Audience),
}

/// Decoded texts that a message's row holds; a field that the message lacks is empty.
#[derive(Clone, Debug, Default)]
pub struct SortTexts {
    /// The Date header in seconds since 1970; `None` if it tells none.
    pub sent: Option<i64>,
    /// Subject, not yet reduced.
    pub subject: String,
    /// Mailbox of the first address of From.
    pub from: String,
    /// Of To.
    pub to: String,
    /// Of Cc.
    pub cc: String,
    /// What is shown of the first address of From.
    pub display_from: String,
    /// Of To.
    pub display_to: String,
}

/// Takes messages one after the other and puts them in order.
#[derive(Clone, Debug)]
pub struct Sorter {
    rule: SortRule,
    items: Vec<SortItem>,
}

/// An order of messages: of any two it says which one comes first.
#[derive(Clone, Debug)]
pub struct SortRule {
    criteria: Vec<Criterion>,
    comparator: Comparator,
}

/// What decides where a message comes.
#[derive(Clone, Debug)]
pub struct SortItem {
    uid: Uid,
    /// One for each criterion.
    values: Box<[Value]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(Box<[u8]>),
}

impl SortKey {
    /// Whether it needs the message's row.
    fn needs_row(&self) -> bool {
        !matches!(self, Self::Arrival | Self::Size | Self::Annotation(..))
    }

    fn is_text(&self) -> bool {
        !matches!(self, Self::Arrival | Self::Size | Self::Date)
    }
}

impl SortItem {
    /// The message.
    pub fn uid(&self) -> Uid {
        self.uid
    }
}

impl SortRule {
    /// The order by these criteria, the first of which counts most.
    pub fn new(criteria: &[Criterion], collation: Collation) -> Self {
        let mut kept: Vec<Criterion> = Vec::new();
        for criterion in criteria {
            // A key that stood before decides nothing any more, in whatever direction.
            if kept.iter().any(|before| before.key == criterion.key) {
                continue;
            }
            let is_inverted =
                criterion.key.is_text() && collation.direction == Direction::Descending;
            let direction = match (criterion.direction, is_inverted) {
                (Direction::Ascending, false) | (Direction::Descending, true) => {
                    Direction::Ascending
                }
                _ => Direction::Descending,
            };
            kept.push(Criterion { key: criterion.key.clone(), direction });
        }
        Self { criteria: kept, comparator: collation.comparator }
    }

    /// Whether messages cannot be sorted by what a snapshot holds of them.
    pub fn needs_rows(&self) -> bool {
        self.criteria.iter().any(|criterion| criterion.key.needs_row())
    }

    /// Whether messages are sorted by this key.
    pub fn sorts_by(&self, key: &SortKey) -> bool {
        self.criteria.iter().any(|criterion| criterion.key == *key)
    }

    /// What decides about a message. Its texts may be left out if no row is needed.
    pub fn item(&self, entry: &EntryRef<'_>, texts: &SortTexts) -> SortItem {
        let value = |criterion: &Criterion| self.value(&criterion.key, entry, texts);
        let values = self.criteria.iter().map(value).collect();
        SortItem { uid: entry.uid(), values }
    }

    /// Which of two messages comes first. Only one and the same message is equal to itself.
    pub fn compare(&self, a: &SortItem, b: &SortItem) -> Ordering {
        for (criterion, (a, b)) in self.criteria.iter().zip(a.values.iter().zip(&b.values)) {
            let order = match criterion.direction {
                Direction::Ascending => a.cmp(b),
                Direction::Descending => b.cmp(a),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        // "an implicit sort criterion of sequence number", which REVERSE does not affect.
        a.uid.cmp(&b.uid)
    }

    fn value(&self, key: &SortKey, entry: &EntryRef<'_>, texts: &SortTexts) -> Value {
        let text = |text: &str| Value::Text(self.comparator.key(text));
        let arrival = entry.internal_date().seconds();
        match key {
            SortKey::Arrival => Value::Number(arrival),
            SortKey::Date => Value::Number(texts.sent.unwrap_or(arrival)),
            SortKey::Size => Value::Number(i64::from(entry.size())),
            SortKey::Cc => text(&texts.cc),
            SortKey::From => text(&texts.from),
            SortKey::To => text(&texts.to),
            SortKey::DisplayFrom => text(&texts.display_from),
            SortKey::DisplayTo => text(&texts.display_to),
            SortKey::Annotation(name, audience) => {
                let annotations = entry.annotations();
                let value = annotations.get(name, *audience).map(|value| value.as_ref());
                text(&String::from_utf8_lossy(value.unwrap_or_default()))
            }
            SortKey::Subject => text(&base_subject(&texts.subject).text),
        }
    }
}

impl Sorter {
    /// A sorter of no messages yet.
    pub fn new(rule: SortRule) -> Self {
        Self { rule, items: Vec::new() }
    }

    /// The order that it makes.
    pub fn rule(&self) -> &SortRule {
        &self.rule
    }

    /// Adds a message. Its texts may be left out if no row is needed.
    pub fn add(&mut self, entry: &EntryRef<'_>, texts: &SortTexts) {
        self.items.push(self.rule.item(entry, texts));
    }

    /// The messages in order.
    pub fn finish(self) -> Vec<Uid> {
        self.finish_items().into_iter().map(|item| item.uid).collect()
    }

    /// The messages in order, with what decided it.
    pub fn finish_items(self) -> Vec<SortItem> {
        let Self { rule, mut items } = self;
        items.sort_unstable_by(|a, b| rule.compare(a, b));
        items
    }
}
