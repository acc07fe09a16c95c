//! Domains that tenants previous on other instances.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::connection::AnyConnection;
use super::schema::{previous_placements, tenants};
use super::{StoreError, codec};
use crate::model::{DomainId, DomainName, InstanceKey, PreviousPlacement, TenantId, TenantKey};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = previous_placements, treat_none_as_null = true)]
struct PlacementRow {
    tenant_id: String,
    instance: String,
    domain_id: String,
    domain: String,
    web_sign_in_block_json: Option<String>,
    left_at: NaiveDateTime,
    disable_confirmed_at: Option<NaiveDateTime>,
    deletable_from: Option<NaiveDateTime>,
}

const READ: &str = "read the previous placements";

impl PlacementRow {
    fn from_placement(placement: &PreviousPlacement) -> Self {
        let PreviousPlacement {
            tenant,
            key: _,
            instance,
            domain_id,
            domain,
            web_sign_in_block,
            left_at,
            disable_confirmed_at,
            deletable_from,
        } = placement;
        Self {
            tenant_id: tenant.to_string(),
            instance: instance.to_string(),
            domain_id: domain_id.to_string(),
            domain: domain.to_string(),
            web_sign_in_block_json: web_sign_in_block.as_ref().map(codec::block_to_json),
            left_at: left_at.naive_utc(),
            disable_confirmed_at: disable_confirmed_at.map(|at| at.naive_utc()),
            deletable_from: deletable_from.map(|at| at.naive_utc()),
        }
    }

    fn into_placement(self, key: &str) -> Result<PreviousPlacement, StoreError> {
        let bad = |found: &str, expected: &'static str| StoreError::Row {
            operation: READ,
            object: key.to_owned(),
            found: found.to_owned(),
            expected,
        };
        Ok(PreviousPlacement {
            tenant: TenantId(self.tenant_id.parse().map_err(|_| bad(&self.tenant_id, "a uuid"))?),
            key: TenantKey::parse(key).map_err(|_| bad(key, "a tenant key"))?,
            instance: InstanceKey::parse(&self.instance)
                .map_err(|_| bad(&self.instance, "an instance key"))?,
            domain_id: DomainId(self.domain_id.parse().map_err(|_| bad(&self.domain_id, "a uuid"))?),
            domain: DomainName::trusted(self.domain),
            web_sign_in_block: match &self.web_sign_in_block_json {
                Some(json) => {
                    Some(codec::block_from_json(json).ok_or_else(|| bad(json, "a web sign-in block"))?)
                }
                None => None,
            },
            left_at: self.left_at.and_utc(),
            disable_confirmed_at: self.disable_confirmed_at.map(|at| at.and_utc()),
            deletable_from: self.deletable_from.map(|at| at.and_utc()),
        })
    }
}

pub(super) fn all(conn: &mut AnyConnection) -> Result<Vec<PreviousPlacement>, StoreError> {
    let rows: Vec<(PlacementRow, String)> = previous_placements::table
        .inner_join(tenants::table.on(tenants::id.eq(previous_placements::tenant_id)))
        .select((PlacementRow::as_select(), tenants::key))
        .order((tenants::key, previous_placements::instance, previous_placements::domain_id))
        .load(conn)
        .map_err(StoreError::query(READ))?;
    rows.into_iter().map(|(row, key)| row.into_placement(&key)).collect()
}

/// Writes a placement, whether it is recorded already or not.
pub(super) fn put(conn: &mut AnyConnection, placement: &PreviousPlacement) -> Result<(), StoreError> {
    let row = PlacementRow::from_placement(placement);
    let failed = StoreError::query("record the previous placement");
    let found = previous_placements::table
        .find((row.instance.clone(), row.domain_id.clone()))
        .select(previous_placements::tenant_id)
        .first::<String>(conn)
        .optional();
    let done = match found {
        Ok(Some(_)) => {
            diesel::update(previous_placements::table.find((row.instance.clone(), row.domain_id.clone())))
                .set(row)
                .execute(conn)
        }
        Ok(None) => diesel::insert_into(previous_placements::table).values(row).execute(conn),
        Err(error) => Err(error),
    };
    done.map(drop).map_err(failed)
}

pub(super) fn remove(
    conn: &mut AnyConnection,
    instance: &InstanceKey,
    domain: DomainId,
) -> Result<(), StoreError> {
    diesel::delete(previous_placements::table.find((instance.to_string(), domain.to_string())))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("remove the previous placement"))
}

/// Notes that it is not known to be disabled any more, so that its retention is not over.
pub(super) fn not_disabled(
    conn: &mut AnyConnection,
    instance: &InstanceKey,
    domain: DomainId,
) -> Result<(), StoreError> {
    diesel::update(previous_placements::table.find((instance.to_string(), domain.to_string())))
        .set((
            previous_placements::disable_confirmed_at.eq(None::<NaiveDateTime>),
            previous_placements::deletable_from.eq(None::<NaiveDateTime>),
        ))
        .execute(conn)
        .map(drop)
        .map_err(StoreError::query("save which domains were enabled on the PBX"))
}
