//! The transport below TLS: a TCP socket, a Unix socket or a pipe in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A transport, with bytes that were read too far and must be read again.
///
/// After STARTTLS, what a client sent behind the command belongs to the TLS handshake
/// (RFC 9051 §6.2.1, first choice): a pipelined ClientHello works, and an injected command makes
/// the handshake fail. It can never be answered inside TLS.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) kind: Kind,
    replay: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
    Memory(Box<DuplexStream>),
}

impl Socket {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, replay: Vec::new() }
    }

    /// Bytes that the next reads return before the transport is asked.
    pub(crate) fn replay(&mut self, bytes: Vec<u8>) {
        debug_assert!(self.replay.is_empty());
        self.replay = bytes;
    }

    /// The transport for reading, when nothing is left to replay.
    fn reader(&mut self) -> Pin<&mut dyn Reader> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream),
            Kind::Unix(stream) => Pin::new(stream),
            Kind::Memory(stream) => Pin::new(&mut **stream),
        }
    }
}

trait Reader: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Reader for T {}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.replay.is_empty() {
            return this.reader().poll_read(cx, buf);
        }
        let take = buf.remaining().min(this.replay.len());
        buf.put_slice(this.replay.get(..take).unwrap_or_default());
        this.replay.drain(..take);
        if this.replay.is_empty() {
            this.replay = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().reader().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().reader().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        !matches!(self.kind, Kind::Memory(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().reader().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().reader().poll_shutdown(cx)
    }
}
