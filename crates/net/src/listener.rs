//! A bound address that connections arrive at.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::{Address, Peer, Stream};

/// A listening socket. A Unix socket's file is removed when the listener is dropped.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, Unlink),
}

/// Who may connect to a Unix socket, besides the user that runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    Owner,
    /// Every user of the machine who may enter the folder.
    Everyone,
}

impl Listener {
    /// Binds the address. Must be called within a runtime.
    ///
    /// A Unix socket that a program left behind is replaced; one that somebody still serves, or a
    /// file that is no socket, is not touched.
    ///
    /// # Errors
    /// As the system, with `AddrInUse` for a Unix socket that is being served.
    pub fn bind(address: &Address, access: Access) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => Self::bind_tcp(*address),
            Address::Unix(path) => Self::bind_unix(path, access),
        }
    }

    fn bind_tcp(address: SocketAddr) -> io::Result<Self> {
        let socket = match address.ip() {
            IpAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            IpAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self(Kind::Tcp(socket.listen(BACKLOG)?)))
    }

    fn bind_unix(path: &Path, access: Access) -> io::Result<Self> {
        if let Ok(metadata) = fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a socket"));
            }
            if BlockingUnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let mode = match access {
            Access::Owner => 0o600,
            Access::Everyone => 0o666,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(Self(Kind::Unix(listener, Unlink(path.to_owned()))))
    }

    /// The address with the port that the system chose.
    ///
    /// # Errors
    /// As the system.
    pub fn address(&self) -> io::Result<Address> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Kind::Unix(_, unlink) => Ok(Address::Unix(unlink.0.clone())),
        }
    }

    /// Waits for the next connection. Can be dropped and called again at no loss.
    ///
    /// # Errors
    /// As the system, such as too many open files; the listener stays good.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                prepare(&stream)?;
                Ok((stream.into(), Peer::Ip(address.ip().to_canonical())))
            }
            Kind::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((stream.into(), Peer::Local))
            }
        }
    }
}

/// Replies leave at once, and a peer that vanished (a phone that changed its network) is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Removes the file of a Unix socket, so that clients see at once that nobody serves it.
#[derive(Debug)]
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        // It may be gone with its folder already.
        let _ = fs::remove_file(&self.0);
    }
}

/// Connections that the system keeps for us while we are busy: a burst of reconnecting clients
/// after a restart must not be refused.
const BACKLOG: u32 = 1024;

/// Half-open connections are found after 5 to 8 minutes, long before they add up.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(300);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_RETRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_free_port_is_told_and_peers_are_known() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&any, Access::Owner).unwrap();
        let Address::Tcp(address) = listener.address().unwrap() else { panic!("not TCP") };
        let dial = tokio::spawn(TcpStream::connect(address));
        let (_stream, peer) = listener.accept().await.unwrap();
        assert!(peer.is_local());
        dial.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_unix_socket_has_its_rights_and_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = Address::Unix(path.clone());
        let listener = Listener::bind(&address, Access::Owner).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let busy = Listener::bind(&address, Access::Owner).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_but_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(Listener::bind(&Address::Unix(path.clone()), Access::Everyone).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&Address::Unix(path.clone()), Access::Everyone).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
