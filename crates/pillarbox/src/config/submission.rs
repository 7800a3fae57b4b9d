//! `[submission]`: how much each account may hand in, and whether it keeps copies here.

use mail_service::SaveSent;
use smtp::RateLimits;

use super::reader::Table;

/// What holds for mail that the people here hand in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Submission {
    /// What one account may submit in an hour.
    pub rates: RateLimits,
    /// Whether copies are kept for senders.
    pub save_sent: SaveSent,
}

/// Reads the section.
pub fn submission(root: &Table<'_>) -> Submission {
    let Some(table) = root.table("submission") else { return Submission::default() };
    table.only(&["messages_per_hour", "recipients_per_hour", "save_sent"]);
    let rates = RateLimits {
        messages_per_hour: table.number("messages_per_hour", 1..=u32::MAX),
        recipients_per_hour: table.number("recipients_per_hour", 1..=u32::MAX),
    };
    let save_sent = match table.truth("save_sent") {
        Some(true) => SaveSent::Yes,
        Some(false) | None => SaveSent::No,
    };
    Submission { rates, save_sent }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    use super::*;

    fn read(section: &str) -> Result<Submission, Vec<String>> {
        let listen = "[[listen]]\nprotocol='imap'\naddress='127.0.0.1:143'\ntls='none'\n";
        let text = format!("data='d'\nhostname='h'\n{listen}{section}");
        let told = |mistakes: Vec<crate::config::Mistake>| {
            mistakes.iter().map(ToString::to_string).collect()
        };
        Config::parse(&text, Path::new("/etc/p")).map(|it| it.submission).map_err(told)
    }

    #[test]
    fn limits_and_copies_are_off_unless_they_are_wanted() {
        assert_eq!(read("").unwrap(), Submission::default());
        let section = "[submission]\nmessages_per_hour=100\nsave_sent=true\n";
        let submission = read(section).unwrap();
        let rates = RateLimits { messages_per_hour: Some(100), recipients_per_hour: None };
        assert_eq!(submission, Submission { rates, save_sent: SaveSent::Yes });
    }

    #[test]
    fn what_is_wrong_with_submission_is_told() {
        let told = read(
            "[submission]\nmessages_per_hour=0\nrecipients_per_hour='x'\nsave_sent=1\nrate=2\n",
        );
        let told = told.unwrap_err();
        assert_eq!(told.len(), 4, "{told:?}");
        for (mistake, start) in told.iter().zip(["line 8:", "line 9:", "line 10:", "line 11:"]) {
            assert!(mistake.starts_with(start), "{told:?}");
        }
        assert!(told[3].contains("unknown key \"rate\""), "{told:?}");
    }
}
