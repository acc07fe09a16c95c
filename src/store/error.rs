use std::path::PathBuf;

/// Something the database did not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the database {place}")]
    Open { place: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot {operation}")]
    Query { operation: &'static str, source: diesel::result::Error },
    #[error(
        "cannot {operation}: the row of `{object}` holds `{found}`, which is not {expected}. Correct it there, or restore a backup"
    )]
    Row { operation: &'static str, object: String, found: String, expected: &'static str },
    #[error("cannot upgrade the database's schema")]
    Migrate { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot copy the database before its schema is upgraded")]
    Backup { path: PathBuf, source: diesel::result::Error },
    #[error(
        "the database was upgraded by a newer tenantd (migration {version}). Use that version or a later one"
    )]
    TooNew { version: String },
    #[error("the database's schema is older than this program. `tenantd apply` or the daemon upgrades it")]
    TooOld,
    /// PostgreSQL: the connection looks into another schema than the one that tenantd's tables are in.
    #[error(
        "tenantd's tables are in the schema `{schema}`, but this connection uses `{current}`, where every tenant \
         would be new. Remove `search_path` from `database_url`, or run: ALTER ROLE CURRENT_USER SET search_path = \"{schema}\""
    )]
    Elsewhere { schema: String, current: String },
    #[error(
        "the search path of this connection (`{path}`) names no existing schema. Remove `search_path` from \
         `database_url`, or create one of them with CREATE SCHEMA"
    )]
    NoSchema { path: String },
    #[error("another tenantd writes to this database now: {holder}. Wait until it has finished, or stop it")]
    Locked { holder: String },
    #[error(
        "another tenantd took over, so this one changes nothing more. `tenantd status` shows the present state"
    )]
    LeaseLost,
    #[error(
        "the record of `{key}` was changed by another process meanwhile, so nothing was written. Run the command again"
    )]
    Stale { key: String },
    /// A rule that the database's own rows do not meet.
    #[error("{0}")]
    Refused(String),
    #[error("tenantd was stopped during a query; a transaction that was not finished had no effect")]
    Interrupted,
}

impl StoreError {
    pub(crate) fn query(operation: &'static str) -> impl FnOnce(diesel::result::Error) -> Self {
        move |source| Self::Query { operation, source }
    }
}
