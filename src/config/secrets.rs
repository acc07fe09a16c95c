//! Where secrets are kept, and how they are fetched from there.

use super::keys::{is_credential, is_variable};
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::paths::file_path;
use super::{Config, DatabaseConfig, SecretSource, TlsTrust};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::fusionpbx::Credentials;
use crate::model::Secret;
use crate::yaml::{self, Field, Finding, Limits, Node, Problem, Reader, Source, Span, Value};

/// Looks up an environment variable by its name.
pub type Variables<'e> = dyn Fn(&str) -> Option<OsString> + 'e;

/// The environment of this process.
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The largest secret that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

const EXPECTED: &str = "where the secret is kept: `{credential: NAME}`, `{file: PATH}` or `{env: NAME}`";

/// Why a secret could not be fetched. It names the place, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {kind}")]
pub struct SecretError {
    /// The place as an operator would look for it.
    pub place: String,
    pub kind: SecretErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretErrorKind {
    #[error("`CREDENTIALS_DIRECTORY` is not set (systemd sets it for the service)")]
    NoCredentials,
    #[error("it cannot be read ({0})")]
    Unreadable(String),
    #[error("the variable is not set")]
    NotSet,
    #[error("it is empty")]
    Empty,
    #[error("it is not UTF-8")]
    NotText,
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "the systemd credential `{name}`"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
        }
    }
}

impl SecretSource {
    /// Fetches the secret. One line break at its end is not part of it.
    ///
    /// # Errors
    /// It is not there, cannot be read, is empty, not UTF-8, or larger than 64 KiB.
    pub fn resolve(&self, environment: &Variables<'_>) -> Result<Secret, SecretError> {
        self.fetch(environment).map_err(|kind| SecretError { place: self.to_string(), kind })
    }

