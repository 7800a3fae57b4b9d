//! What is found against what is wanted. More than was asked for is no mistake: a policy of senders
//! may include others, and a domain may ask for a stricter treatment of mail that is not its own.

use super::spf::{self, Policy, Senders};
use super::tags::tag;
use super::{Data, Lookup, Need, Record, Site, line};
use crate::checks::{Finding, Grade};

/// Judges what was found under the name of a record, and what its policy of senders was found to
/// say, if it is one.
pub fn compare(record: &Record, found: &Lookup<Data>, senders: &Senders, site: &Site) -> Finding {
    let what = format!("{} {}", kind(record), record.name);
    let verdict = match found {
        Lookup::Failed(reason) => {
            let remedy = "ask again later; if it stays, look at the name server of the domain";
            return Finding::warn(what, format!("not known: {reason}"), remedy);
        }
        Lookup::Absent { .. } => Verdict::missing(),
        Lookup::Found { records, .. } => judge(record, records, senders, site),
    };
    let grade = match verdict.grade {
        Some(grade) => grade,
        None if record.need == Need::Must => Grade::Fail,
        None => Grade::Warn,
    };
    let remedy = match verdict.remedy {
        Some(remedy) => Some(remedy),
        None if grade == Grade::Ok => None,
        None => Some(format!("set {}", line(record))),
    };
    Finding { what, grade, said: verdict.said, remedy }
}

/// What is thought of it; without a grade it is as bad as the record is needed, without a remedy
/// the record is to be set.
struct Verdict {
    grade: Option<Grade>,
    said: String,
    remedy: Option<String>,
}

impl Verdict {
    fn ok(said: impl Into<String>) -> Self {
        Self { grade: Some(Grade::Ok), said: said.into(), remedy: None }
    }

    fn missing() -> Self {
        Self::wrong("is missing")
    }

    fn wrong(said: impl Into<String>) -> Self {
        Self { grade: None, said: said.into(), remedy: None }
    }

    fn graded(grade: Grade, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { grade: Some(grade), said: said.into(), remedy: Some(remedy.into()) }
    }
}

fn judge(record: &Record, found: &[Data], senders: &Senders, site: &Site) -> Verdict {
    match &record.data {
        Data::Address(_) => addresses(&record.data, found, site),
        Data::Mx { exchange, .. } => exchangers(exchange, found),
        Data::Txt(text) => texts(text, found, senders),
        Data::Cname(_) => leads_here(found, site),
        Data::Srv { .. } if found.contains(&record.data) => Verdict::ok("as it should be"),
        Data::Srv { port, target, .. } => match services(*port, target, found) {
            true => Verdict::ok("leads here, with an order of its own"),
            false => Verdict::wrong("leads elsewhere"),
        },
        Data::Tlsa { .. } if found.contains(&record.data) => Verdict::ok("the certificate's key"),
        // RFC 7672 §2.2: whoever looks at it does not deliver to another key.
        Data::Tlsa { .. } => Verdict {
            grade: Some(Grade::Fail),
            said: "names another key than the certificate has: mail is not delivered".into(),
            remedy: None,
        },
        Data::Caa { issuer } => issuers(issuer, found),
    }
}

fn addresses(wanted: &Data, found: &[Data], site: &Site) -> Verdict {
    if !found.contains(wanted) {
        return Verdict::wrong("leads elsewhere");
    }
    let is_foreign = |data: &&Data| match data {
        Data::Address(address) => !site.addresses.contains(address),
        _ => false,
    };
    match found.iter().find(is_foreign) {
        Some(Data::Address(other)) => Verdict::graded(
            Grade::Warn,
            format!("leads to {other} as well, which is not known as this server's"),
            "remove that address, or name it to the doctor with --address",
        ),
        _ => Verdict::ok("leads here"),
    }
}

