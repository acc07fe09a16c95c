//! The users of a tenant as its PBX has them: added, changed, disabled; never deleted, and manual ones untouched.

mod missing;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::config::Tier;
use crate::fusionpbx::{PbxError, PbxRead};
use crate::model::{DomainId, InstanceKey, PbxUser, TenantId, TenantKey, TenantRecord};
use crate::report::chain;
use crate::stats::user_limit;
use crate::store::data::{TenantScope, UserRow, UserSource};
use crate::store::{Database, StoreError, StoreWriter};

pub use state::{SyncState, note};

/// What a synchronisation did to one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TenantSync {
    pub tenant: String,
    pub added: Vec<String>,
    pub changed: Vec<String>,
    /// Disabled on the PBX, or not there any more.
    pub disabled: Vec<String>,
    /// Enabled on the PBX and refused here, because the tenant is at its `max_users`: those before, too.
    pub over_limit: Vec<String>,
    /// Not taken over at all: their address or name is another account's. With the reason.
    pub refused: Vec<RefusedUser>,
}

/// A user who exists on the PBX and has no account of its own on the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedUser {
    pub username: String,
    pub reason: String,
}

/// What a synchronisation did to the tenants of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceSync {
    pub instance: String,
    /// Tenants where something was done, or users are refused.
    pub tenants: Vec<TenantSync>,
    /// Tenants that were left as they are, with the reason: paused, or their domain is not on the PBX.
    pub left_alone: BTreeMap<String, String>,
    /// Why nothing was done: the users could not be read whole, or the reading is not believed.
    pub unknown: Option<String>,
}

impl InstanceSync {
    /// Nothing was done.
    pub fn unknown(instance: &InstanceKey, reason: String) -> Self {
        Self { instance: instance.to_string(), unknown: Some(reason), ..Self::default() }
    }
}

impl TenantSync {
    fn is_empty(&self) -> bool {
        let Self { tenant: _, added, changed, disabled, over_limit, refused } = self;
        added.is_empty()
            && changed.is_empty()
            && disabled.is_empty()
            && over_limit.is_empty()
            && refused.is_empty()
    }

    /// Whether an account was added, changed or disabled.
    pub fn did_something(&self) -> bool {
        !(self.added.is_empty() && self.changed.is_empty() && self.disabled.is_empty())
    }

    /// How many users of the PBX may not work on the platform.
    pub fn kept_out(&self) -> usize {
        self.over_limit.len() + self.refused.len()
    }
}

/// How a synchronisation goes about it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Only this tenant.
    pub only: Option<TenantKey>,
    /// Its limit holds beside each tenant's own.
    pub tier: Tier,
    /// Recorded tenants whose domain has just been made: it has no users yet, which says nothing.
    pub made_again: BTreeSet<TenantKey>,
    /// Someone said that the users who are missing are gone on purpose, however many.
    pub accept_missing: bool,
}

impl Rules {
    pub fn of(tier: &Tier) -> Self {
        Self { only: None, tier: tier.clone(), made_again: BTreeSet::new(), accept_missing: false }
    }
}

