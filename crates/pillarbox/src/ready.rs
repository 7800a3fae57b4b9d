//! The ready file: what a script needs to know of a server that has just started.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;

/// Everything about a running server that a script could want.
#[derive(Debug, Default, Serialize)]
pub struct Ready {
    /// The server's process.
    pub pid: u32,
    /// The data folder.
    pub data: PathBuf,
    /// The certificate that it shows.
    pub certificate: PathBuf,
    /// Every address, in the order of the configuration.
    pub listen: Vec<ReadyAddress>,
    /// Port of IMAP with STARTTLS, of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap: Option<u16>,
    /// Port of IMAP with TLS from the start, of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imaps: Option<u16>,
    /// Port of LMTP, of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lmtp: Option<u16>,
    /// Port of SMTP, of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<u16>,
    /// Port of submission with STARTTLS, of a trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<u16>,
    /// Names and passwords, of a trial.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<ReadyAccount>,
}

/// An address that is being served.
#[derive(Clone, Debug, Serialize)]
pub struct ReadyAddress {
    /// `http`, `imap`, `lmtp`, `smtp` or `submission`.
    pub protocol: &'static str,
    /// As in the configuration, with the port that was chosen.
    pub address: String,
    /// `implicit`, `starttls` or `none`.
    pub tls: &'static str,
}

/// An account of a trial.
#[derive(Clone, Serialize)]
pub struct ReadyAccount {
    /// Its name, which is also its address.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for ReadyAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} …", self.name)
    }
}

impl Ready {
    /// Writes the file, for its owner only. It appears complete or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let write = || {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            net::write_private(path, &text)
        };
        write().map_err(|error: io::Error| {
            Failure::failed(format!("ready file {}: {error}", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn s076_the_file_is_private_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        fs::write(&path, "old").unwrap();
        let ready = Ready { pid: 7, imap: Some(1143), ..Ready::default() };
        ready.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!((read["pid"].as_u64(), read["imap"].as_u64()), (Some(7), Some(1143)));
        assert!(read.get("accounts").is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn s074_a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("ready"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("ready.new")).unwrap();
        Ready::default().write(&path).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }
}
