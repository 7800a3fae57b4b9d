//! Where the bucket is and who we are there.

use std::fmt;
use std::net::IpAddr;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::limits::Limits;
use crate::wire::Connector;

/// A bucket, the rights to it, and the part of it that is ours.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// `https://HOST[:PORT]`, or `http://` when the host is this machine.
    pub endpoint: String,
    /// The bucket; it exists already.
    pub bucket: String,
    /// The region that requests are signed for, such as `us-east-1` or `garage`.
    pub region: String,
    /// Name of the access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// What stands before the name of every object, without a slash at either end; may be empty.
    pub prefix: String,
    /// Where the bucket's name stands in a request.
    pub addressing: Addressing,
    /// Time, memory and requests.
    pub limits: Limits,
}

/// Where the bucket's name stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// `https://HOST/BUCKET/KEY`: what stores on one's own machines understand.
    #[default]
    Path,
    /// `https://BUCKET.HOST/KEY`.
    VirtualHost,
}

/// A text that is never shown: it prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever has to prove that we know it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The endpoint is not `https://HOST[:PORT]`, nor `http://` of this machine.
    Endpoint {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A value is empty or has characters that it must not have.
    Value {
        /// Which one.
        name: &'static str,
    },
    /// A part of an object must be 5 MiB at least, and the limits must allow one request.
    Limits,
    /// The client could not be made, as without any trusted certificates.
    Client {
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { reason } => write!(f, "the S3 endpoint {reason}"),
            Self::Value { name } => write!(f, "the S3 {name} is empty or has odd characters"),
            Self::Limits => f.write_str("the S3 limits allow no request"),
            Self::Client { reason } => write!(f, "no S3 client: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The client for a configuration.
pub fn client(config: &S3Config) -> Result<AmazonS3, ConfigError> {
    config.check()?;
    let endpoint = Endpoint::parse(&config.endpoint)?;
    // Each call has its own time-outs around whole attempts; a second set below it would only
    // make it harder to say how long a call can take.
    let options = ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout_disabled()
        .with_connect_timeout(config.limits.connect_timeout)
        .with_pool_max_idle_per_host(config.limits.requests_max)
        .with_http1_only();
    let retries = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: config.limits.attempt_timeout,
    };
    AmazonS3Builder::new()
        .with_endpoint(endpoint.url(config))
        .with_virtual_hosted_style_request(config.addressing == Addressing::VirtualHost)
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(config.secret_access_key.reveal())
        .with_client_options(options)
        // After the options, which it is a part of.
        .with_allow_http(endpoint.scheme == "http")
        .with_retry(retries)
        .with_conditional_put(S3ConditionalPut::Disabled)
        // One DELETE for one object: bulk deletion is what stores most often lack.
        .with_disable_bulk_delete(true)
        .with_http_connector(Connector::default())
        .build()
        .map_err(|error| ConfigError::Client { reason: error.to_string() })
}

impl S3Config {
    fn check(&self) -> Result<(), ConfigError> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| is_plain(byte, b".-"));
        let named = |name, ok: bool| if ok { Ok(()) } else { Err(ConfigError::Value { name }) };
        let prefix = self.prefix.is_empty() || self.prefix.split('/').all(plain);
        named("bucket", plain(&self.bucket))?;
        named("region", plain(&self.region))?;
        let key = &self.access_key_id;
        named("access key", !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()))?;
        let secret = self.secret_access_key.reveal();
        named("secret key", !secret.is_empty() && secret.is_ascii())?;
        named("prefix", prefix && !self.prefix.split('/').any(|part| matches!(part, "." | "..")))?;
        let limits = &self.limits;
        let usable = limits.part_bytes >= PART_BYTES_MIN && limits.requests_max > 0;
        if usable && limits.bytes_max > 0 && limits.page_objects > 0 {
            Ok(())
        } else {
            Err(ConfigError::Limits)
        }
    }
}

/// No store takes a smaller part, the last one apart.
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;

fn is_plain(byte: u8, also: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || also.contains(&byte)
}

/// The two halves of `https://HOST[:PORT]`.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint<'a> {
    scheme: &'a str,
    authority: &'a str,
}

impl<'a> Endpoint<'a> {
    fn parse(text: &'a str) -> Result<Self, ConfigError> {
        let fault = |reason| Err(ConfigError::Endpoint { reason });
        let Some((scheme, rest)) = text.split_once("://") else {
            return fault("must begin with https://");
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        // A user part could make another host look like this machine.
        let odd = |byte: u8| !is_plain(byte, b".-:[]");
        if authority.is_empty() || authority.bytes().any(odd) {
            return fault("must be a host and perhaps a port, and nothing more");
        }
        match scheme {
            "https" => Ok(Self { scheme, authority }),
            "http" if is_loopback(authority) => Ok(Self { scheme, authority }),
            // Signatures keep a request from being changed, not mail from being read.
            "http" => fault("must be https:// unless it is on this machine"),
            _ => fault("must begin with https://"),
        }
    }

    fn url(&self, config: &S3Config) -> String {
        match config.addressing {
            Addressing::Path => format!("{}://{}", self.scheme, self.authority),
            Addressing::VirtualHost => {
                format!("{}://{}.{}", self.scheme, config.bucket, self.authority)
            }
        }
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(endpoint: &str) -> S3Config {
        S3Config {
            endpoint: endpoint.to_owned(),
            bucket: "mail".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: "key".to_owned(),
            secret_access_key: Secret::new("tell nobody"),
            prefix: String::new(),
            addressing: Addressing::Path,
            limits: Limits::default(),
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for endpoint in ["http://127.0.0.1:3900", "http://localhost", "http://[::1]:80/"] {
            assert!(client(&config(endpoint)).is_ok(), "{endpoint}");
        }
        assert!(client(&config("https://s3.example.org")).is_ok());
        let remote =
            ["http://s3.example.org", "http://127.0.0.1@s3.example.org", "http://localhost.evil"];
        for endpoint in remote {
            let error = client(&config(endpoint)).unwrap_err();
            assert!(matches!(error, ConfigError::Endpoint { .. }), "{endpoint}");
        }
    }

    #[test]
    fn an_endpoint_without_a_scheme_or_with_a_path_is_refused() {
        for endpoint in ["s3.example.org", "ftp://s3.example.org", "https://", "https://host/path"]
        {
            assert!(client(&config(endpoint)).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn a_secret_prints_as_dots() {
        let shown = format!("{:?}", config("https://s3.example.org"));
        assert!(!shown.contains("tell nobody"));
        assert!(shown.contains('…'));
    }

    #[test]
    fn a_prefix_has_whole_segments() {
        for prefix in ["", "mail", "mail/v1"] {
            let config = S3Config { prefix: prefix.to_owned(), ..config("https://host") };
            assert_eq!(config.check(), Ok(()), "{prefix}");
        }
        for prefix in ["/mail", "mail/", "a//b", "a/../b", "a b"] {
            let config = S3Config { prefix: prefix.to_owned(), ..config("https://host") };
            assert_eq!(config.check(), Err(ConfigError::Value { name: "prefix" }), "{prefix}");
        }
    }

    #[test]
    fn the_named_times_are_shorter_than_a_stall_of_a_minute() {
        let limits = Limits::default();
        let minute = std::time::Duration::from_secs(60);
        assert!(limits.attempt_timeout * 2 <= limits.read_budget);
        assert!(limits.attempt_timeout * 2 <= limits.write_budget);
        assert!(limits.read_budget < minute && limits.write_budget < minute);
        assert!(limits.queue_wait + limits.write_budget < minute);
    }
}
