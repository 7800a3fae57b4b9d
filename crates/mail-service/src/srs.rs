//! Sender rewriting: under which reverse-path a stranger's mail is forwarded, and to whom what
//! comes back to such a path goes.
//!
//! Who forwards mail under the stranger's own reverse-path sends from a host that the stranger's
//! domain does not name, and SPF says so (RFC 7208 Appendix D). So the path becomes an
//! address of ours that holds the stranger's. The names and the order of the parts are those that
//! forwarders have agreed on (the Sender Rewriting Scheme), so that others know a path that was
//! rewritten already and leave out whoever stands in the middle:
//!
//! ```text
//! SRS0=TAG=DAY=domain=local@ours       for local@domain
//! SRS1=TAG=first==REST@ours            for SRS0=REST@first, and for SRS1=TAG=first==REST@any
//! ```
//!
//! TAG proves that the path is ours: else anybody could have us send mail to anybody. It does not
//! look at letter case, because there are servers that change it in what they send back. DAY lets
//! the proof end: a path that somebody has found is of no use to him a month later. What the first
//! forwarder wrote has a day of its own, which he looks at.
//!
//! Everything here is pure.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

/// Why a reverse-path has no form under which mail could be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrsFault {
    /// With what has to be added it would be longer than a path may be. RFC 5321 §4.5.3.1.3
    TooLong,
    /// Its local part is quoted, or its domain is the address of a host: the one cannot stand
    /// within a local part, the other has no policy that would ask for it.
    Form,
}

impl fmt::Display for SrsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the sender's address is too long to be forwarded",
            Self::Form => "the sender's address has a form that cannot be forwarded",
        })
    }
}

impl std::error::Error for SrsFault {}

/// The path under which mail of `sender` is forwarded by `ours`, a domain of this server, at `now`
/// in seconds since 1970.
///
/// A local part of more than 64 octets is to be avoided when possible (RFC 5321 §4.5.3.1). Here it
/// is not: large senders (Amazon SES) have local parts of 60 octets, and to refuse their mail would
/// be worse. What holds without exception is the length of a path.
pub(crate) fn rewrite(
    secret: &[u8],
    sender: &str,
    ours: &str,
    now: i64,
) -> Result<String, SrsFault> {
    let (local, domain) = sender.rsplit_once('@').ok_or(SrsFault::Form)?;
    if local.starts_with('"') || domain.starts_with('[') {
        return Err(SrsFault::Form);
    }
    let rewritten = match forwarded_before(local, domain) {
        Some(rest) => format!("{AGAIN}={}={rest}@{ours}", tag(secret, AGAIN, &rest)),
        None => {
            let day = day(now);
            let tag = tag(secret, FIRST, &format!("{day}={domain}={local}"));
            format!("{FIRST}={tag}={}={domain}={local}@{ours}", stamp(day))
        }
    };
    if rewritten.len() > PATH_BYTES_MAX { Err(SrsFault::TooLong) } else { Ok(rewritten) }
}

/// Whether a local part says that it is a rewritten path.
pub(crate) fn is_rewritten(local: &str) -> bool {
    behind(local, FIRST).is_some() || behind(local, AGAIN).is_some()
}

/// To whom what comes back to this local part goes; `None` if it is not of this server, or too old.
pub(crate) fn sender_of(secret: &[u8], local: &str, now: i64) -> Option<String> {
    if let Some(rest) = behind(local, AGAIN) {
        let (claimed, rest) = rest.get(1..)?.split_once('=')?;
        let (first, theirs) = rest.split_once('=')?;
        let is_ours = is_same(claimed, &tag(secret, AGAIN, rest));
        return is_ours.then(|| format!("{FIRST}{theirs}@{first}"));
    }
    let mut parts = behind(local, FIRST)?.get(1..)?.splitn(4, '=');
    let (claimed, stamp) = (parts.next()?, parts.next()?);
    let (domain, sender) = (parts.next()?, parts.next()?);
    let made = day_of(stamp, day(now))?;
    let is_ours = is_same(claimed, &tag(secret, FIRST, &format!("{made}={domain}={sender}")));
    // The tag first: whoever has made it up learns nothing about days.
    (is_ours && day(now) - made <= DAYS_MAX).then(|| format!("{sender}@{domain}"))
}

