//! Whether a machine and the names that lead to it are fit to serve mail.
//!
//! Looking and judging are apart: `gather` asks the world and keeps what it heard as [`Facts`],
//! `judge` is a pure function of them. `setup` asks before it writes anything, the doctor asks
//! again and again.

mod facts;
mod gather;
mod judge;
mod look;
mod looking;
mod machine;
mod probe;

use std::fmt::Write;

use serde::Serialize;

pub use self::facts::{Facts, Moment};
pub use self::gather::{Questions, WayOut, gather, records};
pub use self::judge::judge;
pub use self::look::Look;
pub use self::looking::{addresses, lists};

/// How good what was found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Mail flows, but something could be better, or is not known.
    Warn,
    /// Mail will not arrive, not leave, or be refused.
    Fail,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How good it is.
    pub grade: Grade,
    /// What was seen.
    pub said: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// Nothing is to be done.
    pub fn ok(what: impl Into<String>, said: impl Into<String>) -> Self {
        Self { what: what.into(), grade: Grade::Ok, said: said.into(), remedy: None }
    }

    /// Something could be better.
    pub fn warn(
        what: impl Into<String>,
        said: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (what, said, remedy) = (what.into(), said.into(), Some(remedy.into()));
        Self { what, grade: Grade::Warn, said, remedy }
    }

    /// Something must be mended.
    pub fn fail(
        what: impl Into<String>,
        said: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { grade: Grade::Fail, ..Self::warn(what, said, remedy) }
    }
}

/// The worst of all; `Ok` if there is nothing.
pub fn worst(findings: &[Finding]) -> Grade {
    findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Ok)
}

/// The findings as a person reads them, and how many there are of each grade.
pub fn text(findings: &[Finding]) -> String {
    let mut out = lines(findings);
    let count = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
    let (ok, warn, fail) = (count(Grade::Ok), count(Grade::Warn), count(Grade::Fail));
    let (warn, fail) = (counted(warn, "warning"), counted(fail, "failure"));
    let _ = writeln!(out, "{ok} ok, {warn}, {fail}");
    out
}

/// So many of a thing.
pub fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// The findings, a line each and the remedy below.
pub fn lines(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let (grade, what) = (finding.grade.word(), printable(&finding.what));
        let _ = writeln!(out, "{grade:<4}  {what}: {}", printable(&finding.said));
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(out, "      -> {}", printable(remedy));
        }
    }
    out
}

/// What others put into their records must not move the cursor of a terminal, nor turn the
/// direction of what follows.
fn printable(text: &str) -> String {
    let is_shown = |c: char| {
        !c.is_control() && !matches!(c, '\u{200e}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_shown(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_with_their_remedy_and_counted() {
        let findings =
            [Finding::ok("clock", "is set"), Finding::fail("MX", "is missing", "set it")];
        assert_eq!(
            text(&findings),
            "OK    clock: is set\nFAIL  MX: is missing\n      -> set it\n\
             1 ok, 0 warnings, 1 failure\n"
        );
        assert_eq!(worst(&findings), Grade::Fail);
        assert_eq!(worst(&[]), Grade::Ok);
    }

    #[test]
    fn s017_what_stands_in_a_record_does_not_move_the_cursor() {
        let said = "v=spf1 \u{1b}[2J\r\nOK    MX: fine\u{202e}";
        let told = text(&[Finding::ok("SPF", said)]);
        assert_eq!(told.lines().count(), 2);
        assert!(told.starts_with("OK    SPF: v=spf1 ?[2J??OK    MX: fine?\n"), "{told:?}");
    }
}
