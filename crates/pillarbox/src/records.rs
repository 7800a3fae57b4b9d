//! The records of the domain name system that a mail domain needs, and those that make it better.
//!
//! What a domain needs follows from how its server is set up, so it is computed and never kept: the
//! first set-up prints these records, `pillarbox dns records` prints them again, and the doctor
//! compares them with what the world is told.

mod compare;
mod site;
mod spf;
mod tags;
mod zone;

use std::net::IpAddr;

use sender_auth::keys::{self, Key, KeyError};

pub use self::compare::{compare, shows_key};
pub use self::spf::{Policy as SendersPolicy, Senders, is_policy as is_senders_policy};
pub use self::zone::{entry, line, table, zone};

/// A server and the domains whose mail it keeps, as far as records depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// The server's name, in small letters.
    pub hostname: String,
    /// Its domains, in small letters.
    pub domains: Vec<String>,
    /// Where the world reaches it.
    pub addresses: Vec<IpAddr>,
    /// The public halves of the keys that sign its mail.
    pub keys: Vec<PublicKey>,
    /// SHA-256 of the public key of its certificate, if that key stays the same for long.
    pub certificate_key: Option<[u8; 32]>,
    /// The version of the policy for transport security that is served, if one is.
    pub policy_id: Option<String>,
    /// Who may issue its certificate, as named in CAA.
    pub issuer: Option<String>,
    /// The ports at which clients are served.
    pub ports: Ports,
}

/// The ports at which clients are served; `None` if they are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// IMAP with TLS from the start.
    pub imaps: Option<u16>,
    /// Submission with TLS from the start.
    pub submissions: Option<u16>,
    /// Submission with STARTTLS.
    pub submission: Option<u16>,
    /// HTTPS: policies and settings of mail programs.
    pub https: Option<u16>,
}

/// The public half of a key that signs mail. RFC 6376 §3.6.1
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Whose mail it signs.
    pub domain: String,
    /// What the key is called there.
    pub selector: String,
    /// The text of its record, as `v=DKIM1; k=rsa; p=…`.
    pub text: String,
    /// How it is used.
    pub used: KeyUse,
}

/// How a key is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// It signs, or will once its record is seen.
    Signs,
    /// No longer; its record is for mail that is under way.
    Retired,
}

impl PublicKey {
    /// The public half of a key that is kept as PEM and signs.
    ///
    /// # Errors
    /// When it is no key that signs mail.
    pub fn of(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, KeyError> {
        let text = keys::dns_record(&Key::from_pem(pem)?);
        let (domain, selector) = (domain.to_owned(), selector.to_owned());
        Ok(Self { domain, selector, text, used: KeyUse::Signs })
    }

    /// Where its record stands.
    pub fn name(&self) -> String {
        key_name(&self.selector, &self.domain)
    }
}

/// Where the record of a key stands. RFC 6376 §3.6.2.1
pub fn key_name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// One record that shall be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The domain that it is for.
    pub domain: String,
    /// Its owner name, in full and without a dot at the end.
    pub name: String,
    /// What it says.
    pub data: Data,
    /// How much depends on it.
    pub need: Need,
    /// What it is good for.
    pub purpose: &'static str,
}

impl Record {
    /// Whether it says who sends for its name.
    pub fn is_senders_policy(&self) -> bool {
        matches!(&self.data, Data::Txt(text) if is_senders_policy(text))
    }
}

/// How much depends on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it mail does not arrive, or is refused elsewhere.
    Must,
    /// Mail flows without it, but not as safely or as conveniently.
    Better,
}

/// What a record says. Names are in full, in small letters, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// A mail exchanger, of which the lowest preference goes first. RFC 5321 §5.1
    Mx { preference: u16, exchange: String },
    /// A text, its strings joined.
    Txt(String),
    /// Another name.
    Cname(String),
    /// Where a service is. RFC 2782
    Srv { priority: u16, weight: u16, port: u16, target: String },
    /// Which certificate is used. RFC 6698 §2.1
    Tlsa { usage: u8, selector: u8, matching: u8, data: Vec<u8> },
    /// Who may issue certificates. RFC 8659 §4.2
    Caa { issuer: String },
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// There are such records.
    Found { records: Vec<T>, secure: bool },
    /// There are none.
    Absent { secure: bool },
    /// Nobody knows.
    Failed(String),
}

impl<T> Lookup<T> {
    /// What was found; nothing if nothing was, or nobody knows.
    pub fn records(&self) -> &[T] {
        match self {
            Self::Found { records, .. } => records,
            Self::Absent { .. } | Self::Failed(_) => &[],
        }
    }

    /// Whether the zone proved its answer; `None` if there was no answer.
    pub fn is_secure(&self) -> Option<bool> {
        match self {
            Self::Found { secure, .. } | Self::Absent { secure } => Some(*secure),
            Self::Failed(_) => None,
        }
    }

