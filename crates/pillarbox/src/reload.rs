//! Reading the configuration again while the server runs: `pillarbox reload`, or SIGHUP.
//!
//! Everything that could fail is tried before anything is changed, so a file with a mistake changes
//! nothing.

use std::path::PathBuf;

use dns::Resolver;
use smtp::Routes;
use tokio::sync::{mpsc, oneshot};

use crate::accounts::failed;
use crate::cli::Data;
use crate::config::Config;
use crate::control::{ControlClient, Reply, Request};
use crate::engine::{self, Missing, Place};
use crate::failure::Failure;
use crate::inward::Inward;
use crate::outward;
use crate::say;
use crate::signing;

/// The configuration that a server runs with, and where it came from.
pub struct Source {
    /// Its file.
    pub file: PathBuf,
    /// What was read.
    pub config: Config,
    /// Whom the server asks for names.
    pub names: Resolver,
}

/// What is to be in force from now on.
pub struct Anew {
    /// What was read.
    pub config: Config,
    /// What mail on its way in must pass, and who signs.
    pub inward: Inward,
    /// Where mail for other systems goes.
    pub routes: Routes,
    /// What the operator is told.
    pub told: Vec<String>,
}

impl Source {
    /// Reads the file again, and makes of it what can be changed. `routes` are those of now.
    ///
    /// # Errors
    /// With every mistake in the file, or with what it names and cannot be used.
    pub fn read_again(&self, routes: &Routes) -> Result<Anew, Failure> {
        let config = engine::read_config(&self.file)?;
        // What is known of other servers, and what is counted of them, need not be lost.
        let is_same = config.outbound == self.config.outbound;
        let kept = routes.direct().filter(|_| is_same).cloned();
        let routes = outward::routes(&config, &self.names, kept)?;
        let signer = signing::signer(&self.config.data, &config.dkim)?;
        let hostname = &self.config.hostname;
        let inward = Inward::new(&config.inbound, &self.names, hostname, Some(signer))?;
        let told = told(&self.config, &config);
        // What needs a restart is told again until there was one.
        let Config { relays, outbound, inbound, dkim, .. } = config;
        let config = Config { relays, outbound, inbound, dkim, ..self.config.clone() };
        Ok(Anew { config, inward, routes, told })
    }
}

/// What is in force now, and what is not.
fn told(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = vec![format!("read again and in force: {}", IN_FORCE.join(", "))];
    let waiting = needs_restart(old, new);
    if !waiting.is_empty() {
        lines.push(format!("changed, and in force after a restart: {}", waiting.join(", ")));
    }
    lines
}

/// Whatever else has changed, by the names of its sections.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let all = [
        ("data", old.data != new.data),
        ("hostname", old.hostname != new.hostname),
        ("domains", old.domains != new.domains),
        ("[store]", old.storage != new.storage),
        ("[tls] (its files are read again)", old.certificate != new.certificate),
        ("[acme]", old.acme != new.acme),
        ("[mta_sts]", old.policy != new.policy),
        ("[[listen]]", old.listeners != new.listeners),
        ("[auth]", {
            let auth = |config: &Config| (config.passwords, config.submission_accounts.clone());
            auth(old) != auth(new)
        }),
        ("[scrub]", old.scrub != new.scrub),
        ("[imap]", old.imap != new.imap),
        ("[oauth]", old.oauth != new.oauth),
        ("[dns]", old.dns != new.dns),
        ("[story]", old.story_days != new.story_days),
        ("[aliases]", old.forwarding != new.forwarding),
        ("[submission]", old.submission != new.submission),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// What is changed while the server runs.
const IN_FORCE: [&str; 4] = ["[[relay]]", "[outbound]", "[inbound]", "[[dkim]]"];

/// What the task that runs the server can be told.
pub enum Order {
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<Vec<String>, Failure>>),
    /// The keys that the server keeps are others.
    TakeKeys(oneshot::Sender<Result<(), Failure>>),
}

/// Tells it.
#[derive(Clone)]
pub struct Orders(mpsc::Sender<Order>);

impl Orders {
    /// For one server, and where that hears of them.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, heard) = mpsc::channel(ORDERS_MAX);
        (Self(orders), heard)
    }

    /// Reads the configuration again; what is to be told of it.
    ///
    /// # Errors
    /// As [`Source::read_again`].
    pub async fn reload(&self) -> Result<Vec<String>, Failure> {
        self.order(Order::Reload).await
    }

    /// Signs with the keys that are kept now.
    ///
    /// # Errors
    /// When they cannot be read or used; the old ones stay in use.
    pub async fn take_keys(&self) -> Result<(), Failure> {
        self.order(Order::TakeKeys).await
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> Order,
    ) -> Result<T, Failure> {
        let ends = || Failure::failed("the server ends");
        let (done, answer) = oneshot::channel();
        self.0.send(order(done)).await.map_err(|_| ends())?;
        answer.await.map_err(|_| ends())?
    }
}

/// `pillarbox reload`.
///
/// # Errors
/// When no server runs, or what it read cannot be used.
pub async fn run(data: Data) -> Result<(), Failure> {
    let place = Place::find(data, Missing::Refuse)?;
    let Some(mut server) = ControlClient::connect(&place.data).await? else {
        return Err(Failure::failed("no server is running"));
    };
    match server.call(&Request::Reload).await? {
        Reply::Reloaded { lines } => {
            lines.iter().for_each(say::line);
            Ok(())
        }
        Reply::Failed { reason } => Err(Failure::failed(format!("{reason}\nnothing was changed"))),
        other => Err(failed(other)),
    }
}

/// Orders wait for each other; each takes milliseconds.
const ORDERS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = "data='d'\nhostname='h.example'\ndomains=['example.org']\n[[listen]]\n\
                        protocol='submission'\naddress='127.0.0.1:587'\ntls='starttls'\n";

    fn read(text: &str) -> Config {
        Config::parse(text, Path::new("/etc")).unwrap()
    }

    #[test]
    fn what_needs_a_restart_is_named_and_nothing_else() {
        let old = read(BASE);
        let relay = "[[relay]]\ndomains=['*']\nhost='r.example'\ntls='required'\n";
        let inbound = "[inbound]\nspf_fail='reject'\n";
        let new = read(&format!("{BASE}{relay}{inbound}"));
        assert_eq!(needs_restart(&old, &new), Vec::<&str>::new());
        assert_eq!(told(&old, &new).len(), 1);
        let new = read(&format!("{}[story]\ndays=3\n", BASE.replace("587", "588")));
        assert_eq!(needs_restart(&old, &new), ["[[listen]]", "[story]"]);
        assert!(told(&old, &new)[1].ends_with("after a restart: [[listen]], [story]"));
    }

    #[tokio::test]
    async fn orders_that_nobody_carries_out_any_more_are_answered() {
        let (orders, heard) = Orders::new();
        let waits = orders.reload();
        let ends = async {
            // The order has been given when it is its turn.
            tokio::task::yield_now().await;
            assert_eq!(heard.len(), 1);
            drop(heard);
        };
        let (told, ()) = tokio::join!(waits, ends);
        assert_eq!(told.unwrap_err().to_string(), "the server ends");
        assert_eq!(orders.take_keys().await.unwrap_err().to_string(), "the server ends");
    }
}
