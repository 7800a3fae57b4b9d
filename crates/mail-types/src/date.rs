//! A moment with the offset from UTC in which it was written.

use std::fmt;

/// INTERNALDATE: seconds since 1970 in UTC and the zone's offset in minutes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InternalDate {
    seconds: i64,
    offset_minutes: i16,
}

/// Why a text is no date-time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateError {
    /// Not of the form `dd-Mon-yyyy hh:mm:ss +hhmm`.
    Form,
    /// A day, hour, minute, second or zone that does not exist.
    Range,
}

impl InternalDate {
    /// The first moment that a four-digit year can tell, 0000-01-01.
    pub const SECONDS_MIN: i64 = -62_167_219_200;
    /// The last one, 9999-12-31T23:59:59Z.
    pub const SECONDS_MAX: i64 = 253_402_300_799;

    /// A moment; bounded to the years 0000 to 9999, the offset to one day.
    pub fn new(seconds: i64, offset_minutes: i16) -> Self {
        Self {
            seconds: seconds.clamp(Self::SECONDS_MIN + DAY, Self::SECONDS_MAX - DAY),
            offset_minutes: offset_minutes.clamp(-MINUTES_MAX, MINUTES_MAX),
        }
    }

    /// A moment told in UTC.
    pub fn utc(seconds: i64) -> Self {
        Self::new(seconds, 0)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Minutes east of UTC.
    pub const fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// The day in its own zone, as days since 1970-01-01: what SEARCH SINCE, BEFORE and ON
    /// compare, "disregarding time and timezone". RFC 9051 §6.4.4
    pub const fn day(self) -> i64 {
        (self.seconds + self.offset_minutes as i64 * 60).div_euclid(DAY)
    }

    /// Reads `date-time` without its quotes: `" 7-Feb-1994 21:52:25 -0800"`. RFC 9051 §9
    ///
    /// # Errors
    /// If the text has another form or names a moment that does not exist.
    pub fn parse(text: &str) -> Result<Self, DateError> {
        let mut words = text.trim_start_matches(' ').split(' ');
        let (Some(date), Some(time), Some(zone), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(DateError::Form);
        };
        let day = parse_day(date)?;
        let mut hms = time.split(':');
        let (Some(h), Some(m), Some(s), None) = (hms.next(), hms.next(), hms.next(), hms.next())
        else {
            return Err(DateError::Form);
        };
        let (h, m, s) = (two_digits(h)?, two_digits(m)?, two_digits(s)?);
        // A leap second is a legal `time`; it is kept as the last second of its minute.
        if h > 23 || m > 59 || s > 60 {
            return Err(DateError::Range);
        }
        let offset = parse_zone(zone)?;
        let local = day * DAY + i64::from(h * 3600 + m * 60 + s.min(59));
        Ok(Self::new(local - i64::from(offset) * 60, offset))
    }

    /// Reads `date-text` of SEARCH, `1-Feb-1994`, as days since 1970-01-01. RFC 9051 §9
    ///
    /// # Errors
    /// If the text has another form or names a day that does not exist.
    pub fn parse_date(text: &str) -> Result<i64, DateError> {
        parse_day(text)
    }

    /// Writes `date-text` for days since 1970-01-01.
    pub fn format_date(day: i64) -> String {
        let (year, month, day) = civil(day);
        format!("{day}-{}-{year:04}", month_name(month))
    }

    /// Writes `date-time` of RFC 3339 §5.6 for seconds since 1970, in UTC: `2026-11-28T18:00:00Z`.
    pub fn rfc3339(seconds: i64) -> String {
        let seconds = seconds.clamp(Self::SECONDS_MIN, Self::SECONDS_MAX);
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Display for InternalDate {
    /// `date-time` without its quotes, the day padded with a space. RFC 9051 §9
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset_minutes) * 60;
        let (year, month, day) = civil(local.div_euclid(DAY));
        let second = local.rem_euclid(DAY);
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let zone = self.offset_minutes.unsigned_abs();
        write!(
            f,
            "{day:2}-{}-{year:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            month_name(month),
            second / 3600,
            second / 60 % 60,
            second % 60,
            zone / 60,
            zone % 60,
        )
    }
}

/// `date-day "-" date-month "-" date-year` to days since 1970-01-01.
fn parse_day(text: &str) -> Result<i64, DateError> {
    let mut parts = text.split('-');
    let (Some(day), Some(month), Some(year), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(DateError::Form);
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(day) || day.len() > 2 || !is_number(year) || year.len() != 4 {
        return Err(DateError::Form);
    }
    let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month)).ok_or(DateError::Form)?;
    let day: i64 = day.parse().map_err(|_| DateError::Form)?;
    let year: i64 = year.parse().map_err(|_| DateError::Form)?;
    let number = days(year, month as i64 + 1, day);
    // A day that does not exist comes back as another one.
    if civil(number) == (year, month as i64 + 1, day) { Ok(number) } else { Err(DateError::Range) }
}