/// Reads an instance's users and brings its tenants' users to them.
///
/// A read that is not complete changes nothing, and neither does one that lacks many users at once, nor a PBX that does
/// not have the tenant's domain: that it shows no users says nothing then. *Call it* after a tenant was created,
/// adopted or moved, and at an interval.
pub async fn sync_instance(
    database: &Database,
    instance: &InstanceKey,
    pbx: &dyn PbxRead,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<InstanceSync, StoreError> {
    let started = std::time::Instant::now();
    let there = match There::read(pbx).await {
        Ok(there) => there,
        Err(error) => return Ok(InstanceSync::unknown(instance, chain(&error))),
    };
    let mut report = InstanceSync { instance: instance.to_string(), ..InstanceSync::default() };
    let (instance, rules) = (instance.clone(), rules.clone());
    database
        .write(move |store| {
            let note = SyncState::in_writer(store, &instance)?;
            if note.is_newer_than(now, now + started.elapsed()) {
                let reason = "another process has read them since, so this reading is out of date";
                return Ok(InstanceSync::unknown(&instance, reason.to_owned()));
            }
            apply(store, &instance, &there, &rules, &note, now, &mut report)?;
            if report.unknown.is_none() {
                note.put_reading(store, &instance, now)?;
            }
            Ok(report)
        })
        .await
}

/// What an instance has.
struct There {
    domains: BTreeSet<DomainId>,
    users: BTreeMap<DomainId, Vec<PbxUser>>,
}

impl There {
    async fn read(pbx: &dyn PbxRead) -> Result<Self, PbxError> {
        let mut users: BTreeMap<DomainId, Vec<PbxUser>> = BTreeMap::new();
        for user in pbx.users().await? {
            users.entry(user.domain).or_default().push(user);
        }
        // After the users: a domain that goes in between is then not taken for one without users.
        let domains = pbx.domains().await?.into_iter().map(|domain| domain.id).collect();
        Ok(Self { domains, users })
    }

    fn users_of(&self, record: &TenantRecord) -> &[PbxUser] {
        self.users.get(&record.domain_id).map(Vec::as_slice).unwrap_or_default()
    }
}

fn apply(
    store: &mut StoreWriter<'_>,
    instance: &InstanceKey,
    there: &There,
    rules: &Rules,
    note: &SyncState,
    now: DateTime<Utc>,
    report: &mut InstanceSync,
) -> Result<(), StoreError> {
    let Rules { only, tier, made_again, accept_missing } = rules;
    let pauses = store.pauses(now)?;
    let mut tenants = store.all_tenants()?;
    // A domain that is not made yet has no users, which says nothing.
    tenants.retain(|_, record| record.definition.instance == *instance && record.provisioned);
    tenants.retain(|key, record| {
        let pause = pauses.iter().find(|pause| pause.covers(key, Some(&record.definition.instance)));
        let reason = if let Some(pause) = pause {
            format!("it is paused: {}", pause.reason)
        } else if !there.domains.contains(&record.domain_id) {
            format!("its domain is not on {instance}")
        } else if made_again.contains(key) {
            format!("its domain was just re-created on {instance} and is still empty")
        } else {
            return true;
        };
        if only.as_ref().is_none_or(|only| only == key) {
            report.left_alone.insert(key.to_string(), reason);
        }
        false
    });
    if !accept_missing {
        report.unknown = missing::too_many(store, instance, there, &tenants, note)?;
        if report.unknown.is_some() {
            return Ok(());
        }
    }
    for (_, record) in tenants.iter().filter(|(key, _)| only.as_ref().is_none_or(|only| only == *key)) {
        let limit = user_limit(record.definition.max_users, tier);
        let done = tenant(&mut store.scope(record.id), record, there.users_of(record), limit, now)?;
        if !done.is_empty() {
            report.tenants.push(done);
        }
    }
    Ok(())
}

fn tenant(
    scope: &mut TenantScope<'_>,
    record: &TenantRecord,
    there: &[PbxUser],
    limit: Option<u32>,
    now: DateTime<Utc>,
) -> Result<TenantSync, StoreError> {
    let mut report = TenantSync { tenant: record.key.to_string(), ..TenantSync::default() };
    let found = scope.users()?;
    let (mut pairs, matched) = synced_users(&found, there);
    // Who leaves makes room, who is in stays in, and among the rest the order of names decides who gets it.
    pairs.sort_by_key(|(user, known)| (user.enabled, !known.is_some_and(|row| row.enabled)));
    let mut active = found.iter().filter(|user| user.enabled).count();
    let is_gone = |user: &&UserRow| {
        user.is_synced() && !matched.contains(&user.id) && (user.enabled || user.over_limit)
    };
    for gone in found.iter().filter(is_gone) {
        match scope.change_user(&UserRow { enabled: false, over_limit: false, ..gone.clone() }, now)? {
            Ok(()) => {
                active -= usize::from(gone.enabled);
                report.disabled.push(gone.username.clone());
            }
            Err(reason) => report.refused.push(RefusedUser { username: gone.username.clone(), reason }),
        }
    }
    for (user, known) in pairs {
        let mut wanted = wanted(record.id, record, user, known);
        let was_in = known.is_some_and(|row| row.enabled);
        if wanted.enabled && !was_in && !has_room(limit, active) {
            wanted.enabled = false;
            wanted.over_limit = true;
        }
        if known != Some(&wanted) {
            let done = match known {
                Some(_) => scope.change_user(&wanted, now)?,
                None => scope.add_user(&wanted, now)?,
            };
            let username = user.username.clone();
            match (done, known) {
                (Err(reason), known) => {
                    if let Some(row) = known
                        && let less = with_less(row, &wanted)
                        && less != *row
                        && scope.change_user(&less, now)?.is_ok()
                    {
                        active -= usize::from(row.enabled && !less.enabled);
                        let done = if less.enabled { &mut report.changed } else { &mut report.disabled };
                        done.push(row.username.clone());
                    }
                    report.refused.push(RefusedUser { username, reason });
                    continue;
                }
                (Ok(()), None) => report.added.push(username),
                (Ok(()), Some(_)) if was_in && !wanted.enabled => report.disabled.push(username),
                (Ok(()), Some(_)) => report.changed.push(username),
            }
            active = active + usize::from(wanted.enabled) - usize::from(was_in);
        }
        if wanted.over_limit {
            report.over_limit.push(user.username.clone());
        }
    }
    report.over_limit.sort();
    Ok(report)
}

/// The PBX's users with the accounts that they have, and the ids of those.
fn synced_users<'a>(
    found: &'a [UserRow],
    there: &'a [PbxUser],
) -> (Vec<(&'a PbxUser, Option<&'a UserRow>)>, BTreeSet<String>) {
    let synced: Vec<&UserRow> = found.iter().filter(|user| user.is_synced()).collect();
    let mut matched = BTreeSet::new();
    let mut by_name: Vec<&PbxUser> = there.iter().collect();
    by_name.sort_by(|a, b| (&a.username, a.id).cmp(&(&b.username, b.id)));
    // Identities first, so that a name that went to someone else takes not managed account.
    let (same, others): (Vec<_>, Vec<_>) =
        by_name.into_iter().partition(|user| synced.iter().any(|row| row.pbx_user_id == Some(user.id)));
    let pairs =
        same.into_iter().chain(others).map(|user| (user, known(&synced, user, &mut matched))).collect();
    (pairs, matched)
}

