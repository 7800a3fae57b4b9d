//! IMAP URLs that name a message or a part of one. RFC 5092, RFC 4467 §3
//!
//! ```text
//! authimapurl   = "imap://" iserver "/" imessagepart [iurlauth]
//! imessagepart  = enc-mailbox [";UIDVALIDITY=" nz-number] "/;UID=" nz-number
//!                 ["/;SECTION=" enc-section] ["/;PARTIAL=" number ["." nz-number]]
//! iurlauth      = [";EXPIRE=" date-time] ";URLAUTH=" access [":" mechanism ":" enc-urlauth]
//! ```
//!
//! URLs of servers, mailboxes and searches are told as such and are of no use here. A path that
//! does not begin with a slash is refused: such references "MUST NOT" be accepted. RFC 5092 §7.2

use mail_types::{Uid, UidValidity};

use crate::parse::{Frame, parse_section};
use crate::types::Section;

/// A URL of a message or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapUrl {
    /// `iserver`; `None` in a URL that is an absolute path only. RFC 5092 §7.1
    pub server: Option<UrlServer>,
    /// The mailbox's name, decoded: URLs hold UTF-8. RFC 5092 §8
    pub mailbox: String,
    /// `;UIDVALIDITY=`
    pub uid_validity: Option<UidValidity>,
    /// `;UID=`
    pub uid: Uid,
    /// `;SECTION=`; an empty one is the whole message.
    pub section: Section,
    /// `;PARTIAL=`: offset, and length if there is one.
    pub partial: Option<(u64, Option<u64>)>,
    /// `;URLAUTH=` with what belongs to it.
    pub auth: Option<UrlAuth>,
}

/// Whose mailbox, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlServer {
    /// `enc-user`, decoded.
    pub user: Option<String>,
    /// Host and port as they stand.
    pub host: String,
}

/// Who may use a URL, until when, and the proof that its owner said so. RFC 4467 §3
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlAuth {
    /// The last moment at which it is valid, seconds since 1970.
    pub expire: Option<i64>,
    /// Who may use it.
    pub access: UrlAccess,
    /// Mechanism in capitals and token, once it is authorized.
    pub verifier: Option<UrlVerifier>,
}

/// An access identifier. RFC 4467 §3
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlAccess {
    /// `submit+`: a message submission entity on behalf of this user.
    Submit(String),
    /// `user+`: this user.
    User(String),
    /// `authuser`: whoever has logged in.
    AuthUser,
    /// `anonymous`: everybody.
    Anonymous,
}

/// What proves a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlVerifier {
    /// In capitals.
    pub mechanism: String,
    /// Hexadecimal digits, at least 32.
    pub token: String,
    /// Octets of the URL before it: the rump, to which nothing else is done. RFC 4467 §6
    pub rump_bytes: usize,
}

/// Why a text is no URL of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUrl {
    /// Too long, or with characters that no URL has.
    Text,
    /// Another scheme, or a relative path.
    Form,
    /// Something after `;URLAUTH=` or `;EXPIRE=` is wrong.
    Auth,
    /// It names a server, a mailbox or a search and no message.
    NoMessage,
}

impl ImapUrl {
    /// Longest URL: a mailbox's name with every octet encoded, a user, a choice of header fields.
    pub const BYTES_MAX: usize = 8192;

    /// Reads a URL.
    ///
    /// # Errors
    /// If it is none of a message.
    pub fn parse(url: &[u8]) -> Result<Self, BadUrl> {
        let is_text = url.len() <= Self::BYTES_MAX && url.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(url).ok().filter(|_| is_text).ok_or(BadUrl::Text)?;
        let (server, path) = match strip_word(text, "imap://") {
            Some(rest) => {
                let (server, path) = rest.split_once('/').ok_or(BadUrl::NoMessage)?;
                (Some(UrlServer::parse(server)?), path)
            }
            None => (None, text.strip_prefix('/').ok_or(BadUrl::Form)?),
        };
        let (path, auth) = split_auth(path, text.len())?;
        let mut segments = path.split("/;");
        let (mailbox, uid_validity) = mailbox(segments.next().unwrap_or_default())?;
        let uid = segments.next().and_then(|it| strip_word(it, "UID=")).ok_or(BadUrl::NoMessage)?;
        let uid = number(uid).and_then(Uid::new).ok_or(BadUrl::Form)?;
        let (mut section, mut partial) = (None, None);
        for segment in segments {
            if let Some(text) = strip_word(segment, "SECTION=")
                && section.is_none()
                && partial.is_none()
            {
                section = Some(decode_section(text)?);
            } else if let Some(text) = strip_word(segment, "PARTIAL=")
                && partial.is_none()
            {
                partial = Some(range(text).ok_or(BadUrl::Form)?);
            } else {
                return Err(BadUrl::Form);
            }
        }
        let section = section.unwrap_or_default();
        Ok(Self { server, mailbox, uid_validity, uid, section, partial, auth })
    }
}

