//! SQL on a connection of its own, as any other client of the database would have.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tenantd::config::DatabaseConfig;
use tenantd::store::{Access, Database, DatabaseOptions};

pub enum SqlClient {
    Sqlite(Box<SqliteConnection>),
    Postgres(tokio_postgres::Client),
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    line: Option<String>,
}

impl SqlClient {
    pub async fn connect(config: &DatabaseConfig) -> Self {
        match config {
            DatabaseConfig::Sqlite { path } => {
                let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                conn.batch_execute("PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000;").unwrap();
                Self::Sqlite(Box::new(conn))
            }
            DatabaseConfig::Postgres { url, .. } => {
                let (client, connection) =
                    tokio_postgres::connect(url.as_str(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                Self::Postgres(client)
            }
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Runs statements; the database's refusal in its own words.
    pub async fn run(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(conn) => conn.batch_execute(sql).map_err(|error| error.to_string()),
            Self::Postgres(client) => client.batch_execute(sql).await.map_err(|error| {
                error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
            }),
        }
    }

    /// The first column of each row, as text.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(conn) => {
                let sql =
                    format!("SELECT CAST(x AS TEXT) AS line FROM (SELECT NULL AS x WHERE 0 UNION ALL {sql})");
                let lines: Vec<Line> = diesel::sql_query(sql).load(&mut **conn).unwrap();
                lines.into_iter().filter_map(|line| line.line).collect()
            }
            Self::Postgres(client) => client
                .simple_query(sql)
                .await
                .unwrap()
                .into_iter()
                .filter_map(|message| match message {
                    tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                    _ => None,
                })
                .collect(),
        }
    }

    pub async fn number(&mut self, sql: &str) -> i64 {
        self.texts(sql).await[0].parse().unwrap()
    }

    /// In `minutes` from now, as an expression.
    pub fn in_minutes(&self, minutes: i32) -> String {
        match self {
            Self::Sqlite(_) => format!("strftime('%Y-%m-%d %H:%M:%f', 'now', '{minutes:+} minutes')"),
            Self::Postgres(_) => format!("(now() + interval '{minutes} minutes')"),
        }
    }
}

pub async fn open(config: &DatabaseConfig, access: Access) -> Database {
    Database::open(DatabaseOptions { database: config.clone(), password: None, access }).await.unwrap()
}

/// A fresh database; `None` where it is not to be had.
pub fn fresh(postgres: bool, dir: &std::path::Path) -> Option<DatabaseConfig> {
    if postgres {
        let url = super::postgres::database()?;
        Some(DatabaseConfig::Postgres { url: url.parse().unwrap(), password: None, ca_file: None })
    } else {
        Some(DatabaseConfig::Sqlite { path: dir.join("tenantd.db") })
    }
}

/// Builds the schema of an earlier tenantd in an empty database: all migrations before `version` (`2026-11-27-004000`).
pub async fn migrate_before(db: &mut SqlClient, version: &str) {
    let kind = if db.is_postgres() { "postgres" } else { "sqlite" };
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind);
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.as_str() < version)
        .collect();
    names.sort();
    assert!(names.len() >= 3, "{names:?}");
    db
        .run(
            "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL \
             DEFAULT CURRENT_TIMESTAMP)",
        )
        .await
        .unwrap();
    for name in names {
        db.run(&std::fs::read_to_string(dir.join(&name).join("up.sql")).unwrap()).await.unwrap();
        let version = name.split('_').next().unwrap().replace('-', "");
        db.run(&format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{version}')"))
            .await
            .unwrap();
    }
}
