//! Our policy for transport security: that mail for our domains may come over verified TLS only.
//! RFC 8461

use std::fmt::Write as _;

/// What senders are to do when TLS cannot be verified. RFC 8461 §5
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Deliver, and report.
    #[default]
    Testing,
    /// Not deliver.
    Enforce,
    /// Forget about the policy.
    None,
}

/// The policy of our domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What senders are to do.
    pub mode: Mode,
    /// The hosts that take mail; `*.example.org` stands for one label.
    pub mx: Vec<String>,
    /// For how many seconds senders keep the policy.
    pub max_age_secs: u32,
}

impl Policy {
    /// The policy as it is served.
    ///
    /// ```text
    /// sts-policy-record = sts-policy-field *WSP
    ///                     *(sts-policy-term sts-policy-field *WSP) [sts-policy-term]
    /// sts-policy-term   = LF / CRLF
    /// ```
    /// RFC 8461 §3.2
    pub fn text(&self) -> String {
        let mode = match self.mode {
            Mode::Testing => "testing",
            Mode::Enforce => "enforce",
            Mode::None => "none",
        };
        let mut text = format!("version: STSv1\r\nmode: {mode}\r\n");
        for host in &self.mx {
            // A String takes everything.
            let _ = write!(text, "mx: {host}\r\n");
        }
        let _ = write!(text, "max_age: {}\r\n", self.max_age_secs);
        text
    }

    /// What tells one policy from another, for the TXT record at `_mta-sts`: it changes with the
    /// policy and not otherwise. RFC 8461 §3.1
    pub fn id(&self) -> String {
        let hash = blake3::hash(self.text().as_bytes()).to_hex();
        hash.chars().take(ID_CHARS).collect()
    }
}

/// RFC 8461 §3.1: letters and digits, at most 32.
const ID_CHARS: usize = 20;

/// The longest time that a policy may be kept. RFC 8461 §3.2
pub const MAX_AGE_SECS_MAX: u32 = 31_557_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_written_as_in_the_example() {
        let mx = ["mail.example.com", "*.example.net"].map(str::to_owned).to_vec();
        let policy = Policy { mode: Mode::Enforce, mx, max_age_secs: 604_800 };
        // RFC 8461 §3.2
        let expected = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\n\
                        mx: *.example.net\r\nmax_age: 604800\r\n";
        assert_eq!(policy.text(), expected);
    }

    #[test]
    fn the_id_changes_with_the_policy() {
        let policy = Policy { mode: Mode::Testing, mx: vec!["a.example".into()], max_age_secs: 1 };
        assert_eq!(policy.id(), policy.clone().id());
        assert_ne!(policy.id(), Policy { mode: Mode::Enforce, ..policy.clone() }.id());
        assert!(policy.id().len() <= 32 && policy.id().chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
