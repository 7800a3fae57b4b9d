//! Asking the provider. Every answer is bounded in time and in bytes, and nothing is followed to
//! another place: a redirect would be a second issuer.

use std::fmt;
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url, redirect};
use tokio::sync::Semaphore;

use crate::config::{OAuthConfig, OAuthError, is_loopback, parse_url};

/// A client of one provider.
#[derive(Debug)]
pub struct Http {
    client: Client,
    /// One permit for each request that may be under way.
    requests: Semaphore,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    /// The request failed, or took too long.
    Failed(reqwest::Error),
    /// Too many requests are under way.
    Busy,
    /// The provider does not want to answer.
    Status(StatusCode),
    /// It says more than [`ANSWER_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => {
                // The cause is in the sources; the text of the first is "error sending request".
                write!(f, "{error}")?;
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    write!(f, ": {cause}")?;
                    source = cause.source();
                }
                Ok(())
            }
            Self::Busy => f.write_str("too many requests are under way"),
            Self::Status(status) => write!(f, "the provider answers {status}"),
            Self::TooLong => f.write_str("the answer is too long"),
        }
    }
}

impl Http {
    /// A client for this provider.
    ///
    /// # Errors
    /// `Tls` if a certificate cannot be read.
    pub fn new(config: &OAuthConfig) -> Result<Self, OAuthError> {
        let tls = |error: reqwest::Error| OAuthError::Tls(error.to_string());
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent("Pillarbox");
        if parse_url(&config.issuer).is_ok_and(|url| is_loopback(&url)) {
            // A proxy is not on the way to this machine.
            client = client.no_proxy();
        }
        if let Some(pem) = &config.authorities {
            client = client.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(tls)?);
        }
        let client = client.build().map_err(tls)?;
        Ok(Self { client, requests: Semaphore::new(REQUESTS_MAX) })
    }

    /// GET
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub async fn get(&self, url: Url) -> Result<Vec<u8>, NoAnswer> {
        self.send(self.client.get(url)).await
    }

    /// POST of a form, with the name and password of a client. RFC 6749 §2.3.1
    ///
    /// # Errors
    /// See [`NoAnswer`].
    pub async fn post(
        &self,
        url: Url,
        form: Vec<u8>,
        credentials: &(String, String),
    ) -> Result<Vec<u8>, NoAnswer> {
        let (name, password) = credentials;
        let request = self
            .client
            .post(url)
            .basic_auth(name, Some(password))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        self.send(request).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, NoAnswer> {
        let turn = tokio::time::timeout(REQUEST_TIMEOUT, self.requests.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(NoAnswer::Busy) };
        let sent = request.header("accept", "application/json").send().await;
        let mut response = sent.map_err(NoAnswer::Failed)?;
        if response.status() != StatusCode::OK {
            return Err(NoAnswer::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(NoAnswer::Failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A value of a form or of the credentials of a client: RFC 6749 §B
pub fn form_encoded(value: &[u8]) -> String {
    let mut encoded = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// Longest answer of a provider: a set of many keys with their certificates has some 20 KiB.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Requests under way at one time: a login waits for one.
const REQUESTS_MAX: usize = 32;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take in all, and wait for its turn: a login may take a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped() {
        assert_eq!(form_encoded(b"aZ0-._*"), "aZ0-._*");
        assert_eq!(form_encoded(b"a b&c=d+e%:/~\xff"), "a%20b%26c%3Dd%2Be%25%3A%2F%7E%FF");
    }
}
