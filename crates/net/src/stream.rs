//! One connection, cleartext or TLS, that holds no buffer while it waits.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::Io;
use crate::TlsServer;
use crate::certified;
use crate::deflate::{self, Inflater, More};
use crate::socket::{Kind, Socket};

/// A connection as a shell sees it.
///
/// Reading appends to a buffer of the caller's and makes room only once bytes are there, so an
/// idle connection costs its socket and its TLS keys and nothing more.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    /// Compression, within TLS if there is both. RFC 4978 §3
    inflater: Option<Box<Inflater>>,
}

#[derive(Debug)]
pub(crate) enum Transport {
    Clear(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Who could overhear a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing protects the bytes on the wire.
    Cleartext,
    /// TLS is established.
    Tls,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::over(Transport::Clear(Socket::new(Kind::Tcp(stream))))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::over(Transport::Clear(Socket::new(Kind::Unix(stream))))
    }
}

impl Stream {
    /// A connected pair in memory, for tests: what one end writes, the other reads. Each direction
    /// holds at most `capacity` bytes, then the writer waits.
    pub fn pair(capacity: usize) -> (Self, Self) {
        let (one, other) = tokio::io::duplex(capacity);
        (Self::memory(one), Self::memory(other))
    }

    /// One end of a pipe in memory.
    pub fn memory(end: DuplexStream) -> Self {
        Self::over(Transport::Clear(Socket::new(Kind::Memory(Box::new(end)))))
    }

    /// The connection for a library that reads and writes by itself. What is compressed has none.
    ///
    /// # Errors
    /// When the connection is compressed.
    pub fn into_io(self) -> io::Result<Io> {
        if self.is_compressed() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "compressed"));
        }
        Ok(Io::new(self.transport))
    }

    fn over(transport: Transport) -> Self {
        Self { transport, inflater: None }
    }

    /// Whether TLS protects the connection.
    pub fn security(&self) -> Security {
        match &self.transport {
            Transport::Clear(_) => Security::Cleartext,
            Transport::Tls(_) => Security::Tls,
        }
    }

    /// Keying material of the TLS connection that a login can be bound to: `tls-exporter`. Under
    /// TLS 1.3 only, where it is unique whatever else was negotiated. RFC 9266 §2, §4.2
    pub fn channel_binding(&self) -> Option<[u8; CHANNEL_BINDING_BYTES]> {
        let Transport::Tls(stream) = &self.transport else { return None };
        let (_, tls) = stream.get_ref();
        if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        let label = b"EXPORTER-Channel-Binding";
        tls.export_keying_material([0; CHANNEL_BINDING_BYTES], label, Some(&[])).ok()
    }

    /// For whom the client's certificate was made out, if it showed one: its addresses, or else its
    /// common names. One that does not verify has ended the handshake.
    pub fn certified_names(&self) -> Vec<String> {
        let Transport::Tls(stream) = &self.transport else { return Vec::new() };
        let chain = stream.get_ref().1.peer_certificates();
        chain.and_then(<[_]>::first).map(|leaf| certified::names(leaf)).unwrap_or_default()
    }

    /// Waits for bytes and appends them to `buffer`, at most `bytes_max` and never more than
    /// [`READ_BYTES_MAX`]. Returns how many; 0 is the end of the stream.
    ///
    /// Dropping the future loses nothing: bytes are taken from the connection only in the same
    /// step that puts them into the buffer.
    ///
    /// # Errors
    /// As the transport. A TLS peer that goes without `close_notify` is an `UnexpectedEof`.
    pub async fn read_into(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_into(cx, buffer, bytes_max)).await
    }

    /// Compresses both directions from here on. `early` are octets that came behind the command
    /// that asked for it: they are compressed already, or cannot be understood. RFC 4978 §3
    pub fn start_deflate(&mut self, early: Vec<u8>) {
        self.inflater = Some(Box::new(Inflater::new(early)));
    }

    /// Whether the connection is compressed.
    pub fn is_compressed(&self) -> bool {
        self.inflater.is_some()
    }

    /// Ends compression after the last octets were written by [`Stream::write_last`]. Returns what
    /// the peer sent behind its own compressed octets. RFC 8437 §4.1
    pub fn stop_deflate(&mut self) -> Vec<u8> {
        self.inflater.take().map(|inflater| inflater.rest()).unwrap_or_default()
    }

    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(inflater) = &mut self.inflater else {
            return self.transport.poll_read_into(cx, buffer, bytes_max);
        };
        // What was compressed well comes without a read of the socket, many times over: others
        // must have their turn meanwhile.
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        loop {
            let count = inflater.inflate(buffer, bytes_max)?;
            if count > 0 {
                turn.made_progress();
                return Poll::Ready(Ok(count));
            }
            let pending = inflater.pending();
            if ready!(self.transport.poll_read_into(cx, pending, READ_BYTES_MAX))? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
    }
}

