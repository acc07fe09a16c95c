//! The properties of a whole pass: compares database and servers before and after it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tenantd::apply::StepResult;
use tenantd::config::{Config, DeletionMode, Limit};
use tenantd::model::{
    Approval, Completeness, Desired, DomainId, DriftPolicy, InstanceKey, Recorded, Tenant, TenantId,
    TenantKey, TenantRecord,
};

use tenantd::observe::Rotation;
use tenantd::plan::Action;

use crate::model_pbx::{Domain, Server};
use crate::must_not_change::MustNotChange;
use crate::process::Task;
use crate::simulation::{Ending, Pass};
use crate::state::{SharedState, State};

/// A tenant lost access or was deleted.
struct Removal {
    /// The earliest and the latest time that may be recorded for it, in case the clock was set.
    earliest: DateTime<Utc>,
    latest: DateTime<Utc>,
    tenant: TenantId,
    /// Because its file was removed.
    gone: bool,
}

/// What the checks remember from pass to pass.
#[derive(Default)]
pub struct History {
    pub approvals: Vec<Approval>,
    /// Tenants that lost access or were deleted.
    removals: Vec<Removal>,
    started: DateTime<Utc>,
    /// The earliest time that this pass can have read from the clock.
    earliest: DateTime<Utc>,
    /// What was not managed when the pass began.
    unmanaged: BTreeMap<(InstanceKey, DomainId), Domain>,
    backups: BTreeMap<InstanceKey, Server>,
}

/// Tenants by their id, which no rename changes.
fn by_id(recorded: &Recorded) -> BTreeMap<TenantId, &TenantRecord> {
    recorded.tenants.values().map(|record| (record.id, record)).collect()
}

/// The keys of the files that define a recorded tenant: its own key, or that of a file with `previously`, or with
/// its domain.
pub fn tenant_keys(desired: &Desired, recorded: &Recorded, record: &TenantRecord) -> BTreeSet<TenantKey> {
    let takes_over = |tenant: &&Tenant| {
        let by_name = tenant.previously.as_ref().filter(|old| recorded.tenants.contains_key(old));
        !recorded.tenants.contains_key(&tenant.key)
            && by_name.map_or(tenant.definition.domain == record.definition.domain, |old| *old == record.key)
    };
    let mut tenant_keys: BTreeSet<TenantKey> =
        desired.tenants.values().filter(takes_over).map(|tenant| tenant.key.clone()).collect();
    tenant_keys.extend(desired.tenants.get(&record.key).map(|tenant| tenant.key.clone()));
    tenant_keys
}

pub fn has_file(desired: &Desired, recorded: &Recorded, record: &TenantRecord) -> bool {
    !tenant_keys(desired, recorded, record).is_empty()
}

impl History {
    pub fn begin(&mut self, shared: &SharedState, before: &Recorded, task: &Task) {
        let desired = &task.desired;
        let mut state = shared.lock();
        let state = &mut *state;
        self.started = state.now;
        (state.checks.earliest, state.checks.latest) = (state.now, state.now);
        state.checks.tenant_keys = before
            .tenants
            .values()
            .map(|record| (record.id.to_string(), tenant_keys(desired, before, record)))
            .collect();
        state.checks.must_not_change = MustNotChange::of(before, task, state.now);
        for server in state.servers.values_mut() {
            for domain in server.domains.values_mut() {
                domain.memory.changed_in_this_pass = false;
            }
        }
        if desired.completeness == Completeness::Complete {
            for record in before.tenants.values().filter(|record| !has_file(desired, before, record)) {
                let since = state.checks.file_gone_since.entry(record.id.to_string()).or_insert(state.now);
                *since = state.now.min(*since);
            }
        }
        self.unmanaged.clear();
        if state.faults.operator == 0.0 && state.late.is_empty() {
            for (key, server) in &state.servers {
                for (id, domain) in server.domains.iter().filter(|(_, domain)| !domain.memory.ours) {
                    self.unmanaged.insert((key.clone(), *id), domain.clone());
                }
            }
        }
    }

    pub fn end(&mut self, shared: &SharedState, config: &Config, pass: &Pass) {
        let desired = &pass.task.desired;
        let mut state = shared.lock();
        let state = &mut *state;
        let clean = is_clean(pass);
        // If the clock was set back during the pass, this may be the recorded time.
        self.earliest = state.checks.earliest.min(state.now);
        for since in state.checks.file_gone_since.values_mut() {
            *since = self.earliest.min(*since);
        }

        for found in [
            self.limits(config, desired, pass, (state.now, state.checks.latest)),
            self.directory(desired, pass),
            self.deletions(config, pass),
            self.unmanaged(state),
            one_domain_each(state, &pass.after),
        ] {
            if let Err(what) = found {
                state.violate(|| what);
            }
        }
        self.remember(state, desired, pass, clean);
        if let Err(what) = disabled_tenants_cannot_sign_in(state, &pass.after) {
            state.violate(|| what);
        }
    }

