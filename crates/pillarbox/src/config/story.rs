//! `[story]`: how long it is known what became of each message.

use super::reader::Table;

/// Days for which stories are kept; none at all without any.
pub fn story_days(root: &Table<'_>) -> u32 {
    let Some(story) = root.table("story") else { return STORY_DAYS };
    story.only(&["days"]);
    story.number("days", 0..=STORY_DAYS_MAX).unwrap_or(STORY_DAYS)
}

/// The usual time: who asks where a mail is asks within days, and longer than needed nobody's
/// envelopes should be kept.
pub const STORY_DAYS: u32 = 14;

/// The longest time: a year.
const STORY_DAYS_MAX: u32 = 366;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    const BASE: &str = "data='d'\nhostname='h'\n[[listen]]\nprotocol='lmtp'\n\
                        address='unix:/run/p'\ntls='none'\n";

    fn read(story: &str) -> Result<u32, String> {
        let config = Config::parse(&format!("{BASE}{story}"), Path::new("/etc/p"));
        config.map(|config| config.story_days).map_err(|mistakes| mistakes[0].to_string())
    }

    #[test]
    fn stories_are_kept_for_two_weeks_or_as_the_operator_wants() {
        assert_eq!(read(""), Ok(14));
        assert_eq!(read("[story]\n"), Ok(14));
        assert_eq!(read("[story]\ndays = 0\n"), Ok(0));
        assert_eq!(read("[story]\ndays = 366\n"), Ok(366));
        assert!(read("[story]\ndays = 367\n").unwrap_err().contains("line 8"));
        assert!(read("[story]\nday = 3\n").unwrap_err().contains("did you mean days?"));
    }
}