    fn fetch(&self, environment: &Variables<'_>) -> Result<Secret, SecretErrorKind> {
        let text = match self {
            Self::Env(name) => environment(name)
                .ok_or(SecretErrorKind::NotSet)?
                .into_string()
                .map_err(|_| SecretErrorKind::NotText)?,
            Self::Credential(_) | Self::File(_) => {
                let path = self.path(environment).ok_or(SecretErrorKind::NoCredentials)?;
                let unreadable = |error: std::io::Error| SecretErrorKind::Unreadable(error.to_string());
                let file = std::fs::File::open(path).map_err(unreadable)?;
                let mut bytes = Vec::new();
                file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
                if bytes.len() as u64 > MAX_BYTES {
                    return Err(SecretErrorKind::TooLarge);
                }
                String::from_utf8(bytes).map_err(|_| SecretErrorKind::NotText)?
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() { Err(SecretErrorKind::Empty) } else { Ok(Secret::new(text)) }
    }

    /// What to do about a secret that cannot be had.
    fn help(&self, kind: &SecretErrorKind, environment: &Variables<'_>) -> String {
        match (kind, self) {
            (SecretErrorKind::NoCredentials, _) => {
                "in a shell: export CREDENTIALS_DIRECTORY=/etc/tenantd/credentials".to_owned()
            }
            (_, Self::Env(name)) => format!("export {name}=…, or name another place"),
            _ => match self.path(environment) {
                Some(path) => format!("write it with `install -m 600 /dev/stdin {}`", path.display()),
                None => "put it there, or name another place".to_owned(),
            },
        }
    }

    fn path(&self, environment: &Variables<'_>) -> Option<PathBuf> {
        match self {
            Self::Credential(name) => Some(PathBuf::from(environment("CREDENTIALS_DIRECTORY")?).join(name)),
            Self::File(path) => Some(path.clone()),
            Self::Env(_) => None,
        }
    }
}

impl super::InstanceConfig {
    /// Fetches what the account signs in with.
    ///
    /// # Errors
    /// As [`SecretSource::resolve`].
    pub fn credentials(&self, environment: &Variables<'_>) -> Result<Credentials, SecretError> {
        let password = self.password.resolve(environment)?;
        let totp = self.totp.as_ref().map(|totp| totp.resolve(environment)).transpose()?;
        Ok(Credentials { password, totp })
    }
}

impl Config {
    /// Every secret with the key that asks for it.
    fn secrets(&self) -> Vec<(String, &SecretSource)> {
        let mut secrets = Vec::new();
        if let DatabaseConfig::Postgres { password: Some(source), .. } = &self.database {
            secrets.push(("database_password".to_owned(), source));
        }
        for (key, instance) in &self.instances {
            secrets.push((format!("pbx_instances.{key}.password"), &instance.password));
            if let Some(totp) = &instance.totp {
                secrets.push((format!("pbx_instances.{key}.totp"), totp));
            }
        }
        secrets
    }

    /// Every certificate file with the key that names it.
    fn certificates(&self) -> Vec<(String, &Path)> {
        let mut files = Vec::new();
        if let DatabaseConfig::Postgres { ca_file: Some(path), .. } = &self.database {
            files.push(("database_ca_file".to_owned(), path.as_path()));
        }
        for (key, instance) in &self.instances {
            if let TlsTrust::CaFile(path) = &instance.tls {
                files.push((format!("pbx_instances.{key}.tls.ca_file"), path.as_path()));
            }
        }
        files
    }

    /// Looks whether everything that the configuration refers to is there: secrets and certificate files.
    ///
    /// A secret that is missing, empty or unreadable is an error at the key that asks for it; a secret file that
    /// everybody on the machine may read is a warning.
    pub fn check_secrets(&self, environment: &Variables<'_>) -> Vec<Problem> {
        let mut found = Vec::new();
        for (key, source) in self.secrets() {
            if let Err(SecretError { place, kind }) = source.resolve(environment) {
                let help = source.help(&kind, environment);
                let finding = Finding::error(None, format!("`{key}`: no secret in {place}: {kind}"))
                    .expected("a secret in that place")
                    .help(help);
                found.push((key, finding));
            } else if let SecretSource::File(path) = source
                && is_world_readable(path)
            {
                let what = format!("`{key}`: every user of this machine may read {}", path.display());
                let finding = Finding::warning(None, what)
                    .expected("a file that only tenantd's user may read")
                    .help(format!("`chmod o-r {}`", path.display()));
                found.push((key, finding));
            }
        }
        found.extend(self.unusable_certificates());
        self.place(found)
    }

    /// Certificate files that are not there, or hold no certificate: with them, no connection is made. They are no
    /// secrets, so a merge request's check can look at them.
    pub fn check_certificates(&self) -> Vec<Problem> {
        self.place(self.unusable_certificates())
    }

    fn unusable_certificates(&self) -> Vec<(String, Finding)> {
        let unusable = |path: &Path| match std::fs::read(path) {
            Err(error) => Some((
                format!("{} cannot be read ({error})", path.display()),
                "correct the path or the file's permissions",
            )),
            Ok(bytes) => {
                let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
                let what = match certificates {
                    Ok(found) if !found.is_empty() => return None,
                    Ok(_) => "holds no certificate".to_owned(),
                    Err(error) => format!("holds no readable certificate ({error})"),
                };
                let help =
                    "save the authority's certificate there, beginning with `-----BEGIN CERTIFICATE-----`";
                Some((format!("{} {what}", path.display()), help))
            }
        };
        let found = self.certificates().into_iter().filter_map(|(key, path)| {
            let (what, help) = unusable(path)?;
            let finding = Finding::error(None, format!("`{key}`: {what}"));
            Some((key, finding.expected("a file of PEM certificates").help(help)))
        });
        found.collect()
    }

    /// Fetches the database's password, where one is set.
    ///
    /// # Errors
    /// It cannot be had; says which key asks for it, and what to do.
    pub fn database_password(&self, environment: &Variables<'_>) -> Result<Option<Secret>, String> {
        let DatabaseConfig::Postgres { password: Some(source), .. } = &self.database else { return Ok(None) };
        source.resolve(environment).map(Some).map_err(|SecretError { place, kind }| {
            let help = source.help(&kind, environment);
            format!("`database_password`: no secret in {place}: {kind}; {help}")
        })
    }

    /// Gives findings the places of their keys, as far as the file still says the same.
    fn place(&self, found: Vec<(String, Finding)>) -> Vec<Problem> {
        let shown = self.path.to_string_lossy();
        let source = (!found.is_empty())
            .then(|| std::fs::read(&self.path).ok())
            .flatten()
            .and_then(|bytes| Source::decode(&shown, &bytes, Limits::CONFIG.bytes).ok());
        let Some(mut source) = source else {
            return found.into_iter().map(|(_, finding)| Problem::of_file(shown.clone(), finding)).collect();
        };
        let parsed = yaml::parse(&source, Limits::CONFIG);
        super::mask::hide_secrets(&mut source, &parsed);
        let mut problems = found
            .into_iter()
            .map(|(key, finding)| {
                let span = parsed.root.as_ref().and_then(|root| find(root, &key));
                source.locate(Finding { span, ..finding })
            })
            .collect::<Vec<_>>();
        problems.sort();
        problems
    }
}

fn find(root: &Node, path: &str) -> Option<Span> {
    let mut span = None;
    let mut node = root;
    for key in path.split('.') {
        let Value::Mapping(entries) = &node.value else { return None };
        let entry = entries.iter().find(|entry| entry.key == key)?;
        span = Some(entry.key_span);
        node = &entry.value;
    }
    span
}

#[cfg(unix)]
fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.permissions().mode() & 0o004 != 0)
}

