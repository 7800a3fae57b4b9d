//! Where a server listens: a TCP address or the path of a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen at, written `127.0.0.1:1143`, `[::1]:993` or `unix:/run/mail/lmtp.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port. Port 0 asks the system for a free one.
    Tcp(SocketAddr),
    /// A Unix stream socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine can reach the address, so that cleartext cannot be overheard.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The port, of a TCP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Neither `IP:port` nor `unix:/path`. Names of hosts are not looked up: what a listener binds
    /// must not depend on a name server.
    NotAnAddress,
    /// A Unix socket needs an absolute path, or it would depend on where the program was started.
    RelativePath,
    /// The system's limit for the path of a Unix socket.
    PathTooLong,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => "expected IP:port or unix:/absolute/path",
            Self::RelativePath => "the path after unix: must be absolute",
            Self::PathTooLong => "the path of a Unix socket may have at most 107 bytes",
        })
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(Self::Tcp).map_err(|_| AddressError::NotAnAddress);
        };
        if !path.starts_with('/') {
            return Err(AddressError::RelativePath);
        }
        if path.len() > UNIX_PATH_BYTES_MAX {
            return Err(AddressError::PathTooLong);
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }
}

/// `sun_path` has 108 bytes, one of them for the terminating zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_they_are_read() {
        for text in ["127.0.0.1:1143", "[::1]:993", "0.0.0.0:143", "unix:/run/lmtp.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        let local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(local("127.9.0.1:1") && local("[::1]:1") && local("unix:/a"));
        assert!(local("[::ffff:127.0.0.1]:1"));
        assert!(!local("0.0.0.0:1") && !local("[::]:1") && !local("192.0.2.1:1"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(refused("localhost:143"), AddressError::NotAnAddress);
        assert_eq!(refused("143"), AddressError::NotAnAddress);
        assert_eq!(refused("unix:lmtp.sock"), AddressError::RelativePath);
        assert_eq!(refused(&format!("unix:/{}", "a".repeat(107))), AddressError::PathTooLong);
    }
}
