//! The SMS numbers of tenants, as the platform has them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::model::{SmsNumber, TenantId};
use crate::store::StoreError;
use crate::store::connection::AnyConnection;

diesel::table! {
    sms_numbers (tenant_id, id) {
        tenant_id -> Text,
        id -> Text,
        /// NULL while no tenant has it.
        number -> Nullable<Text>,
        former_number -> Nullable<Text>,
        released_at -> Nullable<Timestamp>,
        release_reason -> Nullable<Text>,
    }
}

const NOT_IN_FILE: &str = "not in the tenant's file";

/// The numbers of every tenant.
pub(super) fn all(conn: &mut AnyConnection) -> Result<BTreeMap<TenantId, BTreeSet<SmsNumber>>, StoreError> {
    let operation = "read the SMS numbers";
    let rows: Vec<(String, Option<String>)> = sms_numbers::table
        .select((sms_numbers::tenant_id, sms_numbers::number))
        .filter(sms_numbers::number.is_not_null())
        .load(conn)
        .map_err(StoreError::query(operation))?;
    let mut found: BTreeMap<TenantId, BTreeSet<SmsNumber>> = BTreeMap::new();
    for (tenant, number) in rows {
        let text = number.unwrap_or_default();
        let bad =
            |expected| StoreError::Row { operation, object: tenant.clone(), found: text.clone(), expected };
        let number = SmsNumber::parse(&text).map_err(|_| bad("an SMS number"))?;
        let tenant = TenantId(tenant.parse().map_err(|_| bad("a tenant's identity"))?);
        found.entry(tenant).or_default().insert(number);
    }
    Ok(found)
}

/// Whether another tenant has the number.
pub(super) fn is_taken(conn: &mut AnyConnection, tenant: TenantId, number: &str) -> Result<bool, StoreError> {
    sms_numbers::table
        .filter(sms_numbers::number.eq(number))
        .filter(sms_numbers::tenant_id.ne(tenant.to_string()))
        .count()
        .get_result(conn)
        .map(|count: i64| count > 0)
        .map_err(StoreError::query("find the tenant of an SMS number"))
}

/// Gives a tenant these numbers and no others. What it had besides is released: its row and messages stay. A number
/// that another tenant has by now is left to it, and the next plan says so. Those that are `kept` are not released yet.
pub(super) fn put(
    conn: &mut AnyConnection,
    tenant: TenantId,
    wanted: &BTreeSet<SmsNumber>,
    kept: &BTreeSet<SmsNumber>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let operation = "assign the SMS numbers of a tenant's file";
    let owner = tenant.to_string();
    let rows: Vec<(String, Option<String>, Option<String>)> = sms_numbers::table
        .select((sms_numbers::id, sms_numbers::number, sms_numbers::former_number))
        .filter(sms_numbers::tenant_id.eq(&owner))
        .order((sms_numbers::released_at.desc(), sms_numbers::id))
        .load(conn)
        .map_err(StoreError::query(operation))?;
    let mut has = BTreeSet::new();
    for (id, number, _) in &rows {
        let Some(number) = number else { continue };
        if wanted.iter().chain(kept).any(|wanted| wanted.as_str() == number) {
            has.insert(number.as_str());
            continue;
        }
        diesel::update(sms_numbers::table.find((&owner, id)))
            .set((
                sms_numbers::number.eq(None::<String>),
                sms_numbers::former_number.eq(Some(number)),
                sms_numbers::released_at.eq(Some(now.naive_utc())),
                sms_numbers::release_reason.eq(Some(NOT_IN_FILE)),
            ))
            .execute(conn)
            .map_err(StoreError::query(operation))?;
    }
    for number in wanted.iter().filter(|number| !has.contains(number.as_str())) {
        if is_taken(conn, tenant, number.as_str())? {
            continue;
        }
        let released = rows.iter().find(|(_, held, previous)| {
            held.is_none()
                && previous.as_deref().and_then(|text| SmsNumber::parse(text).ok()).as_ref() == Some(number)
        });
        match released {
            Some((id, ..)) => diesel::update(sms_numbers::table.find((&owner, id)))
                .set((
                    sms_numbers::number.eq(Some(number.as_str())),
                    sms_numbers::former_number.eq(None::<String>),
                    sms_numbers::released_at.eq(None::<NaiveDateTime>),
                    sms_numbers::release_reason.eq(None::<String>),
                ))
                .execute(conn),
            None => diesel::insert_into(sms_numbers::table)
                .values((
                    sms_numbers::tenant_id.eq(&owner),
                    // Always the same for the same number, as no other row of the tenant has it.
                    sms_numbers::id.eq(Uuid::new_v5(&tenant.0, number.as_str().as_bytes()).to_string()),
                    sms_numbers::number.eq(Some(number.as_str())),
                ))
                .execute(conn),
        }
        .map_err(StoreError::query(operation))?;
    }
    Ok(())
}
