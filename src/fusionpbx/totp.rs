//! Time-based one-time codes (RFC 6238) by `totp-rs`, as FusionPBX checks them: SHA-1, six digits, thirty seconds.

use chrono::{DateTime, Utc};
use totp_rs::Builder;

use crate::model::Secret;

/// The code at a time. The secret is in base 32, as FusionPBX shows it: blanks and case do not matter.
///
/// *Errors*: what is wrong with the secret, as the end of a sentence. It repeats nothing of the secret.
pub(super) fn code(secret: &Secret, at: DateTime<Utc>) -> Result<String, &'static str> {
    let base32: String = secret
        .expose()
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '=')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let secret = totp_rs::Secret::try_from_base32(&base32)
        .map_err(|_| "is not in base 32 (letters A to Z and digits 2 to 7), as FusionPBX shows it")?;
    if base32.is_empty() {
        return Err("is empty");
    }
    let seconds = u64::try_from(at.timestamp()).map_err(|_| "cannot be used before 1970")?;
    Ok(Builder::new().with_secret(secret).build_noncompliant().generate(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the secret `12345678901234567890`, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = Secret::new("gezd gnbv gy3t qojq gezd gnbv gy3t qojq");
        for (at, expected) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let at = DateTime::from_timestamp(at, 0).unwrap();
            assert_eq!(code(&secret, at).unwrap(), expected);
        }
    }

    #[test]
    fn an_invalid_secret_is_reported_without_its_value() {
        let error = code(&Secret::new("canary-0189!"), Utc::now()).unwrap_err();
        assert!(error.contains("base 32") && !error.contains("canary"));
    }
}
