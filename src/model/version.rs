use std::fmt;

/// The version of a FusionPBX, as it names itself: `5.5.7`, `5.6.0-dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxVersion {
    major: u16,
    minor: u16,
    patch: u16,
    text: String,
}

/// What the servers call themselves that the live suite was run against: the tags 5.2.0, 5.3.0 (which says 5.3.3),
/// 5.4.4 and
/// 5.5.7, and master of August 2026.
const TESTED: [&str; 5] = ["5.2.0", "5.3.3", "5.4.4", "5.5.7", "5.6.4-dev"];

impl PbxVersion {
    /// Reads `MAJOR.MINOR.PATCH`, with or without a `-suffix`; anything else is no version. Those of 4 to 6 exist or
    /// are planned.
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, suffix) = text.split_once('-').map_or((text, None), |(n, s)| (n, Some(s)));
        if suffix
            .is_some_and(|s| s.is_empty() || s.len() > 16 || !s.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            return None;
        }
        let mut parts = numbers.split('.').map(|part| {
            let digits = !part.is_empty() && part.len() < 4 && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok()).flatten()
        });
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        // PHP's version, 7 or 8, looks alike and stands near.
        let is_fusionpbx = parts.next().is_none() && (4..=6).contains(&major);
        is_fusionpbx.then(|| Self { major, minor, patch, text: text.to_owned() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether tenantd was tried against exactly this version.
    pub fn is_tested(&self) -> bool {
        TESTED.contains(&self.text.as_str())
    }

    /// Whether the web sign-in block ends sessions that are already open.
    ///
    /// Up to 5.5.2 FusionPBX compares a session with the list of addresses that was stored at its sign-in, so a block
    /// that comes later is not seen (`resources/cidr.php`; 5.5.2 was published before and after the change).
    pub fn block_ends_sessions(&self) -> bool {
        (self.major, self.minor, self.patch) > (5, 5, 2)
    }
}

impl fmt::Display for PbxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers_and_perhaps_a_suffix() {
        for text in ["5.5.7", "5.6.0-dev", "4.4.1", "5.10.12"] {
            assert_eq!(PbxVersion::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "5.5",
            "5.5.7.1",
            "v5.5.7",
            "PHP 8.2.1",
            "5.5.7-",
            "127.0.0.1",
            "5..7",
            "5.5.7-a b",
            "2026.1.1",
            "8.2.29",
            "7.4.33",
        ] {
            assert_eq!(PbxVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn open_sessions_outlive_a_block_up_to_5_5_2() {
        let ends = |text: &str| PbxVersion::parse(text).unwrap().block_ends_sessions();
        assert!(!ends("4.4.1") && !ends("5.2.0") && !ends("5.4.4") && !ends("5.5.2"));
        assert!(ends("5.5.3") && ends("5.5.7") && ends("5.6.0-dev") && ends("6.0.0"));
    }
}
