use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use super::PbxErrorKind;
use crate::config::TlsTrust;

/// A server certificate that was not believed, with its fingerprint, so that it can be pinned after looking.
#[derive(Debug)]
pub(super) struct Untrusted {
    pub detail: String,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Untrusted {}

/// The TLS settings for a server that is to be trusted as configured.
///
/// *Errors*: the CA file cannot be read or holds no certificate; the system has no roots.
pub(super) fn client_config(trust: &TlsTrust) -> Result<ClientConfig, PbxErrorKind> {
    let provider = Arc::new(ring::default_provider());
    let trust = match trust {
        TlsTrust::Fingerprint(pinned) => Trust::Pinned(*pinned),
        TlsTrust::CaFile(path) => {
            let unreadable = |error: &dyn fmt::Display| PbxErrorKind::Setup {
                detail: format!("the CA file {} cannot be read: {error}", path.display()),
            };
            let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
                .map_err(|error| unreadable(&error))?
                .collect::<Result<_, _>>()
                .map_err(|error| unreadable(&error))?;
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unreadable(&error))?;
            }
            if roots.is_empty() {
                return Err(PbxErrorKind::Setup {
                    detail: format!("the CA file {} holds no certificate", path.display()),
                });
            }
            Trust::Roots(web_pki(roots, &provider)?)
        }
        TlsTrust::SystemRoots => {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(PbxErrorKind::Setup {
                    detail: "the system has no root certificates (package ca-certificates); \
                             set `tls: { ca_file: … }` or `tls: { fingerprint: … }`"
                        .to_owned(),
                });
            }
            Trust::Roots(web_pki(roots, &provider)?)
        }
    };
    let verifier = Verifier { trust, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PbxErrorKind::Setup { detail: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn web_pki(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, PbxErrorKind> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| PbxErrorKind::Setup { detail: error.to_string() })
}

/// `sha256:` and the digest of a certificate, as it is written in the configuration.
fn fingerprint(digest: &[u8]) -> String {
    use fmt::Write;
    digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Debug)]
enum Trust {
    Roots(Arc<WebPkiServerVerifier>),
    /// This certificate and no other: its name, age and issuer do not matter.
    Pinned([u8; 32]),
}

/// Checks a certificate as configured and, where it fails, says which one was found.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

fn untrusted(detail: String) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Untrusted { detail }))))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest = Sha256::digest(end_entity);
        let found = fingerprint(&digest);
        match &self.trust {
            Trust::Pinned(pinned) if digest[..] == pinned[..] => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pinned) => Err(untrusted(format!(
                "its fingerprint is {found}, pinned is {}; if the server was given a new certificate, pin that",
                fingerprint(pinned)
            ))),
            Trust::Roots(verifier) => verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| {
                    let why = match &error {
                        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                            "it is self-signed, or its issuer is unknown".to_owned()
                        }
                        Error::InvalidCertificate(why) => why.to_string(),
                        other => other.to_string(),
                    };
                    untrusted(format!(
                        "{why}; its fingerprint is {found}, which `tls: {{ fingerprint: \"{found}\" }}` would pin"
                    ))
                }),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
