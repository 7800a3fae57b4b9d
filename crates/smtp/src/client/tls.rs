//! TLS as a client: who the other side has to be. RFC 7817, RFC 7435

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt;

use super::dane::Associations;
use super::demand::Demand;

/// A configuration for each demand that servers of strangers are met with.
pub(super) struct Sides {
    /// Certificates are verified.
    pub(super) verified: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
}

impl Sides {
    /// # Errors
    /// When the authorities are not certificates, or the system has none.
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Self, String> {
        let verified = Arc::new(verified(authorities)?);
        Ok(Self { verified, unverified: Arc::new(unverified()?) })
    }

    /// `None` without TLS.
    pub(super) fn of(&self, demand: &Demand) -> Option<Arc<ClientConfig>> {
        match demand {
            Demand::Clear => None,
            Demand::Nothing | Demand::Encryption => Some(Arc::clone(&self.unverified)),
            Demand::Certificate => Some(Arc::clone(&self.verified)),
            Demand::Dane(associations) => {
                let provider = Arc::clone(self.unverified.crypto_provider());
                let associations = Some(Arc::clone(associations));
                let verifier = Arc::new(Verifier { provider, associations });
                // Of its own, with its own sessions: what was verified by other records, or not at
                // all, is not resumed.
                let mut config = ClientConfig::clone(&self.unverified);
                config.dangerous().set_certificate_verifier(verifier);
                config.resumption = Resumption::disabled();
                Some(Arc::new(config))
            }
        }
    }
}

/// Certificate and name are verified: by these authorities, or by those that the system trusts.
pub(super) fn verified(authorities: Option<&[u8]>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let Some(pem) = authorities else {
        let builder = builder.with_platform_verifier().map_err(|error| error.to_string())?;
        return Ok(builder.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in its ca".to_owned());
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Any certificate will do: it keeps out who only listens. RFC 7435 §3
pub(super) fn unverified() -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier { provider: Arc::clone(&provider), associations: None });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(builder.with_no_client_auth())
}

/// What is wrong with the certificate of the other side, if that is why a handshake failed.
pub(super) fn certificate_fault(error: &io::Error) -> Option<&CertificateError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(fault) => Some(fault),
        _ => None,
    }
}

/// Why a handshake failed, in words. What is not rustls' own it shows as it is written in Rust.
pub(super) fn handshake_fault(error: &io::Error) -> String {
    match certificate_fault(error) {
        Some(CertificateError::Other(fault)) => format!("invalid peer certificate: {fault}"),
        _ => error.to_string(),
    }
}

/// Verifies that the other side has the key of its certificate; and whose it is only if a zone
/// says so.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// The certificates that the zone names, and no others.
    associations: Option<Arc<Associations>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(associations) = &self.associations {
            let verified = associations.verify(end_entity, others, now, &self.provider);
            verified.map_err(rustls::Error::InvalidCertificate)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
