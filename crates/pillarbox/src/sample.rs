//! The mail that `pillarbox try` starts with: written for it, sent by nobody.
//!
//! Each sample is a file of raw bytes with LF line ends beside this module. What depends on the
//! day or on the reader stands in it as a placeholder, so that the mailbox always looks as if it
//! had been used until a moment ago:
//!
//! | placeholder     | becomes                                              |
//! |-----------------|------------------------------------------------------|
//! | `{date:-3d4h}`  | a date of RFC 5322 §3.3, that long before now        |
//! | `{day:+5d}`     | a day in words: `Saturday, 28 November`              |
//! | `{ics:+9d2h}`   | a UTC time of RFC 5545 §3.3.5: `20261202T180000Z`    |
//! | `{me}`          | the address of the account that holds the sample     |
//! | `{other}`       | the address of the other account                     |

/// Which of the two accounts of a trial holds a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The account with nearly everything.
    First,
    /// The account at the other end of a conversation.
    Second,
}

/// One message and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The account that holds it.
    pub holder: Holder,
    /// The mailbox, with `/` between the levels; made when it does not exist.
    pub mailbox: &'static str,
    /// System flags as IMAP spells them.
    pub flags: &'static [&'static str],
    /// How long before now it arrived, in minutes.
    pub age_minutes: u32,
    template: &'static [u8],
}

/// The addresses that the placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    /// The account that holds the sample.
    pub me: &'a str,
    /// The other account of the trial.
    pub other: &'a str,
}

impl Sample {
    /// When it arrived, in seconds since 1970, when it is `now`.
    pub fn arrived(&self, now: i64) -> i64 {
        now - i64::from(self.age_minutes) * 60
    }

    /// The message as it would come over the wire: CRLF line ends, placeholders filled in.
    pub fn render(&self, now: i64, addresses: Addresses<'_>) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.template.len() * 21 / 20);
        let mut rest = self.template;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'\n' => message.extend_from_slice(b"\r\n"),
                b'{' => match placeholder(after, now, addresses) {
                    Some((text, length)) => {
                        message.extend_from_slice(text.as_bytes());
                        rest = after.get(length..).unwrap_or_default();
                    }
                    None => message.push(b'{'),
                },
                other => message.push(*other),
            }
        }
        message
    }
}

/// What a placeholder stands for, and how many bytes after its `{` it takes. Braces that hold
/// anything else are text: style sheets have them.
fn placeholder(after: &[u8], now: i64, addresses: Addresses<'_>) -> Option<(String, usize)> {
    let end = after.iter().take(PLACEHOLDER_BYTES_MAX).position(|byte| *byte == b'}')?;
    let word = std::str::from_utf8(after.get(..end)?).ok()?;
    let text = match word {
        "me" => addresses.me.to_owned(),
        "other" => addresses.other.to_owned(),
        _ => {
            let (kind, shift) = word.split_once(':')?;
            let moment = Moment::at(now.checked_add(seconds(shift)?)?);
            match kind {
                "date" => moment.mail_date(),
                "day" => moment.day(),
                "ics" => moment.calendar_time(),
                _ => return None,
            }
        }
    };
    Some((text, end + 1))
}

/// Reads a shift such as `-3d4h` or `+30m`.
fn seconds(shift: &str) -> Option<i64> {
    let (sign, mut rest) = match shift.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => return None,
    };
    let mut sum = 0_i64;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(unit)?;
        let (letter, after) = after.split_at_checked(1)?;
        let factor = match letter {
            "d" => DAY,
            "h" => 3600,
            "m" => 60,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    Some(sign * sum)
}

/// A UTC time taken apart.
struct Moment {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    second_of_day: i64,
}

