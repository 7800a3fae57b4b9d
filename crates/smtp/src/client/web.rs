//! Asks web servers that strangers name: for their policies, and to leave reports with them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dns::Resolver;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url, redirect};
use rustls::ClientConfig;

use super::targets::Reach;
use crate::http::causes;

/// Asks them with verified certificates, at addresses that may be dialled, and follows nothing to
/// another place.
pub(super) struct Web {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    port: u16,
    reach: Reach,
}

impl Web {
    pub(super) fn new(resolver: Resolver, tls: Arc<ClientConfig>, port: u16, reach: Reach) -> Self {
        Self { resolver, tls, port, reach }
    }

    /// Who is asked for names.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The port that they are at.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Asks one host and no other.
    pub(super) async fn client(&self, host: &str) -> Result<Client, String> {
        let found = self.resolver.addresses(host).await.map_err(|error| format!("{error}"))?;
        let allowed = found.records.into_iter().filter(|address| self.reach.allows(*address));
        let addresses: Vec<IpAddr> = allowed.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(format!("{host} has no address that may be asked"));
        }
        let addresses: Vec<SocketAddr> =
            addresses.into_iter().map(|address| (address, self.port).into()).collect();
        Client::builder()
            .tls_backend_preconfigured(ClientConfig::clone(&self.tls))
            .redirect(redirect::Policy::none())
            .https_only(true)
            .no_proxy()
            .referer(false)
            .resolve_to_addrs(host, &addresses)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent("Pillarbox")
            .build()
            .map_err(|error| causes(&error))
    }

    /// Leaves something at a place; whatever is answered besides a yes says nothing.
    pub(super) async fn post(
        &self,
        mut url: Url,
        kind: &'static str,
        body: Bytes,
    ) -> Result<(), String> {
        let host = url.host_str().ok_or("the place has no host")?.to_owned();
        url.set_port(Some(self.port)).map_err(|()| "the place has no port")?;
        let request = self.client(&host).await?.post(url).header(CONTENT_TYPE, kind).body(body);
        let response = request.send().await.map_err(|error| causes(&error))?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(format!("{host} answers {}", response.status())),
        }
    }
}

/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 4;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// RFC 8461 §3.3 suggests a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
