//! What a configuration says of the server and its domains.

use std::net::IpAddr;

use net::CertificateFiles;

use super::{Ports, PublicKey, Site};
use crate::config::{Acme, Config, Listen, Protocol, TlsMode};
use smtp::Role;

impl Site {
    /// The site of a configuration. `addresses` is where the world reaches it, `keys` are the
    /// public halves of those that sign its mail.
    pub fn of(config: &Config, addresses: Vec<IpAddr>, keys: Vec<PublicKey>) -> Self {
        let ports = ports(&config.listeners);
        Self {
            hostname: config.hostname.to_ascii_lowercase(),
            domains: config.domains.clone(),
            addresses,
            keys,
            certificate_key: config.certificate.as_ref().and_then(key_digest),
            policy_id: ports.https.map(|_| config.policy.id()),
            issuer: config.acme.as_ref().and_then(issuer),
            ports,
        }
    }
}

impl Site {
    /// Leaves out what cannot work: nobody looks at a certificate's record in a zone that is not
    /// signed. RFC 7672 §2.2
    pub fn only_what_is_possible(&mut self, is_signed: Option<bool>) {
        if is_signed != Some(true) {
            self.certificate_key = None;
        }
    }
}

/// SHA-256 of the public key of a certificate, as a TLSA record tells it. `None` without a
/// certificate that can be read: the server does not start then, and says why.
fn key_digest(files: &CertificateFiles) -> Option<[u8; 32]> {
    let key = files.load().ok()?;
    let info = key.key.public_key()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &info);
    digest.as_ref().try_into().ok()
}

/// What an authority is called in CAA, if it is known. Its certificates get a new key each time, so
/// that there is no record of that key. RFC 7671 §8.1
fn issuer(acme: &Acme) -> Option<String> {
    let known = ISSUERS.iter().find(|(host, _)| acme.directory.contains(host));
    known.map(|(_, issuer)| (*issuer).to_owned())
}

fn ports(listeners: &[Listen]) -> Ports {
    let port = |protocol, tls| {
        // What only this machine can reach is no service for others.
        let is_it = |listen: &&Listen| {
            listen.protocol == protocol && listen.tls == tls && !listen.address.is_local()
        };
        listeners.iter().find(is_it).and_then(|listen| listen.address.port())
    };
    let submission = Protocol::Smtp(Role::Submission);
    Ports {
        imaps: port(Protocol::Imap, TlsMode::Implicit),
        submissions: port(submission, TlsMode::Implicit),
        submission: port(submission, TlsMode::StartTls),
        https: port(Protocol::Http, TlsMode::Implicit),
    }
}

/// Hosts of directories, and what their authorities are called. RFC 8659 §4.2
const ISSUERS: &[(&str, &str)] = &[(".api.letsencrypt.org/", "letsencrypt.org")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_others_are_those_that_others_can_reach() {
        let text = "data='d'\nhostname='Mail.example.org'\ndomains=['example.org']\n\
                    [tls]\ncertificate='c'\nkey='k'\n\
                    [[listen]]\nprotocol='imap'\naddress='127.0.0.1:993'\ntls='implicit'\n\
                    [[listen]]\nprotocol='imap'\naddress='[::]:1993'\ntls='implicit'\n\
                    [[listen]]\nprotocol='submission'\naddress='0.0.0.0:587'\ntls='starttls'\n";
        let config = Config::parse(text, "/etc".as_ref()).unwrap();
        let site = Site::of(&config, Vec::new(), Vec::new());
        let ports = Ports { imaps: Some(1993), submission: Some(587), ..Ports::default() };
        assert_eq!(site.ports, ports);
        assert_eq!(site.hostname, "mail.example.org");
        // There is no such certificate.
        assert_eq!(site.certificate_key, None);
    }

    #[test]
    fn a_certificate_of_an_authority_names_its_issuer_and_no_key() {
        let text = "data='d'\nhostname='mail.example.org'\ndomains=['example.org']\n\
                    [acme]\nchallenge='tls-alpn-01'\n\
                    [[listen]]\nprotocol='http'\naddress='[::]:443'\ntls='implicit'\n";
        let config = Config::parse(text, "/etc".as_ref()).unwrap();
        let site = Site::of(&config, Vec::new(), Vec::new());
        assert_eq!(site.issuer.as_deref(), Some("letsencrypt.org"));
        assert_eq!(site.certificate_key, None);
        assert_eq!(site.policy_id, Some(config.policy.id()));
        assert_eq!(site.ports.https, Some(443));
        let other = text.replace("[acme]", "[acme]\ndirectory='https://ca.example/dir'");
        let config = Config::parse(&other, "/etc".as_ref()).unwrap();
        assert_eq!(Site::of(&config, Vec::new(), Vec::new()).issuer, None);
    }

    #[test]
    fn the_key_of_the_certificate_is_told_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path(), "mail.example.org").unwrap();
        let digest = key_digest(&files).unwrap();
        assert_eq!(key_digest(&files), Some(digest));
        let other = tempfile::tempdir().unwrap();
        let other = CertificateFiles::self_signed(other.path(), "mail.example.org").unwrap();
        assert_ne!(key_digest(&other), Some(digest));
    }
}