impl Moment {
    fn at(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY);
        // Years begin in March here, so that the leap day is the last of its year; eras are 400
        // years, after which the calendar repeats.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: usize::try_from(month).unwrap_or(1),
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
            second_of_day: seconds.rem_euclid(DAY),
        }
    }

    /// `Sat, 28 Nov 2026 18:00:00 +0000`. RFC 5322 §3.3
    fn mail_date(&self) -> String {
        let (hour, minute, second) = self.clock();
        let weekday: String = self.weekday_name().chars().take(3).collect();
        let month: String = self.month_name().chars().take(3).collect();
        let (day, year) = (self.day, self.year);
        format!("{weekday}, {day} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
    }

    /// `Saturday, 28 November`
    fn day(&self) -> String {
        format!("{}, {} {}", self.weekday_name(), self.day, self.month_name())
    }

    /// `20261128T180000Z`. RFC 5545 §3.3.5
    fn calendar_time(&self) -> String {
        let (hour, minute, second) = self.clock();
        let (year, month, day) = (self.year, self.month, self.day);
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }

    fn clock(&self) -> (i64, i64, i64) {
        (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }

    fn weekday_name(&self) -> &'static str {
        WEEKDAYS.get(self.weekday).copied().unwrap_or_default()
    }

    fn month_name(&self) -> &'static str {
        MONTHS.get(self.month - 1).copied().unwrap_or_default()
    }
}

const fn sample(
    holder: Holder,
    mailbox: &'static str,
    flags: &'static [&'static str],
    age_minutes: u32,
    template: &'static [u8],
) -> Sample {
    Sample { holder, mailbox, flags, age_minutes, template }
}

const DAY: i64 = 86_400;

/// The longest placeholder is far shorter; a brace in text is not searched further than this.
const PLACEHOLDER_BYTES_MAX: usize = 24;

#[rustfmt::skip]
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

#[rustfmt::skip]
const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
];

use Holder::{First, Second};

