//! `pillarbox serve`: the server that a configuration file describes.

use net::Tls;

use crate::cli::Serve;
use crate::config::{Config, Storage};
use crate::engine::{self, Place};
use crate::exchange::Ways;
use crate::failure::Failure;
use crate::inward::Inward;
use crate::names;
use crate::outward;
use crate::reload::Source;
use crate::say;
use crate::server::{self, Server, Setup};
use crate::signing;
use crate::web::{self, Web};

/// Serves until it is told to end, or only checks the configuration.
///
/// # Errors
/// When the configuration is wrong or the server cannot run.
pub async fn run(arguments: Serve) -> Result<(), Failure> {
    let config = engine::read_config(&arguments.config)?;
    if let Some(files) = &config.certificate {
        let loaded = Tls::new(files);
        loaded.map_err(|error| Failure::usage(format!("[tls]: {error}")))?;
    }
    if let Some(acme) = &config.acme {
        web::check(acme, &config.data)?;
    }
    let names = names::resolver(&config.dns)?;
    // A key that cannot sign is told before anything is taken.
    let signer = signing::signer(&config.data, &config.dkim)?;
    let routes = outward::routes(&config, &names, None)?;
    let inward = Inward::new(&config.inbound, &names, &config.hostname, Some(signer))?;
    let place = Place::served(&config);
    if arguments.check {
        place.oauth.as_ref().map(engine::tokens).transpose()?;
        if place.storage != Storage::Local {
            // What this machine alone has needs no other to be reached.
            let store = engine::open_store(&place).await?.all;
            let closed = tokio::task::spawn_blocking(move || store.close()).await;
            drop(closed);
        }
        say::line(format_args!("{}: no mistakes", arguments.config.display()));
        return Ok(());
    }
    // First the data: a second server on the same folder shall not take the ports either.
    let opened = engine::open(&place).await?;
    let listeners = server::bind(&config.listeners)?;
    let source = Source { file: arguments.config.clone(), config: config.clone(), names };
    let (forwarding, rates) = (config.forwarding, config.submission.rates);
    let ways = Ways { inward, routes, forwarding, rates };
    let Config { data, hostname, certificate, scrub, imap, domains, acme, policy, .. } = config;
    let web = Web { domains, policy: Some(policy), acme };
    let source = Some(source);
    let setup = Setup { data, hostname, certificate, listeners, scrub, imap, ways, web, source };
    let server = Server::start(opened, setup)?;
    if let Some(file) = &arguments.ready_file {
        server.ready.write(file)?;
    }
    server.run().await
}
