//! How PostgreSQL protects the tables, and transactions that try what must not work.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use serde::Deserialize;

use super::sql;
use crate::store::StoreError;
use crate::store::connection::AnyConnection;

/// The role that services work under.
pub const SERVICE_ROLE: &str = "crystalqore_service";

/// Row-level security, grants and roles of the live database.
#[derive(Clone, Debug, Deserialize)]
pub struct Protection {
    /// Whom tenantd works as.
    pub user: String,
    pub tables: Vec<ProtectedTable>,
    pub policies: Vec<Policy>,
    pub grants: Vec<Grant>,
    pub roles: Vec<RoleInfo>,
    /// Functions with their owner's rights whose search path a caller could turn.
    pub loose_functions: Vec<String>,
    /// Services may make large objects, which belong to no tenant.
    pub large_objects: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ProtectedTable {
    pub name: String,
    pub enabled: bool,
    pub forced: bool,
    pub owner: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    pub table: String,
    pub name: String,
    /// `ALL`, `SELECT`, …
    pub command: String,
    pub permissive: bool,
    pub roles: Vec<String>,
    #[serde(rename = "using")]
    pub condition: Option<String>,
    pub check: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Grant {
    pub relation: String,
    pub role: String,
    pub privilege: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RoleInfo {
    pub name: String,
    pub superuser: bool,
    pub bypass: bool,
    pub may_log_in: bool,
    pub creates_roles: bool,
    /// Was made a member of the services' role.
    pub serves: bool,
    /// The timeouts that its sessions begin with, by name.
    pub timeouts: Vec<String>,
}

const PROTECTION: &str = "
SELECT json_build_object(
    'user', current_user,
    'tables', coalesce((SELECT json_agg(json_build_object('name', c.relname, 'enabled', c.relrowsecurity,
            'forced', c.relforcerowsecurity, 'owner', pg_get_userbyid(c.relowner)) ORDER BY c.relname)
        FROM pg_class c WHERE c.relnamespace = s.oid AND c.relkind IN ('r', 'p')), '[]'),
    'policies', coalesce((SELECT json_agg(json_build_object('table', p.tablename, 'name', p.policyname,
            'command', p.cmd, 'permissive', p.permissive = 'PERMISSIVE', 'roles', p.roles, 'using', p.qual,
            'check', p.with_check) ORDER BY p.tablename, p.policyname)
        FROM pg_policies p WHERE p.schemaname = s.nspname), '[]'),
    'grants', coalesce((SELECT json_agg(json_build_object('relation', g.relname,
            'role', CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END,
            'privilege', g.privilege_type) ORDER BY g.relname, g.grantee, g.privilege_type)
        FROM (
            SELECT c.relname, a.grantee, a.privilege_type, c.relowner FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.relnamespace = s.oid
            UNION
            SELECT c.relname, a.grantee, a.privilege_type, c.relowner
            FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
            WHERE c.relnamespace = s.oid
        ) g WHERE g.grantee <> g.relowner), '[]'),
    'roles', (SELECT json_agg(json_build_object('name', r.rolname, 'superuser', r.rolsuper, 'bypass', r.rolbypassrls,
            'may_log_in', r.rolcanlogin, 'creates_roles', r.rolcreaterole,
            'serves', EXISTS (SELECT 1 FROM pg_auth_members m WHERE m.member = r.oid
                AND m.roleid = (SELECT oid FROM pg_roles WHERE rolname = 'crystalqore_service'))
                OR (NOT r.rolsuper AND r.rolname <> 'crystalqore_service'
                    AND EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'crystalqore_service')
                    AND pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = 'crystalqore_service'), 'MEMBER'))
            , 'timeouts', coalesce((SELECT json_agg(DISTINCT split_part(o, '=', 1))
                FROM pg_db_role_setting t, unnest(t.setconfig) o
                WHERE t.setrole IN (0, r.oid) AND o !~ '=0(ms|s|min)?$'
                AND (t.setdatabase = 0 OR t.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
                AND split_part(o, '=', 1) IN
                    ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout')), '[]')
            ) ORDER BY r.rolname) FROM pg_roles r),
    'large_objects', EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'crystalqore_service')
        AND has_function_privilege((SELECT oid FROM pg_roles WHERE rolname = 'crystalqore_service'),
            'pg_catalog.lo_create(oid)', 'EXECUTE'),
    'loose_functions', coalesce((SELECT json_agg(p.proname ORDER BY p.proname) FROM pg_proc p
        WHERE p.pronamespace = s.oid AND p.prosecdef AND NOT EXISTS (
            SELECT 1 FROM unnest(p.proconfig) o WHERE o LIKE 'search_path=%pg_temp')), '[]')
)::text AS line FROM pg_namespace s WHERE s.nspname = current_schema()";

pub(super) fn protection(conn: &mut AnyConnection) -> Result<Option<Protection>, StoreError> {
    if !sql::is_postgres(conn) {
        return Ok(None);
    }
    let operation = "read how the tables are protected";
    let lines = sql::lines(conn, PROTECTION, &[]).map_err(StoreError::query(operation))?;
    let line = lines.into_iter().flatten().next().unwrap_or_default();
    serde_json::from_str(&line).map(Some).map_err(|error| StoreError::Row {
        operation,
        object: "the catalog".to_owned(),
        found: error.to_string(),
        expected: "a description of the schema",
    })
}

/// A transaction that is rolled back whatever happens in it.
pub struct Savepoint<'a> {
    conn: &'a mut AnyConnection,
}

pub(super) fn try_out<T>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut Savepoint<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let operation = "test the isolation";
    let query = StoreError::query;
    // A read-only connection may try, because nothing remains.
    let read_only = match conn {
        AnyConnection::Sqlite(_) => {
            let lines =
                sql::lines(conn, "SELECT CAST(query_only AS TEXT) AS line FROM pragma_query_only", &[]);
            lines.map_err(query(operation))?.contains(&Some("1".to_owned()))
        }
        AnyConnection::Postgres(_) => false,
    };
    if read_only {
        conn.batch_execute("PRAGMA query_only = OFF").map_err(query(operation))?;
    }
    let mut answer = None;
    let ended: Result<(), Error> = conn.transaction(|conn| {
        if sql::is_postgres(conn) {
            conn.batch_execute("SET TRANSACTION READ WRITE")?;
        }
        answer = Some(work(&mut Savepoint { conn }));
        Err(Error::RollbackTransaction)
    });
    if read_only {
        conn.batch_execute("PRAGMA query_only = ON").map_err(query(operation))?;
    }
    match (answer, ended) {
        (Some(answer), _) => answer,
        (None, Err(source)) => Err(StoreError::Query { operation, source }),
        (None, Ok(())) => Err(StoreError::Interrupted),
    }
}

