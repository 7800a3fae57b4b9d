//! The shell: connections, limits, and HTTP/1.1 around [`answer`].
//!
//! One request a connection: mail programs ask once and go, and nothing has to be kept for them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HOST, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{self, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use net::{Guard, Peer, Refused, Stream};
use tracing::debug;

use crate::ask::{Arrival, Ask, Method};
use crate::page::Page;
use crate::site::{Site, answer};

/// Serves a site.
#[derive(Debug)]
pub struct HttpServer {
    site: Arc<Site>,
}

impl HttpServer {
    /// A server for a site.
    pub fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

impl net::Service for HttpServer {
    fn refusal(&self, _: Refused) -> &'static [u8] {
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    }

    async fn serve(&self, stream: Stream, peer: Peer, mut guard: Guard) {
        let arrival = match stream.security() {
            net::Security::Tls => Arrival::Tls,
            net::Security::Cleartext => Arrival::Clear,
        };
        let Ok(io) = stream.into_io() else { return };
        let state = (Arc::clone(&self.site), arrival);
        let router = Router::new().fallback(respond).with_state(state);
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME_MAX)
            .keep_alive(false)
            .max_headers(HEADER_FIELDS_MAX)
            .max_buf_size(HEADER_BYTES_MAX);
        let service = TowerToHyperService::new(router);
        let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
        let whole = async {
            tokio::select! {
                done = connection.as_mut() => return done,
                () = guard.begun() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        };
        match tokio::time::timeout(CONNECTION_TIME_MAX, whole).await {
            Ok(Ok(())) => {}
            // Scanners, and programs of other protocols.
            Ok(Err(error)) => debug!(%peer, %error, "HTTP connection"),
            Err(_) => debug!(%peer, "HTTP connection took too long"),
        }
    }
}

async fn respond(
    State((site, arrival)): State<(Arc<Site>, Arrival)>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return response(Page::words(413, "This is too much.\n"));
    };
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let method = match head.method {
        http::Method::GET | http::Method::HEAD => Method::Get,
        http::Method::POST => Method::Post,
        _ => Method::Other,
    };
    let ask = Ask {
        arrival,
        method,
        host: host.or(head.uri.host()).unwrap_or_default(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        body: &body,
    };
    let page = answer(&site, &ask);
    debug!(status = page.status, path = ?ask.path, "answered");
    response(page)
}

fn response(page: Page) -> Response<Body> {
    let mut response = Response::builder()
        .status(page.status)
        .header(CONTENT_TYPE, page.media_type)
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(CACHE_CONTROL, "no-cache");
    if let Some(location) = &page.location {
        response = response.header(LOCATION, location);
    }
    if let Some(allow) = page.allow {
        response = response.header(ALLOW, allow);
    }
    if let Some(name) = &page.file_name {
        response = response.header(CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""));
    }
    // It fails for a field that HTTP cannot hold; then nothing is said.
    response.body(Body::from(page.body)).unwrap_or_default()
}

/// From the first octet to the end of the header.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);

/// A whole connection behind TLS.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(20);

/// More than any mail program sends.
const HEADER_FIELDS_MAX: usize = 64;

/// hyper's own minimum.
const HEADER_BYTES_MAX: usize = 8192;

/// A request for settings takes half a kilobyte.
const BODY_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use net::Service as _;

    use super::*;
    use crate::site::tests::site;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Everything that is said to what somebody sends.
    async fn talk(sent: &[u8]) -> String {
        let (mut client, server) = Stream::pair(256 * 1024);
        let shutdown = net::Shutdown::default();
        let http = HttpServer::new(Arc::new(site()));
        let guard = shutdown.token();
        let serving = tokio::spawn(async move { http.serve(server, Peer::Local, guard).await });
        client.write_all(sent, PATIENCE).await.unwrap();
        let mut said = Vec::new();
        while client.read_into(&mut said, 65536).await.unwrap_or(0) > 0 {}
        serving.await.unwrap();
        String::from_utf8(said).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_answered_and_the_connection_ends() {
        let said = talk(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert!(said.ends_with("\r\n\r\nok\n"), "{said}");
        assert!(said.contains("x-content-type-options: nosniff\r\n"), "{said}");
        let said = talk(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(said.contains("content-length: 3\r\n") && said.ends_with("\r\n\r\n"), "{said}");
        let said = talk(b"GET /mail/config-v1.1.xml HTTP/1.1\r\nHost: example.org\r\n\r\n").await;
        assert!(said.contains("location: https://example.org/mail/config-v1.1.xml\r\n"), "{said}");
    }

    #[tokio::test]
    async fn s012_commands_of_mail_protocols_are_not_answered_and_not_repeated() {
        for command in [
            "EHLO canary\r\n",
            "MAIL FROM:<canary@a.example>\r\n",
            "a1 LOGIN canary canary\r\n",
            "a1 NOOP canary\r\n",
            "LHLO canary\r\nDATA\r\n",
            "* canary\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}canary\r\n",
        ] {
            let said = talk(command.as_bytes()).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{command}: {said}");
            assert!(!said.contains("canary"), "{command}: {said}");
        }
        let target = b"GET /canary?canary HTTP/1.1\r\nHost: canary\r\nX: canary\r\n\r\n";
        assert!(!talk(target).await.contains("canary"));
    }

    #[tokio::test]
    async fn s023_what_is_too_long_is_refused() {
        let fields: String = (0..100).map(|n| format!("x{n}: y\r\n")).collect();
        let many = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert!(talk(many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let long = format!("GET /healthz HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(9000));
        assert!(talk(long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let body = "x".repeat(BODY_BYTES_MAX + 1);
        let post = format!(
            "POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: example.org\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert!(talk(post.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    }

    #[tokio::test(start_paused = true)]
    async fn s042_who_does_not_go_on_is_cut_off() {
        for sent in [
            &b""[..],
            b"GET / HTTP/1.1\r\nHost:",
            b"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        ] {
            let began = tokio::time::Instant::now();
            talk(sent).await;
            assert!(began.elapsed() <= CONNECTION_TIME_MAX + Duration::from_secs(1));
        }
    }
}