impl UrlServer {
    /// `iserver = [enc-user [";AUTH=" …] "@"] host [":" port]`
    fn parse(text: &str) -> Result<Self, BadUrl> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        if host.is_empty() || host.contains([';', '?', '#']) {
            return Err(BadUrl::Form);
        }
        let user = user.map(|user| user.split(';').next().unwrap_or_default());
        let user = user.filter(|user| !user.is_empty()).map(decode).transpose()?;
        Ok(Self { user, host: host.to_owned() })
    }
}

/// `imailbox-ref = enc-mailbox [";UIDVALIDITY=" nz-number]`
fn mailbox(text: &str) -> Result<(String, Option<UidValidity>), BadUrl> {
    let (name, params) = match text.split_once(';') {
        Some((name, params)) => (name, Some(params)),
        None => (text, None),
    };
    // A search stands behind a question mark. RFC 5092 §5
    if name.is_empty() || text.contains('?') {
        return Err(BadUrl::NoMessage);
    }
    let validity = match params {
        None => None,
        Some(params) => {
            let value = strip_word(params, "UIDVALIDITY=").and_then(number);
            Some(value.and_then(UidValidity::new).ok_or(BadUrl::Form)?)
        }
    };
    Ok((decode(name)?, validity))
}

/// Takes `[";EXPIRE=" date-time] ";URLAUTH=" access [":" mechanism ":" enc-urlauth]` off the end of
/// a path; `url_bytes` is the length of the whole URL.
fn split_auth(path: &str, url_bytes: usize) -> Result<(&str, Option<UrlAuth>), BadUrl> {
    let Some(at) = find_word(path, ";URLAUTH=") else { return Ok((path, None)) };
    let (before, rest) = path.split_at(at);
    let rest = rest.get(";URLAUTH=".len()..).unwrap_or_default();
    let (access, verifier) = match rest.split_once(':') {
        None => (rest, None),
        Some((access, verifier)) => {
            let (mechanism, token) = verifier.split_once(':').ok_or(BadUrl::Auth)?;
            let rump_bytes = url_bytes.saturating_sub(verifier.len() + 1);
            (access, Some(proof(mechanism, token, rump_bytes)?))
        }
    };
    let access = UrlAccess::parse(access)?;
    let (before, expire) = match find_word(before, ";EXPIRE=") {
        None => (before, None),
        Some(at) => {
            let (before, time) = before.split_at(at);
            let time = time.get(";EXPIRE=".len()..).unwrap_or_default();
            (before, Some(moment(time).ok_or(BadUrl::Auth)?))
        }
    };
    Ok((before, Some(UrlAuth { expire, access, verifier })))
}

fn proof(mechanism: &str, token: &str, rump_bytes: usize) -> Result<UrlVerifier, BadUrl> {
    let is_name = is_mechanism(mechanism.as_bytes());
    // enc-urlauth = 32*HEXDIG
    let is_token = token.len() >= 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_name || !is_token {
        return Err(BadUrl::Auth);
    }
    let mechanism = mechanism.to_ascii_uppercase();
    Ok(UrlVerifier { mechanism, token: token.to_owned(), rump_bytes })
}

