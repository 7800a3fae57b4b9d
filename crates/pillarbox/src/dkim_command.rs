//! `pillarbox dkim`: keys that sign mail, on the data of a running server through its control
//! socket, or directly when no server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mail_types::InternalDate;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::accounts::failed;
use crate::cli::{Configured, DkimCommand};
use crate::clock::now;
use crate::config::{Config, is_domain};
use crate::control::{ControlClient, Reply, Request};
use crate::engine;
use crate::failure::Failure;
use crate::keyring::{self, KeptKey, Keyring, Kind, State};
use crate::records::{self, Data, Need, Record};
use crate::reload::Orders;
use crate::say;

/// What is asked of the keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "dkim", rename_all = "lowercase", deny_unknown_fields)]
pub enum DkimRequest {
    /// All of them.
    List,
    /// Make one.
    Add { domain: String, kind: Kind, selector: Option<String>, at_once: bool },
    /// Make successors.
    Rotate { domain: String },
    /// Remove one.
    Remove { domain: String, selector: String },
}

/// A key, as it is told.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToldKey {
    /// The domain that it signs for.
    pub domain: String,
    /// Its name.
    pub selector: String,
    /// How it is used.
    pub state: State,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// The text of its record.
    pub record: String,
}

/// Who looks after the keys of a running server.
pub struct Keeper {
    /// The data folder.
    pub data: PathBuf,
    /// The domains that may have keys.
    pub domains: Vec<String>,
    /// Tells who looks for records.
    pub hint: Arc<Notify>,
    /// Takes other keys up.
    pub orders: Orders,
}

/// Carries out a command.
///
/// # Errors
/// When it was not done.
pub async fn run(command: DkimCommand) -> Result<(), Failure> {
    let (ask, of) = match command {
        DkimCommand::List(of) => (DkimRequest::List, of),
        DkimCommand::Add { domain, kind, selector, at_once, of } => {
            let domain = domain.to_ascii_lowercase();
            (DkimRequest::Add { domain, kind, selector, at_once }, of)
        }
        DkimCommand::Rotate { domain, of } => {
            (DkimRequest::Rotate { domain: domain.to_ascii_lowercase() }, of)
        }
        DkimCommand::Remove { domain, selector, of } => {
            (DkimRequest::Remove { domain: domain.to_ascii_lowercase(), selector }, of)
        }
    };
    let Configured { config: file } = of;
    let config = engine::read_config(&file)?;
    let keys = match ControlClient::connect(&config.data).await? {
        None => carry_out(&config.data, &config.domains, &ask, now())?,
        Some(mut server) => match server.call(&Request::Dkim { ask: ask.clone() }).await? {
            Reply::Keys { keys } => keys,
            other => return Err(failed(other)),
        },
    };
    say::line(told(&ask, &keys, &config));
    Ok(())
}

/// The server's side.
pub async fn answer(keeper: Option<&Keeper>, ask: DkimRequest) -> Reply {
    let Some(keeper) = keeper else {
        return Reply::Failed { reason: "a trial keeps no keys".to_owned() };
    };
    match keeper.carry_out(ask).await {
        Ok(keys) => Reply::Keys { keys },
        Err(error) => Reply::Failed { reason: error.to_string() },
    }
}

impl Keeper {
    async fn carry_out(&self, ask: DkimRequest) -> Result<Vec<ToldKey>, Failure> {
        let is_change = !matches!(ask, DkimRequest::List);
        let (data, domains) = (self.data.clone(), self.domains.clone());
        // A key of RSA takes a while to make.
        let done = tokio::task::spawn_blocking(move || carry_out(&data, &domains, &ask, now()));
        let keys = done.await.map_err(|error| Failure::failed(error.to_string()))??;
        if is_change {
            self.orders.take_keys().await?;
            self.hint.notify_one();
        }
        Ok(keys)
    }
}

