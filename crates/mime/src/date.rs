//! The Date header. RFC 5322 §3.3 and §4.3
//!
//! ```text
//! date-time  = [day-of-week ","] day month year hour ":" minute [":" second] zone
//! obs-year   = 2*DIGIT
//! obs-zone   = "UT" / "GMT" / "EST" / "EDT" / ... / military letters
//! ```
//!
//! Words may come in any order, so that `Thu Jan 12 10:00:00 2004` and `12-Jan-2004` are read too.
//! Comments may stand anywhere and nest to any depth.

use mail_types::InternalDate;

use crate::content::skip_comments;

/// Reads the value of a Date header; `None` if it names no moment. A missing zone means UTC.
pub fn parse_date(value: &[u8]) -> Option<InternalDate> {
    let value = clean(value.get(..VALUE_BYTES_MAX).unwrap_or(value));
    let mut found = Found::default();
    for word in value.split(|b| matches!(b, b' ' | b',')).filter(|word| !word.is_empty()) {
        found.take(std::str::from_utf8(word).ok()?);
    }
    found.date()
}

/// The value without comments, with single spaces, and none around colons: obsolete syntax allows
/// `09 (comment): 55`. RFC 5322 §4.3
fn clean(value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    let mut rest = value;
    loop {
        let after = skip_comments(rest);
        if after.len() < rest.len() && !out.ends_with(b":") && !out.ends_with(b" ") {
            out.push(b' ');
        }
        let Some((&byte, after)) = after.split_first() else { return out };
        if byte == b':' && out.ends_with(b" ") {
            out.pop();
        }
        out.push(byte);
        rest = after;
    }
}

#[derive(Default)]
struct Found {
    day: Option<u32>,
    month: Option<&'static str>,
    year: Option<u32>,
    /// Seconds of the day.
    time: Option<u32>,
    /// Minutes east of UTC.
    zone: Option<i16>,
}

impl Found {
    fn take(&mut self, word: &str) {
        let first = word.bytes().next().unwrap_or(b' ');
        if word.contains(':') {
            // A zone may follow without a space: `10:00:00+0200`.
            let end = word.find(['+', '-']).unwrap_or(word.len());
            let (time, zone) = word.split_at(end);
            self.time = self.time.or_else(|| parse_time(time));
            if !zone.is_empty() {
                self.zone = self.zone.or_else(|| parse_zone(zone));
            }
        } else if matches!(first, b'+' | b'-') && self.time.is_some() {
            self.zone = self.zone.or_else(|| parse_zone(word));
        } else if word.bytes().all(|b| b.is_ascii_digit()) {
            if self.time.is_some() && self.year.is_some() && word.len() == 4 {
                // `10:00:00 0530`: the sign was forgotten.
                self.zone = self.zone.or_else(|| parse_zone(&format!("+{word}")));
            } else {
                self.number(word);
            }
        } else if first.is_ascii_digit() && word.contains('-') {
            // `12-Jan-2004`
            word.split('-').for_each(|part| self.take(part));
        } else if let Some(month) = month(word) {
            self.month = self.month.or(Some(month));
        } else if let Some(time) = self.time.as_mut().filter(|_| word.eq_ignore_ascii_case("pm")) {
            *time += if *time < HALF_DAY { HALF_DAY } else { 0 };
        } else if let Some(time) = self.time.as_mut().filter(|_| word.eq_ignore_ascii_case("am")) {
            *time %= HALF_DAY;
        } else if self.time.is_some() && self.zone.is_none() {
            // Weekdays stand before the time, names of zones behind it.
            self.zone = parse_zone(word);
        }
    }

    /// The first number is the day if it can be; `2004 Jan 12` begins with the year.
    fn number(&mut self, digits: &str) {
        let Ok(value) = digits.parse() else { return };
        if self.day.is_none() && digits.len() <= 2 {
            self.day = Some(value);
        } else if self.year.is_none() {
            // RFC 5322 §4.3: two digits to 49 are of this century, others and three of the last.
            self.year = Some(match digits.len() {
                2 if value < 50 => 2000 + value,
                1..=3 => 1900 + value,
                _ => value,
            });
        }
    }

    fn date(self) -> Option<InternalDate> {
        let (day, month, year) = (self.day?, self.month?, self.year?);
        let days = InternalDate::parse_date(&format!("{day}-{month}-{year:04}")).ok()?;
        let zone = self.zone.unwrap_or(0);
        let local = days * 86_400 + i64::from(self.time?);
        Some(InternalDate::new(local - i64::from(zone) * 60, zone))
    }
}

/// `hour ":" minute [":" second]`, one or two digits each.
fn parse_time(text: &str) -> Option<u32> {
    let mut numbers = text.split(':').map(|part| {
        let is_number = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| is_number)
    });
    let (hour, minute) = (numbers.next()??, numbers.next()??);
    let second = numbers.next().unwrap_or(Some(0))?;
    // A leap second counts as the one before it.
    let is_time = hour < 24 && minute < 60 && second < 61 && numbers.next().is_none();
    is_time.then_some(hour * 3600 + minute * 60 + second.min(59))
}

