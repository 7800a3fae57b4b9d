//! The certificate that is served: whether it is for this server, whether others trust it, and for
//! how long.

use net::{CertificateFiles, Facts, Remaining, Tls, remaining};

use crate::checks::Finding;

/// What is to be said of a certificate that is kept in files.
pub fn findings(files: &CertificateFiles, hostname: &str, now: i64) -> Vec<Finding> {
    let file = files.certificate.display();
    match Tls::new(files) {
        Ok(tls) => match tls.facts() {
            Some(facts) => judge(&facts, hostname, now),
            None => vec![Finding::warn(WHAT, "it cannot be read", "make a new one")],
        },
        Err(error) => {
            let remedy = format!("put a certificate and its key where {file} is expected");
            vec![Finding::fail(WHAT, error.to_string(), remedy)]
        }
    }
}

fn judge(facts: &Facts, hostname: &str, now: i64) -> Vec<Finding> {
    let mut all = Vec::new();
    if facts.is_self_issued {
        let remedy = "get one from an authority; mail programs warn until then";
        all.push(Finding::warn(WHAT, "nobody else vouches for it", remedy));
    }
    if !facts.names.iter().any(|name| covers(name, hostname)) {
        let names = facts.names.join(", ");
        let remedy = format!("get one for {hostname}: clients refuse another");
        all.push(Finding::fail(WHAT, format!("it is for {names}"), remedy));
    }
    let renew = "renew it; the server reads it again by itself";
    match remaining(facts, now) {
        Remaining::Enough => {}
        Remaining::Little { hours } => {
            all.push(Finding::warn(WHAT, format!("it ends in {hours} hours"), renew));
        }
        Remaining::None => all.push(Finding::fail(WHAT, "it has ended", renew)),
    }
    if now < facts.not_before {
        all.push(Finding::fail(WHAT, "it is not valid yet", "set the clock"));
    }
    if all.is_empty() {
        let days = facts.not_after.saturating_sub(now) / (24 * 3600);
        all.push(Finding::ok(WHAT, format!("is for {hostname}, for {days} days more")));
    }
    all
}

/// A star stands for one label. RFC 9525 §6.3
fn covers(name: &str, hostname: &str) -> bool {
    let is_star = |tail: &str| hostname.split_once('.').is_some_and(|(_, rest)| rest == tail);
    match name.strip_prefix("*.") {
        Some(tail) => is_star(&tail.to_ascii_lowercase()),
        None => name.eq_ignore_ascii_case(hostname),
    }
}

const WHAT: &str = "certificate";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{Grade, worst};

    const DAY: i64 = 24 * 3600;
    const HOST: &str = "mail.example.org";

    fn facts() -> Facts {
        Facts {
            not_before: 0,
            not_after: 90 * DAY,
            names: vec!["Mail.example.org".into()],
            serial: vec![1],
            authority_key: None,
            is_self_issued: false,
        }
    }

    fn grade(facts: Facts, now: i64) -> Grade {
        worst(&judge(&facts, HOST, now))
    }

    #[test]
    fn a_certificate_is_good_ends_soon_or_has_ended() {
        assert_eq!(grade(facts(), DAY), Grade::Ok);
        assert_eq!(grade(facts(), 89 * DAY), Grade::Warn);
        assert_eq!(grade(facts(), 91 * DAY), Grade::Fail);
        assert_eq!(grade(facts(), -1), Grade::Fail);
    }

    #[test]
    fn a_certificate_for_another_name_fails_and_one_of_our_own_is_warned_of() {
        let named = |name: &str| Facts { names: vec![name.into()], ..facts() };
        assert_eq!(grade(named("*.example.org"), DAY), Grade::Ok);
        assert_eq!(grade(named("*.org"), DAY), Grade::Fail);
        assert_eq!(grade(named("example.org"), DAY), Grade::Fail);
        assert_eq!(grade(Facts { is_self_issued: true, ..facts() }, DAY), Grade::Warn);
    }

    #[test]
    fn files_are_read_as_the_server_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path(), HOST).unwrap();
        let now = 1_795_651_200;
        assert_eq!(worst(&findings(&files, HOST, now)), Grade::Warn);
        std::fs::write(&files.key, "spoiled").unwrap();
        assert_eq!(worst(&findings(&files, HOST, now)), Grade::Fail);
    }
}
