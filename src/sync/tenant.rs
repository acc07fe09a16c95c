//! Synchronises the users of one tenant.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::matching::{Pair, match_users};
use super::report::{RefusedUser, TenantSync};
use crate::model::{PbxUser, TenantRecord};
use crate::store::StoreError;
use crate::store::data::{TenantScope, UserRow, UserSource};

/// One synchronisation of one tenant.
struct Sync<'a, 'b> {
    scope: &'a mut TenantScope<'b>,
    record: &'a TenantRecord,
    limit: Option<u32>,
    now: DateTime<Utc>,
    /// How many accounts are enabled so far.
    active: usize,
    report: TenantSync,
}

/// Adds, changes and disables the accounts of a tenant as its PBX shows its users. At most `limit` accounts are enabled.
pub(super) fn sync(
    scope: &mut TenantScope<'_>,
    record: &TenantRecord,
    observed: &[PbxUser],
    limit: Option<u32>,
    now: DateTime<Utc>,
) -> Result<TenantSync, StoreError> {
    let accounts = scope.users()?;
    let (mut pairs, paired) = match_users(&accounts, observed);
    // Disabled users make room first, then enabled accounts keep their place, and others get one in the order of names.
    pairs.sort_by_key(|(user, account)| (user.enabled, !account.is_some_and(|row| row.enabled)));
    let active = accounts.iter().filter(|account| account.enabled).count();
    let report = TenantSync { tenant: record.key.to_string(), ..TenantSync::default() };
    let mut sync = Sync { scope, record, limit, now, active, report };
    let is_missing = |account: &&UserRow| {
        account.is_synced() && !paired.contains(&account.id) && (account.enabled || account.over_limit)
    };
    for account in accounts.iter().filter(is_missing) {
        sync.disable_missing(account)?;
    }
    for pair in pairs {
        sync.sync_user(pair)?;
    }
    sync.report.over_limit.sort();
    Ok(sync.report)
}

impl Sync<'_, '_> {
    /// Disables the account of a user that the PBX does not show any more.
    fn disable_missing(&mut self, account: &UserRow) -> Result<(), StoreError> {
        let disabled = UserRow { enabled: false, over_limit: false, ..account.clone() };
        let username = account.username.clone();
        match self.scope.change_user(&disabled, self.now)? {
            Ok(()) => {
                self.active -= usize::from(account.enabled);
                self.report.disabled.push(username);
            }
            Err(reason) => self.report.refused.push(RefusedUser { username, reason }),
        }
        Ok(())
    }

    fn sync_user(&mut self, (user, account): Pair<'_>) -> Result<(), StoreError> {
        let mut desired = desired_account(self.record, user, account);
        let was_enabled = account.is_some_and(|row| row.enabled);
        if desired.enabled && !was_enabled && !self.has_room() {
            desired.enabled = false;
            desired.over_limit = true;
        }
        if account != Some(&desired) {
            let result = match account {
                Some(_) => self.scope.change_user(&desired, self.now)?,
                None => self.scope.add_user(&desired, self.now)?,
            };
            let username = user.username.clone();
            if let Err(reason) = result {
                if let Some(account) = account {
                    self.reduce(account, &desired)?;
                }
                self.report.refused.push(RefusedUser { username, reason });
                return Ok(());
            }
            let done = match account {
                None => &mut self.report.added,
                Some(_) if was_enabled && !desired.enabled => &mut self.report.disabled,
                Some(_) => &mut self.report.changed,
            };
            done.push(username);
            self.active = self.active + usize::from(desired.enabled) - usize::from(was_enabled);
        }
        if desired.over_limit {
            self.report.over_limit.push(user.username.clone());
        }
        Ok(())
    }

    /// Takes away what the PBX takes away from an account, although its new name or address was refused.
    fn reduce(&mut self, account: &UserRow, desired: &UserRow) -> Result<(), StoreError> {
        let reduced = reduced(account, desired);
        if reduced != *account && self.scope.change_user(&reduced, self.now)?.is_ok() {
            self.active -= usize::from(account.enabled && !reduced.enabled);
            let done = if reduced.enabled { &mut self.report.changed } else { &mut self.report.disabled };
            done.push(account.username.clone());
        }
        Ok(())
    }

    /// Whether one more account may be enabled. The database checks it again.
    fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| u64::try_from(self.active).unwrap_or(u64::MAX) < u64::from(limit))
    }
}

/// An account with fewer rights, as the PBX wants it, and otherwise unchanged: a name or an address that belongs to another
/// account must not keep a user enabled.
fn reduced(account: &UserRow, desired: &UserRow) -> UserRow {
    let enabled = account.enabled && desired.enabled;
    let over_limit = desired.over_limit || (account.over_limit && desired.enabled);
    let role = if desired.role == USER { &desired.role } else { &account.role };
    UserRow { enabled, over_limit: !enabled && over_limit, role: role.clone(), ..account.clone() }
}

/// The account as the PBX shows its user.
fn desired_account(record: &TenantRecord, user: &PbxUser, account: Option<&UserRow>) -> UserRow {
    let derived = || format!("{}@{}", user.username, record.definition.domain);
    let observed = user.email.as_deref().map(str::trim).filter(|email| email.contains('@'));
    let (email, email_derived) = match (observed, account) {
        (Some(email), _) => (email.to_owned(), false),
        // An address that was entered on the platform is kept.
        (None, Some(account)) if !account.email_derived => (account.email.clone(), false),
        (None, _) => (derived(), true),
    };
    let new_id = || Uuid::new_v5(&record.id.0, user.id.as_bytes()).to_string();
    UserRow {
        id: account.map_or_else(new_id, |row| row.id.clone()),
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

/// The role with the fewest rights.
const USER: &str = "user";

/// The platform's role for FusionPBX's groups.
fn role(groups: &[String]) -> &'static str {
    if groups.iter().any(|group| matches!(group.as_str(), "superadmin" | "admin")) { "admin" } else { USER }
}
