//! `pillarbox try`: a server for this machine only, with two accounts and mail to look at.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mail_service::{PasswordCost, Service, World};
use mail_types::Secret;
use net::{Access, Address, Listener};
use serde::{Deserialize, Serialize};
use smtp::{Forwarding, RateLimits, Role, Routes};

use crate::cli::Try;
use crate::config::{DnsPlace, Imap, InboundPlace, Listen, Protocol, TlsMode};
use crate::engine::{self, Place};
use crate::exchange::Ways;
use crate::failure::Failure;
use crate::inward::Inward;
use crate::names;
use crate::ready::ReadyAccount;
use crate::sample::{Addresses, Holder, SAMPLES};
use crate::sample_loader;
use crate::say;
use crate::scrub::ScrubPace;
use crate::server::{Server, Setup};
use crate::settings;
use crate::web::Web;

/// Runs a trial until it is told to end.
///
/// # Errors
/// When it cannot be started.
pub async fn run(arguments: Try) -> Result<(), Failure> {
    let (_temporary, data) = folder(&arguments)?;
    let mut place = Place::local(data.clone(), PASSWORDS);
    place.domains = vec![DOMAIN.to_owned()];
    let opened = engine::open(&place).await?;
    let accounts = accounts(&opened.service, &data, arguments.empty).await?;
    let mut listeners = Vec::new();
    let mut ports = Vec::new();
    for (protocol, tls, wanted, usual) in [
        (Protocol::Imap, TlsMode::StartTls, arguments.imap_port, IMAP_PORT),
        (Protocol::Imap, TlsMode::Implicit, arguments.imaps_port, IMAPS_PORT),
        (Protocol::Smtp(Role::Lmtp), TlsMode::None, arguments.lmtp_port, LMTP_PORT),
        (Protocol::Smtp(Role::Mx), TlsMode::StartTls, arguments.smtp_port, SMTP_PORT),
        (
            Protocol::Smtp(Role::Submission),
            TlsMode::StartTls,
            arguments.submission_port,
            SUBMISSION_PORT,
        ),
    ] {
        let listener = bind(wanted, usual)?;
        let address = listener.address().map_err(|error| Failure::failed(error.to_string()))?;
        ports.push(address.port());
        listeners.push((Listen { protocol, address, tls }, listener));
    }
    let hostname = "localhost".to_owned();
    let (scrub, imap, routes) = (ScrubPace::default(), Imap::default(), Routes::default());
    let names = names::resolver(&DnsPlace::default())?;
    let inward = Inward::new(&InboundPlace::default(), &names, &hostname, None)?;
    let web = Web { domains: vec![DOMAIN.to_owned()], policy: None, acme: None };
    let (forwarding, rates) = (Forwarding::default(), RateLimits::default());
    let ways = Ways { inward, routes, forwarding, rates };
    let (certificate, source) = (None, None);
    let setup = Setup { data, hostname, certificate, listeners, scrub, imap, ways, web, source };
    let mut server = Server::start(opened, setup)?;
    let mut ports = ports.into_iter();
    server.ready.imap = ports.next().flatten();
    server.ready.imaps = ports.next().flatten();
    server.ready.lmtp = ports.next().flatten();
    server.ready.smtp = ports.next().flatten();
    server.ready.submission = ports.next().flatten();
    server.ready.accounts = accounts;
    if let Some(file) = &arguments.ready_file {
        server.ready.write(file)?;
    }
    say::line(settings::text(&server.ready));
    server.run().await
}

/// The folder that was named, or one that is removed when the first of the pair is dropped.
fn folder(arguments: &Try) -> Result<(Option<tempfile::TempDir>, PathBuf), Failure> {
    if let Some(data) = &arguments.data {
        return Ok((None, data.clone()));
    }
    let temporary = tempfile::Builder::new()
        .prefix("pillarbox-")
        .tempdir()
        .map_err(|error| Failure::failed(format!("temporary folder: {error}")))?;
    let path = temporary.path().join("data");
    Ok((Some(temporary), path))
}

