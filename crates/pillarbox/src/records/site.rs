//! What a configuration says of the server and its domains.

use std::net::IpAddr;

use net::CertificateFiles;

use super::{Ports, PublicKey, Site};
use crate::config::{Config, Listen, Protocol, TlsMode};
use smtp::Role;

impl Site {
    /// The site of a configuration. `addresses` is where the world reaches it, `keys` are the
    /// public halves of those that sign its mail.
    pub fn of(config: &Config, addresses: Vec<IpAddr>, keys: Vec<PublicKey>) -> Self {
        Self {
            hostname: config.hostname.to_ascii_lowercase(),
            domains: config.domains.clone(),
            addresses,
            keys,
            certificate_key: config.certificate.as_ref().and_then(key_digest),
            policy_id: None,
            issuer: None,
            ports: ports(&config.listeners),
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
        https: None,
    }
}

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