    /// The same answer with other records.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Lookup<U> {
        match self {
            Self::Found { records, secure } => {
                Lookup::Found { records: records.into_iter().map(change).collect(), secure }
            }
            Self::Absent { secure } => Lookup::Absent { secure },
            Self::Failed(reason) => Lookup::Failed(reason),
        }
    }
}

/// Every record that the domains of a site shall have, those that must be there first.
pub fn wanted(site: &Site) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    for domain in &site.domains {
        let needed = Wanted { site, domain };
        for record in needed.must().into_iter().chain(needed.better()) {
            // What belongs to the server and not to a domain is wanted once.
            let is_same = |other: &Record| other.name == record.name && other.data == record.data;
            if !all.iter().any(is_same) {
                all.push(record);
            }
        }
    }
    all.sort_by_key(|record| record.need == Need::Better);
    all
}

/// What one domain wants.
struct Wanted<'s> {
    site: &'s Site,
    domain: &'s str,
}

impl Wanted<'_> {
    fn must(&self) -> Vec<Record> {
        let (host, domain) = (self.site.hostname.clone(), self.domain);
        let must = |name: &str, data, purpose| self.record(name, data, Need::Must, purpose);
        let mut all = Vec::new();
        for address in &self.site.addresses {
            all.push(must(&host, Data::Address(*address), "where the server is"));
        }
        let mx = Data::Mx { preference: 10, exchange: host };
        all.push(must(domain, mx, "mail for the domain goes to the server"));
        let spf = Data::Txt("v=spf1 mx -all".to_owned());
        all.push(must(domain, spf, "the server, and nobody else, sends for the domain"));
        for key in self.keys(KeyUse::Signs) {
            let data = Data::Txt(key.text.clone());
            all.push(must(&key.name(), data, "proves the signatures of its mail"));
        }
        // RFC 9989 §5.1: none asks for reports and for nothing else, so that nobody's mail is
        // lost before the reports have shown who sends in the name of the domain.
        let dmarc = format!("v=DMARC1; p=none; rua=mailto:postmaster@{domain}");
        let name = format!("_dmarc.{domain}");
        all.push(must(&name, Data::Txt(dmarc), "ties From to the signatures; reports come back"));
        all
    }

    fn better(&self) -> Vec<Record> {
        let (host, domain) = (self.site.hostname.as_str(), self.domain);
        let mut all = Vec::new();
        let mut better =
            |name: String, data, why| all.push(self.record(&name, data, Need::Better, why));
        if host != domain {
            // RFC 7208 §2.3: the name in EHLO is looked at, too, and it alone for notices.
            let spf = Data::Txt("v=spf1 a -all".to_owned());
            better(host.to_owned(), spf, "the server's own name is used by nobody else");
        }
        let report = Data::Txt(format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}"));
        better(format!("_smtp._tls.{domain}"), report, "others tell when TLS to the server fails");
        let name = Data::Cname(host.to_owned());
        if let Some(id) = &self.site.policy_id {
            // RFC 8461 §3.1: the id changes with the policy.
            let sts = Data::Txt(format!("v=STSv1; id={id}"));
            better(format!("_mta-sts.{domain}"), sts, "there is a policy for transport security");
            better(format!("mta-sts.{domain}"), name.clone(), "where that policy is told");
        }
        if self.site.ports.https.is_some() {
            let why = "mail programs find their settings";
            better(format!("autoconfig.{domain}"), name.clone(), why);
            better(format!("autodiscover.{domain}"), name, why);
        }
        if let Some(digest) = self.site.certificate_key {
            // RFC 7672 §3.1.1: the key of the certificate itself, by SHA-256.
            let tlsa = Data::Tlsa { usage: 3, selector: 1, matching: 1, data: digest.to_vec() };
            better(format!("_25._tcp.{host}"), tlsa, "DANE: only this certificate is the server's");
        }
        if let Some(issuer) = &self.site.issuer {
            let caa = Data::Caa { issuer: issuer.clone() };
            better(host.to_owned(), caa, "nobody else may issue its certificate");
        }
        for key in self.keys(KeyUse::Retired) {
            let why = "old mail is verified by it until the key is removed";
            all.push(self.record(&key.name(), Data::Txt(key.text.clone()), Need::Better, why));
        }
        all.extend(self.services());
        all
    }

    fn keys(&self, used: KeyUse) -> impl Iterator<Item = &PublicKey> {
        let is_wanted = move |key: &&PublicKey| key.domain == self.domain && key.used == used;
        self.site.keys.iter().filter(is_wanted)
    }

    /// RFC 6186 §3, RFC 8314 §5.1
    fn services(&self) -> Vec<Record> {
        let ports = self.site.ports;
        let services = [
            ("_imaps", ports.imaps, 0),
            ("_submissions", ports.submissions, 0),
            // RFC 8314 §3.3: TLS from the start goes first.
            ("_submission", ports.submission, if ports.submissions.is_some() { 10 } else { 0 }),
            ("_autodiscover", ports.https, 0),
        ];
        let record = |(service, port, priority): (&str, Option<u16>, u16)| {
            let target = self.site.hostname.clone();
            let data = Data::Srv { priority, weight: 1, port: port?, target };
            let name = format!("{service}._tcp.{}", self.domain);
            Some(self.record(&name, data, Need::Better, "mail programs find the server"))
        };
        services.into_iter().filter_map(record).collect()
    }

    fn record(&self, name: &str, data: Data, need: Need, purpose: &'static str) -> Record {
        let (domain, name) = (self.domain.to_owned(), name.to_owned());
        Record { domain, name, data, need, purpose }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A server with everything that records can be wanted for.
    pub fn site() -> Site {
        let key = |selector: &str, text: &str| PublicKey {
            domain: "example.org".into(),
            selector: selector.into(),
            text: text.into(),
            used: KeyUse::Signs,
        };
        Site {
            hostname: "mail.example.org".into(),
            domains: vec!["example.org".into()],
            addresses: vec!["192.0.2.25".parse().unwrap(), "2001:db8::25".parse().unwrap()],
            keys: vec![
                key("r1", &format!("v=DKIM1; k=rsa; p={}", "A".repeat(392))),
                key("e1", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
            ],
            certificate_key: Some([0xab; 32]),
            policy_id: Some("20261126".into()),
            issuer: Some("letsencrypt.org".into()),
            ports: Ports {
                imaps: Some(993),
                submissions: Some(465),
                submission: Some(587),
                https: Some(443),
            },
        }
    }

    fn names(records: &[Record], need: Need) -> Vec<&str> {
        let of_need = records.iter().filter(|record| record.need == need);
        of_need.map(|record| record.name.as_str()).collect()
    }

    #[test]
    fn a_domain_must_have_what_mail_fails_without() {
        let records = wanted(&site());
        assert_eq!(
            names(&records, Need::Must),
            [
                "mail.example.org",
                "mail.example.org",
                "example.org",
                "example.org",
                "r1._domainkey.example.org",
                "e1._domainkey.example.org",
                "_dmarc.example.org",
            ]
        );
        assert_eq!(
            names(&records, Need::Better),
            [
                "mail.example.org",
                "_smtp._tls.example.org",
                "_mta-sts.example.org",
                "mta-sts.example.org",
                "autoconfig.example.org",
                "autodiscover.example.org",
                "_25._tcp.mail.example.org",
                "mail.example.org",
                "_imaps._tcp.example.org",
                "_submissions._tcp.example.org",
                "_submission._tcp.example.org",
                "_autodiscover._tcp.example.org",
            ]
        );
    }

    #[test]
    fn the_record_of_a_key_that_is_retired_is_better_kept() {
        let mut site = site();
        site.keys[0].used = KeyUse::Retired;
        let records = wanted(&site);
        let need = |name: &str| records.iter().find(|it| it.name == name).unwrap().need;
        assert_eq!(need("r1._domainkey.example.org"), Need::Better);
        assert_eq!(need("e1._domainkey.example.org"), Need::Must);
    }

    #[test]
    fn nothing_is_wanted_for_what_is_not_served() {
        let bare = Site {
            ports: Ports::default(),
            certificate_key: None,
            policy_id: None,
            issuer: None,
            keys: Vec::new(),
            ..site()
        };
        let records = wanted(&bare);
        assert_eq!(names(&records, Need::Better), ["mail.example.org", "_smtp._tls.example.org"]);
        assert!(!records.iter().any(|record| record.name.contains("_domainkey")));
    }

    #[test]
    fn records_of_the_server_are_wanted_once_for_all_its_domains() {
        let mut two = site();
        two.domains.push("example.net".into());
        let records = wanted(&two);
        let of_host = |data: &Data| matches!(data, Data::Address(_) | Data::Tlsa { .. });
        assert_eq!(records.iter().filter(|record| of_host(&record.data)).count(), 3);
        let exchanges = records.iter().filter(|record| matches!(record.data, Data::Mx { .. }));
        assert_eq!(exchanges.count(), 2);
        // The keys of one domain say nothing about another.
        assert!(!records.iter().any(|record| record.name == "r1._domainkey.example.net"));
    }

    #[test]
    fn a_server_with_the_name_of_its_domain_has_one_policy_of_senders() {
        let mut same = site();
        same.hostname = "example.org".into();
        let is_spf = |record: &&Record| matches!(&record.data, Data::Txt(t) if t.contains("spf1"));
        assert_eq!(wanted(&same).iter().filter(is_spf).count(), 1);
    }
}