fn exchangers(ours: &str, found: &[Data]) -> Verdict {
    let exchange = |data: &Data| match data {
        Data::Mx { preference, exchange } => Some((*preference, exchange.clone())),
        _ => None,
    };
    let mut all: Vec<_> = found.iter().filter_map(exchange).collect();
    all.sort();
    let Some((first, name)) = all.first() else { return Verdict::missing() };
    let here = all.iter().find(|(_, name)| name == ours);
    match here {
        Some((preference, _)) if preference == first => Verdict::ok("mail comes here"),
        Some(_) => Verdict::graded(
            Grade::Warn,
            format!("mail goes to {name} first"),
            "give this server the lowest preference, unless that is meant",
        ),
        None => Verdict::wrong(format!("mail goes to {}", shown_exchange(name))),
    }
}

/// RFC 7505 §3: the root alone says that a domain takes no mail.
fn shown_exchange(name: &str) -> &str {
    if name.is_empty() { "nobody (null MX)" } else { name }
}

/// Whether the record of a key is found as it is wanted.
pub fn shows_key(wanted: &str, found: &[Data]) -> bool {
    key(wanted, &all_texts(found)).grade == Some(Grade::Ok)
}

fn all_texts(found: &[Data]) -> Vec<String> {
    let text = |data: &Data| match data {
        Data::Txt(text) => Some(text.clone()),
        _ => None,
    };
    found.iter().filter_map(text).collect()
}

fn texts(wanted: &str, found: &[Data], seen: &Senders) -> Verdict {
    let all = all_texts(found);
    if spf::is_policy(wanted) {
        let policies: Vec<_> = all.iter().filter(|text| spf::is_policy(text)).collect();
        return senders(&policies, seen.policy());
    }
    let version = tag(wanted, "v").unwrap_or_default();
    let of_version = |text: &&String| tag(text, "v").as_deref() == Some(version.as_str());
    match version.as_str() {
        "DKIM1" => key(wanted, &all),
        // RFC 9989 §4.10, RFC 8461 §3.1, RFC 8460 §3: two of them count as none.
        _ => match all.iter().filter(of_version).collect::<Vec<_>>().as_slice() {
            [] => Verdict::missing(),
            [one] => policy(&version, one, wanted),
            _ => Verdict::graded(
                Grade::Fail,
                "stands there twice, so that all of it is ignored",
                "leave one of them",
            ),
        },
    }
}

fn senders(policies: &[&String], policy: Policy) -> Verdict {
    let text = match policies {
        [] => return Verdict::missing(),
        [one] => one,
        // RFC 7208 §4.5
        _ => {
            let said = "there are several policies of senders, which is an error to all who look";
            return Verdict::graded(Grade::Fail, said, "merge them into one record");
        }
    };
    let warn = |said: &str, remedy| Verdict::graded(Grade::Warn, format!("{said}: {text}"), remedy);
    let wrong = |said: String, remedy: &str| Verdict {
        grade: None,
        said: format!("{said}: {text}"),
        remedy: Some(remedy.to_owned()),
    };
    match policy {
        Policy::Lets => Verdict::ok(format!("lets this server send: {text}")),
        Policy::LetsAll => warn(
            "lets everybody send in the name of the domain",
            "end it with -all, and name networks that are yours",
        ),
        Policy::Refuses(address) => wrong(
            format!("does not let this server send from {address}"),
            match text.split(' ').any(|term| term == "mx") {
                true => "mx lets the servers of the MX records send: set those first",
                false => "put mx, or the addresses of the server, behind v=spf1",
            },
        ),
        // RFC 7208 §4.6: whoever looks takes it as if there were no policy, or refuses the mail.
        Policy::Wrong => wrong(
            "it, or what it includes, has an error, or asks more than ten names".to_owned(),
            "look for slips, and for what is included more than once",
        ),
        Policy::Unanswered => warn("a name that it asks for is not answered", "ask again later"),
        Policy::AddressUnknown => warn(
            "whether it lets this server send is not known",
            "name this machine's public address with --address",
        ),
    }
}

