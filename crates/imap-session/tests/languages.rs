//! Every text for people is in the catalogues. RFC 5255 §3

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::{Path, PathBuf};

use imap_session::{CleartextLogin, Language, SessionConfig};
use testkit::pure::PureServer;
use testkit::script::run;

/// The sources in which texts for people are written.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("../imap-server/src")];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("src/language") => {}
                true => folders.push(path),
                false => sources.push(path),
            }
        }
    }
    sources
}

/// The strings of a source that are no part of its tests and comments.
fn strings(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    // No text for people has a quote in it, and none goes on in another line.
    let lines = lines.map(|line| line.replace("'\"'", "").replace("\\\"", ""));
    lines
        .flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Whether it looks like a sentence, and not like a word of the protocol.
fn is_sentence(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.contains(' ')
        && text.contains(|c: char| c.is_ascii_lowercase())
}

#[test]
fn every_sentence_in_the_sources_can_be_told_in_every_language() {
    let mut count = 0;
    let mut missing = Vec::new();
    for path in sources() {
        let source = std::fs::read_to_string(&path).unwrap();
        for text in strings(&source).into_iter().filter(|text| is_sentence(text)) {
            count += 1;
            // Its words are those of the grammar: it is told otherwise in other languages. Names of
            // mailboxes are the same in all, and NAMESPACE translates what they begin with.
            if ["Not understood: {error}", "Other Users", "Shared Folders"].contains(&&*text) {
                continue;
            }
            let text: &'static str = text.leak();
            for (language, tag) in Language::ALL {
                if language.text(text).is_none() {
                    missing.push(format!("{tag}: {text} ({})", path.display()));
                }
            }
        }
    }
    assert!(count > 150, "only {count} sentences were found");
    assert!(missing.is_empty(), "add to src/language:\n{}", missing.join("\n"));
}

#[test]
fn default_is_the_language_that_the_operator_prefers() {
    let config = SessionConfig {
        cleartext_login: CleartextLogin::Allowed,
        language: Language::German,
        ..SessionConfig::default()
    };
    let script = r#"
@login 1
C1: a NOOP
S1: a OK Completed
C1: b LANGUAGE sv default
S1: * LANGUAGE (de)
S1: b OK Ab jetzt auf Deutsch
"#;
    run("RFC 5255 3.2", script, &mut PureServer::new(config)).unwrap();
}
