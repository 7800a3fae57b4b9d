//! A connection to a relay: found, opened, protected, and each step of it in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::relay::{Relay, RelayTls};

/// A connection.
pub(super) enum Link {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Connects to the first address of a relay that answers.
    pub(super) async fn open(relay: &Relay) -> io::Result<TcpStream> {
        let found = tokio::net::lookup_host((relay.host.as_str(), relay.port));
        let found = timeout(RESOLVE_PATIENCE, found).await.map_err(|_| too_slow())??;
        let is_allowed = |at: &SocketAddr| relay.tls != RelayTls::None || at.ip().is_loopback();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the relay has no address");
        for address in found.filter(is_allowed).take(ADDRESSES_MAX) {
            match Self::dial(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to an address.
    pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
        let connecting = timeout(CONNECT_PATIENCE, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_| too_slow())??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Whether the other side has neither said anything more nor closed.
    pub(super) fn is_quiet(&self) -> bool {
        let stream = match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Protects the connection.
    pub(super) async fn protect(
        stream: TcpStream,
        host: &str,
        config: &Arc<ClientConfig>,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        let stream = timeout(HANDSHAKE_PATIENCE, handshake).await.map_err(|_| too_slow())??;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Sends all of it.
    pub(super) async fn send(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let sending = async {
            match self {
                Self::Clear(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Self::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
            }
        };
        timeout(patience, sending).await.map_err(|_| too_slow())?
    }

    /// What comes next; an error at the end.
    pub(super) async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match self {
            Self::Clear(stream) => stream.read(into).await?,
            Self::Tls(stream) => stream.read(into).await?,
        };
        if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
    }

    /// Says goodbye; whether it is heard does not matter any more.
    pub(super) async fn close(mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.send(bytes.as_ref(), CLOSE_PATIENCE).await;
        let closing = async {
            match &mut self {
                Self::Clear(stream) => stream.shutdown().await,
                Self::Tls(stream) => stream.shutdown().await,
            }
        };
        let _ = timeout(CLOSE_PATIENCE, closing).await;
    }
}

pub(super) fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server takes too long")
}

/// Until the system's resolver gives up by itself, as a rule.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(30);

/// For one address.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// Addresses that are tried.
const ADDRESSES_MAX: usize = 8;

const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(60);

const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
