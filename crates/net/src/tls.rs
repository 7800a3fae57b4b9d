//! TLS as a server: one certificate, replaceable while running, and one configuration a protocol.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;
use crate::{CertificateError, CertificateFiles};

/// The certificate of a program. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Arc<Current>,
    /// Who vouches for clients' certificates.
    client_ca: Option<Arc<RootCertStore>>,
}

impl Tls {
    /// Serves the certificate in these files.
    ///
    /// # Errors
    /// As [`CertificateFiles::load`] and [`CertificateFiles::load_client_ca`].
    pub fn new(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let key = Arc::new(files.load()?);
        let client_ca = files.load_client_ca()?.map(Arc::new);
        Ok(Self { current: Arc::new(Current { key: RwLock::new(key) }), client_ca })
    }

    /// Serves the certificate in these files from now on; open connections keep theirs. Who vouches
    /// for clients stays as it was.
    ///
    /// # Errors
    /// As [`CertificateFiles::load`]; the old certificate stays.
    pub fn reload(&self, files: &CertificateFiles) -> Result<(), CertificateError> {
        let key = Arc::new(files.load()?);
        *self.current.key.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }

    /// TLS for one protocol, named as in the IANA registry of ALPN ids (`imap`).
    ///
    /// A client that names other protocols only is refused, and so is a session ticket of another
    /// protocol: a browser that is tricked into connecting here gets no further.
    pub fn server(&self, alpn: &str) -> Result<TlsServer, rustls::Error> {
        self.server_with(alpn, WebPkiClientVerifier::no_client_auth())
    }

    /// As [`Tls::server`], but a client is asked for a certificate if somebody vouches for those.
    /// It may have none; one that does not verify ends the handshake.
    pub fn server_that_asks(&self, alpn: &str) -> Result<TlsServer, rustls::Error> {
        let Some(roots) = &self.client_ca else { return self.server(alpn) };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        self.server_with(alpn, verifier)
    }

    fn server_with(
        &self,
        alpn: &str,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<TlsServer, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        // One ticket is enough for a mail client, and each costs a write at every login.
        config.send_tls13_tickets = 1;
        Ok(TlsServer { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// The server side of TLS for one protocol.
#[derive(Clone)]
pub struct TlsServer {
    acceptor: TlsAcceptor,
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}

impl TlsServer {
    pub(crate) async fn accept(&self, socket: Socket) -> io::Result<TlsStream<Socket>> {
        let limit = |session: &mut rustls::ServerConnection| {
            session.set_buffer_limit(Some(SESSION_BUFFER_BYTES_MAX));
        };
        self.acceptor.accept_with(socket, limit).await
    }
}

struct Current {
    key: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What TLS may hold for a peer that does not read: one record. The default of 64 KiB would let
/// slow readers cost more than sessions do.
const SESSION_BUFFER_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::{Security, Stream};

    const PATIENCE: Duration = Duration::from_secs(5);

    struct Fixture {
        _folder: tempfile::TempDir,
        files: CertificateFiles,
        tls: Tls,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path(), "localhost").unwrap();
        let tls = Tls::new(&files).unwrap();
        Fixture { _folder: folder, files, tls }
    }

    fn client(files: &CertificateFiles, alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(&files.certificate).unwrap();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    fn pair() -> (Stream, DuplexStream) {
        let (server, client) = tokio::io::duplex(64 * 1024);
        (Stream::memory(server), client)
    }

    fn name() -> ServerName<'static> {
        ServerName::try_from("localhost").unwrap()
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_certificate_talks_and_gets_close_notify() {
        let fixture = fixture();
        let (server, client_end) = pair();
        let tls = fixture.tls.server("imap").unwrap();
        let serving = tokio::spawn(async move {
            let mut stream = server.start_tls(Vec::new(), &tls, PATIENCE).await.unwrap();
            assert_eq!(stream.security(), Security::Tls);
            let mut got = Vec::new();
            stream.read_into(&mut got, 100).await.unwrap();
            stream.write_all(&got, PATIENCE).await.unwrap();
            stream.close().await;
        });
        let mut client =
            client(&fixture.files, &["imap"]).connect(name(), client_end).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut echoed = Vec::new();
        // An end without close_notify would be an error here.
        client.read_to_end(&mut echoed).await.unwrap();
        assert_eq!(echoed, b"ping");
        drop(client);
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn s012_a_client_of_another_protocol_is_refused() {
        let fixture = fixture();
        let tls = fixture.tls.server("imap").unwrap();
        for (offer, accepted) in [(vec!["http/1.1"], false), (vec!["http/1.1", "imap"], true)] {
            let (server, client_end) = pair();
            let connector = client(&fixture.files, &offer);
            let dial = tokio::spawn(async move { connector.connect(name(), client_end).await });
            let served = server.start_tls(Vec::new(), &tls, PATIENCE).await;
            assert_eq!(served.is_ok(), accepted, "{offer:?}");
            assert_eq!(dial.await.unwrap().is_ok(), accepted, "{offer:?}");
        }
    }

    #[tokio::test]
    async fn s001_cleartext_behind_the_upgrade_breaks_the_handshake() {
        let fixture = fixture();
        let tls = fixture.tls.server("imap").unwrap();
        let (server, _client) = pair();
        let error = server.start_tls(b"a2 LOGIN a b\r\n".to_vec(), &tls, PATIENCE).await;
        assert!(error.is_err());
    }

    #[tokio::test]
    async fn a_new_certificate_serves_new_connections() {
        let (fixture, newer) = (fixture(), fixture());
        let tls = fixture.tls.server("imap").unwrap();
        fixture.tls.reload(&newer.files).unwrap();
        let (server, client_end) = pair();
        let connector = client(&newer.files, &[]);
        let dial = tokio::spawn(async move { connector.connect(name(), client_end).await });
        server.start_tls(Vec::new(), &tls, PATIENCE).await.unwrap();
        assert!(dial.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn s042_a_handshake_that_never_comes_is_given_up() {
        let fixture = fixture();
        let tls = fixture.tls.server("imap").unwrap();
        let (server, _client) = pair();
        let error = server.start_tls(Vec::new(), &tls, PATIENCE).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