/// What another forwarder has written, as far as it matters when the path is rewritten again: who
/// was the first one, and what he wants to read.
fn forwarded_before(local: &str, domain: &str) -> Option<String> {
    if let Some(rest) = behind(local, FIRST) {
        return Some(format!("{domain}={rest}"));
    }
    let (_, rest) = behind(local, AGAIN)?.get(1..)?.split_once('=')?;
    let (first, theirs) = rest.split_once('=')?;
    let is_path = !first.is_empty() && theirs.starts_with(SEPARATORS);
    is_path.then(|| rest.to_owned())
}

/// What stands behind a mark, from its separator on.
fn behind<'a>(local: &'a str, mark: &str) -> Option<&'a str> {
    let (start, rest) = local.split_at_checked(mark.len())?;
    (start.eq_ignore_ascii_case(mark) && rest.starts_with(SEPARATORS)).then_some(rest)
}

/// The day as it is written: two digits, which come again after 1024 days. What the tag is made of
/// is the day itself.
fn stamp(day: i64) -> String {
    let digit = |number: i64| digit(u8::try_from(number.rem_euclid(32)).unwrap_or_default());
    [digit(day / 32), digit(day)].iter().collect()
}

/// The last day that is written so. A day more than today has a clock that is ahead.
fn day_of(stamp: &str, today: i64) -> Option<i64> {
    let value = |c: char| DIGITS.find(c.to_ascii_lowercase()).and_then(|at| i64::try_from(at).ok());
    let mut digits = stamp.chars();
    let (high, low) = (value(digits.next()?)?, value(digits.next()?)?);
    let tomorrow = today + 1;
    let ago = (tomorrow - (high * 32 + low)).rem_euclid(STAMPS);
    digits.next().is_none().then_some(tomorrow - ago)
}

fn day(now: i64) -> i64 {
    now.max(0) / 86_400
}

fn tag(secret: &[u8], mark: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let text = format!("{LABEL}{mark}={text}").to_lowercase();
    let digest = hmac::sign(&key, text.as_bytes());
    digest.as_ref().iter().take(TAG_CHARS).map(|byte| digit(byte % 32)).collect()
}

fn is_same(claimed: &str, tag: &str) -> bool {
    let claimed = claimed.to_ascii_lowercase();
    constant_time::verify_slices_are_equal(claimed.as_bytes(), tag.as_bytes()).is_ok()
}

fn digit(number: u8) -> char {
    DIGITS.as_bytes().get(usize::from(number)).copied().map_or('a', char::from)
}

/// The mark of a path that nobody had rewritten before.
const FIRST: &str = "SRS0";

/// The mark of one that somebody had.
const AGAIN: &str = "SRS1";

/// What forwarders write behind the mark.
const SEPARATORS: [char; 3] = ['=', '+', '-'];

/// Tells what is signed here from what else the secret of the store is used for; with the version
/// of what is signed.
const LABEL: &str = "return path 1 ";

/// Each stands for five bits and can be told from the others in any letter case.
const DIGITS: &str = "abcdefghijklmnopqrstuvwxyz234567";

/// 40 bits: who wants to hit one of them has to ask this server 2^39 times for each address.
const TAG_CHARS: usize = 8;

/// Days that have a stamp of their own.
const STAMPS: i64 = 32 * 32;

/// How long mail may come back: servers try for five days (RFC 5321 §4.5.4.1), and a chain of some
/// of them as many times as long.
const DAYS_MAX: i64 = 21;

