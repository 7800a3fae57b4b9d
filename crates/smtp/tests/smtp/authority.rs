//! An authority that signs certificates for tests, right ones and wrong ones.

use std::path::Path;

use aws_lc_rs::digest;
use net::CertificateFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    der: Vec<u8>,
}

/// A certificate with what signed it, and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub chain: String,
    pub key: String,
    /// The digest of its public key, as TLSA records have it.
    pub key_digest: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// The digest of its certificate.
    pub fn digest(&self) -> String {
        hex(digest::digest(&digest::SHA256, &self.der).as_ref())
    }

    pub fn sign(&self, name: &str) -> Certificate {
        self.sign_until(name, 2099)
    }

    pub fn sign_until(&self, name: &str, year: i32) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = format!("{}{}", certificate.pem(), self.pem);
        Certificate::new(chain, &key)
    }
}

impl Certificate {
    pub fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Self::new(params.self_signed(&key).unwrap().pem(), &key)
    }

    fn new(chain: String, key: &KeyPair) -> Self {
        let key_digest = hex(digest::digest(&digest::SHA256, &public_key(key)).as_ref());
        Self { chain, key: key.serialize_pem(), key_digest }
    }

    pub fn write(&self, folder: &Path) -> CertificateFiles {
        let (certificate, key) = (folder.join("chain.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, &self.chain).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        CertificateFiles { certificate, key, client_ca: None }
    }
}

fn public_key(key: &KeyPair) -> Vec<u8> {
    use rcgen::PublicKeyData as _;
    key.subject_public_key_info()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
