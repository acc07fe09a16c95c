use std::fmt;

/// The name of a FusionPBX domain setting as tenantd writes it: `category.subcategory.type`.
///
/// A PBX may hold several rows of one name (`domain.cidr.array`), so this names a setting, not a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingName {
    pub category: String,
    pub subcategory: String,
    /// The column FusionPBX calls `domain_setting_name`: `name`, `text`, `numeric`, `boolean`, `array`, …
    pub kind: String,
}

/// Why a text is not a setting name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a setting is written `category.subcategory.type`, each part of a-z, 0-9, `_` and `-`")]
pub struct SettingNameError;

impl SettingName {
    /// Reads `category.subcategory.type`. FusionPBX lower-cases the parts, so capitals are refused.
    pub fn parse(text: &str) -> Result<Self, SettingNameError> {
        let mut parts = text.split('.');
        let (Some(category), Some(subcategory), Some(kind), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SettingNameError);
        };
        let fits = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        };
        if ![category, subcategory, kind].into_iter().all(fits) {
            return Err(SettingNameError);
        }
        Ok(Self::new(category, subcategory, kind))
    }

    pub fn new(category: &str, subcategory: &str, kind: &str) -> Self {
        Self { category: category.into(), subcategory: subcategory.into(), kind: kind.into() }
    }

    /// `limit.users.numeric`: the number of users that FusionPBX itself lets a tenant have.
    pub fn user_limit() -> Self {
        Self::new("limit", "users", "numeric")
    }

    /// `domain.cidr.array`: the addresses that may sign in on the web; the web sign-in block is an entry of it.
    pub fn cidr() -> Self {
        Self::new("domain", "cidr", "array")
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.category, self.subcategory, self.kind)
    }
}

impl SettingName {
    /// Whether the value is a secret by its name, as FusionPBX's own list masks it.
    pub fn is_secret(&self) -> bool {
        let name = self.subcategory.as_str();
        ["password", "key", "secret", "token"].into_iter().any(|word| {
            name == word
                || name.strip_suffix(word).is_some_and(|rest| rest.ends_with('_') || rest.ends_with('-'))
        })
    }
}
