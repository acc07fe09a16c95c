//! The users of a tenant as its PBX has them: added, changed, disabled; never deleted, and manual ones untouched.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::fusionpbx::PbxRead;
use crate::model::{DomainId, InstanceKey, PbxUser, TenantId, TenantKey, TenantRecord};
use crate::report::chain;
use crate::store::data::{TenantScope, UserRow, UserSource};
use crate::store::{Database, StoreError, StoreWriter};

/// What a synchronisation did to one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantSync {
    pub tenant: String,
    pub added: Vec<String>,
    pub changed: Vec<String>,
    /// Disabled on the PBX, or not there any more.
    pub disabled: Vec<String>,
    /// On the PBX and not taken over: past `max_users`, or with an address or name that is taken. With the reason.
    pub refused: Vec<RefusedUser>,
}

/// A user who exists on the PBX and may not work on the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedUser {
    pub username: String,
    pub reason: String,
}

/// What a synchronisation did to the tenants of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceSync {
    pub instance: String,
    /// Tenants where something was done or refused.
    pub tenants: Vec<TenantSync>,
    /// Why nothing was done: the users could not be read whole.
    pub unknown: Option<String>,
}

impl TenantSync {
    fn is_empty(&self) -> bool {
        let Self { tenant: _, added, changed, disabled, refused } = self;
        added.is_empty() && changed.is_empty() && disabled.is_empty() && refused.is_empty()
    }
}

/// Reads an instance's users and brings its tenants' users to them; `only` narrows it to one tenant.
///
/// A read that is not complete changes nothing. *Call it* after a tenant was created, adopted or moved, and at an
/// interval.
pub async fn sync_instance(
    database: &Database,
    instance: &InstanceKey,
    pbx: &dyn PbxRead,
    only: Option<&TenantKey>,
    now: DateTime<Utc>,
) -> Result<InstanceSync, StoreError> {
    let mut report = InstanceSync { instance: instance.to_string(), ..InstanceSync::default() };
    let users = match pbx.users().await {
        Ok(users) => users,
        Err(error) => {
            report.unknown = Some(chain(&error));
            return Ok(report);
        }
    };
    let (instance, only) = (instance.clone(), only.cloned());
    report.tenants = database.write(move |store| apply(store, &instance, &users, only.as_ref(), now)).await?;
    Ok(report)
}

fn apply(
    store: &mut StoreWriter<'_>,
    instance: &InstanceKey,
    users: &[PbxUser],
    only: Option<&TenantKey>,
    now: DateTime<Utc>,
) -> Result<Vec<TenantSync>, StoreError> {
    let mut by_domain: BTreeMap<DomainId, Vec<&PbxUser>> = BTreeMap::new();
    for user in users {
        by_domain.entry(user.domain).or_default().push(user);
    }
    let mut reports = Vec::new();
    for (key, record) in store.all_tenants()? {
        // A domain that is not made yet has no users, which says nothing.
        if record.instance != *instance || !record.provisioned || only.is_some_and(|only| *only != key) {
            continue;
        }
        let there = by_domain.remove(&record.domain_id).unwrap_or_default();
        let report = tenant(&mut store.scope(record.id), &record, there, now)?;
        if !report.is_empty() {
            reports.push(report);
        }
    }
    Ok(reports)
}

