//! docs/rfc-status.tsv: which section of which RFC is served, and where in the code.

use std::path::Path;

/// The table, as git names it.
pub const PATH: &str = "docs/rfc-status.tsv";

/// What is wrong with the table: a line of another shape, a state that is none, a place that does
/// not exist, lines out of order.
pub fn check(root: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut before = (0, Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let mut fault = |what: &str| faults.push(format!("{PATH}:{number}: {what}"));
        if number == 1 {
            if line != HEADER {
                fault("the first line must name the columns");
            }
            continue;
        }
        let [rfc, section, _, state, place] = line.split('\t').collect::<Vec<_>>()[..] else {
            fault("five columns, with a tab between them");
            continue;
        };
        // Drafts stand behind all RFCs.
        let is_draft = rfc.starts_with("draft-");
        let Some(rfc) = rfc.parse::<u32>().ok().or(is_draft.then_some(u32::MAX)) else {
            fault("the first column is the number of an RFC, or the name of a draft");
            continue;
        };
        if !STATES.contains(&state) {
            fault("the state is done, partly or not");
        }
        // What is not there has no place.
        let is_nowhere = state == "not" && place == "-";
        if !is_nowhere && !place.split(", ").all(|place| root.join(place).exists()) {
            fault("this place does not exist");
        }
        let key = (rfc, section.split('.').map(leading_number).collect());
        if key < before {
            fault("lines stand in the order of RFC and section");
        }
        before = key;
    }
    faults
}

/// `3 (REFERENCES)` is 3; letters stand behind all numbers.
fn leading_number(part: &str) -> u32 {
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

const HEADER: &str = "rfc\tsection\twhat\tstate\twhere";

const STATES: &[&str] = &["done", "partly", "not"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_fault_is_named() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let good = "3501\t6.3.9\tLSUB\tdone\tsrc\n3501\t6.3.10 (x)\tx\tpartly\tsrc, src/main.rs\n\
                    draft-x\tA\tx\tnot\t-\n";
        assert_eq!(check(root, &format!("{HEADER}\n{good}")), [""; 0]);
        let bad = "9051\t3\tx\tdone\tsrc\n3501\t3\tx\tdone\tsrc\nRFC\t3\tx\tdone\tsrc\n\
                   9051\t4\tx\tnearly\tsrc\n9051\t5\tx\tdone\tnowhere\n9051\t6\tx\n";
        let faults = check(root, &format!("{HEADER}\n{bad}"));
        assert_eq!(faults.len(), 5, "{faults:#?}");
        assert_eq!(check(root, "rfc\n").len(), 1);
    }
}