/// `mechanism = "INTERNAL" / 1*(ALPHA / DIGIT / "-" / ".")`
pub fn is_mechanism(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

impl UrlAccess {
    /// `access = ("submit+" enc-user) / ("user+" enc-user) / "authuser" / "anonymous"`
    fn parse(text: &str) -> Result<Self, BadUrl> {
        let user = |text: &str| match decode(text) {
            Ok(user) if !user.is_empty() && !text.contains([';', '/', '?']) => Ok(user),
            _ => Err(BadUrl::Auth),
        };
        if text.eq_ignore_ascii_case("authuser") {
            Ok(Self::AuthUser)
        } else if text.eq_ignore_ascii_case("anonymous") {
            Ok(Self::Anonymous)
        } else if let Some(name) = strip_word(text, "submit+") {
            user(name).map(Self::Submit)
        } else if let Some(name) = strip_word(text, "user+") {
            user(name).map(Self::User)
        } else {
            Err(BadUrl::Auth)
        }
    }
}

/// `enc-section`: a section of FETCH without its brackets, percent-encoded.
fn decode_section(text: &str) -> Result<Section, BadUrl> {
    let section = decode(text)?;
    if section.is_empty() || section.contains(['\r', '\n']) {
        return Err(BadUrl::Form);
    }
    let bracketed = format!("[{section}]");
    parse_section(Frame::whole(bracketed.as_bytes())).map_err(|_| BadUrl::Form)
}

/// `partial-range = number ["." nz-number]`
fn range(text: &str) -> Option<(u64, Option<u64>)> {
    let (offset, length) = match text.split_once('.') {
        None => (text, None),
        Some((offset, length)) => (offset, Some(length)),
    };
    let length = match length {
        None => None,
        Some(length) => Some(u64::from(number(length)?)).filter(|length| *length > 0),
    };
    let is_whole = text.contains('.') == length.is_some();
    is_whole.then_some((u64::from(number(offset)?), length))
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Removes percent-encoding. What it hides has to be UTF-8 without NUL.
fn decode(text: &str) -> Result<String, BadUrl> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(BadUrl::Text) };
        match u8::try_from(high * 16 + low) {
            Ok(octet) if octet != 0 => decoded.push(octet),
            _ => return Err(BadUrl::Text),
        }
    }
    String::from_utf8(decoded).map_err(|_| BadUrl::Text)
}

/// What follows `word`, which stands in any letter case.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

/// Where `word` stands first, in any letter case. Only ASCII is looked through.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let windows = text.as_bytes().windows(word.len());
    windows.into_iter().position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// `date-time` of RFC 3339 §5.6 as seconds since 1970; fractions are dropped.