/// Reads where a secret is kept. What stands in its place is not repeated: it may be the secret.
pub(super) fn read(reader: &mut Reader, field: &Field<'_>, base: &Path) -> Option<SecretSource> {
    let path = &field.path;
    let entries = match &field.node.value {
        Value::Mapping(entries) => entries,
        Value::Refused => return None,
        Value::Scalar { text, .. } if text.is_empty() || matches!(text.as_str(), "~" | "null") => {
            reader.wrong(field, EXPECTED, "write where the secret is kept, not the secret");
            return None;
        }
        Value::Scalar { .. } | Value::Sequence(_) => {
            reader.report(
                Finding::error(field.node.span, format!("`{path}` contains the secret itself"))
                    .expected(EXPECTED)
                    .help("move it there and change it, because it may be in version control already"),
            );
            return None;
        }
    };
    let [entry] = entries.as_slice() else {
        reader.report(
            Finding::error(field.key_span, format!("`{path}` names {} places", entries.len()))
                .expected(EXPECTED)
                .help("keep one of them"),
        );
        return None;
    };
    let place = Field {
        path: format!("{path}.{}", entry.key),
        key: &entry.key,
        key_span: entry.key_span,
        required: false,
        node: &entry.value,
    };
    match entry.key.as_str() {
        "file" => return file_path(reader, &place, base).map(SecretSource::File),
        "credential" | "env" => {}
        _ => {
            reader.report(
                Finding::error(entry.key_span, format!("an unknown key in `{path}`"))
                    .expected(EXPECTED)
                    .help("write `credential`, `file` or `env`; the value is not shown, because it may be a secret"),
            );
            return None;
        }
    }
    let Value::Scalar { text, .. } = &entry.value.value else {
        reader.wrong(&place, "a name", "write one name");
        return None;
    };
    let (fits, source, expected) = match entry.key.as_str() {
        "env" => (
            is_variable(text),
            SecretSource::Env(text.clone()),
            "the name of an environment variable, in capitals, digits and `_`",
        ),
        _ => (
            is_credential(text),
            SecretSource::Credential(text.clone()),
            "the name of a systemd credential, in letters, digits, `.`, `_` and `-`",
        ),
    };
    if !fits {
        reader.report(
            Finding::error(place.node.span, format!("the value of `{}` is not such a name", place.path))
                .expected(expected)
                .help("write the name of the place, not the secret"),
        );
        return None;
    }
    Some(source)
}
