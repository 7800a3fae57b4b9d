//! SORT. RFC 5256 §3, RFC 5957, RFC 5267 §3

use mail_types::{AnnotationName, AnnotationScope};

use super::Search;

/// Arguments of SORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The criteria, the first of which counts most: at least one.
    pub criteria: Vec<SortCriterion>,
    /// What is searched for. Its charset is always given; return options make the answer an
    /// ESEARCH.
    pub search: Search,
}

/// A sort criterion. RFC 5256 §5 (`sort-criterion`)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortCriterion {
    /// What is compared.
    pub key: SortKey,
    /// Whether `REVERSE` stands before it.
    pub reverse: bool,
}

/// What messages are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// `ARRIVAL`
    Arrival,
    /// `CC`
    Cc,
    /// `DATE`
    Date,
    /// `DISPLAYFROM`. RFC 5957 §4
    DisplayFrom,
    /// `DISPLAYTO`. RFC 5957 §4
    DisplayTo,
    /// `FROM`
    From,
    /// `SIZE`
    Size,
    /// `SUBJECT`
    Subject,
    /// `TO`
    To,
    /// `ANNOTATION` with an entry and whose value. RFC 5257 §4.9
    Annotation(AnnotationName, AnnotationScope),
}

impl SortKey {
    /// All keys that are one word.
    pub const WORDS: [Self; 9] = [
        Self::Arrival,
        Self::Cc,
        Self::Date,
        Self::DisplayFrom,
        Self::DisplayTo,
        Self::From,
        Self::Size,
        Self::Subject,
        Self::To,
    ];

    /// The word on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Arrival => "ARRIVAL",
            Self::Cc => "CC",
            Self::Date => "DATE",
            Self::DisplayFrom => "DISPLAYFROM",
            Self::DisplayTo => "DISPLAYTO",
            Self::From => "FROM",
            Self::Size => "SIZE",
            Self::Subject => "SUBJECT",
            Self::To => "TO",
            Self::Annotation(..) => "ANNOTATION",
        }
    }
}
