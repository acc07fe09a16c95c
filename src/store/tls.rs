//! TLS to PostgreSQL with libpq's meanings: `require` checks nothing, `verify-ca` who signed the server's certificate,
//! `verify-full` its name besides.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::access::Boxed;
use crate::config::TlsMode;

/// The settings for one server. `ca_file` replaces the system's certificates.
pub(super) fn client_config(mode: TlsMode, ca_file: Option<&Path>) -> Result<ClientConfig, Boxed> {
    let provider = Arc::new(ring::default_provider());
    let check = match (mode, ca_file) {
        (TlsMode::VerifyFull, _) => Check::Name,
        // With a file of certificates libpq checks them, whatever `require` says by itself.
        (TlsMode::VerifyCa, _) | (TlsMode::Require, Some(_)) => Check::Issuer,
        _ => Check::Nothing,
    };
    let trusted = match (check, ca_file) {
        (Check::Nothing, _) => Vec::new(),
        (_, Some(path)) => from_file(path)?,
        (_, None) => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    if check != Check::Nothing && roots.is_empty() {
        return Err(match ca_file {
            Some(path) => format!("{} holds no certificate", path.display()).into(),
            None => "this machine has no root certificates (package ca-certificates), and `database_ca_file` is not set"
                .into(),
        });
    }
    let web_pki = match check {
        Check::Nothing => None,
        _ => Some(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?),
    };
    let given = if ca_file.is_some() { trusted } else { Vec::new() };
    let verifier = Verifier { check, web_pki, given, provider: provider.clone() };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Boxed> {
    let unreadable = |error: rustls::pki_types::pem::Error| -> Boxed {
        format!("the certificates in {} cannot be read: {error}", path.display()).into()
    };
    CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Issuer,
    Name,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    web_pki: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the configured file. A server's own, self-signed one may be among them: PostgreSQL's manual
    /// makes it so, and web PKI refuses an authority's certificate for a server.
    given: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
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
        let Some(web_pki) = &self.web_pki else { return Ok(ServerCertVerified::assertion()) };
        if self.given.iter().any(|given| given == end_entity) {
            if self.check == Check::Name {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match web_pki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last: everything else was in order.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Issuer => Ok(ServerCertVerified::assertion()),
            answer => answer,
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

/// Why the server's certificate was not believed, and the line that repairs it.
pub(super) fn in_words(error: &Error) -> String {
    let why = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "it is self-signed, or its issuer is not trusted. Name the issuer's certificate, or this one, in \
             `database_ca_file`"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "it is for another host name. Use a name from the certificate (its subjectAltName) in `database_url`"
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "it has expired"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "it is not valid yet. Check the clock",
        Error::InvalidCertificate(CertificateError::Other(other))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "it is a self-signed certificate of an authority. Name this certificate in `database_ca_file`"
        }
        Error::InvalidCertificate(_) => "it cannot be checked",
        other => return format!("TLS failed: {other}"),
    };
    format!("the server's certificate is not trusted: {why}")
}
