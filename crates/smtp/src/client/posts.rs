//! Reports that wait to be left at places of HTTPS. Strangers name the places, so one that never
//! answers must cost the others nothing but a little memory. RFC 8460 §5.5

use bytes::Bytes;
use reqwest::Url;

/// A report that is wanted at a place of HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Post {
    pub(super) url: Url,
    /// Packed.
    pub(super) report: Bytes,
    /// When it is tried, in seconds since 1970.
    at: i64,
    /// How long to wait if that fails; tells how often it has failed.
    pause_secs: i64,
    /// When it is given up, in seconds since 1970.
    until: i64,
}

impl Post {
    /// To be tried now.
    pub(super) fn new(url: Url, report: Bytes, now: i64) -> Self {
        let until = now + LASTS_SECS;
        Self { url, report, at: now, pause_secs: PAUSE_FIRST_SECS, until }
    }

    /// To be tried later, as it was not taken.
    pub(super) fn failed(mut self, now: i64) -> Self {
        self.at = now + self.pause_secs;
        self.pause_secs *= 2;
        self
    }
}

/// All that wait.
#[derive(Default)]
pub(super) struct Posts {
    waiting: Vec<Post>,
}

impl Posts {
    /// Whether the report of one more domain may be added. What has failed makes way for what was
    /// never tried.
    pub(super) fn make_room(&mut self) -> bool {
        while self.waiting.len() >= WAITING_MAX || self.bytes() >= WAITING_BYTES_MAX {
            let worst = self.waiting.iter().enumerate().max_by_key(|(_, post)| post.pause_secs);
            match worst {
                Some((place, post)) if post.pause_secs > PAUSE_FIRST_SECS => {
                    self.waiting.swap_remove(place);
                }
                _ => return false,
            }
        }
        true
    }

    /// Has it wait, unless it would be tried again only when it is given up.
    pub(super) fn add(&mut self, post: Post) {
        if post.at < post.until {
            self.waiting.push(post);
        }
    }

    /// Takes out what is to be tried now; what has failed least comes last.
    pub(super) fn take_due(&mut self, now: i64) -> Vec<Post> {
        self.waiting.retain(|post| now < post.until);
        let (mut due, later) =
            std::mem::take(&mut self.waiting).into_iter().partition(|post| post.at <= now);
        self.waiting = later;
        due.sort_by_key(|post: &Post| std::cmp::Reverse((post.pause_secs, post.at)));
        due
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(|post| post.report.len()).sum()
    }
}

const PAUSE_FIRST_SECS: i64 = 3600;

/// RFC 8460 §5.5: for 24 hours. It is tried after 1, 3, 7 and 15 hours again.
const LASTS_SECS: i64 = 24 * 3600;

/// Reports that wait at one time; those of the last domain may go beyond.
const WAITING_MAX: usize = 1000;

/// Octets of the reports that wait at one time; those of the last domain may go beyond.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn post(name: usize, bytes: usize) -> Post {
        let url = Url::parse(&format!("https://{name}.example/")).unwrap();
        Post::new(url, vec![0; bytes].into(), NOW)
    }

    #[test]
    fn rfc8460_5_5_what_is_not_taken_is_tried_again_for_a_day() {
        let mut posts = Posts::default();
        posts.add(post(0, 1));
        let mut tried = Vec::new();
        for hour in 0..100 {
            let now = NOW + hour * 3600;
            assert!(posts.take_due(now - 1).is_empty(), "{hour}");
            for post in posts.take_due(now) {
                tried.push(hour);
                posts.add(post.failed(now));
            }
        }
        assert_eq!(tried, [0, 1, 3, 7, 15]);
        // What never had its turn is given up, too.
        posts.add(post(0, 1));
        assert!(posts.take_due(NOW + LASTS_SECS).is_empty() && posts.waiting.is_empty());
    }

    #[test]
    fn what_was_never_tried_comes_before_what_has_failed() {
        let mut posts = Posts::default();
        let failed = post(0, 1).failed(NOW - 3600);
        for post in [failed.clone(), post(1, 1), failed.clone().failed(NOW - 7200)] {
            posts.add(post);
        }
        let mut due = posts.take_due(NOW);
        assert_eq!(due.len(), 3);
        assert_eq!(due.pop(), Some(post(1, 1)));
        assert_eq!(due.pop(), Some(failed));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_octets() {
        for (bytes, count_max) in [(1, WAITING_MAX), (WAITING_BYTES_MAX / 8, 8)] {
            let mut posts = Posts::default();
            let mut name = 0;
            while posts.make_room() {
                posts.add(post(name, bytes));
                name += 1;
                assert!(name <= count_max, "{bytes}");
            }
            assert_eq!(posts.waiting.len(), count_max, "{bytes}");
            for post in posts.take_due(NOW) {
                posts.add(post.failed(NOW));
            }
            assert!(posts.make_room(), "those that have failed make way");
            assert_eq!(posts.waiting.len(), count_max - 1, "{bytes}");
        }
    }
}
