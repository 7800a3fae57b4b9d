//! A content filter: a program, or a server that is asked over HTTP, as rspamd is. There the
//! message is the body of a request to `/checkv2`, its envelope stands in fields, and the answer
//! says what shall become of it.
//!
//! Whatever goes wrong on the way ends in "no verdict", and mail without a verdict is not taken:
//! its sender tries again.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};
use tokio::sync::Semaphore;
use tracing::warn;

use super::answer::{self, FilterVerdict};
use super::decide::NoVerdict;
use super::program::FilterProgram;
use crate::http::{causes, read_bounded};

/// A content filter.
#[derive(Debug)]
pub struct Filter {
    kind: Kind,
    timeout: Duration,
    turns: Semaphore,
}

#[derive(Debug)]
enum Kind {
    Http { client: Client, url: Url },
    Program(FilterProgram),
}

/// Why a filter cannot be used.
pub type FilterError = String;

/// What is told about a message besides its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) client: IpAddr,
    pub(crate) client_name: &'a str,
    pub(crate) sender: &'a str,
    pub(crate) recipients: &'a [String],
    pub(crate) id: u64,
}

impl Filter {
    /// A filter at this address, `http://127.0.0.1:11333/checkv2`, that has so long to answer.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, FilterError> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent("Pillarbox")
            .build()
            .map_err(|error| error.to_string())?;
        let kind = Kind::Http { client, url };
        Ok(Self { kind, timeout, turns: Semaphore::new(REQUESTS_MAX) })
    }

    /// A filter that is a program, which has so long for a message.
    #[must_use]
    pub fn program(program: FilterProgram, timeout: Duration) -> Self {
        let turns = Semaphore::new(PROGRAMS_MAX);
        Self { kind: Kind::Program(program), timeout, turns }
    }

    pub(crate) async fn ask(
        &self,
        question: Question<'_>,
        message: Bytes,
    ) -> Result<FilterVerdict, NoVerdict> {
        let asked = async {
            let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
            match &self.kind {
                Kind::Http { client, url } => {
                    post(client.post(url.clone()).headers(headers(question)), message).await
                }
                Kind::Program(program) => program.ask(question, message).await,
            }
        };
        let answered = tokio::time::timeout(self.timeout, asked).await;
        let answered = answered.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        answered.map_err(|why| {
            warn!(why = ?why, id = question.id, "the content filter gives no verdict");
            NoVerdict
        })
    }
}

async fn post(request: RequestBuilder, message: Bytes) -> Result<FilterVerdict, String> {
    let response = request.body(message).send().await.map_err(|error| causes(&error))?;
    if response.status() != StatusCode::OK {
        return Err(format!("it answers {}", response.status().as_u16()));
    }
    let body = read_bounded(response, ANSWER_BYTES_MAX).await.map_err(|error| causes(&error))?;
    let body = body.ok_or("its answer is too long")?;
    answer::read(&body).map_err(str::to_owned)
}

/// The envelope, as rspamd wants to be told. What cannot stand in a field is left out.
fn headers(question: Question<'_>) -> HeaderMap {
    let Question { client, client_name, sender, recipients, id } = question;
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    put("ip", &client.to_string());
    put("helo", client_name);
    put("from", sender);
    put("queue-id", &format!("{id:016x}"));
    recipients.iter().for_each(|recipient| put("rcpt", recipient));
    headers
}

/// An answer names some dozens of rules.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Requests that are under way at one time; what waits for one waits on its own time.
const REQUESTS_MAX: usize = 64;

/// Programs that run at one time: some load megabytes of rules each.
const PROGRAMS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s016_what_a_client_said_is_one_field_of_the_request_or_none() {
        let recipients = ["a@b.example".to_owned(), "x\r\nAction: no".to_owned()];
        let headers = headers(Question {
            client: "192.0.2.1".parse().unwrap(),
            client_name: "mx\r\nPass: all",
            sender: "j\u{f6}rg@b.example",
            recipients: &recipients,
            id: 255,
        });
        assert!(headers.get("helo").is_none() && headers.get("pass").is_none());
        assert_eq!(headers.get_all("rcpt").iter().count(), 1);
        assert_eq!(headers.get("from").unwrap().as_bytes(), "j\u{f6}rg@b.example".as_bytes());
        assert_eq!(headers.get("queue-id").unwrap(), "00000000000000ff");
        assert_eq!(headers.get("ip").unwrap(), "192.0.2.1");
    }
}
