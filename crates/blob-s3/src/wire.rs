//! One request on the wire: an answer other than success becomes a typed error here.
//!
//! `object_store` keeps the status of a refused request to itself and reads the whole answer,
//! however long. Between it and its HTTP client we see both.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use crate::limits::REFUSAL_BYTES_MAX;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The name of the error in the answer's XML, such as `SlowDown`; perhaps empty.
    pub code: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {} {}", self.status, self.code)
    }
}

impl std::error::Error for Refusal {}

/// Makes the client that tells refusals apart.
#[derive(Debug, Default)]
pub struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Watched(HttpClient);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Watched {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let response = self.0.execute(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let status = response.status().as_u16();
            let code = error_code(&beginning_of(response).await);
            Err(HttpError::new(HttpErrorKind::Unknown, Refusal { status, code }))
        })
    }
}

/// The first bytes of an answer; what cannot be read is not needed.
async fn beginning_of(response: HttpResponse) -> Vec<u8> {
    let mut pieces = response.into_body().bytes_stream();
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = pieces.next().await {
        let room = REFUSAL_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend(piece.iter().take(room));
        if bytes.len() == REFUSAL_BYTES_MAX {
            break;
        }
    }
    bytes
}

/// `SlowDown` of `<Error><Code>SlowDown</Code>...`. Only a short word is taken over: the rest of
/// such an answer may repeat the request and the name of the key.
fn error_code(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map_or("", |(code, _)| code.trim());
    let is_word = code.len() <= CODE_BYTES_MAX && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_word { code.to_owned() } else { String::new() }
}

/// Longest name of an error that is repeated in ours.
const CODE_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_found_and_nothing_else() {
        let xml =
            b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>m</Message></Error>";
        assert_eq!(error_code(xml), "SlowDown");
        assert_eq!(error_code(b"<Code>not a word</Code>"), "");
        assert_eq!(error_code(b"<Code>Slow"), "");
        assert_eq!(error_code(b"\xff\xfe"), "");
    }
}
