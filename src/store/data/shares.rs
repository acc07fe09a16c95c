//! Which tenants may read what of each other.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;

use crate::config::AllowedSharing;
use crate::model::{CrossTenant, Desired, TenantKey, TenantRecord};
use crate::store::connection::AnyConnection;
use crate::store::{StoreError, tenants};

diesel::table! {
    cross_tenant_shares (kind, tenant_id, with_tenant_id) {
        kind -> Text,
        tenant_id -> Text,
        with_tenant_id -> Text,
    }
}

type Share = (String, String, String);

pub(super) fn put(
    conn: &mut AnyConnection,
    desired: &Desired,
    allowed: &AllowedSharing,
) -> Result<(), StoreError> {
    let operation = "update the shares";
    let records = tenants::all(conn)?;
    let found: Vec<Share> =
        cross_tenant_shares::table.load(conn).map_err(StoreError::query("read the shares"))?;
    let found: BTreeSet<Share> = found.into_iter().collect();
    let wanted = in_force(&records, &found, desired, allowed);
    for (kind, tenant, with) in found.difference(&wanted) {
        diesel::delete(cross_tenant_shares::table.find((kind, tenant, with)))
            .execute(conn)
            .map_err(StoreError::query(operation))?;
    }
    for (kind, tenant, with) in wanted.difference(&found) {
        diesel::insert_into(cross_tenant_shares::table)
            .values((
                cross_tenant_shares::kind.eq(kind),
                cross_tenant_shares::tenant_id.eq(tenant),
                cross_tenant_shares::with_tenant_id.eq(with),
            ))
            .execute(conn)
            .map_err(StoreError::query(operation))?;
    }
    Ok(())
}

fn in_force(
    records: &BTreeMap<TenantKey, TenantRecord>,
    found: &BTreeSet<Share>,
    desired: &Desired,
    allowed: &AllowedSharing,
) -> BTreeSet<Share> {
    let mut shares = BTreeSet::new();
    let unreadable = matches!(desired.completeness, crate::model::Completeness::Unreadable { .. });
    // What a file says; where it cannot be read, what it said last, and then only for shares that are there.
    let says = |key: &TenantKey| -> Option<(&CrossTenant, bool)> {
        match desired.tenants.get(key) {
            Some(tenant) => Some((&tenant.definition.cross_tenant, true)),
            None if unreadable || desired.is_broken(key) => {
                records.get(key).map(|record| (&record.definition.cross_tenant, false))
            }
            None => None,
        }
    };
    for (key, record) in records {
        let Some((own, own_read)) = says(key) else { continue };
        for (index, (kind, with)) in own.kinds().into_iter().enumerate() {
            let AllowedSharing { presence, contacts, chat } = allowed;
            if !*[presence, contacts, chat][index] {
                continue;
            }
            for other in with {
                let Some(partner) = records.get(other).filter(|partner| partner.id != record.id) else {
                    continue;
                };
                let Some((theirs, theirs_read)) = says(other) else { continue };
                if !theirs.kinds()[index].1.contains(key) {
                    continue;
                }
                let share = (kind.to_owned(), record.id.to_string(), partner.id.to_string());
                // What is new waits until both tenants are as their files say; what is gone from a file ends at once.
                let recorded = record.definition.cross_tenant.kinds()[index].1.contains(other)
                    && partner.definition.cross_tenant.kinds()[index].1.contains(key);
                if (own_read && theirs_read && recorded) || found.contains(&share) {
                    shares.insert(share);
                }
            }
        }
    }
    shares
}
