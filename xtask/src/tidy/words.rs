//! Words that must not be committed, the width of lines, and the purpose at the top of a file.

use super::mask::{Kind, Masked};

/// Rules for every text file.
pub fn in_any_file(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = format!("{path}:{}", index + 1);
        if line.ends_with([' ', '\t', '\r']) {
            faults.push(format!("{at}: spaces at the end of the line"));
        }
        for (word, reason) in NEVER {
            if line.contains(word) {
                faults.push(format!("{at}: {word:?}: {reason}"));
            }
        }
        if names_an_issue(line) {
            faults.push(format!("{at}: name the behaviour, not the number of an issue"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push(format!("{path}: the last line has no end"));
    }
    faults
}

/// Rules for Rust.
pub fn in_rust(path: &str, text: &str, masked: &Masked) -> Vec<String> {
    let mut faults = Vec::new();
    if !states_its_purpose(text) {
        faults.push(format!("{path}: the file does not start with its purpose (//!)"));
    }
    for (index, code) in masked.code.lines().enumerate() {
        let at = format!("{path}:{}", index + 1);
        for (word, reason) in NEVER_IN_CODE {
            if has_word(code, word) {
                faults.push(format!("{at}: {word}: {reason}"));
            }
        }
    }
    faults.extend(wide_lines(path, text, masked));
    faults
}

/// The modules that this file declares for tests only, each as a path without its ending.
pub fn test_modules(path: &str, masked: &Masked) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let folder = match stem.rsplit_once('/') {
        Some((folder, "lib" | "main" | "mod")) => folder,
        _ => stem,
    };
    masked
        .code
        .split("#[cfg(test)]")
        .skip(1)
        .filter_map(|after| after.trim_start().strip_prefix("mod ")?.split_once(';'))
        .map(|(name, _)| name.trim())
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .map(|name| format!("{folder}/{name}"))
        .collect()
}

/// Whether a file belongs to a module that `test_modules` named.
pub fn is_in_module(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The clock, threads, files and sockets have no place in a pure crate, its tests apart.
pub fn in_pure_rust(path: &str, masked: &Masked) -> Vec<String> {
    if !PURE.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    // Tests stand at the bottom of a file.
    let tests = masked.code.find("#[cfg(test)]\nmod tests").unwrap_or(masked.code.len());
    let mut faults = Vec::new();
    for (index, code) in masked.code[..tests].lines().enumerate() {
        for word in WORLDLY {
            if code.contains(word) {
                faults.push(format!("{path}:{}: {word} in a pure crate", index + 1));
            }
        }
    }
    faults
}

/// A line may be too wide only for the sake of a literal or an address that cannot be broken.
fn wide_lines(path: &str, text: &str, masked: &Masked) -> Vec<String> {
    let mut faults = Vec::new();
    let mut offset = 0;
    for (index, line) in text.split('\n').enumerate() {
        let kinds = &masked.kinds[offset..offset + line.len()];
        offset += line.len() + 1;
        let columns = line.chars().count();
        let unbreakable = kinds.contains(&Kind::Literal)
            || line.split_whitespace().any(|word| word.len() > WIDTH / 2);
        if columns > WIDTH && !unbreakable {
            faults.push(format!("{path}:{}: {columns} columns, {WIDTH} fit", index + 1));
        }
    }
    faults
}

fn states_its_purpose(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#!["))
        .is_none_or(|line| line.starts_with("//!"))
}

/// The word and a number after it, in any case, with or without a hash sign.
fn names_an_issue(line: &str) -> bool {
    let lower = line.to_lowercase();
    lower.match_indices(concat!("iss", "ue")).any(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches([' ', '#', 's']);
        rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && (!part(after) || word.ends_with('!'))
    })
}

const WIDTH: usize = 100;

/// Written in two halves, so that this file keeps its own rule.
const NEVER: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
    (concat!("../sha", "red"), "the project stands alone"),
    (concat!("registry.", "npmjs"), "let the client choose its registry"),
    (concat!("static.", "crates.io"), "let the client choose its registry"),
    (concat!("index.", "crates.io"), "let the client choose its registry"),
    (concat!("proxy.", "golang.org"), "let the client choose its registry"),
    (concat!("files.", "pythonhosted"), "let the client choose its registry"),
];

const NEVER_IN_CODE: &[(&str, &str)] = &[
    ("unsafe", "this project has none"),
    ("todo!", "finish it, or leave it out"),
    ("unimplemented!", "finish it, or leave it out"),
    ("dbg!", "remove it"),
];

const PURE: &[&str] = &[
    "crates/mail-types/src/",
    "crates/mime/src/",
    "crates/imap-proto/src/",
    "crates/mail-queue/src/",
    "crates/mailbox/src/",
    "crates/imap-session/src/",
    "crates/smtp-session/src/",
];

const WORLDLY: &[&str] = &[
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "println!",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(path: &str, text: &str) -> Vec<String> {
        in_rust(path, text, &Masked::new(text))
    }

    #[test]
    fn a_file_says_its_purpose_first() {
        assert!(rust("a.rs", "//! Why.\n").is_empty());
        assert!(rust("a.rs", "#![no_main]\n//! Why.\n").is_empty());
        assert_eq!(rust("a.rs", "use std::io;\n").len(), 1);
    }

    #[test]
    fn forbidden_words_count_only_in_code() {
        assert!(rust("a.rs", "//! No unsafe here.\nconst A: &str = \"dbg!(1)\";\n").is_empty());
        assert_eq!(rust("a.rs", "//! A.\nfn f() { dbg!(1) }\n").len(), 1);
        assert!(rust("a.rs", "//! A.\n#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn wide_code_and_comments_are_found_and_wide_literals_are_not() {
        let words = "word ".repeat(30);
        assert_eq!(rust("a.rs", &format!("//! A.\n// {words}.\n")).len(), 1);
        assert!(rust("a.rs", &format!("//! A.\nconst A: &str = \"{words}\";\n")).is_empty());
    }

    #[test]
    fn a_pure_crate_does_not_read_the_clock() {
        let pure = |path, source| in_pure_rust(path, &Masked::new(source)).len();
        let source = "//! A.\nfn f() { Instant::now(); }\n";
        assert_eq!(pure("crates/mime/src/a.rs", source), 1);
        assert_eq!(pure("crates/net/src/a.rs", source), 0);
        let tested = "//! A.\n#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n";
        assert_eq!(pure("crates/mime/src/a.rs", tested), 0);
    }

    #[test]
    fn modules_that_exist_for_tests_only_are_found() {
        let masked = Masked::new("mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nmod c { }\n");
        assert_eq!(test_modules("x/src/lib.rs", &masked), ["x/src/b"]);
        assert_eq!(test_modules("x/src/y.rs", &masked), ["x/src/y/b"]);
        assert!(is_in_module("x/src/b.rs", "x/src/b") && is_in_module("x/src/b/d.rs", "x/src/b"));
        assert!(!is_in_module("x/src/bc.rs", "x/src/b"));
    }

    #[test]
    fn machine_paths_and_numbers_of_issues_are_found_in_any_file() {
        assert_eq!(in_any_file("a.md", &format!("see {}x\n", NEVER[0].0)).len(), 1);
        assert_eq!(in_any_file("a.md", &format!("see Iss{} #12\n", "ue")).len(), 1);
        assert!(in_any_file("a.md", "an issue of 12 pages\n").is_empty());
        assert_eq!(in_any_file("a.md", "end \nno end").len(), 2);
    }
}
