//! TLS to a PBX: certificates are checked as configured, and a failed check explains itself.
//!
//! `rustls` does the checks. Added are a pinned certificate, and an explanation with the fingerprint that was found.

use std::fmt;
use std::path::Path;
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
use super::tls_errors::{Untrusted, explain_certificate, explain_handshake};
use crate::config::TlsTrust;

/// The TLS settings for a server.
///
/// *Errors*: the CA file cannot be read or has no certificate, or the system has no root certificates.
pub(super) fn client_config(trust: &TlsTrust) -> Result<ClientConfig, PbxErrorKind> {
    let provider = Arc::new(ring::default_provider());
    let trust = match trust {
        TlsTrust::Fingerprint(pinned) => Trust::Pinned(*pinned),
        TlsTrust::CaFile(path) => Trust::Roots(web_pki(roots_in_file(path)?, &provider)?),
        TlsTrust::SystemRoots => Trust::Roots(web_pki(system_roots()?, &provider)?),
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

fn roots_in_file(path: &Path) -> Result<RootCertStore, PbxErrorKind> {
    let unreadable = |error: &dyn fmt::Display| PbxErrorKind::Setup {
        detail: format!("cannot read the CA file {}: {error}", path.display()),
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
        let detail = format!("the CA file {} has no certificate", path.display());
        return Err(PbxErrorKind::Setup { detail });
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, PbxErrorKind> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let detail = "the system has no root certificates. Install the package ca-certificates, or set \
                      `tls: { ca_file: … }` or `tls: { fingerprint: … }`";
        return Err(PbxErrorKind::Setup { detail: detail.to_owned() });
    }
    Ok(roots)
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

/// Checks a certificate as configured. After a failed check it shows the fingerprint that was found.
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
                "its fingerprint is {found}, but {} is pinned. If the server has a new certificate, pin that one",
                fingerprint(pinned)
            ))),
            Trust::Roots(verifier) => verifier
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| match &error {
                    Error::InvalidCertificate(why) => untrusted(format!(
                        "{} (`tls: {{ fingerprint: \"{found}\" }}` trusts exactly this certificate)",
                        explain_certificate(why)
                    )),
                    other => untrusted(explain_handshake(other)),
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

    use super::*;

    const NOW: u64 = 1_795_000_000; // 2026-11-18

    /// The text for a certificate, and its fingerprint. With `is_root` it is itself in the `ca_file`, otherwise another
    /// one is.
    fn explanation(
        change: impl FnOnce(&mut CertificateParams),
        is_root: bool,
        host: &str,
    ) -> (String, String) {
        let mut params =
            CertificateParams::new(vec!["pbx.example.com".to_owned(), "10.0.0.5".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut other = CertificateParams::new(vec!["other".to_owned()]).unwrap();
        other.distinguished_name.push(DnType::CommonName, "other");
        let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(if is_root { certificate.der() } else { other.der() }.clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier { trust: Trust::Roots(web_pki(roots, &provider).unwrap()), provider };
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
        let found = fingerprint(&Sha256::digest(certificate.der()));
        match verifier.verify_server_cert(certificate.der(), &[], &name, &[], now) {
            Ok(_) => ("trusted".to_owned(), found),
            Err(Error::InvalidCertificate(why)) => (explain_certificate(&why), found),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_untrusted_certificate_is_explained_in_plain_words_and_can_be_pinned() {
        let host = "pbx.example.com";
        assert_eq!(explanation(|_| {}, true, host).0, "trusted");
        let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let old = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2026, 11, 1);
        let young = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2026, 12, 1);
        for ((text, found), words) in [
            (explanation(ca, true, host), vec!["marked as a certificate authority", "CA:FALSE"]),
            (
                explanation(|_| {}, false, host),
                vec!["self-signed, or its issuer is not trusted", "`ca_file`"],
            ),
            (explanation(old, true, host), vec!["expired (2026-11-01 00:00 UTC)", "2026-11-18", "Renew it"]),
            (
                explanation(young, true, host),
                vec!["not valid before its date (2026-12-01 00:00 UTC)", "clocks"],
            ),
            (
                explanation(|_| {}, true, "sip.example.com"),
                vec!["not for sip.example.com, but for pbx.example.com, 10.0.0.5. Use a name"],
            ),
            (
                explanation(|_| {}, true, "10.0.0.6"),
                vec!["not for 10.0.0.6, but for pbx.example.com, 10.0.0.5"],
            ),
        ] {
            for word in words {
                assert!(text.contains(word), "{word}: {text}");
            }
            assert!(text.ends_with(&format!(
                "(`tls: {{ fingerprint: \"{found}\" }}` trusts exactly this certificate)"
            )));
            assert!(!text.contains("::") && !text.contains("Name("), "{text}");
        }
    }
}