/// RFC 5321 §4.5.3.1.3: 256 with the brackets.
const PATH_BYTES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of this store";
    const OURS: &str = "our.example";
    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn rewritten(sender: &str) -> String {
        rewrite(SECRET, sender, OURS, NOW).unwrap()
    }

    fn back(path: &str, now: i64) -> Option<String> {
        let (local, domain) = path.rsplit_once('@').unwrap();
        assert_eq!(domain, OURS);
        assert!(is_rewritten(local));
        sender_of(SECRET, local, now)
    }

    #[test]
    fn what_comes_back_to_a_rewritten_path_goes_to_its_sender() {
        for sender in [
            "news@harbour.example",
            "a=b=c@x.example",
            "SRS2=x@y.example",
            "srs0@y.example",
            "SRS1=odd@y.example",
            "J\u{f6}rg@B\u{fc}cher.example",
            "bounces+SRS=44ldt=IX@x.example",
        ] {
            let path = rewritten(sender);
            assert!(path.starts_with("SRS0="), "{path}");
            assert_eq!(back(&path, NOW).as_deref(), Some(sender), "{path}");
        }
    }

    #[test]
    fn letter_case_of_what_comes_back_does_not_matter() {
        let path = rewritten("News@Harbour.example");
        for path in [path.to_lowercase(), path.to_uppercase().replace("OUR.EXAMPLE", OURS)] {
            let sender = back(&path, NOW).unwrap();
            assert!(sender.eq_ignore_ascii_case("news@harbour.example"), "{sender}");
        }
    }

    #[test]
    fn a_path_that_was_rewritten_by_others_leads_to_the_first_of_them() {
        for first in ["SRS0=hh=tt=x.example=a", "SRS0+Hh=tt=x.example=a", "srs0-h=t=x.example=a"] {
            let once = rewritten(&format!("{first}@first.example"));
            assert!(once.starts_with("SRS1=") && once.contains("=first.example="), "{once}");
            let expected = format!("SRS0{}@first.example", &first[4..]);
            assert_eq!(back(&once, NOW).as_deref(), Some(&*expected));
            // Another one in between is left out, and the path does not grow with each of them.
            let between = once.replace("@our.example", "@between.example");
            assert_eq!(rewritten(&between), once);
            // The first one looks at the day.
            assert_eq!(back(&once, NOW + 100 * DAY).as_deref(), Some(&*expected));
        }
    }

    #[test]
    fn no_octet_of_a_path_can_be_changed() {
        for path in [rewritten("news@harbour.example"), rewritten("SRS0=h=t=x.example=a@f.example")]
        {
            let (local, _) = path.rsplit_once('@').unwrap();
            for at in 0..local.len() {
                for other in ["", "a", "b", "=", "7", "aa"] {
                    let changed = format!("{}{other}{}", &local[..at], &local[at + 1..]);
                    if !changed.eq_ignore_ascii_case(local) {
                        assert_eq!(sender_of(SECRET, &changed, NOW), None, "{changed}");
                    }
                }
            }
            assert_eq!(sender_of(b"another secret", local, NOW), None);
        }
        for made_up in ["SRS0=", "SRS0", "SRS1==", "SRS0====", "SRS1=a", "SRS0=a=b=c", "", "x"] {
            assert_eq!(sender_of(SECRET, made_up, NOW), None, "{made_up}");
        }
    }

    #[test]
    fn a_path_ends_after_its_days_and_never_comes_back() {
        let path = rewritten("news@harbour.example");
        for (days, is_taken) in [
            (-2, false),
            // A node whose clock is a little behind.
            (-1, true),
            (0, true),
            (DAYS_MAX, true),
            (DAYS_MAX + 1, false),
            (365, false),
            (STAMPS - 1, false),
            (STAMPS, false),
            (STAMPS + 1, false),
            (2 * STAMPS, false),
        ] {
            assert_eq!(back(&path, NOW + days * DAY).is_some(), is_taken, "{days} days");
        }
    }

    #[test]
    fn what_has_no_form_under_which_it_could_be_forwarded_is_refused() {
        let refused = |sender: &str| rewrite(SECRET, sender, OURS, NOW).err();
        assert_eq!(refused("\"a b\"@x.example"), Some(SrsFault::Form));
        assert_eq!(refused("a@[192.0.2.1]"), Some(SrsFault::Form));
        assert_eq!(refused("a"), Some(SrsFault::Form));
        let added = "SRS0=12345678=ab==@".len() + OURS.len();
        let domain = format!("{}.example", "d".repeat(PATH_BYTES_MAX - added - 64 - 8));
        let longest = format!("{}@{domain}", "l".repeat(64));
        assert_eq!(rewritten(&longest).len(), PATH_BYTES_MAX);
        assert_eq!(back(&rewritten(&longest), NOW).as_deref(), Some(&*longest));
        assert_eq!(refused(&format!("l{longest}")), Some(SrsFault::TooLong));
    }
}
