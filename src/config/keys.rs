//! The keys of the configuration, and what the name of a secret looks like.

/// The keys of `tenantd.yaml`, in the order of the manual.
pub(super) const ROOT: [&str; 13] = [
    "database_url",
    "database_password",
    "database_ca_file",
    "tenants_dir",
    "pbx_instances",
    "defaults",
    "tier",
    "deletion",
    "limits",
    "daemon",
    "cross_tenant",
    "archive",
    "git",
];

/// The keys of an instance, in the order of the manual.
pub(super) const INSTANCE: [&str; 10] = [
    "url",
    "username",
    "password",
    "totp",
    "tls",
    "sessions",
    "timeout",
    "max_requests_per_second",
    "allow_plaintext",
    "web_session_lifetime",
];

/// A name that systemd accepts for a credential, and that stays in its directory.
pub(super) fn is_credential(text: &str) -> bool {
    !text.starts_with('.')
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

pub(super) fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
