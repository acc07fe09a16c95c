use std::path::PathBuf;

/// Something the database did not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the database {place}")]
    Open { place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot {operation}")]
    Query { operation: &'static str, source: diesel::result::Error },
    #[error("cannot {operation}: the row of `{object}` holds `{found}`, which is not {expected}")]
    Row { operation: &'static str, object: String, found: String, expected: &'static str },
    #[error("cannot bring the database's schema up to date")]
    Migrate { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot keep a copy of the database before its schema changes")]
    Backup { path: PathBuf, source: diesel::result::Error },
    #[error(
        "the database has a schema newer than this program (migration {version} is unknown to it); use the tenantd \
         that made it, or a later one"
    )]
    TooNew { version: String },
    #[error(
        "the database's schema is older than this program; `tenantd apply` or the daemon brings it up to date"
    )]
    TooOld,
    /// PostgreSQL: the connection looks into another schema than the one that tenantd's tables are in.
    #[error(
        "tenantd's tables are in the schema `{schema}`, and this connection works in `{current}`, where every tenant \
         would count as new; take `search_path` out of `database_url`, or run ALTER ROLE … SET search_path = {schema}"
    )]
    Elsewhere { schema: String, current: String },
    #[error(
        "the search path of this connection (`{path}`) names no schema that exists; take `search_path` out of \
         `database_url`, or run CREATE SCHEMA"
    )]
    NoSchema { path: String },
    #[error("another tenantd holds the writer's lock: {holder}")]
    Locked { holder: String },
    #[error("this tenantd no longer holds the writer's lease, so it changes nothing more")]
    LeaseLost,
    #[error("the record of `{key}` changed since it was read")]
    Stale { key: String },
    /// A rule that the database's own rows do not meet.
    #[error("{0}")]
    Refused(String),
    #[error("the database's work was cut short")]
    Interrupted,
}

impl StoreError {
    pub(crate) fn query(operation: &'static str) -> impl FnOnce(diesel::result::Error) -> Self {
        move |source| Self::Query { operation, source }
    }
}
