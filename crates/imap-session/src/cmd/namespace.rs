//! NAMESPACE: the personal namespace has an empty prefix, those of others a name of their own.
//! RFC 9051 §6.3.10, RFC 2342 §5

use imap_proto::types::{MailboxArg, NameEncoding, NamespaceEntry, NamespaceReply, Response};
use mail_types::MailboxName;

use crate::Language;
use crate::place::Space;
use crate::reply::{Flow, Reply, Run, end};

pub(crate) fn begin(run: &mut Run<'_>) -> Flow {
    let reply = reply(run);
    run.write(&Response::Namespace(reply));
    end(Reply::ok("NAMESPACE completed"))
}

/// All namespaces, as they are called in the language of the session.
pub(crate) fn reply(run: &Run<'_>) -> NamespaceReply {
    let (names, language) = (run.state.names(), run.state.enabled.language);
    let of_others = |space: Space| {
        let prefix = format!("{}{}", space.top(), MailboxName::SEPARATOR);
        let is_there = run.account.is_some_and(|account| !space.is_hidden_by(account));
        is_there.then(|| entry(&prefix, names, language)).into_iter().collect()
    };
    NamespaceReply {
        personal: vec![entry("", names, language)],
        other_users: of_others(Space::OtherUsers),
        shared: of_others(Space::Shared),
    }
}

/// A translation is in modified UTF-7, however names are written. RFC 5255 §3.4
fn entry(prefix: &str, names: NameEncoding, language: Language) -> NamespaceEntry {
    let shown = language.namespace(prefix);
    NamespaceEntry {
        prefix: MailboxArg::encode(prefix, names),
        delimiter: Some(MailboxName::SEPARATOR),
        translation: shown.map(|shown| MailboxArg::encode(shown, NameEncoding::ModifiedUtf7)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 5255 §3.4.
    #[test]
    fn prefixes_are_translated_in_modified_utf7() {
        let shown = |prefix: &str, language: Language| {
            let entry = entry(prefix, NameEncoding::Utf8, language);
            entry.translation.map(|shown| String::from_utf8(shown.raw().to_vec()).unwrap())
        };
        let german = shown("Shared Folders/", Language::German);
        assert_eq!(german.as_deref(), Some("Gemeinsame Postf&AOQ-cher/"));
        let german = shown("Other Users/", Language::German);
        assert_eq!(german.as_deref(), Some("Andere Benutzer/"));
        assert_eq!(shown("Other Users/", Language::English), None);
        assert_eq!(shown("", Language::German), None);
    }
}
