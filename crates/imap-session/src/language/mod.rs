//! The languages in which the server talks to people. RFC 5255 §3
//!
//! Texts are written in English where they are said; `de.rs` and `fr.rs` have each of them in
//! another language. They are looked up in one place, where a response is written, so nothing
//! else knows the language, and no decision can depend on it. A text with values in it is a
//! template with `{}` for each. A text that is not in the catalogues stays in English; tests
//! look for such texts in the sources, and a debug build stops at one.

mod de;
mod fr;

use std::borrow::Cow;
use std::fmt::Display;

use imap_proto::types::{Continuation, Response, Status};

/// A language of texts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `i-default`: English that is easy to understand, in US-ASCII. RFC 2277 §4.5
    #[default]
    Default,
    /// `en`
    English,
    /// `de`
    German,
    /// `fr`
    French,
}

impl Language {
    /// All of them with their tags.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Default, "i-default"),
        (Self::English, "en"),
        (Self::German, "de"),
        (Self::French, "fr"),
    ];

    /// Its tag. RFC 5646
    pub fn tag(self) -> &'static str {
        let named = Self::ALL.iter().find(|(language, _)| *language == self);
        named.map_or("i-default", |(_, tag)| tag)
    }

    /// The language that a range asks for: it is made shorter from its end until it is the tag of
    /// one. RFC 4647 §3.4
    pub(crate) fn looked_up(range: &str) -> Option<Self> {
        let mut range = range;
        loop {
            let tag = Self::ALL.iter().find(|(_, tag)| tag.eq_ignore_ascii_case(range));
            if let Some((language, _)) = tag {
                return Some(*language);
            }
            range = range.rsplit_once('-')?.0;
            // "Single-letter [...] subtags [...] are also removed"
            if let Some((rest, last)) = range.rsplit_once('-')
                && last.len() == 1
            {
                range = rest;
            }
        }
    }

    /// A text of the catalogues in this language; `None` if it is in none of them.
    pub fn text(self, english: &'static str) -> Option<Cow<'static, str>> {
        let of = |texts: &[(&str, &'static str)]| {
            let at = texts.binary_search_by_key(&english, |(english, _)| english).ok()?;
            texts.get(at).map(|(_, text)| *text)
        };
        let texts = match self {
            Self::Default | Self::English => None,
            Self::German => Some(de::TEXTS),
            Self::French => Some(fr::TEXTS),
        };
        if of(de::TEXTS).is_some() {
            return texts.map_or(Some(english), of).map(Cow::Borrowed);
        }
        // What is said of every command that is done.
        let command = english.strip_suffix(" completed")?;
        let is_command = command.bytes().all(|b| b.is_ascii_uppercase() || b == b' ');
        is_command.then(|| match texts {
            None => Cow::Borrowed(english),
            Some(_) => self.filled("{} completed", &[&command]).into(),
        })
    }

    /// A template of the catalogues in this language, with its values.
    pub(crate) fn filled(self, template: &'static str, values: &[&dyn Display]) -> String {
        let text = self.text(template);
        debug_assert!(text.is_some(), "{template:?} is in no catalogue");
        let text = text.unwrap_or(Cow::Borrowed(template));
        let mut pieces = text.split("{}");
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            filled.push_str(&value.to_string());
            filled.push_str(piece);
        }
        filled
    }

    /// A response with its text in this language; `None` if that makes no difference.
    ///
    /// Only a text that is borrowed is looked up: one that was made has been already.
    pub(crate) fn localized(self, response: &Response) -> Option<Response> {
        let (Response::Status(Status { text: Cow::Borrowed(english), .. })
        | Response::Continuation(Continuation::Text { text: Cow::Borrowed(english), .. })) =
            response
        else {
            return None;
        };
        let found = self.text(english);
        debug_assert!(found.is_some(), "{english:?} is in no catalogue");
        let text = found.filter(|text| text != english)?;
        Some(match response {
            Response::Status(status) => Response::Status(Status { text, ..status.clone() }),
            Response::Continuation(Continuation::Text { code, .. }) => {
                Response::Continuation(Continuation::Text { code: code.clone(), text })
            }
            other => other.clone(),
        })
    }

    /// The name of a namespace, or its prefix, as it is shown to people. RFC 5255 §3.4
    pub(crate) fn namespace(self, prefix: &str) -> Option<&'static str> {
        let of = |all: [(&str, &'static str); 2]| {
            all.into_iter().find(|(name, _)| *name == prefix).map(|(_, shown)| shown)
        };
        match self {
            Self::Default | Self::English => None,
            Self::German => of(de::NAMESPACES),
            Self::French => of(fr::NAMESPACES),
        }
    }
}

/// What a person is told, in English: one of the texts of the catalogues.
#[derive(Clone, Debug)]
pub(crate) enum Text {
    /// As it stands there.
    Fixed(&'static str),
    /// A template with one value.
    With(Box<(&'static str, String)>),
}

impl Text {
    /// A template with a value in it.
    pub(crate) fn with(template: &'static str, value: impl Display) -> Self {
        Self::With(Box::new((template, value.to_string())))
    }

    /// As [`Language::localized`] takes it.
    pub(crate) fn told_in(&self, language: Language) -> Cow<'static, str> {
        match self {
            Self::Fixed(text) => Cow::Borrowed(text),
            Self::With(filled) => {
                let (template, value) = filled.as_ref();
                Cow::Owned(language.filled(template, &[value]))
            }
        }
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogues_have_the_same_texts_in_order_and_all_values_in_them() {
        assert_eq!(de::TEXTS.len(), fr::TEXTS.len());
        for ((english, german), (same, french)) in de::TEXTS.iter().zip(fr::TEXTS) {
            assert_eq!(english, same);
            for text in [german, french] {
                let values = |text: &str| text.matches("{}").count();
                assert_eq!(values(text), values(english), "{text}");
                assert!(!text.is_empty() && !text.contains(char::is_control), "{english}");
                assert!(!text.starts_with('['), "it would read as a code: {text}");
                assert!(text != english, "not translated: {english}");
            }
        }
        assert!(de::TEXTS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(de::TEXTS.iter().all(|(english, _)| english.is_ascii()));
    }

    #[test]
    fn a_range_finds_the_language_that_it_is_a_kind_of() {
        for (range, language) in [
            ("de", Some(Language::German)),
            ("DE-IT", Some(Language::German)),
            ("fr-Latn-ca", Some(Language::French)),
            ("en-a-bbb-x-q", Some(Language::English)),
            ("I-Default", Some(Language::Default)),
            ("i-default-x", Some(Language::Default)),
            ("mul", None),
            ("d", None),
            ("deu", None),
            ("i", None),
            ("*", None),
        ] {
            assert_eq!(Language::looked_up(range), language, "{range}");
        }
    }

    #[test]
    fn texts_are_told_in_each_language_with_their_values() {
        let told = |language: Language| language.filled("{} of {} messages are done", &[&3, &4]);
        assert_eq!(told(Language::Default), "3 of 4 messages are done");
        assert_eq!(told(Language::English), "3 of 4 messages are done");
        assert_eq!(told(Language::German), "3 von 4 Nachrichten sind bearbeitet");
        assert_eq!(told(Language::French), "3 messages sur 4 sont trait\u{e9}s");
        assert_eq!(Language::French.text("UID SORT completed").unwrap(), "UID SORT effectu\u{e9}");
        assert_eq!(Language::German.text("Nobody has said this"), None);
    }
}