    fn remember(&mut self, state: &mut State, desired: &Desired, pass: &Pass, clean: bool) {
        let left: BTreeSet<(InstanceKey, DomainId)> = pass
            .after
            .previous_placements
            .iter()
            .map(|previous| (previous.instance.clone(), previous.domain_id))
            .collect();
        state.checks.left_since.retain(|key, _| left.contains(key));
        for key in left {
            let since = state.checks.left_since.entry(key).or_insert(self.earliest);
            *since = self.earliest.min(*since);
        }
        for record in pass.after.tenants.values() {
            // Adopted because its file says so, even if no request was sent for it yet.
            let place = (record.definition.instance.clone(), record.domain_id);
            let adopted = desired.tenants.get(&record.key).is_some_and(|wanted| {
                let name = |domain: &Domain| domain.name == wanted.definition.domain.as_str();
                let found = state.servers[&record.definition.instance].domains.get(&record.domain_id);
                wanted.adopt
                    && wanted.definition.instance == record.definition.instance
                    && found.is_some_and(name)
            });
            if adopted {
                state.checks.ours.insert(place);
            }
            if clean && has_file(desired, &pass.before, record) {
                state.checks.file_gone_since.remove(&record.id.to_string());
            }
        }
        let reported: BTreeSet<DomainId> = pass
            .after
            .tenants
            .values()
            .filter(|record| record.definition.drift == DriftPolicy::Report)
            .map(|record| record.domain_id)
            .collect();
        for server in state.servers.values_mut() {
            for (id, domain) in &mut server.domains {
                if let Some(again) = domain.memory.enabled_again.take().filter(|_| clean) {
                    domain.memory.seen_disabled_since = again;
                }
                let looked = clean && pass.task.rotation == Rotation::All;
                if looked && !reported.contains(id) {
                    domain.memory.changed = domain.memory.changed_in_this_pass;
                }
            }
        }
    }

