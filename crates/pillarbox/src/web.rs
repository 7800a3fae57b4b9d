//! What is served over HTTP, and the certificate that everything is served with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use acme::{Client, Handle, Runner, Settings, Tokens, certificate_file};
use http_server::{Endpoint, Policy, Security, Site};
use net::{Address, CertificateError, CertificateFiles, Tls};
use smtp::Role;

use crate::clock;
use crate::config::{Acme, Listen, Protocol, TlsMode};
use crate::failure::Failure;

/// What the site tells, as far as the operator decides it.
#[derive(Clone, Debug)]
pub struct Web {
    /// Our domains.
    pub domains: Vec<String>,
    /// Their policy for transport security.
    pub policy: Option<Policy>,
    /// Where certificates come from, if not from files.
    pub acme: Option<Acme>,
}

impl Web {
    /// The site, as these listeners make it.
    pub fn site(&self, hostname: &str, listeners: &[(Listen, Address)], tokens: &Tokens) -> Site {
        let is_https = |(listen, _): &(Listen, Address)| {
            listen.protocol == Protocol::Http && listen.tls == TlsMode::Implicit
        };
        let tokens = tokens.clone();
        Site {
            hostname: hostname.to_owned(),
            domains: self.domains.clone(),
            imap: endpoints(listeners, Protocol::Imap),
            submission: endpoints(listeners, Protocol::Smtp(Role::Submission)),
            policy: self.policy.clone(),
            has_tls: listeners.iter().any(is_https),
            challenge: Arc::new(move |token| tokens.answer(token)),
        }
    }
}

/// The ports of a protocol that mail programs shall use: with TLS, those from the first octet on
/// first. What only this machine can reach is told only where nothing else is, as in a trial.
fn endpoints(listeners: &[(Listen, Address)], protocol: Protocol) -> Vec<Endpoint> {
    let of_protocol = || listeners.iter().filter(|(listen, _)| listen.protocol == protocol);
    let is_public = of_protocol().any(|(_, address)| !address.is_local());
    let mut all: Vec<_> = of_protocol()
        .filter(|(_, address)| !(is_public && address.is_local()))
        .filter_map(|(listen, address)| {
            let security = match listen.tls {
                TlsMode::Implicit => Security::Tls,
                TlsMode::StartTls => Security::StartTls,
                TlsMode::None => return None,
            };
            Some(Endpoint { port: address.port()?, security })
        })
        .collect();
    all.sort_by_key(|endpoint| (endpoint.security, endpoint.port));
    // A port of IPv4 and of IPv6 is one port.
    all.dedup();
    all
}

/// The files of the certificate: the operator's, the authority's, or made by ourselves.
///
/// # Errors
/// When one is to be made and cannot be.
pub fn certificate(
    web: &Web,
    files: Option<CertificateFiles>,
    data: &Path,
    hostname: &str,
) -> Result<CertificateFiles, CertificateError> {
    match (&web.acme, files) {
        (Some(acme), _) => {
            let file = certificate_file(&acme_folder(data));
            let files = CertificateFiles::placeholder(&file, hostname)?;
            Ok(CertificateFiles { client_ca: acme.client_ca.clone(), ..files })
        }
        (None, Some(files)) => Ok(files),
        (None, None) => CertificateFiles::self_signed(&data.join("tls"), hostname),
    }
}

/// Looks whether the files that `[acme]` names can be used.
///
/// # Errors
/// With the one that cannot.
pub fn check(acme: &Acme, data: &Path) -> Result<(), Failure> {
    let checked = acme::check(&acme_settings(acme, data));
    checked.map_err(|error| Failure::usage(format!("[acme]: {error}")))
}

fn acme_settings(acme: &Acme, data: &Path) -> Settings {
    Settings {
        directory: acme.directory.clone(),
        contact: acme.contact.clone(),
        names: acme.names.clone(),
        challenge: acme.challenge.clone(),
        ca: acme.ca.clone(),
        folder: acme_folder(data),
    }
}

/// Who keeps the certificate of an authority fresh, and the handle of it.
pub fn renewal(acme: &Acme, data: &Path, tls: &Tls, tokens: &Tokens) -> (Runner<Client>, Handle) {
    let settings = acme_settings(acme, data);
    let client = Client::new(settings.clone(), tls.clone(), tokens.clone());
    Runner::new(client, &settings, tls.clone(), Arc::new(clock::now))
}

/// The files that a certificate from an authority is kept in.
pub fn issued(data: &Path) -> CertificateFiles {
    CertificateFiles::in_one(certificate_file(&acme_folder(data)))
}

fn acme_folder(data: &Path) -> PathBuf {
    data.join("acme")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(all: &[(Protocol, &str, TlsMode)]) -> Vec<(Listen, Address)> {
        let listen = |(protocol, address, tls): &(Protocol, &str, TlsMode)| {
            let address: Address = address.parse().unwrap();
            (Listen { protocol: *protocol, address: address.clone(), tls: *tls }, address)
        };
        all.iter().map(listen).collect()
    }

    #[test]
    fn programs_are_told_of_the_ports_that_they_can_reach() {
        let (imap, none) = (Protocol::Imap, TlsMode::None);
        let told = |all: &[(Protocol, &str, TlsMode)]| -> Vec<u16> {
            endpoints(&listeners(all), imap).iter().map(|endpoint| endpoint.port).collect()
        };
        let all = [
            (imap, "0.0.0.0:143", TlsMode::StartTls),
            (imap, "127.0.0.1:1143", TlsMode::StartTls),
            (imap, "0.0.0.0:993", TlsMode::Implicit),
            (imap, "[::]:993", TlsMode::Implicit),
            (imap, "unix:/run/imap.sock", none),
            (Protocol::Smtp(Role::Mx), "0.0.0.0:25", TlsMode::StartTls),
        ];
        assert_eq!(told(&all), [993, 143]);
        assert_eq!(told(&all[1..2]), [1143]);
        assert_eq!(told(&[(imap, "127.0.0.1:1", none)]), [0_u16; 0]);
    }
}
