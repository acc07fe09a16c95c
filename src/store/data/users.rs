//! A tenant's user accounts, as the synchronisation with the PBX sees them.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use uuid::Uuid;

use super::scope::TenantScope;
use crate::store::StoreError;

diesel::table! {
    users (tenant_id, id) {
        tenant_id -> Text,
        id -> Text,
        email -> Text,
        email_derived -> Bool,
        username -> Text,
        role -> Text,
        enabled -> Bool,
        over_limit -> Bool,
        source -> Text,
        pbx_user_id -> Nullable<Text>,
        updated_at -> Timestamp,
    }
}

/// Where a user account comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSource {
    Fusionpbx,
    /// Made on the platform; synchronisation leaves it alone.
    Manual,
}

/// A user account, without what the synchronisation does not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub id: String,
    pub email: String,
    /// The address was made from user name and domain.
    pub email_derived: bool,
    pub username: String,
    pub role: String,
    pub enabled: bool,
    /// Enabled on the PBX and refused here, because the tenant is at its `max_users`.
    pub over_limit: bool,
    pub source: UserSource,
    pub pbx_user_id: Option<Uuid>,
}

impl UserRow {
    pub fn is_synced(&self) -> bool {
        self.source == UserSource::Fusionpbx
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users, treat_none_as_null = true)]
struct Row {
    tenant_id: String,
    id: String,
    email: String,
    email_derived: bool,
    username: String,
    role: String,
    enabled: bool,
    over_limit: bool,
    source: String,
    pbx_user_id: Option<String>,
    updated_at: NaiveDateTime,
}

impl Row {
    fn new(tenant: String, user: &UserRow, now: DateTime<Utc>) -> Self {
        let UserRow { id, email, email_derived, username, role, enabled, over_limit, source, pbx_user_id } =
            user;
        Self {
            tenant_id: tenant,
            id: id.clone(),
            email: email.clone(),
            email_derived: *email_derived,
            username: username.clone(),
            role: role.clone(),
            enabled: *enabled,
            over_limit: *over_limit,
            source: match source {
                UserSource::Fusionpbx => "fusionpbx".to_owned(),
                UserSource::Manual => "manual".to_owned(),
            },
            pbx_user_id: pbx_user_id.map(|id| id.to_string()),
            updated_at: now.naive_utc(),
        }
    }
}

impl TenantScope<'_> {
    /// All user accounts of the tenant, by user name.
    pub fn users(&mut self) -> Result<Vec<UserRow>, StoreError> {
        let rows: Vec<Row> = users::table
            .select(Row::as_select())
            .filter(users::tenant_id.eq(self.tenant.to_string()))
            .order((users::username, users::id))
            .load(self.conn)
            .map_err(StoreError::query("read a tenant's users"))?;
        Ok(rows
            .into_iter()
            .map(|row| UserRow {
                id: row.id,
                email: row.email,
                email_derived: row.email_derived,
                username: row.username,
                role: row.role,
                enabled: row.enabled,
                over_limit: row.over_limit,
                source: if row.source == "manual" { UserSource::Manual } else { UserSource::Fusionpbx },
                pbx_user_id: row.pbx_user_id.and_then(|id| id.parse().ok()),
            })
            .collect())
    }

    /// Adds a user account. The inner error is the database's refusal in its own words: the limit of users, an e-mail
    /// address or a user name that is taken.
    pub fn add_user(&mut self, user: &UserRow, now: DateTime<Utc>) -> Result<Result<(), String>, StoreError> {
        let row = Row::new(self.tenant.to_string(), user, now);
        let added = self
            .conn
            .transaction(|conn| diesel::insert_into(users::table).values(&row).execute(conn).map(drop));
        refused(added, "add a user")
    }

    /// Changes a user account of the same id; refusals as in [`Self::add_user`].
    pub fn change_user(
        &mut self,
        user: &UserRow,
        now: DateTime<Utc>,
    ) -> Result<Result<(), String>, StoreError> {
        let row = Row::new(self.tenant.to_string(), user, now);
        let changed = self.conn.transaction(|conn| {
            let Row {
                email,
                email_derived,
                username,
                role,
                enabled,
                over_limit,
                pbx_user_id,
                updated_at,
                ..
            } = &row;
            diesel::update(users::table.find((&row.tenant_id, &row.id)))
                .set((
                    users::email.eq(email),
                    users::email_derived.eq(email_derived),
                    users::username.eq(username),
                    users::role.eq(role),
                    users::enabled.eq(enabled),
                    users::over_limit.eq(over_limit),
                    users::pbx_user_id.eq(pbx_user_id),
                    users::updated_at.eq(updated_at),
                ))
                .execute(conn)
                .map(drop)
        });
        refused(changed, "change a user")
    }
}

/// Tells what the database's rules refused from what went wrong.
fn refused(result: Result<(), Error>, operation: &'static str) -> Result<Result<(), String>, StoreError> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            Ok(Err("its e-mail address or user name is already used".to_owned()))
        }
        Err(Error::DatabaseError(kind, info))
            if matches!(kind, DatabaseErrorKind::CheckViolation) || info.message().contains("limit of") =>
        {
            Ok(Err(info.message().to_owned()))
        }
        Err(source) => Err(StoreError::Query { operation, source }),
    }
}
