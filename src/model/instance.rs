use std::fmt;

/// The name of a PBX instance: a key of `pbx_instances` in `tenantd.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey(String);

/// Why a text is not an instance key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an instance key starts with a letter or digit and has only a-z, 0-9, `_` and `-`, at most 60 characters"
)]
pub struct InstanceKeyError;

impl InstanceKey {
    /// Accepts `^[a-z0-9][a-z0-9_-]*$`, at most 60 characters.
    pub fn parse(text: &str) -> Result<Self, InstanceKeyError> {
        let first = text.bytes().next().ok_or(InstanceKeyError)?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if text.len() > 60
            || !(first.is_ascii_lowercase() || first.is_ascii_digit())
            || !text.bytes().all(fits)
        {
            return Err(InstanceKeyError);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