fn parse_zone(text: &str) -> Result<i16, DateError> {
    let sign = match text.bytes().next() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(DateError::Form),
    };
    let digits = text.get(1..).unwrap_or_default();
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DateError::Form);
    }
    let value: i16 = digits.parse().map_err(|_| DateError::Form)?;
    let (hours, minutes) = (value / 100, value % 100);
    if hours > 23 || minutes > 59 {
        return Err(DateError::Range);
    }
    Ok(sign * (hours * 60 + minutes))
}

fn two_digits(text: &str) -> Result<u32, DateError> {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| DateError::Form)
    } else {
        Err(DateError::Form)
    }
}

/// Days since 1970-01-01 of a day in the Gregorian calendar. Years are counted from March, so that
/// the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of days since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn month_name(month: i64) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).copied().unwrap_or("Jan")
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY: i64 = 86_400;
const MINUTES_MAX: i16 = 24 * 60 - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_read_and_print() {
        let date = InternalDate::parse("17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!(date.seconds(), 837_596_665);
        assert_eq!(date.to_string(), "17-Jul-1996 02:44:25 -0700");
        let padded = InternalDate::parse(" 7-Feb-1994 21:52:25 -0800").unwrap();
        assert_eq!(padded.to_string(), " 7-Feb-1994 21:52:25 -0800");
    }

    #[test]
    fn a_moment_is_told_as_rfc_3339_wants_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (1_795_888_800, "2026-11-28T18:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(InternalDate::rfc3339(seconds), text);
        }
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for text in ["29-Feb-2023", "31-Apr-2020", "0-Jan-2020", "32-Jan-2020"] {
            assert_eq!(InternalDate::parse_date(text), Err(DateError::Range), "{text}");
        }
        for text in ["1-Foo-2020", "1-Jan-20", "1 Jan 2020", "", "a-Jan-2020", "1-Jan-2020-1"] {
            assert_eq!(InternalDate::parse_date(text), Err(DateError::Form), "{text}");
        }
        assert!(InternalDate::parse_date("29-Feb-2024").is_ok());
        assert!(InternalDate::parse("1-Jan-2020 24:00:00 +0000").is_err());
        assert!(InternalDate::parse("1-Jan-2020 00:00:00 +2400").is_err());
        assert!(InternalDate::parse("1-Jan-2020 00:00 +0000").is_err());
    }

    #[test]
    fn every_day_of_eight_centuries_survives_the_round_trip() {
        let mut day = -150_000;
        while day < 150_000 {
            assert_eq!(InternalDate::parse_date(&InternalDate::format_date(day)), Ok(day));
            day += 1;
        }
    }

    #[test]
    fn search_compares_the_day_in_the_dates_own_zone() {
        let late = InternalDate::parse("1-Jan-2020 23:30:00 -0500").unwrap();
        assert_eq!(InternalDate::format_date(late.day()), "1-Jan-2020");
    }
}