fn tenant(
    scope: &mut TenantScope<'_>,
    record: &TenantRecord,
    mut there: Vec<&PbxUser>,
    now: DateTime<Utc>,
) -> Result<TenantSync, StoreError> {
    let mut report = TenantSync { tenant: record.key.to_string(), ..TenantSync::default() };
    let found = scope.users()?;
    let synced: Vec<&UserRow> = found.iter().filter(|user| user.source == UserSource::Fusionpbx).collect();
    let mut matched = BTreeSet::new();
    // Who leaves makes room first, and among the rest the order of names decides who gets it.
    there.sort_by(|a, b| (a.enabled, &a.username, a.id).cmp(&(b.enabled, &b.username, b.id)));
    let pairs: Vec<(&PbxUser, Option<&UserRow>)> =
        there.iter().map(|user| (*user, known(&synced, user, &mut matched))).collect();
    for gone in synced.iter().filter(|user| user.enabled && !matched.contains(&user.id)) {
        match scope.change_user(&UserRow { enabled: false, ..(*gone).clone() }, now)? {
            Ok(()) => report.disabled.push(gone.username.clone()),
            Err(reason) => report.refused.push(RefusedUser { username: gone.username.clone(), reason }),
        }
    }
    for (user, known) in pairs {
        let wanted = wanted(record.id, record, user, known);
        if known == Some(&wanted) {
            continue;
        }
        let done = match known {
            Some(_) => scope.change_user(&wanted, now)?,
            None => scope.add_user(&wanted, now)?,
        };
        let username = user.username.clone();
        match (done, known) {
            (Err(reason), _) => report.refused.push(RefusedUser { username, reason }),
            (Ok(()), None) => report.added.push(username),
            (Ok(()), Some(known)) if known.enabled && !wanted.enabled => report.disabled.push(username),
            (Ok(()), Some(_)) => report.changed.push(username),
        }
    }
    Ok(report)
}

/// The account of a PBX user: by the PBX's identity of it, or, after a move to another PBX, by name.
fn known<'a>(synced: &[&'a UserRow], user: &PbxUser, matched: &mut BTreeSet<String>) -> Option<&'a UserRow> {
    let found = synced.iter().find(|row| row.pbx_user_id == Some(user.id)).or_else(|| {
        synced
            .iter()
            .find(|row| row.username.eq_ignore_ascii_case(&user.username) && !matched.contains(&row.id))
    })?;
    matched.insert(found.id.clone()).then_some(*found)
}

fn wanted(tenant: TenantId, record: &TenantRecord, user: &PbxUser, known: Option<&UserRow>) -> UserRow {
    let derived = || format!("{}@{}", user.username, record.domain);
    let given = user.email.as_deref().map(str::trim).filter(|email| email.contains('@'));
    let (email, email_derived) = match (given, known) {
        (Some(email), _) => (email.to_owned(), false),
        // An address that somebody entered on the platform stays.
        (None, Some(known)) if !known.email_derived => (known.email.clone(), false),
        (None, _) => (derived(), true),
    };
    UserRow {
        id: known
            .map_or_else(|| Uuid::new_v5(&tenant.0, user.id.as_bytes()).to_string(), |row| row.id.clone()),
        email,
        email_derived,
        username: user.username.clone(),
        role: role(&user.groups).to_owned(),
        enabled: user.enabled,
        source: UserSource::Fusionpbx,
        pbx_user_id: Some(user.id),
    }
}

/// A platform role for FusionPBX's groups.
fn role(groups: &[String]) -> &'static str {
    if groups.iter().any(|group| matches!(group.as_str(), "superadmin" | "admin")) { "admin" } else { "user" }
}

/// What was done, for people.
pub fn text(reports: &[InstanceSync]) -> String {
    let mut text = String::new();
    for report in reports {
        let InstanceSync { instance, tenants, unknown } = report;
        if let Some(reason) = unknown {
            text.push_str(&format!(
                "{instance}: nothing is changed, its users could not be read whole: {reason}\n"
            ));
        }
        for tenant in tenants {
            let TenantSync { tenant, added, changed, disabled, refused } = tenant;
            text.push_str(&format!(
                "{tenant}: {} added, {} changed, {} disabled, {} not taken over\n",
                added.len(),
                changed.len(),
                disabled.len(),
                refused.len()
            ));
            for RefusedUser { username, reason } in refused {
                text.push_str(&format!("  not taken over: {username}: {reason}\n"));
            }
        }
    }
    if text.is_empty() {
        text.push_str("every tenant has the users of its PBX\n");
    }
    text
}
