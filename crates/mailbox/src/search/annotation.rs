//! ANNOTATION of SEARCH. RFC 5257 §4.8

use super::matcher::Matcher;
use crate::{Audience, EntryPattern, EntryRef};

/// What is asked of the annotations of a message.
#[derive(Clone, Debug)]
pub(super) struct AnnotationTest {
    entries: EntryPattern,
    audiences: Vec<Audience>,
    /// `None` asks for messages without such a value.
    text: Option<Matcher>,
}

impl AnnotationTest {
    pub(super) fn new(
        entries: &EntryPattern,
        audiences: &[Audience],
        text: Option<Matcher>,
    ) -> Self {
        Self { entries: entries.clone(), audiences: audiences.to_vec(), text }
    }

    pub(super) fn holds(&self, entry: &EntryRef<'_>) -> bool {
        let annotations = entry.annotations();
        let mut named = annotations.iter().filter(|(name, audience, _)| {
            self.audiences.contains(audience) && self.entries.matches(name)
        });
        match &self.text {
            None => named.next().is_none(),
            // Values are UTF-8, as they should be; of another one what can be read is compared.
            // RFC 5257 §3.2.2
            Some(text) => named.any(|(_, _, value)| text.is_in(&String::from_utf8_lossy(value))),
        }
    }
}