/// The accounts of the trial, made with their mail at the first start. In a named folder their
/// passwords are kept, so that a client that was set up once goes on working.
async fn accounts(
    service: &Service,
    data: &Path,
    empty: bool,
) -> Result<Vec<ReadyAccount>, Failure> {
    let file = data.join("trial.json");
    let failed = |error: String| Failure::failed(format!("{}: {error}", file.display()));
    match fs::read(&file) {
        Ok(kept) => {
            let kept: Kept =
                serde_json::from_slice(&kept).map_err(|error| failed(error.to_string()))?;
            let account = |(name, password)| ReadyAccount { name, password };
            return Ok(kept.accounts.into_iter().map(account).collect());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error.to_string())),
    }
    let mut accounts = Vec::new();
    for name in [FIRST, SECOND] {
        let password = new_password()?;
        let created = service.create_account(name, Secret::new(password.clone())).await;
        created.map_err(|error| Failure::failed(format!("account {name}: {error}")))?;
        accounts.push(ReadyAccount { name: name.to_owned(), password });
    }
    if !empty {
        load(service, &accounts).await?;
    }
    // Last: a trial whose start was interrupted begins anew in a new folder, and is not half there.
    let kept = accounts.iter().map(|it| (it.name.clone(), it.password.clone())).collect();
    let text = serde_json::to_vec(&Kept { accounts: kept });
    let text = text.map_err(|error| failed(error.to_string()))?;
    net::write_private(&file, &text).map_err(|error| failed(error.to_string()))?;
    Ok(accounts)
}

#[derive(Deserialize, Serialize)]
struct Kept {
    accounts: Vec<(String, String)>,
}

async fn load(service: &Service, accounts: &[ReadyAccount]) -> Result<(), Failure> {
    let now = World::system().clock.now_secs();
    for (holder, me, other) in [(Holder::First, FIRST, SECOND), (Holder::Second, SECOND, FIRST)] {
        debug_assert!(accounts.iter().any(|account| account.name == me));
        let samples: Vec<_> = SAMPLES.iter().filter(|sample| sample.holder == holder).collect();
        sample_loader::load(service, &samples, Addresses { me, other }, now)
            .await
            .map_err(|error| Failure::failed(format!("sample mail: {error}")))?;
    }
    Ok(())
}

/// The port that was asked for, or the usual one, or any free one.
fn bind(wanted: Option<u16>, usual: u16) -> Result<Listener, Failure> {
    let at = |port| {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Listener::bind(&Address::Tcp(address), Access::Owner)
    };
    let bound = match wanted {
        Some(port) => at(port),
        None => at(usual).or_else(|_| at(0)),
    };
    let port = wanted.unwrap_or(usual);
    bound.map_err(|error| Failure::failed(format!("port {port}: {error}")))
}

/// Twenty letters, 94 bits, none of which a shell or a configuration file would take amiss.
fn new_password() -> Result<String, Failure> {
    let mut password = String::new();
    while password.len() < PASSWORD_CHARS {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
        // Bytes beyond the last full round of the alphabet would make some letters likelier.
        let fair = 256 - 256 % ALPHABET.len();
        let letters = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let letters = letters.filter_map(|byte| ALPHABET.get(byte % ALPHABET.len()));
        password.extend(letters.map(|letter| char::from(*letter)));
    }
    password.truncate(PASSWORD_CHARS);
    Ok(password)
}

const DOMAIN: &str = "pillarbox.example";
const FIRST: &str = "home@pillarbox.example";
const SECOND: &str = "work@pillarbox.example";

const IMAP_PORT: u16 = 1143;
const IMAPS_PORT: u16 = 1993;
const LMTP_PORT: u16 = 1124;
const SMTP_PORT: u16 = 1125;
const SUBMISSION_PORT: u16 = 1587;

const PASSWORD_CHARS: usize = 20;

/// Without letters that look alike.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// The passwords are random and long: hashing them more slowly would protect nothing.
const PASSWORDS: PasswordCost = PasswordCost {
    memory_kib: 1024,
    iterations: 1,
    parallelism: 1,
    scram_iterations: 4096,
    concurrent_max: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_typeable_and_never_the_same() {
        let (one, other) = (new_password().unwrap(), new_password().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), PASSWORD_CHARS);
        assert!(one.bytes().all(|byte| ALPHABET.contains(&byte)));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_replaced_unless_it_was_asked_for() {
        let first = bind(Some(0), 1).unwrap();
        let taken = first.address().unwrap().port().unwrap();
        let other = bind(None, taken).unwrap();
        assert_ne!(other.address().unwrap().port(), Some(taken));
        assert!(bind(Some(taken), 1).is_err());
    }
}
