//! Web sessions that outlive a disable: FusionPBX up to 5.5.2 does not end those that are open, and nothing on its
//! pages does. A disable there counts as confirmed only when they must be over, and until then the plan says so.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Action, Draft, Inputs, ScheduledReason, ScheduledStep};
use crate::model::{InstanceKey, Observed};
use crate::plan::Policy;

/// For how long web sessions may continue after a disable, by instance; those that end them at once are left out.
pub fn sessions_go_on(observed: &Observed, policy: &Policy) -> BTreeMap<InstanceKey, TimeDelta> {
    let outliving = observed.versions.keys().filter(|key| !observed.block_ends_sessions(key));
    outliving
        .filter_map(|key| {
            let lifetime = TimeDelta::from_std(*policy.web_session_lifetimes.get(key)?).ok()?;
            (lifetime > TimeDelta::zero()).then(|| (key.clone(), lifetime))
        })
        .collect()
}

/// Says of every disable in the plan how long sessions may continue, and of every disabled tenant when that ends.
pub(super) fn tell(inputs: Inputs<'_>, draft: &mut Draft) {
    let go_on = sessions_go_on(inputs.observed, inputs.policy);
    let mut tenants: BTreeMap<&InstanceKey, usize> = BTreeMap::new();
    for step in draft.steps.iter().filter(|step| step.action == Action::Disable) {
        if go_on.contains_key(&step.instance) {
            *tenants.entry(&step.instance).or_default() += 1;
        }
    }
    let warnings: Vec<String> = tenants
        .into_iter()
        .map(|(instance, count)| {
            let version = inputs.observed.versions.get(instance).and_then(Option::as_ref);
            let server = version.map_or_else(
                || format!("{instance} does not show its version, so its FusionPBX"),
                |version| format!("FusionPBX {version} on {instance}"),
            );
            let whose = if count == 1 { "the tenant" } else { "the tenants" };
            format!(
                "{server} may not end open web sessions: those of {whose} to be disabled may work for {} more \
                 (`web_session_lifetime`). Phones and new sign-ins are refused at once",
                lasting(go_on[instance])
            )
        })
        .collect();
    draft.warnings.extend(warnings);
    // A clock that was set back, or a server that was upgraded, leaves times that are no such end.
    let scheduled = still_open(inputs).filter(|(_, instance, _)| go_on.contains_key(instance)).map(
        |(tenant, instance, until)| ScheduledStep {
            tenant: tenant.clone(),
            instance: instance.clone(),
            action: Action::Disable,
            until,
            reason: ScheduledReason::WebSessionsOpen,
        },
    );
    let scheduled: Vec<_> = scheduled.collect();
    draft.scheduled.extend(scheduled);
}

/// A time as people say it: `24 hours`.
fn lasting(time: TimeDelta) -> String {
    let (count, unit) = match time.num_minutes() {
        minutes if minutes >= 60 && minutes % 60 == 0 => (minutes / 60, "hour"),
        minutes => (minutes, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Disabled tenants, and domains that a tenant left, whose web sessions may not be over.
fn still_open(
    inputs: Inputs<'_>,
) -> impl Iterator<Item = (&crate::model::TenantKey, &InstanceKey, DateTime<Utc>)> {
    let named = |id| inputs.recorded.tenants.values().find(move |record| record.id == id);
    let placed =
        inputs.recorded.tenants.values().filter(|record| !record.definition.enabled).filter_map(|record| {
            Some((&record.key, &record.definition.instance, record.disable_confirmed_at?))
        });
    let left = inputs.recorded.previous_placements.iter().filter_map(move |previous| {
        Some((&named(previous.tenant)?.key, &previous.instance, previous.disable_confirmed_at?))
    });
    placed.chain(left).filter(move |(.., until)| *until > inputs.now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_shown_in_hours_or_minutes() {
        for (minutes, text) in
            [(1440, "24 hours"), (60, "1 hour"), (90, "90 minutes"), (1, "1 minute"), (0, "0 minutes")]
        {
            assert_eq!(lasting(TimeDelta::minutes(minutes)), text);
        }
    }
}