impl Transport {
    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        // On the stack of this step, not in the future: it is gone while the connection waits.
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_BYTES_MAX];
        let end = bytes_max.min(READ_BYTES_MAX);
        let Some(space) = space.get_mut(..end) else { return Poll::Ready(Ok(0)) };
        let mut read = ReadBuf::uninit(space);
        match self {
            Self::Clear(socket) => ready!(Pin::new(socket).poll_read(cx, &mut read))?,
            Self::Tls(stream) => ready!(Pin::new(stream).poll_read(cx, &mut read))?,
        }
        buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

impl Stream {
    /// Writes all bytes and hands them to the transport. Waits while the peer does not read.
    ///
    /// # Errors
    /// As the transport; `TimedOut` when the peer took nothing for `patience`.
    pub async fn write_all(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        if self.inflater.is_none() || bytes.is_empty() {
            return self.write_as_is(bytes, patience).await;
        }
        let deflated = deflate::deflate(bytes, More::Follows)?;
        self.write_as_is(&deflated, patience).await
    }

    /// As [`Stream::write_all`]; if the connection is compressed, these are the last octets that
    /// are.
    ///
    /// # Errors
    /// As [`Stream::write_all`].
    pub async fn write_last(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        if self.inflater.is_none() {
            return self.write_as_is(bytes, patience).await;
        }
        let deflated = deflate::deflate(bytes, More::Ends)?;
        self.write_as_is(&deflated, patience).await
    }

    async fn write_as_is(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = within(patience, async {
                match &mut self.transport {
                    Transport::Clear(socket) => socket.write(rest).await,
                    Transport::Tls(stream) => stream.write(rest).await,
                }
            })
            .await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
        match &mut self.transport {
            Transport::Clear(_) => Ok(()),
            Transport::Tls(stream) => within(patience, stream.flush()).await,
        }
    }

    /// Begins TLS as its server. `early` are bytes that arrived behind the command that asked for
    /// TLS: they are the beginning of the handshake, or make it fail (RFC 9051 §6.2.1).
    ///
    /// # Errors
    /// When the handshake fails or takes longer than `patience`, or TLS is established already.
    pub async fn start_tls(
        self,
        early: Vec<u8>,
        server: &TlsServer,
        patience: Duration,
    ) -> io::Result<Self> {
        let Transport::Clear(mut socket) = self.transport else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS within TLS"));
        };
        socket.replay(early);
        // Boxed: the handshake is large and short, the connection's future small and long.
        let handshake = Box::pin(server.accept(socket));
        let stream = within(patience, handshake).await?;
        Ok(Self::over(Transport::Tls(Box::new(stream))))
    }

    /// Ends the connection in order: TLS says `close_notify`, then the socket is closed for
    /// writing. A client that waits for either (RFC 9051 §3.4, §6.1.3) does not wait in vain.
    pub async fn close(mut self) {
        let closing = async {
            match &mut self.transport {
                Transport::Clear(socket) => socket.shutdown().await,
                Transport::Tls(stream) => stream.shutdown().await,
            }
        };
        // What is still read is not looked at.
        self.inflater = None;
        // The peer may be gone already; there is nobody left to tell.
        let _ = within(CLOSE_PATIENCE, closing).await;
        self.drain().await;
    }

    /// Closing a TCP socket with unread input makes the system reset the connection, and a reset
    /// can overtake our last words. So what is already there is read, briefly and without end.
    async fn drain(&mut self) {
        let mut dropped = Vec::new();
        let mut budget = DRAIN_BYTES_MAX;
        let reading = async {
            while budget > 0 {
                dropped.clear();
                match self.read_into(&mut dropped, READ_BYTES_MAX).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => budget = budget.saturating_sub(count),
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_PATIENCE, reading).await;
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Length of a channel binding. RFC 9266 §2
pub const CHANNEL_BINDING_BYTES: usize = 32;

/// The most that one read appends: a full TLS record.
pub const READ_BYTES_MAX: usize = 16 * 1024;

/// How long a peer that does not read may delay the end of its connection.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// How long the peer's own end of the connection is waited for.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);

/// How much of what a peer still sends is read before it is cut off.
const DRAIN_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn bytes_arrive_in_order_and_the_end_is_seen() {
        let (mut one, mut other) = Stream::pair(64);
        one.write_all(b"hello ", PATIENCE).await.unwrap();
        one.write_all(b"there", PATIENCE).await.unwrap();
        drop(one);
        let mut read = Vec::new();
        while other.read_into(&mut read, 4).await.unwrap() > 0 {}
        assert_eq!(read, b"hello there");
    }

    #[tokio::test]
    async fn a_waiting_reader_has_made_no_room() {
        let (_one, mut other) = Stream::pair(64);
        let mut read = Vec::new();
        {
            let mut reading = Box::pin(other.read_into(&mut read, 4096));
            assert!(poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await);
            assert!(size_of_val(&*reading) <= 64);
        }
        assert_eq!(read.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_ends_the_write() {
        let (mut one, _other) = Stream::pair(8);
        let error = one.write_all(&[b'a'; 9], PATIENCE).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
