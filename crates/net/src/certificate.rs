//! Certificates: read from files, or made by ourselves and kept.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tracing::warn;

/// Where a certificate chain and its key are kept, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and the intermediates after it.
    pub certificate: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
    /// Certificates, as PEM, of who vouches for clients' certificates; without it no client is
    /// asked for one.
    pub client_ca: Option<PathBuf>,
}

/// Why there is no certificate to serve.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// The file holds no certificate in PEM.
    NoCertificate(PathBuf),
    /// The file holds no private key in PEM.
    NoKey(PathBuf),
    /// The key is of an unknown kind or does not belong to the certificate.
    Unusable(PathBuf, rustls::Error),
    /// No certificate could be made for this name.
    NotMade(String),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoCertificate(path) => write!(f, "{}: no PEM certificate in it", path.display()),
            Self::NoKey(path) => write!(f, "{}: no PEM private key in it", path.display()),
            Self::Unusable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotMade(reason) => write!(f, "no self-signed certificate was made: {reason}"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl CertificateFiles {
    /// A chain and its key in one file, so that both are replaced together. No client is asked for
    /// a certificate.
    #[must_use]
    pub fn in_one(file: PathBuf) -> Self {
        Self { certificate: file.clone(), key: file, client_ca: None }
    }

    /// Reads the certificates of who vouches for clients, if there are such.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate that can be used.
    pub fn load_client_ca(&self) -> Result<Option<RootCertStore>, CertificateError> {
        let Some(path) = &self.client_ca else { return Ok(None) };
        let pem = fs::read(path).map_err(|error| CertificateError::File(path.clone(), error))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate =
                certificate.map_err(|_| CertificateError::NoCertificate(path.clone()))?;
            let added = roots.add(certificate);
            added.map_err(|error| CertificateError::Unusable(path.clone(), error))?;
        }
        match roots.is_empty() {
            true => Err(CertificateError::NoCertificate(path.clone())),
            false => Ok(Some(roots)),
        }
    }

    /// Reads and checks both files.
    ///
    /// # Errors
    /// When either cannot be read, holds nothing usable, or they do not belong together.
    pub fn load(&self) -> Result<CertifiedKey, CertificateError> {
        let certificates = fs::read(&self.certificate)
            .map_err(|error| CertificateError::File(self.certificate.clone(), error))?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate(self.certificate.clone()))?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate(self.certificate.clone()));
        }
        let key =
            fs::read(&self.key).map_err(|error| CertificateError::File(self.key.clone(), error))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|_| CertificateError::NoKey(self.key.clone()))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|error| CertificateError::Unusable(self.key.clone(), error))
    }

    /// The self-signed certificate of a data folder, made at the first call and kept there: a
    /// client that was told to trust it once shall not be asked again.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn self_signed(folder: &Path, hostname: &str) -> Result<Self, CertificateError> {
        let files = Self {
            certificate: folder.join("self-signed.pem"),
            key: folder.join("self-signed.key"),
            client_ca: None,
        };
        if files.certificate.exists() && files.key.exists() {
            return Ok(files);
        }
        let (certificate, key) = make_self_signed(hostname)?;
        let io = |error| CertificateError::File(folder.to_owned(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        // The key first: the certificate's presence says that both are whole.
        keep(&files.key, key.as_bytes())?;
        keep(&files.certificate, certificate.as_bytes())?;
        Ok(files)
    }

    /// A chain and its key in one file ([`Self::in_one`]). Until there is a certificate from
    /// somebody else, it holds one that is signed by itself.
    ///
    /// # Errors
    /// When that cannot be made or written.
    pub fn placeholder(file: &Path, hostname: &str) -> Result<Self, CertificateError> {
        let files = Self::in_one(file.to_owned());
        match files.load() {
            Ok(_) => return Ok(files),
            Err(CertificateError::File(_, error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(%error, "what is kept cannot be served, and is replaced"),
        }
        let (certificate, key) = make_self_signed(hostname)?;
        if let Some(folder) = file.parent() {
            let io = |error| CertificateError::File(folder.to_owned(), error);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        }
        keep(file, format!("{certificate}{key}").as_bytes())?;
        Ok(files)
    }
}

/// A certificate for a name and for this machine, and its key, both as PEM.
fn make_self_signed(hostname: &str) -> Result<(String, String), CertificateError> {
    let mut names = vec![hostname.to_owned()];
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| CertificateError::NotMade(error.to_string()))?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), CertificateError> {
    write_private(path, bytes).map_err(|error| CertificateError::File(path.to_owned(), error))
}

/// Writes a file that only its owner may read: after a crash it is the old one or the new one.
///
/// # Errors
/// As the system; the old file stays.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    // A draft that an earlier run left behind may have other rights: never write into it.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_made_certificate_is_private_kept_and_usable() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("tls");
        let files = CertificateFiles::self_signed(&inner, "mail.example.org").unwrap();
        let first = files.load().unwrap();
        let again = CertificateFiles::self_signed(&inner, "mail.example.org").unwrap();
        assert_eq!(first.cert, again.load().unwrap().cert);
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_placeholder_is_kept_until_it_cannot_be_served() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("acme/certificate.pem");
        let files = CertificateFiles::placeholder(&file, "mail.example.org").unwrap();
        let first = files.load().unwrap();
        let again = CertificateFiles::placeholder(&file, "mail.example.org").unwrap();
        assert_eq!(first.cert, again.load().unwrap().cert);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "torn").unwrap();
        let renewed = CertificateFiles::placeholder(&file, "mail.example.org").unwrap();
        assert_ne!(first.cert, renewed.load().unwrap().cert);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn unusable_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(folder.path(), "a.example").unwrap();
        let missing = CertificateFiles { key: folder.path().join("none"), ..files.clone() };
        assert!(
            matches!(missing.load(), Err(CertificateError::File(path, _)) if path.ends_with("none"))
        );
        fs::write(&files.certificate, "nothing").unwrap();
        assert!(matches!(files.load(), Err(CertificateError::NoCertificate(_))));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = CertificateFiles::self_signed(one.path(), "a.example").unwrap();
        let second = CertificateFiles::self_signed(other.path(), "a.example").unwrap();
        let mixed = CertificateFiles { certificate: one.certificate, ..second };
        assert!(matches!(
            mixed.load(),
            Err(CertificateError::File(..) | CertificateError::Unusable(..))
        ));
    }
}