/// Minutes east of UTC. Zones that say nothing, military letters among them, are UTC, since RFC 822
/// had their sign wrong. RFC 5322 §4.3
fn parse_zone(text: &str) -> Option<i16> {
    // A well-spread mailer writes `+-0500`.
    let text = text.strip_prefix('+').filter(|rest| rest.starts_with('-')).unwrap_or(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or_default();
    if digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()) {
        let value: i16 = digits.parse().ok()?;
        let minutes = value / 100 * 60 + value % 100;
        let sign = if text.starts_with('-') { -1 } else { 1 };
        // A zone a day away or more is an error of the sender; the time is then taken for UTC.
        return Some(if minutes < 24 * 60 { sign * minutes } else { 0 });
    }
    let known = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    match known {
        Some((_, hours)) => Some(hours * 60),
        // `GMT+0200`
        None => {
            text.find(['+', '-']).filter(|at| *at > 0).and_then(|at| parse_zone(text.get(at..)?))
        }
    }
}

/// The month of this name, which may be written out: `January`.
fn month(word: &str) -> Option<&'static str> {
    let name = word.trim_end_matches('.').get(..3)?;
    let is_word = word.trim_end_matches('.').bytes().all(|b| b.is_ascii_alphabetic());
    MONTHS.into_iter().find(|month| is_word && month.eq_ignore_ascii_case(name))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const ZONES: [(&str, i16); 11] = [
    ("UT", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

const HALF_DAY: u32 = 12 * 3600;

/// Longest value that is looked at; a date takes 31 characters.
const VALUE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        parse_date(value.as_bytes()).map(|date| date.to_string())
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (value, expected) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", "21-Nov-1997 09:55:06 -0600"),
            ("Tue, 1 Jul 2003 10:52:37 +0200", " 1-Jul-2003 10:52:37 +0200"),
            ("Thu, 13 Feb 1969 23:32:54 -0330", "13-Feb-1969 23:32:54 -0330"),
            ("21 Nov 97 09:55:06 GMT", "21-Nov-1997 09:55:06 +0000"),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "21-Nov-1997 09:55:06 -0600"),
            (
                "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
                "13-Feb-1969 23:32:00 -0330",
            ),
        ] {
            assert_eq!(read(value).as_deref().unwrap_or("-"), expected, "{value}");
        }
    }

    #[test]
    fn obsolete_and_wrong_forms_mean_what_they_say() {
        for (value, expected) in [
            ("1 Jan 49 1:2 EST", " 1-Jan-2049 01:02:00 -0500"),
            ("1 Jan 50 01:02:03 pdt", " 1-Jan-1950 01:02:03 -0700"),
            ("1 Jan 104 01:02:03 Z", " 1-Jan-2004 01:02:03 +0000"),
            ("Thu Jan 12 10:00:00 2004", "12-Jan-2004 10:00:00 +0000"),
            ("Thu Jan 12 10:00:00 PST 2004", "12-Jan-2004 10:00:00 -0800"),
            ("12-January-2004 10:00:00", "12-Jan-2004 10:00:00 +0000"),
            ("Thu, 12 Jan 2004 10:00:00+0200", "12-Jan-2004 10:00:00 +0200"),
            ("12 Jan 2004 10:00:00 GMT+0200", "12-Jan-2004 10:00:00 +0200"),
            ("12 Jan 2004 23:59:60 -0000", "12-Jan-2004 23:59:59 +0000"),
            ("12 Jan 2004 10:00:00 +-0500", "12-Jan-2004 10:00:00 -0500"),
            ("12 Jan 2004 10:00:00 0530", "12-Jan-2004 10:00:00 +0530"),
            ("12 Jan 2004 06:50:21 PM -0400", "12-Jan-2004 18:50:21 -0400"),
            ("12 Jan 2004 12:50:21 AM -0400", "12-Jan-2004 00:50:21 -0400"),
            ("12 Jan 2004 12:50:21 pm", "12-Jan-2004 12:50:21 +0000"),
            ("12 Jan 2004 10:00:00 +9900", "12-Jan-2004 10:00:00 +0000"),
            ("Sat, 12 Jan 2004 10:00:00 -0500 (EST (really))", "12-Jan-2004 10:00:00 -0500"),
        ] {
            assert_eq!(read(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_names_no_moment_is_none() {
        for value in [
            "",
            "yesterday",
            "31 Feb 2004 10:00:00 +0000",
            "1 Jan 2004",
            "1 Jan 2004 25:00:00 +0000",
            "1 Jan 10:00:00",
            "0 Jan 2004 10:00:00",
            "1 Foo 2004 10:00:00",
            "1 Jan 99999 1:1:1",
            "\u{e4}",
            "1 Jan 2004 10:00:00:00",
            "1 Jan 2004 ::",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(parse_date(b"\xff 1 Jan 2004 10:00:00"), None);
    }

    #[test]
    fn nested_comments_cost_nothing() {
        let comment = "(".repeat(1000) + &")".repeat(1000);
        assert_eq!(
            read(&format!("{comment}1 Jan 2004 10:00:00 Z")).unwrap(),
            " 1-Jan-2004 10:00:00 +0000"
        );
        assert_eq!(read(&"(".repeat(1_000_000)), None);
        assert_eq!(read("1 Jan 2004 10:00:00 Z (\\").unwrap(), " 1-Jan-2004 10:00:00 +0000");
    }
}