/// Does what is asked with the keys of a data folder.
fn carry_out(
    data: &Path,
    domains: &[String],
    ask: &DkimRequest,
    now: i64,
) -> Result<Vec<ToldKey>, Failure> {
    let keys = match ask {
        DkimRequest::List => keyring::read(data)?.all().to_vec(),
        DkimRequest::Add { domain, kind, selector, at_once } => {
            check_domain(domain, domains)?;
            let state = if *at_once { State::Signing } else { State::Waiting };
            let selector = selector.as_deref().map(checked_selector).transpose()?;
            let make = |ring: &mut Keyring| add(ring, domain, *kind, selector, state, now);
            vec![keyring::update(data, make)?]
        }
        DkimRequest::Rotate { domain } => {
            check_domain(domain, domains)?;
            keyring::update(data, |ring| {
                let kinds = ring.kinds_to_rotate(domain)?;
                let follow = |kind| add(ring, domain, kind, None, State::Waiting, now);
                kinds.into_iter().map(follow).collect::<Result<Vec<_>, _>>()
            })?
        }
        DkimRequest::Remove { domain, selector } => {
            let selector = selector.to_ascii_lowercase();
            keyring::update(data, |ring| ring.remove(domain, &selector))?;
            Vec::new()
        }
    };
    keys.iter().map(tell).collect()
}

fn add(
    ring: &mut Keyring,
    domain: &str,
    kind: Kind,
    selector: Option<String>,
    state: State,
    now: i64,
) -> Result<KeptKey, String> {
    let selector = match selector {
        Some(selector) => selector,
        None => ring.free_selector(domain, kind, now)?,
    };
    let key = KeptKey::make(domain, selector, kind, state, now);
    let key = key.map_err(|error| error.to_string())?;
    ring.add(key.clone())?;
    Ok(key)
}

fn check_domain(domain: &str, domains: &[String]) -> Result<(), Failure> {
    if domains.iter().any(|ours| ours == domain) {
        return Ok(());
    }
    let ours = domains.join(", ");
    Err(Failure::failed(format!("{domain} is not a domain of this server; they are {ours}")))
}

/// Labels that are parted by dots. RFC 6376 §3.1
fn checked_selector(name: &str) -> Result<String, Failure> {
    let name = name.to_ascii_lowercase();
    match is_domain(&name) {
        true => Ok(name),
        false => Err(Failure::failed(format!(
            "selector {name:?} cannot be a part of a domain name; write letters and digits"
        ))),
    }
}

fn tell(key: &KeptKey) -> Result<ToldKey, Failure> {
    let public = key.public().map_err(|error| Failure::failed(error.to_string()))?;
    Ok(ToldKey {
        domain: public.domain,
        selector: public.selector,
        state: key.state,
        since: key.since,
        record: public.text,
    })
}

/// What the operator is told.
fn told(ask: &DkimRequest, keys: &[ToldKey], config: &Config) -> String {
    match ask {
        DkimRequest::List => listing(keys, config),
        DkimRequest::Add { .. } | DkimRequest::Rotate { .. } => {
            let mut text = String::from("Set this where the zone is kept:\n");
            keys.iter().for_each(|key| text.push_str(&records::entry(&record(key))));
            text.push_str(match keys.iter().any(|key| key.state == State::Waiting) {
                true => AFTERWARDS,
                false => "\nIt signs from now on.",
            });
            text
        }
        DkimRequest::Remove { domain, selector } => format!(
            "removed; leave the record {} for {KEPT_DAYS} days if the key has signed until now",
            records::key_name(selector, domain)
        ),
    }
}

fn listing(keys: &[ToldKey], config: &Config) -> String {
    let line = |key: &ToldKey| format!("{} {}: {}", key.domain, key.selector, usage(key));
    let mut lines: Vec<_> = keys.iter().map(line).collect();
    lines.extend(config.dkim.iter().map(|place| {
        let (domain, selector, file) = (&place.domain, &place.selector, place.key.display());
        format!("{domain} {selector}: signs, as the configuration names it ({file})")
    }));
    if lines.is_empty() {
        lines.push("there are no keys; make one by pillarbox dkim add DOMAIN".to_owned());
    }
    lines.join("\n")
}

fn usage(key: &ToldKey) -> String {
    let day = |at: i64| InternalDate::format_date(at.div_euclid(DAY_SECS));
    let since = day(key.since);
    match key.state {
        State::Waiting => format!("waits for its record since {since}"),
        State::Signing => format!("signs since {since}"),
        State::Retired => {
            let end = day(key.since + KEPT_DAYS * DAY_SECS);
            format!("rests since {since}; key and record may be removed on {end}")
        }
    }
}

