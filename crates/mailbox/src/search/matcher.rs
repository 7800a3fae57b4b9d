//! How a text of a query is compared with a text of a message: exactly, or by words.

use crate::collate::Comparator;

use super::fuzzy::{Hits, Words};
use super::needle::Needle;
use super::{
    BODY_WEIGHT, Content, ContentNeed, Field, HEADER_WEIGHT, HeaderText, Program, SearchLimit,
    Verdict,
};

/// Whether what is like the text asked for is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// The text itself, as this compares texts. RFC 5255 §4.2
    Exact(Comparator),
    /// Words like it. RFC 6203 §3
    Like,
}

/// A prepared text.
#[derive(Clone, Debug)]
pub(super) enum Matcher {
    Exact(Needle),
    Like(Words),
}

impl Matcher {
    pub(super) fn new(text: &str, likeness: Likeness) -> Result<Self, SearchLimit> {
        if text.len() > Program::NEEDLE_BYTES_MAX {
            return Err(SearchLimit::TextTooLong);
        }
        let (words, comparator) = match likeness {
            Likeness::Exact(comparator) => (None, comparator),
            // A text without a word, as `:-)`, is looked for as it is.
            Likeness::Like => (Words::new(text)?, Comparator::default()),
        };
        Ok(words.map_or_else(|| Self::Exact(Needle::new(text, comparator)), Self::Like))
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Exact(needle) => needle.is_in(text),
            Self::Like(words) => words.are_in(text),
        }
    }

    /// Points for the words that FUZZY finds in a text; none if one of them is missing.
    pub(super) fn relevancy(&self, text: &str) -> u32 {
        let Self::Like(words) = self else { return 0 };
        let mut hits = Hits::default();
        words.look(text, &mut hits);
        if words.are_found(&hits) { hits.points() } else { 0 }
    }

    /// TEXT: header or body. The header is asked for first because it is cheaper.
    pub(super) fn test_text(&self, content: &Content<'_>) -> Verdict {
        let is_found = match self {
            Self::Exact(needle) => {
                let in_line = |field: &HeaderText<'_>| {
                    needle.is_in(field.value)
                        || needle.is_in(&format!("{}: {}", field.name, field.value))
                };
                content.header.is_some_and(|fields| fields.iter().any(in_line))
                    || content.text.is_some_and(|text| needle.is_in(text))
            }
            // One word may stand in the subject and another in the body.
            Self::Like(words) => {
                let mut hits = Hits::default();
                for field in content.header.unwrap_or_default() {
                    words.look(field.value, &mut hits);
                }
                if !words.are_found(&hits)
                    && let Some(text) = content.text
                {
                    words.look(text, &mut hits);
                }
                words.are_found(&hits)
            }
        };
        match (content.header, content.text) {
            _ if is_found => Verdict::Yes,
            (None, _) => Verdict::Needs(ContentNeed::Header),
            (Some(_), None) => Verdict::Needs(ContentNeed::Text),
            (Some(_), Some(_)) => Verdict::No,
        }
    }

    /// Points for TEXT: by field in the header, and those of the body if it was needed.
    pub(super) fn text_relevancy(&self, content: &Content<'_>) -> u32 {
        let Self::Like(words) = self else { return 0 };
        let points = |text: &str| {
            let mut hits = Hits::default();
            words.look(text, &mut hits);
            hits.points()
        };
        let fields = content.header.unwrap_or_default().iter().map(|field| {
            let weight = Field::from_name(field.name).map_or(HEADER_WEIGHT, Field::weight);
            points(field.value).saturating_mul(weight)
        });
        let body = content.text.map_or(0, |text| points(text).saturating_mul(BODY_WEIGHT));
        fields.fold(body, u32::saturating_add)
    }
}