    /// At most as many removals a day as the limits allow, unless an operator approved exactly these.
    fn limits(
        &mut self,
        config: &Config,
        desired: &Desired,
        pass: &Pass,
        (now, latest): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<(), String> {
        let window = self.started - TimeDelta::hours(24);
        let lately = |gone: bool, when: fn(&Removal) -> DateTime<Utc>| -> BTreeSet<TenantId> {
            let of_kind =
                self.removals.iter().filter(|removal| when(removal) > window && removal.gone == gone);
            of_kind.map(|removal| removal.tenant).collect()
        };
        let surely = |gone| lately(gone, |removal| removal.earliest);
        let (gone_lately, disabled_lately) = (surely(true), surely(false));
        // A removal that may have been counted already is not counted again.
        let perhaps = |gone| lately(gone, |removal| removal.latest);
        let (gone_before, disabled_before) = (perhaps(true), perhaps(false));
        let before = by_id(&pass.before);
        let after = by_id(&pass.after);
        let mut fresh = Vec::new();
        for (id, old) in &before {
            let new = after.get(id);
            let file = has_file(desired, &pass.before, old);
            let closed = old.definition.enabled && new.is_some_and(|new| !new.definition.enabled);
            let marked =
                old.file_removed_at.is_none() && new.is_some_and(|new| new.file_removed_at.is_some());
            if new.is_none() || marked || (closed && !file) {
                fresh.push((*id, true));
            } else if closed {
                fresh.push((*id, false));
            }
        }
        let managed: BTreeSet<TenantId> = before
            .values()
            .filter(|record| record.file_removed_at.is_none())
            .map(|record| record.id)
            .chain(gone_lately.iter().copied())
            .collect();
        for (id, gone) in &fresh {
            let (earliest, latest) = (self.earliest.min(now), latest.max(now));
            self.removals.push(Removal { earliest, latest, tenant: *id, gone: *gone });
        }
        if pass.task.policy.no_removals && !fresh.is_empty() {
            return Err("something was removed although nothing was to be".into());
        }
        if self.approved(pass) {
            return Ok(());
        }
        self.creations(config, managed.len(), pass)?;
        // The second of two daemons has another window if the clock was set ahead that far.
        if pass.plans.len() > 1 && latest - self.earliest >= TimeDelta::hours(24) {
            return emptied(&before, &after, true);
        }
        // A deletion that was started was allowed then.
        let started = pass.before.open_intents.iter().filter(|intent| intent.action == "delete");
        let started: BTreeSet<TenantId> = started.map(|intent| intent.tenant).collect();
        for (gone, lately, counted, limit, what) in [
            (true, &gone_lately, &gone_before, config.limits.removals, "removed"),
            (false, &disabled_lately, &disabled_before, config.limits.disables, "disabled"),
        ] {
            let new: BTreeSet<TenantId> = fresh
                .iter()
                .filter(|(id, kind)| *kind == gone && !counted.contains(id) && !started.contains(id))
                .map(|(id, _)| *id)
                .collect();
            let count = lately.len() + new.len();
            if !new.is_empty() && count > allowed(limit, managed.len()) {
                return Err(format!(
                    "{count} of {} tenants {what} within a day, past the limit",
                    managed.len()
                ));
            }
        }
        emptied(&before, &after, pass.plans.len() > 1)
    }

    fn approved(&self, pass: &Pass) -> bool {
        let ids: Vec<_> = pass.plans.iter().filter_map(|plan| plan.removals_id.as_ref()).collect();
        self.approvals.iter().any(|approval| {
            approval.removals_id.as_ref().is_some_and(|id| ids.contains(&id))
                && approval.expires_at > self.earliest
        })
    }

    /// Too many new tenants at once need an approval.
    fn creations(&self, config: &Config, managed: usize, pass: &Pass) -> Result<(), String> {
        let Some(limit) = config.limits.creates else { return Ok(()) };
        for plan in &pass.plans {
            let created = plan.count(Action::Create) + plan.count(Action::Adopt);
            if created > allowed(limit, managed) {
                return Err(format!("{created} tenants are made at once"));
            }
        }
        Ok(())
    }

    /// Nothing is removed while a file is broken, and nothing changes while the directory is unreadable.
    fn directory(&self, desired: &Desired, pass: &Pass) -> Result<(), String> {
        if desired.completeness == Completeness::Complete {
            return Ok(());
        }
        let after = by_id(&pass.after);
        for old in pass.before.tenants.values() {
            let Some(new) = after.get(&old.id) else {
                return Err(format!("{} was deleted while the directory was not read completely", old.key));
            };
            if old.file_removed_at.is_none() && new.file_removed_at.is_some() {
                return Err(format!("{} was removed while the directory was not read completely", old.key));
            }
            if old.definition.enabled && !new.definition.enabled && !has_file(desired, &pass.before, old) {
                return Err(format!("{} was disabled while the directory was not read completely", old.key));
            }
        }
        let unreadable = matches!(desired.completeness, Completeness::Unreadable { .. });
        if unreadable && pass.plans.iter().any(|plan| !plan.steps.is_empty()) {
            return Err("something was planned while the directory was not read".into());
        }
        Ok(())
    }

    /// Only tenants that are not protected are deleted, after the retention, as the deletion mode allows.
    fn deletions(&self, config: &Config, pass: &Pass) -> Result<(), String> {
        let after = by_id(&pass.after);
        for old in pass.before.tenants.values().filter(|old| !after.contains_key(&old.id)) {
            let started = pass
                .before
                .open_intents
                .iter()
                .any(|intent| intent.tenant == old.id && intent.action == "delete");
            let approved = started
                || self.approved(pass)
                || self.approvals.iter().any(|approval| {
                    approval.deletion_of.as_ref() == Some(&old.key) && approval.expires_at > self.earliest
                });
            let by_mode = match config.deletion.mode {
                DeletionMode::Automatic => true,
                DeletionMode::Approve => approved,
                DeletionMode::Never => false,
            };
            if !by_mode {
                return Err(format!("{} was deleted, and the mode is {:?}", old.key, config.deletion.mode));
            }
            if old.definition.enabled || old.definition.protected || old.file_removed_at.is_none() {
                return Err(format!("{} was deleted from one pass to the next", old.key));
            }
        }
        Ok(())
    }

    fn unmanaged(&self, state: &State) -> Result<(), String> {
        for ((key, id), was) in &self.unmanaged {
            let now = state.servers.get(key).and_then(|server| server.domains.get(id));
            if now.is_none_or(|now| !now.memory.ours && now != was) {
                return Err(format!("the foreign domain {} on {key} is not as it was", was.name));
            }
        }
        Ok(())
    }

    /// Makes a backup of a server, or restores the one that was made.
    pub fn backup(&mut self, state: &mut State, key: &InstanceKey) {
        let Some(server) = state.servers.get(key).cloned() else { return };
        match self.backups.remove(key) {
            None => {
                state.log(|| format!("{key}: a backup is made"));
                self.backups.insert(key.clone(), server);
            }
            Some(mut backup) if backup.domains.keys().next() == server.domains.keys().next() => {
                state.log(|| format!("{key}: the backup is restored"));
                for (id, domain) in &mut backup.domains {
                    // A domain without a record is not managed when a backup brings it back.
                    domain.memory.ours &= state.checks.is_recorded(key, *id);
                    domain.memory.mark_changed();
                    domain.memory.named_at = state.point;
                }
                state.servers.insert(key.clone(), backup);
            }
            Some(_) => {}
        }
    }
}

/// Every step succeeded and every server was read, so the pass has left nothing undone.
fn is_clean(pass: &Pass) -> bool {
    let Task { desired, policy, rotation: _, instances: _ } = &pass.task;
    let done = pass.endings.iter().all(|ending| match ending {
        Ending::Whole(outcome) => outcome.steps.iter().all(|step| matches!(step.result, StepResult::Done)),
        Ending::Failed(_) | Ending::Died => false,
    });
    let whole = pass.plans.iter().all(|plan| plan.held.is_empty() && plan.counts.unknown_instances == 0);
    done && whole
        && desired.completeness == Completeness::Complete
        && policy.only.is_empty()
        && !policy.no_removals
}

fn allowed(limit: Limit, managed: usize) -> usize {
    (limit.count as usize).max(managed * limit.percent as usize / 100)
}

/// An instance with several enabled tenants never loses all of them at once.
fn emptied(
    before: &BTreeMap<TenantId, &TenantRecord>,
    after: &BTreeMap<TenantId, &TenantRecord>,
    several_plans: bool,
) -> Result<(), String> {
    let mut enabled: BTreeMap<&InstanceKey, Vec<&TenantRecord>> = BTreeMap::new();
    for record in before.values().filter(|record| record.definition.enabled) {
        enabled.entry(&record.definition.instance).or_default().push(record);
    }
    for (instance, records) in enabled {
        let closed = |old: &&TenantRecord| {
            after.get(&old.id).is_some_and(|new| {
                !new.definition.enabled && new.definition.instance == old.definition.instance
            })
        };
        // The second of two daemons counts what the first one created.
        let others = several_plans
            && after
                .values()
                .any(|record| record.definition.enabled && record.definition.instance == *instance);
        if records.len() > 1 && records.iter().all(closed) && !others {
            return Err(format!("all {} tenants of {instance} were disabled at once", records.len()));
        }
    }
    Ok(())
}

/// A tenant has at most one managed domain on an instance.
fn one_domain_each(state: &State, after: &Recorded) -> Result<(), String> {
    for record in after.tenants.values() {
        let mut on: BTreeMap<&InstanceKey, usize> = [(&record.definition.instance, 1)].into();
        for previous in after.previous_placements.iter().filter(|previous| previous.tenant == record.id) {
            *on.entry(&previous.instance).or_default() += 1;
        }
        if let Some((instance, _)) = on.into_iter().find(|(_, count)| *count > 1) {
            return Err(format!("{} has two domains on {instance}", record.key));
        }
    }
    let recorded: BTreeSet<(&InstanceKey, DomainId)> = after
        .tenants
        .values()
        .map(|record| (&record.definition.instance, record.domain_id))
        .chain(after.previous_placements.iter().map(|previous| (&previous.instance, previous.domain_id)))
        .collect();
    for (key, server) in &state.servers {
        for (id, domain) in
            server.domains.iter().filter(|(_, domain)| domain.memory.ours && !domain.memory.changed)
        {
            if !recorded.contains(&(key, *id)) {
                return Err(format!("the domain {} on {key} is ours and not recorded", domain.name));
            }
        }
    }
    Ok(())
}

/// A tenant that is recorded as disabled and confirmed really is: no phone registers, no user signs in.
fn disabled_tenants_cannot_sign_in(state: &State, after: &Recorded) -> Result<(), String> {
    let tenants = after
        .tenants
        .values()
        .filter(|record| {
            !record.definition.enabled
                && record.disable_confirmed_at.is_some()
                && !record.web_sign_in_left_open
        })
        .map(|record| (&record.key, &record.definition.instance, record.domain_id));
    let previous = after
        .previous_placements
        .iter()
        .filter(|previous| previous.disable_confirmed_at.is_some())
        .map(|previous| (&previous.key, &previous.instance, previous.domain_id));
    for (key, instance, id) in tenants.chain(previous) {
        let Some(domain) = state.servers.get(instance).and_then(|server| server.domains.get(&id)) else {
            continue;
        };
        if !domain.memory.changed && (domain.takes_phones() || domain.takes_sign_ins()) {
            return Err(format!(
                "{key} is recorded as disabled and confirmed on {instance}, and its users can sign in"
            ));
        }
    }
    Ok(())
}