/// All samples; within a mailbox they are to be added oldest first.
#[rustfmt::skip]
pub const SAMPLES: &[Sample] = &[
    // holder, mailbox, flags, age in minutes, message
    sample(First, "INBOX", &[], 12, include_bytes!("../sample/01-welcome.eml")),
    sample(First, "Projects/Boathouse", &["\\Seen"], 30240, include_bytes!("../sample/02-roof-first-look.eml")),
    sample(First, "Projects/Boathouse", &["\\Seen", "\\Answered"], 30000, include_bytes!("../sample/03-roof-rules.eml")),
    sample(First, "Sent", &["\\Seen"], 28800, include_bytes!("../sample/04-roof-helping-hands.eml")),
    sample(First, "Projects/Boathouse", &["\\Seen", "\\Flagged"], 21600, include_bytes!("../sample/05-roof-costs.eml")),
    sample(First, "Projects/Boathouse", &["\\Seen"], 20160, include_bytes!("../sample/06-roof-quotation.eml")),
    sample(First, "INBOX", &["\\Flagged", "\\Seen"], 4320, include_bytes!("../sample/07-roof-which-saturday.eml")),
    sample(First, "Sent", &["\\Seen"], 2880, include_bytes!("../sample/08-roof-first-saturday.eml")),
    sample(First, "INBOX", &[], 1560, include_bytes!("../sample/09-roof-confirmed.eml")),
    sample(First, "Projects/Choir", &["\\Seen"], 14400, include_bytes!("../sample/10-concert-programme.eml")),
    sample(First, "Projects/Choir", &["\\Seen", "\\Answered"], 14160, include_bytes!("../sample/11-concert-alto.eml")),
    sample(First, "Projects/Choir", &["\\Seen"], 12960, include_bytes!("../sample/12-concert-slower.eml")),
    sample(First, "INBOX", &["\\Seen"], 11520, include_bytes!("../sample/13-concert-invitation.eml")),
    sample(First, "Sent", &["\\Seen"], 11280, include_bytes!("../sample/14-concert-accepted.eml")),
    sample(First, "Lists/Tides", &["\\Seen"], 8940, include_bytes!("../sample/15-tides-1.eml")),
    sample(First, "Lists/Tides", &["\\Seen"], 8820, include_bytes!("../sample/16-tides-2.eml")),
    sample(First, "Lists/Tides", &["\\Seen"], 8700, include_bytes!("../sample/17-tides-3.eml")),
    sample(First, "Lists/Tides", &[], 7740, include_bytes!("../sample/18-tides-4.eml")),
    sample(First, "Lists/Tides", &[], 5760, include_bytes!("../sample/19-tides-digest.eml")),
    sample(First, "Archive", &["\\Seen"], 48960, include_bytes!("../sample/20-bake-sale.eml")),
    sample(First, "Archive", &["\\Seen"], 47520, include_bytes!("../sample/21-bake-sale-bread.eml")),
    sample(First, "Sent", &["\\Seen"], 46080, include_bytes!("../sample/22-bake-sale-table.eml")),
    sample(First, "Archive", &["\\Seen"], 37440, include_bytes!("../sample/23-bake-sale-thanks.eml")),
    sample(First, "INBOX", &["\\Seen"], 3240, include_bytes!("../sample/24-build-881.eml")),
    sample(First, "INBOX", &["\\Seen"], 3180, include_bytes!("../sample/25-build-882.eml")),
    sample(First, "INBOX", &["\\Seen"], 3060, include_bytes!("../sample/26-build-883.eml")),
    sample(First, "INBOX", &[], 180, include_bytes!("../sample/27-build-884.eml")),
    sample(First, "INBOX", &["\\Seen"], 1980, include_bytes!("../sample/28-alert-1.eml")),
    sample(First, "INBOX", &["\\Seen"], 1920, include_bytes!("../sample/29-alert-2.eml")),
    sample(First, "INBOX", &[], 50, include_bytes!("../sample/30-alert-3.eml")),
    sample(First, "INBOX", &["\\Flagged", "\\Seen"], 7200, include_bytes!("../sample/31-railway-ticket.eml")),
    sample(First, "INBOX", &[], 360, include_bytes!("../sample/32-library-due.eml")),
    sample(First, "INBOX", &["\\Seen"], 6480, include_bytes!("../sample/33-library-partner.eml")),
    sample(First, "INBOX", &["\\Seen"], 10080, include_bytes!("../sample/34-chess-evening.eml")),
    sample(First, "INBOX", &["\\Seen"], 15840, include_bytes!("../sample/35-tea-shop.eml")),
    sample(First, "INBOX", &["\\Seen"], 9360, include_bytes!("../sample/36-harbour-newsletter.eml")),
    sample(First, "INBOX", &["\\Seen"], 13200, include_bytes!("../sample/37-bakery-newsletter.eml")),
    sample(First, "INBOX", &[], 1200, include_bytes!("../sample/38-museum-newsletter.eml")),
    sample(First, "INBOX", &["\\Seen", "\\Answered"], 17280, include_bytes!("../sample/39-berth-forwarded.eml")),
    sample(First, "Sent", &["\\Seen"], 17040, include_bytes!("../sample/40-berth-taken.eml")),
    sample(First, "INBOX", &["\\Seen"], 23040, include_bytes!("../sample/41-photos-zip.eml")),
    sample(First, "Archive", &["\\Seen"], 57600, include_bytes!("../sample/42-pilot-card.eml")),
    sample(First, "INBOX", &["\\Seen"], 19080, include_bytes!("../sample/43-raw-utf8-headers.eml")),
    sample(First, "Archive", &["\\Seen"], 64800, include_bytes!("../sample/44-raw-latin1-headers.eml")),
    sample(First, "INBOX", &["\\Seen"], 1800, include_bytes!("../sample/45-undelivered.eml")),
    sample(First, "Archive", &["\\Seen"], 27360, include_bytes!("../sample/46-receipt.eml")),
    sample(First, "INBOX", &["\\Seen"], 25920, include_bytes!("../sample/47-signed-notice.eml")),
    sample(First, "INBOX", &["\\Seen"], 24480, include_bytes!("../sample/48-long-line.eml")),
    sample(First, "INBOX", &["\\Seen"], 31680, include_bytes!("../sample/49-empty-body.eml")),
    sample(First, "INBOX", &["\\Seen"], 33120, include_bytes!("../sample/50-no-subject.eml")),
    sample(First, "Archive", &["\\Seen"], 86400, include_bytes!("../sample/51-uuencoded.eml")),
    sample(First, "Archive", &["\\Seen"], 41760, include_bytes!("../sample/52-many-recipients.eml")),
    sample(First, "INBOX", &["\\Seen"], 14880, include_bytes!("../sample/53-markup-in-text.eml")),
    sample(First, "INBOX", &["\\Seen"], 12060, include_bytes!("../sample/54-emoji-and-rtl.eml")),
    sample(First, "INBOX", &["\\Seen"], 34560, include_bytes!("../sample/55-odd-attachment.eml")),
    sample(First, "Drafts", &["\\Draft", "\\Seen"], 300, include_bytes!("../sample/56-draft-to-harbour.eml")),
    sample(First, "Drafts", &["\\Draft"], 240, include_bytes!("../sample/57-draft-empty-to.eml")),
    sample(First, "Junk", &[], 900, include_bytes!("../sample/58-junk-gold.eml")),
    sample(First, "Junk", &["\\Seen"], 4500, include_bytes!("../sample/59-junk-watches.eml")),
    sample(First, "Trash", &["\\Seen"], 36000, include_bytes!("../sample/60-trash-reminder.eml")),
    sample(Second, "INBOX", &[], 11, include_bytes!("../sample/61-second-welcome.eml")),
    sample(Second, "INBOX", &["\\Seen"], 2880, include_bytes!("../sample/62-second-roof.eml")),
    sample(Second, "Sent", &["\\Seen"], 2640, include_bytes!("../sample/63-second-reply.eml")),
    sample(Second, "INBOX", &[], 120, include_bytes!("../sample/64-second-ferry.eml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_888_800; // Saturday, 28 November 2026, 18:00 UTC
    const ADDRESSES: Addresses<'_> = Addresses { me: "me@here.example", other: "you@here.example" };

    fn field<'a>(message: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let start = format!("{name}: ").into_bytes();
        message
            .split(|byte| *byte == b'\n')
            .take_while(|line| *line != b"\r")
            .find_map(|line| line.strip_prefix(start.as_slice()))
    }

    #[test]
    fn every_sample_has_crlf_line_ends_and_the_fields_that_clients_sort_by() {
        assert!(SAMPLES.len() >= 60);
        for sample in SAMPLES {
            let message = sample.render(NOW, ADDRESSES);
            let lone = message.windows(2).any(|pair| {
                (pair[1] == b'\n' && pair[0] != b'\r') || (pair[0] == b'\r' && pair[1] != b'\n')
            });
            let shown = String::from_utf8_lossy(sample.template);
            assert!(!lone, "a lone CR or LF: {shown}");
            assert!(message.ends_with(b"\r\n"), "no end: {shown}");
            for name in ["From", "Date", "Message-ID"] {
                assert!(field(&message, name).is_some_and(|it| it.len() > 3), "{name}: {shown}");
            }
        }
    }

    #[test]
    fn no_placeholder_is_left_in_a_sample() {
        for sample in SAMPLES {
            let message = sample.render(NOW, ADDRESSES);
            let text = String::from_utf8_lossy(&message);
            for start in ["{date", "{day", "{ics", "{me", "{other", "{=\r\n"] {
                assert!(!text.contains(start), "{start} in {text}");
            }
        }
    }

    #[test]
    fn a_sample_is_dated_when_it_arrived() {
        for sample in SAMPLES {
            let message = sample.render(NOW, ADDRESSES);
            let expected = Moment::at(sample.arrived(NOW)).mail_date();
            let date = field(&message, "Date").map(String::from_utf8_lossy);
            assert_eq!(date.as_deref().map(str::trim_end), Some(expected.as_str()));
        }
    }

    #[test]
    fn message_ids_are_unique() {
        let ids: std::collections::BTreeSet<Vec<u8>> = SAMPLES
            .iter()
            .filter_map(|sample| {
                let message = sample.render(NOW, ADDRESSES);
                field(&message, "Message-ID").map(<[u8]>::to_vec)
            })
            .collect();
        assert_eq!(ids.len(), SAMPLES.len());
    }

    #[test]
    fn moments_are_shown_in_three_forms() {
        let moment = Moment::at(NOW);
        assert_eq!(moment.mail_date(), "Sat, 28 Nov 2026 18:00:00 +0000");
        assert_eq!(moment.day(), "Saturday, 28 November");
        assert_eq!(moment.calendar_time(), "20261128T180000Z");
        assert_eq!(Moment::at(951_782_400).mail_date(), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(Moment::at(0).mail_date(), "Thu, 1 Jan 1970 00:00:00 +0000");
    }

    #[test]
    fn braces_that_hold_something_else_are_text() {
        for text in
            ["{ color: red }", "{day:5d}", "{day:+5y}", "{date:", "{", "{ics:+99999999999999999d}"]
        {
            let template: &'static [u8] = text.as_bytes();
            let sample = Sample { template, ..SAMPLES[0] };
            assert_eq!(sample.render(NOW, ADDRESSES), template);
        }
    }

    #[test]
    fn addresses_are_filled_in() {
        let sample = Sample { template: b"To: {me}, {other}\n", ..SAMPLES[0] };
        let expected = b"To: me@here.example, you@here.example\r\n";
        assert_eq!(sample.render(NOW, ADDRESSES), expected);
    }
}