/// RFC 6376 §3.6.1: `v` may be left out, and what counts is the key.
fn key(wanted: &str, found: &[String]) -> Verdict {
    let wanted = tag(wanted, "p");
    let keys: Vec<_> = found.iter().filter_map(|text| tag(text, "p")).collect();
    match keys.as_slice() {
        [] => Verdict::missing(),
        [one] if Some(one) == wanted.as_ref() => Verdict::ok("the key of this server"),
        [one] if one.is_empty() => Verdict::wrong("the key is revoked there"),
        [_] => Verdict::wrong("another key stands there, or a part of it: no signature holds"),
        _ => Verdict::wrong("several keys stand there; which is taken is not defined"),
    }
}

fn policy(version: &str, text: &str, wanted: &str) -> Verdict {
    let needed: &[&str] = match version {
        "DMARC1" => &["p"],
        "STSv1" => &["id"],
        _ => &["rua"],
    };
    if needed.iter().any(|name| tag(text, name).is_none_or(|value| value.is_empty())) {
        return Verdict::wrong(format!("lacks {}: {text}", needed.join(", ")));
    }
    // RFC 8461 §3.1: whoever knows the policy of this id does not ask for another.
    if version == "STSv1" && tag(text, "id") != tag(wanted, "id") {
        return Verdict::wrong("has the id of another policy: others do not hear of this one");
    }
    match (version, tag(text, "p").as_deref()) {
        ("DMARC1", Some("none")) => {
            Verdict::ok("asks for reports only; p=quarantine once they show no mail of yours")
        }
        ("DMARC1", Some("quarantine" | "reject")) => Verdict::ok(text.to_owned()),
        ("DMARC1", _) => Verdict::wrong(format!("p is none, quarantine or reject: {text}")),
        _ => Verdict::ok(text.to_owned()),
    }
}

fn leads_here(found: &[Data], site: &Site) -> Verdict {
    let is_here =
        |data: &Data| matches!(data, Data::Address(address) if site.addresses.contains(address));
    if found.iter().any(is_here) {
        Verdict::ok("leads here")
    } else {
        Verdict::wrong("leads elsewhere")
    }
}

fn services(port: u16, target: &str, found: &[Data]) -> bool {
    found.iter().any(
        |data| matches!(data, Data::Srv { port: p, target: t, .. } if *p == port && t == target),
    )
}

/// RFC 8659 §4.2: whoever is not named may not issue.
fn issuers(wanted: &str, found: &[Data]) -> Verdict {
    let is_ours = |data: &Data| matches!(data, Data::Caa { issuer } if issuer == wanted);
    if found.iter().any(is_ours) {
        return Verdict::ok("the issuer may, and nobody else");
    }
    Verdict {
        grade: Some(Grade::Fail),
        said: format!("{wanted} may not issue the certificate"),
        remedy: None,
    }
}

fn kind(record: &Record) -> &'static str {
    match &record.data {
        Data::Address(_) => "address",
        Data::Mx { .. } => "MX",
        Data::Txt(text) if spf::is_policy(text) => "SPF",
        Data::Txt(text) => match tag(text, "v").as_deref() {
            Some("DKIM1") => "DKIM",
            Some("DMARC1") => "DMARC",
            Some("STSv1") => "MTA-STS",
            _ => "TLS-RPT",
        },
        Data::Cname(_) => "CNAME",
        Data::Srv { .. } => "SRV",
        Data::Tlsa { .. } => "TLSA",
        Data::Caa { .. } => "CAA",
    }
}

#[cfg(test)]
mod tests {
    use sender_auth::SpfResult;

    use super::super::spf::tests::senders;
    use super::super::tests::site;
    use super::super::wanted;
    use super::*;

    /// As if the policy of senders let this server send.
    fn compare(record: &Record, found: &Lookup<Data>, site: &Site) -> Finding {
        super::compare(record, found, &senders(&[SpfResult::Pass]), site)
    }

    fn found(records: Vec<Data>) -> Lookup<Data> {
        Lookup::Found { records, secure: false }
    }

    fn txt(text: &str) -> Data {
        Data::Txt(text.into())
    }

