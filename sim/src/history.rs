//! What was acknowledged at each moment of a recording, and what every step left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Result;
use crate::disk::Event;
use crate::dump::{ABSENT, Dump};

/// What each account looked like after each of its steps.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By name and number of the step, from 1.
    streams: BTreeMap<String, BTreeMap<u64, Step>>,
    /// Streams that ended with an error that leaves it open what the account holds.
    lost: BTreeSet<String>,
}

/// An account after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Everything that was told of it.
    pub text: String,
    /// The hash of the text.
    pub hash: String,
    /// The number of its password.
    pub password: u32,
}

/// How far a stream was acknowledged at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acked {
    /// The last acknowledged step; zero before the first.
    pub step: u64,
    /// The account's modseq as it was told then.
    pub modseq: u64,
}

/// How far all streams were acknowledged.
pub type Moment = BTreeMap<String, Acked>;

impl History {
    /// Reads the side folder of a workload, and what it said.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read_folder(dumps: &Path, events: &[Event]) -> Result<Self> {
        let mut text = String::new();
        for entry in std::fs::read_dir(dumps)? {
            text.push_str(&std::fs::read_to_string(entry?.path())?);
        }
        let mut history = Self::read(&text)?;
        for event in events {
            if let Event::Said(lines) = event {
                lines.lines().for_each(|line| history.hear(line));
            }
        }
        Ok(history)
    }

    fn read(dumps: &str) -> Result<Self> {
        let mut history = Self::default();
        let mut rest = dumps;
        while !rest.is_empty() {
            let (head, after) = rest.split_once('\n').ok_or("a side file is cut short")?;
            let words: Vec<&str> = head.split(' ').collect();
            let ["==", name, step, password, length] = words[..] else {
                return Err(format!("not a record of a side file: {head}").into());
            };
            let length: usize = length.parse()?;
            let (Some(text), Some(more)) = (after.get(..length), after.get(length..)) else {
                // The process was ended while it wrote.
                return Ok(history);
            };
            let hash = Dump::hash(text);
            let step_after = Step { text: text.to_owned(), hash, password: password.parse()? };
            let stream = history.streams.entry((*name).to_owned()).or_default();
            stream.insert(step.parse()?, step_after);
            rest = more;
        }
        Ok(history)
    }

    /// The account after a step; before the first it is absent.
    pub fn step(&self, name: &str, step: u64) -> Option<Step> {
        if step == 0 {
            let text = ABSENT.to_owned();
            return Some(Step { hash: Dump::hash(&text), text, password: 0 });
        }
        self.streams.get(name)?.get(&step).cloned()
    }

    /// The highest account id that was told up to a moment.
    pub fn highest_account(&self, moment: &Moment) -> u64 {
        let steps = self.streams.iter().flat_map(|(name, steps)| {
            let acked = moment.get(name).copied().unwrap_or_default().step;
            steps.range(..=acked).map(|(_, step)| step)
        });
        steps.filter_map(|step| account_id(&step.text)).max().unwrap_or(0)
    }

    /// Takes in a line of the workload: some accounts may be lost in the end.
    fn hear(&mut self, line: &str) {
        if let Some(lost) = line.strip_prefix("unknown ") {
            self.lost.extend(lost.split(' ').next().map(str::to_owned));
        }
    }

    /// Whether nobody knows what the stream's last step led to.
    pub fn is_lost(&self, name: &str) -> bool {
        self.lost.contains(name)
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.streams.values().map(BTreeMap::len).sum()
    }
}

fn account_id(text: &str) -> Option<u64> {
    text.strip_prefix("account A")?.split(' ').next()?.parse().ok()
}

/// Takes in a line that the workload said.
pub fn hear(moment: &mut Moment, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let ["ack", name, step, modseq] = words[..] {
        let acked = moment.entry(name.to_owned()).or_default();
        acked.step = step.parse().unwrap_or(acked.step);
        // A removed account has none; one that is made again begins anew.
        acked.modseq = modseq.parse().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found_by_stream_and_number() {
        let history = History::read("== dock 1 1 5\nab\nc\n== pier 1 1 2\nx\n").unwrap();
        assert_eq!(history.step("dock", 1).unwrap().text, "ab\nc\n");
        assert_eq!(history.step("dock", 0).unwrap().text, ABSENT);
        assert_eq!((history.step("dock", 2), history.steps()), (None, 2));
    }

    #[test]
    fn acknowledgements_are_counted_for_each_stream() {
        let mut moment = Moment::new();
        for line in ["ack dock 1 3", "ack pier 1 2", "ack dock 2 4", "end"] {
            hear(&mut moment, line);
        }
        assert_eq!(moment["dock"], Acked { step: 2, modseq: 4 });
        assert_eq!(moment["pier"], Acked { step: 1, modseq: 2 });
    }
}
