//! The errors of `rustls` for operators. Its own texts show the names of its types.

use std::fmt;

use chrono::DateTime;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error};

use crate::environment::to_the_minute;

/// A server certificate that is not trusted. The text has its fingerprint, so that an operator can check and pin it.
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

/// Why a certificate is not trusted, and what to do.
pub(super) fn explain_certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let day = |time: UnixTime| {
        let seconds = i64::try_from(time.as_secs()).ok();
        seconds
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .map_or_else(String::new, |at| format!(" ({} by this machine's clock)", to_the_minute(at)))
    };
    let until = |time: &UnixTime| day(*time).replace(" by this machine's clock", "");
    match error {
        E::UnknownIssuer => "it is self-signed, or its issuer is not trusted. Set `ca_file` to the issuer's \
                             certificate, or check this one and pin it"
            .to_owned(),
        E::Expired => "it has expired. Renew it on the server".to_owned(),
        E::ExpiredContext { time, not_after } => {
            format!("it expired{}, and it is now{}. Renew it on the server", until(not_after), day(*time))
        }
        E::NotValidYet => "it is not valid yet. Check the clocks of both machines".to_owned(),
        E::NotValidYetContext { time, not_before } => format!(
            "it is not valid before its date{}, and it is now{}. Check the clocks of both machines",
            until(not_before),
            day(*time)
        ),
        E::NotValidForName => {
            "it is for another host name. Use a name of the certificate in the instance's `url`".to_owned()
        }
        E::NotValidForNameContext { expected, presented } => format!(
            "it is not for {}, but for {}. Use a name of the certificate in the instance's `url`",
            expected.to_str(),
            names(presented)
        ),
        E::Revoked => "its issuer revoked it. Give the server a new one".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow servers to use it. Give the server another one".to_owned()
        }
        E::BadSignature => {
            "its signature does not match its issuer. Check whether `ca_file` is the issuer's current certificate"
                .to_owned()
        }
        E::BadEncoding => "it cannot be read. Give the server a new one".to_owned(),
        // Some checks of webpki return an error of its own, whose text is the name of its variant.
        E::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "it is marked as a certificate authority, as by `openssl req -x509`, so it cannot be a server's own. Pin it, \
             or create it again with `-addext basicConstraints=critical,CA:FALSE`"
                .to_owned()
        }
        E::Other(other) => match other.0.downcast_ref::<Untrusted>() {
            Some(explained) => explained.detail.clone(),
            None => "it breaks a rule for certificates of servers. Give the server a new one".to_owned(),
        },
        _ => "it uses an algorithm or an extension that is not supported. Give the server a new one".to_owned(),
    }
}

/// The names in a certificate as an operator writes them. webpki shows them as `DnsName("pbx.example.com")`.
fn names(presented: &[String]) -> String {
    const SHOWN: usize = 5;
    let bare = presented.iter().map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')'));
        inner.trim_matches('"').to_owned()
    });
    let mut list: Vec<String> = bare.take(SHOWN).collect();
    if presented.len() > SHOWN {
        list.push(format!("{} more", presented.len() - SHOWN));
    }
    if list.is_empty() { "no name at all".to_owned() } else { list.join(", ") }
}

/// Why a TLS connection failed.
pub(super) fn explain_handshake(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => explain_certificate(why),
        Error::InvalidMessage(_) => {
            "the answer is not TLS. Check the port in `url`: it may be one for http://, or a proxy's"
                .to_owned()
        }
        Error::PeerIncompatible(_) => {
            "the server and tenantd have no TLS version or cipher in common. tenantd needs TLS 1.2 or 1.3"
                .to_owned()
        }
        Error::AlertReceived(alert) => {
            let alert = alert.as_str().unwrap_or("unknown").chars().fold(String::new(), |mut text, c| {
                if c.is_ascii_uppercase() && !text.is_empty() {
                    text.push('_');
                }
                text.push(c.to_ascii_lowercase());
                text
            });
            format!("the server ended the TLS handshake with the alert `{alert}`")
        }
        Error::General(text) => text.clone(),
        _ => "the TLS handshake failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn no_error_of_rustls_is_shown_in_its_debug_form() {
        use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};
        let broken = webpki_like();
        let errors = [
            CertificateError::BadEncoding,
            CertificateError::Expired,
            CertificateError::NotValidYet,
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::BadSignature,
            CertificateError::NotValidForName,
            CertificateError::InvalidPurpose,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::Other(OtherError(Arc::new(broken))),
        ];
        let others = [
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::TooMuchEarlyDataReceived),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::DecryptError,
        ];
        let texts = errors.map(Error::InvalidCertificate).into_iter().chain(others).map(|error| {
            let debug = format!("{error:?}");
            (explain_handshake(&error), debug)
        });
        for (text, debug) in texts {
            let names = debug.split(|c: char| !c.is_alphanumeric()).filter(|name| {
                name.chars().skip(1).any(char::is_uppercase) && name.chars().any(char::is_lowercase)
            });
            for name in names {
                assert!(!text.contains(name), "{name}: {text}");
            }
        }
        assert!(
            explain_handshake(&Error::AlertReceived(AlertDescription::HandshakeFailure))
                .contains("`handshake_failure`")
        );
    }

    /// An error whose text is the name of its type, like those of webpki.
    fn webpki_like() -> impl std::error::Error + Send + Sync + 'static {
        #[derive(Debug)]
        struct PathLenConstraintViolated;
        impl fmt::Display for PathLenConstraintViolated {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self:?}")
            }
        }
        impl std::error::Error for PathLenConstraintViolated {}
        PathLenConstraintViolated
    }
}