impl Savepoint<'_> {
    pub fn is_postgres(&self) -> bool {
        sql::is_postgres(self.conn)
    }

    /// The catalog and its protection as this transaction sees them.
    pub fn catalog_and_protection(&mut self) -> Result<(super::Catalog, Option<Protection>), StoreError> {
        Ok((super::catalog::read(self.conn)?, protection(self.conn)?))
    }

    /// Runs a statement; the rows that it touched, or the database's refusal. A refusal undoes the statement alone.
    pub fn attempt(&mut self, statement: &str) -> Result<usize, String> {
        self.conn
            .transaction(|conn| sql::execute(conn, statement, &[]))
            .map_err(|error: Error| error.to_string())
    }

    /// The only number that a query gives.
    pub fn number(&mut self, query: &str) -> Result<i64, String> {
        let query = format!("SELECT CAST(({query}) AS TEXT) AS line");
        self.conn
            .transaction(|conn| sql::lines(conn, &query, &[]))
            .map_err(|error: Error| error.to_string())
            .map(|lines| lines.into_iter().flatten().next().and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Works as a service from now on.
    pub fn become_service(&mut self) -> Result<(), String> {
        self.attempt(&format!("SET LOCAL ROLE {SERVICE_ROLE}")).map(drop)
    }

    /// Works as tenantd again.
    pub fn become_owner(&mut self) -> Result<(), String> {
        self.attempt("SET LOCAL ROLE NONE").map(drop)
    }

    /// Sets the tenant that a service works for in this transaction.
    pub fn set_tenant(&mut self, tenant: &str) -> Result<(), String> {
        self.attempt(&format!("SELECT set_config('crystalqore.tenant', {}, true)", sql::literal(tenant)))
            .map(drop)
    }
}