/// An account with what the PBX takes away from it, and nothing else of what it wants: a name or an address that is
/// another account's must not keep anybody in.
fn with_less(row: &UserRow, wanted: &UserRow) -> UserRow {
    let enabled = row.enabled && wanted.enabled;
    let waits = wanted.over_limit || (row.over_limit && wanted.enabled);
    let role = if wanted.role == USER { &wanted.role } else { &row.role };
    UserRow { enabled, over_limit: !enabled && waits, role: role.clone(), ..row.clone() }
}

/// Whether one more may work. The database has the last word.
fn has_room(limit: Option<u32>, active: usize) -> bool {
    limit.is_none_or(|most| u64::try_from(active).unwrap_or(u64::MAX) < u64::from(most))
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
    let derived = || format!("{}@{}", user.username, record.definition.domain);
    let given = user.email.as_deref().map(str::trim).filter(|email| email.contains('@'));
    let (email, email_derived) = match (given, known) {
        (Some(email), _) => (email.to_owned(), false),
        // An address that someone entered on the platform stays.
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
        over_limit: false,
        source: UserSource::Fusionpbx,
        pbx_user_id: Some(user.id),
    }
}

/// The role that may least.
const USER: &str = "user";

/// A platform role for FusionPBX's groups.
fn role(groups: &[String]) -> &'static str {
    if groups.iter().any(|group| matches!(group.as_str(), "superadmin" | "admin")) { "admin" } else { USER }
}

/// What was done, for people.
pub fn text(reports: &[InstanceSync]) -> String {
    let mut text = String::new();
    for report in reports {
        let InstanceSync { instance, tenants, left_alone, unknown } = report;
        if let Some(reason) = unknown {
            text.push_str(&format!(
                "{instance}: no user is changed, because its users were not fully read: {reason}\n"
            ));
        }
        for (tenant, reason) in left_alone {
            text.push_str(&format!("{tenant}: users not synchronised this time: {reason}\n"));
        }
        for done in tenants {
            let TenantSync { tenant, added, changed, disabled, over_limit, refused } = done;
            text.push_str(&format!(
                "{tenant}: {} added, {} changed, {} disabled, {} over the limit\n",
                added.len(),
                changed.len(),
                disabled.len(),
                done.kept_out()
            ));
            for username in over_limit {
                text.push_str(&format!(
                    "over the limit: {username}: {tenant} already has as many users as \
                                        `max_users` allows\n"
                ));
            }
            for RefusedUser { username, reason } in refused {
                text.push_str(&format!("  not added: {username}: {reason}\n"));
            }
        }
    }
    if text.is_empty() {
        text.push_str("Users are up to date on all instances.\n");
    }
    text
}
