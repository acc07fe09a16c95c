//! `database_url` and its companions.

use std::path::Path;

use url::Url;

use super::read::file_path;
use super::{DatabaseConfig, secrets};
use crate::yaml::{Field, Fields, Finding, Reader, Text};

const EXPECTED: &str = "`sqlite:///path` or `postgres://user@host/database`";

pub(super) fn read(reader: &mut Reader, fields: &Fields<'_>, base: &Path) -> Option<DatabaseConfig> {
    let url = fields.require(reader, "database_url", "database_url: sqlite:///var/lib/tenantd/tenantd.db");
    let password = fields.get("database_password");
    let ca_file = fields.get("database_ca_file");
    let secret = password.as_ref().map(|field| secrets::read(reader, field, base));
    let ca = ca_file.as_ref().map(|field| file_path(reader, field, base));
    let field = url?;
    let text = reader.text(&field, EXPECTED)?;
    if !reader.visible(text, &field.path, &[]) {
        return None;
    }
    if let Some(path) = text.text.strip_prefix("sqlite:") {
        for field in [password, ca_file].into_iter().flatten() {
            reader.report(
                Finding::warning(field.key_span, format!("`{}` means nothing to SQLite", field.path))
                    .expected("it beside a `postgres://` address only")
                    .help("delete the line"),
            );
        }
        return sqlite(reader, text, path, base);
    }
    let url = postgres(reader, &field, text)?;
    Some(DatabaseConfig::Postgres {
        url,
        password: secret.map(|secret| secret.ok_or(())).transpose().ok()?,
        ca_file: ca.map(|ca| ca.ok_or(())).transpose().ok()?,
    })
}

fn sqlite(reader: &mut Reader, text: Text<'_>, path: &str, base: &Path) -> Option<DatabaseConfig> {
    let finding = Finding::error(text.span, "this SQLite address cannot be used")
        .expected("`sqlite:///path/to/file.db`");
    let path = path.strip_prefix("//").unwrap_or(path);
    let finding = if path.is_empty() || path.ends_with('/') {
        finding.help("name the database's file")
    } else if path.contains(":memory:") {
        finding.help("name a file: a database in memory is lost at the end, and with it what tenantd owns")
    } else if path.contains(['?', '#', '%']) {
        finding.help("write a plain path, without `?`, `#` or `%`")
    } else {
        return Some(DatabaseConfig::Sqlite { path: base.join(path) });
    };
    reader.report(finding);
    None
}

/// An address without a password. The messages do not repeat it: it may hold one.
fn postgres(reader: &mut Reader, field: &Field<'_>, text: Text<'_>) -> Option<Url> {
    let finding =
        |what: &str| Finding::error(text.span, format!("`{}` {what}", field.path)).expected(EXPECTED);
    let url = match Url::parse(text.text) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => url,
        Ok(_) => {
            reader.report(
                finding("is of another kind of database")
                    .help("tenantd keeps its state in SQLite or PostgreSQL"),
            );
            return None;
        }
        Err(error) => {
            reader.report(finding(&format!("is not an address ({error})")).help("write it as `scheme://…`"));
            return None;
        }
    };
    let secret_parameter = url.query_pairs().any(|(name, _)| name.to_ascii_lowercase().contains("password"));
    if url.password().is_some() || secret_parameter {
        reader.report(finding("holds a password").help(
            "take it out, set `database_password: {credential: database}`, and change it: it may be in version control",
        ));
        return None;
    }
    let problem = if url.path().trim_matches('/').is_empty() {
        "names no database".to_owned()
    } else if url.fragment().is_some() {
        "has a `#`".to_owned()
    } else if let Some((_, mode)) = url.query_pairs().find(|(name, mode)| {
        name == "sslmode"
            && !["disable", "prefer", "require", "verify-ca", "verify-full"].contains(&mode.as_ref())
    }) {
        format!("has the unknown sslmode {}", crate::yaml::quoted(&mode))
    } else {
        return Some(url);
    };
    reader.report(
        finding(&problem)
            .help("write for example `postgres://tenantd@db.example.com/tenantd?sslmode=verify-full`"),
    );
    None
}