fn moment(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let time = time.strip_prefix(['T', 't'])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let fields = |text: &str, separator: char| -> Option<[i64; 3]> {
        let mut parts = text.split(separator).map(|part| number(part).map(i64::from));
        let fields = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(fields)
    };
    let [year, month, day] = fields(date, '-')?;
    let [hour, minute, second] = fields(clock, ':')?;
    let fraction =
        rest.strip_prefix('.').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = zone(fraction.unwrap_or(rest))?;
    // A leap second counts as the one after it.
    let is_time = hour < 24 && minute < 60 && second < 61;
    let days = days(year, month, day)?;
    is_time.then(|| days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// `time-offset = "Z" / ("+" / "-") time-hour ":" time-minute`, in seconds.
fn zone(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let (sign, clock) = match text.strip_prefix('+') {
        Some(clock) => (1, clock),
        None => (-1, text.strip_prefix('-')?),
    };
    let (hour, minute) = clock.split_once(':')?;
    let (hour, minute) = (i64::from(number(hour)?), i64::from(number(minute)?));
    (hour < 24 && minute < 60).then_some(sign * (hour * 3600 + minute * 60))
}

/// Days since 1970-01-01 in the Gregorian calendar; `None` for a day that does not exist.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let text = format!("{day}-{}-{year:04}", MONTHS.get(usize::try_from(month - 1).ok()?)?);
    mail_types::InternalDate::parse_date(&text).ok()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SectionText;

    fn url(text: &str) -> Result<ImapUrl, BadUrl> {
        ImapUrl::parse(text.as_bytes())
    }

    #[test]
    fn a_path_names_a_part_of_a_message() {
        let found = url("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME").unwrap();
        assert_eq!(found.mailbox, "Drafts");
        assert_eq!(found.uid_validity, UidValidity::new(385_759_045));
        assert_eq!(found.uid, Uid::new(20).unwrap());
        assert_eq!(found.section.part, [1]);
        assert_eq!(found.section.text, Some(SectionText::Mime));
        assert_eq!((found.server, found.partial, found.auth), (None, None, None));
        assert_eq!(url("/Drafts/;UID=3002").unwrap().section, Section::default());
    }

    #[test]
    fn names_and_sections_are_percent_encoded() {
        let found = url("/Lists/B%C3%A4r%3Bx/;uid=1/;SECTION=HEADER.FIELDS%20(DATE%20FROM)");
        let found = found.unwrap();
        assert_eq!(found.mailbox, "Lists/Bär;x");
        let Some(SectionText::HeaderFields(fields)) = found.section.text else { panic!() };
        assert_eq!(fields.0, [b"DATE".to_vec(), b"FROM".to_vec()]);
        for bad in ["/a%/;UID=1", "/a%4/;UID=1", "/a%FF/;UID=1", "/a%00/;UID=1", "/a b/;UID=1"] {
            assert_eq!(url(bad), Err(BadUrl::Text), "{bad}");
        }
    }

    #[test]
    fn a_partial_range_has_an_offset_and_perhaps_a_length() {
        let partial = |text| url(&format!("/a/;UID=1/;PARTIAL={text}")).map(|url| url.partial);
        assert_eq!(partial("0.1024"), Ok(Some((0, Some(1024)))));
        assert_eq!(partial("4294967295"), Ok(Some((u64::from(u32::MAX), None))));
        for bad in ["", "1.0", "1.", ".1", "1.2.3", "-1", "4294967296"] {
            assert_eq!(partial(bad), Err(BadUrl::Form), "{bad}");
        }
        let found = url("/a/;UID=1/;SECTION=2/;PARTIAL=1.2").unwrap();
        assert_eq!(found.section.part, [2]);
        assert_eq!(url("/a/;UID=1/;PARTIAL=1.2/;SECTION=2"), Err(BadUrl::Form));
    }

    #[test]
    fn an_authorized_url_tells_who_may_use_it_and_proves_it() {
        let rump = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred";
        let text = format!("{rump}:internal:91354a473744909de610943775f92038");
        let found = url(&text).unwrap();
        let server = found.server.unwrap();
        assert_eq!(server.user.as_deref(), Some("joe"));
        assert_eq!(server.host, "example.com");
        let auth = found.auth.unwrap();
        assert_eq!(auth.access, UrlAccess::Submit("fred".to_owned()));
        let verifier = auth.verifier.unwrap();
        assert_eq!(verifier.mechanism, "INTERNAL");
        assert_eq!(&text[..verifier.rump_bytes], rump);
        assert_eq!(url(rump).unwrap().auth.unwrap().verifier, None);
    }

    #[test]
    fn an_expiry_is_a_moment() {
        let expire = |time: &str| {
            let text = format!("imap://joe@example.com/a/;UID=1;EXPIRE={time};URLAUTH=anonymous");
            url(&text).map(|url| url.auth.unwrap().expire.unwrap())
        };
        assert_eq!(expire("1970-01-02T00:00:01Z"), Ok(86_401));
        assert_eq!(expire("2006-05-01T12:00:00.5-08:00"), Ok(1_146_513_600));
        for bad in [
            "",
            "2006-05-01",
            "2006-02-30T00:00:00Z",
            "2006-05-01T25:00:00Z",
            "2006-05-01T00:00:00",
        ] {
            assert_eq!(expire(bad), Err(BadUrl::Auth), "{bad}");
        }
    }

    #[test]
    fn what_names_no_message_is_refused() {
        for bad in ["/", "/INBOX", "/INBOX?SUBJECT%20x", "imap://joe@example.com", "imap://h/INBOX"]
        {
            assert_eq!(url(bad), Err(BadUrl::NoMessage), "{bad}");
        }
        // Relative paths must not be accepted. RFC 5092 §7.2
        for bad in ["", ";UID=1", "INBOX/;UID=1", "http://h/a/;UID=1", "imap:///a/;UID=1"] {
            assert_eq!(url(bad), Err(BadUrl::Form), "{bad}");
        }
        let form = [
            "/a/;UID=0",
            "/a/;UID=x",
            "/a;UIDVALIDITY=0/;UID=1",
            "/a/;UID=1/;SECTION=",
            "/a/;UID=1/;SECTION=MIME",
            "/a/;UID=1/;NEW=1",
            "/a/;UID=1/;SECTION=1/;SECTION=2",
        ];
        for bad in form {
            assert_eq!(url(bad), Err(BadUrl::Form), "{bad}");
        }
        for bad in ["", "fred", "submit+", "user+a/b", "authuser:internal", "authuser:internal:12"]
        {
            let text = format!("/a/;UID=1;URLAUTH={bad}");
            assert_eq!(url(&text), Err(BadUrl::Auth), "{bad}");
        }
    }
}
