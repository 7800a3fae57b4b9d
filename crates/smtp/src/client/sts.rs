//! MTA-STS without its shell: what a domain's record and its policy say. RFC 8461

/// A policy. RFC 8461 §3.2
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    /// Whether it binds.
    pub(super) mode: Mode,
    /// Names of servers, in small letters; `*.` stands for one label.
    pub(super) mx: Vec<String>,
    /// How long it may be kept, in seconds.
    pub(super) max_age_secs: u64,
}

/// What a policy wants. RFC 8461 §5
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    /// Nothing is delivered elsewhere or without a verified certificate.
    Enforce,
    /// What would not be is told, and delivered.
    Testing,
    /// There is no policy any more.
    None,
}

/// The id of the policy that a domain announces, from the texts at `_mta-sts`. RFC 8461 §3.1
///
/// ```text
/// sts-text-record = sts-version 1*(sts-field-delim sts-field) [sts-field-delim]
/// sts-version     = %s"v=STSv1"
/// sts-id          = %s"id=" 1*32(ALPHA / DIGIT)
/// ```
pub(super) fn announced(texts: &[String]) -> Option<String> {
    let mut records = texts.iter().filter_map(|text| {
        let rest = text.strip_prefix("v=STSv1")?.trim_start_matches([' ', '\t']);
        rest.strip_prefix(';')
    });
    // RFC 8461 §3.1: several records are none.
    let (record, None) = (records.next()?, records.next()) else { return None };
    let mut ids = record.split(';').filter_map(|field| field.trim().strip_prefix("id="));
    let id = ids.next()?;
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| id.to_owned())
}

/// Reads a policy. RFC 8461 §3.2
///
/// ```text
/// sts-policy-record        = sts-policy-field *(sts-policy-term sts-policy-field)
///                            [sts-policy-term]
/// sts-policy-field-generic = sts-policy-ext-name ":" *WSP sts-policy-ext-value
/// sts-policy-term          = LF / CRLF
/// ```
///
/// # Errors
/// With what is wrong.
pub(super) fn parse(text: &[u8]) -> Result<Policy, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "the policy is no text")?;
    let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim_matches([' ', '\t']);
        // RFC 8461 §3.2: the first of several counts, but for mx.
        match name.trim_matches([' ', '\t']) {
            "version" => version = version.or(Some(value)),
            "mode" => mode = mode.or(Some(value)),
            "max_age" => max_age = max_age.or(Some(value)),
            "mx" if mx.len() == PATTERNS_MAX => return Err("the policy names too many servers"),
            "mx" if value.len() > PATTERN_BYTES_MAX => {
                return Err("the policy names what is no server");
            }
            "mx" => mx.push(value.trim_end_matches('.').to_ascii_lowercase()),
            _ => {}
        }
    }
    if version != Some("STSv1") {
        return Err("the policy is of another version");
    }
    let mode = match mode {
        Some("enforce") => Mode::Enforce,
        Some("testing") => Mode::Testing,
        Some("none") => Mode::None,
        _ => return Err("the policy has no mode"),
    };
    let digits = max_age.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let max_age = digits.and_then(|text| text.parse::<u64>().ok());
    let max_age_secs = max_age.ok_or("the policy has no max_age")?.min(MAX_AGE_SECS_MAX);
    if mx.is_empty() && mode != Mode::None {
        return Err("the policy names no server");
    }
    Ok(Policy { mode, mx, max_age_secs })
}

impl Policy {
    /// Whether a server is one of those that it names. RFC 8461 §4.1
    pub(super) fn names(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            None => host.eq_ignore_ascii_case(pattern),
            // One label and no more.
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && rest.eq_ignore_ascii_case(parent)
            }),
        })
    }

    /// Its lines, for reports. RFC 8460 §4.4
    pub(super) fn lines(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {mode}")];
        lines.extend(self.mx.iter().map(|pattern| format!("mx: {pattern}")));
        lines.push(format!("max_age: {}", self.max_age_secs));
        lines
    }
}

/// RFC 8461 §3.2: about a year.
const MAX_AGE_SECS_MAX: u64 = 31_557_600;

/// Servers that a policy may name.
const PATTERNS_MAX: usize = 100;

/// Octets of one of them: a name has 253, and `*.` may stand before it. RFC 1035 §2.3.4
const PATTERN_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_announces_a_policy_by_its_id() {
        let id = |texts: &[&str]| {
            announced(&texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=1"]).as_deref(), Some("1"));
        assert_eq!(id(&["v=STSv1 ; x=y; id=a"]).as_deref(), Some("a"));
        for none in [
            &["v=STSv1; id=1", "v=STSv1; id=1"][..],
            &["v=STSv1"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a b"],
            &["v=STSv2; id=1"],
            &["V=STSv1; id=1"],
            &["v=STSv1; id=123456789012345678901234567890123"],
            &[],
        ] {
            assert_eq!(id(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_policy_is_read_as_it_was_written() {
        let text = b"version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\nmx:*.example.net\n\
                     mx: backup.example.com.\r\nmax_age: 604800\r\nnew: thing\r\n";
        let policy = parse(text).unwrap();
        let mx = ["mail.example.com", "*.example.net", "backup.example.com"];
        let mx = mx.map(str::to_owned).to_vec();
        assert_eq!(policy, Policy { mode: Mode::Enforce, mx, max_age_secs: 604_800 });
        assert_eq!(parse(policy.lines().join("\n").as_bytes()).unwrap(), policy);
        let none = parse(b"version: STSv1\nmode: none\nmax_age: 99999999999\n").unwrap();
        assert_eq!((none.mode, none.max_age_secs), (Mode::None, MAX_AGE_SECS_MAX));
    }

    #[test]
    fn what_is_no_policy_is_told() {
        for wrong in [
            "mode: enforce\nmx: a\nmax_age: 1",
            "version: STSv2\nmode: enforce\nmx: a\nmax_age: 1",
            "version: STSv1\nmode: sometimes\nmx: a\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1",
            "version: STSv1\nmode: enforce\nmx: a\nmax_age: +1",
            "version: STSv1\nmode: enforce\nmx: a",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "<html>",
            "",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parse(b"version: STSv1\xff\n").is_err());
        let long = "m".repeat(PATTERN_BYTES_MAX + 1);
        assert!(parse(format!("version: STSv1\nmx: {long}\n").as_bytes()).is_err());
        let many = format!("version: STSv1\n{}", "mx: a\n".repeat(PATTERNS_MAX + 1));
        assert!(parse(many.as_bytes()).is_err());
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let mx = ["mail.example.com", "*.example.net"].map(str::to_owned).to_vec();
        let policy = Policy { mode: Mode::Enforce, mx, max_age_secs: 1 };
        for named in ["mail.example.com", "MAIL.example.COM", "a.example.net"] {
            assert!(policy.names(named), "{named}");
        }
        for other in [
            "example.com",
            "example.net",
            "a.b.example.net",
            ".example.net",
            "mail.example.com.evil.example",
            "evilmail.example.com",
        ] {
            assert!(!policy.names(other), "{other}");
        }
    }
}
