//! TLS as a server: one certificate, replaceable while running, and one configuration a protocol.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::socket::Socket;
use crate::{CertificateError, CertificateFiles, Facts};

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
        let current = Current { key: RwLock::new(key), proofs: RwLock::default() };
        Ok(Self { current: Arc::new(current), client_ca })
    }

    /// What the certificate that is served says of itself.
    pub fn facts(&self) -> Option<Facts> {
        let key = Arc::clone(&self.current.key.read().unwrap_or_else(PoisonError::into_inner));
        key.cert.first().and_then(|leaf| Facts::read(leaf))
    }

    /// Serves the certificate in these files from now on; open connections keep theirs. Who vouches
    /// for clients stays as it was. Returns whether the certificate is another one.
    ///
    /// # Errors
    /// As [`CertificateFiles::load`]; the old certificate stays.
    pub fn reload(&self, files: &CertificateFiles) -> Result<bool, CertificateError> {
        let key = Arc::new(files.load()?);
        let mut current = self.current.key.write().unwrap_or_else(PoisonError::into_inner);
        let is_another = current.cert != key.cert;
        *current = key;
        Ok(is_another)
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

    /// As [`Tls::server`], and an authority that asks for a proof gets it ([`Tls::prove`]).
    pub fn server_that_proves(&self, alpn: &str) -> Result<TlsServer, rustls::Error> {
        let mut config = self.config(alpn, WebPkiClientVerifier::no_client_auth())?;
        config.alpn_protocols.push(CHALLENGE_ALPN.to_vec());
        Ok(TlsServer { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Proves the control of a name to an authority while the proof lives: whoever asks for the
    /// name by `acme-tls/1` gets a certificate that holds this SHA-256. RFC 8737 §3
    ///
    /// # Errors
    /// When no such certificate can be made.
    pub fn prove(&self, name: &str, digest: [u8; 32]) -> Result<Proof, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::NotMade(error.to_string());
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
        params.custom_extensions.push(CustomExtension::new_acme_identifier(&digest));
        let key = KeyPair::generate().map_err(failed)?;
        let certificate: CertificateDer<'static> =
            params.self_signed(&key).map_err(failed)?.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|error| CertificateError::NotMade(error.to_string()))?;
        // Not `from_der`: it refuses extensions that are critical and not known to it.
        let certified = CertifiedKey::new(vec![certificate], signer);
        let name = name.to_ascii_lowercase();
        let mut proofs = self.current.proofs.write().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(name.clone(), Arc::new(certified));
        Ok(Proof { current: Arc::clone(&self.current), name })
    }

    fn server_with(
        &self,
        alpn: &str,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<TlsServer, rustls::Error> {
        let config = self.config(alpn, verifier)?;
        Ok(TlsServer { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    fn config(
        &self,
        alpn: &str,
        verifier: Arc<dyn ClientCertVerifier>,
    ) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        // One ticket is enough for a mail client, and each costs a write at every login.
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

/// A proof that is given until this is dropped.
#[derive(Debug)]
pub struct Proof {
    current: Arc<Current>,
    name: String,
}

impl Drop for Proof {
    fn drop(&mut self) {
        let mut proofs = self.current.proofs.write().unwrap_or_else(PoisonError::into_inner);
        proofs.remove(&self.name);
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
        let stream = self.acceptor.accept_with(socket, limit).await?;
        // The handshake was all that the authority wanted. RFC 8737 §3
        match stream.get_ref().1.alpn_protocol() {
            Some(CHALLENGE_ALPN) => Err(io::Error::other("a proof was asked for and given")),
            _ => Ok(stream),
        }
    }
}

struct Current {
    key: RwLock<Arc<CertifiedKey>>,
    /// By name, for as long as an authority asks for them.
    proofs: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if asks_for_proof(&hello) {
            let name = hello.server_name()?.to_ascii_lowercase();
            let proofs = self.proofs.read().unwrap_or_else(PoisonError::into_inner);
            return proofs.get(&name).cloned();
        }
        Some(Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// An authority offers this protocol and no other. RFC 8737 §3
fn asks_for_proof(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else { return false };
    offered.next() == Some(CHALLENGE_ALPN) && offered.next().is_none()
}

/// The protocol by which an authority asks for a proof. RFC 8737 §6.2
pub const CHALLENGE_ALPN: &[u8] = b"acme-tls/1";

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
    use crate::{Security, Stream, certified};

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
    async fn s012_a_ticket_of_one_service_is_refused_by_another() {
        let fixture = fixture();
        let connector = client(&fixture.files, &[]);
        let (imap, smtp) =
            (fixture.tls.server("imap").unwrap(), fixture.tls.server("smtp").unwrap());
        let mut kinds = Vec::new();
        for tls in [&imap, &imap, &smtp] {
            let (server, client_end) = pair();
            let (connector, tls) = (connector.clone(), tls.clone());
            let serving = tokio::spawn(async move {
                let mut stream = server.start_tls(Vec::new(), &tls, PATIENCE).await.unwrap();
                stream.write_all(b"x", PATIENCE).await.unwrap();
                stream.close().await;
            });
            let mut client = connector.connect(name(), client_end).await.unwrap();
            // The ticket comes before the first octet.
            client.read_exact(&mut [0]).await.unwrap();
            kinds.push(client.get_ref().1.handshake_kind().unwrap());
            drop(client);
            serving.await.unwrap();
        }
        use rustls::HandshakeKind::{Full, Resumed};
        assert_eq!(kinds, [Full, Resumed, Full]);
    }

    /// The certificate that a client is shown; it trusts whatever comes.
    async fn shown(tls: &TlsServer, alpn: &[&str], to: &str) -> Option<Vec<u8>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(testing::Anything(Arc::clone(&provider)));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (server, client_end) = pair();
        let name = ServerName::try_from(to.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let dial = tokio::spawn(async move { connector.connect(name, client_end).await });
        let served = server.start_tls(Vec::new(), tls, PATIENCE).await;
        let client = dial.await.unwrap().ok()?;
        assert_eq!(served.is_ok(), client.get_ref().1.alpn_protocol() != Some(CHALLENGE_ALPN));
        client.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec())
    }

    #[tokio::test]
    async fn an_authority_gets_the_proof_of_the_name_that_it_asks_for_and_nobody_else_does() {
        let fixture = fixture();
        let own = fixture.files.load().unwrap().cert[0].to_vec();
        let https = fixture.tls.server_that_proves("http/1.1").unwrap();
        let held = fixture.tls.prove("Mail.example", [7; 32]).unwrap();
        let proof = shown(&https, &["acme-tls/1"], "mail.example").await.unwrap();
        assert_ne!(proof, own);
        // RFC 8737 §3: the name alone, and the digest in an extension of its own.
        assert_eq!(Facts::read(&proof).unwrap().names, ["Mail.example"]);
        // 1.3.6.1.5.5.7.1.31
        let id = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f];
        let digest = certified::extension(&certified::fields(&proof).unwrap(), &id).unwrap();
        assert_eq!(digest, [7; 32]);
        assert_eq!(shown(&https, &["acme-tls/1"], "other.example").await, None);
        let both = shown(&https, &["acme-tls/1", "http/1.1"], "mail.example").await;
        assert_eq!(both.as_ref(), Some(&own));
        assert_eq!(shown(&https, &[], "mail.example").await.as_ref(), Some(&own));
        // Who serves mail proves nothing.
        let imap = fixture.tls.server("imap").unwrap();
        assert_eq!(shown(&imap, &["acme-tls/1"], "mail.example").await, None);
        drop(held);
        assert_eq!(shown(&https, &["acme-tls/1"], "mail.example").await, None);
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
        assert!(fixture.tls.reload(&newer.files).unwrap());
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

#[cfg(test)]
mod testing {
    //! A client that looks at any certificate.

    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub struct Anything(pub Arc<CryptoProvider>);

    impl ServerCertVerifier for Anything {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