    fn record(kind_of: &str, name: &str) -> Record {
        let records = wanted(&site());
        records.into_iter().find(|it| kind(it) == kind_of && it.name == name).unwrap()
    }

    fn grade(kind_of: &str, name: &str, records: Vec<Data>) -> Grade {
        compare(&record(kind_of, name), &found(records), &site()).grade
    }

    #[test]
    fn every_record_is_ok_if_it_is_found_as_it_is_wanted() {
        let site = site();
        for record in wanted(&site) {
            // Whoever asks for another name is told its addresses.
            let records = match &record.data {
                Data::Cname(_) | Data::Address(_) => {
                    site.addresses.iter().map(|address| Data::Address(*address)).collect()
                }
                data => vec![data.clone()],
            };
            let finding = compare(&record, &found(records), &site);
            assert_eq!((finding.grade, finding.remedy), (Grade::Ok, None), "{record:?}");
        }
    }

    #[test]
    fn a_missing_record_fails_if_it_must_be_there_and_the_remedy_is_the_line_to_add() {
        for record in wanted(&site()) {
            let finding = compare(&record, &Lookup::Absent { secure: false }, &site());
            let expected = if record.need == Need::Must { Grade::Fail } else { Grade::Warn };
            assert_eq!(finding.grade, expected, "{record:?}");
            assert!(finding.remedy.unwrap().contains(&line(&record)));
            let failed = compare(&record, &Lookup::Failed("time".into()), &site());
            assert_eq!(failed.grade, Grade::Warn);
        }
    }

    #[test]
    fn mail_must_come_here_first() {
        let mx = |preference, exchange: &str| Data::Mx { preference, exchange: exchange.into() };
        let ours = "mail.example.org";
        let grade = |records| grade("MX", "example.org", records);
        assert_eq!(grade(vec![mx(5, ours), mx(10, "backup.example.net")]), Grade::Ok);
        assert_eq!(grade(vec![mx(5, "filter.example.net"), mx(10, ours)]), Grade::Warn);
        assert_eq!(grade(vec![mx(5, "mail.example.net")]), Grade::Fail);
        assert_eq!(grade(vec![mx(0, "")]), Grade::Fail);
    }

    #[test]
    fn a_policy_of_senders_may_say_more_but_stands_there_once() {
        let grade = |texts: &[&str]| {
            grade("SPF", "example.org", texts.iter().map(|text| txt(text)).collect())
        };
        assert_eq!(grade(&["verification=1", "v=spf1 include:_spf.x.example mx ~all"]), Grade::Ok);
        assert_eq!(grade(&["v=spf1 mx -all", "v=spf1 a -all"]), Grade::Fail);
        assert_eq!(grade(&["verification=1"]), Grade::Fail);
    }

    #[test]
    fn a_policy_of_senders_is_as_good_as_what_it_says_of_this_server() {
        let finding = |name, seen: &Senders| {
            let text = found(vec![txt("v=spf1 include:_spf.x.example -all")]);
            super::compare(&record("SPF", name), &text, seen, &site())
        };
        let grade = |name, result| finding(name, &senders(&[result])).grade;
        for (result, must, better) in [
            (SpfResult::Pass, Grade::Ok, Grade::Ok),
            (SpfResult::Fail, Grade::Fail, Grade::Warn),
            (SpfResult::PermError, Grade::Fail, Grade::Warn),
            (SpfResult::TempError, Grade::Warn, Grade::Warn),
        ] {
            assert_eq!(grade("example.org", result), must, "{result:?}");
            assert_eq!(grade("mail.example.org", result), better, "{result:?}");
        }
        assert_eq!(finding("example.org", &senders(&[])).grade, Grade::Warn);
        let refused = finding("example.org", &senders(&[SpfResult::Pass, SpfResult::SoftFail]));
        assert!(refused.said.contains("from 192.0.2.1: v=spf1"), "{}", refused.said);
        let open = Senders { nobody: Some(SpfResult::Pass), ..senders(&[SpfResult::Pass]) };
        assert_eq!(finding("example.org", &open).grade, Grade::Warn);
    }

