//! `database_url` and its companions.

use std::path::Path;

use url::Url;

use super::paths::file_path;
use super::{DatabaseConfig, PostgresUrl, PostgresUrlError, TlsMode, secrets};
use crate::yaml::{Field, Fields, Finding, Reader, Text};

const EXPECTED: &str = "`sqlite:///path` or `postgres://user@host/database`";
/// Where it is PostgreSQL's already.
const EXPECTED_POSTGRES: &str = "`postgres://user@host/database`";

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
                Finding::warning(field.key_span, format!("`{}` has no meaning for SQLite", field.path))
                    .expected("the key only with a `postgres://` address")
                    .help("delete the line"),
            );
        }
        return sqlite(reader, text, path, base);
    }
    let url = postgres(reader, &field, text)?;
    let in_address = url.root_cert().map(|path| base.join(path));
    if let (Some(ca_file), Some(_)) = (&ca_file, &in_address) {
        reader.report(
            Finding::error(ca_file.key_span, format!("both `{}` and `sslrootcert` are set", ca_file.path))
                .expected("one of the two")
                .help("remove `sslrootcert` from `database_url`"),
        );
        return None;
    }
    let sound = check(reader, &field, &url, ca_file.is_some() || in_address.is_some());
    Some(DatabaseConfig::Postgres {
        url,
        password: secret.map(|secret| secret.ok_or(())).transpose().ok()?,
        ca_file: ca.map(|ca| ca.ok_or(())).transpose().ok()?.or(in_address),
    })
    .filter(|_| sound)
}

fn sqlite(reader: &mut Reader, text: Text<'_>, path: &str, base: &Path) -> Option<DatabaseConfig> {
    let finding = Finding::error(text.span, "this SQLite address cannot be used")
        .expected("`sqlite:///path/to/file.db`");
    let path = path.strip_prefix("//").unwrap_or(path);
    let finding = if path.is_empty() || path.ends_with('/') {
        finding.help("name the database's file")
    } else if path.contains(":memory:") {
        finding.help(
            "name a file: a database in memory is lost when tenantd ends, and with it the record of all \
                      tenants",
        )
    } else if path.contains(['?', '#', '%']) {
        finding.help("write a plain path, without `?`, `#` or `%`")
    } else {
        return Some(DatabaseConfig::Sqlite { path: base.join(path) });
    };
    reader.report(finding);
    None
}

/// An address without a password. The messages do not repeat it: it may hold one.
fn postgres(reader: &mut Reader, field: &Field<'_>, text: Text<'_>) -> Option<PostgresUrl> {
    let finding =
        |what: &str| Finding::error(text.span, format!("`{}` {what}", field.path)).expected(EXPECTED);
    let scheme = text.text.split_once("://").map_or("", |(scheme, _)| scheme);
    if !matches!(scheme, "postgres" | "postgresql") {
        let (what, help) = match Url::parse(text.text) {
            Ok(_) => (
                "names another kind of database".to_owned(),
                "tenantd keeps its state in SQLite or PostgreSQL",
            ),
            Err(error) => (format!("is not an address ({error})"), "write it as `scheme://…`"),
        };
        reader.report(finding(&what).help(help));
        return None;
    }
    match text.text.parse() {
        Ok(url) => Some(url),
        Err(PostgresUrlError { what, help }) => {
            reader.report(finding(&what).expected(EXPECTED_POSTGRES).help(help));
            None
        }
    }
}

/// Whether the address can work as it stands, and is as safe as it looks.
fn check(reader: &mut Reader, field: &Field<'_>, url: &PostgresUrl, ca_file: bool) -> bool {
    let about = |what: &str| format!("`{}` {what}", field.path);
    if let Err(PostgresUrlError { what, help }) = url.check(ca_file) {
        reader.report(Finding::error(field.node.span, about(&what)).expected(EXPECTED_POSTGRES).help(help));
        return false;
    }
    let unchecked = url
        .servers()
        .iter()
        .any(|server| !server.is_local() && url.tls_for(server) == TlsMode::Require && !ca_file);
    if unchecked {
        reader.report(
            Finding::warning(field.node.span, about("has `sslmode=require`, which checks no certificate"))
                .expected("`sslmode=verify-full`: with `require`, another machine on the way can pretend to be the server")
                .help("write `sslmode=verify-full`, or name the server's certificate in `database_ca_file`"),
        );
    }
    true
}
