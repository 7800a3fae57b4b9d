//! Which tests failed, and what they said, read from the output of a step as it passes by.
//!
//! Whoever keeps what a run printed may keep its end only. So the summary there names each failure
//! again.

/// What has failed so far.
#[derive(Debug, Default)]
pub struct Failures {
    found: Vec<String>,
    left_out: u64,
    reading: Reading,
}

/// Where in the output of `cargo test` we are.
#[derive(Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Other,
    /// Below the name of a test that failed, before it has said why.
    Output,
    /// So many lines of the reason are still to come.
    Reason(u32),
}

impl Failures {
    /// Looks at the next line of the output.
    pub fn watch(&mut self, line: &str) {
        // As e2e/run.py tells a failed test, and kills.py and queuekills.py a broken promise.
        if line.starts_with("failed: ") || line.starts_with("violation: ") {
            self.note(line);
            return;
        }
        let heading = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(test) = heading {
            self.note(&format!("failed: {test}"));
            self.reading = Reading::Output;
            return;
        }
        match self.reading {
            Reading::Output => {
                if let Some((_, place)) = line.split_once(" panicked at ") {
                    self.add(place);
                    self.reading = Reading::Reason(REASON_LINES);
                }
            }
            Reading::Reason(left) if left > 0 && !line.trim().is_empty() => {
                self.add(line);
                self.reading = Reading::Reason(left - 1);
            }
            Reading::Reason(_) => self.reading = Reading::Other,
            Reading::Other => {}
        }
    }

    /// A line for each, and for those that were too many.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.found.iter().map(|line| cut(line)).collect();
        if self.left_out > 0 {
            lines.push(format!("... and {} more", self.left_out));
        }
        lines
    }

    fn note(&mut self, line: &str) {
        if self.found.len() < FAILURES_MAX {
            self.found.push(line.to_owned());
        } else {
            self.left_out += 1;
        }
    }

    /// Says more of the last one.
    fn add(&mut self, words: &str) {
        if let Some(last) = self.found.last_mut().filter(|_| self.left_out == 0) {
            last.push(' ');
            last.push_str(words.trim());
        }
    }
}

/// A line that does not hide the others.
pub fn cut(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Of one step.
const FAILURES_MAX: usize = 30;

/// Of a failure; assertions name what they expected and what they found.
const LINE_CHARS_MAX: usize = 500;

/// The message of `assert_eq!`, with both values.
const REASON_LINES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(output: &str) -> Vec<String> {
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.watch(line));
        failures.lines()
    }

    #[test]
    fn a_failed_test_of_cargo_is_named_with_its_place_and_reason() {
        let output = "
test tests::it_adds ... FAILED

failures:

---- tests::it_adds stdout ----
seed 7

thread 'tests::it_adds' (4711) panicked at crates/a/src/lib.rs:9:5:
assertion `left == right` failed: sums
  left: 3
 right: 4
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- tests::it_ends stdout ----

thread 'tests::it_ends' panicked at crates/a/src/lib.rs:19:5:
too late

failures:
    tests::it_adds
";
        let expected = [
            "failed: tests::it_adds crates/a/src/lib.rs:9:5: assertion `left == right` failed: \
             sums left: 3 right: 4",
            "failed: tests::it_ends crates/a/src/lib.rs:19:5: too late",
        ];
        assert_eq!(found(output), expected);
    }

    #[test]
    fn failures_of_e2e_and_broken_promises_of_kills_are_taken_as_they_are() {
        let output = "1 passed\nfailed: test_a.A.test_b: test_a.py:3: x: no\nviolation: lost m1";
        assert_eq!(found(output), output.lines().skip(1).collect::<Vec<_>>());
    }

    #[test]
    fn a_flood_of_failures_is_counted() {
        let output = "violation: x\n".repeat(FAILURES_MAX + 2);
        let lines = found(&output);
        assert_eq!(lines.len(), FAILURES_MAX + 1);
        assert_eq!(lines.last().unwrap(), "... and 2 more");
        assert!(cut(&"x ".repeat(LINE_CHARS_MAX)).len() < LINE_CHARS_MAX + 4);
    }
}