    #[test]
    fn a_key_is_compared_and_the_tags_around_it_are_not() {
        let name = "e1._domainkey.example.org";
        let p = "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let grade = |text: String| grade("DKIM", name, vec![txt(&text)]);
        assert_eq!(grade(format!("k=ed25519; t=s; {p};")), Grade::Ok);
        assert_eq!(grade(p.replace("YKx", "YK x")), Grade::Ok);
        assert_eq!(grade("v=DKIM1; k=ed25519; p=".into()), Grade::Fail);
        assert_eq!(grade("v=DKIM1; k=ed25519; p=11qY".into()), Grade::Fail);
        assert_eq!(grade("v=DKIM1".into()), Grade::Fail);
    }

    #[test]
    fn a_stricter_policy_is_ok_and_a_broken_one_is_not() {
        let grade = |texts: &[&str]| {
            grade("DMARC", "_dmarc.example.org", texts.iter().map(|text| txt(text)).collect())
        };
        assert_eq!(grade(&["v=DMARC1; p=none"]), Grade::Ok);
        assert_eq!(grade(&["v=DMARC1; p=reject; adkim=s"]), Grade::Ok);
        assert_eq!(grade(&["v=DMARC1; p=rejct"]), Grade::Fail);
        assert_eq!(grade(&["v=DMARC1; rua=mailto:a@b.example"]), Grade::Fail);
        assert_eq!(grade(&["v=DMARC1; p=none", "v=DMARC1; p=reject"]), Grade::Fail);
    }

    #[test]
    fn a_policy_for_transport_security_is_known_by_its_id() {
        let grade = |text: &str| grade("MTA-STS", "_mta-sts.example.org", vec![txt(text)]);
        assert_eq!(grade("v=STSv1;id=20261126;"), Grade::Ok);
        assert_eq!(grade("v=STSv1; id=20250101"), Grade::Warn);
        assert_eq!(grade("v=STSv1"), Grade::Warn);
    }

    #[test]
    fn what_stops_mail_or_certificates_fails_although_it_need_not_be_there() {
        let other = Data::Tlsa { usage: 3, selector: 1, matching: 1, data: vec![1; 32] };
        assert_eq!(grade("TLSA", "_25._tcp.mail.example.org", vec![other.clone()]), Grade::Fail);
        let ours = record("TLSA", "_25._tcp.mail.example.org").data;
        // The next key may be announced before it is used. RFC 7671 §8.1
        assert_eq!(grade("TLSA", "_25._tcp.mail.example.org", vec![other, ours]), Grade::Ok);
        let caa = |issuer: &str| Data::Caa { issuer: issuer.into() };
        assert_eq!(grade("CAA", "mail.example.org", vec![caa("ca.example")]), Grade::Fail);
        let both = vec![caa("ca.example"), caa("letsencrypt.org")];
        assert_eq!(grade("CAA", "mail.example.org", both), Grade::Ok);
    }

    #[test]
    fn names_that_lead_elsewhere_are_told() {
        let at = |address: &str| Data::Address(address.parse().unwrap());
        let ours = || at("192.0.2.25");
        assert_eq!(grade("address", "mail.example.org", vec![at("192.0.2.9")]), Grade::Fail);
        let both = vec![ours(), at("192.0.2.9")];
        assert_eq!(grade("address", "mail.example.org", both), Grade::Warn);
        assert_eq!(grade("CNAME", "autoconfig.example.org", vec![ours()]), Grade::Ok);
        assert_eq!(grade("CNAME", "autoconfig.example.org", vec![at("192.0.2.9")]), Grade::Warn);
        let srv = |port, priority| {
            let target = "mail.example.org".into();
            vec![Data::Srv { priority, weight: 0, port, target }]
        };
        assert_eq!(grade("SRV", "_imaps._tcp.example.org", srv(993, 5)), Grade::Ok);
        assert_eq!(grade("SRV", "_imaps._tcp.example.org", srv(143, 5)), Grade::Warn);
    }
}