fn record(key: &ToldKey) -> Record {
    Record {
        domain: key.domain.clone(),
        name: records::key_name(&key.selector, &key.domain),
        data: Data::Txt(key.record.clone()),
        need: Need::Must,
        purpose: "proves the signatures of its mail",
    }
}

const AFTERWARDS: &str = "
The server looks for it every minute and signs with it once it is there; until then the keys of
before sign. pillarbox dkim list tells how far it is.";

/// Mail waits in queues for some days, and is verified when it arrives.
const KEPT_DAYS: i64 = 7;

const DAY_SECS: i64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-26
    const NOW: i64 = 1_795_651_200;

    fn ours() -> Vec<String> {
        vec!["example.org".to_owned(), "example.net".to_owned()]
    }

    fn config() -> Config {
        let text = "data='d'\nhostname='h'\ndomains=['example.org']\n[[listen]]\n\
                    protocol='imap'\naddress='127.0.0.1:143'\ntls='none'\n\
                    [[dkim]]\ndomain='example.org'\nselector='own'\nkey='/k.pem'\n";
        Config::parse(text, Path::new("/etc")).unwrap()
    }

    fn add(domain: &str, selector: Option<&str>) -> DkimRequest {
        let (domain, selector) = (domain.to_owned(), selector.map(str::to_owned));
        DkimRequest::Add { domain, kind: Kind::Ed25519, selector, at_once: false }
    }

    #[test]
    fn a_key_is_made_listed_rotated_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |ask: &DkimRequest| carry_out(folder.path(), &ours(), ask, NOW);
        let made = ask(&add("example.org", None)).unwrap();
        assert_eq!((made[0].selector.as_str(), made[0].state), ("ed26nov2026", State::Waiting));
        let text = told(&add("example.org", None), &made, &config());
        assert!(text.contains("TXT   ed26nov2026._domainkey.example.org"), "{text}");
        assert!(text.contains("v=DKIM1; k=ed25519; p=") && text.contains("every minute"), "{text}");
        let rotate = DkimRequest::Rotate { domain: "example.org".to_owned() };
        assert!(ask(&rotate).unwrap_err().to_string().contains("still waits"));
        let seen = |ring: &mut Keyring| Ok(ring.seen("example.org", "ed26nov2026", NOW));
        assert!(keyring::update(folder.path(), seen).unwrap());
        assert_eq!(ask(&rotate).unwrap()[0].selector, "ed26nov2026b");
        let text = listing(&ask(&DkimRequest::List).unwrap(), &config());
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "example.org ed26nov2026: signs since 26-Nov-2026",
                "example.org ed26nov2026b: waits for its record since 26-Nov-2026",
                "example.org own: signs, as the configuration names it (/k.pem)",
            ]
        );
        let (domain, selector) = ("example.org".to_owned(), "ed26nov2026".to_owned());
        assert_eq!(ask(&DkimRequest::Remove { domain, selector }).unwrap(), []);
        assert_eq!(ask(&DkimRequest::List).unwrap().len(), 1);
    }

    #[test]
    fn only_domains_of_the_server_have_keys_and_selectors_are_labels() {
        let folder = tempfile::tempdir().unwrap();
        let told = |ask: &DkimRequest| {
            carry_out(folder.path(), &ours(), ask, NOW).unwrap_err().to_string()
        };
        assert!(told(&add("a.example", None)).contains("they are example.org, example.net"));
        assert!(told(&add("example.org", Some("a b"))).contains("cannot be a part"));
        assert!(!folder.path().join(keyring::FOLDER).exists());
    }

    #[test]
    fn a_key_that_rests_says_when_it_may_go() {
        let (domain, selector) = ("example.org".to_owned(), "r1".to_owned());
        let record = String::new();
        let key = ToldKey { domain, selector, state: State::Retired, since: NOW, record };
        assert!(usage(&key).ends_with("may be removed on 3-Dec-2026"), "{}", usage(&key));
    }
}
